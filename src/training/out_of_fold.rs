//! Cross-validation: the scores of each document by models that never saw it, and the C that makes them best.
//!
//! Vocabulary, weights and model are refitted in every fold, from that fold's training documents alone, and the scores
//! come from 8-bit weights, as served. So nothing of a document is in its own score.

use std::num::NonZeroUsize;

use linfa::ParamGuard;
use linfa::traits::PredictInplace;
use ndarray::{Array2, ArrayView1, Axis};
use rayon::prelude::*;

use super::error::TrainError;
use super::progress::{Progress, Stage};
use crate::dataset::{Dataset, LabelKind, cross_validation_folds};
use crate::features::counts::{Postings, TermKind};
use crate::features::weighting::weigh_terms;
use crate::features::{SparseRows, TermCounts};
use crate::linear::{LinearSvmParams, LinearSvmValidParams, OneVsRestSolver};
use crate::targets::Targets;
use crate::training_config::TrainingConfig;

/// Folds of the cross-validation.
const N_FOLDS: usize = 3;
/// C is looked for here, from the smallest on, until one is worse than the one before.
const CANDIDATES: [f32; 5] = [0.25, 0.5, 1.0, 2.0, 4.0];
/// Beyond this many candidates, fits take long: the search goes on only for a gain that is worth it.
const N_ALWAYS_TRIED: usize = 3;
/// That gain, in accuracy or micro-F1.
const MIN_GAIN: f64 = 0.001;
/// Documents under which folds say nothing about C.
const MIN_DOCUMENTS_TO_SEARCH: usize = 30;
/// Held-out documents that tell which C is better: where a fold has as many, C is looked for in the first one alone. What that saves and
/// costs is in docs/decisions.md, "One fold is enough to find C".
const MIN_HELD_OUT_TO_SEARCH: usize = 3_000;
/// What is used when C can't be searched for.
const DEFAULT_C: f32 = 0.5;

/// What cross-validation found.
pub(super) struct OutOfFold {
    /// The C to use.
    pub(super) c: f32,
    /// Documents × topics, by models that never saw the document.
    pub(super) scores: Array2<f64>,
    /// For each document, the share of its tokens (0 to 1) that the vocabulary of models which never saw it has.
    pub(super) known_shares: Vec<f64>,
}

/// Scores every document out of fold, with the C of the settings or the best one found.
pub(super) fn cross_validate(
    dataset: &Dataset,
    counts: &TermCounts,
    postings: &Postings,
    config: &TrainingConfig,
    progress: &dyn Progress,
) -> Result<OutOfFold, TrainError> {
    let folds = cross_validation_folds(dataset, N_FOLDS, config.seed);
    let params = LinearSvmParams::default().balance(config.balance).seed(config.seed).check()?;
    let begin = |fold: usize| {
        let (held_out, training): (Vec<u32>, Vec<u32>) =
            (0..folds.len() as u32).partition(|&document| folds[document as usize] == fold);
        let max_features = config.max_features.map(NonZeroUsize::get);
        let weights = weigh_terms(counts, postings, dataset.targets(), &training, max_features);
        if progress.is_cancelled() {
            return Err(TrainError::Cancelled);
        }
        let solver = solver_of(dataset, counts, &training, &weights, &params)?;
        Ok((Fold::new(dataset, counts, held_out, &weights), solver))
    };
    let begun: Vec<_> = (0..N_FOLDS).into_par_iter().map(begin).collect::<Result<_, TrainError>>()?;
    let (folds, mut solvers): (Vec<Fold>, Vec<OneVsRestSolver>) = begun.into_iter().unzip();
    if progress.is_cancelled() {
        return Err(TrainError::Cancelled);
    }
    let candidates = match config.c {
        Some(c) => vec![c],
        None if dataset.targets().n_documents() < MIN_DOCUMENTS_TO_SEARCH => vec![DEFAULT_C],
        None => CANDIDATES.to_vec(),
    };
    let is_one_enough = candidates.len() > 1 && folds[0].held_out.len() >= MIN_HELD_OUT_TO_SEARCH;
    let n_searched = if is_one_enough { 1 } else { N_FOLDS };
    let (searched, others) = solvers.split_at_mut(n_searched);
    let (c, mut fold_scores) =
        search(searched, &folds[..n_searched], dataset.label_kind(), &candidates, &params, progress)?;
    fold_scores.extend(solve_and_score(others, &folds[n_searched..], c, &params, progress)?);
    let mut scores = Array2::zeros((dataset.targets().n_documents(), dataset.topics().len()));
    for (fold, fold_scores) in folds.iter().zip(&fold_scores) {
        for (&document, row) in fold.held_out.iter().zip(fold_scores.rows()) {
            scores.row_mut(document as usize).assign(&row);
        }
    }
    let mut known_shares = vec![0.0; scores.nrows()];
    for fold in &folds {
        fold.held_out
            .iter()
            .zip(&fold.known_shares)
            .for_each(|(&document, &share)| known_shares[document as usize] = share);
    }
    Ok(OutOfFold { c, scores, known_shares })
}

