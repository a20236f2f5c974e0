//! Which labels are suspected to be wrong, by predictions of models that never saw the document.
//!
//! Documents are ranked by how many times as probable another label is as the given one. Unlike the difference of the two,
//! the ratio doesn't rank a document lower whose other probability is shared by topics that are alike: of wrong labels
//! planted at random, more are at the top (`benches/quality/mislabels.py`).
//!
//! For most documents for which another label is more probable, that says only that they are hard. How many labels are
//! wrong is what confident learning estimates (Northcutt, Jiang & Chuang, *Confident Learning: Estimating Uncertainty in
//! Dataset Labels*, JAIR 2021): it counts the documents for which the other label is as probable as it is on average for
//! the documents that have it. So a topic that models are rarely sure of isn't held against its neighbours. As many
//! documents, from the top of the ranking, are suspected.
//!
//! With several topics a document, having and lacking a topic are the two labels, tested for each topic alone; a document
//! is ranked by the topic that is most suspicious.

use std::cmp::Ordering;

use ndarray::ArrayView1;

use super::metrics::Predictions;
use crate::targets::Targets;

/// A document for which another label is more probable than the given one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct UnlikelyLabel {
    /// Its place among the documents.
    pub document: usize,
    /// The topic that it has and perhaps shouldn't have. None: a topic is missing.
    pub given_topic: Option<u32>,
    /// The topic that it hasn't and perhaps should have. None: a topic is one too many.
    pub suggested_topic: Option<u32>,
    /// How probable the label is as given: the probability of the given topic, or 1 minus that of a missing topic.
    pub given_probability: f64,
    /// How probable the suggested label is: the probability of the suggested topic, or 1 minus that of a topic too many.
    pub suggested_probability: f64,
}

impl UnlikelyLabel {
    /// How many times as probable the suggested label is; infinite where the given one is impossible.
    pub fn ratio(&self) -> f64 {
        self.suggested_probability / self.given_probability
    }
}

/// The documents for which another label is more probable than the given one.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LabelRanking {
    /// Most suspicious first: by falling [`UnlikelyLabel::ratio`].
    pub labels: Vec<UnlikelyLabel>,
    /// How many of them, from the first on, are suspected to be wrong. The others may be right, and hard.
    pub n_suspected: usize,
}

impl LabelRanking {
    /// The labels that are suspected to be wrong.
    pub fn suspected(&self) -> &[UnlikelyLabel] {
        &self.labels[..self.n_suspected.min(self.labels.len())]
    }
}

/// Ranks the documents for which another label is more probable than the given one. With `single_label`, each document
/// has one topic, and its first label counts.
///
/// Topics of fewer than `min_documents` are neither doubted nor suggested: what models that learned from two or three
/// documents say is about the topic, not about the document.
pub fn rank_unlikely_labels(
    predictions: &Predictions,
    labels: &Targets,
    single_label: bool,
    min_documents: usize,
) -> LabelRanking {
    let is_known: Vec<bool> = labels.documents_per_topic().iter().map(|&n| n >= min_documents).collect();
    let averages = AverageProbabilities::of(predictions, labels);
    let rows = predictions.probabilities.rows().into_iter().enumerate();
    let unlikely = |(document, row): (usize, ArrayView1<'_, f64>)| {
        if single_label {
            let given = *labels.of(document).first()? as usize;
            other_topic(document, &row, given, &is_known)
        } else {
            let most_doubtful = |topic: usize| having_or_lacking(document, topic, row[topic], labels);
            (0..row.len()).filter(|&topic| is_known[topic]).map(most_doubtful).reduce(more_suspicious)
        }
    };
    let is_unlikely = |label: &UnlikelyLabel| label.suggested_probability > label.given_probability;
    let mut labels: Vec<UnlikelyLabel> = rows.filter_map(unlikely).filter(is_unlikely).collect();
    labels.sort_by(by_suspicion);
    let n_suspected = labels.iter().filter(|label| averages.are_reached_by(label)).count();
    LabelRanking { labels, n_suspected }
}

fn by_suspicion(a: &UnlikelyLabel, b: &UnlikelyLabel) -> Ordering {
    b.ratio().total_cmp(&a.ratio()).then(a.document.cmp(&b.document))
}

