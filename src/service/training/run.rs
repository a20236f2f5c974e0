//! What a training job does, top to bottom: wait for its turn, read, train, load, compare, store, answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use super::super::counters::{TrainingCounters, TrainingOutcome};
use super::super::error::Error;
use super::super::gate::{self, Challenger, Check, PromotionMode, PromotionPolicy, StableVersion, Verdict};
use super::super::models::{Answering, Incumbent, Models, TrainedVersion};
use super::super::out_of_fold::OutOfFold;
use super::super::self_test::SelfTest;
use super::super::version_details::VersionDetails;
use super::job::{ActiveJob, FailureReason, JobDetails, JobFailure, StopReason};
use super::on_pool;
use crate::artifact::{self, Artifact};
use crate::config::Limits;
use crate::dataset::Dataset;
use crate::dataset::issues::{DataIssue, find_issues};
use crate::document::LabeledDocument;
use crate::store::{JobState, NewArtifact, NewVersion, Store, VersionOrigin};
use crate::targets::Targets;
use crate::training::{Progress, TrainError, train_and_look_through};
use crate::training_config::TrainingConfig;
use crate::words;

/// What a job trains on.
pub(super) enum Documents {
    /// Documents that are stored nowhere.
    Given(Vec<LabeledDocument>),
    /// The stored ones of a revision.
    Stored { revision: u32 },
}

/// All that a job needs.
pub(super) struct Plan {
    pub(super) store: Store,
    pub(super) models: Arc<Models>,
    pub(super) pool: Arc<rayon::ThreadPool>,
    pub(super) turn: Arc<Semaphore>,
    pub(super) job: Arc<ActiveJob>,
    pub(super) ended: Arc<TrainingCounters>,
    pub(super) documents: Documents,
    pub(super) limits: Limits,
}

/// Why a job ends without a version.
enum End {
    Stopped,
    Failed(JobFailure),
}

/// What training has made, before it is compared.
struct Prepared {
    dataset: Dataset,
    assigned: Targets,
    model: Artifact,
    artifact: NewArtifact,
    self_test: SelfTest,
    self_test_check: Check,
    seconds: f64,
}

impl Plan {
    /// Does the job, and stores how it ended; whether that could be stored.
    pub(super) async fn run(mut self) -> bool {
        let mut begun = Instant::now();
        let end = match self.train(&mut begun).await {
            Ok(()) => return true,
            Err(end) => end,
        };
        let (state, failure) = match (end, self.job.stop_reason()) {
            (End::Failed(failure), _) => (JobState::Failed, Some(failure)),
            (End::Stopped, Some(StopReason::Cancelled)) => (JobState::Cancelled, None),
            (End::Stopped, _) => (JobState::Failed, Some(JobFailure::interrupted())),
        };
        let outcome = if state == JobState::Cancelled { TrainingOutcome::Cancelled } else { TrainingOutcome::Failed };
        self.ended.add(outcome, begun.elapsed());
        let mut job = self.job.snapshot();
        job.details.failure = failure;
        (job.details.seconds, job.details.fraction) = (begun.elapsed().as_secs_f64(), job.fraction);
        let name = &job.name;
        tracing::info!(job = %name, ?state, failure = ?job.details.failure, "training ended without a version");
        let details = |_| job.details.to_json();
        let ended = self.store.end_job(&name.classifier, name.number, state, None, |aliases, _| aliases, details).await;
        let is_stored = ended.is_ok();
        let ended_at_ms = match ended {
            Ok((_, ended_at_ms)) => ended_at_ms,
            Err(error) => {
                // The classifier's next job or the next start ends it.
                tracing::error!(%error, job = %name, "how a job ended couldn't be stored");
                job.created_at_ms
            }
        };
        self.job.update(|current| {
            (current.details, current.state, current.ended_at_ms) = (job.details, state, Some(ended_at_ms));
        });
        is_stored
    }

    /// `begun` is set to when it is the job's turn.
    async fn train(&mut self, begun: &mut Instant) -> Result<(), End> {
        let turn = Arc::clone(&self.turn);
        let _turn = tokio::select! {
            () = self.job.stopping() => return Err(End::Stopped),
            turn = turn.acquire_owned() => turn,
        };
        *begun = Instant::now();
        self.job.reading();
        let examples = self.read().await?;
        self.job.update(|job| job.details.n_documents = examples.len());
        let (job, config, begun) = (Arc::clone(&self.job), self.job.snapshot().details.config, *begun);
        let max_topics = self.limits.max_topics.get() as usize;
        let prepared = on_pool(&self.pool, move || prepare(examples, &config, &job, begun, max_topics)).await??;
        self.job.publishing();
        self.publish(prepared).await
    }

