//! Terms → TF-IDF rows.
//!
//! Training counts the terms of all documents once ([`counts`]) and derives vocabulary and weights of any subset of
//! them from those counts ([`weighting`]); answering looks terms up in the finished [`Vocabulary`] and weighs them with
//! the training's weights ([`vectorizer`]). Both end in the same function, [`sparse::RowBuilder`]: a document's row is
//! the same alone, in a batch and in training.

mod bucket_sort;
pub mod counts;
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
