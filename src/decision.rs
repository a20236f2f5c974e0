//! Scores → which topics are assigned. When none should be is [`crate::abstention`]'s matter.

use serde::{Deserialize, Serialize};

use crate::targets::Targets;

/// Documents of a topic at which its own threshold and the one of all topics count the same.
const SHRINKAGE: f64 = 10.0;

/// A probability as a caller may give it: a number from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Probability(f64);

/// A number that is no [`Probability`].
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("{0} is no number from 0 to 1")]
pub struct ProbabilityError(pub f64);

impl TryFrom<f64> for Probability {
    type Error = ProbabilityError;

    fn try_from(value: f64) -> Result<Self, ProbabilityError> {
        Self::new(value).ok_or(ProbabilityError(value))
    }
}

impl From<Probability> for f64 {
    fn from(probability: Probability) -> Self {
        probability.0
    }
}

impl Probability {
    /// `None` for NaN and for anything outside 0 to 1.
    pub fn new(value: f64) -> Option<Self> {
        (0.0..=1.0).contains(&value).then_some(Self(value))
    }

    /// The number.
    pub fn get(self) -> f64 {
        self.0
    }
}

/// How topics are assigned to a document with usable text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "rule", rename_all = "snake_case")]
pub enum DecisionRule {
    /// One topic a document: the most probable.
    MostProbable,
    /// Several topics a document: each whose raw score is above its threshold.
    Thresholds {
        /// One a topic.
        thresholds: Vec<f64>,
    },
}

impl DecisionRule {
    /// The thresholds that are best on out-of-fold scores (documents × topics): each topic's own maximises its F1,
    /// and is drawn towards the one that maximises the F1 of all topics together by n / (n + 10), n the topic's
    /// documents. Without that, topics of few documents get thresholds that only fit these.
    pub fn fit_thresholds(scores: &ndarray::Array2<f64>, targets: &Targets) -> Self {
        let of_topic = |topic: usize| {
            scores
                .column(topic)
                .iter()
                .enumerate()
                .map(|(d, &score)| (score, targets.has(d, topic)))
                .collect::<Vec<_>>()
        };
        let common = best_threshold((0..scores.ncols()).flat_map(of_topic).collect());
        let thresholds = targets.documents_per_topic().into_iter().enumerate().map(|(topic, n_documents)| {
            let trust = n_documents as f64 / (n_documents as f64 + SHRINKAGE);
            trust * best_threshold(of_topic(topic)) + (1.0 - trust) * common
        });
        Self::Thresholds { thresholds: thresholds.collect() }
    }

    /// Whether a topic is assigned; `is_most_probable` says whether no other topic is more probable.
    pub fn assigns(&self, topic: usize, raw_score: f64, is_most_probable: bool) -> bool {
        match self {
            Self::MostProbable => is_most_probable,
            Self::Thresholds { thresholds } => thresholds.get(topic).is_some_and(|&threshold| raw_score > threshold),
        }
    }

    /// The raw score that a topic must be above to be assigned; `None` where the most probable topic is assigned.
    pub fn threshold(&self, topic: usize) -> Option<f64> {
        match self {
            Self::MostProbable => None,
            Self::Thresholds { thresholds } => thresholds.get(topic).copied(),
        }
    }

    /// Whether it fits `n_topics` topics and all its numbers are usable.
    pub(crate) fn is_valid(&self, n_topics: usize) -> bool {
        match self {
            Self::MostProbable => true,
            Self::Thresholds { thresholds } => {
                thresholds.len() == n_topics && thresholds.iter().all(|threshold| threshold.is_finite())
            }
        }
    }
}

/// The score above which calling documents positive has the largest F1; between the scores of two documents, and 0
/// when there is no positive one.
fn best_threshold(mut scored: Vec<(f64, bool)>) -> f64 {
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(b.1.cmp(&a.1)));
    let n_positive = scored.iter().filter(|(_, positive)| *positive).count();
    let (mut n_right, mut best_f1, mut threshold) = (0, 0.0, 0.0);
    for (index, &(score, positive)) in scored.iter().enumerate() {
        n_right += usize::from(positive);
        let next = scored.get(index + 1).map_or(score - 1.0, |next| next.0);
        let f1 = 2.0 * n_right as f64 / (index + 1 + n_positive) as f64;
        if next < score && f1 > best_f1 {
            (best_f1, threshold) = (f1, 0.5 * (score + next));
        }
    }
    threshold
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probability_is_from_0_to_1() {
        assert_eq!(Probability::new(0.25).map(Probability::get), Some(0.25));
        assert!([f64::NAN, -0.1, 1.1, f64::INFINITY].into_iter().all(|value| Probability::new(value).is_none()));
    }

    #[test]
    fn the_threshold_lies_where_f1_is_largest() {
        let scored = vec![(0.9, true), (0.7, true), (0.4, false), (0.2, true), (-1.0, false), (-1.0, false)];
        // Above 0.55: precision 1, recall 2/3, F1 0.8. Above -0.4: precision 3/4, recall 1, F1 6/7.
        assert!((best_threshold(scored) - -0.4).abs() < 1e-12);
        assert_eq!(best_threshold(vec![(0.3, false)]), 0.0);
        // No threshold separates documents of equal score.
        assert!(best_threshold(vec![(0.5, true), (0.5, false), (0.1, false)]) < 0.5);
    }
}
