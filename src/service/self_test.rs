//! Whether a version, loaded from its file, still says what it said when it was trained.

use serde::{Deserialize, Serialize};

use crate::classifier::{Classifier, ClassifyOptions, ClassifyScratch};
use crate::document::{ContentHash, Document};

/// How far a probability may be from the noted one when a version is loaded later: the system's logarithm may be another one
/// by then. Right after training it must be the same bits.
pub const LATER_TOLERANCE: f64 = 1e-6;
/// Documents of a self-test.
const N_DOCUMENTS: usize = 16;

/// Some of the documents that a version was trained on, and what it says of them.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct SelfTest {
    cases: Vec<Case>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Case {
    content_hash: [u8; 32],
    /// The most probable topic's place, and its probability.
    topic: usize,
    probability: f64,
}

impl SelfTest {
    /// Notes what a classifier says of the first documents, which in a dataset's order are random ones.
    pub fn record(classifier: &Classifier, documents: &[&Document]) -> Self {
        let mut scratch = ClassifyScratch::default();
        let mut case = |document: &&Document| {
            let (topic, probability) = answer(classifier, document, &mut scratch);
            Case { content_hash: document.content_hash().0, topic, probability }
        };
        Self { cases: documents.iter().take(N_DOCUMENTS).map(&mut case).collect() }
    }

    /// The documents that it asks about.
    pub fn hashes(&self) -> Vec<ContentHash> {
        self.cases.iter().map(|case| ContentHash(case.content_hash)).collect()
    }

    /// Asks a classifier about those of its documents that are given; says how many answers are the noted ones, with
    /// probabilities within `tolerance`, and how many there were.
    pub fn run<'a>(
        &self,
        classifier: &Classifier,
        documents: impl IntoIterator<Item = &'a Document>,
        tolerance: f64,
    ) -> (usize, usize) {
        let (mut n_right, mut n_asked, mut scratch) = (0, 0, ClassifyScratch::default());
        for document in documents {
            let hash = document.content_hash();
            let Some(case) = self.cases.iter().find(|case| case.content_hash == hash.0) else { continue };
            n_asked += 1;
            let (topic, probability) = answer(classifier, document, &mut scratch);
            n_right += usize::from(topic == case.topic && (probability - case.probability).abs() <= tolerance);
        }
        (n_right, n_asked)
    }
}

fn answer(classifier: &Classifier, document: &Document, scratch: &mut ClassifyScratch) -> (usize, f64) {
    let classification = classifier.classify(document, &ClassifyOptions::default(), scratch);
    // There is always a first topic.
    classification.topics.first().map_or((usize::MAX, 0.0), |first| (first.topic, first.probability))
}
