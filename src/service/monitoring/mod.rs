//! Whether what is served is still like what was trained on: a version's answers of the last day beside the reference that its
//! training kept.

mod served_answers;

use std::collections::HashMap;
use std::sync::Arc;

use tokio::time::MissedTickBehavior;

use super::error::Error;
use super::live::{LiveVersion, now_ms};
use super::model_name::ModelName;
use super::models::Models;
use crate::drift::{Distributions, FeatureDrift};
use crate::names::ClassifierName;
use served_answers::SLOT;
pub(super) use served_answers::ServedAnswers;
pub use served_answers::Window;

/// What a version answered, beside its training.
#[derive(Debug, Clone)]
pub struct MonitoringReport {
    /// The version.
    pub version: Arc<LiveVersion>,
    /// What it answered.
    pub window: Window,
    /// The documents that its reference is of; `None` without one.
    pub n_reference_documents: Option<u64>,
    /// Which topics are the most probable ones; bins in the order of the version's topics.
    pub topics: FeatureDrift,
    /// How probable they are.
    pub confidence: FeatureDrift,
    /// Shares of unknown tokens.
    pub unknown_tokens: FeatureDrift,
}

impl MonitoringReport {
    fn of(version: Arc<LiveVersion>, now_ms: u64) -> Self {
        let window = version.served.window(now_ms);
        let reference = version.classifier.provenance().reference.as_ref();
        let expected = |counts: fn(&Distributions) -> &[u64]| reference.map(counts);
        let Distributions { topics, confidence, unknown_tokens } = &window.answers;
        Self {
            n_reference_documents: reference.map(Distributions::n_documents),
            topics: FeatureDrift::of(expected(|reference| &reference.topics), topics),
            confidence: FeatureDrift::of(expected(|reference| &reference.confidence), confidence),
            unknown_tokens: FeatureDrift::of(expected(|reference| &reference.unknown_tokens), unknown_tokens),
            window,
            version,
        }
    }
}

/// The indexes of one version; `None` where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct StabilityIndexes {
    /// Of the topics.
    pub topics: Option<f64>,
    /// Of the confidence.
    pub confidence: Option<f64>,
    /// Of the unknown tokens.
    pub unknown_tokens: Option<f64>,
}

impl Models {
    /// What a version answered in the last day, beside its training. A version that isn't in memory is loaded for it, and
    /// has answered nothing.
    ///
    /// # Errors
    /// It doesn't exist, or can't be loaded.
    pub async fn monitoring_report(&self, model: &ModelName) -> Result<MonitoringReport, Error> {
        Ok(MonitoringReport::of(self.resolve(model).await?, now_ms()))
    }

    /// The indexes of what answers where a stable version is asked for, as far as it is in memory.
    pub fn stability_indexes(&self) -> HashMap<ClassifierName, StabilityIndexes> {
        let indexes = |version: Arc<LiveVersion>| {
            let MonitoringReport { version, topics, confidence, unknown_tokens, .. } =
                MonitoringReport::of(version, now_ms());
            let [topics, confidence, unknown_tokens] = [topics, confidence, unknown_tokens].map(|drift| drift.index);
            (version.name.classifier.clone(), StabilityIndexes { topics, confidence, unknown_tokens })
        };
        self.live.stable_versions().into_iter().map(indexes).collect()
    }
}

/// Notes each hour what the versions in memory have answered.
#[derive(Debug)]
pub struct Monitoring {
    models: Arc<Models>,
}

impl Monitoring {
    /// Of these models.
    pub fn new(models: Arc<Models>) -> Self {
        Self { models }
    }

    /// Notes again and again; never ends.
    pub async fn run(self) {
        let mut slots = tokio::time::interval(SLOT);
        slots.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            slots.tick().await;
            let now_ms = now_ms();
            self.models.loaded().iter().for_each(|version| version.served.mark(now_ms));
        }
    }
}
