//! Labelled documents and datasets → responses.

use super::dataset_request::page_token;
use super::model_response::{intake, timestamp, topic_count};
use super::pb;
use crate::document::{ContentHash, Document, LabeledDocument, Split};
use crate::formats;
use crate::service::{Deleted, ExamplePage, LearnedTerms, Renamed, VersionName};
use crate::store::{DatasetSummary, ImportOutcome, RevisionSummary};

/// A document as it travels.
pub(super) fn document(document: &Document) -> pb::Document {
    pb::Document {
        title: document.title().to_owned(),
        text: document.text().to_owned(),
        document_id: document.id.clone(),
        publish_date: document.date.map(|date| date.to_string()).unwrap_or_default(),
        url: document.url.clone(),
    }
}

/// A labelled document as it travels.
pub fn labeled_document(example: &LabeledDocument) -> pb::LabeledDocument {
    pb::LabeledDocument {
        document: Some(document(&example.document)),
        topics: example.topics().iter().map(ToString::to_string).collect(),
        split: match example.split {
            None => pb::Split::Unspecified.into(),
            Some(Split::Training) => pb::Split::Training.into(),
            Some(Split::HeldOut) => pb::Split::HeldOut.into(),
        },
        weight: example.weight.get(),
    }
}

/// What became of an import.
pub fn import_examples(outcome: ImportOutcome) -> pb::ImportExamplesResponse {
    pb::ImportExamplesResponse { dataset_revision: outcome.revision, intake: Some(intake(outcome)) }
}

/// What became of feedback.
pub fn submit_feedback(outcome: ImportOutcome) -> pb::SubmitFeedbackResponse {
    pb::SubmitFeedbackResponse { dataset_revision: outcome.revision, intake: Some(intake(outcome)) }
}

/// What a dataset holds.
pub fn dataset(dataset: DatasetSummary) -> pb::GetDatasetResponse {
    let revision = |revision: RevisionSummary| pb::DatasetRevision {
        revision: revision.revision,
        create_time: Some(timestamp(revision.created_at_ms)),
        added_count: revision.n_added,
        relabeled_count: revision.n_relabelled,
        unchanged_count: revision.n_unchanged,
        deleted_count: revision.n_deleted,
    };
    let DatasetSummary { classifier, revision: newest, n_documents, topics, revisions } = dataset;
    let dataset = pb::Dataset {
        classifier: classifier.to_string(),
        revision: newest,
        document_count: n_documents,
        topics: topics.into_iter().map(topic_count).collect(),
        revisions: revisions.into_iter().map(revision).collect(),
    };
    pb::GetDatasetResponse { dataset: Some(dataset) }
}

/// A page of documents.
pub fn example_page(page: &ExamplePage) -> pb::ListExamplesResponse {
    let hashed: Vec<(ContentHash, &LabeledDocument)> =
        page.examples.iter().map(|example| (example.document.content_hash(), example)).collect();
    let next = hashed.last().filter(|_| page.has_more).map(|&(last, _)| page_token(page.revision, last));
    let stored = |(hash, example): (ContentHash, &LabeledDocument)| pb::StoredExample {
        example: Some(labeled_document(example)),
        content_hash: hash.to_string(),
    };
    pb::ListExamplesResponse {
        examples: hashed.into_iter().map(stored).collect(),
        next_page_token: next.unwrap_or_default(),
        dataset_revision: page.revision,
    }
}

/// Documents as JSON lines.
pub fn json_lines(examples: &[LabeledDocument]) -> pb::ExportExamplesResponse {
    let mut json_lines = Vec::new();
    examples.iter().for_each(|example| formats::write_json_line(example, &mut json_lines));
    pb::ExportExamplesResponse { json_lines, document_count: examples.len() as u64 }
}

/// A topic that has another name.
pub fn renamed(renamed: Renamed) -> pb::RenameTopicResponse {
    pb::RenameTopicResponse { dataset_revision: renamed.revision, document_count: renamed.n_documents }
}

/// Documents that are erased.
pub fn deleted(deleted: Deleted) -> pb::DeleteExamplesResponse {
    let learned_terms = |LearnedTerms { version, n_terms, terms }| pb::LearnedTerms {
        model_version: version.to_string(),
        term_count: n_terms,
        terms,
    };
    pb::DeleteExamplesResponse {
        dataset_revision: deleted.revision,
        deleted_count: deleted.n_deleted,
        unknown_content_hashes: deleted.unknown.iter().map(ToString::to_string).collect(),
        model_versions: deleted.learned_by.iter().map(VersionName::to_string).collect(),
        purged_model_versions: deleted.purged.iter().map(VersionName::to_string).collect(),
        learned_terms: deleted.learned_terms.into_iter().map(learned_terms).collect(),
    }
}
