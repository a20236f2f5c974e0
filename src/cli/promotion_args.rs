//! `topicd train --server --promote …`: what the new version must meet before it answers there.

use std::num::NonZeroU32;

use super::train::share;
use crate::api::pb;
use crate::api::pb::promotion_policy::Mode;

/// What a version must meet. With any of these, nothing of the classifier's stored policy holds for this training.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "With --server: instead of the promotion policy in the classifier's settings")]
pub(super) struct PromotionArgs {
    /// What becomes of the new version.
    #[arg(long, value_enum, requires = "server")]
    promote: Option<PromoteArg>,

    /// The least accuracy (0 to 1) of the new version's evaluation.
    #[arg(long, value_name = "SHARE", requires = "server", value_parser = share)]
    min_accuracy: Option<f64>,

    /// The least macro-F1 (0 to 1) of the new version's evaluation.
    #[arg(long, value_name = "F1", requires = "server", value_parser = share)]
    min_macro_f1: Option<f64>,

    /// The least number of training documents of each topic.
    #[arg(long, value_name = "NUMBER", requires = "server")]
    min_documents_per_topic: Option<NonZeroU32>,

    /// How far accuracy may be below the stable version's on the same documents (0 to 1). Left out: any.
    #[arg(long, value_name = "SHARE", requires = "server", value_parser = share)]
    max_accuracy_drop: Option<f64>,

    /// How far macro-F1 may be below the stable version's on the same documents (0 to 1). Left out: 1 / √n for n documents, but
    /// from 0.02 to 0.1.
    #[arg(long, value_name = "F1", requires = "server", value_parser = share)]
    max_macro_f1_drop: Option<f64>,

    /// Hold the new version back if the stable one is right more often, with a p-value below this (McNemar's exact test), such
    /// as 0.05.
    #[arg(long, value_name = "LEVEL", requires = "server", value_parser = share)]
    significance: Option<f64>,

    /// A topic of the stable version that the new one may lack; may be given several times.
    #[arg(long = "allow-lost-topic", value_name = "TOPIC", requires = "server")]
    lost_topics_allowed: Vec<String>,
}

/// [`Mode`], as the command line spells it.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum PromoteArg {
    /// It answers if it passes all checks; it is the candidate if it doesn't.
    Automatic,
    /// It is the candidate, and PromoteModelVersion makes it answer.
    Manual,
    /// It is stored.
    Never,
}

impl PromotionArgs {
    /// The policy, if anything is said of it.
    pub(super) fn to_message(&self) -> Option<pb::PromotionPolicy> {
        let mode = self.promote.map_or(Mode::Unspecified, |promote| match promote {
            PromoteArg::Automatic => Mode::Automatic,
            PromoteArg::Manual => Mode::Manual,
            PromoteArg::Never => Mode::Never,
        });
        let policy = pb::PromotionPolicy {
            mode: mode.into(),
            min_accuracy: self.min_accuracy,
            min_macro_f1: self.min_macro_f1,
            min_documents_per_topic: self.min_documents_per_topic.map_or(0, NonZeroU32::get),
            max_accuracy_drop: self.max_accuracy_drop,
            max_macro_f1_drop: self.max_macro_f1_drop,
            significance: self.significance,
            lost_topics_allowed: self.lost_topics_allowed.clone(),
            ..pb::PromotionPolicy::default()
        };
        (policy != pb::PromotionPolicy::default()).then_some(policy)
    }
}
