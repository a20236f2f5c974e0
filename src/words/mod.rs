//! What words mean, known before there is a label: a table of words with a vector each, and what the vectors of a document's words add
//! up to.
//!
//! A document's *meaning* is Σ (1 + ln tf) · s(w) · v(w) over its words w that the table has, s the smooth inverse frequency. It stands beside
//! the TF-IDF row, divided by the same norm, and one linear model is fitted over both. What that model makes of a word's vector is
//! a number a topic, so it is added to the word's own weights, and words that no training document had get weights as well: a
//! model answers by its weights alone, without any vector ([`crate::training`] does that).

mod meanings;
mod table;

use std::sync::LazyLock;

use bytes::Bytes;

pub use meanings::{KeptWords, Meanings};
pub use table::{Card, Language, WordTable, WordTableError};

static BUNDLED: &[u8] = include_bytes!("../../models/words/fourteen.words");

/// The table that is part of the program. It is looked through when it is asked for first.
///
/// # Errors
/// Only if the program was built with a broken one; a test sees to it that it isn't.
pub fn bundled() -> Result<&'static WordTable, &'static WordTableError> {
    static TABLE: LazyLock<Result<WordTable, WordTableError>> =
        LazyLock::new(|| WordTable::decode(Bytes::from_static(BUNDLED)));
    TABLE.as_ref()
}
