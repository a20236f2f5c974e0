//! The terms that a model knows, each with a number: a hash table that is used as it lies in the model's file.
//!
//! Terms are numbered in sorted order, unigrams before bigrams before character n-grams. The table is made of 64-byte buckets, one cache line:
//! eight 32-bit fingerprints, then the eight terms' numbers. A term's bucket comes from the high half of its
//! [`TermHash`], its fingerprint is the low half; a full bucket overflows into the next. Most terms of most texts are
//! unknown, and for them one cache line settles it. No two terms of a vocabulary are confused: a seed is chosen that
//! keeps them apart. An unknown term is taken for a known one in about one of 10⁹ look-ups.

use bytes::Bytes;
use zerocopy::little_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::front_coding::FrontCodedStrings;
use crate::packed::Packed;
use crate::processor::{Processor, each_fetched_ahead};
use crate::text::{TermHash, character_ngrams};

const SLOTS: usize = 8;
/// The share of slots that are filled, in percent: 70 keeps overflow to a few buckets.
const FILL_PERCENT: usize = 70;
/// The number in a slot that holds no term.
const EMPTY: U32 = U32::new(u32::MAX);
/// How many seeds are tried; a vocabulary of a million terms needs a second one in about 1 of 1,000 trainings.
const MAX_SEEDS: u64 = 64;

/// One cache line of the table; filled slots come first.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct Bucket {
    fingerprints: [U32; SLOTS],
    features: [U32; SLOTS],
}

const EMPTY_BUCKET: Bucket = Bucket { fingerprints: [U32::ZERO; SLOTS], features: [EMPTY; SLOTS] };

/// Why terms can't be made into a vocabulary, or bytes not be read as one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VocabularyError {
    /// More terms, or longer ones, than 32-bit numbers count.
    #[error("the vocabulary of {0} terms is too large; set a maximum number of features")]
    TooLarge(usize),
    /// The stored hash table isn't one.
    #[error("the vocabulary's hash table is malformed: {0}")]
    MalformedTable(&'static str),
    /// The stored strings don't decode.
    #[error("the vocabulary's terms don't decode")]
    MalformedTerms,
}

/// A model's terms; immutable, cheap to clone.
#[derive(Debug, Clone)]
pub struct Vocabulary {
    seed: u64,
    n_unigrams: usize,
    n_character_ngrams: usize,
    n_inferred: usize,
    buckets: Packed<Bucket>,
    /// Of the learned terms.
    terms: FrontCodedStrings,
}

/// A vocabulary as it stands in a file.
pub(crate) struct VocabularyParts {
    pub(crate) seed: u64,
    pub(crate) n_unigrams: usize,
    pub(crate) n_character_ngrams: usize,
    /// Learned ones.
    pub(crate) n_terms: usize,
    pub(crate) n_inferred: usize,
    pub(crate) buckets: Bytes,
    pub(crate) term_data: Bytes,
    pub(crate) term_blocks: Bytes,
}

impl Vocabulary {
    /// Numbers the unigrams, then the bigrams (two tokens with a space between), then the character n-grams (by
    /// [`character_ngrams::name`]); each kind sorted and each term once.
    ///
    /// # Errors
    /// [`VocabularyError::TooLarge`].
    pub fn new<S: AsRef<str>>(unigrams: &[S], bigrams: &[S], character_ngrams: &[S]) -> Result<Self, VocabularyError> {
        Self::with_inferred(unigrams, bigrams, character_ngrams, &[] as &[&str])
    }

    /// The same, and after the learned terms numbers words that are only inferred ([`crate::words`]): tokens, each once and none of them a unigram. Their
    /// strings aren't kept.
    ///
    /// # Errors
    /// [`VocabularyError::TooLarge`].
    pub(crate) fn with_inferred<S: AsRef<str>, T: AsRef<str>>(
        unigrams: &[S],
        bigrams: &[S],
        character_ngrams: &[S],
        inferred: &[T],
    ) -> Result<Self, VocabularyError> {
        let n_learned = unigrams.len() + bigrams.len() + character_ngrams.len();
        let n_terms = n_learned + inferred.len();
        let words = || unigrams.iter().map(AsRef::as_ref).chain(bigrams.iter().map(AsRef::as_ref));
        let strings = || words().chain(character_ngrams.iter().map(AsRef::as_ref));
        debug_assert!(unigrams.is_sorted_by(|a, b| a.as_ref() < b.as_ref()));
        debug_assert!(bigrams.is_sorted_by(|a, b| a.as_ref() < b.as_ref()));
        debug_assert!(character_ngrams.is_sorted_by(|a, b| a.as_ref() < b.as_ref()));
        if n_terms >= u32::MAX as usize {
            return Err(VocabularyError::TooLarge(n_terms));
        }
        let terms = FrontCodedStrings::encode(strings()).ok_or(VocabularyError::TooLarge(n_terms))?;
        let hashes = |seed| {
            let learned = strings().map(move |term| hash_of(term, seed));
            learned.chain(inferred.iter().map(move |word| TermHash::unigram(word.as_ref().as_bytes(), seed)))
        };
        let (seed, buckets) = (0..MAX_SEEDS)
            .find_map(|seed| Some((seed, fill_table(hashes(seed), n_terms)?)))
            .ok_or(VocabularyError::TooLarge(n_terms))?;
        let (n_unigrams, n_character_ngrams, n_inferred) = (unigrams.len(), character_ngrams.len(), inferred.len());
        Ok(Self { seed, n_unigrams, n_character_ngrams, n_inferred, buckets: Packed::from_values(&buckets), terms })
    }

