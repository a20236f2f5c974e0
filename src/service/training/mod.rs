//! Training for callers: a job that outlives its caller, runs on threads of its own, and ends in a version that answers,
//! or in the reason why not.
//!
//! Reading order: [`call`] (what is asked), `validation` (what is wrong with it), this file (how a job begins, is watched and is
//! stopped), [`job`] (what is known of it), `run` (what it does).

pub mod call;
pub mod job;
mod run;
mod validation;

use std::collections::{HashMap, HashSet};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use super::counters::{TrainingCounters, TrainingOutcome};
use super::datasets::owner;
use super::error::{Error, FieldViolation};
use super::model_name::JobName;
use super::models::Models;
use super::panic::{catch_async, panicked};
use crate::access::Principal;
use crate::access::quota::TrainingPlace;
use crate::config::Limits;
use crate::dataset::issues::find_repetitions;
use crate::names::ClassifierName;
use crate::store::{BegunJob, ImportOutcome, JobRecord, Store};
use call::{Scope, TrainCall};
use job::{ActiveJob, JobDetails, StopReason, TrainingJob};
use run::{Documents, Plan};
use validation::{check_usable, relabelled};

/// How much less important training is than answering, where the system can tell threads apart (as in `nice`).
const TRAINING_NICENESS: i32 = 19;

/// Trains classifiers.
#[derive(Debug)]
pub struct TrainingService {
    store: Store,
    models: Arc<Models>,
    pool: Arc<rayon::ThreadPool>,
    /// One job trains at a time, on all threads; the others wait.
    turn: Arc<Semaphore>,
    limits: Limits,
    active: Arc<Mutex<ActiveJobs>>,
    ended: Arc<TrainingCounters>,
}

#[derive(Debug, Default)]
struct ActiveJobs {
    jobs: HashMap<JobName, Arc<ActiveJob>>,
    /// Whose job is being stored, and isn't among `jobs` yet.
    beginning: HashSet<ClassifierName>,
    is_stopping: bool,
}

/// See [`TrainingService::reserve`].
pub(in crate::service) struct Place {
    active: Arc<Mutex<ActiveJobs>>,
    classifier: ClassifierName,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.active.lock().unwrap_or_else(PoisonError::into_inner).beginning.remove(&self.classifier);
    }
}

impl TrainingService {
    /// Starts the threads that train: one for each processor, or `n_threads`.
    ///
    /// # Errors
    /// The operating system gives no more threads.
    pub fn start(
        store: Store,
        models: Arc<Models>,
        n_threads: Option<NonZeroU32>,
        limits: Limits,
    ) -> Result<Self, rayon::ThreadPoolBuildError> {
        let pool = rayon::ThreadPoolBuilder::new()
            .thread_name(|index| format!("training-{index}"))
            .num_threads(n_threads.map_or(0, |n| n.get() as usize))
            .start_handler(|_| yield_to_answering())
            .build()?;
        let (pool, turn) = (Arc::new(pool), Arc::new(Semaphore::new(1)));
        Ok(Self { store, models, pool, turn, limits, active: Arc::default(), ended: Arc::default() })
    }

    /// The threads that train, for other work that gives way to answering.
    pub(super) fn pool(&self) -> Arc<rayon::ThreadPool> {
        Arc::clone(&self.pool)
    }

    /// Begins a job, stores the documents that it brings, and waits for its end as long as the call says.
    ///
    /// # Errors
    /// The documents can't be trained on, the classifier is being trained, too many jobs wait, or the store fails. Then
    /// nothing is stored.
    pub async fn train(self: &Arc<Self>, call: TrainCall) -> Result<TrainingJob, Error> {
        let until = Instant::now().checked_add(call.wait);
        let this = Arc::clone(self);
        // On a task of its own, so that a job that is stored runs also when its caller is gone by then.
        let begun = tokio::spawn(async move { this.begin(call).await });
        let job = begun.await.unwrap_or_else(|_| Err(panicked()))?;
        self.wait_for_end(job, until).await
    }

