//! A trained vocabulary with its weights: the way from one document to its row.

use zerocopy::little_endian::F32;

use super::sparse::{RowBuilder, SparseRow};
use super::vocabulary::Vocabulary;
use crate::document::Document;
use crate::packed::Packed;
use crate::text::{self, Scratch, TermHash};

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
    /// Puts a weight on each term; `None` unless there is one positive finite weight for each.
    pub fn new(vocabulary: Vocabulary, weights: Packed<F32>) -> Option<Self> {
        let valid = weights.len() == vocabulary.len()
            && weights.iter().all(|weight| weight.get().is_finite() && weight.get() > 0.0);
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
}
