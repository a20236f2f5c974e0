//! What several targets ask of an answer.

use std::num::NonZeroUsize;

use topicd::classifier::{Classification, Classifier, ClassifyOptions, ClassifyScratch};
use topicd::document::Document;
use topicd::explanation::{Explain, TopicExplanation};
use topicd::text::{Field, Span};

/// How far an explanation's sum may be from the raw score, per unit of what was added up: the contract's number.
const SUM_TOLERANCE: f64 = 1e-6;

/// Classifies and explains a document with buffers that were used before, and holds the answer against the contract.
pub fn check_answer(classifier: &Classifier, document: &Document, scratch: &mut ClassifyScratch) -> Classification {
    let plain = classifier.classify(document, &ClassifyOptions::default(), scratch);
    assert_eq!(plain.topics.len(), classifier.topics().len());
    assert!(plain.topics.is_sorted_by(|a, b| a.probability >= b.probability));
    for score in &plain.topics {
        assert!((0.0..=1.0).contains(&score.probability) && score.raw_score.is_finite(), "{score:?}");
    }
    let all_terms = ClassifyOptions {
        explain: Explain::ReturnedTopics,
        max_terms: NonZeroUsize::new(usize::MAX),
        ..ClassifyOptions::default()
    };
    let explained = classifier.classify(document, &all_terms, scratch);
    assert_eq!((&explained.topics, explained.decision, explained.stats), (&plain.topics, plain.decision, plain.stats));
    for (score, explanation) in explained.topics.iter().zip(&explained.explanations) {
        assert_eq!((explanation.topic, explanation.n_other_terms), (score.topic, 0));
        check_sum(explanation, score.raw_score);
        explanation.terms.iter().flat_map(|term| &term.spans).for_each(|span| slice(document, *span, 0));
    }
    let again = classifier.classify(document, &ClassifyOptions::default(), &mut ClassifyScratch::default());
    assert_eq!(again, plain);
    plain
}

fn check_sum(explanation: &TopicExplanation, raw_score: f64) {
    let contributions = || explanation.terms.iter().map(|term| term.contribution);
    let sum = explanation.bias + contributions().sum::<f64>() + explanation.remainder;
    let size = explanation.bias.abs() + contributions().map(f64::abs).sum::<f64>();
    assert!((sum - raw_score).abs() <= SUM_TOLERANCE * size, "{sum} and {raw_score}, of terms that add up to {size}");
}

/// Slices a document as a caller would: panics when the span isn't in it, cuts a character, begins before `from` or is empty.
pub fn slice(document: &Document, span: Span, from: usize) {
    let of_field = match span.field {
        Field::Title => document.title(),
        Field::Text => document.text(),
    };
    assert!(from <= span.start && !of_field[span.start..span.end].is_empty(), "{span:?}");
}
