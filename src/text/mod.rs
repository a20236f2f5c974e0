//! Text → terms: the one definition of a token and of a term, for training and for answering alike.
//!
//! A *token* is a run of letters, digits, marks and `_`, lower-cased and NFC-normalised, with its span in the caller's
//! bytes ([`tokenizer`]). A *term* is what a model has weights for: one token, two that follow each other ([`terms`]), and,
//! where training is told so, a piece of one ([`character_ngrams`]). There is no stop list, no stemming and no folding of digits: each cost accuracy or gained nothing.

mod blocks;
pub mod character_ngrams;
pub mod characters;
pub mod language;
mod short_hash;
pub mod terms;
mod token_hashes;
pub mod tokenizer;

pub use character_ngrams::NgramScratch;
pub use terms::{TermHash, for_each_document_token, has_tokens};
pub(crate) use token_hashes::TokenHashes;
pub use tokenizer::{Field, MAX_TOKEN_BYTES, Scratch, Span, Token};
