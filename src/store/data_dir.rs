//! The directory that topicd keeps its data in, and the lock that gives it to one process at a time.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// The file whose lock is the directory's.
pub(super) const LOCK_NAME: &str = "lock";

/// Why a data directory can't be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another process has it.
    #[error(
        "the data directory {} is in use by another topicd process, such as a server; stop that one, or give this one \
         another directory with --data-dir",
        path.display()
    )]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// The operating system says no.
    #[error("the data directory {} can't be used", path.display())]
    Io {
        /// The directory, or the file in it.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

/// A data directory, locked for as long as this lives. The operating system drops the lock when the process ends,
/// however it ends, so a lock file that is left behind means nothing.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    lock: File,
}

impl DataDir {
    /// Creates the directory where it is missing, and locks it.
    ///
    /// # Errors
    /// [`DataDirError::InUse`] when another process has it, or what the operating system said.
    pub fn lock(path: &Path) -> Result<Self, DataDirError> {
        let io_error = |source| DataDirError::Io { path: path.to_owned(), source };
        std::fs::create_dir_all(path).map_err(io_error)?;
        let lock =
            File::options().create(true).truncate(false).write(true).open(path.join(LOCK_NAME)).map_err(io_error)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), lock }),
            Err(TryLockError::WouldBlock) => Err(DataDirError::InUse { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => Err(io_error(source)),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Lets go of the lock at once: a child process that is just being started has the file open too, until it runs its program.
impl Drop for DataDir {
    fn drop(&mut self) {
        // Closing the file does it where this fails.
        let _ = self.lock.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_owner_at_a_time() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("new/data");
        let first = DataDir::lock(&path).unwrap();
        let refusal = DataDir::lock(&path).unwrap_err();
        assert!(matches!(refusal, DataDirError::InUse { .. }));
        assert!(refusal.to_string().contains(path.to_str().unwrap()));
        drop(first);
        assert!(DataDir::lock(&path).is_ok());
    }

    #[test]
    fn a_path_that_is_a_file_is_refused_by_name() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let refusal = DataDir::lock(file.path()).unwrap_err();
        assert!(matches!(&refusal, DataDirError::Io { path, .. } if path == file.path()));
    }
}
