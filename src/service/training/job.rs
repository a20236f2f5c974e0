//! What is known of a training job, from its beginning to its end, in memory and stored.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU8, Ordering};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::super::error::Error;
use super::super::gate::{Check, PromotionPolicy};
use super::super::model_name::JobName;
use super::super::panic::incident;
use super::call::Scope;
use crate::dataset::issues::DataIssue;
use crate::evaluation::Evaluation;
use crate::store::{ImportOutcome, JobRecord, JobState};
use crate::training::{Progress, Stage, fraction_of_training};
use crate::training_config::TrainingConfig;

/// Of a whole job: the share that is done when its documents have been read, and when training is over.
const READ_FRACTION: f64 = 0.05;
const TRAINED_FRACTION: f64 = 0.95;

/// What a running job is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobStage {
    /// Another job trains.
    Waiting,
    /// It reads its documents.
    Reading,
    /// It trains.
    Training(Stage),
    /// It loads the version, compares it with the stable one and stores it.
    Publishing,
}

/// A training job, as it is at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainingJob {
    /// Its name.
    pub name: JobName,
    /// What it does.
    pub state: JobState,
    /// What it is at while it runs.
    pub stage: JobStage,
    /// How much of it is done, from 0 to 1; never falls.
    pub fraction: f64,
    /// When it was asked for: milliseconds since 1970, UTC.
    pub created_at_ms: u64,
    /// When it ended.
    pub ended_at_ms: Option<u64>,
    /// What is stored of it besides.
    pub details: JobDetails,
}

/// What is stored of a job as JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobDetails {
    /// Which documents it trains on.
    pub scope: Scope,
    /// What it was told.
    pub config: TrainingConfig,
    /// When its version becomes the stable one: while it runs, what the call said; then what was decided by.
    #[serde(default)]
    pub promotion_policy: Option<PromotionPolicy>,
    /// Whether nobody asked for it.
    #[serde(default)]
    pub automatic: bool,
    /// What became of the documents that came with the call.
    pub intake: ImportOutcome,
    /// The revision of the stored documents that it trains on.
    pub dataset_revision: Option<u32>,
    /// The documents that it trains on, once they are read.
    pub n_documents: usize,
    /// What is wrong with the documents.
    pub data_issues: Vec<DataIssue>,
    /// Why it failed.
    pub failure: Option<JobFailure>,
    /// The number of the version that it made.
    pub version: Option<NonZeroU32>,
    /// Whether that became the stable one.
    pub promoted: bool,
    /// What the gate found.
    pub checks: Vec<Check>,
    /// How good predictions were: on held-out documents, or out of fold.
    pub evaluation: Option<Evaluation>,
    /// How long reading, training and comparing took.
    pub seconds: f64,
    /// How much of it was done when it ended.
    pub fraction: f64,
}

/// Why a job made no version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobFailure {
    /// For programs.
    pub reason: FailureReason,
    /// For people.
    pub message: String,
}

/// The kinds of failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureReason {
    /// The documents can't be trained on.
    UnusableDocuments,
    /// The version isn't the same when it is loaded from its file.
    SelfTestFailed,
    /// The server was stopped, or ended otherwise, meanwhile.
    Interrupted,
    /// The store can't hold the version.
    StorageFull,
    /// The database failed, or there was a panic.
    Internal,
}

impl JobDetails {
    /// What is known before anything is done.
    pub(in crate::service) fn new(scope: Scope, config: TrainingConfig, data_issues: Vec<DataIssue>) -> Self {
        Self {
            scope,
            config,
            promotion_policy: None,
            automatic: false,
            intake: ImportOutcome::default(),
            dataset_revision: None,
            n_documents: 0,
            data_issues,
            failure: None,
            version: None,
            promoted: false,
            checks: Vec::new(),
            evaluation: None,
            seconds: 0.0,
            fraction: 0.0,
        }
    }

