//! `topicd topic`: what a model knows about one of its topics.

use std::io::{self, Write};
use std::num::NonZeroUsize;

use super::inputs::ModelArgs;
use super::{CommandResult, topic_table};
use crate::document::Topic;
use crate::similar_names::similar_names;
use crate::topic_description::DEFAULT_TOPIC_TERMS;

/// Topics that are named when the one asked for isn't there.
const MAX_NAMED_TOPICS: usize = 20;

/// What `topicd topic` is told.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The topic's name.
    #[arg(value_name = "NAME")]
    topic: String,

    #[command(flatten)]
    model: ModelArgs,

    /// How many words and pairs of words to show for the topic, and how many against it. Left out: 20.
    #[arg(long, value_name = "NUMBER")]
    max_terms: Option<NonZeroUsize>,

    /// Print one JSON object instead of tables.
    #[arg(long)]
    json: bool,
}

/// Describes a topic.
///
/// # Errors
/// A model that can't be read, and a topic that it doesn't have.
pub fn run(args: &Args) -> CommandResult {
    let classifier = args.model.load()?.classifier;
    let wanted = Topic::new(&args.topic)?;
    let Ok(topic) = classifier.topics().binary_search(&wanted) else {
        return Err(unknown_topic(classifier.topics(), wanted.as_str()).into());
    };
    let description = classifier.describe(topic, args.max_terms.map_or(DEFAULT_TOPIC_TERMS, NonZeroUsize::get));
    let out = &mut io::BufWriter::new(io::stdout().lock());
    if args.json {
        writeln!(out, "{}", serde_json::to_string(&description)?)?;
    } else {
        topic_table::write(out, &description)?;
    }
    Ok(out.flush()?)
}

/// Says that there is no such topic, and which there are.
fn unknown_topic(topics: &[Topic], wanted: &str) -> String {
    let similar = similar_names(topics.iter().map(Topic::as_str), wanted);
    let (which, named) = if similar.is_empty() {
        ("it has", topics.iter().map(Topic::as_str).collect())
    } else {
        ("did you mean", similar)
    };
    let names: Vec<&str> = named.iter().take(MAX_NAMED_TOPICS).copied().collect();
    let n_more = named.len() - names.len();
    let more = if n_more > 0 { format!(" and {n_more} more") } else { String::new() };
    format!("the model has no topic {wanted:?}; {which} {}{more}", names.join(", "))
}
