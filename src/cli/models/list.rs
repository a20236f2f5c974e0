//! `topicd models list`.

use std::io::{self, Write};

use super::versions::Versions;
use crate::api::pb::model_version::Origin;
use crate::api::{json, pb};
use crate::cli::place::PlaceArgs;
use crate::cli::{CommandResult, stored};
use crate::names::ClassifierName;

/// What `topicd models list` is told.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only this classifier.
    #[arg(long, value_name = "NAME", value_parser = stored::classifier)]
    classifier: Option<ClassifierName>,

    #[command(flatten)]
    place: PlaceArgs,

    /// Print one JSON object a version instead of tables.
    #[arg(long)]
    json: bool,
}

/// Lists.
///
/// # Errors
/// No such place or classifier.
pub(super) async fn run(args: &Args) -> CommandResult {
    let mut versions = Versions::open(&args.place).await?;
    let mut classifiers = versions.classifiers().await?;
    if let Some(name) = &args.classifier {
        classifiers.retain(|classifier| classifier.name == name.to_string());
        if classifiers.is_empty() {
            return Err(format!("{name} doesn't exist; leave --classifier out to see which there are").into());
        }
    }
    let out = &mut io::stdout().lock();
    for classifier in &classifiers {
        let listed = versions.of(&classifier.name).await?;
        if args.json {
            for version in &listed {
                writeln!(out, "{}", json::to_json(version)?)?;
            }
        } else {
            print(out, classifier, &listed)?;
        }
    }
    Ok(())
}

fn print(out: &mut impl Write, classifier: &pb::Classifier, versions: &[pb::ModelVersion]) -> io::Result<()> {
    writeln!(out, "{}  {} versions", classifier.name, versions.len())?;
    for version in versions {
        let number = version.name.rsplit('/').next().unwrap_or_default();
        let evaluation = version.evaluation.clone().unwrap_or_default();
        let failed = version.checks.iter().filter(|check| !check.passed).count();
        let checks = if failed > 0 { format!("  {failed} checks failed") } else { String::new() };
        writeln!(
            out,
            "  {number:>5}  {:9}  {:9}  {:>8} documents  accuracy {:.4}  macro-F1 {:.4}{checks}",
            alias(classifier, &version.name),
            origin(version),
            version.training_document_count,
            evaluation.accuracy,
            evaluation.macro_f1,
        )?;
    }
    Ok(())
}

/// What else a version is called.
fn alias(classifier: &pb::Classifier, version: &str) -> &'static str {
    let aliases = [
        (&classifier.stable_version, "stable"),
        (&classifier.previous_version, "previous"),
        (&classifier.candidate_version, "candidate"),
    ];
    aliases.into_iter().find(|(named, _)| *named == version).map_or("", |(_, alias)| alias)
}

/// Where a version comes from.
pub(super) fn origin(version: &pb::ModelVersion) -> &'static str {
    match version.origin() {
        Origin::BuiltIn => "built in",
        Origin::Trained => "trained",
        Origin::Imported => "imported",
        Origin::Unspecified => "",
    }
}
