//! Classifiers: their documents' newest revision, and the aliases that say which of their versions answer.

use std::num::NonZeroU32;

use sqlx::FromRow;
use sqlx::sqlite::SqliteConnection;

use super::versions::update_details;
use super::{Store, StoreError, number, version_number};
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

/// A name that a version has besides its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alias {
    /// [`Aliases::stable`].
    Stable,
    /// [`Aliases::previous`].
    Previous,
    /// [`Aliases::candidate`].
    Candidate,
}

impl Aliases {
    /// The first alias that means a version, if any does.
    pub fn alias_of(&self, number: NonZeroU32) -> Option<Alias> {
        let aliases =
            [(self.stable, Alias::Stable), (self.previous, Alias::Previous), (self.candidate, Alias::Candidate)];
        aliases.into_iter().find(|(version, _)| *version == Some(number)).map(|(_, alias)| alias)
    }
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
    /// Another one after every change of its versions, aliases or settings.
    pub etag: u64,
    /// What it is told to do: JSON of the service's.
    pub settings: String,
}

impl ClassifierRecord {
    /// A classifier that isn't stored yet.
    pub fn new(name: ClassifierName) -> Self {
        let (aliases, settings) = (Aliases::default(), "{}".to_owned());
        Self { name, dataset_revision: 0, aliases, latest: None, etag: 0, settings }
    }
}

#[derive(FromRow)]
struct ClassifierRow {
    name: String,
    revision: i64,
    stable: Option<i64>,
    previous: Option<i64>,
    candidate: Option<i64>,
    etag: i64,
    settings: String,
    latest: Option<i64>,
}

const SELECT_CLASSIFIERS: &str = "SELECT name, revision, stable, previous, candidate, etag, settings, \
    (SELECT MAX(number) FROM versions WHERE versions.classifier = classifiers.name) AS latest FROM classifiers";

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

    /// Moves the aliases of a classifier that is there, and replaces the details of a version with it if what it was moved for
    /// has to be told; `None` when its etag isn't the expected one any more.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn move_aliases(
        &self,
        classifier: &ClassifierName,
        expected_etag: u64,
        aliases: Aliases,
        details: Option<(NonZeroU32, &str)>,
    ) -> Result<Option<ClassifierRecord>, StoreError> {
        let mut transaction = self.writer.begin().await?;
        let moved = update_aliases(&mut transaction, classifier, Some(expected_etag), aliases).await?;
        if !moved {
            return Ok(None);
        }
        if let Some((number, details)) = details {
            update_details(&mut transaction, classifier, number, details).await?;
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

pub(super) async fn update_aliases(
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
            settings: row.settings,
        })
    }
}
