//! What a team asks of a version before it answers: stored with a classifier, or given for one training.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use super::{Check, ShadowRule};
use crate::decision::Probability;

/// When a newly trained version becomes the stable one. Rules that aren't given aren't checked, but for topics and macro-F1,
/// which have defaults.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PromotionPolicy {
    /// What becomes of a version.
    pub mode: PromotionMode,
    /// The least accuracy.
    pub min_accuracy: Option<Probability>,
    /// The least micro-F1.
    pub min_micro_f1: Option<Probability>,
    /// The least macro-F1.
    pub min_macro_f1: Option<Probability>,
    /// The largest log loss; 0 or more.
    pub max_log_loss: Option<f64>,
    /// The largest expected calibration error.
    pub max_expected_calibration_error: Option<Probability>,
    /// How many training documents each topic must have at least.
    pub min_documents_per_topic: Option<NonZeroU32>,
    /// Topics of the stable version that the new one may lack, sorted, each once.
    pub lost_topics_allowed: Vec<String>,
    /// How far accuracy may be below the stable version's.
    pub max_accuracy_drop: Option<Probability>,
    /// How far macro-F1 may be below the stable version's; `None`: as far as chance may move it.
    pub max_macro_f1_drop: Option<Probability>,
    /// How probable it must be at least that the stable version is right more often by chance only.
    pub significance: Option<Probability>,
    /// How much it must agree with the stable version on documents that are served when it is the candidate.
    pub shadow: Option<ShadowRule>,
}

/// What becomes of a version that was just trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PromotionMode {
    /// It becomes the stable one if it passes all checks, and the candidate if it doesn't. One that only has to be compared on
    /// served documents yet is the candidate until it has been.
    #[default]
    Automatic,
    /// It becomes the candidate.
    Manual,
    /// It is stored.
    Never,
}

/// Which alias a version gets that was just trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is the stable one.
    Stable,
    /// It is the candidate.
    Candidate,
    /// It has none.
    Stored,
}

impl PromotionPolicy {
    /// What becomes of a version with these checks.
    pub fn verdict(&self, checks: &[Check]) -> Verdict {
        match self.mode {
            PromotionMode::Automatic if checks.iter().all(|check| check.passed) => Verdict::Stable,
            PromotionMode::Automatic | PromotionMode::Manual => Verdict::Candidate,
            PromotionMode::Never => Verdict::Stored,
        }
    }
}
