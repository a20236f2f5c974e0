//! The term counts of a training set: every term of every document, counted once, numbered in sorted order whatever
//! the threads did.
//!
//! All unigrams are kept, and the bigrams and, if wanted, character n-grams of as many documents as their kind needs: one
//! of fewer documents is a feature in no subset of them either. So subsets (the folds of cross-validation) need no counts
//! of their own: [`super::weighting`] gives the weight 0 to terms that a subset doesn't hold.

use hashbrown::HashTable;
use rayon::prelude::*;
use xxhash_rust::xxh3::xxh3_64;

use super::bucket_sort;
use super::ngram_index::NgramIndex;
use super::sparse::{RowBuilder, SparseRows, damp};
use crate::cancellation::{IsCancelled, never};
use crate::document::Document;
use crate::text::{self, Scratch};

/// Documents that one task works on: enough to keep threads busy, few enough to share the work evenly.
const CHUNK: usize = 512;
/// Stands among a document's tokens for one that is too long to be a term: no bigram reaches across it.
pub(super) const NO_TERM: u32 = u32::MAX;

/// What a term is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TermKind {
    /// One token.
    Unigram,
    /// Two tokens that follow each other.
    Bigram,
    /// Five characters of a word ([`crate::text::character_ngrams`]).
    CharacterNgram,
}

impl TermKind {
    /// How many documents must hold a term of this kind that it is a feature.
    pub fn min_documents(self) -> usize {
        match self {
            Self::Unigram => 1,
            Self::Bigram => 2,
            Self::CharacterNgram => 3,
        }
    }
}

/// The terms of a set of documents, and how often each document holds each.
#[derive(Debug)]
pub struct TermCounts {
    unigrams: Vec<String>,
    bigrams: BigramIndex,
    ngrams: NgramIndex,
    offsets: Vec<usize>,
    features: Vec<u32>,
    counts: Vec<u32>,
    /// Tokens of each document that are too long to be terms.
    n_too_long: Vec<u32>,
}

impl TermCounts {
    /// Counts the words of all documents and their pairs, and with `character_ngrams` pieces of words too, on all threads of
    /// the current rayon pool.
    pub fn of(documents: &[&Document], character_ngrams: bool) -> Self {
        Self::of_unless(documents, character_ngrams, &never)
    }

    /// [`Self::of`], unless told to stop.
    pub(crate) fn of_unless(documents: &[&Document], character_ngrams: bool, is_cancelled: IsCancelled<'_>) -> Self {
        let chunks: Vec<ChunkTokens> = documents
            .par_chunks(CHUNK)
            .map(|chunk| ChunkTokens::of(if is_cancelled() { &[] } else { chunk }))
            .collect();
        let (unigrams, numbers) = number_unigrams(&chunks);
        let documents: Vec<Vec<Vec<u32>>> =
            chunks.into_par_iter().zip(numbers).map(|(chunk, numbers)| chunk.renumbered(&numbers)).collect();
        let (bigrams, ngrams) = rayon::join(
            || BigramIndex::of(&documents, unigrams.len()),
            || if character_ngrams { NgramIndex::of(&documents, &unigrams) } else { NgramIndex::default() },
        );
        let too_long_of = |tokens: &Vec<u32>| tokens.iter().filter(|&&token| token == NO_TERM).count() as u32;
        let n_too_long = documents.iter().flatten().map(too_long_of).collect();
        let (offsets, features, numbers) = (vec![0], Vec::new(), Vec::new());
        let mut counts = Self { unigrams, bigrams, ngrams, offsets, features, counts: numbers, n_too_long };
        let count_chunk = |chunk: &Vec<Vec<u32>>| {
            let mut scratch = CountScratch::default();
            chunk.iter().map(|tokens| counts.count_terms(tokens, &mut scratch)).collect()
        };
        let rows: Vec<Vec<Vec<(u32, u32)>>> = documents.par_iter().map(count_chunk).collect();
        let n_terms = rows.iter().flatten().map(Vec::len).sum();
        counts.features.reserve_exact(n_terms);
        counts.counts.reserve_exact(n_terms);
        for row in rows.into_iter().flatten() {
            counts.features.extend(row.iter().map(|&(feature, _)| feature));
            counts.counts.extend(row.iter().map(|&(_, count)| count));
            counts.offsets.push(counts.features.len());
        }
        counts
    }

