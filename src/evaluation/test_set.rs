//! Labelled documents that classifiers are judged on, in the numbers of all topics that they or the labels have.

use crate::document::{Document, LabeledDocument, Topic};
use crate::targets::{Targets, all_topics};

/// The documents that count, and what they should be assigned.
#[derive(Debug, Clone)]
pub struct TestSet<'a> {
    /// The documents, in the order given; without a topic only where a document may have none.
    pub examples: Vec<&'a LabeledDocument>,
    /// The classifiers' topics and the labels', sorted.
    pub topics: Vec<Topic>,
    /// Each document's labels, by place in `topics`.
    pub labels: Targets,
}

impl<'a> TestSet<'a> {
    /// Takes the documents for classifiers that have the topics `known`. With `single_label`, each document has one topic:
    /// of several the first by name counts, and documents without any are left out.
    pub fn new<'b>(
        examples: &'a [LabeledDocument],
        known: impl IntoIterator<Item = &'b Topic>,
        single_label: bool,
    ) -> Self
    where
        'a: 'b,
    {
        let counts = |example: &&LabeledDocument| !(single_label && example.topics().is_empty());
        let examples: Vec<&LabeledDocument> = examples.iter().filter(counts).collect();
        let topics = all_topics(known.into_iter().chain(examples.iter().flat_map(|example| example.topics())));
        let n_most = if single_label { 1 } else { usize::MAX };
        let labels = examples.iter().map(|example| &example.topics()[..example.topics().len().min(n_most)]);
        let labels = Targets::of_topics(&topics, labels);
        Self { examples, topics, labels }
    }

    /// The documents.
    pub fn documents(&self) -> Vec<&'a Document> {
        self.examples.iter().map(|example| &example.document).collect()
    }

    /// The names of topics, given by place.
    pub fn names(&self, topics: &[u32]) -> Vec<String> {
        topics.iter().map(|&topic| self.topics[topic as usize].to_string()).collect()
    }
}
