//! `topicd backup`: a data directory in one file, also while a server uses it.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::stored::{self, DATA_DIR_VARIABLE, DEFAULT_DATA_DIR};
use super::{CommandResult, say};
use crate::store::{self, BackupContents, BackupOptions, Damage};

/// What `topicd backup` is told.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The file to write: whole, or not at all.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,

    /// The directory that is copied; a server may be using it, and goes on as if nothing were.
    #[arg(long, env = DATA_DIR_VARIABLE, default_value = DEFAULT_DATA_DIR, value_name = "DIR")]
    data_dir: PathBuf,

    /// Replace FILE if it is there.
    #[arg(long)]
    force: bool,

    /// Keep what is whole also if stored documents or model files are damaged.
    #[arg(long)]
    allow_damaged: bool,

    /// Print one JSON object instead of a sentence.
    #[arg(long)]
    json: bool,
}

/// Writes the backup and looks through it.
///
/// # Errors
/// There is nothing to back up, the file is there already or can't be written, or what is stored is damaged.
pub fn run(args: &Args) -> CommandResult {
    let options = BackupOptions { replace: args.force, damage: damage(args.allow_damaged) };
    let contents = stored::runtime()?.block_on(store::back_up(&args.data_dir, &args.out, options))?;
    report(&args.out, &contents, args.json)
}

/// What `--allow-damaged` means.
pub(super) fn damage(allow_damaged: bool) -> Damage {
    if allow_damaged { Damage::Allow } else { Damage::Refuse }
}

/// Says what a backup or a restored directory holds.
pub(super) fn report(path: &Path, contents: &BackupContents, json: bool) -> CommandResult {
    if let Some(damage) = contents.damage() {
        say(format_args!("topicd: {damage}"));
    }
    let out = &mut io::stdout().lock();
    if json {
        writeln!(out, "{}", serde_json::to_string(contents)?)?;
        return Ok(());
    }
    let BackupContents { n_classifiers, n_documents, n_versions, n_bytes, .. } = contents;
    writeln!(
        out,
        "{}: {n_classifiers} classifiers, {n_documents} documents, {n_versions} versions, {n_bytes} bytes.",
        path.display()
    )?;
    Ok(())
}
