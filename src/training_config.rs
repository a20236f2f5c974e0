//! What training can be told; a classifier remembers it.

use std::num::NonZeroUsize;

use serde::{Deserialize, Serialize};

use crate::linear::Balance;

/// Settings of a training; the default is the recipe that does best on average over very different corpora.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct TrainingConfig {
    /// The learner's C; `None`: searched for by cross-validation.
    pub c: Option<f32>,
    /// How topics of few documents are made up for.
    pub balance: Balance,
    /// The most terms that the model may have; those that tell topics apart best are kept. `None`: all.
    pub max_features: Option<NonZeroUsize>,
    /// Where folds and the learner's order come from. The same documents, settings and seed give the same bytes.
    pub seed: u64,
}

/// Settings that make no sense.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ConfigError {
    /// The learner's C.
    #[error("c is {0}; it must be a number from 0.0001 to 10000")]
    C(f32),
}

impl TrainingConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// The first setting that makes no sense.
    pub fn check(&self) -> Result<(), ConfigError> {
        match self.c {
            Some(c) if !(1e-4..=1e4).contains(&c) => Err(ConfigError::C(c)),
            _ => Ok(()),
        }
    }
}
