//! The moves of the alias `stable`: promoting a version, and going back to the one before.

use std::num::NonZeroU32;
use std::sync::Arc;

use super::error::Error;
use super::gate::{self, Check};
use super::live::Change;
use super::model_name::{ModelName, VersionName};
use super::models::{Models, number_in};
use super::panic::panicked;
use super::traffic::shadow_report::ShadowReport;
use super::version_details::VersionDetails;
use crate::names::ClassifierName;
use crate::store::{Aliases, ClassifierRecord};

/// A wish to move the alias `stable`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PromoteCall {
    /// The version that it shall mean.
    pub version: ModelName,
    /// Also if the gate held the version back.
    pub force: bool,
    /// Only if the classifier's etag is still this one.
    pub etag: Option<String>,
}

/// A wish to go back to the version that was stable before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RollbackCall {
    /// The classifier.
    pub classifier: ClassifierName,
    /// Only if the classifier's etag is still this one.
    pub etag: Option<String>,
}

impl Models {
    /// Makes a version the stable one: loads it, has it take its self-test, stores the move and swaps it in. When this
    /// returns, every later call for the stable version is answered by it. Promoting the stable version does nothing.
    ///
    /// # Errors
    /// The version doesn't exist, was held back, can't be loaded, or the etag isn't the classifier's any more.
    pub async fn promote(self: &Arc<Self>, call: PromoteCall) -> Result<ClassifierRecord, Error> {
        let this = Arc::clone(self);
        // On a task of its own, so that a move that is stored is swapped in also when its caller is gone by then.
        let promoted = tokio::spawn(async move { this.promote_on_task(call).await });
        promoted.await.unwrap_or_else(|_| Err(panicked()))
    }

    async fn promote_on_task(&self, call: PromoteCall) -> Result<ClassifierRecord, Error> {
        let PromoteCall { version: model, force, etag } = call;
        let classifier = self.known(&model.classifier).await?;
        let change = classifier.change().await;
        let record = self.classifier(&model.classifier).await?;
        check_etag(&record, etag.as_deref())?;
        let number = number_in(&record, &model)?;
        if record.aliases.stable == Some(number) {
            // It may be that it couldn't be loaded, and another one answers instead.
            if change.serving().loaded(number).is_none() {
                let (version, _room) = self.load_version(&model.classifier, number).await?;
                change.load(version);
            }
            return Ok(record);
        }
        let info = self.version_info(&model.classifier, number).await?;
        let of_shadow = self.shadow_checks(&record, number, &info.details.checks);
        let checks = of_shadow.as_ref().unwrap_or(&info.details.checks);
        let failed = checks.iter().filter(|check| !check.passed);
        let failed: Vec<String> = failed.map(|check| check.description.clone()).collect();
        if !failed.is_empty() && !force {
            let version = VersionName { classifier: model.classifier, number };
            return Err(Error::HeldBack { version, failed });
        }
        let details = of_shadow.map(|checks| VersionDetails { checks, ..info.details });
        self.move_stable(&change, record, number, details).await
    }

    /// Promotes a candidate that waits to be compared with the stable version on served documents, or says that it doesn't wait
    /// any more; whether it has been compared enough for that.
    ///
    /// # Errors
    /// The version can't be loaded, or the store fails; then it waits on.
    pub(super) async fn judge_candidate(self: &Arc<Self>, candidate: VersionName) -> Result<bool, Error> {
        let this = Arc::clone(self);
        let judged = tokio::spawn(async move { this.judge_on_task(candidate).await });
        judged.await.unwrap_or_else(|_| Err(panicked()))
    }

