//! The command line: one file a command, each `Args` and `run`.
//!
//! Results go to standard output, everything else to standard error. Exit codes: 0 done, 1 failed, 2 bad usage.

pub mod about;
pub mod classify;
pub mod dataset;
pub mod evaluate;
mod evaluation_table;
mod explanation_table;
mod import_target;
mod inputs;
mod remote;
pub mod serve;
mod stored;
pub mod train;
mod train_remote;
pub mod verify;

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

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

fn is_broken_pipe(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
