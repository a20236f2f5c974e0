//! The settings of classifiers, from and to protobuf. A setting's own conversion is in a file of its name.

use super::model_request::given;
use super::pb;
use super::promotion::promotion_policy;
use super::violations::Violations;
use crate::service::{ClassifierSettings, Error, UpdateSettingsCall};

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

/// The settings, with every default spelled out.
pub fn classifier_settings(settings: &ClassifierSettings) -> pb::ClassifierSettings {
    pb::ClassifierSettings { promotion_policy: Some(promotion_policy(&settings.promotion_policy)) }
}

impl Violations {
    /// Settings in the field `path`.
    fn check_settings(&mut self, path: &str, settings: pb::ClassifierSettings) -> ClassifierSettings {
        let pb::ClassifierSettings { promotion_policy } = settings;
        ClassifierSettings {
            promotion_policy: self
                .check_promotion_policy(&format!("{path}.promotion_policy"), promotion_policy.unwrap_or_default()),
        }
    }
}
