//! `topicd models show`.

use std::io::{self, Write};

use super::list::origin;
use super::version_name;
use super::versions::Versions;
use crate::api::json;
use crate::cli::place::PlaceArgs;
use crate::cli::train_remote::evaluation;
use crate::cli::{CommandResult, evaluation_table};
use crate::dataset::LabelKind;

/// What `topicd models show` is told.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The version: CLASSIFIER (its stable version), CLASSIFIER/NUMBER, CLASSIFIER/candidate and so on.
    #[arg(value_name = "VERSION", value_parser = version_name)]
    version: String,

    #[command(flatten)]
    place: PlaceArgs,

    /// Print one JSON object instead of tables.
    #[arg(long)]
    json: bool,
}

/// Shows.
///
/// # Errors
/// No such place or version.
pub(super) async fn run(args: &Args) -> CommandResult {
    let version = Versions::open(&args.place).await?.version(&args.version).await?;
    let out = &mut io::stdout().lock();
    if args.json {
        return Ok(writeln!(out, "{}", json::to_json(&version)?)?);
    }
    writeln!(out, "{}  {}, by topicd {}", version.name, origin(&version), version.trained_by)?;
    for (what, value) in [
        ("parent", version.parent_version.clone()),
        ("job", version.training_job.clone()),
        (
            "dataset revision",
            if version.dataset_revision > 0 { version.dataset_revision.to_string() } else { String::new() },
        ),
        ("documents", version.training_document_count.to_string()),
        ("held out", version.held_out_document_count.to_string()),
        ("terms", version.term_count.to_string()),
        ("C", version.c.to_string()),
        ("file", format!("{} bytes, SHA-256 {}", version.artifact_bytes, version.artifact_sha256)),
    ] {
        if !value.is_empty() {
            writeln!(out, "{what:17} {value}")?;
        }
    }
    for check in &version.checks {
        writeln!(out, "{}  {}: {}", if check.passed { "passed" } else { "FAILED" }, check.name, check.description)?;
    }
    let evaluation = evaluation(version.evaluation.clone().unwrap_or_default());
    writeln!(out, "\n{}\n", evaluation_table::heading(evaluation.source))?;
    let label_kind = if version.multi_label { LabelKind::MultiLabel } else { LabelKind::SingleLabel };
    evaluation_table::write(out, &evaluation, label_kind)?;
    Ok(())
}