    async fn judge_on_task(&self, candidate: VersionName) -> Result<bool, Error> {
        let VersionName { classifier: name, number } = &candidate;
        let classifier = self.known(name).await?;
        let change = classifier.change().await;
        let record = self.classifier(name).await?;
        let info = self.version_info(name, *number).await?;
        // Somebody may have decided since, and then it isn't the candidate, or doesn't wait any more.
        if record.aliases.candidate != Some(*number) || !info.details.awaits_shadow {
            return Ok(true);
        }
        let Some(checks) = self.shadow_checks(&record, *number, &info.details.checks) else { return Ok(true) };
        let has_enough = gate::has_enough_shadow(&checks);
        if !has_enough {
            return Ok(false);
        }
        let passes = checks.iter().all(|check| check.passed);
        let details = VersionDetails { checks, awaits_shadow: false, ..info.details };
        if passes {
            self.move_stable(&change, record, *number, Some(details)).await?;
        } else {
            self.store.replace_version_details(name, *number, &details.to_json()).await?;
            tracing::info!(version = %candidate, "compared on served documents, and not promoted");
        }
        Ok(true)
    }

    /// A version's checks with those of served documents as they are now; `None` if it isn't the candidate beside a stable
    /// version: then what was found before holds.
    fn shadow_checks(&self, record: &ClassifierRecord, number: NonZeroU32, checks: &[Check]) -> Option<Vec<Check>> {
        let Aliases { stable: Some(stable), candidate, .. } = record.aliases else { return None };
        if candidate != Some(number) {
            return None;
        }
        let report = self.traffic.shadow_report(&record.name);
        let is_pair = |report: &&ShadowReport| (report.stable, report.candidate) == (stable, number);
        Some(gate::with_shadow(checks, report.as_ref().filter(is_pair)))
    }

    /// Makes the previous version the stable one, and the stable one the previous.
    ///
    /// # Errors
    /// There is no previous version, it can't be loaded, or the etag isn't the classifier's any more.
    pub async fn rollback(self: &Arc<Self>, call: RollbackCall) -> Result<ClassifierRecord, Error> {
        let this = Arc::clone(self);
        let rolled_back = tokio::spawn(async move { this.rollback_on_task(call).await });
        rolled_back.await.unwrap_or_else(|_| Err(panicked()))
    }

    async fn rollback_on_task(&self, call: RollbackCall) -> Result<ClassifierRecord, Error> {
        let classifier = self.known(&call.classifier).await?;
        let change = classifier.change().await;
        let record = self.classifier(&call.classifier).await?;
        check_etag(&record, call.etag.as_deref())?;
        let previous = record.aliases.previous.ok_or(Error::NoPreviousVersion(call.classifier))?;
        self.move_stable(&change, record, previous, None).await
    }

    /// The version's details change with the move if there are new ones: who sees the version answer sees why.
    async fn move_stable(
        &self,
        change: &Change<'_>,
        record: ClassifierRecord,
        number: NonZeroU32,
        details: Option<VersionDetails>,
    ) -> Result<ClassifierRecord, Error> {
        let (version, room) = self.loaded_or_load(&change.serving(), &record.name, number).await?;
        let aliases = promoted(record.aliases, number);
        let details = details.map(|details| details.to_json());
        let details = details.as_deref().map(|details| (number, details));
        let moved = self.store.move_aliases(&record.name, record.etag, aliases, details).await?;
        let record = moved.ok_or_else(|| stale(&record))?;
        change.answer_with(record.clone(), Some(version));
        drop(room);
        self.memory.trim(&self.live);
        tracing::info!(version = %VersionName { classifier: record.name.clone(), number }, "promoted");
        Ok(self.retain(change, record).await)
    }
}

/// The aliases when a version has become the stable one.
pub(super) fn promoted(before: Aliases, number: NonZeroU32) -> Aliases {
    Aliases {
        stable: Some(number),
        previous: before.stable,
        candidate: before.candidate.filter(|candidate| *candidate != number),
    }
}

pub(super) fn check_etag(record: &ClassifierRecord, etag: Option<&str>) -> Result<(), Error> {
    if etag.is_none_or(|etag| etag == record.etag.to_string()) { Ok(()) } else { Err(stale(record)) }
}

pub(super) fn stale(record: &ClassifierRecord) -> Error {
    Error::StaleEtag { classifier: record.name.clone(), actual: record.etag.to_string() }
}
