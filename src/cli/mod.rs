//! The command line: one file a command, each `Args` and `run`.
//!
//! Results go to standard output, everything else to standard error. Exit codes: 0 done, 1 failed, 2 bad usage.

pub mod about;
pub mod backup;
pub mod classify;
pub mod compare;
mod comparison_table;
pub mod config_file;
pub mod dataset;
pub mod evaluate;
mod evaluation_table;
mod explanation_table;
pub mod health;
mod inputs;
mod issue_table;
mod label_ranking;
pub mod models;
mod output_file;
mod place;
mod promotion_args;
mod remote;
pub mod restore;
pub mod security_args;
pub mod serve;
mod stored;
pub mod token;
pub mod topic;
mod topic_table;
pub mod train;
mod train_remote;
pub mod verify;
mod words_args;

use std::error::Error;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use crate::document::Document;

/// Characters of a headline or id that tables show.
const MAX_SHOWN_CHARACTERS: usize = 100;

/// How a command ends.
pub type CommandResult = Result<(), Box<dyn Error>>;

/// Reports a failure and turns it into the exit code.
pub fn exit(result: CommandResult) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads our output has seen enough (`topicd … | head`).
        Err(error) if is_broken_pipe(&*error) => ExitCode::SUCCESS,
        Err(error) => {
            let mut message = error.to_string();
            let mut source = error.source();
            while let Some(cause) = source {
                let cause_message = cause.to_string();
                if !message.ends_with(&cause_message) {
                    message = format!("{message}: {cause_message}");
                }
                source = cause.source();
            }
            say(format_args!("topicd: {message}"));
            ExitCode::FAILURE
        }
    }
}

/// Writes a line for people to standard error; when nobody reads it, that is no failure.
fn say(message: impl std::fmt::Display) {
    let _ = writeln!(io::stderr(), "{message}");
}

/// What a table shows of a document: the beginning of its title, or of its text.
fn headline(document: &Document) -> String {
    excerpt(if document.title().is_empty() { document.text() } else { document.title() })
}

/// The first line of a text, or of that the first characters, with nothing in it that a terminal would obey.
fn excerpt(text: &str) -> String {
    let line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default().trim();
    let mut shown: String = line.chars().take(MAX_SHOWN_CHARACTERS).filter(|c| !c.is_control()).collect();
    if line.chars().nth(MAX_SHOWN_CHARACTERS).is_some() {
        shown.push('…');
    }
    shown
}

/// Whether standard output is read by a person who likes colours: a terminal, and NO_COLOR isn't set.
fn is_in_colour() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn is_broken_pipe(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
