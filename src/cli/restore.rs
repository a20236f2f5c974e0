//! `topicd restore`: from a backup to a data directory that `topicd serve` answers from as before.

use std::path::PathBuf;

use super::backup::{damage, report};
use super::{CommandResult, stored};
use crate::store;

/// What `topicd restore` is told.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The file that `topicd backup` wrote.
    #[arg(long, value_name = "FILE")]
    from: PathBuf,

    /// The directory that it becomes: an empty one, or one that isn't there yet.
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,

    /// Restore what is whole also if documents or model files in it are damaged.
    #[arg(long)]
    allow_damaged: bool,

    /// Print one JSON object instead of a sentence.
    #[arg(long)]
    json: bool,
}

/// Looks through the backup and restores it.
///
/// # Errors
/// The file is no whole backup that this program knows, or the directory isn't empty or is in use.
pub fn run(args: &Args) -> CommandResult {
    let restored = store::restore(&args.from, &args.data_dir, damage(args.allow_damaged));
    let contents = stored::runtime()?.block_on(restored)?;
    report(&args.data_dir, &contents, args.json)
}
