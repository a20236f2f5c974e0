//! Compared and evaluated versions → responses.

use super::model_response::evaluation;
use super::pb;
use crate::evaluation::{ComparedMetrics, TopicComparison};
use crate::service::{ComparedVersions, DifferingDocument, EvaluatedVersion};

/// Two versions, compared.
pub fn compared_versions(compared: ComparedVersions) -> pb::CompareModelVersionsResponse {
    let ComparedVersions { first, second, dataset_revision, comparison, n_new, differing_documents } = compared;
    pb::CompareModelVersionsResponse {
        model_version_a: first.to_string(),
        model_version_b: second.to_string(),
        dataset_revision: dataset_revision.unwrap_or(0),
        comparison: Some(pb::Comparison {
            document_count: comparison.n_documents as u64,
            metrics_a: Some(metrics(comparison.first, n_new[0])),
            metrics_b: Some(metrics(comparison.second, n_new[1])),
            only_a_right_count: comparison.n_only_first_right as u64,
            only_b_right_count: comparison.n_only_second_right as u64,
            p_value: comparison.p_value,
            topics: comparison.topics.into_iter().map(topic_comparison).collect(),
            differing_document_count: comparison.differing.len() as u64,
            differing_documents: differing_documents.into_iter().map(differing_document).collect(),
        }),
    }
}

/// A version, evaluated.
pub fn evaluated_version(evaluated: EvaluatedVersion) -> pb::EvaluateModelVersionResponse {
    pb::EvaluateModelVersionResponse {
        model_version: evaluated.version.to_string(),
        dataset_revision: evaluated.dataset_revision.unwrap_or(0),
        evaluation: Some(evaluation(&evaluated.evaluation)),
        trained_on_document_count: evaluated.n_trained_on as u64,
        unlabeled_document_count: evaluated.n_unlabelled as u64,
        training_documents_known: evaluated.knows_training_documents,
    }
}

fn metrics(metrics: ComparedMetrics, n_new: usize) -> pb::ComparedMetrics {
    let ComparedMetrics { accuracy, micro_f1, macro_f1 } = metrics;
    pb::ComparedMetrics { accuracy, micro_f1, macro_f1, new_document_count: n_new as u64 }
}

fn topic_comparison(topic: TopicComparison) -> pb::TopicComparison {
    pb::TopicComparison {
        topic: topic.topic,
        document_count: topic.n_documents as u64,
        f1_a: topic.first_f1,
        f1_b: topic.second_f1,
        gained_count: topic.n_gained as u64,
        lost_count: topic.n_lost as u64,
    }
}

fn differing_document(differing: DifferingDocument) -> pb::DifferingDocument {
    let DifferingDocument { document, labels, first, second } = differing;
    pb::DifferingDocument {
        document_id: document.document_id,
        content_hash: document.content_hash,
        labels,
        topics_a: first,
        topics_b: second,
    }
}