    async fn begin(&self, call: TrainCall) -> Result<TrainingJob, Error> {
        if let Some(request) = &call.request {
            match self.store.requested_job(request).await? {
                Some((job, true)) => return self.known_job(job),
                Some((_, false)) => return Err(other_request()),
                None => {}
            }
        }
        let _place = self.reserve(&call.classifier)?;
        let requesters_place = call.requester.as_deref().map(training_place).transpose()?.flatten();
        // Its place is reserved, so no job of the classifier runs: one that is stored as running is one whose end couldn't be.
        self.store.fail_left_over(&call.classifier).await?;
        check_usable(&call, &self.stored_topics(&call).await?, &self.limits)?;
        let asked_for = call.revision;
        // Of what is stored nothing is left of repetitions when the job reads it; what isn't, the job looks through itself.
        let mut issues = match call.scope {
            Scope::Stored => find_repetitions(&call.examples),
            Scope::SourceOnly => Vec::new(),
        };
        issues.extend(relabelled(&call.examples, &self.stored_copies(&call).await?));
        let TrainCall { classifier, scope, examples, config, promotion_policy, request, automatic, requester, .. } =
            call;
        let n_given = examples.len() as u64;
        let (import, documents) = match scope {
            Scope::SourceOnly => (None, Some(examples)),
            Scope::Stored if examples.is_empty() => (None, None),
            Scope::Stored => {
                let owner = requester.as_deref().map(owner);
                let mut import = self.store.begin_import(&classifier).await?.owned_by(owner);
                if let Err(error) = import.stage(&examples).await {
                    import.discard().await?;
                    return Err(error.into());
                }
                (Some(import), None)
            }
        };
        let mut details = JobDetails { promotion_policy, automatic, ..JobDetails::new(scope, config, issues) };
        let mut revision = 0;
        let with_outcome = |outcome: ImportOutcome| {
            revision = asked_for.unwrap_or(outcome.revision);
            details.intake = ImportOutcome { n_given, ..outcome };
            details.dataset_revision = (scope == Scope::Stored).then_some(revision);
            details.to_json()
        };
        let begun = self.store.begin_job(&classifier, request.as_ref(), import, with_outcome).await?;
        let (number, created_at_ms) = match begun {
            BegunJob::New { number, created_at_ms, .. } => (number, created_at_ms),
            BegunJob::Repeated(job) => return self.known_job(job),
            BegunJob::OtherRequest => return Err(other_request()),
            BegunJob::Busy(number) => return Err(Error::JobRunning(JobName { classifier, number })),
        };
        let documents = documents.map_or(Documents::Stored { revision }, Documents::Given);
        let job = TrainingJob::begun(JobName { classifier, number }, created_at_ms, details);
        Ok(self.run(job, documents, requesters_place))
    }

    /// Lets a job that is stored run to its end, whoever waits for it.
    fn run(&self, job: TrainingJob, documents: Documents, place: Option<TrainingPlace>) -> TrainingJob {
        let name = job.name.clone();
        let active = Arc::new(ActiveJob::new(job.clone()));
        {
            let mut jobs = self.active();
            jobs.jobs.insert(name.clone(), Arc::clone(&active));
            if jobs.is_stopping {
                active.stop(StopReason::Interrupted);
            }
        }
        let plan = Plan {
            store: self.store.clone(),
            models: Arc::clone(&self.models),
            pool: Arc::clone(&self.pool),
            turn: Arc::clone(&self.turn),
            job: active,
            ended: Arc::clone(&self.ended),
            documents,
            limits: self.limits,
        };
        let active = Arc::clone(&plan.job);
        let (jobs, ended) = (Arc::clone(&self.active), Arc::clone(&self.ended));
        tracing::info!(job = %name, "training begins");
        tokio::spawn(async move {
            let _place = place;
            match catch_async(plan.run()).await {
                Ok(true) => {}
                // What is known here is all there is, until the process ends.
                Ok(false) => return,
                Err(error) => {
                    active.fail(&error);
                    ended.add(TrainingOutcome::Failed, Duration::ZERO);
                }
            }
            jobs.lock().unwrap_or_else(PoisonError::into_inner).jobs.remove(&name);
        });
        job
    }

    /// A job as it is now.
    ///
    /// # Errors
    /// It doesn't exist, or the store fails.
    pub async fn job(&self, name: &JobName) -> Result<TrainingJob, Error> {
        if let Some(active) = self.active_job(name) {
            return Ok(active.snapshot());
        }
        let stored = self.store.job(&name.classifier, name.number).await?;
        TrainingJob::read(stored.ok_or_else(|| Error::UnknownJob(name.clone()))?)
    }

