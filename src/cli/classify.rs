//! `topicd classify`: documents from files or standard input in, their topics out, in the documents' order.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::sync::Arc;

use rayon::prelude::*;

use super::inputs::{BadRows, ModelArgs, ReadingArgs};
use super::{CommandResult, excerpt, explanation_table, headline};
use crate::abstention::{AbstainReason, AbstentionOptions, Decision};
use crate::api::{json, response};
use crate::classifier::{ClassifyOptions, DEFAULT_MAX_TERMS};
use crate::decision::Probability;
use crate::document::Document;
use crate::explanation::Explain;
use crate::formats::{self, Format, RowError, Rows, Strictness};
use crate::names::ClassifierName;
use crate::service::{AcceptedDocument, Answer, LiveVersion, VersionName, answer};

/// Documents, and bytes of them, that are classified at a time.
const CHUNK_DOCUMENTS: usize = 1024;
const CHUNK_BYTES: usize = 8 << 20;

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

    /// Assign no topic when none is at least this probable (0 to 1). Left out: what training found.
    #[arg(long, value_name = "PROBABILITY", value_parser = probability)]
    abstain_below: Option<Probability>,

    /// Assign no topic when the most probable one leads by less than this (0 to 1). Left out: what training found.
    #[arg(long, value_name = "PROBABILITY", value_parser = probability)]
    min_margin: Option<Probability>,

    /// Show which words spoke for and against the most probable topic; with --top-k or --json, each topic shown.
    #[arg(long)]
    explain: bool,

    /// With --explain: how many words and pairs of words to show for a topic, and how many against it; with --json, how many
    /// in all. Left out: 10.
    #[arg(long, value_name = "NUMBER", requires = "explain")]
    max_terms: Option<NonZeroUsize>,
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
    // The name that a server which begins with this model gives it.
    let name = VersionName { classifier: ClassifierName::default(), number: NonZeroU32::MIN };
    let version = Arc::new(LiveVersion::new(name, args.model.load()?));
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

/// Classifies one file's documents; `article_id` names the document if the file is one. What stops the reading stops it
/// after the answers to the documents before.
fn classify_file(
    args: &Args,
    version: &Arc<LiveVersion>,
    mut rows: Rows,
    article_id: &str,
    bad_rows: &mut BadRows,
) -> CommandResult {
    let options = ClassifyOptions {
        top_k: args.top_k,
        min_probability: args.min_probability,
        abstention: AbstentionOptions { abstain_below: args.abstain_below, min_margin: args.min_margin },
        explain: match (args.explain, args.json, args.top_k) {
            (false, ..) => Explain::Nothing,
            // A person wants to know why it is this topic; more are shown when they are asked for.
            (true, false, None) => Explain::TopTopic,
            (true, ..) => Explain::ReturnedTopics,
        },
        // A table shows the strongest on both sides, which needn't be among the strongest of all.
        max_terms: if args.json { args.max_terms } else { Some(NonZeroUsize::MAX) },
    };
    let is_article = rows.format() == Format::Article;
    let out = &mut io::BufWriter::new(io::stdout().lock());
    loop {
        let chunk = Chunk::read(&mut rows, args.reading.strictness(), bad_rows);
        let answers: Vec<(String, Result<Answer, _>)> = chunk
            .documents
            .into_par_iter()
            .map(|document| {
                let document = if is_article { document.with_id(article_id) } else { document };
                let headline = headline(&document);
                (headline, answer(version, AcceptedDocument { document, truncated: false }, &options, None))
            })
            .collect();
        for (headline, answer) in answers {
            let answer = answer?;
            if args.json {
                writeln!(out, "{}", json::to_json(&response::classify_response(answer))?)?;
            } else if is_article || args.explain {
                write_article(out, &headline, &answer)?;
                explanation_table::write(out, &answer, args.max_terms.map_or(DEFAULT_MAX_TERMS, NonZeroUsize::get))?;
            } else {
                write_row(out, &headline, &answer)?;
            }
        }
        match chunk.end {
            None => {}
            Some(Ok(())) => return Ok(out.flush()?),
            Some(Err(error)) => {
                out.flush()?;
                return Err(error.into());
            }
        }
    }
}

/// Some documents of a file: enough for all cores, few enough to keep in memory.
struct Chunk {
    documents: Vec<Document>,
    /// How the reading ended, if it did.
    end: Option<Result<(), RowError>>,
}

impl Chunk {
    fn read(rows: &mut Rows, strictness: Strictness, bad_rows: &mut BadRows) -> Self {
        let (mut documents, mut n_bytes) = (Vec::new(), 0);
        while documents.len() < CHUNK_DOCUMENTS && n_bytes < CHUNK_BYTES {
            match rows.next() {
                None => return Self { documents, end: Some(Ok(())) },
                Some(Ok(example)) => {
                    n_bytes += example.document.n_bytes();
                    documents.push(example.document);
                }
                Some(Err(error)) if strictness == Strictness::Strict || error.is_fatal() => {
                    return Self { documents, end: Some(Err(error)) };
                }
                Some(Err(error)) => bad_rows.report(&error),
            }
        }
        Self { documents, end: None }
    }
}

/// A headline with a bar for each topic.
fn write_article(out: &mut impl Write, headline: &str, answer: &Answer) -> io::Result<()> {
    let name = if answer.document_id.is_empty() { "standard input" } else { &answer.document_id };
    writeln!(out, "{}: {}", excerpt(name), decision(answer))?;
    writeln!(out, "  {headline}\n")?;
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
fn write_row(out: &mut impl Write, headline: &str, answer: &Answer) -> io::Result<()> {
    let width = topic_width(answer);
    let mut shown = answer.classification.topics.iter().map(|score| {
        let topic = &answer.version.classifier.topics()[score.topic];
        format!("{topic:width$} {:5.1} %", 100.0 * score.probability)
    });
    let (first, second) = (shown.next().unwrap_or_default(), shown.next().unwrap_or_default());
    let mark = if answer.classification.decision == Decision::Assigned { " " } else { "?" };
    let id = excerpt(&answer.document_id);
    writeln!(out, "{mark} {first}   {second}   {}", if id.is_empty() { headline } else { &id })
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
        Decision::Abstained(AbstainReason::SmallMargin) => "two topics are about as probable".to_owned(),
        Decision::Abstained(AbstainReason::FewKnownTokens) => "the model knows too few of its words".to_owned(),
        Decision::Abstained(AbstainReason::OtherLanguage) => "the model has learned nothing in its language".to_owned(),
        Decision::Abstained(AbstainReason::NoTokens) => "there are no words in it".to_owned(),
    }
}

fn topic_width(answer: &Answer) -> usize {
    answer.version.classifier.topics().iter().map(|topic| topic.as_str().chars().count()).max().unwrap_or(0)
}
