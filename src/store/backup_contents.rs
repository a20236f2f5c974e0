//! What a backup holds, and whether it is whole: asked of every backup when it has been written and before it is restored.
//!
//! A backup is an SQLite database, as it is in a data directory, but with nothing beside it. What SQLite can't tell is
//! looked at too: whether model files and documents are what they were when they were stored. It may be a backup of an
//! older topicd; its tables stay as they are, and are brought up to date when a server opens them.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use futures_util::TryStreamExt;
use serde::Serialize;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};

use super::artifacts::sha256_of;
use super::{MIGRATIONS, number};
use crate::document::Document;
use crate::names::excerpt;

/// How every SQLite database begins.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// Where a database says how it is written, and what it says where changes are in a log beside it first.
const WRITE_VERSION: usize = 18;
const WITH_LOG: u8 = 2;

/// SQLite's code for statements that don't fit the tables.
const NO_SUCH_TABLE: &str = "1";

/// The schema version since which there are versions; before, there were documents only.
const FIRST_WITH_VERSIONS: i64 = 2;

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BackupContents {
    /// The classifiers, also those without documents or versions.
    pub n_classifiers: u64,
    /// The documents of their newest revisions.
    pub n_documents: u64,
    /// The model versions.
    pub n_versions: u64,
    /// The length of the file.
    pub n_bytes: u64,
    /// The newest migration that its tables have seen.
    pub schema_version: i64,
    /// The versions whose model files have changed or are gone, as `classifiers/{c}/versions/{n}`.
    pub damaged_versions: Vec<String>,
    /// The stored documents, of any revision, whose title or text has changed.
    pub n_damaged_documents: u64,
}

/// What to do about documents and model files that aren't what was stored any more. The rest is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Damage {
    /// Refuse all of it.
    #[default]
    Refuse,
    /// Take it as it is: better some than none.
    Allow,
}

/// Why a file is no backup to go back to.
#[derive(Debug, thiserror::Error)]
pub enum UnusableBackup {
    /// It can't be read.
    #[error("can't read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It is something else.
    #[error("{} isn't a topicd backup: {problem}", path.display())]
    NotABackup {
        /// The file.
        path: PathBuf,
        /// How that is known.
        problem: String,
    },
    /// It is a database out of a data directory, whose newest changes are elsewhere.
    #[error(
        "{} is the database of a data directory, not a backup: changes may be missing that are in a file beside it; \
         `topicd backup` makes a backup",
        path.display()
    )]
    LiveDatabase {
        /// The file.
        path: PathBuf,
    },
    /// A newer topicd made it.
    #[error("{} has schema version {found}; this topicd knows up to {known}; use a newer topicd", path.display())]
    NewerSchema {
        /// The file.
        path: PathBuf,
        /// The version it has.
        found: i64,
        /// The newest version that this program knows.
        known: i64,
    },
    /// It isn't what was written.
    #[error("{} is damaged: {problem}; use another backup", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        problem: String,
    },
    /// The database is whole, but not all that it holds.
    #[error("{} is damaged in part: {problem}; to have the rest all the same, give --allow-damaged", path.display())]
    DamagedInPart {
        /// The file.
        path: PathBuf,
        /// What is damaged.
        problem: String,
    },
}

impl BackupContents {
    /// Looks through a backup, all of it. `path` is where it is, `name` what errors call it.
    pub(super) async fn read(path: &Path, name: &Path, damage: Damage) -> Result<Self, UnusableBackup> {
        check_beginning(path, name)?;
        let damaged =
            |error: sqlx::Error| UnusableBackup::Damaged { path: name.to_owned(), problem: error.to_string() };
        let mut connection = open(path).await.map_err(damaged)?;
        let schema_version = schema_version(&mut connection, name).await?;
        let problem: String =
            sqlx::query_scalar("PRAGMA integrity_check(1)").fetch_one(&mut connection).await.map_err(damaged)?;
        if problem != "ok" {
            return Err(UnusableBackup::Damaged { path: name.to_owned(), problem: excerpt(&problem) });
        }
        let n_bytes = std::fs::metadata(path).map_err(|source| read_error(name, source))?.len();
        let contents = read_contents(&mut connection, schema_version, n_bytes).await.map_err(damaged)?;
        connection.close().await.map_err(damaged)?;
        match contents.damage() {
            Some(problem) if damage == Damage::Refuse => {
                Err(UnusableBackup::DamagedInPart { path: name.to_owned(), problem })
            }
            _ => Ok(contents),
        }
    }

    /// Says in words what is damaged, if anything is.
    pub fn damage(&self) -> Option<String> {
        let mut damaged = Vec::new();
        if !self.damaged_versions.is_empty() {
            damaged.push(format!("the model files of {}", self.damaged_versions.join(", ")));
        }
        if self.n_damaged_documents > 0 {
            damaged.push(format!("{} stored documents", self.n_damaged_documents));
        }
        (!damaged.is_empty()).then(|| format!("{} aren't what was stored", damaged.join(" and ")))
    }
}

/// Opens a backup that nobody changes; makes nothing beside it.
async fn open(path: &Path) -> Result<SqliteConnection, sqlx::Error> {
    SqliteConnectOptions::new().filename(path).read_only(true).immutable(true).connect().await
}

