//! Which table of words a training is given.

use std::path::Path;

use super::CommandResult;
use crate::words::{self, WordTable, WordTableError};

/// How the command line is told of a table of words.
#[derive(Debug, clap::Args)]
pub(super) struct WordsArgs {
    /// Another table of words than the program's own, or "none": learn from documents alone. What words mean counts where that makes
    /// out-of-fold predictions better.
    #[arg(long, value_name = "FILE|none")]
    words: Option<String>,
}

impl WordsArgs {
    /// Whether words may count.
    pub(super) fn are_wanted(&self) -> bool {
        self.words.as_deref() != Some("none")
    }

    /// Whether it is another table than the program's own.
    pub(super) fn file(&self) -> Option<&Path> {
        self.words.as_deref().filter(|&words| words != "none").map(Path::new)
    }

    /// Reads the table.
    ///
    /// # Errors
    /// [`WordTableError`].
    pub(super) fn read(&self) -> Result<Table, WordTableError> {
        Ok(match (self.are_wanted(), self.file()) {
            (false, _) => Table::None,
            (true, None) => Table::Bundled,
            (true, Some(path)) => Table::Read(Box::new(WordTable::read(path)?)),
        })
    }
}

/// A table of words, or none.
pub(super) enum Table {
    None,
    Bundled,
    Read(Box<WordTable>),
}

impl Table {
    /// The table, if there is one.
    ///
    /// # Errors
    /// The program's own is broken.
    pub(super) fn get(&self) -> Result<Option<&WordTable>, &'static WordTableError> {
        match self {
            Self::None => Ok(None),
            Self::Bundled => words::bundled().map(Some),
            Self::Read(table) => Ok(Some(table)),
        }
    }

    /// Whether it has these languages.
    ///
    /// # Errors
    /// It lacks one, or there is no table to choose from.
    pub(super) fn check_languages(&self, codes: &[String]) -> CommandResult {
        if codes.is_empty() {
            return Ok(());
        }
        let Some(table) = self.get()? else { return Err("--words-languages needs a table of words".into()) };
        match table.unknown_language(codes) {
            None => Ok(()),
            Some(unknown) => Err(format!("--words-languages {unknown}").into()),
        }
    }
}
