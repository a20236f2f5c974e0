//! Two classifiers on the same labelled documents: which is better, and whether that may be chance.

use serde::Serialize;

use super::mcnemar::mcnemar_p_value;
use super::metrics::{TopicEvaluation, accuracy, average_f1, evaluate_topics};
use crate::document::Topic;
use crate::targets::Targets;

/// What two classifiers make of the same labelled documents.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// The labelled documents.
    pub n_documents: usize,
    /// How good the first classifier is.
    pub first: ComparedMetrics,
    /// How good the second classifier is.
    pub second: ComparedMetrics,
    /// Documents that only the first assigned exactly the right topics.
    pub n_only_first_right: usize,
    /// Documents that only the second assigned exactly the right topics.
    pub n_only_second_right: usize,
    /// How probable so uneven a split of these two, or a more uneven one, would be if neither were better: from 0 to 1. See
    /// [`mcnemar_p_value`].
    pub p_value: f64,
    /// Each topic that one of them or a label has, in the order given.
    pub topics: Vec<TopicComparison>,
    /// The places of the documents that the two assigned different topics, rising.
    #[serde(skip)]
    pub differing: Vec<usize>,
}

/// Metrics of one of two classifiers, as in [`Evaluation`](super::Evaluation).
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ComparedMetrics {
    /// The share of documents that were assigned exactly their labels, from 0 to 1.
    pub accuracy: f64,
    /// The harmonic mean of precision and recall over all (document, topic) pairs, from 0 to 1.
    pub micro_f1: f64,
    /// The mean of the topics' F1, over topics that are labels or were assigned by this classifier, from 0 to 1.
    pub macro_f1: f64,
}

/// What two classifiers make of one topic.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TopicComparison {
    /// The topic's name.
    pub topic: String,
    /// Documents that have it.
    pub n_documents: usize,
    /// The first's F1, from 0 to 1; 0 when no document has the topic or was assigned it.
    pub first_f1: f64,
    /// The second's F1, likewise.
    pub second_f1: f64,
    /// Documents that have it and that only the second assigned it.
    pub n_gained: usize,
    /// Documents that have it and that only the first assigned it.
    pub n_lost: usize,
}

impl Comparison {
    /// Compares what two classifiers assigned with the labels; all three number topics as `topics` does, where a topic that
    /// one of the classifiers doesn't have is one that it never assigns.
    pub fn of(first: &Targets, second: &Targets, labels: &Targets, topics: &[Topic]) -> Self {
        let documents = || 0..labels.n_documents();
        let is_right = |assigned: &Targets, document| assigned.of(document) == labels.of(document);
        let count = |right: &Targets, wrong: &Targets| {
            documents().filter(|&document| is_right(right, document) && !is_right(wrong, document)).count()
        };
        let (n_only_first_right, n_only_second_right) = (count(first, second), count(second, first));
        let (of_first, first_topics) = measure(first, labels, topics);
        let (of_second, second_topics) = measure(second, labels, topics);
        let (n_lost, n_gained) = (hits_of_one(first, second, labels), hits_of_one(second, first, labels));
        let mut compared = Vec::with_capacity(topics.len());
        for (number, topic) in topics.iter().enumerate() {
            compared.push(TopicComparison {
                topic: topic.to_string(),
                n_documents: first_topics[number].n_documents,
                first_f1: first_topics[number].f1,
                second_f1: second_topics[number].f1,
                n_gained: n_gained[number],
                n_lost: n_lost[number],
            });
        }
        Self {
            n_documents: labels.n_documents(),
            first: of_first,
            second: of_second,
            n_only_first_right,
            n_only_second_right,
            p_value: mcnemar_p_value(n_only_first_right as u64, n_only_second_right as u64),
            topics: compared,
            differing: documents().filter(|&document| first.of(document) != second.of(document)).collect(),
        }
    }
}

