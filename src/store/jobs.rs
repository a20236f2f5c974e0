//! Training jobs: begun together with the documents that they bring, ended together with the version that they make.

use std::num::NonZeroU32;

use sqlx::FromRow;
use sqlx::sqlite::{SqliteConnection, SqlitePool};

use super::classifiers::{read_classifier, touch_classifier};
use super::versions::insert_version;
use super::{
    Aliases, ClassifierRecord, Import, ImportOutcome, NewVersion, Store, StoreError, now_ms, number, version_number,
};
use crate::names::{ClassifierName, excerpt};

/// How long a request id means the request that it first came with, in milliseconds.
pub(super) const REQUEST_ID_LIFETIME_MS: i64 = 24 * 60 * 60 * 1000;

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobState {
    /// It waits for its turn, or trains.
    Running,
    /// It made a version.
    Succeeded,
    /// It made none; its details say why.
    Failed,
    /// Somebody stopped it.
    Cancelled,
}

/// A stored job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobRecord {
    /// The classifier.
    pub classifier: ClassifierName,
    /// The job's number, from 1.
    pub number: NonZeroU32,
    /// What it does.
    pub state: JobState,
    /// When it was asked for: milliseconds since 1970, UTC.
    pub created_at_ms: u64,
    /// When it ended.
    pub ended_at_ms: Option<u64>,
    /// What else is known of it: JSON of the service's. Of a job that the end of the process ended, it is what was known
    /// at its beginning.
    pub details: String,
}

/// A request that a caller has given a name, to be able to repeat it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId {
    /// The caller's name for it.
    pub id: String,
    /// SHA-256 of what is asked.
    pub sha256: [u8; 32],
}

/// What became of the wish to begin a job.
#[derive(Debug)]
pub enum BegunJob {
    /// It has begun, and its documents are stored.
    New {
        /// Its number.
        number: NonZeroU32,
        /// When it was asked for.
        created_at_ms: u64,
    },
    /// The same request has begun this one before; nothing was stored.
    Repeated(JobRecord),
    /// The request id was used for another request; nothing was stored.
    OtherRequest,
    /// The classifier has this job running; nothing was stored.
    Busy(NonZeroU32),
}

#[derive(FromRow)]
struct JobRow {
    classifier: String,
    number: i64,
    state: String,
    created_at: i64,
    ended_at: Option<i64>,
    request_sha256: Option<Vec<u8>>,
    details: String,
}

const SELECT_JOBS: &str =
    "SELECT classifier, number, state, created_at, ended_at, request_sha256, details FROM jobs WHERE ";

