//! `topicd classify`: documents from files or standard input in, their topics out, in the documents' order.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use rayon::prelude::*;

use super::CommandResult;
use super::inputs::{BadRows, ModelArgs, ReadingArgs};
use crate::api::{json, response};
use crate::classifier::ClassifyOptions;
use crate::decision::{AbstainReason, Decision, Probability};
use crate::document::Document;
use crate::formats::{self, Format, Rows};
use crate::service::{AcceptedDocument, Answer, LiveClassifiers, LiveVersion, ModelName, answer};

/// Documents that are classified at a time, on all cores.
const CHUNK: usize = 1024;

/// What `topicd classify` is told.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Files of documents: an article file is one document, a .jsonl, .csv or .tsv file one a row. "-" is standard
    /// input, an article unless --format says otherwise.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    #[command(flatten)]
    model: ModelArgs,

    #[command(flatten)]
    reading: ReadingArgs,

    /// Print one ClassifyResponse in protobuf's JSON a line.
    #[arg(long)]
    json: bool,

    /// Show at most this many topics of a document.
    #[arg(long, value_name = "NUMBER")]
    top_k: Option<NonZeroUsize>,

    /// Show only topics at least this probable (0 to 1), and the most probable one.
    #[arg(long, value_name = "PROBABILITY", default_value = "0", value_parser = probability)]
    min_probability: Probability,

    /// Assign no topic when none is at least this probable (0 to 1).
    #[arg(long, value_name = "PROBABILITY", default_value = "0", value_parser = probability)]
    abstain_below: Probability,
}

fn probability(text: &str) -> Result<Probability, String> {
    let value = text.parse().ok().and_then(Probability::new);
    value.ok_or_else(|| "it must be a number from 0 to 1".to_owned())
}

/// Classifies.
///
/// # Errors
/// Files that can't be read, and with `--strict` bad rows.
pub fn run(args: &Args) -> CommandResult {
    let version = LiveClassifiers::new(args.model.load()?).resolve(&ModelName::default())?;
    let mut bad_rows = BadRows::default();
    for path in &args.files {
        let is_stdin = path.as_os_str() == OsStr::new("-");
        let rows = if is_stdin {
            formats::read(io::stdin(), "standard input", args.reading.format.unwrap_or(Format::Article))?
        } else {
            formats::open(path, args.reading.format)?
        };
        let id = if is_stdin { String::new() } else { path.display().to_string() };
        classify_file(args, &version, rows, &id, &mut bad_rows)?;
    }
    bad_rows.summarize();
    Ok(())
}

/// Classifies one file's documents; `article_id` names the document if the file is one.
fn classify_file(
    args: &Args,
    version: &Arc<LiveVersion>,
    mut rows: Rows,
    article_id: &str,
    bad_rows: &mut BadRows,
) -> CommandResult {
    let options =
        ClassifyOptions { top_k: args.top_k, min_probability: args.min_probability, abstain_below: args.abstain_below };
    let is_article = rows.format() == Format::Article;
    let out = &mut io::BufWriter::new(io::stdout().lock());
    loop {
        let mut documents = Vec::new();
        for row in rows.by_ref().take(CHUNK) {
            match row {
                Ok(example) if is_article => documents.push(example.document.with_id(article_id)),
                Ok(example) => documents.push(example.document),
                Err(error) if args.reading.strict || error.is_fatal() => return Err(error.into()),
                Err(error) => bad_rows.report(&error),
            }
        }
        if documents.is_empty() {
            return Ok(out.flush()?);
        }
        let answers: Vec<Result<Answer, _>> = documents
            .par_iter()
            .map(|document| {
                let accepted = AcceptedDocument { document: document.clone(), truncated: false };
                answer(version, accepted, &options)
            })
            .collect();
        for (document, answer) in documents.iter().zip(answers) {
            let answer = answer?;
            if args.json {
                writeln!(out, "{}", json::to_json(&response::classify_response(answer))?)?;
            } else if is_article {
                write_article(out, document, &answer)?;
            } else {
                write_row(out, document, &answer)?;
            }
        }
    }
}

/// A headline with a bar for each topic.
fn write_article(out: &mut impl Write, document: &Document, answer: &Answer) -> io::Result<()> {
    let name = if document.id.is_empty() { "standard input" } else { &document.id };
    writeln!(out, "{name}: {}", decision(answer))?;
    writeln!(
        out,
        "  {}\n",
        excerpt(if document.title().is_empty() { document.text() } else { document.title() }, 100)
    )?;
    let width = topic_width(answer);
    for score in &answer.classification.topics {
        let topic = &answer.version.classifier.topics()[score.topic];
        let bar = "█".repeat((score.probability * 40.0).round() as usize);
        let line = format!("  {topic:width$}  {:6.1} %  {bar}", 100.0 * score.probability);
        writeln!(out, "{}", line.trim_end())?;
    }
    writeln!(out)
}

/// One line: the decision, the most probable topics, and which document it is.
fn write_row(out: &mut impl Write, document: &Document, answer: &Answer) -> io::Result<()> {
    let width = topic_width(answer);
    let mut shown = answer.classification.topics.iter().map(|score| {
        let topic = &answer.version.classifier.topics()[score.topic];
        format!("{topic:width$} {:5.1} %", 100.0 * score.probability)
    });
    let (first, second) = (shown.next().unwrap_or_default(), shown.next().unwrap_or_default());
    let mark = if answer.classification.decision == Decision::Assigned { " " } else { "?" };
    let name = if document.id.is_empty() { excerpt(document.title(), 40) } else { excerpt(&document.id, 40) };
    writeln!(out, "{mark} {first}   {second}   {name}")
}

/// The decision in a few words.
fn decision(answer: &Answer) -> String {
    match answer.classification.decision {
        Decision::Assigned => {
            let assigned = answer.classification.topics.iter().filter(|score| score.assigned);
            let topics: Vec<&str> =
                assigned.map(|score| answer.version.classifier.topics()[score.topic].as_str()).collect();
            if topics.is_empty() { "no topic fits".to_owned() } else { topics.join(", ") }
        }
        Decision::Abstained(AbstainReason::LowProbability) => "no topic is probable enough".to_owned(),
        Decision::Abstained(AbstainReason::FewKnownTokens) => "the model knows none of its words".to_owned(),
        Decision::Abstained(AbstainReason::NoTokens) => "there are no words in it".to_owned(),
    }
}

fn topic_width(answer: &Answer) -> usize {
    answer.version.classifier.topics().iter().map(|topic| topic.as_str().chars().count()).max().unwrap_or(0)
}

/// The first line of a text, and of that at most `max_characters`.
fn excerpt(text: &str, max_characters: usize) -> String {
    let line = text.lines().next().unwrap_or_default();
    match line.char_indices().nth(max_characters) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}
