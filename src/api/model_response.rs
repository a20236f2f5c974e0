//! Classifiers, versions and jobs → responses.

use std::num::NonZeroU32;

use super::pb;
use super::pb::data_issue::{DocumentName as PbDocumentName, Kind, Mislabel as PbMislabel};
use super::pb::evaluation::Source;
use super::pb::job_failure::Reason;
use super::pb::model_version::Origin;
use super::pb::training_job::{Stage as PbStage, State};
use super::promotion::promotion_policy;
use super::settings::classifier_settings;
use crate::abstention::Abstention;
use crate::dataset::LabelKind;
use crate::dataset::issues::{AffectedDocument, DataIssue, DocumentName, IssueKind, SuspectedMislabel};
use crate::evaluation::{CoveragePoint, Evaluation, EvaluationSource, ReliabilityBin, TopicEvaluation};
use crate::hexadecimal;
use crate::linear::Balance;
use crate::service::gate::Check;
use crate::service::training::job::{FailureReason, JobFailure, JobStage};
use crate::service::{ClassifierSettings, DeletedVersion, Error, TrainingJob, Validation, VersionInfo, VersionName};
use crate::store::{ClassifierRecord, ImportOutcome, JobState, TopicCount, VersionOrigin};
use crate::training::Stage;
use crate::training_config::TrainingConfig;

/// A classifier.
///
/// # Errors
/// [`Error::StoreFailed`] when its settings can't be read.
pub fn classifier(record: &ClassifierRecord) -> Result<pb::Classifier, Error> {
    let settings = classifier_settings(&ClassifierSettings::read(record)?);
    let version = |number: Option<NonZeroU32>| {
        let name = number.map(|number| VersionName { classifier: record.name.clone(), number });
        name.map(|name| name.to_string()).unwrap_or_default()
    };
    Ok(pb::Classifier {
        name: record.name.to_string(),
        stable_version: version(record.aliases.stable),
        previous_version: version(record.aliases.previous),
        candidate_version: version(record.aliases.candidate),
        latest_version: version(record.latest),
        dataset_revision: record.dataset_revision,
        etag: record.etag.to_string(),
        settings: Some(settings),
    })
}

/// A version.
pub fn model_version(info: VersionInfo) -> pb::ModelVersion {
    let VersionInfo { record, details } = info;
    let name = |number| VersionName { classifier: record.classifier.clone(), number }.to_string();
    let job = record.job.map(|number| crate::service::JobName { classifier: record.classifier.clone(), number });
    let provenance = details.provenance;
    pb::ModelVersion {
        name: name(record.number),
        create_time: Some(timestamp(record.created_at_ms)),
        origin: match record.origin {
            VersionOrigin::BuiltIn => Origin::BuiltIn.into(),
            VersionOrigin::Trained => Origin::Trained.into(),
            VersionOrigin::Imported => Origin::Imported.into(),
        },
        training_job: job.map(|job| job.to_string()).unwrap_or_default(),
        dataset_revision: record.dataset_revision.unwrap_or(0),
        dataset_hash: provenance.dataset_hash,
        parent_version: record.parent.map(name).unwrap_or_default(),
        artifact_sha256: hexadecimal::encode(&record.artifact_sha256),
        artifact_bytes: record.artifact_bytes,
        checksum: details.checksum,
        topics: details.topics,
        multi_label: details.label_kind == LabelKind::MultiLabel,
        term_count: details.n_terms as u64,
        training_document_count: provenance.n_documents as u64,
        held_out_document_count: provenance.n_held_out as u64,
        config: Some(training_config(&provenance.config)),
        c: provenance.c,
        evaluation: Some(evaluation(&provenance.evaluation)),
        abstention: Some(abstention(details.abstention)),
        checks: details.checks.into_iter().map(promotion_check).collect(),
        training_duration: details.training_seconds.and_then(duration),
        trained_by: provenance.software_version,
    }
}

/// A version that is there no more.
///
/// # Errors
/// What is stored of its classifier's settings can't be read.
pub fn deleted_version(deleted: DeletedVersion) -> Result<pb::DeleteModelVersionResponse, Error> {
    let DeletedVersion { version, classifier: record } = deleted;
    let classifier = Some(classifier(&record)?);
    Ok(pb::DeleteModelVersionResponse { model_version: version.to_string(), classifier })
}

/// A version among others: without what is large.
pub fn listed_version(info: VersionInfo) -> pb::ModelVersion {
    let mut version = model_version(info);
    version.evaluation.iter_mut().for_each(leave_out_details);
    version
}

/// A training job among others: without what is large.
pub fn listed_job(job: TrainingJob) -> pb::TrainingJob {
    let mut job = training_job(job);
    job.evaluation.iter_mut().for_each(leave_out_details);
    job
}

fn leave_out_details(evaluation: &mut pb::Evaluation) {
    evaluation.confusions.clear();
    evaluation.reliability.clear();
    evaluation.coverage.clear();
}

