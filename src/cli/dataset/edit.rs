//! `topicd dataset rename`, `delete` and `compact`: changes of what is kept.

use std::io::{self, Write};
use std::sync::Arc;

use serde::Serialize;
use tonic::Status;

use super::client;
use crate::api::{dataset_response, pb};
use crate::cli::place::{Place, PlaceArgs};
use crate::cli::{CommandResult, remote, stored};
use crate::document::{ContentHash, Topic};
use crate::names::ClassifierName;
use crate::service::{DeleteExamplesCall, Models, erase};
use crate::store::RenameOutcome;

/// Terms that are shown of a version; the others are counted.
const MAX_SHOWN_TERMS: usize = 20;

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
    learned_terms: Vec<LearnedTerms>,
}

#[derive(Debug, Serialize)]
struct LearnedTerms {
    model_version: String,
    n_terms: u64,
    terms: Vec<String>,
}

impl From<pb::DeleteExamplesResponse> for Deleted {
    fn from(answer: pb::DeleteExamplesResponse) -> Self {
        let learned_terms = |pb::LearnedTerms { model_version, term_count, terms }| LearnedTerms {
            model_version,
            n_terms: term_count,
            terms,
        };
        Self {
            revision: answer.dataset_revision,
            n_deleted: answer.deleted_count,
            unknown_content_hashes: answer.unknown_content_hashes,
            model_versions: answer.model_versions,
            purged_model_versions: answer.purged_model_versions,
            learned_terms: answer.learned_terms.into_iter().map(learned_terms).collect(),
        }
    }
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
    let answer = match args.place.open().await? {
        Place::Store(store) => {
            if store.classifier(classifier).await?.is_none() {
                return Err(format!("{classifier} has no stored documents").into());
            }
            // Nobody else has the store: nothing is trained meanwhile.
            let models = Arc::new(Models::of_store(store.clone()).await?);
            let (classifier, hashes) = (classifier.clone(), hashes.clone());
            let call = DeleteExamplesCall { classifier, hashes, purge_versions: *purge_versions };
            let pool = rayon::ThreadPoolBuilder::new().build()?;
            dataset_response::deleted(erase(&store, &models, &pool, call).await?)
        }
        Place::Server(channel) => {
            let request = pb::DeleteExamplesRequest {
                classifier: classifier.to_string(),
                content_hashes: hashes.iter().map(ToString::to_string).collect(),
                purge_versions: *purge_versions,
            };
            client(channel).delete_examples(request).await.map_err(refusal)?.into_inner()
        }
    };
    let deleted = Deleted::from(answer);
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
    for LearnedTerms { model_version, n_terms, terms } in &deleted.learned_terms {
        let shown = &terms[..terms.len().min(MAX_SHOWN_TERMS)];
        let n_more = n_terms.saturating_sub(shown.len() as u64);
        let more = if n_more > 0 { format!(" and {n_more} more; --json names them") } else { String::new() };
        writeln!(out, "{model_version} has {n_terms} terms that only they had: {}{more}", shown.join(", "))?;
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
