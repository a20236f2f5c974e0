//! `topicd evaluate`: how good a model is on labelled documents.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::PathBuf;

use super::inputs::{ModelArgs, ReadingArgs};
use super::{CommandResult, evaluation_table, say};
use crate::classifier::Classifier;
use crate::document::{LabeledDocument, Topic};

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

/// Tells which labels a model doesn't have.
pub(super) fn say_unknown_topics(model: &str, classifier: &Classifier, examples: &[LabeledDocument]) {
    let topics: BTreeSet<&Topic> = examples.iter().flat_map(|example| example.topics()).collect();
    for topic in topics.into_iter().filter(|topic| classifier.topics().binary_search(topic).is_err()) {
        say(format_args!("topicd: {model} has no topic {:?}: its documents count as wrong", topic.as_str()));
    }
}

/// Evaluates.
///
/// # Errors
/// Files that can't be read, and files without labelled documents.
pub fn run(args: &Args) -> CommandResult {
    let classifier = args.model.load()?.classifier;
    let examples = args.reading.read_all(&args.data)?.examples;
    if examples.iter().all(|example| example.topics().is_empty()) {
        return Err("there is no document with a topic; give labelled documents".into());
    }
    say_unknown_topics("the model", &classifier, &examples);
    let evaluation = classifier.evaluate(&examples);
    let n_left_out = examples.len() - evaluation.n_documents;
    if n_left_out > 0 {
        say(format_args!("topicd: left out {n_left_out} documents without a topic"));
    }
    let out = &mut io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string(&evaluation)?)?;
    } else {
        evaluation_table::write(out, &evaluation, classifier.label_kind())?;
    }
    Ok(())
}
