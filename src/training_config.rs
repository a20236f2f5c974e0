//! What training can be told; a classifier remembers it.

use std::num::NonZeroUsize;

use serde::{Deserialize, Serialize};

use crate::dataset::{DatasetOptions, LabelKind};
use crate::linear::Balance;

/// Nine of ten documents that a topic is assigned to should have it.
pub const DEFAULT_SELECTIVE_ACCURACY: f64 = 0.9;

/// The most that may be held out: half of the documents.
pub const MAX_HELD_OUT_SHARE: f64 = 0.5;

/// Words of a table that a model knows unless told otherwise: with ten topics these take at most 8 MB.
pub const DEFAULT_WORDS_KEPT: usize = 250_000;

/// Settings of a training; the default is the recipe that does best on average over very different corpora.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainingConfig {
    /// The learner's C; `None`: searched for by cross-validation.
    pub c: Option<f32>,
    /// How topics of few documents are made up for.
    pub balance: Balance,
    /// The most terms that the model may have; those that tell topics apart best are kept. `None`: all.
    pub max_features: Option<NonZeroUsize>,
    /// Whether pieces of words are terms too ([`crate::text::character_ngrams`]): better for small corpora and languages whose
    /// words take many forms; training and answering take longer, and the model is larger.
    #[serde(default, skip_serializing_if = "is_false")]
    pub character_ngrams: bool,
    /// Whether what words mean may count beside documents ([`crate::words`]), if a table is given: it does where that makes out-of-fold predictions
    /// better.
    #[serde(default, skip_serializing_if = "is_false")]
    pub words: bool,
    /// The most words of the table that a model knows; `None`: [`DEFAULT_WORDS_KEPT`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub words_kept: Option<NonZeroUsize>,
    /// The languages of the words that it knows, as the table's codes; empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub words_languages: Vec<String>,
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
    /// The share of the documents that is kept from training and measured on, from 0 to [`MAX_HELD_OUT_SHARE`]. A document
    /// whose split isn't settled is held out when a frozen hash of its content, as a fraction, is below it (see
    /// [`crate::dataset::held_out::place`]): always the same ones, and with a larger share these and more. 0: only documents
    /// whose split says so. If none is held out, the evaluation is from out-of-fold predictions of the training documents.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub held_out_share: f64,
}

// Settings of the time before there was a field are written as they were: a model has the same bytes.

fn is_zero(share: &f64) -> bool {
    *share == 0.0
}

fn is_false(flag: &bool) -> bool {
    !flag
}

impl Default for TrainingConfig {
    fn default() -> Self {
        Self {
            c: None,
            balance: Balance::default(),
            max_features: None,
            character_ngrams: false,
            words: true,
            words_kept: None,
            words_languages: Vec::new(),
            seed: 0,
            label_kind: None,
            selective_accuracy: DEFAULT_SELECTIVE_ACCURACY,
            held_out_share: 0.0,
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
    /// Not a share, or so much that too little is trained on.
    #[error("held_out_share is {0}; it must be a number from 0 to {MAX_HELD_OUT_SHARE}")]
    HeldOutShare(f64),
}

impl TrainingConfig {
    /// How many words of a table a model knows at most.
    pub fn max_words_kept(&self) -> usize {
        self.words_kept.map_or(DEFAULT_WORDS_KEPT, NonZeroUsize::get)
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// The first setting that makes no sense.
    pub fn check(&self) -> Result<(), ConfigError> {
        if let Some(c) = self.c.filter(|c| !(1e-4..=1e4).contains(c)) {
            return Err(ConfigError::C(c));
        }
        if !(0.0..=1.0).contains(&self.selective_accuracy) {
            return Err(ConfigError::SelectiveAccuracy(self.selective_accuracy));
        }
        if !(0.0..=MAX_HELD_OUT_SHARE).contains(&self.held_out_share) {
            return Err(ConfigError::HeldOutShare(self.held_out_share));
        }
        Ok(())
    }

    /// What of the settings a dataset has to know.
    pub fn dataset_options(&self) -> DatasetOptions {
        DatasetOptions { label_kind: self.label_kind, held_out_share: self.held_out_share }
    }
}
