//! What callers ask of training.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::super::gate::PromotionPolicy;
use crate::access::Principal;
use crate::dataset::issues::DataIssue;
use crate::document::LabeledDocument;
use crate::names::ClassifierName;
use crate::store::{RequestId, TopicCount};
use crate::training_config::TrainingConfig;

/// Which documents are trained on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// All stored ones, after those that are given have been stored too.
    Stored,
    /// Those that are given, which aren't stored.
    SourceOnly,
}

/// A checked request for a training.
#[derive(Debug, Clone)]
pub struct TrainCall {
    /// The classifier, which is created if it isn't there.
    pub classifier: ClassifierName,
    /// Documents that come with the call.
    pub examples: Vec<LabeledDocument>,
    /// Which documents are trained on.
    pub scope: Scope,
    /// Which revision of the stored ones; `None`: the newest.
    pub revision: Option<u32>,
    /// How.
    pub config: TrainingConfig,
    /// When the version becomes the stable one; `None`: as the classifier's settings say.
    pub promotion_policy: Option<PromotionPolicy>,
    /// How long to wait for the end of the job.
    pub wait: Duration,
    /// The caller's own name for the request.
    pub request: Option<RequestId>,
    /// Whether nobody asked for it.
    pub automatic: bool,
    /// Who asks, where callers have names.
    pub requester: Option<Arc<Principal>>,
}

/// What a training would find.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Validation {
    /// Documents given, repetitions included.
    pub n_given: u64,
    /// Of these, new ones.
    pub n_added: u64,
    /// Of these, stored ones that get other topics.
    pub n_relabelled: u64,
    /// Of these, stored ones that stay as they are.
    pub n_unchanged: u64,
    /// How many documents of each topic would be trained on.
    pub topics: Vec<TopicCount>,
    /// What is wrong with the documents given.
    pub data_issues: Vec<DataIssue>,
}
