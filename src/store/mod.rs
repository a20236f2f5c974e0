//! What must last: labelled documents, model versions and training jobs, in one SQLite database in the data directory. SQL lives here and nowhere else.
//!
//! An import is staged in batches that nobody else sees, and published as a new revision in one short transaction: it is
//! there as a whole, or not at all. Revisions stay readable, so that a model can be trained again on what an earlier
//! one was trained on.
//!
//! A version is stored together with the end of the job that made it and the move of the aliases. Model files are bytes
//! here, named by their SHA-256.
//!
//! Reading order: [`data_dir`] (whose database it is), this file (opening it), `import` (writing documents), `examples`
//! (reading them), `edits` (changing them), `classifiers`, `versions`, `artifacts` (their files), `imported_versions`, `jobs`,
//! `size`, `compaction`; beside them `backup`, `backup_contents` and `restore`, which work on files while a server may have the
//! directory.

mod artifacts;
mod backup;
mod backup_contents;
mod classifiers;
mod compaction;
pub mod data_dir;
mod edits;
mod examples;
mod import;
mod imported_versions;
mod jobs;
mod restore;
mod settings;
mod size;
mod versions;

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sqlx::Connection;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};

use tokio::sync::Notify;

use crate::names::ClassifierName;
pub use artifacts::NewArtifact;
pub use backup::{BackupError, BackupOptions, back_up};
pub use backup_contents::{BackupContents, Damage, UnusableBackup};
pub use classifiers::{Alias, Aliases, ClassifierRecord};
pub use data_dir::{DataDir, DataDirError};
pub use edits::{DeleteOutcome, RenameOutcome, RenamedTopic};
pub use examples::{DatasetSummary, Examples, RevisionSummary, TopicCount};
pub use import::{Import, ImportOutcome, Owner, last_of_each};
pub use imported_versions::ImportedVersion;
pub use jobs::{BegunJob, JobRecord, JobState, RequestId};
pub use restore::{RestoreError, restore};
pub use size::StoreSize;
pub use versions::{NewVersion, VersionOrigin, VersionRecord};

/// The database's file in the data directory; SQLite keeps others with this name in front beside it.
pub const FILE_NAME: &str = "topicd.db";

static MIGRATIONS: Migrator = sqlx::migrate!();

/// How long a writer waits for another one of the same process.
const WRITER_TIMEOUT: Duration = Duration::from_secs(60);

/// How long SQLite waits for its own locks: a checkpoint, or a backup by another program.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

/// Memory that the connection that writes keeps pages of the database in, as SQLite wants it: in KiB, negative. Imports touch the
/// index all over.
const WRITER_CACHE_SIZE: &str = "-4096";

/// The same for each connection that reads: what they read they read once, and the operating system keeps it too.
const READER_CACHE_SIZE: &str = "-2048";

/// Pages of 4 KiB that the write-ahead log may hold before they go to their places: 64 MiB. Imports touch the index all
/// over, so that fewer, larger moves more than double their speed.
const CHECKPOINT_PAGES: &str = "16384";

/// Connections that read, at most.
const MAX_READERS: u32 = 4;

/// Why the store can't do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A newer topicd has changed the tables.
    #[error(
        "{} has schema version {found}; this topicd knows up to {known}; use a newer topicd, or another data directory",
        path.display()
    )]
    NewerSchema {
        /// The database.
        path: PathBuf,
        /// The version it has.
        found: i64,
        /// The newest version that this program knows.
        known: i64,
    },
    /// The tables couldn't be brought to this program's version.
    #[error("the tables of {} can't be brought up to date", path.display())]
    Migration {
        /// The database.
        path: PathBuf,
        /// What went wrong.
        source: MigrateError,
    },
    /// Nothing was ever imported for the classifier.
    #[error("{0} has no stored documents; `topicd dataset import` stores some")]
    UnknownClassifier(ClassifierName),
    /// The classifier's documents don't have that revision.
    #[error("{classifier} has no revision {revision}; its newest is {newest}")]
    UnknownRevision {
        /// The classifier.
        classifier: ClassifierName,
        /// The revision asked for.
        revision: u32,
        /// The newest there is.
        newest: u32,
    },
    /// Somebody brings more documents than may be kept of theirs.
    #[error("the documents of {owner} in datasets would be more than {limit}")]
    TooManyDocuments {
        /// Who.
        owner: String,
        /// The most that there may be.
        limit: u64,
    },
    /// A model file isn't what was stored.
    #[error("a stored model file has changed on the disk, or is gone")]
    DamagedArtifact,
    /// A stored value isn't what this program stores.
    #[error("a stored {what} can't be read: {seen:?}")]
    Damaged {
        /// Which kind of value.
        what: &'static str,
        /// The value, or the beginning of it.
        seen: String,
    },
    /// Somebody else reads or writes, and has done so for longer than it is waited for.
    #[error("somebody else has used the database for longer than it is waited for; try again later")]
    InUse,
    /// Nothing more can be written.
    #[error("the disk that the data directory is on is full; make room, and try again")]
    DiskFull(#[source] sqlx::Error),
    /// The database failed: no permission, a damaged file.
    #[error("the database failed")]
    Database(#[source] sqlx::Error),
}

/// SQLite's codes for a disk without room: SQLITE_FULL, and SQLITE_IOERR_SHMSIZE for the index of the log.
const DISK_FULL: [&str; 2] = ["13", "4874"];

/// SQLite's codes for a database that another process has locked: SQLITE_BUSY, and SQLITE_BUSY_RECOVERY after one that
/// crashed.
const BUSY: [&str; 2] = ["5", "261"];

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let code = error.as_database_error().and_then(|error| error.code());
        match code.as_deref() {
            Some(code) if DISK_FULL.contains(&code) => Self::DiskFull(error),
            Some(code) if BUSY.contains(&code) => Self::InUse,
            _ => Self::Database(error),
        }
    }
}