    /// The newest jobs of a classifier below a number, newest first, at most `limit`.
    ///
    /// # Errors
    /// The classifier doesn't exist, or the store fails.
    pub async fn jobs(
        &self,
        classifier: &ClassifierName,
        below: Option<u32>,
        limit: u32,
    ) -> Result<Vec<TrainingJob>, Error> {
        self.models.classifier(classifier).await?;
        let records = self.store.jobs(classifier, below, limit).await?;
        records.into_iter().map(|record| self.known_job(record)).collect()
    }

    /// Follows a job: what is known of it changes until it has ended, and not after.
    ///
    /// # Errors
    /// It doesn't exist, or the store fails.
    pub async fn watch(&self, name: &JobName) -> Result<watch::Receiver<TrainingJob>, Error> {
        match self.active_job(name) {
            Some(active) => Ok(active.watch()),
            None => Ok(watch::channel(self.job(name).await?).1),
        }
    }

    /// Stops a job and waits until it has stopped. One that has ended stays as it is.
    ///
    /// # Errors
    /// It doesn't exist, or the store fails.
    pub async fn cancel(&self, name: &JobName) -> Result<TrainingJob, Error> {
        if let Some(active) = self.active_job(name) {
            active.stop(StopReason::Cancelled);
            active.ended().await;
        }
        self.job(name).await
    }

    /// Stops all jobs, which end as interrupted, and waits until they have, or for `patience`. No job begins any more.
    pub async fn stop(&self, patience: Duration) {
        let jobs: Vec<Arc<ActiveJob>> = {
            let mut active = self.active();
            active.is_stopping = true;
            active.jobs.values().cloned().collect()
        };
        for job in &jobs {
            job.stop(StopReason::Interrupted);
        }
        let all_ended = async {
            for job in &jobs {
                job.ended().await;
            }
        };
        if tokio::time::timeout(patience, all_ended).await.is_err() {
            tracing::warn!("training jobs didn't stop in time; the next start ends them");
        }
    }

    async fn wait_for_end(&self, job: TrainingJob, until: Option<Instant>) -> Result<TrainingJob, Error> {
        match self.active_job(&job.name) {
            None if job.has_ended() => Ok(job),
            None => self.job(&job.name).await,
            Some(active) => {
                match until {
                    // What is known when the time is over is the answer.
                    Some(until) => _ = tokio::time::timeout_at(until, active.ended()).await,
                    None => active.ended().await,
                }
                Ok(active.snapshot())
            }
        }
    }

    /// Takes the place of the classifier's one job, so that none begins, until what is returned is dropped. A job that has begun
    /// by then has it itself.
    pub(in crate::service) fn reserve(&self, classifier: &ClassifierName) -> Result<Place, Error> {
        let mut active = self.active();
        if active.is_stopping {
            return Err(Error::Stopping);
        }
        let running = |jobs: &HashMap<JobName, Arc<ActiveJob>>| {
            let running = jobs.iter().filter(|(_, job)| !job.has_ended()).map(|(name, _)| name.clone());
            running.collect::<Vec<_>>()
        };
        let running = running(&active.jobs);
        if let Some(name) = running.iter().find(|name| name.classifier == *classifier) {
            return Err(Error::JobRunning(name.clone()));
        }
        if active.beginning.contains(classifier) {
            return Err(Error::JobBeginning(classifier.clone()));
        }
        let limit = self.limits.max_training_jobs.get();
        if running.len() + active.beginning.len() >= limit as usize {
            return Err(Error::TooManyJobs { limit });
        }
        active.beginning.insert(classifier.clone());
        Ok(Place { active: Arc::clone(&self.active), classifier: classifier.clone() })
    }

    /// The jobs that have ended since the start.
    pub fn ended(&self) -> &TrainingCounters {
        &self.ended
    }

    /// How many jobs run or wait.
    pub fn n_active(&self) -> usize {
        self.active().jobs.values().filter(|job| !job.has_ended()).count()
    }

    fn known_job(&self, record: JobRecord) -> Result<TrainingJob, Error> {
        let name = JobName { classifier: record.classifier.clone(), number: record.number };
        self.active_job(&name).map_or_else(|| TrainingJob::read(record), |active| Ok(active.snapshot()))
    }

