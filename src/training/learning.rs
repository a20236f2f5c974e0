//! All that a training learns from, and how any part of the documents is learned from: folds and the final fit do it in one way.

use std::num::NonZeroUsize;
use std::sync::OnceLock;

use super::error::TrainError;
use super::inference::Inference;
use crate::dataset::Dataset;
use crate::features::TermCounts;
use crate::features::counts::Postings;
use crate::features::weighting::weigh_terms;
use crate::linear::{LinearSvmValidParams, OneVsRestSolver};
use crate::targets::Targets;
use crate::training_config::TrainingConfig;
use crate::words::{KeptWords, Meanings, WordTable};

/// Documents, their terms, and what the words of these mean.
pub(super) struct Learning<'a> {
    pub(super) dataset: &'a Dataset,
    pub(super) counts: &'a TermCounts,
    pub(super) postings: &'a Postings,
    /// The words that may count, if any.
    pub(super) words: Option<Words<'a>>,
    pub(super) config: &'a TrainingConfig,
}

/// A table of words, and what a training set's documents mean by it: looked up when it is asked for first.
pub(super) struct Words<'a> {
    pub(super) table: &'a WordTable,
    /// The languages of the training documents, as ISO 639-3 codes.
    pub(super) languages: &'a [String],
    pub(super) meanings: OnceLock<Meanings>,
}

impl<'a> Learning<'a> {
    /// What the documents mean, by the words of the table that a model may keep; nothing without a table.
    pub(super) fn meanings(&self) -> Option<&Meanings> {
        let Words { table, languages, meanings } = self.words.as_ref()?;
        Some(meanings.get_or_init(|| {
            let (max_words, codes) = (self.config.max_words_kept(), &self.config.words_languages);
            Meanings::of(self.counts, table, KeptWords::choose(table, max_words, codes, languages))
        }))
    }

    pub(super) fn targets(&self) -> &'a Targets {
        self.dataset.targets()
    }

    /// The weight of each term, from these documents; 0 of terms that they don't teach.
    pub(super) fn weigh_terms(&self, documents: &[u32]) -> Vec<f32> {
        let max_features = self.config.max_features.map(NonZeroUsize::get);
        weigh_terms(self.counts, self.postings, self.targets(), documents, max_features)
    }

    /// What words mean beside these weights of terms, which are from these documents; nothing without a table.
    pub(super) fn inference(&self, documents: &[u32], learned_weights: &[f32]) -> Option<Inference<'_>> {
        let meanings = self.meanings()?;
        Some(Inference::new(meanings, self.targets(), documents, learned_weights))
    }

    /// What learns from these documents, with these weights of terms; with meanings, times a factor, if they are given. The documents' rows
    /// are gone when it is there: it has its own.
    pub(super) fn solver(
        &self,
        documents: &[u32],
        learned_weights: &[f32],
        with_meanings: Option<(&Inference<'_>, f32)>,
        params: &LinearSvmValidParams,
    ) -> Result<OneVsRestSolver, TrainError> {
        let of_all = self.dataset.weights();
        let document_weights: Vec<f32> = documents.iter().map(|&document| of_all[document as usize]).collect();
        let targets = self.targets().select(documents);
        let weights = with_meanings.map_or(learned_weights, |(inference, _)| inference.weights());
        let mut rows = self.counts.rows(documents, weights);
        if with_meanings.is_some() {
            // Words that are only inferred count in the norm, and have no weights of their own.
            rows = rows.retaining(|feature| learned_weights[feature as usize] > 0.0);
        }
        let solver = OneVsRestSolver::new(&rows, &targets, Some(&document_weights), params)?;
        let Some((inference, factor)) = with_meanings else { return Ok(solver) };
        let norms = self.counts.norms(documents, weights);
        Ok(solver.with_dense(inference.dense_rows(documents, &norms), factor)?)
    }
}