/// An open store. Its data directory stays locked until the last clone, [`Import`] and [`Examples`] of it are gone.
#[derive(Debug, Clone)]
pub struct Store {
    /// The connections that read.
    pool: SqlitePool,
    /// The one connection that writes: SQLite lets one do so at a time. Writers wait for it here, in their order, and not each
    /// on a connection that a reader needs.
    writer: SqlitePool,
    /// Told when documents or settings were changed.
    changed: Arc<Notify>,
    data_dir: Arc<DataDir>,
}

impl Store {
    /// Opens the database of a data directory: creates it where it is missing, brings the tables up to date, deletes what
    /// imports have left that were never published, and ends the jobs of a process that is gone as failed.
    ///
    /// # Errors
    /// [`StoreError::NewerSchema`], [`StoreError::Migration`], [`StoreError::Database`].
    pub async fn open(data_dir: DataDir) -> Result<Self, StoreError> {
        let path = data_dir.path().join(FILE_NAME);
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT)
            .pragma("secure_delete", "ON")
            .pragma("cache_size", WRITER_CACHE_SIZE)
            .pragma("wal_autocheckpoint", CHECKPOINT_PAGES);
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            .acquire_timeout(WRITER_TIMEOUT)
            .after_release(|connection, _| Box::pin(has_no_transaction(connection)))
            .connect_with(options.clone())
            .await?;
        migrate(&writer, path).await?;
        import::delete_unpublished(&writer).await?;
        jobs::fail_interrupted(&writer).await?;
        let options = options.pragma("cache_size", READER_CACHE_SIZE);
        let pool = SqlitePoolOptions::new().max_connections(MAX_READERS).connect_lazy_with(options);
        Ok(Self { pool, writer, changed: Arc::default(), data_dir: Arc::new(data_dir) })
    }

    /// Waits until documents or settings of any classifier were changed since this was asked last. For one who waits.
    pub async fn documents_changed(&self) {
        self.changed.notified().await;
    }

    /// Closes the database; its write-ahead log goes to its place. Nothing can be asked of the store any more.
    pub async fn close(&self) {
        self.pool.close().await;
        self.writer.close().await;
    }
}

/// Whether a connection that comes back has nothing open; one that has is closed, which takes back what it did.
///
/// SQLite ends a transaction itself when the disk is full. sqlx (0.9.0) doesn't learn of it: its own rollback fails then, and it
/// takes the next transactions on that connection for parts of the one that is gone, so that one of them could be rolled back
/// without being ended, and what came after was acknowledged and never stored.
async fn has_no_transaction(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    // A rollback may still be on its way: the answer comes after it.
    connection.ping().await?;
    Ok(!connection.is_in_transaction())
}

/// Brings the tables up to date.
async fn migrate(pool: &SqlitePool, path: PathBuf) -> Result<(), StoreError> {
    match MIGRATIONS.run(pool).await {
        Ok(()) => Ok(()),
        Err(MigrateError::VersionMissing(_)) => {
            let found = sqlx::query_scalar("SELECT MAX(version) FROM _sqlx_migrations").fetch_one(pool).await?;
            let known = MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0);
            Err(StoreError::NewerSchema { path, found, known })
        }
        Err(source) => Err(StoreError::Migration { path, source }),
    }
}

/// Milliseconds since 1970, UTC, as the tables hold times.
fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

/// A revision or a count, which the tables hold as BIGINT.
fn number<T: TryFrom<i64>>(what: &'static str, stored: i64) -> Result<T, StoreError> {
    T::try_from(stored).map_err(|_| StoreError::Damaged { what, seen: stored.to_string() })
}

