//! Text → terms: the one definition of a token and of a term, for training and for answering alike.
//!
//! A *token* is a run of letters, digits, marks and `_`, lower-cased and NFC-normalised, with its span in the caller's
//! bytes ([`tokenizer`]). A *term* is what a model has weights for: one token, or two that follow each other
//! ([`terms`]). There is no stop list, no stemming and no folding of digits: each cost accuracy or gained nothing.

pub mod characters;
pub mod language;
pub mod terms;
pub mod tokenizer;

pub use terms::{TermHash, for_each_document_token, has_tokens};
pub use tokenizer::{Field, MAX_TOKEN_BYTES, Scratch, Span, Token};
