//! Training, top to bottom: count terms → out-of-fold scores → probabilities and decision, beside them the final fit → evaluation.

use std::num::NonZeroUsize;

use linfa::ParamGuard;
use ndarray::{Array2, ArrayView1, Axis};
use xxhash_rust::xxh3::Xxh3;
use zerocopy::little_endian::F32;

use super::error::TrainError;
use super::out_of_fold::{OutOfFold, cross_validate};
use super::progress::{Progress, Stage};
use super::reference::reference;
use crate::abstention::Abstention;
use crate::calibration::Calibrator;
use crate::cancellation::IsCancelled;
use crate::classifier::{Classifier, Provenance};
use crate::dataset::{Dataset, LabelKind};
use crate::decision::DecisionRule;
use crate::document::{ContentHash, DocumentWeight, Topic};
use crate::evaluation::{Evaluation, Predictions};
use crate::features::counts::{Postings, TermKind};
use crate::features::weighting::weigh_terms;
use crate::features::{TermCounts, Vectorizer, Vocabulary};
use crate::linear::{LinearSvmParams, OneVsRestSolver, QuantizedWeights};
use crate::packed::Packed;
use crate::targets::Targets;
use crate::training_config::TrainingConfig;

/// A training's result.
#[derive(Debug)]
pub struct Trained {
    /// Fitted on all training documents.
    pub classifier: Classifier,
    /// What models that never saw a training document say about it; documents and topics in the dataset's order. The
    /// classifier's evaluation is made of these if no documents were held out.
    pub out_of_fold: Predictions,
}

/// Trains a classifier on the training documents of a dataset. Its evaluation is of its answers to the held-out documents; if
/// there are none, of out-of-fold predictions. Probabilities, thresholds and abstention are from out-of-fold predictions in
/// any case, so that held-out documents have no say in what they measure. The same dataset and settings give the same
/// classifier, to the bit, on any number of threads.
///
/// # Errors
/// [`TrainError`]; cancelling is one.
pub fn train(dataset: &Dataset, config: &TrainingConfig, progress: &dyn Progress) -> Result<Trained, TrainError> {
    config.check()?;
    progress.report(Stage::CountingTerms, 0.0);
    let counts = TermCounts::of_unless(&dataset.documents(), config.character_ngrams, &|| progress.is_cancelled());
    if progress.is_cancelled() {
        return Err(TrainError::Cancelled);
    }
    if counts.n_features() == 0 {
        return Err(TrainError::NoTerms);
    }
    let postings = counts.postings();
    let out_of_fold = cross_validate(dataset, &counts, &postings, config, progress)?;
    progress.report(Stage::Calibration, 0.0);
    // Neither needs the other, and fitting a few blocks of topics alone leaves threads idle.
    let (answer, fitted) = rayon::join(
        || {
            let answer = Answer::fit(&out_of_fold, dataset, config, &|| progress.is_cancelled());
            progress.report(Stage::FinalFit, 0.0);
            answer
        },
        || {
            let term_weights = weigh_all(dataset, &counts, &postings, config);
            let fitted = fit_all(dataset, &counts, &term_weights, config, out_of_fold.c, progress);
            fitted.map(|(vectorizer, weights)| (term_weights, vectorizer, weights))
        },
    );
    let (term_weights, vectorizer, weights) = fitted?;
    if progress.is_cancelled() {
        return Err(TrainError::Cancelled);
    }
    let Answer { calibrator, decision_rule, abstention, predictions } = answer;
    let single_label = dataset.label_kind() == LabelKind::SingleLabel;
    let evaluation = Evaluation::of(&predictions, dataset.targets(), dataset.topics(), single_label);
    let reference = reference(&predictions, &counts, &postings, &term_weights);
    let provenance = Provenance {
        software_version: env!("CARGO_PKG_VERSION").to_owned(),
        n_documents: dataset.targets().n_documents(),
        n_documents_of_topics: Vec::new(),
        n_held_out: 0,
        dataset_hash: dataset_hash(dataset),
        config: config.clone(),
        c: out_of_fold.c,
        evaluation,
        reference: Some(reference),
    };
    let classifier = Classifier {
        topics: dataset.topics().to_vec(),
        label_kind: dataset.label_kind(),
        vectorizer,
        weights,
        calibrator,
        decision_rule,
        abstention,
        provenance,
    };
    let classifier = evaluate_held_out(classifier.if_consistent().ok_or(TrainError::Inconsistent)?, dataset);
    progress.report(Stage::FinalFit, 1.0);
    Ok(Trained { classifier, out_of_fold: predictions })
}

