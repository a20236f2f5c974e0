//! Writing a model file, whole or not at all.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::{ArtifactError, encode};
use crate::classifier::Classifier;
use crate::new_file::NewFile;

/// A place for a model file: what can go wrong with it goes wrong before hours of training, not after.
#[derive(Debug)]
pub struct NewModelFile {
    path: PathBuf,
    file: NewFile,
}

impl NewModelFile {
    /// Opens a file beside `path`, which stays as it is; what is at `path` is replaced in [`Self::write`].
    ///
    /// # Errors
    /// [`ArtifactError::Write`] when the folder isn't there or can't be written to, or `path` is something else than a
    /// regular file, such as a device.
    pub fn create(path: &Path) -> Result<Self, ArtifactError> {
        let file = NewFile::create(path).map_err(|source| write_error(path, source))?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// Writes the classifier and puts the file in its place; returns its length in bytes.
    ///
    /// # Errors
    /// [`ArtifactError::Write`]; then what was at the path before is still there.
    pub fn write(self, classifier: &Classifier) -> Result<u64, ArtifactError> {
        let Self { path, mut file } = self;
        let bytes = encode(classifier);
        let written = file.unfinished.write_all(&bytes).and_then(|()| file.keep());
        written.map_err(|source| write_error(&path, source))?;
        Ok(bytes.len() as u64)
    }
}

fn write_error(path: &Path, source: io::Error) -> ArtifactError {
    ArtifactError::Write { path: path.to_owned(), source }
}
