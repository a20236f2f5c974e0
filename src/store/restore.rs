//! From a backup to a data directory that a server can use.
//!
//! The directory is locked meanwhile. The database gets its name when it has been looked through and is on the disk as a
//! whole; a restore that was killed before leaves a directory that counts as empty.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::backup::{Unfinished, sync_folder};
use super::backup_contents::{self, BackupContents, Damage, UnusableBackup};
use super::data_dir::LOCK_NAME;
use super::{DataDir, DataDirError, FILE_NAME};

/// The database's name while it isn't whole.
const UNFINISHED_NAME: &str = "topicd.db.unfinished";

/// Why nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The file is no backup, or none to go back to.
    #[error(transparent)]
    Unusable(#[from] UnusableBackup),
    /// Something would be lost.
    #[error(
        "{} isn't empty: it holds {seen:?}; give an empty or a new directory with --data-dir",
        data_dir.display()
    )]
    NotEmpty {
        /// The directory.
        data_dir: PathBuf,
        /// What is in it.
        seen: String,
    },
    /// The directory can't be had.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The database can't be written.
    #[error("can't write to {}", data_dir.display())]
    Write {
        /// The directory.
        data_dir: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// Makes a backup the database of a data directory, which is empty or isn't there yet.
///
/// # Errors
/// [`RestoreError`]; no database is there then.
pub async fn restore(backup: &Path, data_dir: &Path, damage: Damage) -> Result<BackupContents, RestoreError> {
    backup_contents::check_beginning(backup, backup)?;
    // A directory that no topicd has used gets no lock file unless it is empty.
    if !data_dir.join(LOCK_NAME).exists() {
        check_empty(data_dir)?;
    }
    let was_there = data_dir.exists();
    let locked = DataDir::lock(data_dir)?;
    let restored = async {
        check_empty(data_dir)?;
        put_in_place(backup, data_dir, damage).await
    }
    .await;
    if restored.is_err() && !was_there {
        // As it was before; what else has come into it stays.
        let _ = fs::remove_file(data_dir.join(LOCK_NAME));
        let _ = fs::remove_dir(data_dir);
    }
    drop(locked);
    restored
}

async fn put_in_place(backup: &Path, data_dir: &Path, damage: Damage) -> Result<BackupContents, RestoreError> {
    let write_error = |source| RestoreError::Write { data_dir: data_dir.to_owned(), source };
    let unfinished = Unfinished(data_dir.join(UNFINISHED_NAME));
    fs::copy(backup, &unfinished.0).map_err(write_error)?;
    // The copy is what will be used.
    let contents = BackupContents::read(&unfinished.0, backup, damage).await?;
    let database = data_dir.join(FILE_NAME);
    File::open(&unfinished.0)
        .and_then(|file| file.sync_all())
        .and_then(|()| fs::rename(&unfinished.0, &database))
        .and_then(|()| sync_folder(&database))
        .map_err(write_error)?;
    Ok(contents)
}

/// Whether there is nothing in a directory but what a killed restore leaves.
fn check_empty(data_dir: &Path) -> Result<(), RestoreError> {
    let write_error = |source| RestoreError::Write { data_dir: data_dir.to_owned(), source };
    let entries = match fs::read_dir(data_dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(write_error)?,
    };
    for entry in entries {
        let name = entry.map_err(write_error)?.file_name();
        if name != LOCK_NAME && name != UNFINISHED_NAME {
            let seen = name.to_string_lossy().into_owned();
            return Err(RestoreError::NotEmpty { data_dir: data_dir.to_owned(), seen });
        }
    }
    Ok(())
}
