//! `topicd models compare`: which of two versions is better on the classifier's stored documents.

use std::error::Error;
use std::io::{self, Write};

use super::version_name;
use super::versions::Versions;
use crate::api::{json, pb};
use crate::cli::compare::DifferingDocument;
use crate::cli::comparison_table::{self, Compared};
use crate::cli::place::PlaceArgs;
use crate::cli::{CommandResult, excerpt};
use crate::dataset::issues::DocumentName;
use crate::evaluation::{ComparedMetrics, Comparison, TopicComparison};
use crate::service::ModelName;

/// What `topicd models compare` is told.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The first version: CLASSIFIER (its stable version), CLASSIFIER/NUMBER, CLASSIFIER/candidate and so on.
    #[arg(value_name = "A", value_parser = version_name)]
    first: String,

    /// The second version, of the same classifier.
    #[arg(value_name = "B", value_parser = version_name)]
    second: String,

    /// How many of the documents that get different topics are shown; at most 20.
    #[arg(long, value_name = "NUMBER", default_value_t = 10)]
    show: usize,

    #[command(flatten)]
    place: PlaceArgs,

    /// Print one JSON object instead of tables.
    #[arg(long)]
    json: bool,
}

/// Compares.
///
/// # Errors
/// No such place or version, versions of two classifiers, and a classifier without stored documents.
pub(super) async fn run(args: &Args) -> CommandResult {
    let [first, second] = [args.first.parse::<ModelName>()?, args.second.parse::<ModelName>()?];
    if first.classifier != second.classifier {
        return Err(format!(
            "{second} is no version of {}, whose stored documents are others; export both, and give their files to \
             `topicd compare` with documents",
            first.classifier
        )
        .into());
    }
    let compared = Versions::open(&args.place).await?.compare(&args.first, &args.second).await?;
    let out = &mut io::BufWriter::new(io::stdout().lock());
    if args.json {
        writeln!(out, "{}", json::to_json(&compared)?)?;
    } else {
        write(out, &first, compared, args.show)?;
    }
    Ok(out.flush()?)
}

fn write(
    out: &mut impl Write,
    named: &ModelName,
    compared: pb::CompareModelVersionsResponse,
    n_shown: usize,
) -> Result<(), Box<dyn Error>> {
    let pb::CompareModelVersionsResponse { model_version_a, model_version_b, dataset_revision, comparison } = compared;
    let compared =
        comparison.ok_or("the server says nothing of how they compare; it may be another one than topicd")?;
    let [a, b] = [&compared.metrics_a, &compared.metrics_b].map(|metrics| metrics.unwrap_or_default());
    let documents: Vec<DifferingDocument> =
        compared.differing_documents.iter().take(n_shown).cloned().map(differing_document).collect();
    let n_differing = compared.differing_document_count as usize;
    writeln!(out, "{}, revision {dataset_revision} of its documents\n", named.classifier)?;
    comparison_table::write(
        out,
        &Compared {
            names: [model_version_a, model_version_b].map(|name| short(&name)),
            comparison: &comparison_of(compared),
            n_new: Some([a.new_document_count, b.new_document_count]),
            n_differing,
            differing_documents: &documents,
        },
    )?;
    Ok(())
}

/// `desk/3` for `classifiers/desk/versions/3`.
fn short(version: &str) -> String {
    version.strip_prefix("classifiers/").unwrap_or(version).replacen("/versions/", "/", 1)
}

fn comparison_of(compared: pb::Comparison) -> Comparison {
    let metrics = |metrics: Option<pb::ComparedMetrics>| {
        let pb::ComparedMetrics { accuracy, micro_f1, macro_f1, .. } = metrics.unwrap_or_default();
        ComparedMetrics { accuracy, micro_f1, macro_f1 }
    };
    let topic = |topic: pb::TopicComparison| TopicComparison {
        topic: topic.topic,
        n_documents: topic.document_count as usize,
        first_f1: topic.f1_a,
        second_f1: topic.f1_b,
        n_gained: topic.gained_count as usize,
        n_lost: topic.lost_count as usize,
    };
    Comparison {
        n_documents: compared.document_count as usize,
        first: metrics(compared.metrics_a),
        second: metrics(compared.metrics_b),
        n_only_first_right: compared.only_a_right_count as usize,
        n_only_second_right: compared.only_b_right_count as usize,
        p_value: compared.p_value,
        topics: compared.topics.into_iter().map(topic).collect(),
        // Where they are is told by their names.
        differing: Vec::new(),
    }
}

fn differing_document(differing: pb::DifferingDocument) -> DifferingDocument {
    let pb::DifferingDocument { document_id, content_hash, labels, topics_a, topics_b } = differing;
    let name = DocumentName { document_id, content_hash };
    // The answer has no titles.
    let headline = if name.document_id.is_empty() { excerpt(name.shown()) } else { String::new() };
    DifferingDocument { name, headline, labels, first: topics_a, second: topics_b }
}
