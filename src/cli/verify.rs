//! `topicd verify`: whether a model is what training makes of given documents, to the byte.

use std::io::{self, Write};
use std::path::PathBuf;

use super::CommandResult;
use super::inputs::{ModelArgs, ReadingArgs};
use super::train::StageBar;
use super::words_args::WordsArgs;
use crate::dataset::Dataset;
use crate::training::verify;

/// What `topicd verify` is told.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,

    /// Files of the labelled documents that the model was trained on, and of those that were held out.
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    data: Vec<PathBuf>,

    #[command(flatten)]
    reading: ReadingArgs,

    #[command(flatten)]
    words: WordsArgs,
}

/// Trains again and compares.
///
/// # Errors
/// Files that can't be read, documents that can't be trained on, and another model than the one given.
pub fn run(args: &Args) -> CommandResult {
    let model = args.model.load()?;
    let options = model.classifier.provenance().config.dataset_options();
    let dataset = Dataset::with_options(args.reading.read_all(&args.data)?.examples, options)?;
    let table = args.words.read()?;
    let bar = StageBar::new();
    let differences = verify(&model, &dataset, table.get()?, &bar);
    bar.finish();
    let differences: Vec<String> = differences?.iter().map(ToString::to_string).collect();
    if !differences.is_empty() {
        return Err(format!("not the same: {}", differences.join("; ")).into());
    }
    let n_documents = dataset.targets().n_documents();
    let held_out = match dataset.held_out().len() {
        0 => String::new(),
        n => format!(" and measuring on {n} held-out ones"),
    };
    let (n_bytes, checksum) = (model.bytes.len(), model.checksum);
    writeln!(
        io::stdout(),
        "The same: training again on {n_documents} documents{held_out} gave the same {n_bytes} bytes (checksum \
         {checksum:016x})."
    )?;
    Ok(())
}
