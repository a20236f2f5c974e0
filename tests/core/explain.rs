//! Explanations: sums that add up, and spans that show the terms.

use std::num::NonZeroUsize;

use proptest::prelude::*;
use topicd::classifier::{Classification, ClassifyOptions, ClassifyScratch};
use topicd::document::Document;
use topicd::explanation::{Explain, MAX_SPANS};
use topicd::text::{Field, Scratch, for_each_document_token};

use crate::classify::{CLASSIFIER, bits, documents};

fn explained(document: &Document, explain: Explain, max_terms: usize) -> Classification {
    let options = ClassifyOptions { explain, max_terms: NonZeroUsize::new(max_terms), ..ClassifyOptions::default() };
    CLASSIFIER.classify(document, &options, &mut ClassifyScratch::default())
}

/// The tokens of a piece of text, as a term has them.
fn as_term(text: &str) -> String {
    let mut tokens = Vec::new();
    for_each_document_token(&Document::new("", text).unwrap(), &mut Scratch::default(), |token| {
        tokens.push(String::from_utf8(token.normalized.to_vec()).unwrap());
    });
    tokens.join(" ")
}

fn check(document: &Document, max_terms: usize) {
    let answer = explained(document, Explain::ReturnedTopics, max_terms);
    assert_eq!(answer.explanations.len(), answer.topics.len());
    for (explanation, score) in answer.explanations.iter().zip(&answer.topics) {
        assert_eq!(explanation.topic, score.topic);
        let contributions: Vec<f64> = explanation.terms.iter().map(|term| term.contribution).collect();
        let sum = explanation.bias + contributions.iter().sum::<f64>() + explanation.remainder;
        let size = explanation.bias.abs() + contributions.iter().map(|c| c.abs()).sum::<f64>();
        assert!((sum - score.raw_score).abs() <= 1e-6 * size.max(score.raw_score.abs()), "{sum} {score:?}");
        assert!(contributions.is_sorted_by(|a, b| a.abs() >= b.abs()));
        assert!(explanation.terms.len() <= max_terms);
        if explanation.n_other_terms == 0 {
            assert_eq!(explanation.remainder.to_bits(), 0.0f64.to_bits());
        }
        for term in &explanation.terms {
            assert!((term.tfidf * term.weight - term.contribution).abs() <= 1e-12);
            assert!(term.n_occurrences > 0 && (0.0..=1.0).contains(&term.tfidf), "{term:?}");
            for span in &term.spans {
                let field = if span.field == Field::Title { document.title() } else { document.text() };
                assert_eq!(as_term(&field[span.start..span.end]), term.term);
            }
        }
    }
}

#[test]
fn explanations_add_up_and_show_their_terms() {
    for document in documents(60) {
        for max_terms in [1, 5, 1000] {
            check(&document, max_terms);
        }
    }
}

proptest! {
    #[test]
    fn explanations_of_any_document_add_up((title, text) in (".{0,30}", "\\PC{0,200}"), known in "(w[0-9]{1,3} ?,?){0,30}") {
        if let Ok(document) = Document::new(title, text + &known) {
            check(&document, 7);
        }
    }
}

#[test]
fn what_is_explained_changes_no_answer() {
    for document in documents(20) {
        let plain = explained(&document, Explain::Nothing, 0);
        assert!(plain.explanations.is_empty());
        let top = explained(&document, Explain::TopTopic, 3);
        assert_eq!((top.explanations.len(), top.explanations[0].topic), (1, plain.topics[0].topic));
        assert_eq!(bits(&plain), bits(&top));
    }
}

#[test]
fn a_word_that_comes_often_is_counted_and_shown_in_part() {
    let word = documents(2)[1].text().split(' ').next().unwrap().to_owned();
    let answer = explained(&Document::new("", format!("{word} ").repeat(5000)).unwrap(), Explain::TopTopic, 1000);
    let terms = &answer.explanations[0].terms;
    let term =
        terms.iter().find(|term| term.term == word.to_lowercase()).unwrap_or_else(|| panic!("{word} in {terms:?}"));
    assert_eq!((term.n_occurrences, term.spans.len()), (5000, MAX_SPANS));
}
