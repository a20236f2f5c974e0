//! The settings of classifiers, from and to protobuf. A setting's own conversion is in a file of its name.

use std::num::{NonZeroU32, NonZeroU64};
use std::ops::RangeInclusive;

use super::model_request::given;
use super::pb;
use super::promotion::promotion_policy;
use super::violations::Violations;
use crate::service::{
    ClassifierSettings, Error, RetentionPolicy, RetrainingPolicy, ReviewSettings, ShadowSettings, UpdateSettingsCall,
};

/// From a minute to ten years.
const MAX_AGE_SECONDS: RangeInclusive<u64> = 60..=10 * 365 * 24 * 60 * 60;
/// The most documents that are kept to be labelled.
const MAX_REVIEW_DOCUMENTS: u32 = 10_000;

/// Checks a wish to replace settings.
///
/// # Errors
/// [`Error::InvalidRequest`] with every field that is wrong.
pub fn update_settings_call(request: pb::UpdateClassifierSettingsRequest) -> Result<UpdateSettingsCall, Error> {
    let mut violations = Violations::default();
    let pb::UpdateClassifierSettingsRequest { classifier, settings, etag } = request;
    let classifier = violations.check_classifier("classifier", &classifier);
    if settings.is_none() {
        let description = "is missing; give all settings, or {} for the default of each".to_owned();
        violations.add("settings", "REQUIRED", description);
    }
    let settings = violations.check_settings("settings", settings.unwrap_or_default());
    match classifier {
        Some(classifier) if violations.is_empty() => Ok(UpdateSettingsCall { classifier, settings, etag: given(etag) }),
        _ => Err(violations.into_error()),
    }
}

/// The settings; the policy with every default spelled out, the others where somebody has set them.
pub fn classifier_settings(settings: &ClassifierSettings) -> pb::ClassifierSettings {
    let ClassifierSettings { promotion_policy: policy, retention, retraining, review, shadow } = settings;
    pb::ClassifierSettings {
        promotion_policy: Some(promotion_policy(policy)),
        retention: (*retention != RetentionPolicy::default()).then(|| retention_policy(retention)),
        retraining: (*retraining != RetrainingPolicy::default()).then(|| retraining_policy(retraining)),
        review: review.max_documents.map(|n| pb::ReviewSettings { max_documents: n.get() }),
        shadow: (*shadow != ShadowSettings::default()).then(|| pb::ShadowSettings { share: shadow.share.get() }),
    }
}

fn retention_policy(policy: &RetentionPolicy) -> pb::RetentionPolicy {
    pb::RetentionPolicy { max_unaliased_versions: policy.max_unaliased_versions.map_or(0, NonZeroU32::get) }
}

fn retraining_policy(policy: &RetrainingPolicy) -> pb::RetrainingPolicy {
    let max_age = policy.max_age_seconds.map(|seconds| prost_types::Duration {
        // At most ten years.
        seconds: seconds.get() as i64,
        nanos: 0,
    });
    pb::RetrainingPolicy { min_changed_documents: policy.min_changed_documents.map_or(0, NonZeroU32::get), max_age }
}

impl Violations {
    /// Settings in the field `path`.
    fn check_settings(&mut self, path: &str, settings: pb::ClassifierSettings) -> ClassifierSettings {
        let pb::ClassifierSettings { promotion_policy, retention, retraining, review, shadow } = settings;
        let (retention, retraining) = (retention.unwrap_or_default(), retraining.unwrap_or_default());
        ClassifierSettings {
            promotion_policy: self
                .check_promotion_policy(&format!("{path}.promotion_policy"), promotion_policy.unwrap_or_default()),
            retention: RetentionPolicy { max_unaliased_versions: NonZeroU32::new(retention.max_unaliased_versions) },
            retraining: RetrainingPolicy {
                min_changed_documents: NonZeroU32::new(retraining.min_changed_documents),
                max_age_seconds: self.check_max_age(&format!("{path}.retraining.max_age"), retraining.max_age),
            },
            review: self.check_review(&format!("{path}.review"), review.unwrap_or_default()),
            shadow: ShadowSettings {
                share: self.check_probability(&format!("{path}.shadow.share"), shadow.unwrap_or_default().share),
            },
        }
    }

    fn check_review(&mut self, path: &str, review: pb::ReviewSettings) -> ReviewSettings {
        let pb::ReviewSettings { max_documents } = review;
        if max_documents > MAX_REVIEW_DOCUMENTS {
            let description = format!("is {max_documents}; the most is {MAX_REVIEW_DOCUMENTS}");
            self.add(format_args!("{path}.max_documents"), "OUT_OF_RANGE", description);
        }
        ReviewSettings { max_documents: NonZeroU32::new(max_documents) }
    }

    fn check_max_age(&mut self, path: &str, max_age: Option<prost_types::Duration>) -> Option<NonZeroU64> {
        let max_age = max_age?;
        let seconds = u64::try_from(max_age.seconds).ok().filter(|seconds| MAX_AGE_SECONDS.contains(seconds));
        if seconds.is_none() || max_age.nanos != 0 {
            let description = format!(
                "is {}.{:09} s; give whole seconds from a minute to ten years, or leave it out",
                max_age.seconds, max_age.nanos
            );
            self.add(path, "OUT_OF_RANGE", description);
        }
        seconds.and_then(NonZeroU64::new)
    }
}
