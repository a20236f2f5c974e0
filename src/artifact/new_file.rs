//! Writing a model file, whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::{ArtifactError, encode};
use crate::classifier::Classifier;

/// A place for a model file: what can go wrong with it goes wrong before hours of training, not after.
#[derive(Debug)]
pub struct NewModelFile {
    path: PathBuf,
    unfinished_path: PathBuf,
    unfinished: File,
}

impl NewModelFile {
    /// Opens a file beside `path`, which stays as it is; what is at `path` is replaced in [`Self::write`].
    ///
    /// # Errors
    /// [`ArtifactError::Write`] when the folder isn't there or can't be written to, or `path` is something else than a
    /// regular file, such as a device.
    pub fn create(path: &Path) -> Result<Self, ArtifactError> {
        let error = |source| ArtifactError::Write { path: path.to_owned(), source };
        // Through a symbolic link to what it means.
        let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        if target.exists() && !target.is_file() {
            return Err(error(io::Error::new(io::ErrorKind::InvalidInput, "it is there, and not a regular file")));
        }
        let mut unfinished_path = target.as_os_str().to_owned();
        unfinished_path.push(format!(".{}.unfinished", std::process::id()));
        let unfinished_path = PathBuf::from(unfinished_path);
        let unfinished = File::create(&unfinished_path).map_err(error)?;
        Ok(Self { path: target, unfinished_path, unfinished })
    }

    /// Writes the classifier and puts the file in its place; returns its length in bytes.
    ///
    /// # Errors
    /// [`ArtifactError::Write`]; then what was at the path before is still there.
    pub fn write(mut self, classifier: &Classifier) -> Result<u64, ArtifactError> {
        let bytes = encode(classifier);
        let written = self.unfinished.write_all(&bytes).and_then(|()| self.unfinished.sync_all());
        written
            .and_then(|()| fs::rename(&self.unfinished_path, &self.path))
            .map_err(|source| ArtifactError::Write { path: self.path.clone(), source })?;
        Ok(bytes.len() as u64)
    }
}

impl Drop for NewModelFile {
    fn drop(&mut self) {
        // It is gone already when the file was put in its place.
        let _ = fs::remove_file(&self.unfinished_path);
    }
}
