//! Model versions with their files, and the aliases that say which of them answer.

use std::num::NonZeroU32;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use sqlx::FromRow;
use sqlx::sqlite::SqliteConnection;

use super::{Store, StoreError, now_ms, number};
use crate::names::{ClassifierName, excerpt};

/// What the aliases of a classifier mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Aliases {
    /// The version that answers when none is named.
    pub stable: Option<NonZeroU32>,
    /// The one that was stable before: what a rollback goes back to.
    pub previous: Option<NonZeroU32>,
    /// A version that was trained but not promoted.
    pub candidate: Option<NonZeroU32>,
}

/// A classifier: its documents' newest revision, and its versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassifierRecord {
    /// Its name.
    pub name: ClassifierName,
    /// The newest revision of its stored documents; 0: it has none.
    pub dataset_revision: u32,
    /// Which versions have a name besides their number.
    pub aliases: Aliases,
    /// The version with the highest number.
    pub latest: Option<NonZeroU32>,
    /// Another one after every move of an alias.
    pub etag: u64,
}

/// Where a version comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionOrigin {
    /// From the program itself, or from the model file that it was started with.
    BuiltIn,
    /// From a training job.
    Trained,
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
    pub artifact: Bytes,
    /// JSON of the service's.
    pub details: String,
    /// The service's encoding of out-of-fold predictions; may be empty.
    pub out_of_fold: Vec<u8>,
}

#[derive(FromRow)]
struct ClassifierRow {
    name: String,
    revision: i64,
    stable: Option<i64>,
    previous: Option<i64>,
    candidate: Option<i64>,
    etag: i64,
    latest: Option<i64>,
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

const SELECT_CLASSIFIERS: &str = "SELECT name, revision, stable, previous, candidate, etag, \
    (SELECT MAX(number) FROM versions WHERE versions.classifier = classifiers.name) AS latest FROM classifiers";

const SELECT_VERSIONS: &str = "SELECT versions.number, versions.created_at, versions.origin, versions.job, \
    versions.dataset_revision, versions.parent, versions.artifact_sha256, artifacts.n_bytes, versions.details \
    FROM versions JOIN artifacts ON artifacts.sha256 = versions.artifact_sha256 WHERE versions.classifier = $1";

impl Store {
    /// All classifiers, by name.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Damaged`].
    pub async fn classifiers(&self) -> Result<Vec<ClassifierRecord>, StoreError> {
        let sql = sqlx::AssertSqlSafe(format!("{SELECT_CLASSIFIERS} ORDER BY name"));
        let rows: Vec<ClassifierRow> = sqlx::query_as(sql).fetch_all(&self.pool).await?;
        rows.into_iter().map(ClassifierRecord::try_from).collect()
    }

    /// One classifier, if it is there.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Damaged`].
    pub async fn classifier(&self, name: &ClassifierName) -> Result<Option<ClassifierRecord>, StoreError> {
        let sql = sqlx::AssertSqlSafe(format!("{SELECT_CLASSIFIERS} WHERE name = $1"));
        let row: Option<ClassifierRow> = sqlx::query_as(sql).bind(name.as_str()).fetch_optional(&self.pool).await?;
        row.map(ClassifierRecord::try_from).transpose()
    }

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

    /// A model file, checked against the name that it is stored by.
    ///
    /// # Errors
    /// [`StoreError::DamagedArtifact`] when its bytes have changed, [`StoreError::Database`].
    pub async fn artifact(&self, sha256: &[u8; 32]) -> Result<Bytes, StoreError> {
        let content: Option<Vec<u8>> = sqlx::query_scalar("SELECT content FROM artifacts WHERE sha256 = $1")
            .bind(&sha256[..])
            .fetch_optional(&self.pool)
            .await?;
        let content = content.ok_or(StoreError::DamagedArtifact)?;
        let (content, actual) = tokio::task::spawn_blocking(move || {
            let actual = sha256_of(&content);
            (content, actual)
        })
        .await
        .map_err(|_| StoreError::DamagedArtifact)?;
        if actual == *sha256 { Ok(content.into()) } else { Err(StoreError::DamagedArtifact) }
    }

    /// What was stored as a version's out-of-fold predictions.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn out_of_fold(&self, classifier: &ClassifierName, number: NonZeroU32) -> Result<Vec<u8>, StoreError> {
        let stored = sqlx::query_scalar("SELECT out_of_fold FROM versions WHERE classifier = $1 AND number = $2");
        let stored = stored.bind(classifier.as_str()).bind(i64::from(number.get())).fetch_optional(&self.pool).await?;
        Ok(stored.unwrap_or_default())
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

