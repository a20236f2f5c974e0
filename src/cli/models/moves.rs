//! `topicd models promote`, `rollback` and `delete`.

use std::io::{self, Write};

use super::version_name;
use super::versions::Versions;
use crate::api::{json, pb};
use crate::cli::place::PlaceArgs;
use crate::cli::{CommandResult, stored};
use crate::names::ClassifierName;

/// What `topicd models promote` is told.
#[derive(Debug, clap::Args)]
pub(super) struct PromoteArgs {
    /// The version: CLASSIFIER/NUMBER, CLASSIFIER/candidate and so on.
    #[arg(value_name = "VERSION", value_parser = version_name)]
    version: String,

    /// Also if it was held back when it was trained.
    #[arg(long)]
    force: bool,

    #[command(flatten)]
    place: PlaceArgs,

    /// Print one JSON object instead of a sentence.
    #[arg(long)]
    json: bool,
}

/// What `topicd models rollback` is told.
#[derive(Debug, clap::Args)]
pub(super) struct RollbackArgs {
    /// The classifier.
    #[arg(value_name = "CLASSIFIER", value_parser = stored::classifier)]
    classifier: ClassifierName,

    #[command(flatten)]
    place: PlaceArgs,

    /// Print one JSON object instead of a sentence.
    #[arg(long)]
    json: bool,
}

/// What `topicd models delete` is told.
#[derive(Debug, clap::Args)]
pub(super) struct DeleteArgs {
    /// The version: CLASSIFIER/NUMBER.
    #[arg(value_name = "VERSION", value_parser = version_name)]
    version: String,

    #[command(flatten)]
    place: PlaceArgs,

    /// Print one JSON object instead of a sentence.
    #[arg(long)]
    json: bool,
}

/// Promotes.
///
/// # Errors
/// No such place or version, or it was held back.
pub(super) async fn promote(args: &PromoteArgs) -> CommandResult {
    let classifier = Versions::open(&args.place).await?.promote(&args.version, args.force).await?;
    tell(&classifier, args.json)
}

/// Rolls back.
///
/// # Errors
/// No such place or classifier, or nothing to go back to.
pub(super) async fn rollback(args: &RollbackArgs) -> CommandResult {
    let classifier = Versions::open(&args.place).await?.roll_back(args.classifier.to_string()).await?;
    tell(&classifier, args.json)
}

/// Deletes.
///
/// # Errors
/// No such place or version, or it has an alias.
pub(super) async fn delete(args: &DeleteArgs) -> CommandResult {
    let deleted = Versions::open(&args.place).await?.delete(&args.version).await?;
    let out = &mut io::stdout().lock();
    if args.json {
        return Ok(writeln!(out, "{}", json::to_json(&deleted)?)?);
    }
    Ok(writeln!(out, "{} is deleted.", deleted.model_version)?)
}

fn tell(classifier: &pb::Classifier, as_json: bool) -> CommandResult {
    let out = &mut io::stdout().lock();
    if as_json {
        return Ok(writeln!(out, "{}", json::to_json(classifier)?)?);
    }
    let previous = match classifier.previous_version.as_str() {
        "" => String::new(),
        previous => format!("; {previous} is the previous one"),
    };
    Ok(writeln!(out, "{} is the stable version{previous}.", classifier.stable_version)?)
}
