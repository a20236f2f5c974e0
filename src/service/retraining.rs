//! Training that nobody asks for: when enough of a classifier's stored documents have changed, or its last training is long ago.
//!
//! What was trained on is told by the jobs, so that a restart forgets nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::error::Error;
use super::live::now_ms;
use super::models::Models;
use super::settings::{ClassifierSettings, RetrainingPolicy};
use super::training::TrainingService;
use super::training::call::{Scope, TrainCall};
use super::training::job::{FailureReason, TrainingJob};
use crate::names::ClassifierName;
use crate::store::{ClassifierRecord, JobState, Store};
use crate::training_config::TrainingConfig;

/// How often it is looked whether a training is due, besides when documents change.
const CHECK_INTERVAL: Duration = Duration::from_secs(60);
/// Jobs that are looked through for the last one on stored documents.
const MAX_JOBS: u32 = 20;

/// Trains when it is due.
#[derive(Debug)]
pub struct Retraining {
    store: Store,
    models: Arc<Models>,
    training: Arc<TrainingService>,
    /// Revisions that can't be trained on: they aren't tried again.
    refused: HashMap<ClassifierName, u32>,
}

/// What the jobs of a classifier say.
struct Trained {
    /// The revision that the last one was on; 0: there was none.
    revision: u32,
    /// When it was begun: milliseconds since 1970, UTC.
    begun_ms: u64,
    /// What it was told.
    config: TrainingConfig,
}

impl Retraining {
    /// Trains with this service.
    pub fn new(store: Store, models: Arc<Models>, training: Arc<TrainingService>) -> Self {
        Self { store, models, training, refused: HashMap::new() }
    }

    /// Looks again and again; never ends.
    pub async fn run(mut self) {
        loop {
            if let Err(error) = self.check_all().await {
                tracing::error!(%error, "whether trainings are due couldn't be found out");
            }
            tokio::select! {
                () = self.store.documents_changed() => {}
                () = tokio::time::sleep(CHECK_INTERVAL) => {}
            }
        }
    }

    async fn check_all(&mut self) -> Result<(), Error> {
        for record in self.models.classifiers().await? {
            let Some(call) = self.due_call(&record).await? else { continue };
            let revision = record.dataset_revision;
            match self.training.train(call).await {
                Ok(job) => tracing::info!(job = %job.name, revision, "a training was due"),
                // Somebody else trains, or will be done soon: the next look finds out.
                Err(Error::JobRunning(_) | Error::JobBeginning(_) | Error::TooManyJobs { .. } | Error::Stopping) => {}
                Err(error) => {
                    tracing::warn!(%error, classifier = %record.name, revision, "a training is due, but can't begin");
                    self.refused.insert(record.name, revision);
                }
            }
        }
        Ok(())
    }

    async fn due_call(&self, record: &ClassifierRecord) -> Result<Option<TrainCall>, Error> {
        let policy = ClassifierSettings::read(record)?.retraining;
        let is_refused = self.refused.get(&record.name) == Some(&record.dataset_revision);
        if policy == RetrainingPolicy::default() || record.dataset_revision == 0 || is_refused {
            return Ok(None);
        }
        let jobs = self.training.jobs(&record.name, None, MAX_JOBS).await?;
        if jobs.iter().any(|job| job.state == JobState::Running) {
            return Ok(None);
        }
        let trained = Trained::of(&jobs);
        let n_changed = self.store.n_changed_documents(&record.name, trained.revision).await?;
        let age = Duration::from_millis(now_ms().saturating_sub(trained.begun_ms));
        let call = TrainCall {
            classifier: record.name.clone(),
            examples: Vec::new(),
            scope: Scope::Stored,
            revision: None,
            config: trained.config,
            promotion_policy: None,
            wait: Duration::ZERO,
            request: None,
            automatic: true,
            requester: None,
        };
        Ok(is_due(policy, n_changed, age).then_some(call))
    }
}

impl Trained {
    /// Of jobs that have ended, newest first. One that was interrupted is done again, unless the one before was, too: it may be
    /// the reason.
    fn of(jobs: &[TrainingJob]) -> Self {
        let is_interrupted = |job: &TrainingJob| {
            job.details.failure.as_ref().is_some_and(|failure| failure.reason == FailureReason::Interrupted)
        };
        let again =
            matches!(jobs, [first, rest @ ..] if is_interrupted(first) && !rest.first().is_some_and(is_interrupted));
        let of_stored = |job: &TrainingJob| job.details.dataset_revision.map(|revision| (job.created_at_ms, revision));
        let last = jobs.iter().skip(usize::from(again)).find_map(of_stored);
        let (begun_ms, revision) = last.unwrap_or((0, 0));
        let asked_for = jobs.iter().find(|job| job.details.dataset_revision.is_some() && !job.details.automatic);
        let newest = jobs.iter().find(|job| job.details.dataset_revision.is_some());
        let config = asked_for.or(newest).map(|job| job.details.config.clone()).unwrap_or_default();
        Self { revision, begun_ms, config }
    }
}

/// Whether a training is due when so many documents have changed since the last, which is so long ago.
fn is_due(policy: RetrainingPolicy, n_changed: u64, age: Duration) -> bool {
    let enough = policy.min_changed_documents.is_some_and(|n| n_changed >= u64::from(n.get()));
    let old = policy.max_age_seconds.is_some_and(|seconds| age >= Duration::from_secs(seconds.get()));
    enough || (n_changed > 0 && old)
}

#[cfg(test)]
mod tests {
    use std::num::{NonZeroU32, NonZeroU64};

    use super::*;
    use crate::service::JobName;
    use crate::service::training::job::{JobDetails, JobFailure};

    #[test]
    fn documents_or_age_make_a_training_due() {
        let policy =
            RetrainingPolicy { min_changed_documents: NonZeroU32::new(10), max_age_seconds: NonZeroU64::new(60) };
        let second = Duration::from_secs;
        let due = |n_changed, age| is_due(policy, n_changed, age);
        assert_eq!(
            [due(9, second(59)), due(10, second(0)), due(1, second(60)), due(0, second(1000))],
            [false, true, true, false]
        );
        assert!(!is_due(RetrainingPolicy::default(), 1000, second(1000)));
    }

    /// A job on a revision; where it says so, one that was interrupted.
    fn job(number: u32, dataset_revision: Option<u32>, interrupted: bool) -> TrainingJob {
        let name = JobName { classifier: ClassifierName::default(), number: NonZeroU32::new(number).unwrap() };
        let mut details = JobDetails::new(Scope::Stored, TrainingConfig::default(), Vec::new());
        details.dataset_revision = dataset_revision;
        details.failure = interrupted.then(JobFailure::interrupted);
        TrainingJob { state: JobState::Failed, created_at_ms: number.into(), ..TrainingJob::begun(name, 0, details) }
    }

    #[test]
    fn an_interrupted_training_is_done_again_once() {
        let revision = |jobs: &[TrainingJob]| Trained::of(jobs).revision;
        assert_eq!(revision(&[]), 0);
        assert_eq!(revision(&[job(3, None, false), job(2, Some(5), false), job(1, Some(4), false)]), 5);
        assert_eq!(revision(&[job(2, Some(5), true), job(1, Some(4), false)]), 4);
        assert_eq!(revision(&[job(2, Some(5), true), job(1, Some(4), true)]), 5);
        assert_eq!(revision(&[job(1, Some(5), true)]), 0);
    }
}
