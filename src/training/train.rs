//! Training, top to bottom: count terms → out-of-fold scores → probabilities and decision, beside them the final fit → evaluation.

use std::sync::OnceLock;

use linfa::ParamGuard;
use ndarray::{Array2, ArrayView1, Axis};
use xxhash_rust::xxh3::Xxh3;
use zerocopy::little_endian::F32;

use super::error::TrainError;
use super::inference::Inference;
use super::learning::{Learning, Words};
use super::out_of_fold::{OutOfFold, cross_validate};
use super::progress::{Progress, Stage};
use super::reference::reference;
use crate::abstention::{Abstention, languages_of};
use crate::calibration::Calibrator;
use crate::cancellation::IsCancelled;
use crate::classifier::{Classifier, Provenance};
use crate::dataset::{Dataset, LabelKind};
use crate::decision::DecisionRule;
use crate::document::{ContentHash, DocumentWeight, Topic};
use crate::evaluation::{Evaluation, Predictions};
use crate::features::counts::TermKind;
use crate::features::{TermCounts, Vectorizer, Vocabulary};
use crate::known_words::KnownWords;
use crate::linear::{LinearSvmParams, QuantizedWeights};
use crate::packed::Packed;
use crate::targets::Targets;
use crate::training_config::TrainingConfig;
use crate::words::WordTable;

/// A training's result.
#[derive(Debug)]
pub struct Trained {
    /// Fitted on all training documents.
    pub classifier: Classifier,
    /// What models that never saw a training document say about it; documents and topics in the dataset's order. The
    /// classifier's evaluation is made of these if no documents were held out.
    pub out_of_fold: Predictions,
}

/// The way of training: to be raised with whatever makes other bytes of the same documents and settings.
pub(super) const RECIPE: u32 = 1;