/// Of two labels of a document the one that is more suspicious, of equals the first.
fn more_suspicious(a: UnlikelyLabel, b: UnlikelyLabel) -> UnlikelyLabel {
    if b.suggested_probability > a.suggested_probability { b } else { a }
}

/// One topic a document: the most probable other topic against the given one.
fn other_topic(document: usize, row: &ArrayView1<'_, f64>, given: usize, is_known: &[bool]) -> Option<UnlikelyLabel> {
    let others = (0..row.len()).filter(|&topic| topic != given && is_known[topic]);
    let suggested = others.reduce(|best, topic| if row[topic] > row[best] { topic } else { best })?;
    is_known[given].then(|| UnlikelyLabel {
        document,
        given_topic: Some(given as u32),
        suggested_topic: Some(suggested as u32),
        given_probability: row[given],
        suggested_probability: row[suggested],
    })
}

/// Several topics a document: having a topic against lacking it.
fn having_or_lacking(document: usize, topic: usize, probability: f64, labels: &Targets) -> UnlikelyLabel {
    let number = Some(topic as u32);
    if labels.has(document, topic) {
        UnlikelyLabel {
            document,
            given_topic: number,
            suggested_topic: None,
            given_probability: probability,
            suggested_probability: 1.0 - probability,
        }
    } else {
        UnlikelyLabel {
            document,
            given_topic: None,
            suggested_topic: number,
            given_probability: 1.0 - probability,
            suggested_probability: probability,
        }
    }
}

/// For each topic, how probable having it is on average where it is given, and lacking it where it isn't. The bounds of
/// confident learning.
struct AverageProbabilities {
    of_having: Vec<f64>,
    of_lacking: Vec<f64>,
}

impl AverageProbabilities {
    fn of(predictions: &Predictions, labels: &Targets) -> Self {
        let n_having = labels.documents_per_topic();
        let n_documents = labels.n_documents();
        let (mut of_having, mut of_lacking) = (vec![0.0; n_having.len()], vec![0.0; n_having.len()]);
        for (document, row) in predictions.probabilities.rows().into_iter().enumerate() {
            for (sum, &p) in of_lacking.iter_mut().zip(row) {
                *sum += 1.0 - p;
            }
            for &topic in labels.of(document) {
                of_having[topic as usize] += row[topic as usize];
                of_lacking[topic as usize] -= 1.0 - row[topic as usize];
            }
        }
        for (topic, &n_having) in n_having.iter().enumerate() {
            of_having[topic] /= n_having.max(1) as f64;
            of_lacking[topic] /= (n_documents - n_having).max(1) as f64;
        }
        Self { of_having, of_lacking }
    }

    /// Whether the suggested label is as probable as for the documents that have it.
    fn are_reached_by(&self, label: &UnlikelyLabel) -> bool {
        let average = match (label.suggested_topic, label.given_topic) {
            (Some(missing), _) => self.of_having[missing as usize],
            (None, Some(too_many)) => self.of_lacking[too_many as usize],
            (None, None) => return false,
        };
        label.suggested_probability >= average
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, arr2};

    use super::*;

    fn rank(probabilities: Array2<f64>, labels: &[&[u32]], single_label: bool, min: usize) -> LabelRanking {
        let labels = Targets::new(probabilities.ncols(), labels);
        let predictions = Predictions { probabilities, assigned: labels.clone() };
        rank_unlikely_labels(&predictions, &labels, single_label, min)
    }

    fn topics(ranking: &LabelRanking) -> Vec<(usize, Option<u32>, Option<u32>)> {
        ranking.labels.iter().map(|label| (label.document, label.given_topic, label.suggested_topic)).collect()
    }

    #[test]
    fn documents_are_ranked_by_how_many_times_as_probable_another_topic_is() {
        let probabilities =
            arr2(&[[0.9, 0.1, 0.0], [0.1, 0.6, 0.3], [0.05, 0.45, 0.5], [0.2, 0.7, 0.1], [0.0, 0.1, 0.9]]);
        let ranking = rank(probabilities, &[&[0], &[0], &[0], &[1], &[2]], true, 1);
        assert_eq!(topics(&ranking), [(2, Some(0), Some(2)), (1, Some(0), Some(1))]);
        let first = ranking.labels[0];
        assert_eq!((first.given_probability, first.suggested_probability, first.ratio()), (0.05, 0.5, 10.0));
    }

