//! A trained vocabulary with its weights: the way from one document to its row.

use std::ops::RangeInclusive;

use zerocopy::little_endian::F32;

use super::sparse::{RowBuilder, SparseRow};
use super::vocabulary::Vocabulary;
use crate::document::Document;
use crate::packed::Packed;
use crate::text::{self, Scratch, Span, TermHash};

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
    features: Vec<u32>,
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
        let mut stats = DocumentStats { n_bytes: document.n_bytes(), ..DocumentStats::default() };
        let RowScratch { text, features, builder } = scratch;
        features.clear();
        let seed = self.vocabulary.seed();
        let mut previous = None;
        text::for_each_document_token(document, text, |token| {
            stats.n_tokens += 1;
            if token.is_too_long() {
                previous = None;
                return;
            }
            let hash = TermHash::unigram(token.normalized, seed);
            if let Some(feature) = self.vocabulary.feature(hash) {
                stats.n_known_tokens += 1;
                features.push(feature);
            }
            if let Some(previous) = previous {
                features.extend(self.vocabulary.feature(TermHash::bigram(previous, hash)));
            }
            previous = Some(hash);
        });
        features.sort_unstable();
        let weights = &*self.weights;
        let counts = features.chunk_by(|a, b| a == b).map(|run| (run[0], run.len() as u32));
        builder.build(counts, |feature| weights[feature as usize].get());
        stats
    }

    /// Calls `sink` with every occurrence of a known term in a document, in the order of [`Self::vectorize`]: the feature,
    /// and its span, which slices the document's title or text to the term; `None` for a pair of tokens across the two.
    pub fn for_each_occurrence(
        &self,
        document: &Document,
        scratch: &mut RowScratch,
        mut sink: impl FnMut(u32, Option<Span>),
    ) {
        let seed = self.vocabulary.seed();
        let mut previous: Option<(TermHash, Span)> = None;
        text::for_each_document_token(document, &mut scratch.text, |token| {
            if token.is_too_long() {
                previous = None;
                return;
            }
            let hash = TermHash::unigram(token.normalized, seed);
            if let Some(feature) = self.vocabulary.feature(hash) {
                sink(feature, Some(token.span));
            }
            if let Some((previous, first)) = previous
                && let Some(feature) = self.vocabulary.feature(TermHash::bigram(previous, hash))
            {
                let span = Span { start: first.start, ..token.span };
                sink(feature, (first.field == span.field).then_some(span));
            }
            previous = Some((hash, token.span));
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vectorizer(weights: &[f32]) -> Option<Vectorizer> {
        let vocabulary = Vocabulary::new(&["peace", "talks", "war"], &["peace talks"]).unwrap();
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
}
