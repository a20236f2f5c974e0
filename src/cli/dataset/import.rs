//! `topicd dataset import`: from files to where documents are kept.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::import_target::{ImportTarget, TargetError};
use crate::cli::inputs::{BadRows, ReadingArgs};
use crate::cli::place::{Place, PlaceArgs};
use crate::cli::{CommandResult, stored};
use crate::document::LabeledDocument;
use crate::formats::{self, Format, ReadError};
use crate::names::ClassifierName;
use crate::store::ImportOutcome;

/// Documents that are read before they are stored together.
const CHUNK: usize = 500;
/// Bytes of them from which on they are stored, also if they are fewer.
const CHUNK_BYTES: usize = 4 << 20;

/// What `topicd dataset import` is told.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Files of labelled documents.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// The classifier whose dataset they are added to.
    #[arg(long, default_value_t, value_name = "NAME", value_parser = stored::classifier)]
    classifier: ClassifierName,

    #[command(flatten)]
    place: PlaceArgs,

    #[command(flatten)]
    reading: ReadingArgs,

    /// Print one JSON object instead of a sentence.
    #[arg(long)]
    json: bool,
}

/// What `import --json` prints.
#[derive(Debug, Serialize)]
struct ImportReport<'a> {
    classifier: &'a ClassifierName,
    #[serde(flatten)]
    outcome: ImportOutcome,
    n_skipped_rows: usize,
}

/// Why documents don't get from files to where they are kept.
#[derive(Debug, thiserror::Error)]
enum ImportError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Target(#[from] TargetError),
}

/// Imports.
///
/// # Errors
/// Nowhere to keep them, files that can't be read, and with `--strict` bad rows.
pub(super) async fn run(args: &Args) -> CommandResult {
    let mut import = match args.place.open_or_create().await? {
        Place::Server(channel) => ImportTarget::on_server(channel, &args.classifier).await?,
        Place::Store(store) => ImportTarget::Store(store.begin_import(&args.classifier).await?),
    };
    let mut bad_rows = BadRows::default();
    let bar = document_bar();
    let staged = stage_files(args, &mut import, &mut bad_rows, &bar).await;
    bar.finish_and_clear();
    if let Err(error) = staged {
        import.discard().await?;
        return Err(error.into());
    }
    bad_rows.summarize();
    let outcome = import.publish().await?;
    let report = ImportReport { classifier: &args.classifier, outcome, n_skipped_rows: bad_rows.n_rows() };
    let out = &mut io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string(&report)?)?;
        return Ok(());
    }
    let ImportOutcome { revision, n_given, n_added, n_relabelled, n_unchanged } = outcome;
    writeln!(out, "{n_given} documents: {n_added} added, {n_relabelled} relabelled, {n_unchanged} unchanged.")?;
    writeln!(out, "{} is at revision {revision}.", args.classifier)?;
    Ok(())
}

/// Stages the documents of all files, in the order of the files and of the rows in each.
async fn stage_files(
    args: &Args,
    import: &mut ImportTarget,
    bad_rows: &mut BadRows,
    bar: &ProgressBar,
) -> Result<(), ImportError> {
    let (mut chunk, mut n_bytes): (Vec<LabeledDocument>, usize) = (Vec::with_capacity(CHUNK), 0);
    for path in &args.files {
        let rows = formats::open(path, args.reading.format)?;
        let is_article = rows.format() == Format::Article;
        for row in rows {
            match row {
                Ok(mut example) => {
                    if is_article {
                        example.document.id = path.display().to_string();
                    }
                    n_bytes += example.document.n_bytes();
                    chunk.push(example);
                }
                Err(error) if args.reading.strict || error.is_fatal() => return Err(ReadError::from(error).into()),
                Err(error) => bar.suspend(|| bad_rows.report(&error)),
            }
            if chunk.len() == CHUNK || n_bytes > CHUNK_BYTES {
                import.stage(&chunk).await?;
                bar.inc(chunk.len() as u64);
                chunk.clear();
                n_bytes = 0;
            }
        }
    }
    Ok(import.stage(&chunk).await?)
}

/// The documents so far, on a terminal; nothing elsewhere.
fn document_bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {human_pos} documents, {per_sec} ({elapsed})");
    let bar = ProgressBar::new_spinner().with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