    /// The number of a term, if the vocabulary has it.
    #[inline]
    pub fn feature(&self, hash: TermHash) -> Option<u32> {
        find(&self.buckets, hash)
    }

    /// Adds the numbers of those terms that the vocabulary has, in the order of the hashes but for a few at the end; `again` is a
    /// buffer.
    ///
    /// The fast way for many of them: what one look-up finds decides nothing about the next, so that the processor fetches the cache
    /// lines of a dozen at a time. The few whose bucket is full are looked up again one by one.
    #[inline(always)]
    pub(crate) fn add_features(
        &self,
        processor: impl Processor,
        hashes: &[TermHash],
        features: &mut Vec<u32>,
        again: &mut Vec<TermHash>,
    ) {
        let (buckets, n_before) = (&*self.buckets, features.len());
        features.resize(n_before + hashes.len(), 0);
        again.resize(hashes.len().max(again.len()), TermHash(0));
        let (known, unsettled) = (&mut features[n_before..], again.as_mut_slice());
        let (mut n_known, mut n_unsettled) = (0, 0);
        let bucket_of = |hash| buckets.get(first_bucket(hash, buckets.len()));
        let fetch = |hash| _ = bucket_of(hash).inspect(|bucket| processor.prefetch(*bucket));
        each_fetched_ahead(hashes, fetch, |_, hash| {
            let fingerprint = hash.0 as u32;
            let Some(bucket) = bucket_of(hash) else { return };
            let found = processor.equal(bucket.fingerprints.map(U32::get), fingerprint);
            let feature = bucket.features[found.trailing_zeros() as usize % SLOTS];
            known[n_known] = feature.get();
            // An empty slot has the fingerprint 0 too, but comes after all that are filled.
            n_known += usize::from((found != 0) & (feature != EMPTY));
            unsettled[n_unsettled] = hash;
            n_unsettled += usize::from((found == 0) & (bucket.features[SLOTS - 1] != EMPTY));
        });
        features.truncate(n_before + n_known);
        features.extend(again[..n_unsettled].iter().filter_map(|&hash| self.feature(hash)));
    }

    /// The seed of its terms' hashes.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// A learned term's text by its number; a bigram is its two tokens with a space between, a character n-gram as
    /// [`character_ngrams::name`] writes it.
    pub fn term(&self, feature: u32) -> Option<String> {
        self.terms.get(feature as usize)
    }

    /// The number of terms, those that are only inferred among them.
    pub fn len(&self) -> usize {
        self.n_learned() + self.n_inferred
    }

    /// The number of terms that were learned: the first features. The others are words that are only inferred.
    pub fn n_learned(&self) -> usize {
        self.terms.len()
    }

    /// Whether a feature is a word: one token, learned or inferred.
    #[inline(always)]
    pub fn is_word(&self, feature: u32) -> bool {
        (feature as usize) < self.n_unigrams || feature as usize >= self.n_learned()
    }

    /// Whether it has no term at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of unigrams: features below it are unigrams.
    pub fn n_unigrams(&self) -> usize {
        self.n_unigrams
    }

    /// The number of character n-grams: they are the last features that are learned.
    pub fn n_character_ngrams(&self) -> usize {
        self.n_character_ngrams
    }

    pub(crate) fn to_parts(&self) -> VocabularyParts {
        VocabularyParts {
            seed: self.seed,
            n_unigrams: self.n_unigrams,
            n_character_ngrams: self.n_character_ngrams,
            n_terms: self.n_learned(),
            n_inferred: self.n_inferred,
            buckets: Bytes::copy_from_slice(self.buckets.as_bytes()),
            term_data: self.terms.data.clone(),
            term_blocks: Bytes::copy_from_slice(self.terms.blocks.as_bytes()),
        }
    }