    async fn read(&mut self) -> Result<Vec<LabeledDocument>, End> {
        let revision = match &mut self.documents {
            Documents::Given(examples) => return Ok(std::mem::take(examples)),
            Documents::Stored { revision } => *revision,
        };
        let classifier = self.job.snapshot().name.classifier;
        let mut stored = self.store.examples(&classifier, Some(revision)).await.map_err(Error::from)?;
        let mut examples: Vec<LabeledDocument> = Vec::new();
        let mut n_bytes = 0;
        loop {
            let batch = stored.next_batch().await.map_err(Error::from)?;
            if batch.is_empty() {
                return Ok(examples);
            }
            n_bytes += batch.iter().map(|example| example.document.n_bytes() as u64).sum::<u64>();
            examples.extend(batch);
            self.check_size(examples.len(), n_bytes)?;
            if self.job.stop_reason().is_some() {
                return Err(End::Stopped);
            }
        }
    }

    /// Whether so many stored documents fit in memory. They are stored in parts, so only who reads them all knows.
    fn check_size(&self, n_documents: usize, n_bytes: u64) -> Result<(), End> {
        let Limits { max_training_documents: max_documents, max_training_bytes: max_bytes, .. } = self.limits;
        let message = if n_documents > max_documents.get() as usize {
            format!("there are more documents than the limit max_training_documents, {max_documents}")
        } else if n_bytes > max_bytes.get() {
            format!("the documents have more bytes than the limit max_training_bytes, {max_bytes}")
        } else {
            return Ok(());
        };
        Err(End::Failed(JobFailure { reason: FailureReason::UnusableDocuments, message }))
    }

    /// Compares the new version with the stable one, and stores it together with the end of the job.
    async fn publish(&self, prepared: Prepared) -> Result<(), End> {
        let job = self.job.snapshot();
        let prepared = Arc::new(prepared);
        loop {
            let incumbent = self.models.incumbent(&job.name.classifier, job.details.dataset_revision).await?;
            let parent = incumbent.stable;
            let stored_policy = incumbent.stored_policy.clone();
            let policy = job.details.promotion_policy.clone().unwrap_or_else(|| stored_policy.clone());
            let checks = self.check(&prepared, &policy, incumbent).await?;
            if self.job.stop_reason().is_some() {
                return Err(End::Stopped);
            }
            let verdict = policy.verdict(&checks);
            let details = version_details(&prepared, &policy, &checks);
            let version = NewVersion {
                origin: VersionOrigin::Trained,
                job: Some(job.name.number),
                dataset_revision: job.details.dataset_revision,
                parent,
                artifact: prepared.artifact.clone(),
                details: details.to_json(),
                out_of_fold: OutOfFold::encode(&prepared.dataset, &prepared.assigned),
            };
            let trained = TrainedVersion {
                classifier: job.name.classifier.clone(),
                job: job.name.number,
                version,
                model: prepared.model.clone(),
                stored_policy,
                verdict,
            };
            let mut job_details = JobDetails {
                n_documents: prepared.dataset.targets().n_documents(),
                promotion_policy: Some(policy),
                promoted: verdict == Verdict::Stable,
                checks,
                evaluation: Some(details.provenance.evaluation),
                seconds: prepared.seconds,
                fraction: 1.0,
                ..job.details.clone()
            };
            let with_version = |number| {
                job_details.version = Some(number);
                job_details.to_json()
            };
            // A version that was promoted meanwhile is what the new one has to be compared with, by what is asked now.
            let Some(ended_at_ms) = self.models.add_trained(trained, with_version).await? else { continue };
            tracing::info!(job = %job.name, version = ?job_details.version, ?verdict, "training ended");
            self.ended.add(outcome(verdict), Duration::from_secs_f64(prepared.seconds));
            self.job.update(|job| {
                (job.state, job.fraction, job.ended_at_ms) = (JobState::Succeeded, 1.0, Some(ended_at_ms));
                job.details = job_details;
            });
            return Ok(());
        }
    }

