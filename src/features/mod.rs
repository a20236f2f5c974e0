//! Terms → TF-IDF rows.
//!
//! Training counts the terms of all documents once ([`counts`]) and derives vocabulary and weights of any subset of
//! them from those counts ([`weighting`]); answering looks terms up in the finished [`Vocabulary`] and weighs them with
//! the training's weights ([`vectorizer`]). Both end in [`sparse::RowBuilder`]: a document's row is the same, to the bit, alone and in a
//! batch, and in training it has the same values, but for rounding, in another order.

mod bucket_sort;
pub mod counts;
mod feature_counts;
mod front_coding;
mod ngram_index;
pub mod sparse;
pub mod unseen_terms;
pub mod vectorizer;
pub mod vocabulary;
pub mod weighting;

pub use counts::TermCounts;
pub use sparse::{SparseRow, SparseRows};
pub use vectorizer::{DocumentStats, Vectorizer};
pub use vocabulary::Vocabulary;
