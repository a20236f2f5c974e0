//! What a classifier is told once, for all that happens to it later: stored with it as JSON, replaced as a whole.
//!
//! A setting is a field with a default, so that what was stored before there was one is read as if nobody had set it.

use std::num::{NonZeroU32, NonZeroU64};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::error::Error;
use super::gate::PromotionPolicy;
use super::live::LiveClassifier;
use super::models::Models;
use super::panic::{incident, panicked};
use super::promotion::{check_etag, stale};
use crate::decision::Probability;
use crate::names::ClassifierName;
use crate::store::ClassifierRecord;

/// The settings of a classifier.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ClassifierSettings {
    /// When a newly trained version becomes the stable one, unless its training is told otherwise.
    pub promotion_policy: PromotionPolicy,
    /// Which versions are kept.
    pub retention: RetentionPolicy,
    /// When it is trained without being asked.
    pub retraining: RetrainingPolicy,
    /// Which served documents are kept to be labelled.
    pub review: ReviewSettings,
    /// How many served documents the candidate is asked about, too.
    pub shadow: ShadowSettings,
}

/// Which versions are kept besides those with an alias.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RetentionPolicy {
    /// So many, the newest; `None`: all.
    pub max_unaliased_versions: Option<NonZeroU32>,
}

/// When a classifier is trained without being asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RetrainingPolicy {
    /// When so many stored documents have changed since the last training.
    pub min_changed_documents: Option<NonZeroU32>,
    /// When the last training is so many seconds ago, and any has.
    pub max_age_seconds: Option<NonZeroU64>,
}

/// Which served documents are kept to be labelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ReviewSettings {
    /// So many, those that the stable version was least sure of; `None`: none.
    pub max_documents: Option<NonZeroU32>,
}

/// How many served documents the candidate is asked about, too.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ShadowSettings {
    /// Their share.
    pub share: Probability,
}

/// A wish to replace a classifier's settings.
#[derive(Debug, Clone, PartialEq)]
pub struct UpdateSettingsCall {
    /// The classifier, which is created if it isn't there.
    pub classifier: ClassifierName,
    /// All of its settings from now on.
    pub settings: ClassifierSettings,
    /// Only if the classifier is there, and its etag is still this one.
    pub etag: Option<String>,
}

impl ClassifierSettings {
    /// Reads what is stored with a classifier.
    ///
    /// # Errors
    /// [`Error::StoreFailed`] when it can't be read.
    pub fn read(record: &ClassifierRecord) -> Result<Self, Error> {
        serde_json::from_str(&record.settings).map_err(|error| Error::StoreFailed(incident(&error)))
    }

    /// As they are stored.
    pub fn to_json(&self) -> String {
        // Strings, numbers and lists of them: there is nothing that JSON can't hold.
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl Models {
    /// Replaces all settings of a classifier. A version that is being judged meanwhile is judged again.
    ///
    /// # Errors
    /// There is an etag, and the classifier isn't there or has another one; or the store fails.
    pub async fn update_settings(self: &Arc<Self>, call: UpdateSettingsCall) -> Result<ClassifierRecord, Error> {
        let this = Arc::clone(self);
        // On a task of its own, so that what is stored is known here also when its caller is gone by then.
        let updated = tokio::spawn(async move { this.update_settings_on_task(call).await });
        updated.await.unwrap_or_else(|_| Err(panicked()))
    }

    async fn update_settings_on_task(&self, call: UpdateSettingsCall) -> Result<ClassifierRecord, Error> {
        let UpdateSettingsCall { classifier: name, settings, etag } = call;
        let classifier = match etag {
            Some(_) => self.known(&name).await?,
            None => self.known_or_new(&name).await?,
        };
        let change = classifier.change().await;
        let record = self.classifier(&name).await?;
        check_etag(&record, etag.as_deref())?;
        let has_policy = |before: ClassifierSettings| before.promotion_policy == settings.promotion_policy;
        let is_new_policy = !ClassifierSettings::read(&record).is_ok_and(has_policy);
        let replaced = self.store.replace_settings(&name, record.etag, &settings.to_json()).await?;
        let record = replaced.ok_or_else(|| stale(&record))?;
        if is_new_policy {
            self.leave_candidate_to_people(&record).await?;
        }
        let stable = change.serving().stable().cloned();
        change.answer_with(record.clone(), stable);
        self.traffic.follow(&name, &settings);
        tracing::info!(classifier = %name, "settings replaced");
        Ok(self.retain(&change, record).await)
    }

    /// A candidate that was to be promoted by itself isn't any more: what it was to be promoted by doesn't hold any more.
    async fn leave_candidate_to_people(&self, record: &ClassifierRecord) -> Result<(), Error> {
        let Some(number) = record.aliases.candidate else { return Ok(()) };
        let mut details = self.version_info(&record.name, number).await?.details;
        if details.awaits_shadow {
            details.awaits_shadow = false;
            self.store.replace_version_details(&record.name, number, &details.to_json()).await?;
        }
        Ok(())
    }

    /// A classifier that is stored, also if that wasn't so before.
    async fn known_or_new(&self, name: &ClassifierName) -> Result<Arc<LiveClassifier>, Error> {
        match self.known(name).await {
            Err(Error::UnknownClassifier(_)) => Ok(self.live.add(self.store.add_classifier(name).await?)),
            known => known,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::gate::PromotionMode;

    fn record(settings: &str) -> ClassifierRecord {
        let name = ClassifierName::default();
        let (aliases, settings) = (crate::store::Aliases::default(), settings.to_owned());
        ClassifierRecord { name, dataset_revision: 0, aliases, latest: None, etag: 0, settings }
    }

    #[test]
    fn what_is_stored_is_read_and_what_nobody_said_is_the_default() {
        assert_eq!(ClassifierSettings::read(&record("{}")).unwrap(), ClassifierSettings::default());
        let earlier = r#"{"promotion_policy": {"mode": "manual", "min_accuracy": 0.9}}"#;
        let promotion_policy = PromotionPolicy {
            mode: PromotionMode::Manual,
            min_accuracy: Probability::new(0.9),
            ..PromotionPolicy::default()
        };
        let settings = ClassifierSettings { promotion_policy, ..ClassifierSettings::default() };
        assert_eq!(ClassifierSettings::read(&record(earlier)).unwrap(), settings);
        assert_eq!(ClassifierSettings::read(&record(&settings.to_json())).unwrap(), settings);
    }

    #[test]
    fn a_policy_that_cannot_be_read_is_no_policy() {
        for damaged in ["", r#"{"promotion_policy": {"min_accuracy": 1.5}}"#] {
            assert!(matches!(ClassifierSettings::read(&record(damaged)), Err(Error::StoreFailed(_))), "{damaged}");
        }
    }
}
