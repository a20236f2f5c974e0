//! `topicd dataset rename`, `delete` and `compact`: changes of what is kept.

use std::io::{self, Write};
use std::num::NonZeroU32;

use serde::Serialize;
use tonic::Status;

use super::client;
use crate::api::pb;
use crate::cli::place::{Place, PlaceArgs};
use crate::cli::{CommandResult, remote, stored};
use crate::document::{ContentHash, Topic};
use crate::names::ClassifierName;
use crate::service::{VersionName, versions_that_learned, without};
use crate::store::RenameOutcome;

/// What `topicd dataset rename` is told.
#[derive(Debug, clap::Args)]
pub(super) struct RenameArgs {
    /// The topic as it is called now.
    #[arg(value_name = "TOPIC", value_parser = Topic::new)]
    topic: Topic,

    /// What it shall be called.
    #[arg(value_name = "NEW_TOPIC", value_parser = Topic::new)]
    new_topic: Topic,

    /// Whose dataset.
    #[arg(long, default_value_t, value_name = "NAME", value_parser = stored::classifier)]
    classifier: ClassifierName,

    /// Also if there are documents of NEW_TOPIC already: then the two become one.
    #[arg(long)]
    merge: bool,

    #[command(flatten)]
    place: PlaceArgs,

    /// Print one JSON object instead of a sentence.
    #[arg(long)]
    json: bool,
}

/// What `topicd dataset delete` is told.
#[derive(Debug, clap::Args)]
pub(super) struct DeleteArgs {
    /// The documents' content hashes: SHA-256 of title and text as ListExamples tells it, 64 hexadecimal digits.
    #[arg(required = true, value_name = "HASH")]
    hashes: Vec<ContentHash>,

    /// Whose dataset.
    #[arg(long, default_value_t, value_name = "NAME", value_parser = stored::classifier)]
    classifier: ClassifierName,

    /// Also delete the versions that were trained on some of them, aliases or not.
    #[arg(long)]
    purge_versions: bool,

    #[command(flatten)]
    place: PlaceArgs,

    /// Print one JSON object instead of sentences.
    #[arg(long)]
    json: bool,
}

/// What `topicd dataset compact` is told.
#[derive(Debug, clap::Args)]
pub(super) struct CompactArgs {
    #[command(flatten)]
    place: PlaceArgs,
}

#[derive(Debug, Serialize)]
struct Renamed {
    revision: u32,
    n_documents: u64,
}

#[derive(Debug, Serialize)]
struct Deleted {
    revision: u32,
    n_deleted: u64,
    unknown_content_hashes: Vec<String>,
    model_versions: Vec<String>,
    purged_model_versions: Vec<String>,
}

/// Gives a topic another name.
///
/// # Errors
/// No such place, dataset or topic; a new name that is a topic already.
pub(super) async fn rename(args: &RenameArgs) -> CommandResult {
    let RenameArgs { topic, new_topic, classifier, merge, .. } = args;
    let renamed = match args.place.open().await? {
        Place::Store(store) => match store.rename_topic(classifier, topic, new_topic, *merge).await? {
            RenameOutcome::Renamed { revision, n_documents } => Renamed { revision, n_documents },
            RenameOutcome::UnknownTopic => {
                return Err(format!("no document of {classifier} has the topic {:?}", topic.as_str()).into());
            }
            RenameOutcome::Exists => {
                let name = new_topic.as_str();
                return Err(format!("{classifier} has documents of {name:?} already; --merge makes the two one").into());
            }
        },
        Place::Server(channel) => {
            let request = pb::RenameTopicRequest {
                classifier: classifier.to_string(),
                topic: topic.to_string(),
                new_topic: new_topic.to_string(),
                merge: *merge,
            };
            let answer = client(channel).rename_topic(request).await.map_err(refusal)?.into_inner();
            Renamed { revision: answer.dataset_revision, n_documents: answer.document_count }
        }
    };
    let out = &mut io::stdout().lock();
    if args.json {
        return Ok(writeln!(out, "{}", serde_json::to_string(&renamed)?)?);
    }
    writeln!(out, "{} documents of {topic} are of {new_topic} now.", renamed.n_documents)?;
    writeln!(out, "{classifier} is at revision {}.", renamed.revision)?;
    Ok(())
}

/// Erases documents.
///
/// # Errors
/// No such place or dataset.
pub(super) async fn delete(args: &DeleteArgs) -> CommandResult {
    let DeleteArgs { hashes, classifier, purge_versions, .. } = args;
    let deleted = match args.place.open().await? {
        Place::Store(store) => {
            let Some(record) = store.classifier(classifier).await? else {
                return Err(format!("{classifier} has no stored documents").into());
            };
            let deleted = store.delete_examples(classifier, hashes).await?;
            let learned_by = versions_that_learned(&store, classifier, hashes).await?;
            let numbers: Vec<NonZeroU32> = learned_by.iter().map(|version| version.number).collect();
            let names = learned_by.iter().map(VersionName::to_string).collect();
            let (model_versions, purged_model_versions) =
                if *purge_versions { (Vec::new(), names) } else { (names, Vec::new()) };
            if *purge_versions {
                // Nobody else has the store.
                store.purge_versions(&record, &numbers, without(record.aliases, &numbers)).await?;
            }
            Deleted {
                revision: deleted.revision,
                n_deleted: deleted.n_deleted,
                unknown_content_hashes: deleted.unknown.iter().map(ToString::to_string).collect(),
                model_versions,
                purged_model_versions,
            }
        }
        Place::Server(channel) => {
            let request = pb::DeleteExamplesRequest {
                classifier: classifier.to_string(),
                content_hashes: hashes.iter().map(ToString::to_string).collect(),
                purge_versions: *purge_versions,
            };
            let answer = client(channel).delete_examples(request).await.map_err(refusal)?.into_inner();
            Deleted {
                revision: answer.dataset_revision,
                n_deleted: answer.deleted_count,
                unknown_content_hashes: answer.unknown_content_hashes,
                model_versions: answer.model_versions,
                purged_model_versions: answer.purged_model_versions,
            }
        }
    };
    let out = &mut io::stdout().lock();
    if args.json {
        return Ok(writeln!(out, "{}", serde_json::to_string(&deleted)?)?);
    }
    writeln!(out, "{} documents are erased; {classifier} is at revision {}.", deleted.n_deleted, deleted.revision)?;
    for hash in &deleted.unknown_content_hashes {
        writeln!(out, "not there: {hash}")?;
    }
    if !deleted.model_versions.is_empty() {
        writeln!(out, "trained on some of them: {}", deleted.model_versions.join(", "))?;
    }
    if !deleted.purged_model_versions.is_empty() {
        writeln!(out, "deleted, as trained on some of them: {}", deleted.purged_model_versions.join(", "))?;
    }
    Ok(())
}

/// Writes the database anew.
///
/// # Errors
/// No such place, or no space.
pub(super) async fn compact(args: &CompactArgs) -> CommandResult {
    let (before, after) = match args.place.open().await? {
        Place::Store(store) => {
            let before = store.database_bytes().await;
            store.compact().await?;
            (before, store.database_bytes().await)
        }
        Place::Server(channel) => {
            let answer = client(channel).compact_storage(pb::CompactStorageRequest {}).await.map_err(refusal)?;
            let pb::CompactStorageResponse { bytes_before, bytes_after } = answer.into_inner();
            (bytes_before, bytes_after)
        }
    };
    writeln!(io::stdout().lock(), "{before} bytes before, {after} bytes now.")?;
    Ok(())
}

fn refusal(status: Status) -> String {
    remote::refusal(&status)
}