/// The C of the candidates whose scores are best in these folds, and these scores.
fn search(
    solvers: &mut [OneVsRestSolver],
    folds: &[Fold],
    label_kind: LabelKind,
    candidates: &[f32],
    params: &LinearSvmValidParams,
    progress: &dyn Progress,
) -> Result<(f32, Vec<Array2<f64>>), TrainError> {
    let mut best: Option<(f64, f32, Vec<Array2<f64>>)> = None;
    for (step, &c) in candidates.iter().enumerate() {
        progress.report(Stage::CrossValidation, step as f64 / candidates.len() as f64);
        let scores = solve_and_score(solvers, folds, c, params, progress)?;
        let quality = quality(scores.iter().zip(folds.iter().map(|fold| &fold.held_out_targets)), label_kind);
        let gain = best.as_ref().map_or(f64::INFINITY, |(best, ..)| quality - best);
        if gain > 0.0 {
            best = Some((quality, c, scores));
        }
        if gain < if step + 1 < N_ALWAYS_TRIED { 0.0 } else { MIN_GAIN } {
            break;
        }
    }
    let (_, c, scores) = best.ok_or(TrainError::Cancelled)?;
    Ok((c, scores))
}

/// The scores of what each fold holds out, by its model with this C. A solver goes on from its solution for the C before.
fn solve_and_score(
    solvers: &mut [OneVsRestSolver],
    folds: &[Fold],
    c: f32,
    params: &LinearSvmValidParams,
    progress: &dyn Progress,
) -> Result<Vec<Array2<f64>>, TrainError> {
    let score = |(solver, fold): (&mut OneVsRestSolver, &Fold)| {
        solver.solve(c, params, &|| progress.is_cancelled());
        fold.score_held_out(solver)
    };
    let scores = solvers.par_iter_mut().zip(folds).map(score).collect();
    if progress.is_cancelled() { Err(TrainError::Cancelled) } else { Ok(scores) }
}

/// What learns from some documents, with these weights of terms. Their rows are gone when it is there: it has its own.
fn solver_of(
    dataset: &Dataset,
    counts: &TermCounts,
    documents: &[u32],
    term_weights: &[f32],
    params: &LinearSvmValidParams,
) -> Result<OneVsRestSolver, TrainError> {
    let document_weights = dataset.weights();
    let document_weights: Vec<f32> = documents.iter().map(|&document| document_weights[document as usize]).collect();
    let (rows, targets) = (counts.rows(documents, term_weights), dataset.targets().select(documents));
    Ok(OneVsRestSolver::new(&rows, &targets, Some(&document_weights), params)?)
}

/// What a fold holds out.
struct Fold {
    held_out: Vec<u32>,
    held_out_targets: Targets,
    /// The features that held-out documents hold, and their rows with these for all features.
    held_out_features: Vec<u32>,
    held_out_rows: SparseRows,
    /// For each held-out document, the share of its tokens that the fold's vocabulary has.
    known_shares: Vec<f64>,
}