    /// Takes stored parts, after checking that look-ups in them end and give numbers of terms only.
    pub(crate) fn from_parts(parts: VocabularyParts) -> Result<Self, VocabularyError> {
        let malformed = VocabularyError::MalformedTable;
        let buckets = Packed::<Bucket>::new(parts.buckets).ok_or(malformed("not a whole number of buckets"))?;
        // More than `new` makes, and sizes would overflow.
        let too_many = parts.n_terms >= u32::MAX as usize || parts.n_inferred >= u32::MAX as usize - parts.n_terms;
        let n_all = parts.n_terms.saturating_add(parts.n_inferred);
        let n_bigrams =
            parts.n_terms.checked_sub(parts.n_unigrams).and_then(|n| n.checked_sub(parts.n_character_ngrams));
        if too_many || buckets.len() != n_buckets(n_all) || n_bigrams.is_none() {
            return Err(malformed("its size doesn't match the number of terms"));
        }
        let mut seen = vec![false; n_all];
        let mut n_seen = 0;
        for bucket in &*buckets {
            let filled = bucket.features.iter().take_while(|&&feature| feature != EMPTY).count();
            // Look-ups rely on it.
            if bucket.features[filled..].iter().any(|&feature| feature != EMPTY) {
                return Err(malformed("a bucket has a gap"));
            }
            // The same vocabulary has the same bytes.
            if bucket.fingerprints[filled..].iter().any(|&fingerprint| fingerprint != U32::ZERO) {
                return Err(malformed("a slot without a term has a fingerprint"));
            }
            for feature in &bucket.features[..filled] {
                match seen.get_mut(feature.get() as usize) {
                    Some(seen) if !*seen => *seen = true,
                    _ => return Err(malformed("a slot holds no term's number, or one that another slot holds")),
                }
            }
            n_seen += filled;
        }
        if n_seen != n_all {
            return Err(malformed("a term is missing"));
        }
        let blocks = Packed::new(parts.term_blocks).ok_or(VocabularyError::MalformedTerms)?;
        let terms =
            FrontCodedStrings::decode(parts.term_data, blocks, parts.n_terms).ok_or(VocabularyError::MalformedTerms)?;
        let VocabularyParts { seed, n_unigrams, n_character_ngrams, n_inferred, .. } = parts;
        Ok(Self { seed, n_unigrams, n_character_ngrams, n_inferred, buckets, terms })
    }
}

fn hash_of(term: &str, seed: u64) -> TermHash {
    if let Some(ngram) = character_ngrams::parse_name(term) {
        return TermHash::character_ngram(&ngram, seed);
    }
    match term.split_once(' ') {
        None => TermHash::unigram(term.as_bytes(), seed),
        Some((first, second)) => {
            TermHash::bigram(TermHash::unigram(first.as_bytes(), seed), TermHash::unigram(second.as_bytes(), seed))
        }
    }
}

/// At least one bucket, and always an empty slot.
fn n_buckets(n_terms: usize) -> usize {
    (n_terms * 100).div_ceil(SLOTS * FILL_PERCENT) + 1
}

fn first_bucket(hash: TermHash, n_buckets: usize) -> usize {
    (((hash.0 >> 32) * n_buckets as u64) >> 32) as usize
}

/// The table of the hashes, numbered in their order; `None` when two of them can't be told apart.
fn fill_table(hashes: impl Iterator<Item = TermHash>, n_terms: usize) -> Option<Vec<Bucket>> {
    let mut buckets = vec![EMPTY_BUCKET; n_buckets(n_terms)];
    for (feature, hash) in hashes.enumerate() {
        if find(&buckets, hash).is_some() {
            return None;
        }
        let mut index = first_bucket(hash, buckets.len());
        let slot = loop {
            match buckets[index].features.iter().position(|&feature| feature == EMPTY) {
                Some(slot) => break slot,
                None => index = (index + 1) % buckets.len(),
            }
        };
        buckets[index].fingerprints[slot] = U32::new(hash.0 as u32);
        buckets[index].features[slot] = U32::new(feature as u32);
    }
    // Looking at each new term is enough: the buckets on the way to an earlier one were full already, so no later term
    // with its fingerprint can have been put before it.
    Some(buckets)
}

