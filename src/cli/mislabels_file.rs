//! The ranking of documents whose labels may be wrong, as a file to work through.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::dataset::Dataset;
use crate::dataset::issues::{DocumentName, SuspectedMislabel};
use crate::evaluation::LabelRanking;

/// A line of the file.
#[derive(Debug, Serialize)]
struct Row<'a> {
    #[serde(flatten)]
    name: DocumentName,
    topics: Vec<&'a str>,
    #[serde(flatten)]
    mislabel: SuspectedMislabel,
    is_suspected: bool,
}

/// A place for the ranking: what can go wrong with it goes wrong before training, not after.
pub(super) struct MislabelsFile {
    path: PathBuf,
    file: File,
}

impl MislabelsFile {
    /// Opens the file, which keeps what it holds until [`Self::write`].
    ///
    /// # Errors
    /// It can't be written to; the message names it.
    pub(super) fn create(path: &Path) -> Result<Self, String> {
        let opened = OpenOptions::new().write(true).create(true).truncate(false).open(path);
        let file = opened.map_err(|error| message(path, &error))?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// Replaces what is in the file by the ranking, one JSON object a line.
    ///
    /// # Errors
    /// Those of writing; the message names the file.
    pub(super) fn write(&self, dataset: &Dataset, ranking: &LabelRanking) -> Result<(), String> {
        self.try_write(dataset, ranking).map_err(|error| message(&self.path, &error))
    }

    fn try_write(&self, dataset: &Dataset, ranking: &LabelRanking) -> io::Result<()> {
        // A pipe has no length to set.
        if self.file.metadata()?.is_file() {
            self.file.set_len(0)?;
        }
        let documents = dataset.documents();
        let mut out = BufWriter::new(&self.file);
        for (rank, label) in ranking.labels.iter().enumerate() {
            let topics = dataset.targets().of(label.document).iter();
            let row = Row {
                name: DocumentName::of(documents[label.document]),
                topics: topics.map(|&topic| dataset.topics()[topic as usize].as_str()).collect(),
                mislabel: SuspectedMislabel::of(label, dataset.topics()),
                is_suspected: rank < ranking.n_suspected,
            };
            serde_json::to_writer(&mut out, &row)?;
            out.write_all(b"\n")?;
        }
        out.flush()
    }
}

fn message(path: &Path, error: &io::Error) -> String {
    format!("can't write {}: {error}", path.display())
}