/// The number of a version or job.
fn version_number(stored: i64) -> Result<NonZeroU32, StoreError> {
    let number: u32 = number("number", stored)?;
    NonZeroU32::new(number).ok_or_else(|| StoreError::Damaged { what: "number", seen: stored.to_string() })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    async fn open(path: &Path) -> Result<Store, StoreError> {
        Store::open(DataDir::lock(path).unwrap()).await
    }

    /// Ten imports that waited for an eleventh once held every connection, so that nobody could read either.
    #[tokio::test]
    async fn readers_do_not_wait_for_writers() {
        let parent = tempfile::tempdir().unwrap();
        let store = open(parent.path()).await.unwrap();
        let name: ClassifierName = "desk".parse().unwrap();
        let writing = store.writer.begin().await.unwrap();
        let mut waiting: Vec<_> = (0..10).map(|_| Box::pin(store.begin_import(&name))).collect();
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        for import in &mut waiting {
            assert!(import.as_mut().poll(&mut context).is_pending());
        }
        let read = tokio::time::timeout(Duration::from_secs(20), store.datasets()).await;
        assert!(read.expect("a reader waits for writers").unwrap().is_empty());
        writing.rollback().await.unwrap();
        for import in waiting {
            import.await.unwrap();
        }
    }

    /// Seen with a full disk: a training's documents were acknowledged, and weren't there a moment later.
    #[tokio::test]
    async fn what_sqlite_rolls_back_itself_leaves_no_transaction_behind() {
        let parent = tempfile::tempdir().unwrap();
        let store = open(parent.path()).await.unwrap();
        // As SQLite does when it can write no more.
        let mut failed = store.writer.begin().await.unwrap();
        sqlx::query("ROLLBACK").execute(&mut *failed).await.unwrap();
        drop(failed);
        store.writer.begin().await.unwrap().rollback().await.unwrap();
        let desk: ClassifierName = "desk".parse().unwrap();
        let mut import = store.begin_import(&desk).await.unwrap();
        let document = crate::document::Document::new("a", "b").unwrap();
        let labeled = crate::document::LabeledDocument::new(document, vec![crate::document::Topic::new("x").unwrap()]);
        import.stage(&[labeled]).await.unwrap();
        import.publish().await.unwrap();
        // Readers have connections of their own, and see what is stored.
        assert_eq!(store.datasets().await.unwrap().len(), 1);
    }

    /// Seen in a soak: with 1,200 imports, publishing 200 documents took 240,000 look-ups, and answers waited for the processor.
    #[tokio::test]
    async fn relabelled_documents_are_looked_up_once_however_many_imports_there_were() {
        let parent = tempfile::tempdir().unwrap();
        let store = open(parent.path()).await.unwrap();
        let explain = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {}", import::END_RELABELLED));
        let plan: Vec<(i64, i64, i64, String)> =
            sqlx::query_as(explain).bind(1).bind("desk").bind(1).fetch_all(&store.pool).await.unwrap();
        let look_up = plan.iter().map(|(.., step)| step).find(|step| step.contains("SEARCH examples")).unwrap();
        assert!(look_up.ends_with("(classifier=? AND content_hash=?)"), "{plan:?}");
    }

    #[tokio::test]
    async fn the_database_is_durable_and_opened_again() {
        let parent = tempfile::tempdir().unwrap();
        let store = open(parent.path()).await.unwrap();
        let pragma = async |name: &str| -> String {
            let sql = sqlx::AssertSqlSafe(format!("SELECT CAST({name} AS TEXT) FROM pragma_{name}"));
            sqlx::query_scalar(sql).fetch_one(&store.pool).await.unwrap()
        };
        assert_eq!(pragma("journal_mode").await, "wal");
        assert_eq!(pragma("synchronous").await, "2"); // FULL
        assert_eq!(pragma("foreign_keys").await, "1");
        drop(store);
        open(parent.path()).await.unwrap();
    }

    /// A directory of the first release, with a document in it.
    #[tokio::test]
    async fn an_older_schema_is_migrated_with_what_is_in_it() {
        let parent = tempfile::tempdir().unwrap();
        let options = SqliteConnectOptions::new()
            .filename(parent.path().join(FILE_NAME))
            .create_if_missing(true)
            .foreign_keys(true);
        let pool = SqlitePool::connect_with(options).await.unwrap();
        let first = MIGRATIONS.iter().filter(|migration| migration.version == 1).cloned().collect();
        Migrator::with_migrations(first).run(&pool).await.unwrap();
        let hash = crate::document::Document::new("a", "b").unwrap().content_hash();
        for sql in [
            "INSERT INTO classifiers VALUES ('desk', 1)",
            "INSERT INTO imports VALUES (1, 'desk', 1, 0, 1, 0, 0)",
            "INSERT INTO examples VALUES ('desk', $1, 1, NULL, '[\"x\"]', 'id', NULL, '', 'a', 'b')",
        ] {
            sqlx::query(sql).bind(&hash.0[..]).execute(&pool).await.unwrap();
        }
        pool.close().await;

        let store = open(parent.path()).await.unwrap();
        let name: ClassifierName = "desk".parse().unwrap();
        let examples = store.examples(&name, None).await.unwrap().next_batch().await.unwrap();
        assert_eq!((examples.len(), examples[0].document.id.as_str(), examples[0].split), (1, "id", None));
        let classifier = store.classifier(&name).await.unwrap().unwrap();
        assert_eq!((classifier.dataset_revision, classifier.aliases), (1, Aliases::default()));

        // What is settled about the document now is kept.
        let held_out = examples[0].clone().with_split(Some(crate::document::Split::HeldOut));
        let mut import = store.begin_import(&name).await.unwrap();
        import.stage(std::slice::from_ref(&held_out)).await.unwrap();
        let outcome = import.publish().await.unwrap();
        assert_eq!((outcome.revision, outcome.n_relabelled), (2, 1));
        assert_eq!(store.examples(&name, None).await.unwrap().next_batch().await.unwrap(), [held_out]);
        assert_eq!(store.examples(&name, Some(1)).await.unwrap().next_batch().await.unwrap(), examples);
    }

    #[tokio::test]
    async fn a_newer_schema_is_refused_with_both_versions() {
        let parent = tempfile::tempdir().unwrap();
        let store = open(parent.path()).await.unwrap();
        sqlx::query(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
             VALUES (998, 'of the future', TRUE, x'00', 0), (999, 'of the far future', TRUE, x'00', 0)",
        )
        .execute(&store.pool)
        .await
        .unwrap();
        drop(store);
        let refusal = open(parent.path()).await.unwrap_err();
        let newest = MIGRATIONS.iter().map(|migration| migration.version).max().unwrap();
        assert!(matches!(refusal, StoreError::NewerSchema { found: 999, known, .. } if known == newest), "{refusal:?}");
        let said = refusal.to_string();
        assert!(said.contains("999") && said.contains(&format!("up to {newest};")), "{said}");
    }

    /// SQLite's own limit does for the writer what a full disk does.
    #[tokio::test]
    async fn without_room_an_import_is_refused_and_nothing_else_is_lost() {
        let parent = tempfile::tempdir().unwrap();
        let store = open(parent.path()).await.unwrap();
        let name: ClassifierName = "desk".parse().unwrap();
        let import = async |text: &str, n: usize| {
            let mut import = store.begin_import(&name).await?;
            for i in 0..n {
                let document = crate::document::Document::new(i.to_string(), text.repeat(100)).unwrap();
                import.stage(&[crate::document::LabeledDocument::new(document, Vec::new())]).await?;
            }
            import.publish().await
        };
        let limit = async |n_pages: u32| {
            let sql = sqlx::AssertSqlSafe(format!("PRAGMA max_page_count = {n_pages}"));
            sqlx::query(sql).execute(&store.writer).await.unwrap();
        };
        assert_eq!(import("before", 3).await.unwrap().n_added, 3);
        limit(60).await;
        let refusal = import("too many", 1000).await.unwrap_err();
        assert!(matches!(refusal, StoreError::DiskFull(_)), "{refusal:?}");
        assert_eq!(store.examples(&name, None).await.unwrap().next_batch().await.unwrap().len(), 3);
        limit(1 << 20).await;
        assert_eq!(import("after", 5).await.unwrap().n_added, 5);
        drop(store);
        let store = open(parent.path()).await.unwrap();
        assert_eq!(store.examples(&name, None).await.unwrap().next_batch().await.unwrap().len(), 8);
    }

    #[tokio::test]
    async fn a_file_that_is_no_database_is_refused() {
        let parent = tempfile::tempdir().unwrap();
        std::fs::write(parent.path().join(FILE_NAME), "no database, but long enough to be one ".repeat(100)).unwrap();
        assert!(matches!(open(parent.path()).await.unwrap_err(), StoreError::Database(_)));
    }

    #[test]
    fn sql_says_nothing_that_only_sqlite_understands() {
        for migration in MIGRATIONS.iter() {
            let sql = migration.sql.as_str().to_ascii_uppercase();
            for word in ["BLOB", "ROWID", "AUTOINCREMENT", "WITHOUT", "DATETIME", " INTEGER"] {
                let statements = sql.lines().filter(|line| !line.starts_with("--"));
                assert!(statements.clone().all(|line| !line.contains(word)), "{word}");
            }
        }
    }
}