/// Whether the first bytes are those of a backup. It is known of a file without opening it as a database.
pub(super) fn check_beginning(path: &Path, name: &Path) -> Result<(), UnusableBackup> {
    let mut beginning = Vec::new();
    let file = File::open(path).map_err(|source| read_error(name, source))?;
    file.take(MAGIC.len() as u64 + 4).read_to_end(&mut beginning).map_err(|source| read_error(name, source))?;
    if !beginning.starts_with(MAGIC) {
        let problem = "it doesn't begin as an SQLite database does".to_owned();
        return Err(UnusableBackup::NotABackup { path: name.to_owned(), problem });
    }
    if beginning.get(WRITE_VERSION) == Some(&WITH_LOG) {
        return Err(UnusableBackup::LiveDatabase { path: name.to_owned() });
    }
    Ok(())
}

/// The newest migration of a database, which has seen only migrations that this program knows.
pub(super) async fn schema_version(connection: &mut SqliteConnection, name: &Path) -> Result<i64, UnusableBackup> {
    let applied: Result<Vec<(i64, Vec<u8>)>, _> =
        sqlx::query_as("SELECT version, checksum FROM _sqlx_migrations ORDER BY version").fetch_all(connection).await;
    let not_ours = |problem: String| UnusableBackup::NotABackup { path: name.to_owned(), problem };
    let applied = applied.map_err(|error| match error.as_database_error().and_then(|error| error.code()) {
        Some(code) if code == NO_SUCH_TABLE => not_ours("it has no list of migrations".to_owned()),
        _ => damaged(name, &error),
    })?;
    let Some((newest, _)) = applied.last() else { return Err(not_ours("it has no tables".to_owned())) };
    for (version, checksum) in &applied {
        match MIGRATIONS.iter().find(|known| known.version == *version) {
            None => {
                let known = MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0);
                return Err(UnusableBackup::NewerSchema { path: name.to_owned(), found: *newest, known });
            }
            Some(known) if known.checksum[..] != checksum[..] => {
                return Err(not_ours(format!("its tables come from another migration {version}")));
            }
            Some(_) => {}
        }
    }
    Ok(*newest)
}

async fn read_contents(
    connection: &mut SqliteConnection,
    schema_version: i64,
    n_bytes: u64,
) -> Result<BackupContents, sqlx::Error> {
    let has_versions = schema_version >= FIRST_WITH_VERSIONS;
    Ok(BackupContents {
        n_classifiers: count(connection, "SELECT COUNT(*) FROM classifiers").await?,
        n_documents: count(
            connection,
            "SELECT COUNT(*) FROM examples JOIN imports ON imports.id = examples.import_id \
             WHERE imports.revision IS NOT NULL AND examples.until_revision IS NULL",
        )
        .await?,
        n_versions: if has_versions { count(connection, "SELECT COUNT(*) FROM versions").await? } else { 0 },
        n_bytes,
        schema_version,
        damaged_versions: if has_versions { damaged_versions(connection).await? } else { Vec::new() },
        n_damaged_documents: n_damaged_documents(connection).await?,
    })
}

async fn count(connection: &mut SqliteConnection, sql: &'static str) -> Result<u64, sqlx::Error> {
    let stored: i64 = sqlx::query_scalar(sql).fetch_one(connection).await?;
    number("count", stored).map_err(|error| sqlx::Error::Decode(error.into()))
}

/// The versions whose model file isn't the one that they name. One file at a time is in memory.
async fn damaged_versions(connection: &mut SqliteConnection) -> Result<Vec<String>, sqlx::Error> {
    let named: Vec<Vec<u8>> =
        sqlx::query_scalar("SELECT DISTINCT artifact_sha256 FROM versions").fetch_all(&mut *connection).await?;
    let mut damaged = Vec::new();
    for sha256 in named {
        let content: Option<Vec<u8>> = sqlx::query_scalar("SELECT content FROM artifacts WHERE sha256 = $1")
            .bind(&sha256)
            .fetch_optional(&mut *connection)
            .await?;
        if content.is_some_and(|content| sha256_of(&content)[..] == sha256[..]) {
            continue;
        }
        let versions: Vec<(String, i64)> =
            sqlx::query_as("SELECT classifier, number FROM versions WHERE artifact_sha256 = $1")
                .bind(&sha256)
                .fetch_all(&mut *connection)
                .await?;
        damaged.extend(versions.iter().map(|(name, number)| format!("classifiers/{name}/versions/{number}")));
    }
    damaged.sort();
    Ok(damaged)
}

/// The documents whose title and text have another hash than the one that they are stored by.
async fn n_damaged_documents(connection: &mut SqliteConnection) -> Result<u64, sqlx::Error> {
    let mut rows = sqlx::query_as("SELECT content_hash, title, text FROM examples").fetch(connection);
    let mut n_damaged = 0;
    while let Some(row) = rows.try_next().await? {
        let (hash, title, text): (Vec<u8>, String, String) = row;
        let is_whole = Document::new(title, text).is_ok_and(|document| document.content_hash().0[..] == hash[..]);
        n_damaged += u64::from(!is_whole);
    }
    Ok(n_damaged)
}

/// What SQLite says, in its own words alone.
fn damaged(name: &Path, error: &sqlx::Error) -> UnusableBackup {
    let problem = error.as_database_error().map_or_else(|| error.to_string(), |error| error.message().to_owned());
    UnusableBackup::Damaged { path: name.to_owned(), problem }
}

fn read_error(name: &Path, source: io::Error) -> UnusableBackup {
    UnusableBackup::Read { path: name.to_owned(), source }
}
