//! A part of cross-validation: what learns from some of the documents, and the others, which it scores.

use ndarray::Array2;

use linfa::traits::PredictInplace;

use super::error::TrainError;
use super::inference::{FoldedTerm, Inference};
use super::learning::Learning;
use crate::features::SparseRows;
use crate::features::counts::TermKind;
use crate::linear::{LinearSvmValidParams, OneVsRestSolver};
use crate::targets::Targets;

/// One fold.
pub(super) struct Part<'a> {
    learning: &'a Learning<'a>,
    pub(super) held_out: Vec<u32>,
    pub(super) held_out_targets: Targets,
    /// The weight of each term that the fold's documents teach; 0 of the others.
    learned_weights: Vec<f32>,
    inference: Option<Inference<'a>>,
    /// The features that held-out documents hold, and their rows with these for all features.
    held_out_features: Vec<u32>,
    held_out_rows: SparseRows,
    solver: OneVsRestSolver,
}

impl<'a> Part<'a> {
    /// One that learns from words as they stand in `training`, and, with a factor above 0, from what they mean.
    pub(super) fn new(
        learning: &'a Learning<'a>,
        held_out: Vec<u32>,
        training: Vec<u32>,
        meaning_factor: f32,
        params: &LinearSvmValidParams,
    ) -> Result<Self, TrainError> {
        let learned_weights = learning.weigh_terms(&training);
        let inference = if meaning_factor > 0.0 { learning.inference(&training, &learned_weights) } else { None };
        let with_meanings = inference.as_ref().map(|inference| (inference, meaning_factor));
        let solver = learning.solver(&training, &learned_weights, with_meanings, params)?;
        let weights = inference.as_ref().map_or(&*learned_weights, Inference::weights);
        let (held_out_features, held_out_rows) = learning.counts.rows(&held_out, weights).compacted();
        Ok(Self {
            learning,
            held_out_targets: learning.targets().select(&held_out),
            held_out,
            learned_weights,
            inference,
            held_out_features,
            held_out_rows,
            solver,
        })
    }

    /// Sets what meanings count beside rows, above 0.
    pub(super) fn set_meaning_factor(&mut self, factor: f32) {
        self.solver.set_dense_factor(factor);
    }

    /// Fits with this C, on from the solution before, and scores what is held out as a model of this part would.
    pub(super) fn solve_and_score(
        &mut self,
        c: f32,
        params: &LinearSvmValidParams,
        is_cancelled: crate::cancellation::IsCancelled<'_>,
    ) -> Array2<f64> {
        self.solver.solve(c, params, is_cancelled);
        let weights = match &self.inference {
            None => self.solver.quantized_weights_of(&self.held_out_features),
            Some(inference) => {
                let is_learned = |feature: u32| self.learned_weights[feature as usize] > 0.0;
                let terms: Vec<FoldedTerm> =
                    self.held_out_features.iter().map(|&f| inference.term(f, is_learned(f))).collect();
                inference.fold(&self.solver, &terms)
            }
        };
        let mut scores = weights.default_target(&self.held_out_rows);
        weights.predict_inplace(&self.held_out_rows, &mut scores);
        scores
    }

    /// For each held-out document, the share of its tokens that a model of this part knows.
    pub(super) fn known_shares(&self) -> Vec<f64> {
        let counts = self.learning.counts;
        let weights = self.inference.as_ref().map_or(&*self.learned_weights, Inference::weights);
        let known_share = |&document: &u32| {
            let unigrams =
                counts.row(document as usize).take_while(|&(feature, _)| counts.kind(feature) == TermKind::Unigram);
            let (n_known, n_tokens) = unigrams.fold((0, 0), |(n_known, n_tokens), (feature, n)| {
                (n_known + if weights[feature as usize] > 0.0 { n } else { 0 }, n_tokens + n)
            });
            f64::from(n_known) / f64::from(n_tokens.max(1))
        };
        self.held_out.iter().map(known_share).collect()
    }
}
