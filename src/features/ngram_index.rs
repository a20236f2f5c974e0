//! The character n-grams that are features: for each unigram, the numbers of those that are pieces of it.

use std::collections::{BTreeMap, HashMap};

use super::counts::{NO_TERM, TermKind};
use crate::text::character_ngrams::{self, NgramScratch};

/// The n-grams of enough documents, numbered from 0 on in the order of their names.
#[derive(Debug, Default)]
pub(super) struct NgramIndex {
    /// The names, sorted.
    pub(super) names: Vec<String>,
    /// Unigram `u` is made of `ngrams[ends[u - 1]..ends[u]]`; none where n-grams are no features.
    ends: Vec<usize>,
    ngrams: Vec<u32>,
}

impl NgramIndex {
    /// Finds the n-grams of at least as many documents as [`TermKind::CharacterNgram`] wants, given the documents' tokens
    /// as numbers of `unigrams`.
    pub(super) fn of(chunks: &[Vec<Vec<u32>>], unigrams: &[String]) -> Self {
        let (mut numbers, mut scratch): (HashMap<String, u32>, _) = (HashMap::new(), NgramScratch::default());
        let (mut ends, mut ngrams) = (Vec::with_capacity(unigrams.len()), Vec::new());
        for unigram in unigrams {
            character_ngrams::for_each_character_ngram(unigram, &mut scratch, |ngram, _| {
                let n_known = numbers.len() as u32;
                let number = numbers.get(ngram).copied();
                ngrams.push(number.unwrap_or_else(|| *numbers.entry(ngram.to_owned()).or_insert(n_known)));
            });
            ends.push(ngrams.len());
        }
        let all = Self { names: Vec::new(), ends, ngrams };
        let n_documents = all.count_documents(chunks, numbers.len());
        let is_frequent = |number: u32| n_documents[number as usize] >= TermKind::CharacterNgram.min_documents();
        let frequent: BTreeMap<String, u32> = numbers
            .iter()
            .filter(|&(_, &number)| is_frequent(number))
            .map(|(ngram, &number)| (character_ngrams::name(ngram), number))
            .collect();
        let mut places = vec![NO_TERM; numbers.len()];
        (0..).zip(frequent.values()).for_each(|(place, &number)| places[number as usize] = place);
        all.renumbered(&places, frequent.into_keys().collect())
    }

    /// The n-grams that a unigram is made of, first to last.
    pub(super) fn of_unigram(&self, unigram: u32) -> &[u32] {
        let Some(&end) = self.ends.get(unigram as usize) else { return &[] };
        let start = if unigram == 0 { 0 } else { self.ends[unigram as usize - 1] };
        &self.ngrams[start..end]
    }

    fn count_documents(&self, chunks: &[Vec<Vec<u32>>], n_ngrams: usize) -> Vec<usize> {
        let (mut n_documents, mut last_document) = (vec![0; n_ngrams], vec![usize::MAX; n_ngrams]);
        for (document, tokens) in chunks.iter().flatten().enumerate() {
            for &ngram in tokens.iter().filter(|&&token| token != NO_TERM).flat_map(|&token| self.of_unigram(token)) {
                if last_document[ngram as usize] != document {
                    last_document[ngram as usize] = document;
                    n_documents[ngram as usize] += 1;
                }
            }
        }
        n_documents
    }

    /// With new numbers, and without the n-grams whose new number is [`NO_TERM`].
    fn renumbered(mut self, places: &[u32], names: Vec<String>) -> Self {
        let (mut kept, mut start) = (Vec::new(), 0);
        for end in &mut self.ends {
            let places = self.ngrams[start..*end].iter().map(|&number| places[number as usize]);
            start = *end;
            kept.extend(places.filter(|&place| place != NO_TERM));
            *end = kept.len();
        }
        Self { names, ends: self.ends, ngrams: kept }
    }
}
