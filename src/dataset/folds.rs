//! Cutting a dataset into folds for cross-validation: shuffled, and each topic spread evenly.
//!
//! Unshuffled folds are a trap: in files sorted by source or by language, each fold would be learned from the others'
//! sources. The shuffle is by a keyed hash of the content, so it doesn't depend on the order of arrival.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::Dataset;

/// The fold of each document, below `n_folds`. Documents of the same topic (of several, the rarest) are dealt out in
/// turn, so that no fold has two more of them than another.
pub fn cross_validation_folds(dataset: &Dataset, n_folds: usize, seed: u64) -> Vec<usize> {
    let n_documents_of = dataset.targets().documents_per_topic();
    let stratum = |document: usize| {
        let topics = dataset.targets().of(document).iter();
        topics.copied().min_by_key(|&topic| (n_documents_of[topic as usize], topic)).unwrap_or(u32::MAX)
    };
    let mut order: Vec<(u32, u64, usize)> = dataset
        .content_hashes()
        .enumerate()
        .map(|(document, hash)| (stratum(document), xxh3_64_with_seed(&hash.0, seed), document))
        .collect();
    order.sort_unstable();
    let mut folds = vec![0; order.len()];
    for (place, (_, _, document)) in order.into_iter().enumerate() {
        folds[document] = place % n_folds;
    }
    folds
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{Document, LabeledDocument, Topic};

    #[test]
    fn each_topic_is_spread_evenly_and_the_seed_shuffles() {
        let examples = (0..100).map(|i| {
            let topic = Topic::new(if i < 20 { "rare" } else { "common" }).unwrap();
            LabeledDocument::new(Document::new("", format!("text {i}")).unwrap(), vec![topic])
        });
        let dataset = Dataset::new(examples).unwrap();
        let folds = cross_validation_folds(&dataset, 3, 1);
        for topic in 0..2 {
            let mut sizes = [0; 3];
            (0..100).filter(|&document| dataset.targets().has(document, topic)).for_each(|d| sizes[folds[d]] += 1);
            assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1, "{sizes:?}");
        }
        assert_eq!(folds, cross_validation_folds(&dataset, 3, 1));
        assert_ne!(folds, cross_validation_folds(&dataset, 3, 2));
    }
}