    fn active_job(&self, name: &JobName) -> Option<Arc<ActiveJob>> {
        self.active().jobs.get(name).cloned()
    }

    fn active(&self) -> std::sync::MutexGuard<'_, ActiveJobs> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of the places that a principal's quota has for training jobs; `None`: it has no quota.
fn training_place(principal: &Principal) -> Result<Option<TrainingPlace>, Error> {
    let Some(limit) = principal.quotas().training_jobs else { return Ok(None) };
    let place = principal.usage().take_training_place(limit);
    let refusal = || Error::TrainingQuota { principal: principal.name().to_owned(), limit: limit.get() };
    place.ok_or_else(refusal).map(Some)
}

/// What a caller is told who uses one name for two requests.
pub(super) fn other_request() -> Error {
    Error::InvalidRequest(vec![FieldViolation {
        field: "request_id".to_owned(),
        reason: "REQUEST_ID_USED",
        description: "was used for another request within the last 24 hours; make a new one for each request"
            .to_owned(),
    }])
}

/// Makes this thread less important than those that answer, on systems where a thread can be.
fn yield_to_answering() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(Some(rustix::thread::gettid()), TRAINING_NICENESS) {
        tracing::debug!(%error, "training threads are as important as all others");
    }
}

/// Does `work` on the training threads.
///
/// # Errors
/// [`Error::Panicked`].
async fn on_pool<T: Send + 'static>(
    pool: &rayon::ThreadPool,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    let (reply, answer) = tokio::sync::oneshot::channel();
    // Rayon ends the process when a spawned closure panics. That nobody waits any more is no failure.
    pool.spawn(move || drop(reply.send(super::panic::catch(work))));
    answer.await.unwrap_or_else(|_| Err(panicked()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact;
    use crate::config::Limits;
    use crate::document::{Document, LabeledDocument, Topic};
    use crate::service::training::job::FailureReason;
    use crate::store::{DataDir, JobState};
    use crate::training_config::TrainingConfig;

    fn call(classifier: &ClassifierName, n_documents: usize) -> TrainCall {
        let example = |i: usize| {
            let (topic, words) =
                if i.is_multiple_of(2) { ("war", "tanks shelled") } else { ("sport", "striker scored") };
            let document = Document::new("", format!("{words} near town {i}")).unwrap();
            LabeledDocument::new(document, vec![Topic::new(topic).unwrap()])
        };
        TrainCall {
            classifier: classifier.clone(),
            examples: (0..n_documents).map(example).collect(),
            scope: Scope::Stored,
            revision: None,
            config: TrainingConfig::default(),
            promotion_policy: None,
            wait: Duration::from_secs(60),
            request: None,
            automatic: false,
            requester: None,
        }
    }

    /// A job whose end couldn't be stored would hold up its classifier until the next start. It was ended, but as what the
    /// next request had asked for; then as what it was, but the next request was refused once.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_job_that_nobody_runs_is_ended_by_the_next_and_keeps_what_is_known_of_it() {
        let parent = tempfile::tempdir().unwrap();
        let store = Store::open(DataDir::lock(parent.path()).unwrap()).await.unwrap();
        let limits = Limits::default();
        let models = Models::open(store.clone(), artifact::bundled().unwrap(), limits.max_model_bytes).await.unwrap();
        let models = Arc::new(models);
        let training = Arc::new(TrainingService::start(store.clone(), models, None, limits).unwrap());
        let desk: ClassifierName = "desk".parse().unwrap();
        let left_behind = JobDetails {
            n_documents: 77,
            ..JobDetails::new(Scope::SourceOnly, TrainingConfig { seed: 5, ..TrainingConfig::default() }, Vec::new())
        };
        store.begin_job(&desk, None, None, |_| left_behind.to_json()).await.unwrap();

        let trained = training.train(call(&desk, 20)).await.unwrap();
        assert_eq!((trained.name.number.get(), trained.state), (2, JobState::Succeeded));
        assert_eq!(trained.details.intake.n_added, 20);
        let name = JobName { classifier: desk.clone(), number: NonZeroU32::MIN };
        let ended = training.job(&name).await.unwrap();
        assert_eq!(ended.state, JobState::Failed);
        assert_eq!(ended.details.failure.as_ref().unwrap().reason, FailureReason::Interrupted);
        assert_eq!(JobDetails { failure: None, ..ended.details }, left_behind);
    }
}