#[inline]
fn find(buckets: &[Bucket], hash: TermHash) -> Option<u32> {
    let fingerprint = U32::new(hash.0 as u32);
    let start = first_bucket(hash, buckets.len());
    // Never more than once around, even in a table without an empty slot.
    let (wrapped, from_start) = buckets.split_at_checked(start)?;
    for bucket in from_start.iter().chain(wrapped) {
        for slot in 0..SLOTS {
            if bucket.fingerprints[slot] == fingerprint && bucket.features[slot] != EMPTY {
                return Some(bucket.features[slot].get());
            }
        }
        if bucket.features[SLOTS - 1] == EMPTY {
            return None;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::processor::Any;

    fn vocabulary(n: usize) -> Vocabulary {
        let mut unigrams: Vec<String> = (0..n).map(|i| format!("w{i}")).collect();
        unigrams.sort();
        let bigrams: Vec<String> = unigrams.windows(2).map(|pair| pair.join(" ")).collect();
        let mut ngrams: Vec<String> =
            unigrams.iter().filter(|word| word.len() > 3).map(|word| format!("*{word}")).collect();
        ngrams.dedup();
        Vocabulary::new(&unigrams, &bigrams, &ngrams).unwrap()
    }

    #[test]
    fn every_term_has_its_number_and_others_have_none() {
        for n in [0, 1, 2, 7, 8, 9, 100, 20_000] {
            let vocabulary = vocabulary(n);
            for feature in 0..vocabulary.len() as u32 {
                let term = vocabulary.term(feature).unwrap();
                assert_eq!(vocabulary.feature(hash_of(&term, vocabulary.seed())), Some(feature), "{term}");
            }
            for i in 0..1000 {
                assert_eq!(vocabulary.feature(hash_of(&format!("v{i}"), vocabulary.seed())), None);
            }
        }
    }

    fn features_of(vocabulary: &Vocabulary, processor: impl Processor, hashes: &[TermHash]) -> Vec<u32> {
        // What is there before stays.
        let (mut features, mut again) = (vec![7], vec![TermHash(5); 3]);
        vocabulary.add_features(processor, hashes, &mut features, &mut again);
        assert_eq!(features.remove(0), 7);
        features
    }

    #[test]
    fn looking_many_terms_up_finds_what_looking_up_each_finds() {
        for n in [0, 1, 7, 8, 9, 100, 20_000] {
            let vocabulary = vocabulary(n);
            let known = (0..vocabulary.len() as u32).filter_map(|feature| vocabulary.term(feature));
            let unknown = (0..3000).map(|i| format!("v{i}"));
            let mut hashes: Vec<TermHash> =
                known.chain(unknown).map(|term| hash_of(&term, vocabulary.seed())).collect();
            // Empty slots have this fingerprint.
            hashes.extend((0..1000).map(|i| TermHash(i << 54)));
            let mut expected: Vec<u32> = hashes.iter().filter_map(|&hash| vocabulary.feature(hash)).collect();
            expected.sort_unstable();
            assert_eq!(expected.len(), vocabulary.len());
            let mut found = features_of(&vocabulary, Any, &hashes);
            // In the same order, which scores are added up in.
            #[cfg(target_arch = "x86_64")]
            if let Some(v3) = pulp::x86::V3::try_new() {
                assert_eq!(features_of(&vocabulary, v3, &hashes), found);
            }
            found.sort_unstable();
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn parts_make_the_same_vocabulary_again_and_are_checked() {
        let original = vocabulary(50);
        let again = Vocabulary::from_parts(original.to_parts()).unwrap();
        assert_eq!(again.buckets.as_bytes(), original.buckets.as_bytes());
        assert_eq!(again.term(60), original.term(60));

        let damaged = |change: &dyn Fn(&mut VocabularyParts)| {
            let mut parts = original.to_parts();
            change(&mut parts);
            Vocabulary::from_parts(parts).unwrap_err()
        };
        damaged(&|parts| parts.n_terms += 1);
        damaged(&|parts| parts.n_unigrams = 1000);
        damaged(&|parts| parts.n_character_ngrams = usize::MAX);
        damaged(&|parts| parts.buckets = parts.buckets.slice(1..));
        damaged(&|parts| parts.buckets = vec![0; parts.buckets.len()].into());
        damaged(&|parts| parts.buckets = vec![0xFF; parts.buckets.len()].into());
        damaged(&|parts| parts.term_data = parts.term_data.slice(1..));
        damaged(&|parts| {
            let mut buckets = original.buckets.to_vec();
            let emptiest = buckets.iter_mut().find(|bucket| bucket.features[SLOTS - 1] == EMPTY).unwrap();
            emptiest.fingerprints[SLOTS - 1] = U32::new(1);
            parts.buckets = Bytes::copy_from_slice(buckets.as_bytes());
        });
    }

    #[test]
    fn a_full_table_still_ends_every_search() {
        let full = [Bucket { fingerprints: [U32::ZERO; SLOTS], features: [U32::ZERO; SLOTS] }; 3];
        assert_eq!(find(&full, TermHash(u64::MAX)), None);
        assert_eq!(find(&[], TermHash(5)), None);
    }
}
