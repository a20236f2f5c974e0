//! Copying a data directory into one file, also while a server uses it.
//!
//! The server has the directory's lock, so its [`super::Store`] can't be opened here. SQLite lets other processes read
//! a database with a write-ahead log at any time, and shows a reader what was committed when it began, whatever is
//! written meanwhile. `VACUUM INTO` is one such read: it writes all of that into a new database, log included, packed. It
//! is SQLite's own; on PostgreSQL, `pg_dump` takes its place.
//!
//! In the source nothing is created, changed or brought up to date. Writers don't wait for a backup, nor it for them; the
//! log can't begin anew meanwhile, and grows by what is written.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};

use super::backup_contents::{self, BackupContents, Damage, UnusableBackup};
use super::{BUSY_TIMEOUT, FILE_NAME};

/// What a backup may do beside writing a file that isn't there yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BackupOptions {
    /// Whether it takes the place of a file that is there.
    pub replace: bool,
    /// What to do if something that is stored is damaged.
    pub damage: Damage,
}

/// Why there is no backup. What was at its place is still there.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The directory has no database.
    #[error("{} holds no data of topicd; give the server's directory with --data-dir", data_dir.display())]
    NoData {
        /// The directory.
        data_dir: PathBuf,
    },
    /// Something is there.
    #[error("{} is there already; give another name, or --force to replace it", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A file in the directory would be lost with it, or would be the database itself.
    #[error("{} is in the data directory; keep backups elsewhere, best on another disk", path.display())]
    InDataDir {
        /// The file.
        path: PathBuf,
    },
    /// The database can't be read, or its copy not be written.
    #[error("can't copy {} to {}", database.display(), path.display())]
    Copy {
        /// The database.
        database: PathBuf,
        /// The backup.
        path: PathBuf,
        /// What SQLite says.
        source: sqlx::Error,
    },
    /// The file can't be put in its place.
    #[error("can't write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// What was written isn't what a restore could use: the database itself is damaged, or newer than this program.
    #[error(transparent)]
    Unusable(#[from] UnusableBackup),
}

/// Writes all that is committed in a data directory at one moment into one file, looks through it, and then puts it in its
/// place.
///
/// # Errors
/// [`BackupError`]; there is no new file then.
pub async fn back_up(data_dir: &Path, path: &Path, options: BackupOptions) -> Result<BackupContents, BackupError> {
    let database = data_dir.join(FILE_NAME);
    if !database.is_file() {
        return Err(BackupError::NoData { data_dir: data_dir.to_owned() });
    }
    let write_error = |source| BackupError::Write { path: path.to_owned(), source };
    let target = Target::new(path, data_dir).map_err(write_error)?;
    target.check(path, options.replace)?;
    let unfinished = Unfinished::beside(&target.path);
    copy(&database, &unfinished.0, path).await?;
    let contents = BackupContents::read(&unfinished.0, path, options.damage).await?;
    File::open(&unfinished.0).and_then(|file| file.sync_all()).map_err(write_error)?;
    // Somebody may have put a file there meanwhile.
    target.check(path, options.replace)?;
    fs::rename(&unfinished.0, &target.path).and_then(|()| sync_folder(&target.path)).map_err(write_error)?;
    Ok(contents)
}

/// Where a backup goes.
struct Target {
    /// Absolute, and not a symbolic link. SQLite takes names that begin with `file:` for URLs.
    path: PathBuf,
    is_in_data_dir: bool,
}

impl Target {
    fn new(path: &Path, data_dir: &Path) -> io::Result<Self> {
        let path = match fs::canonicalize(path) {
            Ok(target) => target,
            Err(_) => std::path::absolute(path)?,
        };
        let folder = path.parent().map_or_else(|| fs::canonicalize("/"), fs::canonicalize)?;
        let is_in_data_dir = folder.starts_with(fs::canonicalize(data_dir)?);
        Ok(Self { path, is_in_data_dir })
    }

    fn check(&self, name: &Path, replace: bool) -> Result<(), BackupError> {
        if self.is_in_data_dir {
            return Err(BackupError::InDataDir { path: name.to_owned() });
        }
        match fs::metadata(&self.path) {
            Ok(there) if !there.is_file() => {
                let source = io::Error::new(io::ErrorKind::InvalidInput, "it is there, and not a regular file");
                Err(BackupError::Write { path: name.to_owned(), source })
            }
            Ok(_) if !replace => Err(BackupError::Exists { path: name.to_owned() }),
            _ => Ok(()),
        }
    }
}

/// A file that isn't whole yet; removed when it is dropped before it has its name.
pub(super) struct Unfinished(pub(super) PathBuf);

impl Unfinished {
    fn beside(path: &Path) -> Self {
        let mut unfinished = path.as_os_str().to_owned();
        unfinished.push(format!(".{}.unfinished", std::process::id()));
        let unfinished = Self(unfinished.into());
        // One that was killed may have had the same number.
        let _ = fs::remove_file(&unfinished.0);
        unfinished
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // It is gone already when it has got its name.
        let _ = fs::remove_file(&self.0);
    }
}

/// Makes sure that a file's name is on the disk, as its content is.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
}

async fn copy(database: &Path, unfinished: &Path, name: &Path) -> Result<(), BackupError> {
    let copy_error = |source| BackupError::Copy { database: database.to_owned(), path: name.to_owned(), source };
    let absolute = std::path::absolute(database).map_err(|error| copy_error(error.into()))?;
    let target = unfinished.to_str().ok_or_else(|| copy_error(sqlx::Error::InvalidArgument("not UTF-8".to_owned())))?;
    let options = SqliteConnectOptions::new().filename(&absolute).busy_timeout(BUSY_TIMEOUT);
    let log = PathBuf::from(format!("{}-wal", absolute.display()));
    let has_log = log.exists();
    let mut connection = options.clone().read_only(true).connect().await.map_err(copy_error)?;
    // First, so that a database that can't be used isn't copied for minutes.
    let copied = match backup_contents::schema_version(&mut connection, database).await {
        Ok(_) => {
            let vacuum = sqlx::query("VACUUM INTO $1").bind(target).execute(&mut connection).await;
            vacuum.map(drop).map_err(copy_error)
        }
        Err(unusable) => Err(unusable.into()),
    };
    drop(connection.close().await);
    if !has_log && log.exists() {
        remove_log(options).await;
    }
    copied
}

/// Reading a database that no server uses leaves an empty log beside it, which only a connection that may write removes.
/// SQLite does so when the last one is closed; where a server has come meanwhile, that one isn't the last.
async fn remove_log(options: SqliteConnectOptions) {
    if let Ok(mut connection) = options.connect().await {
        let _ = sqlx::query("SELECT COUNT(*) FROM _sqlx_migrations").execute(&mut connection).await;
        let _ = connection.close().await;
    }
}
