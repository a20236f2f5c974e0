//! A trained classifier: everything between a document and its answer, immutable and shared by all threads.

use std::collections::HashMap;
use std::num::NonZeroUsize;

use ndarray::Array2;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::abstention::{Abstention, AbstentionOptions, Decision};
use crate::calibration::Calibrator;
use crate::cancellation::{IsCancelled, never};
use crate::dataset::LabelKind;
use crate::decision::{DecisionRule, Probability};
use crate::document::{Document, LabeledDocument, Topic};
use crate::drift::Distributions;
use crate::evaluation::{Evaluation, EvaluationSource, Predictions, TestSet};
use crate::explanation::{self, Explain, MAX_SPANS, TopicExplanation};
use crate::features::vectorizer::RowScratch;
use crate::features::{DocumentStats, Vectorizer};
use crate::known_words::{KnownLanguage, KnownWords};
use crate::linear::QuantizedWeights;
use crate::targets::Targets;
use crate::text::{Span, TermHash};
use crate::training_config::TrainingConfig;

/// What to answer.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ClassifyOptions {
    /// At most this many topics; `None`: all.
    pub top_k: Option<NonZeroUsize>,
    /// Topics less probable than this are left out, except the most probable one.
    pub min_probability: Probability,
    /// What has to be so that topics are assigned, where that isn't what training found.
    pub abstention: AbstentionOptions,
    /// Which topics' raw scores are explained.
    pub explain: Explain,
    /// Terms that an explanation lists one by one; `None`: [`DEFAULT_MAX_TERMS`].
    pub max_terms: Option<NonZeroUsize>,
}

/// Terms that an explanation lists when the options don't say.
pub const DEFAULT_MAX_TERMS: usize = 10;

/// One topic's claim to a document.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TopicScore {
    /// The topic's place in [`Classifier::topics`].
    pub topic: usize,
    /// The calibrated probability, from 0 to 1.
    pub probability: f64,
    /// The linear model's score before calibration.
    pub raw_score: f64,
    /// Whether the decision gives the document this topic.
    pub assigned: bool,
}

/// The answer to one document.
#[derive(Debug, Clone, PartialEq)]
pub struct Classification {
    /// By falling probability, then by topic; never empty.
    pub topics: Vec<TopicScore>,
    /// Whether topics were assigned.
    pub decision: Decision,
    /// What was seen of the document.
    pub stats: DocumentStats,
    /// Why the topics that the options name have their raw scores; in the order of `topics`.
    pub explanations: Vec<TopicExplanation>,
}

/// Where a classifier comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// The version of topicd that trained it.
    pub software_version: String,
    /// The documents that it was trained on.
    pub n_documents: usize,
    /// How many of them have each topic, in the topics' order; empty where nothing was held out: the evaluation, which is of
    /// them, says it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub n_documents_of_topics: Vec<usize>,
    /// The documents that were held out, to be measured on.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub n_held_out: usize,
    /// XXH3-128 over the content hashes and topics of the training documents and of the held-out ones, as hexadecimal digits.
    pub dataset_hash: String,
    /// What training was told.
    pub config: TrainingConfig,
    /// The C that was used.
    pub c: f32,
    /// How good its answers to the held-out documents are; if there are none, how good the training documents' out-of-fold
    /// predictions were. It says which.
    pub evaluation: Evaluation,
    /// How the training documents were answered by models that never saw them, for what is served later to be compared with.
    /// Models of the time before it was kept don't have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<Distributions>,
    /// The way of training: raised whenever the same documents and settings give other bytes. 0: of the time before it was counted.
    #[serde(default, skip_serializing_if = "is_no_recipe")]
    pub recipe: u32,
    /// XXH3-64 of the table of words that training was given, as hexadecimal digits, whether it was of use or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub words_table: Option<String>,
}

impl Provenance {
    /// Whether what was counted of its documents can be of so many.
    fn has_valid_counts(&self, n_topics: usize) -> bool {
        let n_documents = self.n_documents.checked_add(self.n_held_out);
        n_documents.is_some_and(|n_documents| self.evaluation.is_valid(n_documents))
            && self.reference.as_ref().is_none_or(|reference| reference.is_valid(n_topics, self.n_documents))
    }
}

