//! Tests of the core library through its public interface, a module per behaviour. They need neither the server nor
//! Python: what scikit-learn computes is in `tests/golden`.

#![allow(clippy::unwrap_used, missing_docs)]

mod artifact;
mod calibration;
mod character_ngrams;
mod classify;
mod corpus;
mod drift;
mod explain;
mod languages;
mod linear;
mod metrics;
mod report;
mod tfidf;
mod training;
mod words;
