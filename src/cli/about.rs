//! `topicd about`: the version, the bundled model, and whose texts it was trained on.

use std::io::{self, Write};

use super::CommandResult;
use crate::artifact;
use crate::document::Topic;

/// What the licences of the training texts want said wherever the model goes.
const ATTRIBUTION: &str = include_str!("../../models/ATTRIBUTION.txt");

/// Tells.
///
/// # Errors
/// Standard output is closed.
pub fn run() -> CommandResult {
    let artifact = artifact::bundled()?;
    let classifier = artifact.classifier;
    let provenance = classifier.provenance();
    let topics: Vec<&str> = classifier.topics().iter().map(Topic::as_str).collect();
    let out = &mut io::stdout().lock();
    writeln!(out, "topicd {} (code: Apache-2.0 OR MIT)\n", env!("CARGO_PKG_VERSION"))?;
    writeln!(out, "Bundled model: {} terms, trained on {} documents", classifier.n_terms(), provenance.n_documents)?;
    writeln!(out, "Topics: {}", topics.join(", "))?;
    writeln!(
        out,
        "Out-of-fold accuracy {:.3}, macro-F1 {:.3}",
        provenance.evaluation.accuracy, provenance.evaluation.macro_f1
    )?;
    writeln!(out, "Checksum {:016x}\n", artifact.checksum)?;
    write!(out, "{ATTRIBUTION}")?;
    Ok(())
}