/// A model without held-out documents has the bytes that it had before there were any.
fn is_zero(n: &usize) -> bool {
    *n == 0
}

fn is_no_recipe(recipe: &u32) -> bool {
    *recipe == 0
}

/// Vectorizer, linear model, calibration, decision rule and topics, checked to fit each other.
#[derive(Debug, Clone)]
pub struct Classifier {
    pub(crate) topics: Vec<Topic>,
    pub(crate) label_kind: LabelKind,
    pub(crate) vectorizer: Vectorizer,
    pub(crate) weights: QuantizedWeights,
    pub(crate) calibrator: Calibrator,
    pub(crate) decision_rule: DecisionRule,
    pub(crate) abstention: Abstention,
    pub(crate) known_words: Option<KnownWords>,
    pub(crate) provenance: Provenance,
}

/// Buffers that classifying needs, to be used again for the next document; one a thread.
#[derive(Debug, Default)]
pub struct ClassifyScratch {
    row: RowScratch,
    scores: Vec<f64>,
    probabilities: Vec<f64>,
}

impl Classifier {
    /// Itself; `None` when its parts don't fit each other.
    pub(crate) fn if_consistent(self) -> Option<Self> {
        let n_topics = self.topics.len();
        let fits = n_topics >= 2
            && self.topics.is_sorted_by(|a, b| a < b)
            && self.weights.n_topics() == n_topics
            && self.weights.n_features() == self.vectorizer.vocabulary().len()
            && self.calibrator.is_valid(n_topics)
            && self.decision_rule.is_valid(n_topics)
            && self.abstention.is_valid()
            && self.known_words.as_ref().is_none_or(|known| known.n_topics() == n_topics)
            && self.provenance.has_valid_counts(n_topics);
        fits.then_some(self)
    }

    /// The topics, sorted.
    pub fn topics(&self) -> &[Topic] {
        &self.topics
    }

    /// Whether documents have one topic or any number.
    pub fn label_kind(&self) -> LabelKind {
        self.label_kind
    }

    /// The way from a document to its row.
    pub fn vectorizer(&self) -> &Vectorizer {
        &self.vectorizer
    }

    /// The way from a row to the raw scores.
    pub fn weights(&self) -> &QuantizedWeights {
        &self.weights
    }

    /// The number of terms that it learned weights for.
    pub fn n_terms(&self) -> usize {
        self.vectorizer.vocabulary().n_learned()
    }

    /// The number of words that no training document had and whose weights follow from their meanings.
    pub fn n_inferred_words(&self) -> usize {
        self.vectorizer.vocabulary().len() - self.n_terms()
    }

    /// What it keeps of a table of words, if that made it better.
    pub fn known_words(&self) -> Option<&KnownWords> {
        self.known_words.as_ref()
    }

    /// Whether a word, as a token's normalised bytes, is one of the terms.
    pub fn knows_word(&self, normalized: &[u8]) -> bool {
        let vocabulary = self.vectorizer.vocabulary();
        vocabulary.feature(TermHash::unigram(normalized, vocabulary.seed())).is_some()
    }

    /// What a document has to have so that topics are assigned to it.
    pub fn abstention(&self) -> &Abstention {
        &self.abstention
    }

    /// Where it comes from.
    pub fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    /// Classifies one document. The same document gets the same answer, to the bit, whatever was classified before.
    pub fn classify(
        &self,
        document: &Document,
        options: &ClassifyOptions,
        scratch: &mut ClassifyScratch,
    ) -> Classification {
        let stats = self.vectorizer.vectorize(document, &mut scratch.row);
        self.weights.score(scratch.row.row(), &mut scratch.scores);
        self.calibrator.probabilities(&scratch.scores, &mut scratch.probabilities);
        let mut topics: Vec<TopicScore> = scratch
            .scores
            .iter()
            .zip(&scratch.probabilities)
            .enumerate()
            .map(|(topic, (&raw_score, &probability))| TopicScore { topic, probability, raw_score, assigned: false })
            .collect();
        topics.sort_by(|a, b| b.probability.total_cmp(&a.probability).then(a.topic.cmp(&b.topic)));
        let has_known_terms = !scratch.row.row().features.is_empty();
        let probability = |place: usize| topics.get(place).map_or(0.0, |score| score.probability);
        let lead = (probability(0), probability(1));
        let language_fit = match &self.known_words {
            Some(known_words) if self.abstention.asks_for_language(stats) => {
                Some(self.language_fit(known_words, document, stats, &mut scratch.row))
            }
            _ => None,
        };
        let decision =
            self.abstention.decide(document, stats, has_known_terms, lead, language_fit, &options.abstention);
        if decision == Decision::Assigned {
            for (place, score) in topics.iter_mut().enumerate() {
                score.assigned = self.decision_rule.assigns(score.topic, score.raw_score, place == 0);
            }
        }
        let n_wanted = options.top_k.map_or(topics.len(), NonZeroUsize::get);
        let n_probable = topics.partition_point(|score| score.probability >= options.min_probability.get());
        topics.truncate(n_wanted.min(n_probable).max(1));
        let explanations = self.explain(document, &topics, options, &mut scratch.row);
        Classification { topics, decision, stats, explanations }
    }

