//! How many documents had which answer, in bins: by most probable topic, by its probability, and by the share of unknown
//! tokens. The bins are part of the model file's format: other bounds need another field there.

use serde::{Deserialize, Serialize};

/// Bins of equal width that the most probable topic's probability is counted in.
pub const N_CONFIDENCE_BINS: usize = 10;

/// The largest share of unknown tokens of each bin; a share is in the first bin that takes it. Most documents have few unknown
/// tokens, so that bins are narrow there. There is none for documents without any: how many these are tells how long documents
/// are more than how many words are unknown.
pub const UNKNOWN_SHARE_BOUNDS: [f64; 7] = [0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0];

/// Numbers of documents by what was answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Distributions {
    /// By most probable topic, in the topics' order.
    pub topics: Vec<u64>,
    /// By that topic's probability, in [`N_CONFIDENCE_BINS`] bins of equal width from 0 to 1.
    pub confidence: [u64; N_CONFIDENCE_BINS],
    /// By the share of tokens that the vocabulary doesn't have, in the bins of [`UNKNOWN_SHARE_BOUNDS`].
    pub unknown_tokens: [u64; UNKNOWN_SHARE_BOUNDS.len()],
}

/// The bins that one document's answer is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bins {
    /// The most probable topic.
    pub topic: usize,
    /// Its probability's bin.
    pub confidence: usize,
    /// The bin of the share of unknown tokens.
    pub unknown_tokens: usize,
}

impl Bins {
    /// Of an answer with this most probable topic and its probability; `None` for a document without a token, which tells
    /// nothing: its answer is the same whatever the documents are about.
    pub fn of(topic: usize, probability: f64, n_known_tokens: usize, n_tokens: usize) -> Option<Self> {
        if n_tokens == 0 {
            return None;
        }
        let confidence = ((probability * N_CONFIDENCE_BINS as f64) as usize).min(N_CONFIDENCE_BINS - 1);
        let unknown_share = n_tokens.saturating_sub(n_known_tokens) as f64 / n_tokens as f64;
        let unknown_tokens = UNKNOWN_SHARE_BOUNDS.iter().take_while(|&&bound| bound < unknown_share).count();
        Some(Self { topic, confidence, unknown_tokens: unknown_tokens.min(UNKNOWN_SHARE_BOUNDS.len() - 1) })
    }
}

impl Distributions {
    /// Of no document.
    pub fn new(n_topics: usize) -> Self {
        Self { topics: vec![0; n_topics], confidence: Default::default(), unknown_tokens: Default::default() }
    }

    /// Counts a document.
    pub fn add(&mut self, bins: Bins) {
        self.topics[bins.topic] += 1;
        self.confidence[bins.confidence] += 1;
        self.unknown_tokens[bins.unknown_tokens] += 1;
    }

    /// The documents that were counted.
    pub fn n_documents(&self) -> u64 {
        self.topics.iter().sum()
    }

    /// Whether it is of a classifier with so many topics, and counts each of at most so many documents once for each feature.
    pub(crate) fn is_valid(&self, n_topics: usize, max_documents: usize) -> bool {
        let sum = |counts: &[u64]| counts.iter().try_fold(0u64, |sum, &count| sum.checked_add(count));
        let Some(n_documents) = sum(&self.topics) else { return false };
        self.topics.len() == n_topics
            && n_documents <= max_documents as u64
            && sum(&self.confidence) == Some(n_documents)
            && sum(&self.unknown_tokens) == Some(n_documents)
    }
}

/// The bounds of a bin of probabilities.
pub fn confidence_bounds(bin: usize) -> (f64, f64) {
    let n_bins = N_CONFIDENCE_BINS as f64;
    (bin as f64 / n_bins, (bin + 1) as f64 / n_bins)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_belong_to_one_bin() {
        let confidence = |probability| Bins::of(0, probability, 1, 1).unwrap().confidence;
        let expected = [(0.0, 0), (0.0999, 0), (0.1, 1), (0.3, 3), (0.7, 7), (0.8999, 8), (0.9, 9), (1.0, 9)];
        assert_eq!(expected.map(|(probability, _)| (probability, confidence(probability))), expected);
        let unknown = |n_unknown: usize| Bins::of(0, 0.5, 20 - n_unknown, 20).unwrap().unknown_tokens;
        let expected = [(0, 0), (1, 0), (2, 1), (3, 2), (4, 3), (5, 4), (6, 4), (7, 5), (10, 5), (11, 6), (20, 6)];
        assert_eq!(expected.map(|(n_unknown, _)| (n_unknown, unknown(n_unknown))), expected);
        assert_eq!(confidence_bounds(3), (0.3, 0.4));
    }

    #[test]
    fn a_document_without_a_token_is_in_no_bin() {
        assert_eq!(Bins::of(0, 0.5, 0, 0), None);
    }

    /// What a file says is no reason to overflow later.
    #[test]
    fn counts_that_cannot_be_are_refused() {
        let mut counts = Distributions::new(2);
        counts.add(Bins::of(1, 0.75, 3, 4).unwrap());
        counts.add(Bins::of(0, 0.5, 4, 4).unwrap());
        assert_eq!((&counts.topics[..], counts.n_documents()), (&[1, 1][..], 2));
        assert!(counts.is_valid(2, 2));
        assert!(!counts.is_valid(3, 2) && !counts.is_valid(2, 1));
        assert!(!Distributions { confidence: [1; N_CONFIDENCE_BINS], ..counts.clone() }.is_valid(2, 100));
        assert!(!Distributions { topics: vec![u64::MAX, 2], ..counts }.is_valid(2, usize::MAX));
    }
}
