//! Cross-validation: the scores of each document by models that never saw it, the C that makes them best, and how much what words mean should count.
//!
//! Vocabulary, weights and model are refitted in every fold, from that fold's training documents alone, and the scores
//! come from 8-bit weights, as served. So nothing of a document is in its own score.

use linfa::ParamGuard;
use ndarray::{Array2, ArrayView1, Axis};
use rayon::prelude::*;

use super::error::TrainError;
use super::learning::Learning;
use super::part::Part;
use super::progress::{Progress, Stage};
use crate::calibration::smallest_log_loss;
use crate::dataset::{LabelKind, cross_validation_folds};
use crate::linear::{LinearSvmParams, LinearSvmValidParams};
use crate::targets::Targets;

/// Folds of the cross-validation.
const N_FOLDS: usize = 3;
/// Up to so many documents, more folds cost nothing, and are closer to the truth: of 8 documents of a topic, models of three folds see five,
/// and what words mean counts for more with five than with eight.
const FEW_DOCUMENTS: usize = 1500;
/// Their folds.
const N_FOLDS_OF_FEW: usize = 10;
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

/// What meanings count beside rows is looked for here, from the smallest on, until one is worse than the one before.
const MEANING_FACTORS: [f32; 5] = [0.125, 0.25, 0.5, 0.75, 1.0];
/// The same where there are documents enough to learn most words from, and each fit takes long.
const MEANING_FACTORS_OF_MANY: [f32; 2] = [0.25, 0.5];
/// The second of them is tried where the first gains so much, in accuracy or micro-F1.
const MIN_GAIN_TO_GO_ON: f64 = 0.01;
/// Where meanings count, C may be smaller.
const SMALLER_C: f32 = 0.125;
/// What a nat of log loss counts against quality when few documents tell what meanings should count.
const LOSS_SHARE: f64 = 0.1;
/// What counting meanings must gain, in accuracy or micro-F1: a model without any is smaller.
const MIN_GAIN_OF_MEANINGS: f64 = 0.003;

/// What cross-validation found.
pub(super) struct OutOfFold {
    /// The C to use.
    pub(super) c: f32,
    /// What meanings count beside rows; 0: nothing.
    pub(super) meaning_factor: f32,
    /// Documents × topics, by models that never saw the document.
    pub(super) scores: Array2<f64>,
    /// For each document, the share of its tokens (0 to 1) that a model knows which never saw it.
    pub(super) known_shares: Vec<f64>,
}