    /// What the gate finds; means nothing when the job is to stop.
    async fn check(
        &self,
        prepared: &Arc<Prepared>,
        policy: &PromotionPolicy,
        incumbent: Incumbent,
    ) -> Result<Vec<Check>, End> {
        let (job, prepared, policy) = (Arc::clone(&self.job), Arc::clone(prepared), policy.clone());
        let check = move || {
            let Prepared { dataset, assigned, model, .. } = &*prepared;
            let new = Challenger { dataset, out_of_fold: assigned, classifier: &model.classifier };
            let answering = incumbent.answering.as_ref();
            let stable = answering.map(|Answering { version, out_of_fold, renamed }| StableVersion {
                live: version,
                out_of_fold,
                renamed,
            });
            let mut checks = vec![prepared.self_test_check.clone()];
            checks.extend(gate::check(&policy, new, stable, &|| job.is_cancelled()));
            checks
        };
        Ok(on_pool(&self.pool, check).await?)
    }
}

/// Trains, looks for what is wrong with the documents, writes the model file, and reads it again.
fn prepare(
    examples: Vec<LabeledDocument>,
    config: &TrainingConfig,
    job: &ActiveJob,
    begun: Instant,
    max_topics: usize,
) -> Result<Prepared, End> {
    // At once, so that a job that fails says it too.
    let report = |issues: Vec<DataIssue>| job.update(|job| job.details.data_issues.extend(issues));
    report(find_issues(&examples));
    let unusable = |message: String| JobFailure { reason: FailureReason::UnusableDocuments, message };
    let dataset = Dataset::with_options(examples, config.dataset_options())
        .map_err(|error| End::Failed(unusable(error.to_string())))?;
    if dataset.topics().len() > max_topics {
        let n_topics = dataset.topics().len();
        return Err(End::Failed(unusable(format!(
            "there are {n_topics} topics; the limit max_topics is {max_topics}"
        ))));
    }
    let failed = |message: String| End::Failed(JobFailure { reason: FailureReason::Internal, message });
    let words = if config.words { Some(words::bundled().map_err(|error| failed(error.to_string()))?) } else { None };
    let (trained, findings) = train_and_look_through(&dataset, config, words, job).map_err(|error| match error {
        TrainError::Cancelled => End::Stopped,
        error => End::Failed(unusable(error.to_string())),
    })?;
    report(findings.issues);
    let documents = dataset.documents();
    let self_test = SelfTest::record(&trained.classifier, &documents);
    let failed = |message: String| End::Failed(JobFailure { reason: FailureReason::SelfTestFailed, message });
    let model = artifact::decode(artifact::encode(&trained.classifier).into())
        .map_err(|error| failed(format!("the trained model can't be loaded: {error}")))?;
    let self_test_check = gate::check_self_test(self_test.run(&model.classifier, documents.iter().copied(), 0.0));
    if !self_test_check.passed {
        return Err(failed(self_test_check.description));
    }
    let artifact = NewArtifact::new(model.bytes.clone());
    let (assigned, seconds) = (trained.out_of_fold.assigned, begun.elapsed().as_secs_f64());
    Ok(Prepared { dataset, assigned, model, artifact, self_test, self_test_check, seconds })
}

fn outcome(verdict: Verdict) -> TrainingOutcome {
    match verdict {
        Verdict::Stable => TrainingOutcome::Promoted,
        Verdict::Candidate => TrainingOutcome::Candidate,
        Verdict::Stored => TrainingOutcome::Stored,
    }
}

fn version_details(prepared: &Prepared, policy: &PromotionPolicy, checks: &[Check]) -> VersionDetails {
    VersionDetails {
        training_seconds: Some(prepared.seconds),
        checks: checks.to_vec(),
        awaits_shadow: policy.mode == PromotionMode::Automatic && gate::awaits_shadow(checks),
        self_test: prepared.self_test.clone(),
        ..VersionDetails::of(&prepared.model)
    }
}

impl From<Error> for End {
    fn from(error: Error) -> Self {
        let reason = match error {
            Error::StorageFull => FailureReason::StorageFull,
            _ => FailureReason::Internal,
        };
        Self::Failed(JobFailure { reason, message: error.to_string() })
    }
}
