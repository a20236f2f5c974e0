//! Tokens → terms: which sequences of tokens a model can have weights for, and how they are named by hashes.
//!
//! A unigram's hash is XXH3-64 of the token's normalised bytes with the vocabulary's seed; a bigram's is the folded
//! 128-bit product of its two tokens' hashes, so that nothing is concatenated or hashed twice. A character n-gram's is
//! XXH3-64 of its characters with another seed: `peace` inside a word isn't the word. Training works on the exact strings; [`crate::features::Vocabulary`] picks a seed under which no two of its terms collide.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::characters::CharacterClass;
use super::tokenizer::{Field, Scratch, Token, tokenize};
use crate::document::Document;

/// The 64-bit name of a term under one seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TermHash(pub u64);

impl TermHash {
    /// The hash of a token's normalised bytes.
    #[inline(always)]
    pub fn unigram(normalized: &[u8], seed: u64) -> Self {
        Self(xxh3_64_with_seed(normalized, seed))
    }

    /// The hash of two tokens in this order. The two odd constants (from the fractional parts of √2 and √3) make it
    /// depend on the order.
    #[inline(always)]
    pub fn bigram(first: Self, second: Self) -> Self {
        let product = u128::from(first.0 ^ 0x6A09_E667_F3BC_C909) * u128::from(second.0 ^ 0xBB67_AE85_84CA_A73B);
        Self((product >> 64) as u64 ^ product as u64)
    }

    /// The hash of a character n-gram, with the space that it has at the beginning or end of a word.
    pub fn character_ngram(ngram: &str, seed: u64) -> Self {
        Self(xxh3_64_with_seed(ngram.as_bytes(), seed ^ CHARACTER_NGRAM_SEED))
    }
}

/// What makes the seed of character n-grams from the vocabulary's: the fractional part of √5.
const CHARACTER_NGRAM_SEED: u64 = 0x3C6E_F372_FE94_F82B;

/// Calls `sink` with each token of the title, then of the text. The two are one sequence: the last token of the title
/// and the first of the text make a bigram.
pub fn for_each_document_token(document: &Document, scratch: &mut Scratch, mut sink: impl FnMut(Token<'_>)) {
    tokenize(document.title(), Field::Title, scratch, &mut sink);
    tokenize(document.text(), Field::Text, scratch, &mut sink);
}

/// Whether a document has a token at all.
pub fn has_tokens(document: &Document) -> bool {
    let is_token_character = |c| matches!(CharacterClass::of(c), CharacterClass::Spaced | CharacterClass::Unspaced);
    document.title().chars().chain(document.text().chars()).any(is_token_character)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bigram_hashes_depend_on_order_seed_and_both_tokens() {
        let [a, b, c] = [&b"peace"[..], b"talks", b"treaty"].map(|token| TermHash::unigram(token, 7));
        let all = [
            TermHash::bigram(a, b),
            TermHash::bigram(b, a),
            TermHash::bigram(a, c),
            TermHash::bigram(a, a),
            a,
            TermHash::unigram(b"peace", 8),
            TermHash::character_ngram("peace", 7),
        ];
        for (i, x) in all.iter().enumerate() {
            assert!(all[i + 1..].iter().all(|y| x != y));
        }
    }

    #[test]
    fn the_hashes_that_stored_models_rely_on() {
        // A change here makes every stored model useless: raise the artifact's format version instead.
        let [a, b] = [&b"peace"[..], b"talks"].map(|token| TermHash::unigram(token, 0));
        let bigram = TermHash::bigram(a, b);
        assert_eq!([a.0, b.0, bigram.0], [7088939619306098078, 277498452642819286, 17493434100084790631]);
        assert_eq!(TermHash::character_ngram(" peac", 0).0, 11372214840836201959);
    }
}
