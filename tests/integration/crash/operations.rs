//! What is killed, and what a server is asked to do.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;

use tonic::transport::Channel;
use topicd::api::pb;
use topicd::api::pb::classifier_service_client::ClassifierServiceClient;
use topicd::api::pb::dataset_service_client::DatasetServiceClient;
use topicd::api::pb::model_service_client::ModelServiceClient;
use topicd::api::pb::training_job::State;
use topicd::document::Document;

use crate::server_process::import;
use crate::support::{examples, train_request};

pub(super) const IMPORT_DOCUMENTS: usize = 2_000;
pub(super) const TRAIN_DOCUMENTS: usize = 20;
pub(super) const DELETE_DOCUMENTS: usize = 200;

/// What the word begins with that each archived document has for itself; its number follows, in six digits.
const OWN_WORD: &str = "signature";

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Operation {
    Import,
    Train,
    Promote,
    Rollback,
    Delete,
    Compact,
    Backup,
    Migrate,
}

pub(super) const OPERATIONS: [Operation; 8] = [
    Operation::Import,
    Operation::Train,
    Operation::Promote,
    Operation::Rollback,
    Operation::Delete,
    Operation::Compact,
    Operation::Backup,
    Operation::Migrate,
];

/// What a server is asked to do next.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) operation: Operation,
    /// Which documents: those of the nth such call.
    pub(super) n_before: usize,
    /// The version that is promoted or gone back to.
    pub(super) version: String,
    /// Whether the versions that learned the documents are deleted with them.
    pub(super) purge_versions: bool,
}

/// The numbers of what the nth deletion deletes: the oldest documents of the archive that are left.
pub(super) fn deleted_numbers(deletion: usize) -> Range<usize> {
    deletion * DELETE_DOCUMENTS..(deletion + 1) * DELETE_DOCUMENTS
}

pub(super) fn imported_numbers(batch: usize) -> Range<usize> {
    batch * IMPORT_DOCUMENTS..(batch + 1) * IMPORT_DOCUMENTS
}

/// Documents of the archive.
pub(super) fn archived(numbers: Range<usize>) -> Vec<pb::LabeledDocument> {
    let mut archived = examples(numbers.clone());
    for (example, number) in archived.iter_mut().zip(numbers) {
        let text = &mut example.document.as_mut().unwrap().text;
        text.push_str(&format!(" {OWN_WORD}{number:06}"));
    }
    archived
}

/// The numbers of the archived documents whose words are in a file of a directory, in its bytes as they are.
pub(super) fn numbers_in_files(directory: &Path) -> BTreeSet<usize> {
    let mut numbers = BTreeSet::new();
    for file in std::fs::read_dir(directory).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        let after = text.match_indices(OWN_WORD).map(|(start, word)| start + word.len());
        numbers.extend(after.filter_map(|start| text.get(start..start + 6)?.parse::<usize>().ok()));
    }
    numbers
}

pub(super) fn train_batch(batch: usize) -> Vec<pb::LabeledDocument> {
    examples(batch * TRAIN_DOCUMENTS..(batch + 1) * TRAIN_DOCUMENTS)
}

/// Has a server do something; what it returns is an acknowledgement, with the version that is stable then.
pub(super) async fn ask(call: Call, channel: Channel) -> Option<String> {
    let mut models = ModelServiceClient::new(channel.clone());
    let mut datasets = DatasetServiceClient::new(channel.clone());
    let Call { operation, n_before, version, purge_versions } = call;
    match operation {
        Operation::Import => {
            import(&channel, "archive", &archived(imported_numbers(n_before))).await.ok()?;
            Some(String::new())
        }
        Operation::Train => {
            let request = train_request("desk", train_batch(n_before));
            let response = ClassifierServiceClient::new(channel).train(request).await.ok()?.into_inner();
            let job = response.training_job.unwrap();
            assert!(job.state() == State::Succeeded && job.promoted, "{job:?}");
            Some(job.model_version)
        }
        Operation::Promote => {
            let request = pb::PromoteModelVersionRequest { model_version: version, ..Default::default() };
            let response = models.promote_model_version(request).await.ok()?.into_inner();
            Some(response.classifier.unwrap().stable_version)
        }
        Operation::Rollback => {
            let classifier = "classifiers/desk".to_owned();
            let request = pb::RollbackClassifierRequest { classifier, ..Default::default() };
            let response = models.rollback_classifier(request).await.ok()?.into_inner();
            Some(response.classifier.unwrap().stable_version)
        }
        Operation::Delete => {
            let hash = |example: pb::LabeledDocument| {
                let document = example.document.unwrap();
                Document::new(document.title, document.text).unwrap().content_hash().to_string()
            };
            let request = pb::DeleteExamplesRequest {
                classifier: "classifiers/archive".to_owned(),
                content_hashes: archived(deleted_numbers(n_before)).into_iter().map(hash).collect(),
                purge_versions,
            };
            let response = datasets.delete_examples(request).await.ok()?.into_inner();
            let n_deleted = response.deleted_count as usize;
            assert!([0, DELETE_DOCUMENTS].contains(&n_deleted), "{response:?}");
            assert_eq!(response.unknown_content_hashes.len(), DELETE_DOCUMENTS - n_deleted);
            Some(String::new())
        }
        Operation::Compact => {
            datasets.compact_storage(pb::CompactStorageRequest {}).await.ok()?;
            Some(String::new())
        }
        Operation::Backup | Operation::Migrate => panic!("{operation:?} isn't a call"),
    }
}

/// Makes a version of the archive that has learned some of the documents of a deletion; its name.
pub(super) async fn train_on_part_of(channel: &Channel, deletion: usize) -> String {
    let numbers = deleted_numbers(deletion);
    let request = pb::TrainRequest {
        scope: pb::Scope::SourceOnly.into(),
        ..train_request("archive", archived(numbers.start..numbers.start + TRAIN_DOCUMENTS))
    };
    let response = ClassifierServiceClient::new(channel.clone()).train(request).await.unwrap().into_inner();
    let job = response.training_job.unwrap();
    assert_eq!(job.state(), State::Succeeded, "{job:?}");
    job.model_version
}
