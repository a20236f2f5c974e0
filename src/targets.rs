//! Which topics each document of a training set has, by number: what weighting, learning and evaluating compare with.

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
