//! `topicd evaluate`: how good a model is on labelled documents.

use std::io::{self, Write};
use std::path::PathBuf;

use super::inputs::{ModelArgs, ReadingArgs};
use super::{CommandResult, evaluation_table};

/// What `topicd evaluate` is told.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,

    /// Files of labelled documents that the model wasn't trained on.
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    data: Vec<PathBuf>,

    #[command(flatten)]
    reading: ReadingArgs,

    /// Print one JSON object instead of tables.
    #[arg(long)]
    json: bool,
}

/// Evaluates.
///
/// # Errors
/// Files that can't be read, and files without labelled documents.
pub fn run(args: &Args) -> CommandResult {
    let classifier = args.model.load()?.classifier;
    let examples = args.reading.read_all(&args.data)?.examples;
    let evaluation = classifier.evaluate(&examples);
    if evaluation.n_documents == 0 {
        return Err("there is no document with a topic; give labelled documents".into());
    }
    let out = &mut io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string(&evaluation)?)?;
    } else {
        evaluation_table::write(out, &evaluation, classifier.label_kind())?;
    }
    Ok(())
}
