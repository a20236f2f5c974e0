//! What a classifier knows about one of its topics: the terms that speak for and against it, and how good its answers are.

use serde::Serialize;

use crate::classifier::Classifier;
use crate::evaluation::{Evaluation, EvaluationSource, TopicEvaluation};
use crate::known_words::NearestWord;

/// Terms for a topic, and against it, that a description lists when nobody says how many.
pub const DEFAULT_TOPIC_TERMS: usize = 20;
/// Topics that a description names because they are confused with it.
const MAX_CONFUSIONS: usize = 5;

/// A topic as a classifier knows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TopicDescription {
    /// Its name.
    pub topic: String,
    /// The raw score of a document without any known term.
    pub bias: f64,
    /// The raw score above which a document is assigned the topic; `None` where each document has one topic, the most
    /// probable.
    pub threshold: Option<f64>,
    /// The training documents that have it.
    pub n_training_documents: usize,
    /// How good predictions are; `None` when the model doesn't say.
    pub evaluation: Option<TopicEvaluation>,
    /// Of which documents, and by whom.
    pub evaluation_source: EvaluationSource,
    /// The terms that speak most for it, the strongest first.
    pub terms_for: Vec<TopicTerm>,
    /// The terms that speak most against it, the strongest first.
    pub terms_against: Vec<TopicTerm>,
    /// The words that no training document had and that speak most for it by what they mean, the strongest first; none if the classifier
    /// knows no table of words.
    pub nearest_words: Vec<NearestWord>,
    /// The topics that those predictions confused with it most often, the most often first. None where documents have
    /// several topics.
    pub confusions: Vec<Confusion>,
}

/// A term that speaks for a topic or against it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TopicTerm {
    /// One token, or two with a space between, as the vocabulary has them.
    pub term: String,
    /// `tfidf_weight` · `weight`: what one occurrence adds to the topic's raw score before the document's row is brought to
    /// length 1. Above 0: for the topic; below: against it.
    pub strength: f64,
    /// What one occurrence is worth in a document's row before that: the term's TF-IDF weight, above 0.
    pub tfidf_weight: f64,
    /// What one unit of the term's value in a row adds to the topic's raw score.
    pub weight: f64,
}

/// How often two topics were taken for each other by the predictions that the evaluation is of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Confusion {
    /// The other topic.
    pub topic: String,
    /// Documents of the topic described that were assigned the other.
    pub n_lost_to_it: usize,
    /// Documents of the other that were assigned the topic described.
    pub n_taken_from_it: usize,
}

/// Describing.
impl Classifier {
    /// Describes a topic, given its place in [`Self::topics`], with at most `max_terms` terms for it and as many against it.
    /// Looks at every term of the model.
    ///
    /// # Panics
    /// When there is no topic at that place.
    pub fn describe(&self, topic: usize, max_terms: usize) -> TopicDescription {
        let name = self.topics[topic].as_str();
        let evaluation = self.provenance.evaluation.topics.iter().find(|evaluated| evaluated.topic == name);
        let (terms_for, terms_against) = self.strongest_terms(topic, max_terms);
        TopicDescription {
            topic: name.to_owned(),
            bias: self.weights.bias(topic),
            threshold: self.decision_rule.threshold(topic),
            n_training_documents: match self.provenance.n_documents_of_topics.get(topic) {
                Some(&n_documents) => n_documents,
                None => evaluation.map_or(0, |evaluation| evaluation.n_documents),
            },
            evaluation: evaluation.cloned(),
            evaluation_source: self.provenance.evaluation.source,
            terms_for,
            terms_against,
            nearest_words: self.nearest_words(topic).to_vec(),
            confusions: self.confusions(topic),
        }
    }

    /// The terms that speak most for a topic, and those that speak most against it; of equal ones, those with the lower
    /// number.
    fn strongest_terms(&self, topic: usize, max_terms: usize) -> (Vec<TopicTerm>, Vec<TopicTerm>) {
        let tfidf_weights = self.vectorizer.weights();
        let strength = |feature: usize| f64::from(tfidf_weights[feature].get()) * self.weights.weight(feature, topic);
        let all = || (0..self.n_terms()).map(|feature| (feature, strength(feature)));
        let describe = |(feature, strength): (usize, f64)| TopicTerm {
            term: self.vectorizer.vocabulary().term(feature as u32).unwrap_or_default(),
            strength,
            tfidf_weight: f64::from(tfidf_weights[feature].get()),
            weight: self.weights.weight(feature, topic),
        };
        let strongest = |of_side: fn(f64) -> bool| {
            let mut terms: Vec<(usize, f64)> = all().filter(|&(_, strength)| of_side(strength)).collect();
            let by_strength = |a: &(usize, f64), b: &(usize, f64)| b.1.abs().total_cmp(&a.1.abs()).then(a.0.cmp(&b.0));
            if max_terms < terms.len() {
                terms.select_nth_unstable_by(max_terms, by_strength);
                terms.truncate(max_terms);
            }
            terms.sort_by(by_strength);
            terms.into_iter().map(describe).collect()
        };
        (strongest(|strength| strength > 0.0), strongest(|strength| strength < 0.0))
    }

    fn nearest_words(&self, topic: usize) -> &[NearestWord] {
        let known = self.known_words.as_ref().and_then(|known| known.card().nearest_words.get(topic));
        known.map_or(&[], Vec::as_slice)
    }

    fn confusions(&self, topic: usize) -> Vec<Confusion> {
        let Evaluation { confusion_matrix: matrix, topics: evaluated, .. } = &self.provenance.evaluation;
        let count = |label: usize, assigned: usize| matrix.get(label).and_then(|row| row.get(assigned)).copied();
        // Held-out documents may have topics that the classifier doesn't know: places aren't the same in both.
        let name = self.topics[topic].as_str();
        let Some(topic) = evaluated.iter().position(|evaluated| evaluated.topic == name) else { return Vec::new() };
        let confusion = |(other, of_other): (usize, &TopicEvaluation)| Confusion {
            topic: of_other.topic.clone(),
            n_lost_to_it: count(topic, other).unwrap_or(0),
            n_taken_from_it: count(other, topic).unwrap_or(0),
        };
        let others = evaluated.iter().enumerate().filter(|&(other, _)| other != topic).map(confusion);
        let n_confused = |confusion: &Confusion| confusion.n_lost_to_it + confusion.n_taken_from_it;
        let mut confused: Vec<Confusion> = others.filter(|confusion| n_confused(confusion) > 0).collect();
        confused.sort_by_key(|confusion| std::cmp::Reverse(n_confused(confusion)));
        confused.truncate(MAX_CONFUSIONS);
        confused
    }
}
