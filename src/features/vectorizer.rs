//! A trained vocabulary with its weights: the way from one document to its row.

use std::ops::RangeInclusive;

use zerocopy::little_endian::F32;

use super::feature_counts::FeatureCounts;
use super::sparse::{RowBuilder, SparseRow};
use super::vocabulary::Vocabulary;
use crate::document::Document;
use crate::packed::Packed;
use crate::processor::{Processor, Work, dispatch};
use crate::text::{self, Field, NgramScratch, Scratch, Span, TermHash, Token, TokenHashes, character_ngrams};

/// What a term's weight can be: with these, no row overflows or vanishes, whoever made the model.
pub const WEIGHT_RANGE: RangeInclusive<f32> = 1e-6..=1e6;

/// What was seen while a document's row was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DocumentStats {
    /// Bytes of title and text.
    pub n_bytes: usize,
    /// Tokens of title and text.
    pub n_tokens: usize,
    /// Tokens that the vocabulary has as unigrams.
    pub n_known_tokens: usize,
}

/// Vocabulary and weights of a training set; immutable, cheap to clone.
#[derive(Debug, Clone)]
pub struct Vectorizer {
    vocabulary: Vocabulary,
    weights: Packed<F32>,
}

/// Buffers that making a row needs, to be used again for the next document.
#[derive(Debug, Default)]
pub struct RowScratch {
    text: Scratch,
    ngrams: NgramScratch,
    tokens: TokenHashes,
    terms: Vec<TermHash>,
    again: Vec<TermHash>,
    features: Vec<u32>,
    counts: FeatureCounts,
    builder: RowBuilder,
}

impl RowScratch {
    /// The row that was made last.
    pub fn row(&self) -> SparseRow<'_> {
        self.builder.row()
    }
}

impl Vectorizer {
    /// Puts a weight on each term; `None` unless there is one in [`WEIGHT_RANGE`] for each.
    pub fn new(vocabulary: Vocabulary, weights: Packed<F32>) -> Option<Self> {
        let valid =
            weights.len() == vocabulary.len() && weights.iter().all(|weight| WEIGHT_RANGE.contains(&weight.get()));
        valid.then_some(Self { vocabulary, weights })
    }

    /// The terms.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// The weight of each term, by feature.
    pub fn weights(&self) -> &Packed<F32> {
        &self.weights
    }

    /// Makes a document's row in `scratch`.
    pub fn vectorize(&self, document: &Document, scratch: &mut RowScratch) -> DocumentStats {
        dispatch(Row { vectorizer: self, document, scratch })
    }

    #[inline(always)]
    fn make_row(&self, processor: impl Processor, document: &Document, scratch: &mut RowScratch) -> DocumentStats {
        let RowScratch { text, ngrams, tokens, terms, again, features, counts, builder } = scratch;
        let weights = &*self.weights;
        features.clear();
        tokens.read(processor, document, self.vocabulary.seed(), text);
        terms.clear();
        terms.extend_from_slice(tokens.hashes());
        for part in tokens.parts() {
            terms.extend(part.windows(2).map(|pair| TermHash::bigram(pair[0], pair[1])));
        }
        self.vocabulary.add_features(processor, terms, features, again);
        let (n_unigrams, n_learned) = (self.vocabulary.n_unigrams() as u32, self.vocabulary.n_learned() as u32);
        // As `is_word` has it, without a branch: which it is can't be guessed.
        let is_word = |feature: u32| u32::from(feature < n_unigrams) | u32::from(feature >= n_learned);
        let n_known_tokens = features.iter().map(|&feature| is_word(feature)).sum::<u32>() as usize;
        if self.vocabulary.n_character_ngrams() > 0 {
            text::for_each_document_token(document, text, |token| {
                self.for_each_ngram(token, ngrams, |feature, _| features.push(feature));
            });
        }
        let counts = counts.count(features, weights.len());
        builder.build_fetched_ahead(processor, counts, weights);
        DocumentStats { n_bytes: document.n_bytes(), n_tokens: tokens.n_tokens(), n_known_tokens }
    }

    /// Calls `sink` with every occurrence of a known term in a document, in the order of the text: the feature,
    /// its span, which slices the document's title or text to the term, of a character n-gram to its letters (`None` for
    /// a pair of tokens across the two), and the token that it ends with, as normalised.
    pub fn for_each_occurrence(
        &self,
        document: &Document,
        scratch: &mut RowScratch,
        mut sink: impl FnMut(u32, Option<Span>, &[u8]),
    ) {
        let seed = self.vocabulary.seed();
        let mut previous: Option<(TermHash, Span)> = None;
        let mut ngram_places: Vec<(u32, usize)> = Vec::new();
        let RowScratch { text, ngrams, .. } = scratch;
        text::for_each_document_token(document, text, |token| {
            if token.is_too_long() {
                previous = None;
                return;
            }
            let hash = token.hash(seed);
            if let Some(feature) = self.vocabulary.feature(hash) {
                sink(feature, Some(token.span), token.normalized);
            }
            if let Some((previous, first)) = previous
                && let Some(feature) = self.vocabulary.feature(TermHash::bigram(previous, hash))
            {
                let span = Span { start: first.start, ..token.span };
                sink(feature, (first.field == span.field).then_some(span), token.normalized);
            }
            previous = Some((hash, token.span));
            ngram_places.clear();
            self.for_each_ngram(token, ngrams, |feature, first| ngram_places.push((feature, first)));
            for &(feature, first) in &ngram_places {
                sink(feature, ngram_span(document, token, first, ngrams), token.normalized);
            }
        });
    }