fn measure(assigned: &Targets, labels: &Targets, topics: &[Topic]) -> (ComparedMetrics, Vec<TopicEvaluation>) {
    let topics = evaluate_topics(assigned, labels, topics);
    let (micro_f1, macro_f1) = average_f1(&topics);
    (ComparedMetrics { accuracy: accuracy(assigned, labels), micro_f1, macro_f1 }, topics)
}

/// For each topic, the documents that have it, were assigned it by one, and not by the other.
fn hits_of_one(one: &Targets, other: &Targets, labels: &Targets) -> Vec<usize> {
    let mut n_hits = vec![0; labels.n_topics()];
    for document in 0..labels.n_documents() {
        let is_hit = |topic: &&u32| one.of(document).contains(topic) && !other.of(document).contains(topic);
        labels.of(document).iter().filter(is_hit).for_each(|&topic| n_hits[topic as usize] += 1);
    }
    n_hits
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Five documents, three topics; the second classifier doesn't have topic 2.
    ///
    /// | document | label | first | second |
    /// |----------|-------|-------|--------|
    /// | 0        | 0     | 0     | 0      |
    /// | 1        | 0     | 1     | 0      |
    /// | 2        | 1     | 1     | 0      |
    /// | 3        | 2     | 2     | 1      |
    /// | 4        | 2     | 0     | 1      |
    #[test]
    fn a_comparison_is_the_one_made_by_hand() {
        let topics = ["a", "b", "c"].map(|name| Topic::new(name).unwrap());
        let targets = |rows: [u32; 5]| Targets::new(3, rows.map(|topic| [topic]));
        let labels = targets([0, 0, 1, 2, 2]);
        let comparison = Comparison::of(&targets([0, 1, 1, 2, 0]), &targets([0, 0, 0, 1, 1]), &labels, &topics);
        assert_eq!((comparison.n_documents, comparison.differing.as_slice()), (5, &[1, 2, 3, 4][..]));
        assert_eq!((comparison.n_only_first_right, comparison.n_only_second_right), (2, 1));
        assert_eq!(comparison.p_value, 1.0); // 2 of 3 or worse, either way: certain
        assert_eq!((comparison.first.accuracy, comparison.second.accuracy), (0.6, 0.4));
        let counts: Vec<_> =
            comparison.topics.iter().map(|t| (&*t.topic, t.n_documents, t.n_gained, t.n_lost)).collect();
        assert_eq!(counts, [("a", 2, 1, 0), ("b", 1, 0, 1), ("c", 2, 0, 1)]);
        let f1 = |f1: fn(&TopicComparison) -> f64| comparison.topics.iter().map(f1).collect::<Vec<_>>();
        let is_close = |seen: &[f64], expected: &[f64]| seen.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12);
        // 2 · hits / (labelled + assigned).
        assert!(is_close(&f1(|topic| topic.first_f1), &[2.0 / 4.0, 2.0 / 3.0, 2.0 / 3.0]), "{comparison:?}");
        assert!(is_close(&f1(|topic| topic.second_f1), &[4.0 / 5.0, 0.0, 0.0]), "{comparison:?}");
        assert!(is_close(&[comparison.second.macro_f1, comparison.second.micro_f1], &[0.8 / 3.0, 0.4]));
    }

    #[test]
    fn a_document_of_several_topics_is_right_when_all_are() {
        let topics = ["a", "b"].map(|name| Topic::new(name).unwrap());
        let labels = Targets::new(2, [vec![0, 1], vec![], vec![0]]);
        let first = Targets::new(2, [vec![0], vec![], vec![0]]);
        let second = Targets::new(2, [vec![0, 1], vec![1], vec![0]]);
        let comparison = Comparison::of(&first, &second, &labels, &topics);
        assert_eq!((comparison.n_only_first_right, comparison.n_only_second_right), (1, 1));
        assert_eq!((comparison.topics[1].n_gained, comparison.topics[1].n_lost), (1, 0));
        assert_eq!(comparison.differing, [0, 1]);
    }
}