impl Fold {
    /// With the weights of terms that the fold's other documents give.
    fn new(dataset: &Dataset, counts: &TermCounts, held_out: Vec<u32>, weights: &[f32]) -> Self {
        let known_share = |&document: &u32| {
            let unigrams =
                counts.row(document as usize).take_while(|&(feature, _)| counts.kind(feature) == TermKind::Unigram);
            let (n_known, n_tokens) = unigrams.fold((0, 0), |(n_known, n_tokens), (feature, n)| {
                (n_known + if weights[feature as usize] > 0.0 { n } else { 0 }, n_tokens + n)
            });
            f64::from(n_known) / f64::from(n_tokens.max(1))
        };
        let (held_out_features, held_out_rows) = counts.rows(&held_out, weights).compacted();
        Self {
            known_shares: held_out.iter().map(known_share).collect(),
            held_out_targets: dataset.targets().select(&held_out),
            held_out_features,
            held_out_rows,
            held_out,
        }
    }

    fn score_held_out(&self, solver: &OneVsRestSolver) -> Array2<f64> {
        let weights = solver.quantized_weights_of(&self.held_out_features);
        let mut scores = weights.default_target(&self.held_out_rows);
        weights.predict_inplace(&self.held_out_rows, &mut scores);
        scores
    }
}

/// The topic with the highest score or probability, the first of equals, and what it has.
pub(super) fn highest(row: ArrayView1<'_, f64>) -> (usize, f64) {
    let higher =
        |best: (usize, f64), (topic, &score): (usize, &f64)| if score > best.1 { (topic, score) } else { best };
    row.iter().enumerate().fold((0, f64::NEG_INFINITY), higher)
}

/// What C is chosen by: accuracy of the highest score, or micro-F1 of the scores above 0, over all documents that are given.
fn quality<'a>(scored: impl Iterator<Item = (&'a Array2<f64>, &'a Targets)>, label_kind: LabelKind) -> f64 {
    let (mut n_documents, mut n_right) = (0, 0);
    let (mut n_labels, mut n_hits, mut n_assigned) = (0, 0, 0);
    for (scores, targets) in scored {
        n_documents += scores.nrows();
        n_labels += targets.documents_per_topic().iter().sum::<usize>();
        for (document, row) in scores.axis_iter(Axis(0)).enumerate() {
            n_right += usize::from(targets.of(document).first() == Some(&(highest(row).0 as u32)));
            for (topic, _) in row.iter().enumerate().filter(|&(_, &score)| score > 0.0) {
                n_assigned += 1;
                n_hits += usize::from(targets.has(document, topic));
            }
        }
    }
    match label_kind {
        LabelKind::SingleLabel => n_right as f64 / n_documents.max(1) as f64,
        LabelKind::MultiLabel => 2.0 * n_hits as f64 / (n_assigned + n_labels).max(1) as f64,
    }
}

#[cfg(test)]
mod tests {
    use ndarray::arr2;

    use super::*;
    use crate::document::{Document, LabeledDocument, Topic};
    use crate::training::Silent;