    /// Calls `sink` with each known character n-gram of a token, and the place of its first character.
    fn for_each_ngram(&self, token: Token<'_>, scratch: &mut NgramScratch, mut sink: impl FnMut(u32, usize)) {
        if self.vocabulary.n_character_ngrams() == 0 {
            return;
        }
        // What the tokenizer normalised is UTF-8.
        let Ok(word) = std::str::from_utf8(token.normalized) else { return };
        character_ngrams::for_each_character_ngram(word, scratch, |ngram, first| {
            let hash = TermHash::character_ngram(ngram, self.vocabulary.seed());
            if let Some(feature) = self.vocabulary.feature(hash) {
                sink(feature, first);
            }
        });
    }
}

/// The making of a row.
struct Row<'a> {
    vectorizer: &'a Vectorizer,
    document: &'a Document,
    scratch: &'a mut RowScratch,
}

impl Work for Row<'_> {
    type Output = DocumentStats;

    #[inline(always)]
    fn on(self, processor: impl Processor) -> DocumentStats {
        self.vectorizer.make_row(processor, self.document, self.scratch)
    }
}

/// Where in the document a token's n-gram stands that begins at the place `first`.
fn ngram_span(document: &Document, token: Token<'_>, first: usize, scratch: &mut NgramScratch) -> Option<Span> {
    let Span { field, start, end } = token.span;
    let of_field = match field {
        Field::Title => document.title(),
        Field::Text => document.text(),
    };
    let word = std::str::from_utf8(token.normalized).ok()?;
    let range = character_ngrams::raw_range(of_field.get(start..end)?, word, first, scratch);
    Some(Span { field, start: start + range.start, end: start + range.end })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vectorizer(weights: &[f32]) -> Option<Vectorizer> {
        let vocabulary = Vocabulary::new(&["peace", "talks", "war"], &["peace talks"], &[]).unwrap();
        let weights: Vec<F32> = weights.iter().copied().map(F32::new).collect();
        Vectorizer::new(vocabulary, Packed::from_values(&weights))
    }

    #[test]
    fn each_term_needs_a_positive_weight_of_a_usual_size() {
        assert!(vectorizer(&[1.0, 1e-6, 1e6, 4.0]).is_some());
        assert!(vectorizer(&[1.0, 2.0, 3.0]).is_none());
        assert!(vectorizer(&[1.0, 2.0, 3.0, 4.0, 5.0]).is_none());
        for bad in [0.0, 9e-7, -1.0, f32::NAN, 1.1e6, f32::INFINITY] {
            assert!(vectorizer(&[1.0, 2.0, 3.0, bad]).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_row_starts_anew_and_no_bigram_reaches_across_a_token_that_is_too_long() {
        let vectorizer = vectorizer(&[1.0; 4]).unwrap();
        let mut scratch = RowScratch::default();
        let mut terms_of = |title: &str, text: &str| {
            let stats = vectorizer.vectorize(&Document::new(title, text).unwrap(), &mut scratch);
            (scratch.row().features.to_vec(), stats.n_tokens, stats.n_known_tokens)
        };
        assert_eq!(terms_of("Peace", "talks. War?"), (vec![0, 1, 2, 3], 3, 3));
        assert_eq!(terms_of("", &format!("peace {} talks", "x".repeat(1000))), (vec![0, 1], 3, 2));
        assert_eq!(terms_of("", "peace and talks"), (vec![0, 1], 3, 2));
        assert_eq!(terms_of("", "🎉"), (vec![], 0, 0));
    }

    #[test]
    fn character_ngrams_have_the_spans_of_their_letters() {
        let vocabulary = Vocabulary::new(&["peace"], &[], &["*eace", "*peace*", "étés*"]).unwrap();
        let vectorizer = Vectorizer::new(vocabulary, Packed::from_values(&[F32::new(1.0); 4])).unwrap();
        let document = Document::new("Peaceful E\u{301}TE\u{301}S", "the peace").unwrap();
        let (mut scratch, mut found) = (RowScratch::default(), Vec::new());
        vectorizer.for_each_occurrence(&document, &mut scratch, |feature, span, _| {
            let Span { field, start, end } = span.unwrap();
            let of_field = if field == Field::Title { document.title() } else { document.text() };
            found.push((feature, &of_field[start..end]));
        });
        let expected = [(2, "Peace"), (3, "E\u{301}TE\u{301}S"), (0, "peace"), (2, "peace"), (1, "eace")];
        assert_eq!(found, expected);
        let stats = vectorizer.vectorize(&document, &mut scratch);
        // Words come before what they are made of.
        assert_eq!((scratch.row().features, stats.n_known_tokens), (&[0, 2, 3, 1][..], 1));
    }
}
