//! The client's own log, and what a server that has started again is held against.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::path::Path;

use futures_util::TryStreamExt;
use tonic::Code;
use tonic::transport::Channel;
use topicd::api::pb;
use topicd::api::pb::classifier_service_client::ClassifierServiceClient;
use topicd::api::pb::dataset_service_client::DatasetServiceClient;
use topicd::api::pb::model_service_client::ModelServiceClient;
use topicd::api::pb::training_job::State;

use super::operations::{
    Call, DELETE_DOCUMENTS, IMPORT_DOCUMENTS, OPERATIONS, Operation, TRAIN_DOCUMENTS, archived, deleted_numbers,
    imported_numbers, numbers_in_files, train_batch,
};
use crate::server_process::n_stored;
use crate::support::{document, examples, model_of, request};

/// Kills that hit an operation before it was acknowledged.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Kills {
    pub(super) n: usize,
    /// Of these, how often it was done all the same.
    n_done: usize,
}

/// What was acknowledged, and what was seen to be done.
#[derive(Default)]
pub(super) struct Log {
    pub(super) n_imported: usize,
    pub(super) n_deleted: usize,
    /// How many imports the archive had had at each of its revisions.
    revisions: Vec<usize>,
    /// How many deletions there were before the last acknowledged compaction.
    n_erased: usize,
    /// The version that has learned documents of the next deletion.
    pub(super) learned: Option<String>,
    pub(super) n_trained: usize,
    stable: Option<String>,
    pub(super) previous: Option<String>,
    /// The SHA-256 of the model file of each version that was ever told.
    versions: BTreeMap<String, String>,
    /// What each version answered when it was first asked.
    answers: HashMap<String, pb::ClassifyResponse>,
    pub(super) kills: BTreeMap<Operation, Kills>,
}

impl Log {
    pub(super) fn n_before(&self, operation: Operation) -> usize {
        match operation {
            Operation::Import => self.n_imported,
            Operation::Delete => self.n_deleted,
            _ => self.n_trained,
        }
    }

    pub(super) fn acknowledge(&mut self, operation: Operation, stable: String) {
        match operation {
            Operation::Import => self.imported(),
            Operation::Train => {
                self.n_trained += 1;
                self.move_stable(stable);
            }
            Operation::Promote | Operation::Rollback => self.move_stable(stable),
            Operation::Delete => self.deleted(),
            Operation::Compact => self.n_erased = self.n_deleted,
            Operation::Backup | Operation::Migrate => {}
        }
    }

    fn imported(&mut self) {
        self.n_imported += 1;
        self.revisions.push(self.n_imported);
    }

    fn deleted(&mut self) {
        self.n_deleted += 1;
        self.revisions.push(self.n_imported);
    }

    fn move_stable(&mut self, stable: String) {
        if Some(&stable) != self.stable.as_ref() {
            self.previous = self.stable.replace(stable);
        }
    }

    pub(super) fn hit(&mut self, operation: Operation, is_done: bool) {
        let kills = self.kills.entry(operation).or_default();
        kills.n += 1;
        kills.n_done += usize::from(is_done);
    }

    /// The one that was hit least often, so that all are.
    pub(super) fn next_operation(&self) -> Operation {
        let n_kills = |operation: &&Operation| self.kills.get(operation).map_or(0, |kills| kills.n);
        *OPERATIONS.iter().min_by_key(n_kills).unwrap()
    }

    /// The version that is promoted next: another one than the stable one.
    pub(super) fn other_version(&self) -> String {
        self.versions.keys().rev().find(|name| Some(*name) != self.stable.as_ref()).unwrap().clone()
    }

    /// Holds the server, which has just started again, against the log. `under_way` was cut off; whether it was done all the
    /// same, as far as a server can tell.
    pub(super) async fn check(&mut self, channel: &Channel, under_way: Option<&Call>) -> bool {
        let n_before = (self.n_imported, self.n_deleted, self.n_trained);
        self.check_archive(channel, under_way).await;
        self.check_desk(channel).await;
        let job = self.check_jobs(channel).await;
        self.check_versions(channel).await;
        let mut models = ModelServiceClient::new(channel.clone());
        let get = pb::GetClassifierRequest { classifier: "classifiers/desk".to_owned() };
        let classifier = models.get_classifier(get).await.unwrap().into_inner().classifier.unwrap();
        let stable = classifier.stable_version.clone();
        let has_moved = Some(&stable) != self.stable.as_ref();
        let is_done = match under_way {
            Some(Call { operation: Operation::Promote, version, .. }) => *version == stable,
            Some(Call { operation: Operation::Rollback, .. }) => Some(&stable) == self.previous.as_ref(),
            Some(Call { operation: Operation::Train, .. }) => job.model_version == stable,
            _ => (self.n_imported, self.n_deleted, self.n_trained) != n_before,
        };
        assert!(!has_moved || (is_done && under_way.is_some()), "{stable} instead of {:?}", self.stable);
        self.move_stable(stable);
        assert_eq!(Some(classifier.previous_version), self.previous);
        // Any of those that were ever told.
        let told = self.versions.keys().nth(self.n_trained % self.versions.len()).cloned();
        for version in ["stable", "previous", "latest"].map(model_of).into_iter().chain(told) {
            self.check_answer(channel, &version).await;
        }
        is_done
    }

