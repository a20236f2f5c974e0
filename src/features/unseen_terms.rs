//! Which of some terms are in none of some documents: the documents come bit by bit, and none has to be kept.

use std::collections::BTreeSet;

use rayon::prelude::*;
use zerocopy::little_endian::F32;

use super::vectorizer::{RowScratch, Vectorizer};
use super::vocabulary::{Vocabulary, VocabularyError};
use crate::document::Document;
use crate::packed::Packed;
use crate::text::character_ngrams;

/// Terms of any vocabularies, as these have them, of which those that a document was seen with are marked.
#[derive(Debug)]
pub struct UnseenTerms {
    vectorizer: Vectorizer,
    /// By feature.
    is_seen: Vec<bool>,
}

impl UnseenTerms {
    /// Takes terms, none of which was seen yet.
    ///
    /// # Errors
    /// [`VocabularyError::TooLarge`].
    pub fn new(terms: impl IntoIterator<Item = String>) -> Result<Self, VocabularyError> {
        let (mut unigrams, mut bigrams, mut ngrams) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for term in terms {
            // No token holds what the names of the other two are told by.
            let of_kind = match (character_ngrams::parse_name(&term), term.contains(' ')) {
                (Some(_), _) => &mut ngrams,
                (None, true) => &mut bigrams,
                (None, false) => &mut unigrams,
            };
            of_kind.insert(term);
        }
        let [unigrams, bigrams, ngrams] =
            [unigrams, bigrams, ngrams].map(|of_kind| of_kind.into_iter().collect::<Vec<String>>());
        let vocabulary = Vocabulary::new(&unigrams, &bigrams, &ngrams)?;
        let n_terms = vocabulary.len();
        let weights = Packed::from_values(&vec![F32::new(1.0); n_terms]);
        let vectorizer = Vectorizer::new(vocabulary, weights).ok_or(VocabularyError::TooLarge(n_terms))?;
        Ok(Self { vectorizer, is_seen: vec![false; n_terms] })
    }

    /// Marks the terms of documents, on all threads of the current rayon pool.
    pub fn look_at(&mut self, documents: &[&Document]) {
        let vectorizer = &self.vectorizer;
        let features = documents.par_iter().map_init(RowScratch::default, |scratch, document| {
            vectorizer.vectorize(document, scratch);
            scratch.row().features.to_vec()
        });
        let features: Vec<Vec<u32>> = features.collect();
        features.iter().flatten().for_each(|&feature| self.is_seen[feature as usize] = true);
    }

    /// Whether there is a term that wasn't seen.
    pub fn any(&self) -> bool {
        self.is_seen.contains(&false)
    }

    /// The terms that weren't seen.
    pub fn into_terms(self) -> BTreeSet<String> {
        let unseen = (0u32..).zip(&self.is_seen).filter(|(_, is_seen)| !**is_seen);
        unseen.filter_map(|(feature, _)| self.vectorizer.vocabulary().term(feature)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_of_every_kind_are_seen_where_they_are_and_only_there() {
        let terms = ["peace", "talks", "war", "peace talks", "talks peace", "treat*", "*reaty", "*eace"];
        let mut unseen = UnseenTerms::new(terms.map(str::to_owned)).unwrap();
        let documents = ["Peace", "talks, and a treatise"].map(|text| Document::new("", text).unwrap());
        unseen.look_at(&documents.each_ref());
        assert!(unseen.any());
        unseen.look_at(&[&Document::new("Talks!", "Peace?").unwrap()]);
        let left: Vec<String> = unseen.into_terms().into_iter().collect();
        assert_eq!(left, ["*reaty", "peace talks", "treat*", "war"]);
    }

    #[test]
    fn of_no_terms_none_is_unseen() {
        let unseen = UnseenTerms::new([]).unwrap();
        assert!(!unseen.any() && unseen.into_terms().is_empty());
    }
}
