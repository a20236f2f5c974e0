//! What a version's training said about documents that its models never saw: kept with the version, so that a later one
//! can be compared with it on the documents of both without either having learned them.
//!
//! Encoded a document after the other: the first 8 bytes of its content hash, the number of its topics (2 bytes), and
//! the place of each among the version's topics (2 bytes each). Numbers are little-endian.

use std::collections::HashMap;

use crate::cancellation::IsCancelled;
use crate::classifier::Classifier;
use crate::dataset::Dataset;
use crate::document::{ContentHash, Document};
use crate::targets::Targets;

/// The topics assigned to documents, by the beginning of their content hashes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OutOfFold {
    assigned: HashMap<[u8; 8], Vec<u16>>,
}

/// What a version says of documents as if it had seen none of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnlearnedAnswers {
    /// The topics assigned to each document, by place among the version's topics.
    pub assigned: Targets,
    /// Documents that it wasn't trained on, as far as is known.
    pub n_new: usize,
}

impl OutOfFold {
    /// Encodes the topics that were assigned to a dataset's documents.
    pub fn encode(dataset: &Dataset, assigned: &Targets) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (document, hash) in dataset.content_hashes().enumerate() {
            let topics = assigned.of(document);
            bytes.extend_from_slice(&key(hash));
            bytes.extend_from_slice(&(topics.len() as u16).to_le_bytes());
            topics.iter().for_each(|&topic| bytes.extend_from_slice(&(topic as u16).to_le_bytes()));
        }
        bytes
    }

    /// Reads what [`Self::encode`] wrote. What can't be read to its end, or names a topic beyond `n_topics`, counts as
    /// nothing: comparing is then as with a version from elsewhere.
    pub fn decode(bytes: &[u8], n_topics: usize) -> Self {
        let mut rest = bytes;
        let mut assigned = HashMap::new();
        while !rest.is_empty() {
            let Some((key, after)) = rest.split_first_chunk::<8>() else { return Self::default() };
            let Some((length, after)) = after.split_first_chunk::<2>() else { return Self::default() };
            let n_bytes = 2 * usize::from(u16::from_le_bytes(*length));
            let Some((topics, after)) = after.split_at_checked(n_bytes) else { return Self::default() };
            let topics: Vec<u16> = topics.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
            if topics.iter().any(|&topic| usize::from(topic) >= n_topics) {
                return Self::default();
            }
            assigned.insert(*key, topics);
            rest = after;
        }
        Self { assigned }
    }

    /// What the version assigns to documents, without asking it about those that it was trained on: of these it says what
    /// its training said. Means nothing when it was cancelled.
    pub fn answers(
        &self,
        classifier: &Classifier,
        documents: &[(&Document, ContentHash)],
        is_cancelled: IsCancelled<'_>,
    ) -> UnlearnedAnswers {
        let known: Vec<Option<&[u16]>> = documents.iter().map(|&(_, hash)| self.of(hash)).collect();
        let new = documents.iter().zip(&known).filter(|(_, known)| known.is_none());
        let new: Vec<&Document> = new.map(|(&(document, _), _)| document).collect();
        let answers = classifier.assigned_unless(&new, is_cancelled);
        let mut answered = 0..new.len();
        let row = |known: Option<&[u16]>| match known {
            Some(topics) => topics.iter().map(|&topic| u32::from(topic)).collect(),
            None => answered.next().map_or_else(Vec::new, |document| answers.of(document).to_vec()),
        };
        let assigned = Targets::new(classifier.topics().len(), known.into_iter().map(row));
        UnlearnedAnswers { assigned, n_new: new.len() }
    }

    /// Whether any of some documents is among those that bytes of [`Self::encode`] are about.
    pub fn learned_any(bytes: &[u8], hashes: &[ContentHash]) -> bool {
        let any_number_of_topics = usize::from(u16::MAX) + 1;
        let learned = Self::decode(bytes, any_number_of_topics);
        hashes.iter().any(|&hash| learned.of(hash).is_some())
    }

    /// Whether nothing is known of the documents that the version was trained on.
    pub fn is_empty(&self) -> bool {
        self.assigned.is_empty()
    }

    /// What was assigned to a document, by place among the version's topics; `None` when it wasn't trained on.
    pub fn of(&self, hash: ContentHash) -> Option<&[u16]> {
        self.assigned.get(&key(hash)).map(Vec::as_slice)
    }
}

fn key(hash: ContentHash) -> [u8; 8] {
    hash.0.first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{LabeledDocument, Topic};

    #[test]
    fn what_is_written_is_read_and_what_is_damaged_counts_as_nothing() {
        let examples = ["a", "b", "c"]
            .map(|text| LabeledDocument::new(Document::new("", text).unwrap(), vec![Topic::new(text).unwrap()]));
        let dataset = Dataset::new(examples).unwrap();
        let bytes = OutOfFold::encode(&dataset, &Targets::new(3, [vec![2], vec![], vec![0, 1]]));
        let read = OutOfFold::decode(&bytes, 3);
        let topics: Vec<&[u16]> = dataset.content_hashes().map(|hash| read.of(hash).unwrap()).collect();
        assert_eq!(topics, [&[2][..], &[], &[0, 1]]);
        assert_eq!(read.of(Document::new("", "d").unwrap().content_hash()), None);
        assert_eq!(OutOfFold::decode(&bytes, 2), OutOfFold::default());
        for end in 1..bytes.len() {
            let part = OutOfFold::decode(&bytes[..end], 3);
            assert!(part.assigned.len() < 3);
        }
    }
}