    /// Of the archive, what was under way is done or not; everything else is as it was acknowledged.
    async fn check_archive(&mut self, channel: &Channel, under_way: Option<&Call>) {
        let next = n_stored(channel, "archive", archived(imported_numbers(self.n_imported))).await;
        assert!([0, IMPORT_DOCUMENTS].contains(&next), "{next} documents of an import");
        if next > 0 {
            self.imported();
        }
        if under_way.is_some_and(|call| call.operation == Operation::Delete) {
            let left = n_stored(channel, "archive", archived(deleted_numbers(self.n_deleted))).await;
            assert!([0, DELETE_DOCUMENTS].contains(&left), "{left} documents are left of a deletion");
            if left == 0 {
                self.deleted();
            }
        }
        // The right ones are there if they are as many as were acknowledged; some are asked for, and at the end of the run
        // each.
        for revision in [1, self.revisions.len() / 2, self.revisions.len()] {
            self.check_count(channel, revision.max(1)).await;
        }
        self.check_batches(channel, [0, self.n_imported / 2, self.n_imported - 1]).await;
        if under_way.is_some_and(|call| [Operation::Delete, Operation::Compact].contains(&call.operation)) {
            self.check_revisions(channel, [1, self.revisions.len() / 2, self.revisions.len()]).await;
        }
    }

    /// The numbers of the documents that a revision of the archive has: a deletion takes them out of all revisions.
    fn numbers_at(&self, revision: usize) -> Range<usize> {
        let end = imported_numbers(self.revisions[revision - 1]).start;
        deleted_numbers(self.n_deleted).start.min(end)..end
    }

    async fn check_count(&self, channel: &Channel, revision: usize) {
        let get =
            pb::GetDatasetRequest { classifier: "classifiers/archive".to_owned(), dataset_revision: revision as u32 };
        let mut datasets = DatasetServiceClient::new(channel.clone());
        let at_revision = datasets.get_dataset(get.clone()).await.unwrap().into_inner().dataset.unwrap();
        assert_eq!(at_revision.document_count as usize, self.numbers_at(revision).len(), "revision {revision}");
        let newest = pb::GetDatasetRequest { dataset_revision: 0, ..get };
        let newest = datasets.get_dataset(newest).await.unwrap().into_inner().dataset.unwrap();
        assert_eq!(newest.revision as usize, self.revisions.len());
    }

    /// What is left of some imports is there.
    pub(super) async fn check_batches(&self, channel: &Channel, batches: impl IntoIterator<Item = usize>) {
        for batch in batches {
            let (batch, n_deleted) = (imported_numbers(batch), deleted_numbers(self.n_deleted).start);
            let n_left = batch.clone().filter(|number| *number >= n_deleted).count();
            assert_eq!(n_stored(channel, "archive", archived(batch.clone())).await, n_left, "{batch:?}");
        }
    }

    /// Revisions of the archive hold what they should, a document after the other, and so does a page of the newest.
    pub(super) async fn check_revisions(&self, channel: &Channel, revisions: impl IntoIterator<Item = usize>) {
        let mut datasets = DatasetServiceClient::new(channel.clone());
        let classifier = "classifiers/archive".to_owned();
        for revision in revisions {
            let export = pb::ExportExamplesRequest {
                classifier: classifier.clone(),
                dataset_revision: revision as u32,
                ..Default::default()
            };
            let messages = datasets.export_examples(export).await.unwrap().into_inner();
            let messages: Vec<pb::ExportExamplesResponse> = messages.try_collect().await.unwrap();
            let lines: Vec<u8> = messages.into_iter().flat_map(|message| message.json_lines).collect();
            let number = |line: &str| {
                let document: serde_json::Value = serde_json::from_str(line).unwrap();
                document["id"].as_str().unwrap().parse::<usize>().unwrap()
            };
            let mut numbers: Vec<usize> = std::str::from_utf8(&lines).unwrap().lines().map(number).collect();
            numbers.sort_unstable();
            assert!(numbers.into_iter().eq(self.numbers_at(revision)), "revision {revision}");
        }
        let list = pb::ListExamplesRequest { classifier, page_size: 100, ..Default::default() };
        let page = datasets.list_examples(list).await.unwrap().into_inner();
        for stored in page.examples {
            let id = stored.example.unwrap().document.unwrap().document_id;
            assert!(id.parse::<usize>().unwrap() >= deleted_numbers(self.n_deleted).start, "{id} is listed");
        }
    }