/// The classifier with an evaluation on the held-out documents, if there are any, and with each topic's threshold in it.
fn evaluate_held_out(mut classifier: Classifier, dataset: &Dataset) -> Classifier {
    let held_out = dataset.held_out();
    if held_out.is_empty() {
        let out_of_fold = classifier.provenance.evaluation.clone();
        classifier.provenance.evaluation = classifier.with_thresholds(out_of_fold);
    } else {
        classifier.provenance.evaluation = classifier.evaluate(held_out);
        classifier.provenance.n_held_out = held_out.len();
        classifier.provenance.n_documents_of_topics = dataset.targets().documents_per_topic();
    }
    classifier
}

/// What turns scores into answers, and the answers to the documents.
struct Answer {
    calibrator: Calibrator,
    decision_rule: DecisionRule,
    abstention: Abstention,
    predictions: Predictions,
}

impl Answer {
    fn fit(out_of_fold: &OutOfFold, dataset: &Dataset, config: &TrainingConfig, is_cancelled: IsCancelled<'_>) -> Self {
        let (calibrator, decision_rule, predictions) = fit_answer(&out_of_fold.scores, dataset, is_cancelled);
        let mut abstention = Abstention::default().with_usual(&dataset.documents(), &out_of_fold.known_shares);
        if dataset.label_kind() == LabelKind::SingleLabel {
            abstention =
                abstention.with_thresholds(&predictions.probabilities, dataset.targets(), config.selective_accuracy);
        }
        Self { calibrator, decision_rule, abstention, predictions }
    }
}

/// What turns scores into answers, and the answers to these scores by what was fitted on others.
fn fit_answer(
    scores: &Array2<f64>,
    dataset: &Dataset,
    is_cancelled: IsCancelled<'_>,
) -> (Calibrator, DecisionRule, Predictions) {
    let targets = dataset.targets();
    match dataset.label_kind() {
        LabelKind::SingleLabel => {
            let (calibrator, probabilities) = Calibrator::fit_single_label_unless(scores, targets, is_cancelled);
            let most_probable = |row: ArrayView1<'_, f64>| {
                [row.iter().enumerate().fold(0, |best, (topic, p)| if *p > row[best] { topic } else { best }) as u32]
            };
            let assigned = Targets::new(targets.n_topics(), probabilities.rows().into_iter().map(most_probable));
            (calibrator, DecisionRule::MostProbable, Predictions { probabilities, assigned })
        }
        LabelKind::MultiLabel => {
            let predictions = cross_fit_multi_label(scores, targets);
            let rule = DecisionRule::fit_thresholds(scores, targets);
            (Calibrator::fit_multi_label(scores, targets), rule, predictions)
        }
    }
}

/// Answers to each half of the documents by calibration and thresholds that were fitted on the other half.
fn cross_fit_multi_label(scores: &Array2<f64>, targets: &Targets) -> Predictions {
    let n_documents = scores.nrows();
    let mut probabilities = Array2::zeros(scores.dim());
    let mut assigned = vec![Vec::new(); n_documents];
    for half in 0..2 {
        let (fit, held_out): (Vec<usize>, Vec<usize>) = (0..n_documents).partition(|document| document % 2 != half);
        let fit_scores = scores.select(Axis(0), &fit);
        let fit_targets = targets.select(&fit.iter().map(|&document| document as u32).collect::<Vec<_>>());
        let rule = DecisionRule::fit_thresholds(&fit_scores, &fit_targets);
        let calibrator = Calibrator::fit_multi_label(&fit_scores, &fit_targets);
        let held_out_probabilities = calibrator.probabilities_of_rows(&scores.select(Axis(0), &held_out));
        for (&document, row) in held_out.iter().zip(held_out_probabilities.rows()) {
            let is_assigned = |&topic: &usize| rule.assigns(topic, scores[(document, topic)], false);
            assigned[document] = (0..row.len()).filter(is_assigned).map(|topic| topic as u32).collect();
            probabilities.row_mut(document).assign(&row);
        }
    }
    Predictions { probabilities, assigned: Targets::new(targets.n_topics(), &assigned) }
}