/// Scores every document out of fold, with the C of the settings or the best one found, and with what words mean if that is better.
pub(super) fn cross_validate(learning: &Learning<'_>, progress: &dyn Progress) -> Result<OutOfFold, TrainError> {
    let Learning { dataset, config, .. } = learning;
    let is_of_few = dataset.targets().n_documents() <= FEW_DOCUMENTS;
    let n_folds = if is_of_few { N_FOLDS_OF_FEW } else { N_FOLDS };
    let folds = cross_validation_folds(dataset, n_folds, config.seed);
    let params = LinearSvmParams::default().balance(config.balance).seed(config.seed).check()?;
    let begin = |fold: usize, meaning_factor: f32| {
        let (held_out, training): (Vec<u32>, Vec<u32>) =
            (0..folds.len() as u32).partition(|&document| folds[document as usize] == fold);
        if progress.is_cancelled() {
            return Err(TrainError::Cancelled);
        }
        Part::new(learning, held_out, training, meaning_factor, &params)
    };
    let begin_all = |folds: std::ops::Range<usize>, meaning_factor: f32| {
        let parts = folds.into_par_iter().map(|fold| begin(fold, meaning_factor));
        parts.collect::<Result<Vec<Part<'_>>, TrainError>>()
    };
    let candidates = match config.c {
        Some(c) => vec![c],
        None if dataset.targets().n_documents() < MIN_DOCUMENTS_TO_SEARCH => vec![DEFAULT_C],
        None => CANDIDATES.to_vec(),
    };
    let has_choice = candidates.len() > 1 || learning.words.is_some();
    let is_one_enough = folds.len().div_ceil(n_folds) >= MIN_HELD_OUT_TO_SEARCH && has_choice;
    let n_searched = if is_one_enough { 1 } else { n_folds };
    let search = Search { label_kind: dataset.label_kind(), is_of_few, params: &params, progress };
    let mut parts = begin_all(0..n_searched, 0.0)?;
    let mut found = search.best_c(&mut parts, &candidates)?;
    // Nothing can be gained where all is right.
    if learning.words.is_some() && found.quality + MIN_GAIN_OF_MEANINGS <= 1.0 {
        let mut with_meanings = begin_all(0..n_searched, MEANING_FACTORS[0])?;
        if let Some(best) = search.best_meaning_factor(&mut with_meanings, &found, &candidates)? {
            (parts, found) = (with_meanings, best);
        }
    }
    let mut others = begin_all(n_searched..n_folds, found.meaning_factor)?;
    found.scores.extend(search.solve_and_score(&mut others, found.c)?);
    parts.extend(others);
    let mut scores = Array2::zeros((dataset.targets().n_documents(), dataset.topics().len()));
    let mut known_shares = vec![0.0; scores.nrows()];
    for (part, part_scores) in parts.iter().zip(&found.scores) {
        let of_part = part.held_out.iter().zip(part_scores.rows()).zip(part.known_shares());
        for ((&document, row), known_share) in of_part {
            scores.row_mut(document as usize).assign(&row);
            known_shares[document as usize] = known_share;
        }
    }
    Ok(OutOfFold { c: found.c, meaning_factor: found.meaning_factor, scores, known_shares })
}

/// Settings of the learner, and what they give on what parts hold out.
struct Found {
    c: f32,
    meaning_factor: f32,
    /// Accuracy or micro-F1.
    quality: f64,
    /// What meanings are chosen by, the larger the better: the quality, and of few documents, whose quality has much of chance, log loss besides.
    preference: f64,
    scores: Vec<Array2<f64>>,
}

/// How settings are looked for.
struct Search<'a> {
    label_kind: LabelKind,
    /// Whether there are at most [`FEW_DOCUMENTS`].
    is_of_few: bool,
    params: &'a LinearSvmValidParams,
    progress: &'a dyn Progress,
}