/// Trains a classifier on the training documents of a dataset, and, if the settings allow it, on what the words of a table mean. Its evaluation is of its answers to the held-out documents; if
/// there are none, of out-of-fold predictions. Probabilities, thresholds and abstention are from out-of-fold predictions in
/// any case, so that held-out documents have no say in what they measure. The same dataset and settings give the same
/// classifier, to the bit, on any number of threads.
///
/// # Errors
/// [`TrainError`]; cancelling is one.
pub fn train(
    dataset: &Dataset,
    config: &TrainingConfig,
    words: Option<&WordTable>,
    progress: &dyn Progress,
) -> Result<Trained, TrainError> {
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
    let words = words.filter(|_| config.words);
    let languages = languages_of(&dataset.documents());
    let (counts, postings) = (&counts, &postings);
    let words_of = |table| Words { table, languages: &languages, meanings: OnceLock::new() };
    let learning = Learning { dataset, counts, postings, words: words.map(words_of), config };
    let out_of_fold = cross_validate(&learning, progress)?;
    progress.report(Stage::Calibration, 0.0);
    // Neither needs the other, and fitting a few blocks of topics alone leaves threads idle.
    let (answer, fitted) = rayon::join(
        || {
            let answer = Answer::fit(&out_of_fold, dataset, languages.clone(), config, &|| progress.is_cancelled());
            progress.report(Stage::FinalFit, 0.0);
            answer
        },
        || {
            let term_weights = learning.weigh_terms(&all_documents(dataset));
            let fitted = fit_all(&learning, &term_weights, &out_of_fold, progress);
            fitted.map(|model| (term_weights, model))
        },
    );
    let (term_weights, Model { vectorizer, weights, known_words }) = fitted?;
    if progress.is_cancelled() {
        return Err(TrainError::Cancelled);
    }
    let Answer { calibrator, decision_rule, abstention, predictions } = answer;
    let single_label = dataset.label_kind() == LabelKind::SingleLabel;
    let evaluation = Evaluation::of(&predictions, dataset.targets(), dataset.topics(), single_label);
    let reference = reference(&predictions, &learning, &term_weights, known_words.is_some());
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
        recipe: RECIPE,
        words_table: words.map(|table| format!("{:016x}", table.checksum())),
    };
    let classifier = Classifier {
        topics: dataset.topics().to_vec(),
        label_kind: dataset.label_kind(),
        vectorizer,
        weights,
        calibrator,
        decision_rule,
        abstention,
        known_words,
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
    fn fit(
        out_of_fold: &OutOfFold,
        dataset: &Dataset,
        languages: Vec<String>,
        config: &TrainingConfig,
        is_cancelled: IsCancelled<'_>,
    ) -> Self {
        let (calibrator, decision_rule, predictions) = fit_answer(&out_of_fold.scores, dataset, is_cancelled);
        let mut abstention = Abstention::default().with_usual(&out_of_fold.known_shares, languages);
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

fn all_documents(dataset: &Dataset) -> Vec<u32> {
    (0..dataset.targets().n_documents() as u32).collect()
}

/// What answers: from all training documents.
struct Model {
    vectorizer: Vectorizer,
    weights: QuantizedWeights,
    known_words: Option<KnownWords>,
}

fn fit_all(
    learning: &Learning<'_>,
    term_weights: &[f32],
    out_of_fold: &OutOfFold,
    progress: &dyn Progress,
) -> Result<Model, TrainError> {
    let (config, c) = (learning.config, out_of_fold.c);
    let documents = all_documents(learning.dataset);
    let params = LinearSvmParams::default().c(c).balance(config.balance).seed(config.seed).check()?;
    let factor = out_of_fold.meaning_factor;
    let inference = if factor > 0.0 { learning.inference(&documents, term_weights) } else { None };
    let with_meanings = inference.as_ref().map(|inference| (inference, factor));
    let mut solver = learning.solver(&documents, term_weights, with_meanings, &params)?;
    let n_features = learning.counts.n_features() as u32;
    let kept: Vec<u32> = (0..n_features).filter(|&feature| term_weights[feature as usize] > 0.0).collect();
    if kept.is_empty() {
        return Err(TrainError::NoTerms);
    }
    // The solver has a thread to spare for the vocabulary whenever it fits the last block of topics.
    let (_, vocabulary) = rayon::join(
        || solver.solve(c, &params, &|| progress.is_cancelled()),
        || ModelTerms::choose(learning.counts, &kept, term_weights, inference.as_ref()),
    );
    if progress.is_cancelled() {
        return Err(TrainError::Cancelled);
    }
    let ModelTerms { vectorizer, inferred_words } = vocabulary?;
    let Some(inference) = inference else {
        return Ok(Model { vectorizer, weights: solver.quantized_weights_of(&kept), known_words: None });
    };
    let (weights, known_words) = inference.model(&solver, factor, &kept, &inferred_words, &vectorizer);
    Ok(Model { vectorizer, weights, known_words: Some(known_words.ok_or(TrainError::Inconsistent)?) })
}

/// The terms that a model has, with their weights.
struct ModelTerms {
    vectorizer: Vectorizer,
    /// The last of them: words that aren't learned, by their numbers in the table.
    inferred_words: Vec<u32>,
}

impl ModelTerms {
    /// The terms that are kept, and the words of the table that are none of them.
    fn choose(
        counts: &TermCounts,
        kept: &[u32],
        weights: &[f32],
        inference: Option<&Inference<'_>>,
    ) -> Result<Self, TrainError> {
        let terms = |kind: TermKind| {
            let of_kind = kept.iter().filter(|&&feature| counts.kind(feature) == kind);
            of_kind.map(|&feature| counts.term(feature)).collect::<Vec<String>>()
        };
        let [unigrams, bigrams, character_ngrams] =
            [TermKind::Unigram, TermKind::Bigram, TermKind::CharacterNgram].map(terms);
        let inferred_words = inference.map_or_else(Vec::new, |inference| inference.words_other_than(kept));
        let strings: Vec<&str> = inference
            .map_or_else(Vec::new, |inference| inferred_words.iter().map(|&word| inference.word(word)).collect());
        let vocabulary = Vocabulary::with_inferred(&unigrams, &bigrams, &character_ngrams, &strings)?;
        let learned = kept.iter().map(|&feature| weights[feature as usize]);
        let inferred = inference.into_iter().flat_map(|inference| {
            inferred_words.iter().map(|&word| inference.weight_of_word(word)).collect::<Vec<f32>>()
        });
        let weights: Vec<F32> = learned.chain(inferred).map(F32::new).collect();
        let vectorizer = Vectorizer::new(vocabulary, Packed::from_values(&weights)).ok_or(TrainError::Inconsistent)?;
        Ok(Self { vectorizer, inferred_words })
    }
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
