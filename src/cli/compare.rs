//! `topicd compare`: which of two models is better on labelled documents, and where they differ.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::comparison_table::{self, Compared};
use super::evaluate::say_unknown_topics;
use super::inputs::ReadingArgs;
use super::{CommandResult, excerpt, headline, say};
use crate::artifact;
use crate::cancellation::never;
use crate::classifier::Classifier;
use crate::dataset::LabelKind;
use crate::dataset::issues::DocumentName;
use crate::evaluation::{Comparison, TestSet};

/// What `topicd compare` is told.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The first model file.
    #[arg(value_name = "A")]
    first: PathBuf,

    /// The second model file.
    #[arg(value_name = "B")]
    second: PathBuf,

    /// Files of labelled documents that neither model was trained on.
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    data: Vec<PathBuf>,

    #[command(flatten)]
    reading: ReadingArgs,

    /// How many of the documents that get different topics are shown.
    #[arg(long, value_name = "NUMBER", default_value_t = 10)]
    show: usize,

    /// Print one JSON object instead of tables.
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Report<'a> {
    first_model: &'a Path,
    second_model: &'a Path,
    #[serde(flatten)]
    comparison: &'a Comparison,
    n_differing: usize,
    /// The first of them.
    differing_documents: Vec<DifferingDocument>,
}

/// A document that the models assign different topics.
#[derive(Debug, Serialize)]
pub(super) struct DifferingDocument {
    #[serde(flatten)]
    pub(super) name: DocumentName,
    #[serde(skip)]
    pub(super) headline: String,
    pub(super) labels: Vec<String>,
    pub(super) first: Vec<String>,
    pub(super) second: Vec<String>,
}

/// Compares.
///
/// # Errors
/// Files that can't be read, and files without labelled documents.
pub fn run(args: &Args) -> CommandResult {
    let [first, second] = [artifact::load(&args.first)?.classifier, artifact::load(&args.second)?.classifier];
    let examples = args.reading.read_all(&args.data)?.examples;
    if examples.iter().all(|example| example.topics().is_empty()) {
        return Err("there is no document with a topic; give labelled documents".into());
    }
    for (path, model) in [(&args.first, &first), (&args.second, &second)] {
        say_unknown_topics(&path.display().to_string(), model, &examples);
    }
    let is_single = [&first, &second].iter().all(|model| model.label_kind() == LabelKind::SingleLabel);
    let set = TestSet::new(&examples, first.topics().iter().chain(second.topics()), is_single);
    let n_left_out = examples.len() - set.examples.len();
    if n_left_out > 0 {
        say(format_args!("topicd: left out {n_left_out} documents without a topic"));
    }
    let documents = set.documents();
    let assigned = |model: &Classifier| model.assigned_unless(&documents, &never).among(model.topics(), &set.topics);
    let (by_first, by_second) = (assigned(&first), assigned(&second));
    let comparison = Comparison::of(&by_first, &by_second, &set.labels, &set.topics);
    let differing_document = |&place: &usize| DifferingDocument {
        name: DocumentName::of(documents[place]),
        headline: headline(documents[place]),
        labels: set.names(set.labels.of(place)),
        first: set.names(by_first.of(place)),
        second: set.names(by_second.of(place)),
    };
    let report = Report {
        first_model: &args.first,
        second_model: &args.second,
        n_differing: comparison.differing.len(),
        differing_documents: comparison.differing.iter().take(args.show).map(differing_document).collect(),
        comparison: &comparison,
    };
    let out = &mut io::BufWriter::new(io::stdout().lock());
    if args.json {
        writeln!(out, "{}", serde_json::to_string(&report)?)?;
    } else {
        let Report { n_differing, differing_documents, .. } = &report;
        let names = names(&args.first, &args.second);
        let (n_differing, n_new) = (*n_differing, None);
        comparison_table::write(
            out,
            &Compared { names, comparison: &comparison, n_new, n_differing, differing_documents },
        )?;
    }
    Ok(out.flush()?)
}

/// How the models are called: by their file names where these differ.
fn names(first: &Path, second: &Path) -> [String; 2] {
    let name = |path: &Path| path.file_name().map(|name| excerpt(&name.to_string_lossy())).unwrap_or_default();
    let names = [name(first), name(second)];
    if names[0] == names[1] { ["A", "B"].map(str::to_owned) } else { names }
}