    /// The number of documents.
    pub fn n_documents(&self) -> usize {
        self.offsets.len() - 1
    }

    /// The number of terms.
    pub fn n_features(&self) -> usize {
        self.first_ngram() + self.ngrams.names.len()
    }

    /// The terms that are one token, sorted: the first features.
    pub fn unigrams(&self) -> &[String] {
        &self.unigrams
    }

    /// The tokens of a document that are too long to be terms; they count among its tokens all the same.
    pub fn n_too_long_tokens(&self, document: usize) -> usize {
        self.n_too_long[document] as usize
    }

    /// What a term is made of: unigrams come first, then bigrams, then character n-grams.
    pub fn kind(&self, feature: u32) -> TermKind {
        match feature as usize {
            feature if feature < self.unigrams.len() => TermKind::Unigram,
            feature if feature < self.first_ngram() => TermKind::Bigram,
            _ => TermKind::CharacterNgram,
        }
    }

    /// The terms of a document and how often it holds each, by rising number.
    pub fn row(&self, document: usize) -> impl ExactSizeIterator<Item = (u32, u32)> + '_ {
        let range = self.offsets[document]..self.offsets[document + 1];
        self.features[range.clone()].iter().copied().zip(self.counts[range].iter().copied())
    }

    /// A term's text; a bigram is its two tokens with a space between, a character n-gram as
    /// [`crate::text::character_ngrams::name`] writes it.
    pub fn term(&self, feature: u32) -> String {
        let place = feature as usize;
        match self.kind(feature) {
            TermKind::Unigram => self.unigrams[place].clone(),
            TermKind::Bigram => {
                let (first, second) = self.bigrams.pair(place - self.unigrams.len());
                format!("{} {}", self.unigrams[first], self.unigrams[second])
            }
            TermKind::CharacterNgram => self.ngrams.names[place - self.first_ngram()].clone(),
        }
    }

    fn first_ngram(&self) -> usize {
        self.unigrams.len() + self.bigrams.len()
    }

    /// The features of a document and how often each occurs, by rising number.
    fn count_terms(&self, tokens: &[u32], scratch: &mut CountScratch) -> Vec<(u32, u32)> {
        let unigrams = || tokens.iter().copied().filter(|&token| token != NO_TERM);
        let bigrams = bigrams_of(tokens).filter_map(|(first, second)| self.bigrams.feature(first, second));
        let first_ngram = self.first_ngram() as u32;
        let ngrams = unigrams().flat_map(|token| self.ngrams.of_unigram(token)).map(|&ngram| first_ngram + ngram);
        let CountScratch { features, buffer, places } = scratch;
        features.clear();
        features.extend(unigrams());
        features.extend(bigrams);
        features.extend(ngrams);
        bucket_sort::sort(features, self.n_features(), buffer, places);
        features.chunk_by(|a, b| a == b).map(|run| (run[0], run.len() as u32)).collect()
    }

    /// TF-IDF rows of some documents, in the order given, with a weight for each feature.
    pub fn rows(&self, documents: &[u32], weights: &[f32]) -> SparseRows {
        let chunks: Vec<SparseRows> = documents
            .par_chunks(CHUNK)
            .map(|chunk| {
                let (mut rows, mut builder) = (SparseRows::new(self.n_features()), RowBuilder::default());
                for &document in chunk {
                    rows.push(builder.build(self.row(document as usize), |feature| weights[feature as usize]));
                }
                rows
            })
            .collect();
        let n_values = chunks.iter().map(SparseRows::n_values).sum();
        let mut rows = SparseRows::with_capacity(self.n_features(), documents.len(), n_values);
        chunks.into_iter().for_each(|chunk| rows.append(&chunk));
        rows
    }

    /// The L2 norm that the rows of some documents would have without being divided by it, in the order given.
    pub(crate) fn norms(&self, documents: &[u32], weights: &[f32]) -> Vec<f32> {
        let squared = |(feature, count): (u32, u32)| f64::from(damp(count) * weights[feature as usize]).powi(2);
        let norm = |&document: &u32| self.row(document as usize).map(squared).sum::<f64>().sqrt() as f32;
        documents.par_iter().with_min_len(CHUNK).map(norm).collect()
    }

    /// For each feature, which documents hold it.
    pub fn postings(&self) -> Postings {
        let mut offsets = vec![0; self.n_features() + 1];
        for &feature in &self.features {
            offsets[feature as usize + 1] += 1;
        }
        for feature in 0..self.n_features() {
            offsets[feature + 1] += offsets[feature];
        }
        let (mut next, mut documents) = (offsets.clone(), vec![0; self.features.len()]);
        for document in 0..self.n_documents() {
            for &feature in &self.features[self.offsets[document]..self.offsets[document + 1]] {
                documents[next[feature as usize]] = document as u32;
                next[feature as usize] += 1;
            }
        }
        Postings { offsets, documents }
    }
}

