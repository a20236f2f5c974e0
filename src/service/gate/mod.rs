//! The gate: whether a version that was just trained may take the place of the stable one.
//!
//! What is asked of it is a [`PromotionPolicy`]. It is asked of the version by itself (`absolute`), and where there is a
//! stable version, of both on the same documents, neither of which is asked what it learned by heart (`relative`), and on
//! documents that are served later (`shadow`). A topic that was renamed in the documents is what it was (`renamed`).

mod absolute;
mod policy;
mod relative;
mod renamed;
mod shadow;

use serde::{Deserialize, Serialize};

pub use policy::{PromotionMode, PromotionPolicy, Verdict};
pub use shadow::{
    DEFAULT_SHADOW_DOCUMENTS, ShadowRule, awaits_shadow, has_enough_shadow, shadow_documents, with_shadow,
};

use super::live::LiveVersion;
use super::out_of_fold::OutOfFold;
use crate::cancellation::IsCancelled;
use crate::classifier::Classifier;
use crate::dataset::Dataset;
use crate::store::RenamedTopic;
use crate::targets::Targets;

/// What two sums of the same shares may differ by: a drop of just what is allowed is allowed.
const ROUNDING: f64 = 1e-9;

/// One thing that was checked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// Its name, such as `macro_f1`.
    pub name: String,
    /// Whether what was observed meets what is required.
    pub passed: bool,
    /// What was observed.
    pub observed: f64,
    /// What is required.
    pub required: f64,
    /// The same in words.
    pub description: String,
}

/// A version that was just trained.
#[derive(Debug, Clone, Copy)]
pub struct Challenger<'a> {
    /// What it was trained on, and what was kept from it.
    pub dataset: &'a Dataset,
    /// What models that never saw a training document assign to it.
    pub out_of_fold: &'a Targets,
    /// What would answer.
    pub classifier: &'a Classifier,
}

/// What answers in the stable version's place, and what its training said of documents that its models never saw.
#[derive(Debug, Clone, Copy)]
pub struct StableVersion<'a> {
    /// What answers.
    pub live: &'a LiveVersion,
    /// Its out-of-fold predictions.
    pub out_of_fold: &'a OutOfFold,
    /// The topics that got other names after it was trained, in the order in which that happened.
    pub renamed: &'a [RenamedTopic],
}

/// Checks a version: one check for each rule of the policy, in the order of its fields. Means nothing when it was cancelled.
pub fn check(
    policy: &PromotionPolicy,
    new: Challenger<'_>,
    stable: Option<StableVersion<'_>>,
    is_cancelled: IsCancelled<'_>,
) -> Vec<Check> {
    let mut checks = absolute::check(policy, &new.classifier.provenance().evaluation, new.dataset);
    match stable {
        Some(stable) => {
            checks.extend(relative::check(policy, new, stable, is_cancelled));
            checks.extend(policy.shadow.into_iter().flat_map(shadow::checks));
        }
        None => {
            checks.extend(relative::without_stable(policy, &new.classifier.provenance().evaluation));
            checks.extend(policy.shadow.into_iter().flat_map(shadow::checks_without_stable));
        }
    }
    checks
}

/// Checks that the version, loaded from its file, says what it said when it was trained.
pub fn check_self_test((n_right, n_asked): (usize, usize)) -> Check {
    Check {
        name: "self_test".to_owned(),
        passed: n_right == n_asked,
        observed: n_right as f64,
        required: n_asked as f64,
        description: format!("loaded from its file, {n_right} of {n_asked} documents are answered as after training"),
    }
}
