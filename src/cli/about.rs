//! `topicd about`: the version, a model, and whose texts and words are in it.

use std::io::{self, Write};
use std::path::PathBuf;

use super::CommandResult;
use crate::artifact;
use crate::classifier::Classifier;
use crate::document::Topic;
use crate::evaluation::EvaluationSource;
use crate::known_words::KnownLanguage;

/// What the licences of the training texts want said wherever the model goes.
const ATTRIBUTION: &str = include_str!("../../models/ATTRIBUTION.txt");

/// What `topicd about` is told.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A model file that `topicd train` wrote. Left out: the bundled news model.
    model: Option<PathBuf>,
}

/// Tells.
///
/// # Errors
/// The model can't be read, or standard output is closed.
pub fn run(args: &Args) -> CommandResult {
    let artifact = args.model.as_deref().map_or_else(artifact::bundled, artifact::load)?;
    let classifier = &artifact.classifier;
    let provenance = classifier.provenance();
    let topics: Vec<&str> = classifier.topics().iter().map(Topic::as_str).collect();
    let out = &mut io::stdout().lock();
    writeln!(out, "topicd {} (code: Apache-2.0 OR MIT)\n", env!("CARGO_PKG_VERSION"))?;
    let name = args.model.as_ref().map_or("Bundled model".to_owned(), |path| path.display().to_string());
    writeln!(out, "{name}: {} terms, trained on {} documents", classifier.n_terms(), provenance.n_documents)?;
    writeln!(out, "Topics: {}", topics.join(", "))?;
    let source = match provenance.evaluation.source {
        EvaluationSource::OutOfFold => "Out-of-fold",
        EvaluationSource::HeldOut => "Held-out",
    };
    let (accuracy, macro_f1) = (provenance.evaluation.accuracy, provenance.evaluation.macro_f1);
    writeln!(out, "{source} accuracy {accuracy:.3}, macro-F1 {macro_f1:.3}")?;
    writeln!(out, "Checksum {:016x}, {} bytes\n", artifact.checksum, artifact.bytes.len())?;
    write_words(out, classifier)?;
    if args.model.is_none() {
        write!(out, "{ATTRIBUTION}")?;
    }
    Ok(())
}

/// What the model keeps of a table of words.
fn write_words(out: &mut impl Write, classifier: &Classifier) -> CommandResult {
    let Some(known) = classifier.known_words() else {
        return Ok(writeln!(out, "It knows the words of its training documents, and none of a table.\n")?);
    };
    let (card, n_words) = (known.card(), classifier.n_inferred_words());
    let n_words_of = |language: &KnownLanguage| format!("{} {}", language.code, language.n_words);
    let languages: Vec<String> =
        card.languages.iter().filter(|language| language.n_words > 0).map(n_words_of).collect();
    writeln!(out, "It knows {n_words} words that no training document had by what they mean.")?;
    writeln!(out, "Table of words: {} {}, checksum {}", card.table, card.table_version, card.table_checksum)?;
    writeln!(out, "Its words by language: {}", languages.join(", "))?;
    writeln!(out, "Licence of these words and their weights: {}", card.licence)?;
    Ok(writeln!(out, "{}\n", card.attribution)?)
}
