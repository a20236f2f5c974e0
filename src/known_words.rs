//! What a classifier keeps of a table of words: what follows from their meanings for its topics, which languages they are in, and whose
//! table it is.

use serde::{Deserialize, Serialize};
use zerocopy::little_endian::U16;

use crate::linear::QuantizedWeights;
use crate::packed::Packed;

/// Which table, and how much of it: small, and for people.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KnownWordsCard {
    /// The table's name.
    pub table: String,
    /// Its version.
    pub table_version: u32,
    /// XXH3-64 of its file, as hexadecimal digits.
    pub table_checksum: String,
    /// Under which terms a model with words of it may be passed on.
    pub licence: String,
    /// Whom to name then.
    pub attribution: String,
    /// What meanings count beside TF-IDF rows.
    pub factor: f32,
    /// The languages, in the order of the bits of [`KnownWords::languages`].
    pub languages: Vec<KnownLanguage>,
    /// For each topic, the words that no training document had and that speak most for it, the strongest first.
    pub nearest_words: Vec<Vec<NearestWord>>,
}

/// A language of the table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KnownLanguage {
    /// Two letters, ISO 639-1.
    pub code: String,
    /// Three letters, ISO 639-3.
    pub iso639_3: String,
    /// How many of the model's words are words of it.
    pub n_words: usize,
    /// The share of a running text's tokens that the table has, from 0 to 1.
    pub coverage: f64,
}

/// A word that a model knows by its meaning alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NearestWord {
    /// The word.
    pub word: String,
    /// What one occurrence adds to the topic's raw score before the document's row is brought to length 1.
    pub strength: f64,
}

/// What a classifier keeps of a table of words.
#[derive(Debug, Clone)]
pub struct KnownWords {
    card: KnownWordsCard,
    /// Of each learned unigram's weights, the part that follows from its meaning; no biases.
    inferred: QuantizedWeights,
    /// By unigram, then by word that is only inferred: its languages, bit i for the card's i-th.
    languages: Packed<U16>,
}

impl KnownWords {
    /// Puts the parts together; `None` unless they fit each other: weights for each of `n_unigrams`, languages for these and for
    /// `n_inferred` words.
    pub(crate) fn new(
        card: KnownWordsCard,
        inferred: QuantizedWeights,
        languages: Packed<U16>,
        (n_unigrams, n_inferred): (usize, usize),
    ) -> Option<Self> {
        let n_languages = card.languages.len() as u32;
        let fits = n_languages <= u16::BITS
            && card.factor > 0.0
            && card.factor.is_finite()
            && card.languages.iter().all(|language| language.coverage > 0.0 && language.coverage <= 1.0)
            && card.nearest_words.len() == inferred.n_topics()
            && inferred.n_features() == n_unigrams
            && Some(languages.len()) == n_unigrams.checked_add(n_inferred)
            && languages.iter().all(|bits| u32::from(bits.get()).checked_shr(n_languages).unwrap_or(0) == 0)
            && card.nearest_words.iter().flatten().all(|word| word.strength.is_finite());
        fits.then_some(Self { card, inferred, languages })
    }

    /// Which table, and how much of it.
    pub fn card(&self) -> &KnownWordsCard {
        &self.card
    }

    /// What of a learned unigram's weight for a topic follows from its meaning.
    pub fn inferred_weight(&self, unigram: usize, topic: usize) -> f64 {
        if unigram < self.inferred.n_features() { self.inferred.weight(unigram, topic) } else { 0.0 }
    }

    /// The languages of a word: unigrams first, then words that are only inferred.
    pub fn languages(&self, place: usize) -> u16 {
        self.languages.get(place).map_or(0, |bits| bits.get())
    }

    /// How many topics it has something to say about.
    pub(crate) fn n_topics(&self) -> usize {
        self.inferred.n_topics()
    }

    pub(crate) fn inferred(&self) -> &QuantizedWeights {
        &self.inferred
    }

    pub(crate) fn packed_languages(&self) -> &Packed<U16> {
        &self.languages
    }
}
