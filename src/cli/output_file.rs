//! A file that a command writes at its end, besides its result.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// A place for a file: what can go wrong with it goes wrong before training, not after.
pub(super) struct OutputFile {
    path: PathBuf,
    file: File,
}

impl OutputFile {
    /// Opens the file, which keeps what it holds until [`Self::replace`].
    ///
    /// # Errors
    /// It can't be written to; the message names it.
    pub(super) fn create(path: &Path) -> Result<Self, String> {
        let opened = OpenOptions::new().write(true).create(true).truncate(false).open(path);
        let file = opened.map_err(|error| message(path, &error))?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// Replaces what is in the file by what is written.
    ///
    /// # Errors
    /// Those of writing; the message names the file.
    pub(super) fn replace(&self, write: impl FnOnce(&mut BufWriter<&File>) -> io::Result<()>) -> Result<(), String> {
        let replace = || {
            // A pipe has no length to set.
            if self.file.metadata()?.is_file() {
                self.file.set_len(0)?;
            }
            let mut out = BufWriter::new(&self.file);
            write(&mut out)?;
            out.flush()
        };
        replace().map_err(|error| message(&self.path, &error))
    }
}

fn message(path: &Path, error: &io::Error) -> String {
    format!("can't write {}: {error}", path.display())
}