/// A training job.
pub fn training_job(job: TrainingJob) -> pb::TrainingJob {
    let has_ended = job.has_ended();
    let TrainingJob { name, state, stage, fraction, created_at_ms, ended_at_ms, details } = job;
    let version = details.version.map(|number| VersionName { classifier: name.classifier.clone(), number });
    pb::TrainingJob {
        automatic: details.automatic,
        name: name.to_string(),
        state: job_state(state).into(),
        stage: if has_ended { PbStage::Unspecified.into() } else { job_stage(stage).into() },
        fraction,
        document_count: details.n_documents as u64,
        create_time: Some(timestamp(created_at_ms)),
        end_time: ended_at_ms.map(timestamp),
        failure: details.failure.map(job_failure),
        model_version: version.map(|version| version.to_string()).unwrap_or_default(),
        promoted: details.promoted,
        checks: details.checks.into_iter().map(promotion_check).collect(),
        evaluation: details.evaluation.as_ref().map(evaluation),
        data_issues: details.data_issues.into_iter().map(data_issue).collect(),
        intake: Some(intake(details.intake)),
        dataset_revision: details.dataset_revision.unwrap_or(0),
        config: Some(training_config(&details.config)),
        training_duration: if has_ended { duration(details.seconds) } else { None },
        promotion_policy: details.promotion_policy.as_ref().map(promotion_policy),
    }
}

/// What a training would find.
pub fn validation(validation: Validation) -> pb::Validation {
    let Validation { n_given, n_added, n_relabelled, n_unchanged, topics, data_issues } = validation;
    pb::Validation {
        intake: Some(intake(ImportOutcome { revision: 0, n_given, n_added, n_relabelled, n_unchanged })),
        topics: topics.into_iter().map(topic_count).collect(),
        data_issues: data_issues.into_iter().map(data_issue).collect(),
    }
}

/// What an import did.
pub(super) fn intake(outcome: ImportOutcome) -> pb::Intake {
    pb::Intake {
        given_count: outcome.n_given,
        added_count: outcome.n_added,
        relabeled_count: outcome.n_relabelled,
        unchanged_count: outcome.n_unchanged,
    }
}

pub(super) fn topic_count(count: TopicCount) -> pb::TopicCount {
    pb::TopicCount { topic: count.topic, document_count: count.n_documents }
}

pub(super) fn evaluation(evaluation: &Evaluation) -> pb::Evaluation {
    let bin = |bin: &ReliabilityBin| pb::ReliabilityBin {
        count: bin.n as u64,
        mean_probability: bin.mean_probability,
        share_true: bin.share_true,
    };
    let point = |point: &CoveragePoint| pb::CoveragePoint {
        coverage: point.coverage,
        min_probability: point.min_probability,
        accuracy: point.accuracy,
    };
    pb::Evaluation {
        source: evaluation_source(evaluation.source).into(),
        document_count: evaluation.n_documents as u64,
        accuracy: evaluation.accuracy,
        micro_f1: evaluation.micro_f1,
        macro_f1: evaluation.macro_f1,
        log_loss: evaluation.log_loss,
        expected_calibration_error: evaluation.expected_calibration_error,
        topics: evaluation.topics.iter().map(topic_evaluation).collect(),
        confusions: confusions(evaluation),
        reliability: evaluation.reliability.iter().map(bin).collect(),
        coverage: evaluation.coverage.iter().map(point).collect(),
    }
}

/// Whose predictions were measured.
pub(super) fn evaluation_source(source: EvaluationSource) -> Source {
    match source {
        EvaluationSource::OutOfFold => Source::OutOfFold,
        EvaluationSource::HeldOut => Source::HeldOut,
    }
}

/// How good predictions are for one topic.
pub(super) fn topic_evaluation(topic: &TopicEvaluation) -> pb::TopicEvaluation {
    pb::TopicEvaluation {
        topic: topic.topic.clone(),
        precision: topic.precision,
        recall: topic.recall,
        f1: topic.f1,
        document_count: topic.n_documents as u64,
        assigned_count: topic.n_assigned as u64,
        threshold: topic.threshold,
    }
}

/// The cells of the confusion matrix that aren't 0 and aren't on its diagonal.
fn confusions(evaluation: &Evaluation) -> Vec<pb::Confusion> {
    let name = |topic: usize| evaluation.topics.get(topic).map(|topic| topic.topic.clone()).unwrap_or_default();
    let cells = evaluation.confusion_matrix.iter().enumerate().flat_map(|(label, row)| {
        row.iter()
            .enumerate()
            .filter(move |(topic, n)| *topic != label && **n > 0)
            .map(move |(topic, n)| (label, topic, *n))
    });
    let confusion = |(label, topic, n_documents)| pb::Confusion {
        topic: name(label),
        assigned_topic: name(topic),
        document_count: n_documents as u64,
    };
    cells.map(confusion).collect()
}

fn abstention(abstention: Abstention) -> pb::Abstention {
    let Abstention { min_probability, min_margin, usual_known_share, languages } = abstention;
    pb::Abstention { min_probability, min_margin, usual_known_share, languages }
}