    /// Of the language in which most of a document's tokens are known, their share against what is usual there. Learned words
    /// that the table doesn't have count for each language of the training documents.
    fn language_fit(
        &self,
        known_words: &KnownWords,
        document: &Document,
        stats: DocumentStats,
        scratch: &mut RowScratch,
    ) -> f64 {
        let languages = &known_words.card().languages;
        let is_learned = |language: &KnownLanguage| self.abstention.languages.contains(&language.iso639_3);
        let of_training =
            (0..).zip(languages).map(|(place, language)| u16::from(is_learned(language)) << place).sum::<u16>();
        let vocabulary = self.vectorizer.vocabulary();
        let (n_unigrams, n_learned) = (vocabulary.n_unigrams(), vocabulary.n_learned());
        let mut n_known = [0usize; u16::BITS as usize];
        self.vectorizer.for_each_occurrence(document, scratch, |feature, _, _| {
            let bits: u16 = match feature as usize {
                unigram if unigram < n_unigrams => match known_words.languages(unigram) {
                    0 => of_training,
                    of_table => of_table,
                },
                learned if learned < n_learned => return,
                inferred => known_words.languages(n_unigrams + inferred - n_learned),
            };
            n_known.iter_mut().enumerate().for_each(|(place, n)| *n += usize::from(bits >> place & 1));
        });
        // By the tokens alone: in languages of which the table has little, a few Latin letters would be much.
        let best = languages.iter().zip(n_known).rev().max_by_key(|&(_, n_known)| n_known);
        best.map_or(0.0, |(language, n_known)| n_known as f64 / (stats.n_tokens as f64 * language.coverage))
    }

    /// Explains raw scores of the document whose row was made last.
    fn explain(
        &self,
        document: &Document,
        topics: &[TopicScore],
        options: &ClassifyOptions,
        scratch: &mut RowScratch,
    ) -> Vec<TopicExplanation> {
        let n_topics = match options.explain {
            Explain::Nothing => return Vec::new(),
            Explain::TopTopic => 1,
            Explain::ReturnedTopics => topics.len(),
        };
        let max_terms = options.max_terms.map_or(DEFAULT_MAX_TERMS, NonZeroUsize::get);
        let explain = |score: &TopicScore| {
            let weights = (&self.weights, self.known_words.as_ref());
            explanation::explain(score.topic, scratch.row(), &self.vectorizer, weights, max_terms)
        };
        let (mut explanations, features): (Vec<TopicExplanation>, Vec<Vec<u32>>) =
            topics.iter().take(n_topics).map(explain).unzip();
        // Where the listed terms stand, found in one pass for all topics.
        let mut places: HashMap<u32, Places> =
            features.iter().flatten().map(|&feature| (feature, Places::default())).collect();
        let n_learned = self.vectorizer.vocabulary().n_learned();
        self.vectorizer.for_each_occurrence(document, scratch, |feature, span, token| {
            let Some(places) = places.get_mut(&feature) else { return };
            places.n_occurrences += 1;
            if places.spans.len() < MAX_SPANS {
                places.spans.extend(span);
            }
            // The vocabulary has no strings of words that are only inferred.
            if feature as usize >= n_learned && places.word.is_empty() {
                places.word = String::from_utf8_lossy(token).into_owned();
            }
        });
        for (explanation, features) in explanations.iter_mut().zip(&features) {
            for (term, feature) in explanation.terms.iter_mut().zip(features) {
                let Some(places) = places.get(feature) else { continue };
                (term.n_occurrences, term.spans) = (places.n_occurrences, places.spans.clone());
                if !places.word.is_empty() {
                    term.term.clone_from(&places.word);
                }
            }
        }
        explanations
    }
}

