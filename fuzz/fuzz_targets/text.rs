//! Any two strings → tokens, terms and an answer of the bundled model. The first line is the title.

#![no_main]

use std::ops::Range;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use topicd::artifact;
use topicd::classifier::{Classifier, ClassifyScratch};
use topicd::document::Document;
use topicd::text::character_ngrams::{for_each_character_ngram, name, parse_name, raw_range};
use topicd::text::language::detect_language;
use topicd::text::tokenizer::tokenize;
use topicd::text::{Field, MAX_TOKEN_BYTES, NgramScratch, Scratch, Span, for_each_document_token, has_tokens};
use topicd_fuzz::{check_answer, slice};

static CLASSIFIER: LazyLock<Classifier> =
    LazyLock::new(|| artifact::bundled().expect("the bundled model is read").classifier);

fuzz_target!(|data: &[u8]| {
    let given = String::from_utf8_lossy(data);
    let (title, text) = given.split_once('\n').unwrap_or(("", &given));
    let mut scratch = Scratch::default();
    check_tokens(title, text, &mut scratch);
    let Ok(document) = Document::new(title, text) else { return };
    check_document(&document, &mut scratch);
    let _ = detect_language(&document);

    let mut scratch = ClassifyScratch::default();
    let answer = check_answer(&CLASSIFIER, &document, &mut scratch);
    let sum: f64 = answer.topics.iter().map(|score| score.probability).sum();
    assert!((sum - 1.0).abs() < 1e-9, "probabilities sum to {sum}");
    let max_bytes = document.n_bytes() / 2;
    let (cut, is_cut) = document.truncated(max_bytes);
    assert!(is_cut && cut.n_bytes() <= max_bytes);
    check_tokens(cut.title(), cut.text(), &mut Scratch::default());
});

/// The tokens of a string: how they are normalised, and where they are.
fn tokens(text: &str, scratch: &mut Scratch) -> Vec<(String, Range<usize>)> {
    let mut tokens = Vec::new();
    tokenize(text, Field::Text, scratch, &mut |token| {
        let normalized = std::str::from_utf8(token.normalized).expect("tokens are UTF-8").to_owned();
        tokens.push((normalized, token.span.start..token.span.end));
    });
    tokens
}

/// A space keeps two strings apart: together they have the tokens that they have alone. And a normalised token is its own
/// normalised form, or what a model calls its terms couldn't be looked up in it.
fn check_tokens(title: &str, text: &str, scratch: &mut Scratch) {
    let of_both = tokens(&format!("{title} {text}"), scratch);
    let mut expected = tokens(title, scratch);
    let from = title.len() + 1;
    expected.extend(tokens(text, scratch).into_iter().map(|(token, at)| (token, at.start + from..at.end + from)));
    assert_eq!(of_both, expected);
    for (token, _) in of_both.iter().filter(|(token, _)| !token.is_empty()) {
        assert!(token.len() <= MAX_TOKEN_BYTES);
        assert_eq!(tokens(token, scratch), [(token.clone(), 0..token.len())]);
    }
}

fn check_document(document: &Document, scratch: &mut Scratch) {
    let (mut n_tokens, mut last) = (0, Span { field: Field::Title, start: 0, end: 0 });
    let mut ngrams = NgramScratch::default();
    for_each_document_token(document, scratch, |token| {
        n_tokens += 1;
        let is_next_field = last.field != token.span.field;
        slice(document, token.span, if is_next_field { 0 } else { last.start });
        last = token.span;
        let of_field = if token.span.field == Field::Title { document.title() } else { document.text() };
        let word = std::str::from_utf8(token.normalized).expect("tokens are UTF-8");
        check_ngrams(&of_field[token.span.start..token.span.end], word, &mut ngrams);
    });
    assert_eq!(has_tokens(document), n_tokens > 0);
}

fn check_ngrams(raw: &str, word: &str, scratch: &mut NgramScratch) {
    let mut places = Vec::new();
    for_each_character_ngram(word, scratch, |ngram, first| {
        assert_eq!(parse_name(&name(ngram)).as_deref(), Some(ngram));
        places.push(first);
    });
    for first in places {
        assert!(!raw[raw_range(raw, word, first, scratch)].is_empty());
    }
}