/// What training is told.
pub fn training_config(config: &TrainingConfig) -> pb::TrainingConfig {
    let balance = match config.balance {
        Balance::None => pb::Balance::None,
        Balance::SquareRoot => pb::Balance::SquareRoot,
        Balance::Full => pb::Balance::Full,
    };
    pb::TrainingConfig {
        c: config.c.unwrap_or(0.0),
        balance: balance.into(),
        max_features: config.max_features.map_or(0, |n| n.get() as u64),
        seed: config.seed,
        label_kind: match config.label_kind {
            None => pb::LabelKind::Unspecified.into(),
            Some(LabelKind::SingleLabel) => pb::LabelKind::SingleLabel.into(),
            Some(LabelKind::MultiLabel) => pb::LabelKind::MultiLabel.into(),
        },
        selective_accuracy: Some(config.selective_accuracy),
        held_out_share: config.held_out_share,
        character_ngrams: config.character_ngrams,
        without_words: !config.words,
        words_kept: config.words_kept.map_or(0, |n| n.get() as u64),
        words_languages: config.words_languages.clone(),
    }
}

fn promotion_check(check: Check) -> pb::PromotionCheck {
    let Check { name, passed, observed, required, description } = check;
    pb::PromotionCheck { name, passed, observed, required, description }
}

fn data_issue(issue: DataIssue) -> pb::DataIssue {
    let kind = match issue.kind {
        IssueKind::Duplicate => Kind::Duplicate,
        IssueKind::ConflictingTopics => Kind::ConflictingTopics,
        IssueKind::Relabelled => Kind::Relabeled,
        IssueKind::NoTokens => Kind::NoTokens,
        IssueKind::NoTopic => Kind::NoTopic,
        IssueKind::FewDocuments => Kind::FewDocuments,
        IssueKind::NearDuplicate => Kind::NearDuplicate,
        IssueKind::ConflictingNearDuplicate => Kind::ConflictingNearDuplicate,
        IssueKind::SuspectedMislabel => Kind::SuspectedMislabel,
        IssueKind::Leak => Kind::Leak,
    };
    pb::DataIssue {
        kind: kind.into(),
        topic: issue.topic.unwrap_or_default(),
        document_count: issue.n_documents as u64,
        documents: issue.documents.into_iter().map(affected_document).collect(),
    }
}

fn affected_document(document: AffectedDocument) -> PbDocumentName {
    PbDocumentName {
        other_document: document.other_document.map(|other| Box::new(document_name(other))),
        mislabel: document.mislabel.map(mislabel),
        ..document_name(document.name)
    }
}

fn document_name(name: DocumentName) -> PbDocumentName {
    let DocumentName { document_id, content_hash } = name;
    PbDocumentName { document_id, content_hash, other_document: None, mislabel: None }
}

fn mislabel(mislabel: SuspectedMislabel) -> PbMislabel {
    let SuspectedMislabel { given_topic, suggested_topic, given_probability, suggested_probability } = mislabel;
    PbMislabel {
        given_topic: given_topic.unwrap_or_default(),
        suggested_topic: suggested_topic.unwrap_or_default(),
        given_probability,
        suggested_probability,
    }
}

fn job_failure(failure: JobFailure) -> pb::JobFailure {
    let reason = match failure.reason {
        FailureReason::UnusableDocuments => Reason::UnusableDocuments,
        FailureReason::SelfTestFailed => Reason::SelfTestFailed,
        FailureReason::Interrupted => Reason::Interrupted,
        FailureReason::StorageFull => Reason::StorageFull,
        FailureReason::Internal => Reason::Internal,
    };
    pb::JobFailure { reason: reason.into(), message: failure.message }
}

fn job_state(state: JobState) -> State {
    match state {
        JobState::Running => State::Running,
        JobState::Succeeded => State::Succeeded,
        JobState::Failed => State::Failed,
        JobState::Cancelled => State::Cancelled,
    }
}

fn job_stage(stage: JobStage) -> PbStage {
    match stage {
        JobStage::Waiting => PbStage::Waiting,
        JobStage::Reading => PbStage::Reading,
        JobStage::Training(Stage::CountingTerms) => PbStage::CountingTerms,
        JobStage::Training(Stage::CrossValidation) => PbStage::CrossValidation,
        JobStage::Training(Stage::Calibration) => PbStage::Calibration,
        JobStage::Training(Stage::FinalFit) => PbStage::FinalFit,
        JobStage::Publishing => PbStage::Publishing,
    }
}

/// A moment since 1970.
pub(super) fn timestamp(milliseconds: u64) -> prost_types::Timestamp {
    let (seconds, rest) = (milliseconds / 1000, milliseconds % 1000);
    prost_types::Timestamp { seconds: seconds as i64, nanos: (rest * 1_000_000) as i32 }
}

fn duration(seconds: f64) -> Option<prost_types::Duration> {
    std::time::Duration::try_from_secs_f64(seconds).ok()?.try_into().ok()
}
