//! What training can be told; a classifier remembers it.

use std::num::NonZeroUsize;

use serde::{Deserialize, Serialize};

use crate::dataset::LabelKind;
use crate::linear::Balance;

/// Nine of ten documents that a topic is assigned to should have it.
pub const DEFAULT_SELECTIVE_ACCURACY: f64 = 0.9;

/// Settings of a training; the default is the recipe that does best on average over very different corpora.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainingConfig {
    /// The learner's C; `None`: searched for by cross-validation.
    pub c: Option<f32>,
    /// How topics of few documents are made up for.
    pub balance: Balance,
    /// The most terms that the model may have; those that tell topics apart best are kept. `None`: all.
    pub max_features: Option<NonZeroUsize>,
    /// Where folds and the learner's order come from. The same documents, settings and seed give the same bytes.
    pub seed: u64,
    /// Whether documents have one topic or any number; `None`: as the documents say.
    #[serde(default)]
    pub label_kind: Option<LabelKind>,
    /// The share of right answers that is wanted where a topic is assigned, from 0 to 1: below the probability and margin
    /// that reach it out of fold, the classifier abstains. 0: it never does so for a low probability. Only for documents
    /// with one topic each; several topics have thresholds of their own.
    #[serde(default)]
    pub selective_accuracy: f64,
}

impl Default for TrainingConfig {
    fn default() -> Self {
        Self {
            c: None,
            balance: Balance::default(),
            max_features: None,
            seed: 0,
            label_kind: None,
            selective_accuracy: DEFAULT_SELECTIVE_ACCURACY,
        }
    }
}

/// Settings that make no sense.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ConfigError {
    /// The learner's C.
    #[error("c is {0}; it must be a number from 0.0001 to 10000")]
    C(f32),
    /// The wanted accuracy isn't a share.
    #[error("selective_accuracy is {0}; it must be a number from 0 to 1")]
    SelectiveAccuracy(f64),
}

impl TrainingConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// The first setting that makes no sense.
    pub fn check(&self) -> Result<(), ConfigError> {
        match (self.c, self.selective_accuracy) {
            (Some(c), _) if !(1e-4..=1e4).contains(&c) => Err(ConfigError::C(c)),
            (_, accuracy) if !(0.0..=1.0).contains(&accuracy) => Err(ConfigError::SelectiveAccuracy(accuracy)),
            _ => Ok(()),
        }
    }
}
