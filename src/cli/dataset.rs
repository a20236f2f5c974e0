//! `topicd dataset`: labelled documents that are kept for good, in a data directory.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::import_target::{ImportTarget, TargetError};
use super::inputs::{BadRows, ReadingArgs};
use super::stored::{self, DataDirArgs};
use super::{CommandResult, remote};
use crate::document::LabeledDocument;
use crate::formats::{self, Format, ReadError};
use crate::names::ClassifierName;
use crate::store::{DatasetSummary, ImportOutcome};

/// Documents that are read before they are stored together.
const CHUNK: usize = 500;
/// Bytes of them from which on they are stored, also if they are fewer.
const CHUNK_BYTES: usize = 4 << 20;

/// What `topicd dataset` is told.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: DatasetCommand,
}

#[derive(Debug, clap::Subcommand)]
enum DatasetCommand {
    /// Add labelled documents to a classifier's dataset: all of them, or none when anything fails.
    Import(ImportArgs),
    /// List the datasets: classifier, revision, documents, topics.
    List(ListArgs),
}

#[derive(Debug, clap::Args)]
struct ImportArgs {
    /// Files of labelled documents.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// The classifier whose dataset they are added to.
    #[arg(long, default_value_t, value_name = "NAME", value_parser = stored::classifier)]
    classifier: ClassifierName,

    /// The directory that documents are kept in; no server may be using it. Left out: $TOPICD_DATA_DIR, or ./topicd-data.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,

    /// Instead of a directory: the server that keeps them, as http://HOST:PORT.
    #[arg(long, value_name = "URL", conflicts_with = "data_dir")]
    server: Option<String>,

    #[command(flatten)]
    reading: ReadingArgs,

    /// Print one JSON object instead of a sentence.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    #[command(flatten)]
    data_dir: DataDirArgs,

    /// Print one JSON object a dataset, with all its revisions, instead of a table.
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

/// Imports or lists.
///
/// # Errors
/// A data directory that can't be had, files that can't be read, and with `--strict` bad rows.
pub fn run(args: &Args) -> CommandResult {
    match &args.command {
        DatasetCommand::Import(args) => remote::runtime()?.block_on(import(args)),
        DatasetCommand::List(args) => stored::runtime()?.block_on(list(args)),
    }
}

async fn import(args: &ImportArgs) -> CommandResult {
    let mut import = match &args.server {
        Some(server) => ImportTarget::on_server(remote::connect(server).await?, &args.classifier).await?,
        None => {
            let store = DataDirArgs::or_default(args.data_dir.clone()).open_or_create().await?;
            ImportTarget::Store(store.begin_import(&args.classifier).await?)
        }
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
    args: &ImportArgs,
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

async fn list(args: &ListArgs) -> CommandResult {
    let datasets = args.data_dir.open_existing().await?.datasets().await?;
    let out = &mut io::stdout().lock();
    for dataset in &datasets {
        if args.json {
            writeln!(out, "{}", serde_json::to_string(dataset)?)?;
        } else {
            print(out, dataset)?;
        }
    }
    Ok(())
}

/// A line for the dataset and one for each topic.
fn print(out: &mut impl Write, dataset: &DatasetSummary) -> io::Result<()> {
    let DatasetSummary { classifier, revision, n_documents, topics, .. } = dataset;
    writeln!(out, "{classifier}  revision {revision}  {n_documents} documents")?;
    let width = topics.iter().map(|count| count.topic.chars().count()).max().unwrap_or(0);
    for count in topics {
        writeln!(out, "  {:width$}  {:>9}", count.topic, count.n_documents)?;
    }
    Ok(())
}

/// The documents so far, on a terminal; nothing elsewhere.
fn document_bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {human_pos} documents, {per_sec} ({elapsed})");
    let bar = ProgressBar::new_spinner().with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
