//! The documents of one classifier that it was least sure of lately: whose labels would teach it most.
//!
//! That is uncertainty sampling (Lewis & Gale, *A Sequential Algorithm for Training Text Classifiers*, SIGIR 1994), by the
//! smallest margin (Scheffer, Decomain & Wrobel 2001). Kept in memory only, so many documents and bytes at most, each for a week
//! at most, and gone with the process.

use std::collections::{BTreeMap, HashMap};

use crate::classifier::Classification;
use crate::dataset::LabelKind;
use crate::document::{ContentHash, Document};
use crate::service::VersionName;

/// Bytes of titles and texts of one queue, at most.
const MAX_BYTES: usize = 32 << 20;
/// How long a document stays, in milliseconds: a week.
const MAX_AGE_MS: u64 = 7 * 24 * 60 * 60 * 1000;

/// Topics that a candidate lists.
pub const MAX_TOPICS: usize = 5;

/// A document that a classifier was unsure of.
#[derive(Debug, Clone, PartialEq)]
pub struct ReviewCandidate {
    /// The document, with the name that it was classified under.
    pub document: Document,
    /// SHA-256 of its title and text.
    pub hash: ContentHash,
    /// The version that answered.
    pub version: VersionName,
    /// Its most probable topics with their probabilities, the most probable first; at most [`MAX_TOPICS`].
    pub topics: Vec<(String, f64)>,
    /// How sure it was, from 0 to 1: [`margin`].
    pub margin: f64,
    /// When it was classified: milliseconds since 1970, UTC.
    pub seen_ms: u64,
}

/// How sure an answer is, from 0, not at all, to 1: the lead of the most probable topic over the second; where documents have
/// several topics, twice the distance of the least certain topic from one half. Where the answer leaves some of the `n_topics`
/// topics out, the least that it can be.
pub fn margin(answer: &Classification, label_kind: LabelKind, n_topics: usize) -> f64 {
    let probability = |place: usize| answer.topics.get(place).map(|score| score.probability);
    match label_kind {
        LabelKind::SingleLabel => {
            let first = probability(0).unwrap_or(0.0);
            (first - probability(1).unwrap_or(first.min(1.0 - first))).clamp(0.0, 1.0)
        }
        LabelKind::MultiLabel => {
            let distances = answer.topics.iter().map(|score| (2.0 * score.probability - 1.0).abs());
            // Topics that are left out are no more probable than the last one.
            let may_be_unsure =
                answer.topics.len() < n_topics && answer.topics.last().is_none_or(|last| last.probability >= 0.5);
            if may_be_unsure { 0.0 } else { distances.fold(1.0, f64::min) }
        }
    }
}

/// What orders candidates: the margin's bits, which order as the margin does, and a number that tells equals apart.
type Place = (u64, u64);

/// The queue.
#[derive(Debug, Default)]
pub struct ReviewQueue {
    candidates: BTreeMap<Place, ReviewCandidate>,
    places: HashMap<ContentHash, Place>,
    n_bytes: usize,
    n_ever: u64,
    /// The margin of the last one that had to make room.
    last_let_go: f64,
}

impl ReviewQueue {
    /// Takes a document in, in place of what it was before; then [`Self::shrink`].
    pub fn add(&mut self, candidate: ReviewCandidate, max_documents: usize) {
        self.remove(candidate.hash);
        let place = (candidate.margin.max(0.0).to_bits(), self.n_ever);
        self.n_ever += 1;
        self.n_bytes += candidate.document.n_bytes();
        self.places.insert(candidate.hash, place);
        self.candidates.insert(place, candidate);
        self.shrink(max_documents);
    }

    /// Lets go of what is surest beyond `max_documents`.
    pub fn shrink(&mut self, max_documents: usize) {
        while self.candidates.len() > max_documents || self.n_bytes > MAX_BYTES {
            let Some((_, surest)) = self.candidates.pop_last() else { break };
            self.n_bytes -= surest.document.n_bytes();
            self.places.remove(&surest.hash);
            self.last_let_go = surest.margin;
        }
    }

    /// The margin below which a document gets in.
    pub fn bound(&self, max_documents: usize) -> f64 {
        match self.candidates.last_key_value() {
            Some((_, surest)) if self.candidates.len() >= max_documents => surest.margin,
            _ if max_documents == 0 => 0.0,
            // As good as full: most documents would make others go at once, or go themselves.
            _ if self.n_bytes > MAX_BYTES - MAX_BYTES / 16 => self.last_let_go,
            _ => f64::INFINITY,
        }
    }

