//! What a version's training said about documents that its models never saw: kept with the version, so that a later one
//! can be compared with it on the documents of both without either having learned them.
//!
//! Encoded a document after the other: the first 8 bytes of its content hash, the number of its topics (2 bytes), and
//! the place of each among the version's topics (2 bytes each). Numbers are little-endian.

use std::collections::HashMap;

use crate::dataset::Dataset;
use crate::document::ContentHash;
use crate::targets::Targets;

/// The topics assigned to documents, by the beginning of their content hashes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OutOfFold {
    assigned: HashMap<[u8; 8], Vec<u16>>,
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
    use crate::document::{Document, LabeledDocument, Topic};

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
