//! What a team asks of a version before it answers, from and to protobuf.

use std::fmt;
use std::num::NonZeroU32;

use super::pb;
use super::pb::promotion_policy::Mode;
use super::violations::Violations;
use crate::decision::Probability;
use crate::document::Topic;
use crate::service::gate::{DEFAULT_SHADOW_DOCUMENTS, PromotionMode, PromotionPolicy, ShadowRule};

/// The most topics that a policy lets go.
const MAX_LOST_TOPICS: usize = 1000;

/// A policy, with its mode spelled out.
pub fn promotion_policy(policy: &PromotionPolicy) -> pb::PromotionPolicy {
    let mode = match policy.mode {
        PromotionMode::Automatic => Mode::Automatic,
        PromotionMode::Manual => Mode::Manual,
        PromotionMode::Never => Mode::Never,
    };
    let share = |share: Option<Probability>| share.map(Probability::get);
    pb::PromotionPolicy {
        mode: mode.into(),
        min_accuracy: share(policy.min_accuracy),
        min_micro_f1: share(policy.min_micro_f1),
        min_macro_f1: share(policy.min_macro_f1),
        max_log_loss: policy.max_log_loss,
        max_expected_calibration_error: share(policy.max_expected_calibration_error),
        min_documents_per_topic: policy.min_documents_per_topic.map_or(0, NonZeroU32::get),
        lost_topics_allowed: policy.lost_topics_allowed.clone(),
        max_accuracy_drop: share(policy.max_accuracy_drop),
        max_macro_f1_drop: share(policy.max_macro_f1_drop),
        significance: share(policy.significance),
        min_shadow_agreement: policy.shadow.map(|rule| rule.min_agreement.get()),
        min_shadow_documents: policy.shadow.map_or(0, |rule| rule.min_documents.get()),
    }
}

impl Violations {
    /// A policy in the field `path`.
    pub(super) fn check_promotion_policy(&mut self, path: &str, policy: pb::PromotionPolicy) -> PromotionPolicy {
        let mut share = |field: &str, value: Option<f64>| {
            value.map(|value| self.check_probability(&format!("{path}.{field}"), value))
        };
        let (min_accuracy, min_micro_f1) =
            (share("min_accuracy", policy.min_accuracy), share("min_micro_f1", policy.min_micro_f1));
        let min_macro_f1 = share("min_macro_f1", policy.min_macro_f1);
        let max_expected_calibration_error =
            share("max_expected_calibration_error", policy.max_expected_calibration_error);
        let (max_accuracy_drop, max_macro_f1_drop) = (
            share("max_accuracy_drop", policy.max_accuracy_drop),
            share("max_macro_f1_drop", policy.max_macro_f1_drop),
        );
        let min_shadow_agreement = share("min_shadow_agreement", policy.min_shadow_agreement);
        PromotionPolicy {
            mode: self.check_promotion_mode(format_args!("{path}.mode"), policy.mode),
            min_accuracy,
            min_micro_f1,
            min_macro_f1,
            max_log_loss: self.check_log_loss(format_args!("{path}.max_log_loss"), policy.max_log_loss),
            max_expected_calibration_error,
            min_documents_per_topic: NonZeroU32::new(policy.min_documents_per_topic),
            lost_topics_allowed: self.check_lost_topics(path, &policy.lost_topics_allowed),
            max_accuracy_drop,
            max_macro_f1_drop,
            significance: self.check_significance(format_args!("{path}.significance"), policy.significance),
            shadow: self.check_shadow_rule(path, min_shadow_agreement, policy.min_shadow_documents),
        }
    }

    fn check_shadow_rule(
        &mut self,
        path: &str,
        min_agreement: Option<Probability>,
        min_documents: u32,
    ) -> Option<ShadowRule> {
        if min_agreement.is_none() && min_documents > 0 {
            let description = "is missing; give it with min_shadow_documents, or leave both out".to_owned();
            self.add(format_args!("{path}.min_shadow_agreement"), "REQUIRED", description);
        }
        let min_documents = NonZeroU32::new(min_documents).unwrap_or(DEFAULT_SHADOW_DOCUMENTS);
        min_agreement.map(|min_agreement| ShadowRule { min_agreement, min_documents })
    }

    fn check_promotion_mode(&mut self, field: impl fmt::Display, mode: i32) -> PromotionMode {
        match Mode::try_from(mode) {
            Ok(Mode::Unspecified | Mode::Automatic) => PromotionMode::Automatic,
            Ok(Mode::Manual) => PromotionMode::Manual,
            Ok(Mode::Never) => PromotionMode::Never,
            Err(prost::UnknownEnumValue(number)) => {
                let description = format!(
                    "is {number}, which means nothing; use MODE_AUTOMATIC (1), MODE_MANUAL (2) or MODE_NEVER (3)"
                );
                self.add(field, "UNKNOWN_VALUE", description);
                PromotionMode::Automatic
            }
        }
    }

    fn check_log_loss(&mut self, field: impl fmt::Display, log_loss: Option<f64>) -> Option<f64> {
        let is_possible = |loss: &f64| loss.is_finite() && *loss >= 0.0;
        if let Some(loss) = log_loss.filter(|loss| !is_possible(loss)) {
            self.add(field, "OUT_OF_RANGE", format!("is {loss}; give 0 or more, or leave it out to allow any"));
        }
        log_loss.filter(is_possible)
    }

    fn check_significance(&mut self, field: impl fmt::Display, significance: Option<f64>) -> Option<Probability> {
        let is_level = |level: &f64| *level > 0.0 && *level < 1.0;
        if let Some(level) = significance.filter(|level| !is_level(level)) {
            let description =
                format!("is {level}; give a number above 0 and below 1, such as 0.05, or leave it out to allow any");
            self.add(field, "OUT_OF_RANGE", description);
        }
        significance.filter(is_level).and_then(Probability::new)
    }

    fn check_lost_topics(&mut self, path: &str, topics: &[String]) -> Vec<String> {
        let field = format!("{path}.lost_topics_allowed");
        if topics.len() > MAX_LOST_TOPICS {
            let description = format!("has {} topics; the limit is {MAX_LOST_TOPICS}; leave some out", topics.len());
            self.add(field, "TOO_MANY", description);
            return Vec::new();
        }
        let mut checked = Vec::with_capacity(topics.len());
        for (index, topic) in topics.iter().enumerate() {
            match Topic::new(topic) {
                Ok(topic) => checked.push(topic.to_string()),
                Err(error) => {
                    self.add(format_args!("{field}[{index}]"), "BAD_TOPIC", format!("is wrong: {error}"));
                }
            }
        }
        checked.sort_unstable();
        checked.dedup();
        checked
    }
}