/// Buffers that counting a document's terms needs.
#[derive(Debug, Default)]
struct CountScratch {
    features: Vec<u32>,
    buffer: Vec<u32>,
    places: Vec<u32>,
}

/// For each feature, the documents that hold it, rising.
#[derive(Debug)]
pub struct Postings {
    offsets: Vec<usize>,
    documents: Vec<u32>,
}

impl Postings {
    /// The documents that hold a feature.
    pub fn of(&self, feature: usize) -> &[u32] {
        &self.documents[self.offsets[feature]..self.offsets[feature + 1]]
    }
}

/// A chunk's documents as sequences of numbers that mean something in this chunk only.
struct ChunkTokens {
    /// The distinct tokens, one after the other.
    text: String,
    ends: Vec<usize>,
    documents: Vec<Vec<u32>>,
}

impl ChunkTokens {
    fn of(documents: &[&Document]) -> Self {
        let mut chunk = Self { text: String::new(), ends: Vec::new(), documents: Vec::new() };
        let mut numbers = HashTable::new();
        let mut scratch = Scratch::default();
        for document in documents {
            let mut tokens = Vec::new();
            text::for_each_document_token(document, &mut scratch, |token| {
                // What the tokenizer normalised is UTF-8.
                let Ok(token) = std::str::from_utf8(token.normalized) else { return };
                tokens.push(if token.is_empty() { NO_TERM } else { chunk.number(&mut numbers, token) });
            });
            chunk.documents.push(tokens);
        }
        chunk
    }

    fn token(&self, number: u32) -> &str {
        let start = if number == 0 { 0 } else { self.ends[number as usize - 1] };
        &self.text[start..self.ends[number as usize]]
    }

    fn number(&mut self, numbers: &mut HashTable<(u64, u32)>, token: &str) -> u32 {
        let hash = xxh3_64(token.as_bytes());
        if let Some(&(_, number)) = numbers.find(hash, |&(other, number)| other == hash && self.token(number) == token)
        {
            return number;
        }
        let number = self.ends.len() as u32;
        self.text.push_str(token);
        self.ends.push(self.text.len());
        numbers.insert_unique(hash, (hash, number), |&(hash, _)| hash);
        number
    }

    fn renumbered(mut self, numbers: &[u32]) -> Vec<Vec<u32>> {
        for token in self.documents.iter_mut().flatten() {
            if *token != NO_TERM {
                *token = numbers[*token as usize];
            }
        }
        self.documents
    }
}

