//! Which terms made a raw score, and where they stand in the document.
//!
//! A raw score is a sum: bias + Σ over the row's terms of value · weight. So its explanation is exact: the largest summands
//! one by one, the others added up.

use crate::features::{SparseRow, Vectorizer};
use crate::known_words::KnownWords;
use crate::linear::QuantizedWeights;
use crate::text::Span;

/// Places of one term that are given; there may be more.
pub const MAX_SPANS: usize = 100;

/// Which topics are explained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Explain {
    /// None.
    #[default]
    Nothing,
    /// The most probable one.
    TopTopic,
    /// Every one that is returned.
    ReturnedTopics,
}

/// Why a topic has the raw score that it has: `bias` + the terms' contributions + `remainder`.
#[derive(Debug, Clone, PartialEq)]
pub struct TopicExplanation {
    /// The topic's place in the classifier's topics.
    pub topic: usize,
    /// The score of a document without any known term.
    pub bias: f64,
    /// The terms that contribute most, for or against, the largest contribution first.
    pub terms: Vec<TermContribution>,
    /// The contributions of all other terms of the document, added up; exactly 0 when all are listed.
    pub remainder: f64,
    /// How many other terms there are.
    pub n_other_terms: usize,
}

/// What one term of the document adds to a topic's raw score.
#[derive(Debug, Clone, PartialEq)]
pub struct TermContribution {
    /// One token, or two with a space between, as the vocabulary has them. Of a word that is only inferred, [`crate::classifier::Classifier`] fills it in from the document.
    pub term: String,
    /// `tfidf` · `weight`.
    pub contribution: f64,
    /// The term's value in the document's row, from 0 to 1.
    pub tfidf: f64,
    /// What one unit of the term's value adds to the topic's score.
    pub weight: f64,
    /// The part of the contribution that follows from the word's meaning, not from documents that hold it ([`crate::words`]): all of it for a word that
    /// no training document had, 0 for a term that the table of words doesn't have.
    pub inferred_contribution: f64,
    /// Whether no training document taught the term: it is known from the table of words alone.
    pub is_inferred: bool,
    /// How often the document holds it.
    pub n_occurrences: usize,
    /// Where: the first [`MAX_SPANS`] places. A pair of which the title ends with one token and the text begins with the
    /// other has none there.
    pub spans: Vec<Span>,
}

/// Splits a row's score for a topic into its summands; `max_terms` of them one by one, without their places.
///
/// Contributions of equal size are ordered by term number, and all sums run in the order of the terms, so that the same
/// row has the same explanation, to the bit.
pub fn explain(
    topic: usize,
    row: SparseRow<'_>,
    vectorizer: &Vectorizer,
    (weights, known_words): (&QuantizedWeights, Option<&KnownWords>),
    max_terms: usize,
) -> (TopicExplanation, Vec<u32>) {
    let contribution = |(feature, value): (usize, f32)| f64::from(value) * weights.weight(feature, topic);
    let mut order: Vec<(u32, f32, f64)> =
        row.iter().map(|(feature, value)| (feature as u32, value, contribution((feature, value)))).collect();
    order.sort_by(|a, b| b.2.abs().total_cmp(&a.2.abs()).then(a.0.cmp(&b.0)));
    let mut others = order.split_off(max_terms.min(order.len()));
    others.sort_by_key(|&(feature, ..)| feature);
    let features = order.iter().map(|&(feature, ..)| feature).collect();
    let n_learned = vectorizer.vocabulary().n_learned();
    let term = |(feature, value, contribution): (u32, f32, f64)| {
        let is_inferred = feature as usize >= n_learned;
        let inferred_weight = known_words.map_or(0.0, |known| known.inferred_weight(feature as usize, topic));
        TermContribution {
            term: vectorizer.vocabulary().term(feature).unwrap_or_default(),
            contribution,
            tfidf: f64::from(value),
            weight: weights.weight(feature as usize, topic),
            inferred_contribution: if is_inferred { contribution } else { f64::from(value) * inferred_weight },
            is_inferred,
            n_occurrences: 0,
            spans: Vec::new(),
        }
    };
    let explanation = TopicExplanation {
        topic,
        bias: weights.bias(topic),
        terms: order.into_iter().map(term).collect(),
        // From 0.0 on: the sum of nothing is -0.0.
        remainder: others.iter().fold(0.0, |sum, &(_, _, contribution)| sum + contribution),
        n_other_terms: others.len(),
    };
    (explanation, features)
}