impl Store {
    /// Ends a job of a classifier that is stored as running, and isn't.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn fail_left_over(&self, classifier: &ClassifierName) -> Result<(), StoreError> {
        let is_left: Option<i64> =
            sqlx::query_scalar("SELECT number FROM jobs WHERE classifier = $1 AND state = 'RUNNING'")
                .bind(classifier.as_str())
                .fetch_optional(&self.pool)
                .await?;
        // Hardly ever, so that a job that begins needn't wait for a writer.
        if is_left.is_some() {
            sqlx::query("UPDATE jobs SET state = 'FAILED', ended_at = $1 WHERE classifier = $2 AND state = 'RUNNING'")
                .bind(now_ms())
                .bind(classifier.as_str())
                .execute(&self.writer)
                .await?;
        }
        Ok(())
    }

    /// Begins a job, and publishes the documents that it brings, in one transaction: both or neither. `details` says what
    /// is known of the job, given what became of the documents.
    ///
    /// # Errors
    /// [`StoreError::Database`]; then neither is there.
    pub async fn begin_job(
        &self,
        classifier: &ClassifierName,
        request: Option<&RequestId>,
        import: Option<Import>,
        details: impl FnOnce(ImportOutcome) -> String,
    ) -> Result<BegunJob, StoreError> {
        let mut transaction = self.writer.begin().await?;
        touch_classifier(&mut transaction, classifier).await?;
        let obstacle = find_obstacle(&mut transaction, classifier, request).await?;
        if let Some(obstacle) = obstacle {
            transaction.rollback().await?;
            if let Some(import) = import {
                import.discard().await?;
            }
            return Ok(obstacle);
        }
        let outcome = match import {
            Some(import) => match import.publish_in(&mut transaction).await {
                Ok(outcome) => {
                    if !outcome.is_new() {
                        import.discard_in(&mut transaction).await?;
                    }
                    outcome
                }
                Err(error) => {
                    transaction.rollback().await?;
                    import.discard().await?;
                    return Err(error);
                }
            },
            None => {
                let revision = read_classifier(&mut transaction, classifier).await?.dataset_revision;
                ImportOutcome { revision, ..ImportOutcome::default() }
            }
        };
        let (details, created_at) = (details(outcome), now_ms());
        let stored = insert_job(&mut transaction, classifier, request, created_at, &details).await?;
        transaction.commit().await?;
        Ok(BegunJob::New { number: version_number(stored)?, created_at_ms: number("time", created_at)? })
    }

    /// The job that was begun by a request of this name, if it can be told still, and whether the request was the same.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Damaged`].
    pub async fn requested_job(&self, request: &RequestId) -> Result<Option<(JobRecord, bool)>, StoreError> {
        find_request(&mut *self.pool.acquire().await?, request).await
    }

    /// Ends a job. With a version, that is stored, and `aliases` says what the aliases mean then; all in one transaction.
    ///
    /// # Errors
    /// [`StoreError::Database`]; then the job is still running.
    pub async fn end_job(
        &self,
        classifier: &ClassifierName,
        job: NonZeroU32,
        state: JobState,
        version: Option<&NewVersion>,
        aliases: impl FnOnce(Aliases, NonZeroU32) -> Aliases,
        details: impl FnOnce(Option<NonZeroU32>) -> String,
    ) -> Result<(ClassifierRecord, u64), StoreError> {
        let mut transaction = self.writer.begin().await?;
        touch_classifier(&mut transaction, classifier).await?;
        let made = match version {
            Some(version) => Some(insert_version(&mut transaction, classifier, version, aliases).await?),
            None => None,
        };
        let ended_at = now_ms();
        sqlx::query(
            "UPDATE jobs SET state = $1, ended_at = $2, details = $3 \
             WHERE classifier = $4 AND number = $5 AND state = 'RUNNING'",
        )
        .bind(state.as_str())
        .bind(ended_at)
        .bind(details(made))
        .bind(classifier.as_str())
        .bind(i64::from(job.get()))
        .execute(&mut *transaction)
        .await?;
        let record = read_classifier(&mut transaction, classifier).await?;
        transaction.commit().await?;
        Ok((record, number("time", ended_at)?))
    }

    /// One job, if it is there.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Damaged`].
    pub async fn job(&self, classifier: &ClassifierName, job: NonZeroU32) -> Result<Option<JobRecord>, StoreError> {
        let sql = sqlx::AssertSqlSafe(format!("{SELECT_JOBS} classifier = $1 AND number = $2"));
        let query = sqlx::query_as(sql).bind(classifier.as_str()).bind(i64::from(job.get()));
        let row: Option<JobRow> = query.fetch_optional(&self.pool).await?;
        row.map(JobRecord::try_from).transpose()
    }

    /// The newest jobs below a number, newest first, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Damaged`].
    pub async fn jobs(
        &self,
        classifier: &ClassifierName,
        below: Option<u32>,
        limit: u32,
    ) -> Result<Vec<JobRecord>, StoreError> {
        let sql = format!("{SELECT_JOBS} classifier = $1 AND number < $2 ORDER BY number DESC LIMIT $3");
        let below = below.map_or(i64::MAX, i64::from);
        let query = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(classifier.as_str()).bind(below);
        let rows: Vec<JobRow> = query.bind(i64::from(limit)).fetch_all(&self.pool).await?;
        rows.into_iter().map(JobRecord::try_from).collect()
    }
}