    /// Lets go of what was classified too long ago.
    pub fn expire(&mut self, now_ms: u64) {
        let is_old = |candidate: &&ReviewCandidate| now_ms.saturating_sub(candidate.seen_ms) > MAX_AGE_MS;
        let old: Vec<ContentHash> = self.candidates.values().filter(is_old).map(|candidate| candidate.hash).collect();
        for hash in old {
            self.remove(hash);
        }
    }

    /// Forgets a document; `false` if it isn't there.
    pub fn remove(&mut self, hash: ContentHash) -> bool {
        let removed = self.places.remove(&hash).and_then(|place| self.candidates.remove(&place));
        if let Some(candidate) = &removed {
            self.n_bytes -= candidate.document.n_bytes();
        }
        removed.is_some()
    }

    /// How many documents there are.
    pub fn n_documents(&self) -> usize {
        self.candidates.len()
    }

    /// The documents, the least sure first.
    pub fn candidates(&self) -> impl Iterator<Item = &ReviewCandidate> {
        self.candidates.values()
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::abstention::Decision;
    use crate::classifier::TopicScore;
    use crate::features::DocumentStats;
    use crate::names::ClassifierName;

    fn candidate(text: &str, margin: f64, seen_ms: u64) -> ReviewCandidate {
        let document = Document::new("", text).unwrap();
        let hash = document.content_hash();
        let version = VersionName { classifier: ClassifierName::default(), number: NonZeroU32::MIN };
        ReviewCandidate { document, hash, version, topics: Vec::new(), margin, seen_ms }
    }

    fn texts(queue: &ReviewQueue) -> Vec<&str> {
        queue.candidates().map(|candidate| candidate.document.text()).collect()
    }

    #[test]
    fn the_least_sure_stay_each_once() {
        let mut queue = ReviewQueue::default();
        assert_eq!(queue.bound(2), f64::INFINITY);
        for (text, margin) in [("a", 0.5), ("b", 0.1), ("c", 0.3), ("b", 0.2), ("d", 0.9), ("e", 0.2)] {
            queue.add(candidate(text, margin, 0), 3);
        }
        assert_eq!((texts(&queue), queue.bound(3)), (vec!["b", "e", "c"], 0.3));
        let hash = Document::new("", "e").unwrap().content_hash();
        assert!(queue.remove(hash) && !queue.remove(hash));
        assert_eq!((texts(&queue), queue.bound(3), queue.n_bytes), (vec!["b", "c"], f64::INFINITY, 2));
        assert_eq!(ReviewQueue::default().bound(0), 0.0);
    }

    #[test]
    fn long_documents_and_old_ones_make_room() {
        let mut queue = ReviewQueue::default();
        for (n, margin) in [(0, 0.3), (1, 0.2), (2, 0.1)] {
            queue.add(candidate(&n.to_string().repeat(MAX_BYTES / 2), margin, 0), 10);
        }
        assert_eq!(queue.candidates().map(|candidate| candidate.margin).collect::<Vec<_>>(), [0.1, 0.2]);
        queue.add(candidate("new", 0.0, MAX_AGE_MS), 10);
        queue.expire(MAX_AGE_MS + 1);
        assert_eq!((texts(&queue), queue.n_bytes, queue.n_documents()), (vec!["new"], 3, 1));
    }

    fn answer(probabilities: &[f64]) -> Classification {
        let score =
            |(topic, &probability): (usize, &f64)| TopicScore { topic, probability, raw_score: 0.0, assigned: true };
        Classification {
            topics: probabilities.iter().enumerate().map(score).collect(),
            decision: Decision::Assigned,
            stats: DocumentStats::default(),
            explanations: Vec::new(),
        }
    }

    #[test]
    fn a_margin_is_never_more_than_with_all_topics() {
        let single = |probabilities: &[f64]| margin(&answer(probabilities), LabelKind::SingleLabel, 3);
        assert!((single(&[0.5, 0.3, 0.2]) - 0.2).abs() < 1e-12);
        // The second may have all the rest, but no more than the first.
        assert!((single(&[0.7]) - 0.4).abs() < 1e-12);
        assert_eq!(single(&[0.4]), 0.0);
        let multi = |probabilities: &[f64]| margin(&answer(probabilities), LabelKind::MultiLabel, 3);
        assert!((multi(&[0.9, 0.6, 0.1]) - 0.2).abs() < 1e-12);
        assert!((multi(&[0.9, 0.1]) - 0.8).abs() < 1e-12);
        assert_eq!(multi(&[0.9, 0.8]), 0.0);
    }
}
