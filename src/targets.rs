//! Which topics each document of a training set has, by number: what weighting, learning and evaluating compare with.

use std::collections::BTreeSet;

use crate::document::Topic;

/// The topics given, sorted, each once.
pub fn all_topics<'a>(topics: impl IntoIterator<Item = &'a Topic>) -> Vec<Topic> {
    topics.into_iter().collect::<BTreeSet<_>>().into_iter().cloned().collect()
}

/// The topic numbers of each document: one row a document, sorted, each below `n_topics`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Targets {
    n_topics: usize,
    offsets: Vec<usize>,
    topics: Vec<u32>,
}

impl Targets {
    /// Takes each document's topic numbers, sorted and each once.
    ///
    /// # Panics
    /// When a number isn't below `n_topics`: numbers come from the caller's own list of topics.
    pub fn new<R: AsRef<[u32]>>(n_topics: usize, documents: impl IntoIterator<Item = R>) -> Self {
        let mut targets = Self { n_topics, offsets: vec![0], topics: Vec::new() };
        for document in documents {
            let document = document.as_ref();
            assert!(document.iter().all(|&topic| (topic as usize) < n_topics), "topic number out of range");
            targets.topics.extend_from_slice(document);
            targets.offsets.push(targets.topics.len());
        }
        targets
    }

    /// Takes each document's topics, by their places in `topics`, which is sorted; others are left out.
    pub fn of_topics<'a>(topics: &[Topic], documents: impl IntoIterator<Item = &'a [Topic]>) -> Self {
        let number = |topic: &Topic| topics.binary_search(topic).ok().map(|number| number as u32);
        let row = |document: &[Topic]| document.iter().filter_map(number).collect::<Vec<u32>>();
        Self::new(topics.len(), documents.into_iter().map(row))
    }

    /// The same topics of the same documents, numbered as `all` does instead of as `own` does. `all` is sorted; what it lacks
    /// is left out. Of topics that `own` gives the same name a document has one.
    #[must_use]
    pub fn among(&self, own: &[Topic], all: &[Topic]) -> Self {
        let numbers: Vec<Option<u32>> =
            own.iter().map(|topic| all.binary_search(topic).ok().map(|number| number as u32)).collect();
        let row = |document| {
            let known = self.of(document).iter().filter_map(|&topic| numbers[topic as usize]);
            let mut row: Vec<u32> = known.collect();
            row.sort_unstable();
            row.dedup();
            row
        };
        Self::new(all.len(), (0..self.n_documents()).map(row))
    }

    /// The number of documents.
    pub fn n_documents(&self) -> usize {
        self.offsets.len() - 1
    }

    /// The number of topics, whether or not a document has them.
    pub fn n_topics(&self) -> usize {
        self.n_topics
    }

    /// The topics of one document.
    pub fn of(&self, document: usize) -> &[u32] {
        &self.topics[self.offsets[document]..self.offsets[document + 1]]
    }

    /// Whether a document has a topic.
    pub fn has(&self, document: usize, topic: usize) -> bool {
        self.of(document).contains(&(topic as u32))
    }

    /// For each topic, how many documents have it.
    pub fn documents_per_topic(&self) -> Vec<usize> {
        let mut counts = vec![0; self.n_topics];
        for &topic in &self.topics {
            counts[topic as usize] += 1;
        }
        counts
    }

    /// The targets of some documents, in the order given.
    #[must_use]
    pub fn select(&self, documents: &[u32]) -> Self {
        Self::new(self.n_topics, documents.iter().map(|&document| self.of(document as usize)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_numbered_anew_and_what_is_missing_is_left_out() {
        let [a, b, c] = ["a", "b", "c"].map(|name| Topic::new(name).unwrap());
        assert_eq!(all_topics([&c, &a, &c]), [a.clone(), c.clone()]);
        let own = Targets::new(2, [vec![0, 1], vec![], vec![1]]);
        let all = own.among(&[a.clone(), c.clone()], &[a.clone(), b.clone(), c.clone()]);
        assert_eq!(all, Targets::new(3, [vec![0, 2], vec![], vec![2]]));
        assert_eq!(
            all.among(&[a.clone(), b.clone(), c.clone()], &[b, c.clone()]),
            Targets::new(2, [vec![1], vec![], vec![1]])
        );
        let renamed = own.among(&[c.clone(), a.clone()], &[a.clone(), c.clone()]);
        assert_eq!(renamed, Targets::new(2, [vec![0, 1], vec![], vec![0]]));
        let one = [c.clone()];
        assert_eq!(own.among(&[c.clone(), c.clone()], &one), Targets::new(1, [vec![0], vec![], vec![0]]));
        assert_eq!(Targets::of_topics(&all_topics([&a]), [&[a, c][..]]), Targets::new(1, [[0]]));
    }
}
