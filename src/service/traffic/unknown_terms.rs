//! Words that many documents have and the vocabulary lacks: what the world talks about since training.
//!
//! Counted in bounded memory by Misra & Gries' algorithm (*Finding repeated elements*, 1982): a count is too low by at most the
//! number of words counted over 4096, never too high, and a word in more documents than that is always found.

use std::collections::HashMap;

/// Words that are counted at a time.
const CAPACITY: usize = 4096;
/// Shorter words, in characters, are not worth a look.
const MIN_CHARACTERS: usize = 3;

/// The counts.
#[derive(Debug, Default)]
pub struct UnknownTerms {
    n_documents: u64,
    counts: HashMap<String, u64>,
}

/// A word that the vocabulary lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownTerm {
    /// The word, as a term would be.
    pub term: String,
    /// The documents that have it, at least so many.
    pub n_documents: u64,
}

impl UnknownTerms {
    /// Counts a document with its unknown words; a word counts once.
    pub fn add(&mut self, mut words: Vec<String>) {
        self.n_documents += 1;
        words.sort_unstable();
        words.dedup();
        let is_word = |word: &String| word.chars().count() >= MIN_CHARACTERS && word.chars().any(char::is_alphabetic);
        words.into_iter().filter(is_word).for_each(|word| self.count(word));
    }

    fn count(&mut self, word: String) {
        if let Some(count) = self.counts.get_mut(&word) {
            *count += 1;
        } else if self.counts.len() < CAPACITY {
            self.counts.insert(word, 1);
        } else {
            // Each count that goes down was raised once: all in all this takes no longer than raising them did.
            self.counts.retain(|_, count| {
                *count -= 1;
                *count > 0
            });
        }
    }

    /// Documents that were counted.
    pub fn n_documents(&self) -> u64 {
        self.n_documents
    }

    /// The words in most documents, at least two; the most frequent first, equals by name.
    pub fn most_frequent(&self, max_terms: usize) -> Vec<UnknownTerm> {
        let frequent = self.counts.iter().filter(|&(_, &n_documents)| n_documents >= 2);
        let mut terms: Vec<UnknownTerm> =
            frequent.map(|(term, &n_documents)| UnknownTerm { term: term.clone(), n_documents }).collect();
        terms.sort_by(|a, b| b.n_documents.cmp(&a.n_documents).then_with(|| a.term.cmp(&b.term)));
        terms.truncate(max_terms);
        terms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_counted_once_a_document() {
        let mut terms = UnknownTerms::default();
        for document in ["covid covid lockdown", "covid 2020 ab lockdown", "covid"] {
            terms.add(document.split(' ').map(str::to_owned).collect());
        }
        let found = terms.most_frequent(10);
        let term = |term: &str, n_documents| UnknownTerm { term: term.to_owned(), n_documents };
        assert_eq!((found, terms.n_documents()), (vec![term("covid", 3), term("lockdown", 2)], 3));
        assert_eq!(terms.most_frequent(1).len(), 1);
    }

    #[test]
    fn what_is_frequent_is_found_among_any_number_of_rare_words() {
        let mut terms = UnknownTerms::default();
        for document in 0..20_000 {
            let mut words: Vec<String> = (0..5).map(|word| format!("rare{document}x{word}")).collect();
            if document % 20 == 0 {
                words.push("frequent".to_owned());
            }
            terms.add(words);
        }
        let found = terms.most_frequent(1);
        let n_counted = 20_000 * 5 + 1000;
        assert_eq!(found[0].term, "frequent");
        assert!((1000 - n_counted / CAPACITY as u64..=1000).contains(&found[0].n_documents), "{found:?}");
        assert!(terms.counts.len() <= CAPACITY);
    }
}