impl Search<'_> {
    /// The C of the candidates whose scores are best in these parts.
    fn best_c(&self, parts: &mut [Part<'_>], candidates: &[f32]) -> Result<Found, TrainError> {
        let mut best: Option<Found> = None;
        for (step, &c) in candidates.iter().enumerate() {
            self.progress.report(Stage::CrossValidation, 0.5 * step as f64 / candidates.len() as f64);
            let found = self.measure(parts, c, 0.0)?;
            let gain = best.as_ref().map_or(f64::INFINITY, |best| found.quality - best.quality);
            if gain > 0.0 {
                best = Some(found);
            }
            if gain < if step + 1 < N_ALWAYS_TRIED { 0.0 } else { MIN_GAIN } {
                break;
            }
        }
        best.ok_or(TrainError::Cancelled)
    }

    /// What meanings are to count, if that is better than what was found without them; with the same C, and, of few
    /// documents, another one if that is better still.
    fn best_meaning_factor(
        &self,
        parts: &mut [Part<'_>],
        without: &Found,
        candidates: &[f32],
    ) -> Result<Option<Found>, TrainError> {
        let mut best: Option<Found> = None;
        let factors = if self.is_of_few { &MEANING_FACTORS[..] } else { &MEANING_FACTORS_OF_MANY };
        for (step, &factor) in factors.iter().enumerate() {
            self.progress.report(Stage::CrossValidation, 0.5 + 0.5 * step as f64 / factors.len() as f64);
            parts.iter_mut().for_each(|part| part.set_meaning_factor(factor));
            let found = self.measure(parts, without.c, factor)?;
            let gain = best.as_ref().map_or(f64::INFINITY, |best| found.preference - best.preference);
            let over_none = found.quality - without.quality;
            if gain > 0.0 {
                best = Some(found);
            }
            if gain < 0.0 || (!self.is_of_few && over_none < MIN_GAIN_TO_GO_ON) {
                break;
            }
        }
        let Some(mut best) = best else { return Ok(None) };
        if self.is_of_few {
            parts.iter_mut().for_each(|part| part.set_meaning_factor(best.meaning_factor));
            // What the caller gave stays.
            let smaller = if candidates.len() > 1 { &[SMALLER_C][..] } else { &[] };
            for &c in smaller.iter().chain(candidates).filter(|&&c| c != without.c) {
                let found = self.measure(parts, c, best.meaning_factor)?;
                if found.preference > best.preference {
                    best = found;
                }
            }
        }
        // What is left in the parts needn't be the best.
        parts.iter_mut().for_each(|part| part.set_meaning_factor(best.meaning_factor));
        Ok((best.quality >= without.quality + MIN_GAIN_OF_MEANINGS).then_some(best))
    }

    fn measure(&self, parts: &mut [Part<'_>], c: f32, meaning_factor: f32) -> Result<Found, TrainError> {
        let scores = self.solve_and_score(parts, c)?;
        let quality = quality(scores.iter().zip(parts.iter().map(|part| &part.held_out_targets)), self.label_kind);
        let has_loss = self.is_of_few && self.label_kind == LabelKind::SingleLabel;
        let loss = if has_loss { log_loss(scores.iter().zip(parts.iter())) } else { 0.0 };
        let preference = quality - LOSS_SHARE * loss;
        Ok(Found { c, meaning_factor, quality, preference, scores })
    }

    /// The scores of what each part holds out, by its model with this C. A solver goes on from its last solution.
    fn solve_and_score(&self, parts: &mut [Part<'_>], c: f32) -> Result<Vec<Array2<f64>>, TrainError> {
        let is_cancelled = || self.progress.is_cancelled();
        let solve_and_score = |part: &mut Part<'_>| part.solve_and_score(c, self.params, &is_cancelled);
        let scores = parts.par_iter_mut().map(solve_and_score).collect();
        if self.progress.is_cancelled() { Err(TrainError::Cancelled) } else { Ok(scores) }
    }
}

/// The log loss a document of scores at the temperature that is best for them.
fn log_loss<'a>(scored: impl Iterator<Item = (&'a Array2<f64>, &'a Part<'a>)>) -> f64 {
    let (mut scores, mut labels) = (Vec::new(), Vec::new());
    for (of_part, part) in scored {
        for (document, row) in of_part.rows().into_iter().enumerate() {
            scores.push(row);
            labels.push(part.held_out_targets.of(document).first().map_or(0, |&topic| topic as usize));
        }
    }
    ndarray::stack(Axis(0), &scores).map_or(f64::INFINITY, |scores| smallest_log_loss(&scores, &labels))
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
    use crate::dataset::Dataset;
    use crate::document::{Document, LabeledDocument, Topic};
    use crate::features::TermCounts;
    use crate::features::weighting::weigh_terms;
    use crate::linear::OneVsRestSolver;
    use crate::training::Silent;
    use crate::training_config::TrainingConfig;

    /// By documents alone.
    fn cross_validated(dataset: &Dataset, counts: &TermCounts, config: &TrainingConfig) -> OutOfFold {
        let postings = &counts.postings();
        let learning = Learning { dataset, counts, postings, words: None, config };
        cross_validate(&learning, &Silent).unwrap()
    }

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
        let found = cross_validated(&before, &counts, &config);
        assert_eq!(found.c, 1.0);

        let folds = cross_validation_folds(&before, N_FOLDS_OF_FEW, config.seed);
        for fold in 0..N_FOLDS_OF_FEW {
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
            cross_validated(&dataset, &counts, &config)
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