/// Where a document holds a term.
#[derive(Debug, Default)]
struct Places {
    n_occurrences: usize,
    spans: Vec<Span>,
    /// The term, if the vocabulary doesn't have its string.
    word: String,
}

/// Measuring: what would be assigned if there were no abstaining, because metrics compare classifiers, not how shy they are.
impl Classifier {
    /// How good the classifier's answers to labelled documents are. Topics that it doesn't know count as never right.
    /// Documents without a topic are left out where each document has one. The documents are taken for held-out ones: that it
    /// wasn't trained on them is for the caller to know.
    pub fn evaluate(&self, examples: &[LabeledDocument]) -> Evaluation {
        self.evaluate_unless(examples, &never)
    }

    /// [`Self::evaluate`]; means nothing when it was cancelled.
    pub fn evaluate_unless(&self, examples: &[LabeledDocument], is_cancelled: IsCancelled<'_>) -> Evaluation {
        let single_label = self.label_kind == LabelKind::SingleLabel;
        let TestSet { examples, topics, labels } = TestSet::new(examples, &self.topics, single_label);
        let own_numbers: Vec<usize> = self.topics.iter().filter_map(|topic| topics.binary_search(topic).ok()).collect();
        let mut probabilities = Array2::zeros((examples.len(), topics.len()));
        let rows = probabilities.as_slice_mut().unwrap_or_default().par_chunks_mut(topics.len());
        let assigned = rows.zip(&examples).map_init(ClassifyScratch::default, |scratch, (row, example)| {
            if is_cancelled() {
                return Vec::new();
            }
            let classification = self.classify(&example.document, &ClassifyOptions::default(), scratch);
            for score in &classification.topics {
                row[own_numbers[score.topic]] = score.probability;
            }
            self.assigned_in(&classification)
        });
        let assigned = Targets::new(self.topics.len(), assigned.collect::<Vec<_>>());
        let predictions = Predictions { probabilities, assigned: assigned.among(&self.topics, &topics) };
        let evaluation = Evaluation::of(&predictions, &labels, &topics, single_label);
        self.with_thresholds(Evaluation { source: EvaluationSource::HeldOut, ..evaluation })
    }

    /// An evaluation in which each topic of the classifier's has its threshold. Topics of labels that it doesn't know have none.
    pub(crate) fn with_thresholds(&self, mut evaluation: Evaluation) -> Evaluation {
        for of_topic in &mut evaluation.topics {
            let place = self.topics.binary_search_by(|topic| topic.as_str().cmp(&of_topic.topic));
            of_topic.threshold = place.ok().and_then(|topic| self.decision_rule.threshold(topic));
        }
        evaluation
    }

    /// The topics that the classifier assigns to documents, by place in [`Self::topics`]. Means nothing when it was
    /// cancelled.
    pub fn assigned_unless(&self, documents: &[&Document], is_cancelled: IsCancelled<'_>) -> Targets {
        let assigned = documents.par_iter().map_init(ClassifyScratch::default, |scratch, document| {
            if is_cancelled() {
                return Vec::new();
            }
            self.assigned_in(&self.classify(document, &ClassifyOptions::default(), scratch))
        });
        Targets::new(self.topics.len(), assigned.collect::<Vec<_>>())
    }

    /// The topics that an answer with all topics assigns, sorted.
    fn assigned_in(&self, answer: &Classification) -> Vec<u32> {
        let assigns = |&(place, score): &(usize, &TopicScore)| {
            self.decision_rule.assigns(score.topic, score.raw_score, place == 0)
        };
        let assigned = answer.topics.iter().enumerate().filter(assigns);
        let mut numbers: Vec<u32> = assigned.map(|(_, score)| score.topic as u32).collect();
        numbers.sort_unstable();
        numbers
    }
}