    /// Every document that was trained on is there, and of what was under way all or none.
    async fn check_desk(&mut self, channel: &Channel) {
        let next = n_stored(channel, "desk", train_batch(self.n_trained)).await;
        assert!([0, TRAIN_DOCUMENTS].contains(&next), "{next} documents of a training");
        self.n_trained += usize::from(next > 0);
        let all = n_stored(channel, "desk", examples(0..self.n_trained * TRAIN_DOCUMENTS)).await;
        assert_eq!(all, self.n_trained * TRAIN_DOCUMENTS);
    }

    /// What was deleted before the last compaction that was acknowledged is in no file of a data directory.
    pub(super) fn check_files(&self, data_dir: &Path) {
        self.check_deletions_in(data_dir, self.n_erased);
    }

    /// Nothing that was ever deleted is in a file of a data directory: one that a backup was restored to.
    pub(super) fn check_restored_files(&self, data_dir: &Path) {
        self.check_deletions_in(data_dir, self.n_deleted);
    }

    fn check_deletions_in(&self, data_dir: &Path, n_deletions: usize) {
        let numbers = numbers_in_files(data_dir);
        let left = numbers.range(..deleted_numbers(n_deletions).start).count();
        assert_eq!(left, 0, "{left} deleted documents have left their words in {}", data_dir.display());
    }

    /// The version that learned what was deleted with its versions is gone, the documents being gone; otherwise it is there.
    pub(super) async fn check_purge(&mut self, channel: &Channel, is_done: bool) {
        let Some(learned) = self.learned.take() else { return };
        let get = pb::GetModelVersionRequest { model_version: learned.clone() };
        let found = ModelServiceClient::new(channel.clone()).get_model_version(get).await;
        match found {
            Ok(_) if !is_done => self.learned = Some(learned),
            Err(status) if is_done && status.code() == Code::NotFound => {}
            found => panic!("{learned}, deleted: {is_done}: {found:?}"),
        }
    }

    /// No job runs for ever. Returns the newest one.
    async fn check_jobs(&self, channel: &Channel) -> pb::TrainingJob {
        let classifier = "classifiers/desk".to_owned();
        let list = pb::ListTrainingJobsRequest { classifier, page_size: 100, ..Default::default() };
        let mut models = ModelServiceClient::new(channel.clone());
        let jobs = models.list_training_jobs(list).await.unwrap().into_inner().training_jobs;
        assert!(jobs.iter().all(|job| job.state() != State::Running), "{jobs:?}");
        jobs.into_iter().next().unwrap()
    }

    /// Every version that was ever told is there with the same file.
    async fn check_versions(&mut self, channel: &Channel) {
        let classifier = "classifiers/desk".to_owned();
        let list = pb::ListModelVersionsRequest { classifier, page_size: 100, ..Default::default() };
        let mut models = ModelServiceClient::new(channel.clone());
        let response = models.list_model_versions(list).await.unwrap().into_inner();
        let is_all = response.next_page_token.is_empty();
        let stored = response.model_versions.into_iter().map(|version| (version.name, version.artifact_sha256));
        let stored: BTreeMap<String, String> = stored.collect();
        for (name, sha256) in &self.versions {
            assert!(stored.get(name).map_or(!is_all, |stored| stored == sha256), "{name} is another one, or gone");
        }
        self.versions.extend(stored);
    }

    /// A version answers as it always has.
    async fn check_answer(&mut self, channel: &Channel, model: &str) {
        let request =
            pb::ClassifyRequest { model: model.to_owned(), ..request(document("", "the striker scored near a town")) };
        let answer = ClassifierServiceClient::new(channel.clone()).classify(request).await.unwrap().into_inner();
        let before = self.answers.entry(answer.model_version.clone()).or_insert_with(|| answer.clone());
        assert_eq!(*before, answer);
    }

    pub(super) fn print(&self) {
        println!("operation   kills  done all the same");
        for (operation, kills) in &self.kills {
            println!("{:10}  {:>5}  {:>17}", format!("{operation:?}"), kills.n, kills.n_done);
        }
    }

    /// How many revisions the archive has.
    pub(super) fn n_revisions(&self) -> usize {
        self.revisions.len()
    }
}
