//! topicd sorts news and other documents into topics: a library, a gRPC server and a command line in one package.
//!
//! In reading order, each module importing only from those above it:
//!
//! - The core, free of network and async; it builds with `--no-default-features`. [`document`] is what is sorted,
//!   [`formats`] reads it from files. [`text`] makes terms of it, [`features`] a TF-IDF row, [`linear`] raw scores,
//!   [`calibration`] probabilities, [`decision`] an answer, [`abstention`] none, [`explanation`] the reason;
//!   [`evaluation`] measures answers, [`drift`] counts them. A [`classifier`] is all of these, fitted; [`topic_description`]
//!   tells what it knows of a topic, [`artifact`] is its file. A [`dataset`] of labelled documents becomes a classifier in [`training`], and
//!   [`report`] is the page about that.
//! - What lasts and what runs (feature `server`): [`names`] of classifiers, [`access`] says who may do what, [`store`] keeps documents, versions
//!   and jobs for good, [`service`] answers calls and trains, [`api`] converts protobuf, [`server`] speaks gRPC, [`cli`] is
//!   the command line; [`config`] and [`telemetry`] are theirs.

mod cache_lines;
pub mod cancellation;
pub mod new_file;
pub mod packed;
mod processor;
pub mod similar_names;

pub mod document;
pub mod formats;

pub mod text;

pub mod targets;

pub mod features;

pub mod words;

pub mod linear;

pub mod known_words;

pub mod calibration;

pub mod decision;

pub mod abstention;
pub mod explanation;

pub mod evaluation;

pub mod drift;

pub mod dataset;
pub mod training_config;

pub mod classifier;
pub mod topic_description;

pub mod artifact;

pub mod training;

pub mod report;

#[cfg(feature = "server")]
pub mod hexadecimal;
#[cfg(feature = "server")]
pub mod names;

#[cfg(feature = "server")]
pub mod access;

#[cfg(feature = "server")]
pub mod store;

#[cfg(feature = "server")]
pub mod config;

#[cfg(feature = "server")]
pub mod service;

#[cfg(feature = "server")]
pub mod api;

#[cfg(feature = "server")]
pub mod telemetry;

#[cfg(feature = "server")]
pub mod server;

#[cfg(feature = "server")]
pub mod cli;
