//! Writing a file whole or not at all: beside its name first, then in its place.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// A place for a file. What is there stays as it is until [`Self::keep`]; dropped before, it leaves nothing.
#[derive(Debug)]
pub struct NewFile {
    path: PathBuf,
    unfinished_path: PathBuf,
    /// What will be the file, to be written to.
    pub unfinished: File,
}

impl NewFile {
    /// Opens a file beside `path`.
    ///
    /// # Errors
    /// The folder isn't there or can't be written to, or `path` is something else than a regular file, such as a device.
    pub fn create(path: &Path) -> io::Result<Self> {
        // Through a symbolic link to what it means.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        if path.exists() && !path.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is there, and not a regular file"));
        }
        let mut unfinished_path = path.as_os_str().to_owned();
        unfinished_path.push(format!(".{}.unfinished", std::process::id()));
        let unfinished_path = PathBuf::from(unfinished_path);
        let unfinished = File::create(&unfinished_path)?;
        Ok(Self { path, unfinished_path, unfinished })
    }

    /// Puts what was written in its place, when it is on the disk.
    ///
    /// # Errors
    /// What was at the path before is still there then.
    pub fn keep(self) -> io::Result<()> {
        self.unfinished.sync_all()?;
        fs::rename(&self.unfinished_path, &self.path)
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        // It is gone already when it was put in its place.
        let _ = fs::remove_file(&self.unfinished_path);
    }
}