    fn dataset(texts_and_topics: impl IntoIterator<Item = (String, Vec<&'static str>)>) -> Dataset {
        let examples = texts_and_topics.into_iter().map(|(text, topics)| {
            let topics = topics.into_iter().map(|topic| Topic::new(topic).unwrap()).collect();
            LabeledDocument::new(Document::new("", text).unwrap(), topics)
        });
        Dataset::new(examples).unwrap()
    }

    /// Scores of +1 for the topics that are right, turned around for the first documents.
    fn scores(dataset: &Dataset, n_wrong: usize) -> Array2<f64> {
        let sign = |is_right: bool| if is_right { 1.0 } else { -1.0 };
        Array2::from_shape_fn((dataset.targets().n_documents(), dataset.topics().len()), |(document, topic)| {
            sign(dataset.targets().has(document, topic) == (document >= n_wrong))
        })
    }

    #[test]
    fn quality_is_accuracy_or_micro_f1() {
        let single = dataset((0..8).map(|i| (i.to_string(), vec![if i % 2 == 0 { "a" } else { "b" }])));
        let quality = |scores: &Array2<f64>, dataset: &Dataset| {
            quality([(scores, dataset.targets())].into_iter(), dataset.label_kind())
        };
        assert_eq!(quality(&scores(&single, 2), &single), 0.75);
        let several = dataset((0..4).map(|i| (i.to_string(), vec!["a", "b"])).chain([("x".into(), vec!["c"])]));
        assert_eq!(quality(&scores(&several, 0), &several), 1.0);
        assert_eq!(quality(&arr2(&[[1.0, -1.0, -1.0]; 5]), &several), 2.0 * 4.0 / (5.0 + 9.0));
        assert_eq!(quality(&arr2(&[[-1.0; 3]; 5]), &several), 0.0);
    }

    /// Every document has a word of its own and a number that its topic follows from, so a model that saw a document
    /// scores it otherwise than one that didn't.
    #[test]
    fn scores_are_those_of_models_that_never_saw_the_document() {
        let document = |i: usize| {
            let topic = if i.is_multiple_of(3) { "a" } else { "b" };
            (format!("own{i} w{} w{}", i % 5, i % 7), vec![topic])
        };
        let before = dataset((0..40).map(document));
        let counts = TermCounts::of(&before.documents(), false);
        let config = TrainingConfig { c: Some(1.0), ..TrainingConfig::default() };
        let found = cross_validate(&before, &counts, &counts.postings(), &config, &Silent).unwrap();
        assert_eq!(found.c, 1.0);

        let folds = cross_validation_folds(&before, N_FOLDS, config.seed);
        for fold in 0..N_FOLDS {
            let all = 0..folds.len() as u32;
            let (held_out, training): (Vec<u32>, Vec<u32>) = all.partition(|&d| folds[d as usize] == fold);
            let texts: Vec<&Document> = training.iter().map(|&d| before.documents()[d as usize]).collect();
            let alone = TermCounts::of(&texts, false);
            let targets = before.targets().select(&training);
            let places: Vec<u32> = (0..training.len() as u32).collect();
            let weights = weigh_terms(&alone, &alone.postings(), &targets, &places, None);
            let params = LinearSvmParams::default().check().unwrap();
            let mut solver = OneVsRestSolver::new(&alone.rows(&places, &weights), &targets, None, &params).unwrap();
            solver.solve(1.0, &params, &crate::cancellation::never);
            let model = solver.weights().quantize(&(0..alone.n_features() as u32).collect::<Vec<_>>());

            let number_of = |term: String| (0..alone.n_features() as u32).find(|&feature| alone.term(feature) == term);
            for document in held_out {
                let numbered = counts.row(document as usize).filter_map(|(f, n)| Some((number_of(counts.term(f))?, n)));
                let numbered: Vec<(u32, u32)> = numbered.collect();
                let mut builder = crate::features::sparse::RowBuilder::default();
                let row = builder.build(numbered.into_iter(), |feature| weights[feature as usize]);
                let mut expected = Vec::new();
                model.score(row, &mut expected);
                for (score, expected) in found.scores.row(document as usize).iter().zip(expected) {
                    assert!((score - expected).abs() < 1e-6, "{score} instead of {expected}");
                }
            }
        }
    }

    /// Folds that take no part in the search are fitted once, with what was found.
    #[test]
    fn where_c_is_found_in_one_fold_the_others_are_fitted_with_it() {
        let document =
            |i: usize| (format!("w{} w{} w{i}", i % 5, i % 7), vec![if i.is_multiple_of(3) { "a" } else { "b" }]);
        let dataset = dataset((0..N_FOLDS * MIN_HELD_OUT_TO_SEARCH + 2).map(document));
        let counts = TermCounts::of(&dataset.documents(), false);
        let with = |c| {
            let config = TrainingConfig { c, ..TrainingConfig::default() };
            cross_validate(&dataset, &counts, &counts.postings(), &config, &Silent).unwrap()
        };
        let searched = with(None);
        let given = with(Some(searched.c));
        let folds = cross_validation_folds(&dataset, N_FOLDS, TrainingConfig::default().seed);
        for (document, fold) in folds.into_iter().enumerate() {
            let [searched, given] = [&searched, &given].map(|found| found.scores.row(document));
            let distance = searched.iter().zip(given).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(distance <= if fold == 0 { 0.2 } else { 0.0 }, "{distance} in fold {fold}");
        }
    }
}
