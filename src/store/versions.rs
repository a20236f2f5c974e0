//! Model versions: stored with their files and the move of the aliases, never changed.

use std::num::NonZeroU32;

use sqlx::FromRow;
use sqlx::sqlite::SqliteConnection;

use super::artifacts::{delete_unused_artifact, insert_artifact};
use super::classifiers::{read_classifier, touch_classifier, update_aliases};
use super::{Aliases, ClassifierRecord, NewArtifact, Store, StoreError, now_ms, number, version_number};
use crate::names::{ClassifierName, excerpt};

/// Where a version comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionOrigin {
    /// From the program itself, or from the model file that it was started with.
    BuiltIn,
    /// From a training job.
    Trained,
    /// From a caller who sent its file.
    Imported,
}

/// A stored version, without its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionRecord {
    /// The classifier.
    pub classifier: ClassifierName,
    /// The version's number, from 1.
    pub number: NonZeroU32,
    /// When it was stored: milliseconds since 1970, UTC.
    pub created_at_ms: u64,
    /// Where it comes from.
    pub origin: VersionOrigin,
    /// The training job that made it.
    pub job: Option<NonZeroU32>,
    /// The revision of the stored documents that it was trained on.
    pub dataset_revision: Option<u32>,
    /// The version that was stable when this one was made.
    pub parent: Option<NonZeroU32>,
    /// SHA-256 of its model file.
    pub artifact_sha256: [u8; 32],
    /// The length of its model file.
    pub artifact_bytes: u64,
    /// What else is known of it: JSON of the service's.
    pub details: String,
}

/// A version to be stored.
#[derive(Debug, Clone)]
pub struct NewVersion {
    /// Where it comes from.
    pub origin: VersionOrigin,
    /// The training job that made it.
    pub job: Option<NonZeroU32>,
    /// The revision of the stored documents that it was trained on.
    pub dataset_revision: Option<u32>,
    /// The version that is stable meanwhile.
    pub parent: Option<NonZeroU32>,
    /// Its model file.
    pub artifact: NewArtifact,
    /// JSON of the service's.
    pub details: String,
    /// The service's encoding of out-of-fold predictions; may be empty.
    pub out_of_fold: Vec<u8>,
}

#[derive(FromRow)]
struct VersionRow {
    number: i64,
    created_at: i64,
    origin: String,
    job: Option<i64>,
    dataset_revision: Option<i64>,
    parent: Option<i64>,
    artifact_sha256: Vec<u8>,
    n_bytes: i64,
    details: String,
}

const SELECT_VERSIONS: &str = "SELECT versions.number, versions.created_at, versions.origin, versions.job, \
    versions.dataset_revision, versions.parent, versions.artifact_sha256, artifacts.n_bytes, versions.details \
    FROM versions JOIN artifacts ON artifacts.sha256 = versions.artifact_sha256 WHERE versions.classifier = $1";

impl Store {
    /// One version, if it is there.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Damaged`].
    pub async fn version(
        &self,
        classifier: &ClassifierName,
        number: NonZeroU32,
    ) -> Result<Option<VersionRecord>, StoreError> {
        let sql = sqlx::AssertSqlSafe(format!("{SELECT_VERSIONS} AND versions.number = $2"));
        let query = sqlx::query_as(sql).bind(classifier.as_str()).bind(i64::from(number.get()));
        let row: Option<VersionRow> = query.fetch_optional(&self.pool).await?;
        row.map(|row| row.into_record(classifier)).transpose()
    }

    /// The newest versions below a number, newest first, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Damaged`].
    pub async fn versions(
        &self,
        classifier: &ClassifierName,
        below: Option<u32>,
        limit: u32,
    ) -> Result<Vec<VersionRecord>, StoreError> {
        let sql = format!("{SELECT_VERSIONS} AND versions.number < $2 ORDER BY versions.number DESC LIMIT $3");
        let below = below.map_or(i64::MAX, i64::from);
        let query = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(classifier.as_str()).bind(below);
        let rows: Vec<VersionRow> = query.bind(i64::from(limit)).fetch_all(&self.pool).await?;
        rows.into_iter().map(|row| row.into_record(classifier)).collect()
    }