    /// As it is stored.
    pub(super) fn to_json(&self) -> String {
        // Strings, numbers and lists of them: there is nothing that JSON can't hold.
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl TrainingJob {
    pub(in crate::service) fn begun(name: JobName, created_at_ms: u64, details: JobDetails) -> Self {
        let (state, stage) = (JobState::Running, JobStage::Waiting);
        Self { name, state, stage, fraction: 0.0, created_at_ms, ended_at_ms: None, details }
    }

    /// Reads a stored job that isn't running. One that has failed without a reason was running when its process ended.
    ///
    /// # Errors
    /// [`Error::StoreFailed`] when it can't be read.
    pub(super) fn read(record: JobRecord) -> Result<Self, Error> {
        let mut details: JobDetails =
            serde_json::from_str(&record.details).map_err(|error| Error::StoreFailed(incident(&error)))?;
        if record.state == JobState::Failed && details.failure.is_none() {
            details.failure = Some(JobFailure::interrupted());
        }
        Ok(Self {
            name: JobName { classifier: record.classifier, number: record.number },
            state: record.state,
            stage: JobStage::Publishing,
            fraction: details.fraction,
            created_at_ms: record.created_at_ms,
            ended_at_ms: record.ended_at_ms,
            details,
        })
    }

    /// Whether it doesn't change any more.
    pub fn has_ended(&self) -> bool {
        self.state != JobState::Running
    }
}

impl JobFailure {
    /// The server ended before the job did.
    pub(in crate::service) fn interrupted() -> Self {
        let message = "the server stopped before the training was done; train again";
        Self { reason: FailureReason::Interrupted, message: message.to_owned() }
    }
}

/// Why a running job should stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StopReason {
    Cancelled,
    Interrupted,
}

/// A running job: what is known of it, and the wish that it stop.
#[derive(Debug)]
pub(super) struct ActiveJob {
    job: watch::Sender<TrainingJob>,
    stop: AtomicU8,
    stopped: watch::Sender<bool>,
}

impl ActiveJob {
    const CANCELLED: u8 = 1;
    const INTERRUPTED: u8 = 2;

    pub(super) fn new(job: TrainingJob) -> Self {
        Self { job: watch::Sender::new(job), stop: AtomicU8::new(0), stopped: watch::Sender::new(false) }
    }

    pub(super) fn snapshot(&self) -> TrainingJob {
        self.job.borrow().clone()
    }

    pub(super) fn watch(&self) -> watch::Receiver<TrainingJob> {
        self.job.subscribe()
    }

    pub(super) fn update(&self, change: impl FnOnce(&mut TrainingJob)) {
        self.job.send_modify(change);
    }

    /// Returns when the job has ended.
    pub(super) async fn ended(&self) {
        // The sender is this very value: it doesn't go away meanwhile.
        let _ = self.job.subscribe().wait_for(TrainingJob::has_ended).await;
    }

    pub(super) fn has_ended(&self) -> bool {
        self.job.borrow().has_ended()
    }

    /// Ends it for those who wait: what ran it has failed.
    pub(super) fn fail(&self, error: &Error) {
        let failure = JobFailure { reason: FailureReason::Internal, message: error.to_string() };
        self.update(|job| {
            job.state = JobState::Failed;
            job.details.failure = Some(failure);
        });
    }

    /// Asks the job to stop; the first reason counts.
    pub(super) fn stop(&self, reason: StopReason) {
        let reason = match reason {
            StopReason::Cancelled => Self::CANCELLED,
            StopReason::Interrupted => Self::INTERRUPTED,
        };
        let _ = self.stop.compare_exchange(0, reason, Ordering::SeqCst, Ordering::SeqCst);
        self.stopped.send_replace(true);
    }

    /// Why it should stop, if it should.
    pub(super) fn stop_reason(&self) -> Option<StopReason> {
        match self.stop.load(Ordering::SeqCst) {
            Self::CANCELLED => Some(StopReason::Cancelled),
            Self::INTERRUPTED => Some(StopReason::Interrupted),
            _ => None,
        }
    }

    /// Returns when it should stop.
    pub(super) async fn stopping(&self) {
        // As above.
        let _ = self.stopped.subscribe().wait_for(|stopped| *stopped).await;
    }

    pub(super) fn enter(&self, stage: JobStage, fraction: f64) {
        self.update(|job| (job.stage, job.fraction) = (stage, fraction.max(job.fraction)));
    }

    pub(super) fn reading(&self) {
        self.enter(JobStage::Reading, 0.0);
    }

    pub(super) fn publishing(&self) {
        self.enter(JobStage::Publishing, TRAINED_FRACTION);
    }
}

impl Progress for ActiveJob {
    fn report(&self, stage: Stage, fraction: f64) {
        let share = fraction_of_training(stage, fraction);
        self.enter(JobStage::Training(stage), READ_FRACTION + (TRAINED_FRACTION - READ_FRACTION) * share);
    }

    fn is_cancelled(&self) -> bool {
        self.stop_reason().is_some()
    }
}