    /// Topic 1 has 0.5, 1 and 0.75 where it is given, 0.75 on average: as much as in one of the documents that lack it.
    #[test]
    fn as_many_are_suspected_as_are_as_probable_as_where_they_are_given() {
        let of_topic_1 = [0.625, 0.6875, 0.75, 0.125, 0.25, 0.5, 1.0, 0.75];
        let probabilities = Array2::from_shape_fn((8, 2), |(document, topic)| match topic {
            0 => 1.0 - of_topic_1[document],
            _ => of_topic_1[document],
        });
        let ranking = rank(probabilities.clone(), &[&[0], &[0], &[0], &[0], &[0], &[1], &[1], &[1]], true, 1);
        assert_eq!(ranking.labels.iter().map(|label| label.document).collect::<Vec<_>>(), [2, 1, 0]);
        assert_eq!(ranking.suspected().iter().map(|label| label.document).collect::<Vec<_>>(), [2]);
        let ranking = rank(probabilities, &[&[0], &[0], &[0], &[0], &[1], &[1], &[1], &[0]], true, 1);
        assert_eq!(ranking.labels.len(), 5);
        assert_eq!(ranking.n_suspected, 5, "{ranking:?}");
    }

    #[test]
    fn equal_ratios_are_ranked_by_document_and_equal_topics_by_number() {
        let ranking = rank(arr2(&[[0.2, 0.4, 0.4]; 3]), &[&[0], &[0], &[1]], true, 0);
        assert_eq!(topics(&ranking), [(0, Some(0), Some(1)), (1, Some(0), Some(1))]);
    }

    #[test]
    fn topics_of_few_documents_are_neither_doubted_nor_suggested() {
        let probabilities =
            arr2(&[[0.1, 0.2, 0.7], [0.1, 0.9, 0.0], [0.9, 0.1, 0.0], [0.8, 0.1, 0.1], [0.2, 0.8, 0.0]]);
        let labels: [&[u32]; 5] = [&[0], &[2], &[0], &[0], &[1]];
        let with_at_least = |min| topics(&rank(probabilities.clone(), &labels, true, min));
        assert_eq!(with_at_least(1), [(1, Some(2), Some(1)), (0, Some(0), Some(2))]);
        assert_eq!(with_at_least(2), [], "only topic 0 has two documents");
    }

    #[test]
    fn of_several_topics_the_most_suspicious_is_one_too_many_or_missing() {
        let probabilities = arr2(&[[0.9, 0.02], [0.95, 0.9], [0.05, 0.1], [0.9, 0.7], [0.04, 0.97]]);
        let ranking = rank(probabilities, &[&[0, 1], &[0], &[], &[0, 1], &[1]], false, 1);
        assert_eq!(topics(&ranking), [(0, Some(1), None), (1, None, Some(1))]);
        let probabilities = ranking.labels.iter().map(|label| (label.given_probability, label.suggested_probability));
        for (found, expected) in probabilities.zip([(0.02, 0.98), (0.1, 0.9)]) {
            assert!((found.0 - expected.0).abs() < 1e-12 && (found.1 - expected.1).abs() < 1e-12, "{found:?}");
        }
        assert_eq!(ranking.n_suspected, 2);
    }

    #[test]
    fn what_is_impossible_comes_first_and_nothing_is_made_of_nothing() {
        let ranking = rank(arr2(&[[1e-9, 1.0], [0.0, 1.0], [0.0, 1.0]]), &[&[0], &[0], &[1]], true, 1);
        assert_eq!(topics(&ranking), [(1, Some(0), Some(1)), (0, Some(0), Some(1))]);
        assert_eq!(rank(Array2::zeros((0, 2)), &[], true, 1), LabelRanking::default());
        assert_eq!(rank(arr2(&[[1.0, 0.0]]), &[&[]], true, 0), LabelRanking::default(), "a document without a label");
    }
}