    /// The numbers of all versions, newest first.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Damaged`].
    pub async fn version_numbers(&self, classifier: &ClassifierName) -> Result<Vec<NonZeroU32>, StoreError> {
        let stored: Vec<i64> =
            sqlx::query_scalar("SELECT number FROM versions WHERE classifier = $1 ORDER BY number DESC")
                .bind(classifier.as_str())
                .fetch_all(&self.pool)
                .await?;
        stored.into_iter().map(version_number).collect()
    }

    /// The versions that came with the program, newest first.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Damaged`].
    pub async fn built_in_versions(&self, classifier: &ClassifierName) -> Result<Vec<VersionRecord>, StoreError> {
        let sql = format!("{SELECT_VERSIONS} AND versions.origin = 'BUILT_IN' ORDER BY versions.number DESC");
        let query = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(classifier.as_str());
        let rows: Vec<VersionRow> = query.fetch_all(&self.pool).await?;
        rows.into_iter().map(|row| row.into_record(classifier)).collect()
    }

    /// What was stored as a version's out-of-fold predictions, if the version is there.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn out_of_fold(
        &self,
        classifier: &ClassifierName,
        number: NonZeroU32,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let stored = sqlx::query_scalar("SELECT out_of_fold FROM versions WHERE classifier = $1 AND number = $2");
        let stored = stored.bind(classifier.as_str()).bind(i64::from(number.get()));
        Ok(stored.fetch_optional(&self.pool).await?)
    }

    /// Stores a version that no job made; `aliases` says what the aliases mean then, given what they mean now and the new
    /// version's number. The classifier is created if it isn't there.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn add_version(
        &self,
        classifier: &ClassifierName,
        version: &NewVersion,
        aliases: impl FnOnce(Aliases, NonZeroU32) -> Aliases,
    ) -> Result<ClassifierRecord, StoreError> {
        let mut transaction = self.writer.begin().await?;
        touch_classifier(&mut transaction, classifier).await?;
        insert_version(&mut transaction, classifier, version, aliases).await?;
        let record = read_classifier(&mut transaction, classifier).await?;
        transaction.commit().await?;
        Ok(record)
    }

    /// Deletes a version that has no alias, and its file if no other version has it. `None`, and nothing is deleted, when the
    /// classifier isn't as in `record` any more.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn delete_version(
        &self,
        record: &ClassifierRecord,
        number: NonZeroU32,
    ) -> Result<Option<ClassifierRecord>, StoreError> {
        self.purge_versions(record, &[number], record.aliases).await
    }
}

impl Store {
    /// Deletes versions, whatever aliases they have, and moves the aliases. `None`, and nothing is deleted, when the classifier
    /// isn't as in `record` any more.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn purge_versions(
        &self,
        record: &ClassifierRecord,
        numbers: &[NonZeroU32],
        aliases: Aliases,
    ) -> Result<Option<ClassifierRecord>, StoreError> {
        let mut transaction = self.writer.begin().await?;
        if !update_aliases(&mut transaction, &record.name, Some(record.etag), aliases).await? {
            return Ok(None);
        }
        for &number in numbers {
            delete_one(&mut transaction, &record.name, number).await?;
        }
        let record = read_classifier(&mut transaction, &record.name).await?;
        transaction.commit().await?;
        Ok(Some(record))
    }
}

/// Deletes a version, and its file if no other version has it.
async fn delete_one(
    connection: &mut SqliteConnection,
    classifier: &ClassifierName,
    number: NonZeroU32,
) -> Result<(), StoreError> {
    let deleted: Option<Vec<u8>> =
        sqlx::query_scalar("DELETE FROM versions WHERE classifier = $1 AND number = $2 RETURNING artifact_sha256")
            .bind(classifier.as_str())
            .bind(i64::from(number.get()))
            .fetch_optional(&mut *connection)
            .await?;
    match deleted {
        Some(sha256) => delete_unused_artifact(connection, &sha256).await,
        None => Ok(()),
    }
}

