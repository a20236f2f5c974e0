//! What the commands that read documents share: which files, which format, what to do about bad rows; and the model.

use std::path::PathBuf;

use super::say;
use crate::artifact::{self, Artifact, ArtifactError};
use crate::formats::{self, Format, ReadError, ReadOutcome, RowError, Strictness};

/// Bad rows of a run that are shown one by one; the others are only counted.
const MAX_SHOWN_BAD_ROWS: usize = 10;

/// How files of documents are read.
#[derive(Debug, clap::Args)]
pub(super) struct ReadingArgs {
    /// The files' format: article, jsonl, csv, tsv or fasttext. Left out: told by each file's name (all may end in
    /// .gz) and, for .txt, by its first line.
    #[arg(long)]
    pub(super) format: Option<Format>,

    /// Stop at the first bad row. Left out: bad rows are skipped, counted and reported.
    #[arg(long)]
    pub(super) strict: bool,
}

impl ReadingArgs {
    /// Skip bad rows, or stop at them.
    pub(super) fn strictness(&self) -> Strictness {
        if self.strict { Strictness::Strict } else { Strictness::Skip }
    }

    /// Reads all labelled documents of some files, reporting bad rows on standard error.
    pub(super) fn read_all(&self, paths: &[PathBuf]) -> Result<ReadOutcome, ReadError> {
        let mut bad_rows = BadRows::default();
        let outcome = formats::read_all(paths, self.format, self.strictness(), &mut |error| bad_rows.report(error));
        bad_rows.summarize();
        outcome
    }
}

/// Reports bad rows on standard error: the first ones, then how many there were.
#[derive(Debug, Default)]
pub(super) struct BadRows {
    n_rows: usize,
}

impl BadRows {
    /// Reports one.
    pub(super) fn report(&mut self, error: &RowError) {
        self.n_rows += 1;
        if self.n_rows <= MAX_SHOWN_BAD_ROWS {
            say(format_args!("topicd: skipped {error}"));
        }
    }

    /// How many there were.
    pub(super) fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// Tells how many there were, if any.
    pub(super) fn summarize(&self) {
        match self.n_rows {
            0 => {}
            1 => say(format_args!("topicd: 1 bad row was skipped; --strict stops at the first")),
            n => say(format_args!("topicd: {n} bad rows were skipped; --strict stops at the first")),
        }
    }
}

/// Which model a command uses.
#[derive(Debug, clap::Args)]
pub(super) struct ModelArgs {
    /// A model file that `topicd train` wrote. Left out: the bundled news model.
    #[arg(long, value_name = "FILE")]
    pub(super) model: Option<PathBuf>,
}

impl ModelArgs {
    /// Loads the model.
    pub(super) fn load(&self) -> Result<Artifact, ArtifactError> {
        self.model.as_deref().map_or_else(artifact::bundled, artifact::load)
    }
}