/// The sorted distinct tokens of all chunks, and for each chunk their numbers in that list.
fn number_unigrams(chunks: &[ChunkTokens]) -> (Vec<String>, Vec<Vec<u32>>) {
    let mut distinct: Vec<&str> = Vec::new();
    let mut known: HashTable<(u64, u32)> = HashTable::new();
    let arrivals: Vec<Vec<u32>> = chunks
        .iter()
        .map(|chunk| {
            (0..chunk.ends.len() as u32)
                .map(|number| {
                    let token = chunk.token(number);
                    let hash = xxh3_64(token.as_bytes());
                    let same = |&(other, arrival): &(u64, u32)| other == hash && distinct[arrival as usize] == token;
                    if let Some(&(_, arrival)) = known.find(hash, same) {
                        return arrival;
                    }
                    known.insert_unique(hash, (hash, distinct.len() as u32), |&(hash, _)| hash);
                    distinct.push(token);
                    distinct.len() as u32 - 1
                })
                .collect()
        })
        .collect();
    let mut order: Vec<u32> = (0..distinct.len() as u32).collect();
    order.par_sort_unstable_by_key(|&arrival| distinct[arrival as usize]);
    let mut numbers = vec![0; order.len()];
    for (number, &arrival) in order.iter().enumerate() {
        numbers[arrival as usize] = number as u32;
    }
    let unigrams = order.iter().map(|&arrival| distinct[arrival as usize].to_owned()).collect();
    let per_chunk = arrivals
        .into_iter()
        .map(|arrivals| arrivals.into_iter().map(|arrival| numbers[arrival as usize]).collect())
        .collect();
    (unigrams, per_chunk)
}

/// The bigrams that are features, sorted: for each first token, the second ones.
#[derive(Debug)]
struct BigramIndex {
    n_unigrams: usize,
    starts: Vec<u32>,
    seconds: Vec<u32>,
}

impl BigramIndex {
    /// Finds the bigrams of enough documents.
    fn of(chunks: &[Vec<Vec<u32>>], n_unigrams: usize) -> Self {
        let frequent = frequent_unigrams(chunks, n_unigrams);
        let mut pairs: Vec<u64> = chunks
            .par_iter()
            .flat_map_iter(|chunk| {
                chunk.iter().flat_map(|tokens| {
                    let mut pairs: Vec<u64> = bigrams_of(tokens)
                        .filter(|&(first, second)| frequent[first as usize] && frequent[second as usize])
                        .map(|(first, second)| u64::from(first) << 32 | u64::from(second))
                        .collect();
                    pairs.sort_unstable();
                    pairs.dedup();
                    pairs
                })
            })
            .collect();
        pairs.par_sort_unstable();
        let (mut starts, mut seconds) = (vec![0; n_unigrams + 1], Vec::new());
        for run in pairs.chunk_by(|a, b| a == b).filter(|run| run.len() >= TermKind::Bigram.min_documents()) {
            starts[(run[0] >> 32) as usize + 1] += 1;
            seconds.push(run[0] as u32);
        }
        for first in 0..n_unigrams {
            starts[first + 1] += starts[first];
        }
        Self { n_unigrams, starts, seconds }
    }

    fn len(&self) -> usize {
        self.seconds.len()
    }

    /// The two unigrams of a bigram, by its place among the bigrams.
    fn pair(&self, bigram: usize) -> (usize, usize) {
        let first = self.starts.partition_point(|&start| start as usize <= bigram) - 1;
        (first, self.seconds[bigram] as usize)
    }

    fn feature(&self, first: u32, second: u32) -> Option<u32> {
        let start = self.starts[first as usize];
        let seconds = &self.seconds[start as usize..self.starts[first as usize + 1] as usize];
        let place = seconds.binary_search(&second).ok()?;
        Some(self.n_unigrams as u32 + start + place as u32)
    }
}

fn bigrams_of(tokens: &[u32]) -> impl Iterator<Item = (u32, u32)> + '_ {
    tokens.windows(2).map(|pair| (pair[0], pair[1])).filter(|&(first, second)| first != NO_TERM && second != NO_TERM)
}

