//! `topicd models drift`: whether what a server is asked about is still like what its version was trained on.

use std::io::{self, Write};

use super::version_name;
use super::versions::said;
use crate::api::pb::feature_drift::Level;
use crate::api::pb::model_service_client::ModelServiceClient;
use crate::api::{json, pb};
use crate::cli::CommandResult;
use crate::cli::remote::CredentialArgs;

/// What `topicd models drift` is told.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The server, as http://HOST:PORT or https://HOST:PORT: what it was asked is in its memory only.
    #[arg(long, value_name = "URL")]
    server: String,

    #[command(flatten)]
    credentials: CredentialArgs,

    /// Whose answers: CLASSIFIER (its stable version's), CLASSIFIER/NUMBER, CLASSIFIER/candidate and so on.
    #[arg(long, value_name = "NAME", default_value = "default", value_parser = version_name)]
    classifier: String,

    /// Print one JSON object instead of tables.
    #[arg(long)]
    json: bool,
}

/// Tells.
///
/// # Errors
/// No such server, classifier or version.
pub(super) async fn run(args: &Args) -> CommandResult {
    let mut client = ModelServiceClient::new(args.credentials.connect(&args.server).await?);
    let request = pb::GetMonitoringReportRequest { model: args.classifier.clone() };
    let report = said(client.get_monitoring_report(request).await)?;
    let out = &mut io::BufWriter::new(io::stdout().lock());
    if args.json {
        writeln!(out, "{}", json::to_json(&report)?)?;
    } else {
        write(out, &report)?;
    }
    Ok(out.flush()?)
}

/// Writes what was served, the three indexes, and the bins of each.
fn write(out: &mut impl Write, report: &pb::GetMonitoringReportResponse) -> io::Result<()> {
    let time = |time: &Option<prost_types::Timestamp>| time.as_ref().map(to_the_minute).unwrap_or_default();
    let (begin, end) = (time(&report.window_begin_time), time(&report.window_end_time));
    let n_served = report.document_count;
    writeln!(out, "{}: {n_served} documents served from {begin} to {end} UTC", report.model_version)?;
    if report.reference_document_count > 0 {
        let n_trained_on = report.reference_document_count;
        writeln!(out, "beside {n_trained_on} training documents, answered by models that never saw them")?;
    }
    let none = pb::FeatureDrift::default();
    let features = [
        ("topics", report.topics.as_ref().unwrap_or(&none)),
        ("confidence", report.confidence.as_ref().unwrap_or(&none)),
        ("unknown tokens", report.unknown_tokens.as_ref().unwrap_or(&none)),
    ];
    writeln!(out, "\n{:16}  PSI     level", "")?;
    for (feature, drift) in features {
        let index = drift.population_stability_index.map_or_else(|| "-".to_owned(), |index| format!("{index:.4}"));
        writeln!(out, "{feature:16}  {index:<6}  {}", level(drift))?;
    }
    let [topics, confidence, unknown_tokens] = features.map(|(_, drift)| &drift.bins[..]);
    write_bins(out, "topic", topics, |bin| bin.topic.clone())?;
    write_bins(out, "probability", confidence, |bin| format!("{:.1} to {:.1}", bin.lower_bound, bin.upper_bound))?;
    write_bins(out, "unknown tokens", unknown_tokens, |bin| format!("to {:.0} %", bin.upper_bound * 100.0))
}

/// What an index means, or why there is none.
fn level(drift: &pb::FeatureDrift) -> String {
    match drift.level() {
        Level::Stable => "stable".to_owned(),
        Level::Moderate => "moderate shift".to_owned(),
        Level::Significant => "significant shift".to_owned(),
        Level::TooFewDocuments => {
            format!("too few documents: {} are needed, served and in training", drift.min_document_count)
        }
        Level::NoReference => "no reference: the version was trained before they were kept".to_owned(),
        Level::Unspecified => String::new(),
    }
}

fn write_bins(
    out: &mut impl Write,
    feature: &str,
    bins: &[pb::DriftBin],
    name: impl Fn(&pb::DriftBin) -> String,
) -> io::Result<()> {
    let names: Vec<String> = bins.iter().map(name).collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).max(16);
    writeln!(out, "\n{feature:width$}  training   served     PSI")?;
    for (bin, name) in bins.iter().zip(names) {
        let share =
            |share: Option<f64>| share.map_or_else(|| "-".to_owned(), |share| format!("{:.1} %", share * 100.0));
        let (expected, observed) = (share(bin.expected_share), share(bin.observed_share));
        let contribution = bin.contribution.map_or_else(|| "-".to_owned(), |part| format!("{part:.4}"));
        writeln!(out, "{name:width$}  {expected:>8}  {observed:>7}  {contribution:>6}")?;
    }
    Ok(())
}

/// `2026-11-30 09:15`.
fn to_the_minute(time: &prost_types::Timestamp) -> String {
    let time = time.to_string().replace('T', " ");
    time.get(..16).unwrap_or(&time).to_owned()
}
