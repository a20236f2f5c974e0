//! Why a training can fail.

use crate::features::vocabulary::VocabularyError;
use crate::linear::LinearError;
use crate::training_config::ConfigError;

/// Why a training ended without a classifier.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The settings.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The documents have no token at all.
    #[error("no document has a word to learn from; check that the texts are what you meant to send")]
    NoTerms,
    /// The vocabulary.
    #[error(transparent)]
    Vocabulary(#[from] VocabularyError),
    /// The learner.
    #[error(transparent)]
    Linear(#[from] LinearError),
    /// The parts don't fit each other: a defect of this program.
    #[error("the trained parts don't fit each other; please report this")]
    Inconsistent,
    /// Somebody asked to stop.
    #[error("training was cancelled")]
    Cancelled,
}
