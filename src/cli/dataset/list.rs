//! `topicd dataset list`: which datasets there are.

use std::io::{self, Write};

use tonic::Status;

use super::client;
use crate::api::pb;
use crate::api::pb::model_service_client::ModelServiceClient;
use crate::cli::place::{Place, PlaceArgs};
use crate::cli::remote::Remote;
use crate::cli::{CommandResult, remote};
use crate::names::ClassifierNameError;
use crate::store::{DatasetSummary, RevisionSummary, TopicCount};

/// What `topicd dataset list` is told.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    place: PlaceArgs,

    /// Print one JSON object a dataset, with its revisions, instead of a table.
    #[arg(long)]
    json: bool,
}

/// Lists.
///
/// # Errors
/// No such place, or it fails.
pub(super) async fn run(args: &Args) -> CommandResult {
    let datasets = match args.place.open().await? {
        Place::Store(store) => store.datasets().await?,
        Place::Server(channel) => of_server(channel).await?,
    };
    let out = &mut io::stdout().lock();
    for dataset in &datasets {
        if args.json {
            writeln!(out, "{}", serde_json::to_string(dataset)?)?;
        } else {
            print(out, dataset)?;
        }
    }
    Ok(())
}

async fn of_server(channel: Remote) -> Result<Vec<DatasetSummary>, String> {
    let refusal = |status: Status| remote::refusal(&status);
    let mut models = ModelServiceClient::new(channel.clone());
    let classifiers = models.list_classifiers(pb::ListClassifiersRequest {}).await.map_err(refusal)?.into_inner();
    let mut datasets = Vec::new();
    for classifier in classifiers.classifiers.into_iter().filter(|classifier| classifier.dataset_revision > 0) {
        let request = pb::GetDatasetRequest { classifier: classifier.name, ..Default::default() };
        let answer = client(channel.clone()).get_dataset(request).await.map_err(refusal)?.into_inner();
        let dataset = answer.dataset.unwrap_or_default();
        datasets
            .push(summary(dataset).map_err(|error| format!("the server names a classifier that is none: {error}"))?);
    }
    Ok(datasets)
}

fn summary(dataset: pb::Dataset) -> Result<DatasetSummary, ClassifierNameError> {
    let revision = |revision: pb::DatasetRevision| RevisionSummary {
        revision: revision.revision,
        created_at_ms: revision
            .create_time
            .map_or(0, |time| time.seconds.unsigned_abs() * 1000 + u64::from(time.nanos.unsigned_abs()) / 1_000_000),
        n_added: revision.added_count,
        n_relabelled: revision.relabeled_count,
        n_unchanged: revision.unchanged_count,
        n_deleted: revision.deleted_count,
    };
    let count = |count: pb::TopicCount| TopicCount { topic: count.topic, n_documents: count.document_count };
    Ok(DatasetSummary {
        classifier: crate::cli::stored::classifier(&dataset.classifier)?,
        revision: dataset.revision,
        n_documents: dataset.document_count,
        topics: dataset.topics.into_iter().map(count).collect(),
        revisions: dataset.revisions.into_iter().map(revision).collect(),
    })
}

/// A line for the dataset and one for each topic.
fn print(out: &mut impl Write, dataset: &DatasetSummary) -> io::Result<()> {
    let DatasetSummary { classifier, revision, n_documents, topics, .. } = dataset;
    writeln!(out, "{classifier}  revision {revision}  {n_documents} documents")?;
    let width = topics.iter().map(|count| count.topic.chars().count()).max().unwrap_or(0);
    for count in topics {
        writeln!(out, "  {:width$}  {:>9}", count.topic, count.n_documents)?;
    }
    Ok(())
}