/// The weight of each term, from all training documents; 0 if it is none of the vocabulary's.
fn weigh_all(dataset: &Dataset, counts: &TermCounts, postings: &Postings, config: &TrainingConfig) -> Vec<f32> {
    let max_features = config.max_features.map(NonZeroUsize::get);
    weigh_terms(counts, postings, dataset.targets(), &all_documents(dataset), max_features)
}

fn all_documents(dataset: &Dataset) -> Vec<u32> {
    (0..dataset.targets().n_documents() as u32).collect()
}

/// Vocabulary and model from all training documents.
fn fit_all(
    dataset: &Dataset,
    counts: &TermCounts,
    weights: &[f32],
    config: &TrainingConfig,
    c: f32,
    progress: &dyn Progress,
) -> Result<(Vectorizer, QuantizedWeights), TrainError> {
    let records = counts.rows(&all_documents(dataset), weights);
    let params = LinearSvmParams::default().c(c).balance(config.balance).seed(config.seed).check()?;
    let mut solver = OneVsRestSolver::new(&records, dataset.targets(), Some(&dataset.weights()), &params)?;
    let kept: Vec<u32> = (0..counts.n_features() as u32).filter(|&feature| weights[feature as usize] > 0.0).collect();
    if kept.is_empty() {
        return Err(TrainError::NoTerms);
    }
    // The solver has a thread to spare for the vocabulary whenever it fits the last block of topics.
    let (_, vectorizer) =
        rayon::join(|| solver.solve(c, &params, &|| progress.is_cancelled()), || vectorizer(counts, &kept, weights));
    if progress.is_cancelled() {
        return Err(TrainError::Cancelled);
    }
    Ok((vectorizer?, solver.quantized_weights_of(&kept)))
}

/// With the terms that are kept, and their weights.
fn vectorizer(counts: &TermCounts, kept: &[u32], weights: &[f32]) -> Result<Vectorizer, TrainError> {
    let terms = |kind: TermKind| {
        let of_kind = kept.iter().filter(|&&feature| counts.kind(feature) == kind);
        of_kind.map(|&feature| counts.term(feature)).collect::<Vec<String>>()
    };
    let [unigrams, bigrams, character_ngrams] =
        [TermKind::Unigram, TermKind::Bigram, TermKind::CharacterNgram].map(terms);
    let vocabulary = Vocabulary::new(&unigrams, &bigrams, &character_ngrams)?;
    let kept_weights: Vec<F32> = kept.iter().map(|&feature| F32::new(weights[feature as usize])).collect();
    Vectorizer::new(vocabulary, Packed::from_values(&kept_weights)).ok_or(TrainError::Inconsistent)
}

/// Identifies documents, labels, weights and which documents are held out, whatever order they came in.
pub(super) fn dataset_hash(dataset: &Dataset) -> String {
    let mut hasher = Xxh3::new();
    for (document, hash) in dataset.content_hashes().enumerate() {
        let topics = dataset.targets().of(document).iter().map(|&topic| &dataset.topics()[topic as usize]);
        hash_example(&mut hasher, hash, topics);
    }
    // Where all documents weigh the same or none is held out, the hash is the one of the time before there was either.
    let weights = dataset.weights();
    if weights.iter().any(|&weight| weight != DocumentWeight::default().get()) {
        hasher.update(b"weights");
        weights.iter().for_each(|weight| hasher.update(&weight.to_le_bytes()));
    }
    if !dataset.held_out().is_empty() {
        hasher.update(b"held out");
        for example in dataset.held_out() {
            hash_example(&mut hasher, example.document.content_hash(), example.topics().iter());
        }
    }
    format!("{:032x}", hasher.digest128())
}

fn hash_example<'a>(hasher: &mut Xxh3, hash: ContentHash, topics: impl Iterator<Item = &'a Topic>) {
    hasher.update(&hash.0);
    for topic in topics.map(Topic::as_str) {
        hasher.update(&(topic.len() as u64).to_le_bytes());
        hasher.update(topic.as_bytes());
    }
    hasher.update(&u64::MAX.to_le_bytes());
}