/// Which unigrams are in enough documents that a bigram with them can be.
fn frequent_unigrams(chunks: &[Vec<Vec<u32>>], n_unigrams: usize) -> Vec<bool> {
    let mut n_documents = vec![0usize; n_unigrams];
    let mut last_document = vec![usize::MAX; n_unigrams];
    for (document, tokens) in chunks.iter().flatten().enumerate() {
        for &token in tokens.iter().filter(|&&token| token != NO_TERM) {
            if last_document[token as usize] != document {
                last_document[token as usize] = document;
                n_documents[token as usize] += 1;
            }
        }
    }
    n_documents.into_iter().map(|n| n >= TermKind::Bigram.min_documents()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(texts: &[&str]) -> TermCounts {
        let documents: Vec<Document> = texts.iter().map(|text| Document::new("", *text).unwrap()).collect();
        TermCounts::of(&documents.iter().collect::<Vec<_>>(), false)
    }

    fn terms(counts: &TermCounts, document: usize) -> Vec<(String, u32)> {
        counts.row(document).map(|(feature, count)| (counts.term(feature), count)).collect()
    }

    #[test]
    fn unigrams_come_sorted_then_the_bigrams_of_two_documents() {
        let counts = counts(&["peace talks, peace", "Talks. Peace talks!", "war"]);
        let all: Vec<String> = (0..counts.n_features() as u32).map(|feature| counts.term(feature)).collect();
        assert_eq!(all, ["peace", "talks", "war", "peace talks", "talks peace"]);
        let expected = [("peace", 2), ("talks", 1), ("peace talks", 1), ("talks peace", 1)];
        assert_eq!(terms(&counts, 0), expected.map(|(term, count)| (term.to_owned(), count)));
        let postings = counts.postings();
        assert_eq!((postings.of(0), postings.of(2)), (&[0, 1][..], &[2][..]));
    }

    #[test]
    fn numbers_depend_on_neither_order_nor_chunks() {
        let texts: Vec<String> = (0..1500).map(|i| format!("t{} t{} t{}", i % 7, i % 11, i % 13)).collect();
        let forward = counts(&texts.iter().map(String::as_str).collect::<Vec<_>>());
        let backward = counts(&texts.iter().rev().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(forward.unigrams, backward.unigrams);
        assert_eq!(forward.bigrams.seconds, backward.bigrams.seconds);
        for document in 0..texts.len() {
            assert!(forward.row(document).eq(backward.row(texts.len() - 1 - document)));
        }
    }

    #[test]
    fn no_bigram_reaches_across_a_token_that_is_too_long() {
        let text = format!("a {} b", "x".repeat(1000));
        let counts = counts(&[&text, &text]);
        assert_eq!(terms(&counts, 0), [("a".to_owned(), 1), ("b".to_owned(), 1)]);
    }

    #[test]
    fn character_ngrams_of_three_documents_come_last() {
        let texts = ["Treaties", "treaty? Treaty", "a treat", "tree"];
        let documents: Vec<Document> = texts.iter().map(|text| Document::new("", *text).unwrap()).collect();
        let counts = TermCounts::of(&documents.iter().collect::<Vec<_>>(), true);
        let all: Vec<String> = (0..counts.n_features() as u32).map(|feature| counts.term(feature)).collect();
        assert_eq!(all, ["a", "treat", "treaties", "treaty", "tree", "*treat*", "trea*"]);
        assert_eq!(terms(&counts, 1), [("treaty", 2), ("*treat*", 2), ("trea*", 2)].map(|(t, n)| (t.to_owned(), n)));
        assert_eq!(
            [4, 5, 6].map(|f| counts.kind(f)),
            [TermKind::Unigram, TermKind::CharacterNgram, TermKind::CharacterNgram]
        );
        assert_eq!(terms(&counts, 3), [("tree".to_owned(), 1)]);
    }
}
