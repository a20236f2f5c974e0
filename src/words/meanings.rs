//! Which words of a table a training works with, and what the documents of a training set mean.

use std::cmp::Ordering;
use std::sync::Arc;

use rayon::prelude::*;

use super::table::{Language, WordTable};
use crate::features::TermCounts;
use crate::features::sparse::damp;

/// The number of a unigram that the table doesn't have.
const NONE: u32 = u32::MAX;

/// The words of a table that a training works with, and a model keeps: sorted, by their numbers in the table.
#[derive(Debug, Clone)]
pub struct KeptWords {
    words: Vec<u32>,
}

impl KeptWords {
    /// The words of the languages that the training documents are in (ISO 639-3), then those of the others, at most `max_words`, and only
    /// of languages with these codes, if any is named. More frequent ones come first: in the language where a word is most
    /// frequent, so that all languages are kept down to the same frequency; of equal words, the first by bytes.
    pub fn choose(table: &WordTable, max_words: usize, languages: &[String], of_documents: &[String]) -> Self {
        let bits_of = |is_meant: &dyn Fn(&Language) -> bool| {
            let languages = (0..).zip(&table.card().languages);
            languages.map(|(place, language)| u16::from(is_meant(language)) << place).sum::<u16>()
        };
        let wanted = bits_of(&|language| languages.is_empty() || languages.contains(&language.code));
        let first = bits_of(&|language| of_documents.contains(&language.iso639_3));
        let mut words: Vec<u32> =
            (0..table.len() as u32).filter(|&word| table.languages(word as usize) & wanted != 0).collect();
        // Stable: words come sorted by bytes.
        words.sort_by_key(|&word| (table.languages(word as usize) & first == 0, table.centibels(word as usize)));
        words.truncate(max_words);
        words.sort_unstable();
        Self { words }
    }

    /// The words' numbers in the table, rising.
    pub fn numbers(&self) -> &[u32] {
        &self.words
    }
}

/// What the documents of a training set mean, and their words.
#[derive(Debug)]
pub struct Meanings {
    table: WordTable,
    kept: KeptWords,
    /// By unigram: its number in the table, or [`NONE`].
    words: Vec<u32>,
    /// By unigram: its smooth inverse frequency, 0 if the table doesn't have it.
    frequencies: Vec<f32>,
    /// Documents × dimensions.
    sums: Arc<Vec<f32>>,
}

impl Meanings {
    /// Looks up the words of a training set, and adds up what its documents mean, on all threads of the current rayon pool.
    pub fn of(counts: &TermCounts, table: &WordTable, kept: KeptWords) -> Self {
        let words = numbers_of(counts.unigrams(), table, &kept);
        let frequency = |&word: &u32| if word == NONE { 0.0 } else { table.smooth_inverse_frequency(word as usize) };
        let frequencies: Vec<f32> = words.iter().map(frequency).collect();
        let n_dimensions = table.n_dimensions();
        let mut sums = vec![0.0; counts.n_documents() * n_dimensions];
        sums.par_chunks_mut(n_dimensions).enumerate().for_each(|(document, sum)| {
            for (feature, count) in counts.row(document) {
                // Unigrams come first.
                let Some(&word) = words.get(feature as usize) else { break };
                if word != NONE {
                    table.add_vector(word as usize, damp(count) * frequencies[feature as usize], sum);
                }
            }
        });
        Self { table: table.clone(), kept, words, frequencies, sums: Arc::new(sums) }
    }

    /// The table.
    pub fn table(&self) -> &WordTable {
        &self.table
    }

    /// The words of the table that are known.
    pub fn kept(&self) -> &KeptWords {
        &self.kept
    }

    /// A term's number in the table, if it is a word that is kept.
    pub fn word(&self, feature: u32) -> Option<u32> {
        self.words.get(feature as usize).copied().filter(|&word| word != NONE)
    }

    /// A term's smooth inverse frequency; 0 if it is none of the table's words.
    pub fn frequency_weight(&self, feature: u32) -> f32 {
        self.frequencies.get(feature as usize).copied().unwrap_or(0.0)
    }

    /// The documents' meanings, before any norm: documents × dimensions.
    pub fn sums(&self) -> &Arc<Vec<f32>> {
        &self.sums
    }
}

/// By unigram, sorted: its number in the table if it is kept.
fn numbers_of(unigrams: &[String], table: &WordTable, kept: &KeptWords) -> Vec<u32> {
    let mut kept = kept.numbers().iter().copied().peekable();
    let number_of = |unigram: &String| {
        while let Some(&word) = kept.peek() {
            match table.word(word as usize).cmp(unigram) {
                Ordering::Less => kept.next(),
                Ordering::Equal => return word,
                Ordering::Greater => return NONE,
            };
        }
        NONE
    };
    unigrams.iter().map(number_of).collect()
}