/// What keeps a job from beginning, if anything does.
async fn find_obstacle(
    connection: &mut SqliteConnection,
    classifier: &ClassifierName,
    request: Option<&RequestId>,
) -> Result<Option<BegunJob>, StoreError> {
    if let Some(request) = request {
        match find_request(connection, request).await? {
            None => {}
            Some((job, true)) => return Ok(Some(BegunJob::Repeated(job))),
            Some((_, false)) => return Ok(Some(BegunJob::OtherRequest)),
        }
    }
    let running: Option<i64> =
        sqlx::query_scalar("SELECT number FROM jobs WHERE classifier = $1 AND state = 'RUNNING'")
            .bind(classifier.as_str())
            .fetch_optional(connection)
            .await?;
    running.map(|stored| Ok(BegunJob::Busy(version_number(stored)?))).transpose()
}

async fn find_request(
    connection: &mut SqliteConnection,
    request: &RequestId,
) -> Result<Option<(JobRecord, bool)>, StoreError> {
    let sql = sqlx::AssertSqlSafe(format!("{SELECT_JOBS} request_id = $1 AND created_at > $2"));
    let query = sqlx::query_as(sql).bind(request.id.as_str()).bind(now_ms() - REQUEST_ID_LIFETIME_MS);
    let row: Option<JobRow> = query.fetch_optional(connection).await?;
    row.map(|row| {
        let is_same = row.request_sha256.as_deref() == Some(&request.sha256[..]);
        Ok((row.try_into()?, is_same))
    })
    .transpose()
}

async fn insert_job(
    connection: &mut SqliteConnection,
    classifier: &ClassifierName,
    request: Option<&RequestId>,
    created_at: i64,
    details: &str,
) -> Result<i64, StoreError> {
    // An id that is older than its life may be used again.
    sqlx::query("UPDATE jobs SET request_id = NULL WHERE request_id = $1")
        .bind(request.map(|request| request.id.as_str()))
        .execute(&mut *connection)
        .await?;
    let job: i64 =
        sqlx::query_scalar("UPDATE classifiers SET last_job = last_job + 1 WHERE name = $1 RETURNING last_job")
            .bind(classifier.as_str())
            .fetch_one(&mut *connection)
            .await?;
    sqlx::query(
        "INSERT INTO jobs (classifier, number, state, created_at, request_id, request_sha256, details) \
         VALUES ($1, $2, 'RUNNING', $3, $4, $5, $6)",
    )
    .bind(classifier.as_str())
    .bind(job)
    .bind(created_at)
    .bind(request.map(|request| request.id.as_str()))
    .bind(request.map(|request| request.sha256.to_vec()))
    .bind(details)
    .execute(connection)
    .await?;
    Ok(job)
}

/// Ends the jobs that a process has left that is gone.
pub(super) async fn fail_interrupted(pool: &SqlitePool) -> Result<(), StoreError> {
    sqlx::query("UPDATE jobs SET state = 'FAILED', ended_at = $1 WHERE state = 'RUNNING'")
        .bind(now_ms())
        .execute(pool)
        .await?;
    Ok(())
}

impl JobState {
    fn as_str(self) -> &'static str {
        match self {
            Self::Running => "RUNNING",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::Cancelled => "CANCELLED",
        }
    }
}

impl TryFrom<JobRow> for JobRecord {
    type Error = StoreError;

    fn try_from(row: JobRow) -> Result<Self, StoreError> {
        let damaged = |what, seen: &str| StoreError::Damaged { what, seen: excerpt(seen) };
        let states = [JobState::Running, JobState::Succeeded, JobState::Failed, JobState::Cancelled];
        let state = states.into_iter().find(|state| state.as_str() == row.state);
        Ok(Self {
            classifier: row.classifier.parse().map_err(|_| damaged("classifier's name", &row.classifier))?,
            number: version_number(row.number)?,
            state: state.ok_or_else(|| damaged("job's state", &row.state))?,
            created_at_ms: number("time", row.created_at)?,
            ended_at_ms: row.ended_at.map(|stored| number("time", stored)).transpose()?,
            details: row.details,
        })
    }
}
