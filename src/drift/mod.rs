//! Whether the documents that a classifier is asked about are still like those that it was trained on: what is counted of
//! answers ([`Distributions`]), and how far two such counts are apart ([`stability_index`]).
//!
//! Counts only: no document, no word and no label is needed, so that it can be told of served documents as they come. What it
//! doesn't tell is whether the answers are right.

mod distributions;
pub mod stability_index;

pub use distributions::{Bins, Distributions, N_CONFIDENCE_BINS, UNKNOWN_SHARE_BOUNDS, confidence_bounds};
pub use stability_index::{BinDrift, FeatureDrift, Level};
