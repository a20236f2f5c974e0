//! Whether a version, loaded from its file, still says what it said when it was trained, and whether one of which nothing was
//! noted says anything sensible.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::classifier::{Classification, Classifier, ClassifyOptions, ClassifyScratch};
use crate::document::{ContentHash, Document, DocumentError};

/// How far a probability may be from the noted one when a version is loaded later: by then the system's logarithm may be another one, and
/// a score added up in another order by another topicd. Right after training it must be the same bits.
pub const LATER_TOLERANCE: f64 = 1e-5;
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

/// Asked of every version, also of those without noted documents: built in, imported, or trained on what was erased since.
const FIXED_TITLE: &str = "Ministers meet for talks";
const FIXED_TEXT: &str =
    "The team's striker scored twice, and the bank raised its rates by 0.5 percent on 3 May. Знання 北京";

/// Why an answer can't be right, whatever the document says.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Unsound {
    /// There is no document to ask about.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// Topics are missing, or come twice.
    #[error("it gives scores of {n_scored} topics, and has {n_topics}")]
    Topics {
        /// Different topics with a score.
        n_scored: usize,
        /// Topics that it has.
        n_topics: usize,
    },
    /// A score that is no number, or no probability.
    #[error("it gives a topic the probability {probability} for the raw score {raw_score}")]
    Score {
        /// Not from 0 to 1, unless the raw score is what is wrong.
        probability: f64,
        /// Not finite, unless the probability is what is wrong.
        raw_score: f64,
    },
    /// The same document gets two answers.
    #[error("it gives the same document other scores when it is asked again")]
    Unsteady,
}

/// Asks a classifier twice about a fixed document: every topic must have a score, numbers must be what they claim, and both
/// answers the same.
///
/// # Errors
/// What is wrong with the answer.
pub fn check_sound(classifier: &Classifier) -> Result<(), Unsound> {
    let document = Document::new(FIXED_TITLE, FIXED_TEXT)?;
    let (options, mut scratch) = (ClassifyOptions::default(), ClassifyScratch::default());
    let first = classifier.classify(&document, &options, &mut scratch);
    check_answer(&first, classifier.topics().len())?;
    let again = classifier.classify(&document, &options, &mut scratch);
    if first == again { Ok(()) } else { Err(Unsound::Unsteady) }
}

fn check_answer(answer: &Classification, n_topics: usize) -> Result<(), Unsound> {
    let is_number = |probability: f64, raw_score: f64| (0.0..=1.0).contains(&probability) && raw_score.is_finite();
    if let Some(score) = answer.topics.iter().find(|score| !is_number(score.probability, score.raw_score)) {
        return Err(Unsound::Score { probability: score.probability, raw_score: score.raw_score });
    }
    let scored: BTreeSet<usize> = answer.topics.iter().map(|score| score.topic).collect();
    let n_scored = scored.len();
    if n_scored == n_topics && answer.topics.len() == n_topics {
        Ok(())
    } else {
        Err(Unsound::Topics { n_scored, n_topics })
    }
}

fn answer(classifier: &Classifier, document: &Document, scratch: &mut ClassifyScratch) -> (usize, f64) {
    let classification = classifier.classify(document, &ClassifyOptions::default(), scratch);
    // There is always a first topic.
    classification.topics.first().map_or((usize::MAX, 0.0), |first| (first.topic, first.probability))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact;

    #[test]
    fn the_bundled_model_is_sound_and_answers_that_cannot_be_right_are_found() {
        let classifier = artifact::bundled().unwrap().classifier;
        assert_eq!(check_sound(&classifier), Ok(()));

        let document = Document::new(FIXED_TITLE, FIXED_TEXT).unwrap();
        let answer = classifier.classify(&document, &ClassifyOptions::default(), &mut ClassifyScratch::default());
        let n_topics = classifier.topics().len();
        for (probability, raw_score) in [(f64::NAN, 0.0), (1.5, 0.0), (-0.1, 0.0), (0.5, f64::INFINITY)] {
            let mut wrong = answer.clone();
            wrong.topics[1].probability = probability;
            wrong.topics[1].raw_score = raw_score;
            assert!(matches!(check_answer(&wrong, n_topics), Err(Unsound::Score { .. })), "{probability} {raw_score}");
        }
        let mut twice = answer.clone();
        twice.topics[1].topic = twice.topics[0].topic;
        assert_eq!(check_answer(&twice, n_topics), Err(Unsound::Topics { n_scored: n_topics - 1, n_topics }));
        let none = Classification { topics: Vec::new(), ..answer };
        assert_eq!(check_answer(&none, n_topics), Err(Unsound::Topics { n_scored: 0, n_topics }));
    }
}