impl Store {
    /// Replaces the details of a version, if it is still there.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn replace_version_details(
        &self,
        classifier: &ClassifierName,
        number: NonZeroU32,
        details: &str,
    ) -> Result<(), StoreError> {
        let mut connection = self.writer.acquire().await?;
        update_details(&mut connection, classifier, number, details).await
    }
}

pub(super) async fn update_details(
    connection: &mut SqliteConnection,
    classifier: &ClassifierName,
    number: NonZeroU32,
    details: &str,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE versions SET details = $1 WHERE classifier = $2 AND number = $3")
        .bind(details)
        .bind(classifier.as_str())
        .bind(i64::from(number.get()))
        .execute(connection)
        .await?;
    Ok(())
}

/// Stores a version under the next number, and moves the aliases.
pub(super) async fn insert_version(
    connection: &mut SqliteConnection,
    classifier: &ClassifierName,
    version: &NewVersion,
    aliases: impl FnOnce(Aliases, NonZeroU32) -> Aliases,
) -> Result<NonZeroU32, StoreError> {
    let stored: i64 = sqlx::query_scalar(
        "UPDATE classifiers SET last_version = last_version + 1 WHERE name = $1 RETURNING last_version",
    )
    .bind(classifier.as_str())
    .fetch_one(&mut *connection)
    .await?;
    let new = version_number(stored)?;
    insert_artifact(connection, &version.artifact).await?;
    sqlx::query(
        "INSERT INTO versions (classifier, number, created_at, origin, job, dataset_revision, parent, \
         artifact_sha256, details, out_of_fold) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(classifier.as_str())
    .bind(stored)
    .bind(now_ms())
    .bind(version.origin.as_str())
    .bind(version.job.map(|job| i64::from(job.get())))
    .bind(version.dataset_revision.map(i64::from))
    .bind(version.parent.map(|parent| i64::from(parent.get())))
    .bind(&version.artifact.sha256()[..])
    .bind(version.details.as_str())
    .bind(version.out_of_fold.as_slice())
    .execute(&mut *connection)
    .await?;
    let before = read_classifier(connection, classifier).await?.aliases;
    update_aliases(connection, classifier, None, aliases(before, new)).await?;
    Ok(new)
}

impl VersionOrigin {
    fn as_str(self) -> &'static str {
        match self {
            Self::BuiltIn => "BUILT_IN",
            Self::Trained => "TRAINED",
            Self::Imported => "IMPORTED",
        }
    }
}

impl VersionRow {
    fn into_record(self, classifier: &ClassifierName) -> Result<VersionRecord, StoreError> {
        let origin = match self.origin.as_str() {
            "BUILT_IN" => VersionOrigin::BuiltIn,
            "TRAINED" => VersionOrigin::Trained,
            "IMPORTED" => VersionOrigin::Imported,
            other => return Err(StoreError::Damaged { what: "version's origin", seen: excerpt(other) }),
        };
        let sha256: [u8; 32] = self.artifact_sha256[..]
            .try_into()
            .map_err(|_| StoreError::Damaged { what: "checksum", seen: format!("{:02x?}", self.artifact_sha256) })?;
        Ok(VersionRecord {
            classifier: classifier.clone(),
            number: version_number(self.number)?,
            created_at_ms: number("time", self.created_at)?,
            origin,
            job: self.job.map(version_number).transpose()?,
            dataset_revision: self.dataset_revision.map(|stored| number("revision", stored)).transpose()?,
            parent: self.parent.map(version_number).transpose()?,
            artifact_sha256: sha256,
            artifact_bytes: number("number of bytes", self.n_bytes)?,
            details: self.details,
        })
    }
}