    /// Moves the aliases of a classifier that is there; `None` when its etag isn't the expected one any more.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn move_aliases(
        &self,
        classifier: &ClassifierName,
        expected_etag: u64,
        aliases: Aliases,
    ) -> Result<Option<ClassifierRecord>, StoreError> {
        let mut transaction = self.writer.begin().await?;
        let moved = update_aliases(&mut transaction, classifier, Some(expected_etag), aliases).await?;
        if !moved {
            return Ok(None);
        }
        let record = read_classifier(&mut transaction, classifier).await?;
        transaction.commit().await?;
        Ok(Some(record))
    }
}

/// Makes sure that a classifier is there, as the first statement of a transaction that writes.
pub(super) async fn touch_classifier(
    connection: &mut SqliteConnection,
    classifier: &ClassifierName,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO classifiers (name, revision) VALUES ($1, 0) \
         ON CONFLICT (name) DO UPDATE SET revision = classifiers.revision",
    )
    .bind(classifier.as_str())
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn read_classifier(
    connection: &mut SqliteConnection,
    classifier: &ClassifierName,
) -> Result<ClassifierRecord, StoreError> {
    let sql = sqlx::AssertSqlSafe(format!("{SELECT_CLASSIFIERS} WHERE name = $1"));
    let row: ClassifierRow = sqlx::query_as(sql).bind(classifier.as_str()).fetch_one(connection).await?;
    row.try_into()
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
    let sha256 = sha256_of(&version.artifact);
    sqlx::query("INSERT INTO artifacts (sha256, n_bytes, content) VALUES ($1, $2, $3) ON CONFLICT (sha256) DO NOTHING")
        .bind(&sha256[..])
        .bind(version.artifact.len() as i64)
        .bind(&version.artifact[..])
        .execute(&mut *connection)
        .await?;
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
    .bind(&sha256[..])
    .bind(version.details.as_str())
    .bind(version.out_of_fold.as_slice())
    .execute(&mut *connection)
    .await?;
    let before = read_classifier(connection, classifier).await?.aliases;
    let after = aliases(before, new);
    if after != before {
        update_aliases(connection, classifier, None, after).await?;
    }
    Ok(new)
}

async fn update_aliases(
    connection: &mut SqliteConnection,
    classifier: &ClassifierName,
    expected_etag: Option<u64>,
    aliases: Aliases,
) -> Result<bool, StoreError> {
    let stored = |number: Option<NonZeroU32>| number.map(|number| i64::from(number.get()));
    let updated = sqlx::query(
        "UPDATE classifiers SET stable = $1, previous = $2, candidate = $3, etag = etag + 1 \
         WHERE name = $4 AND etag = COALESCE($5, etag)",
    )
    .bind(stored(aliases.stable))
    .bind(stored(aliases.previous))
    .bind(stored(aliases.candidate))
    .bind(classifier.as_str())
    .bind(expected_etag.map(|etag| etag as i64))
    .execute(connection)
    .await?;
    Ok(updated.rows_affected() == 1)
}

impl VersionOrigin {
    fn as_str(self) -> &'static str {
        match self {
            Self::BuiltIn => "BUILT_IN",
            Self::Trained => "TRAINED",
        }
    }
}

impl TryFrom<ClassifierRow> for ClassifierRecord {
    type Error = StoreError;

    fn try_from(row: ClassifierRow) -> Result<Self, StoreError> {
        let damaged = |_| StoreError::Damaged { what: "classifier's name", seen: excerpt(&row.name) };
        let version = |stored: Option<i64>| stored.map(version_number).transpose();
        Ok(Self {
            name: row.name.parse().map_err(damaged)?,
            dataset_revision: number("revision", row.revision)?,
            aliases: Aliases {
                stable: version(row.stable)?,
                previous: version(row.previous)?,
                candidate: version(row.candidate)?,
            },
            latest: version(row.latest)?,
            etag: number("etag", row.etag)?,
        })
    }
}

impl VersionRow {
    fn into_record(self, classifier: &ClassifierName) -> Result<VersionRecord, StoreError> {
        let origin = match self.origin.as_str() {
            "BUILT_IN" => VersionOrigin::BuiltIn,
            "TRAINED" => VersionOrigin::Trained,
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

/// The number of a version or job.
pub(super) fn version_number(stored: i64) -> Result<NonZeroU32, StoreError> {
    let number: u32 = number("number", stored)?;
    NonZeroU32::new(number).ok_or_else(|| StoreError::Damaged { what: "number", seen: stored.to_string() })
}

/// What a model file is named by.
pub(super) fn sha256_of(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}
