//! Answers → responses.

use std::sync::Arc;
use std::time::Duration;

use super::model_response::timestamp;
use super::pb;
use super::pb::decision::{AbstainReason as PbAbstainReason, Outcome};
use super::pb::span::Field as PbField;
use crate::abstention::{AbstainReason, Decision};
use crate::config::{ConnectionLimits, Limits};
use crate::document::Topic;
use crate::explanation::{TermContribution, TopicExplanation};
use crate::service::{Answer, LiveVersion};
use crate::store::StoreSize;
use crate::text::{Field, Span};

/// The response that holds an answer.
pub fn classify_response(answer: Answer) -> pb::ClassifyResponse {
    let Answer { version, classification, document_id, truncated } = answer;
    let names = version.classifier.topics();
    let topics = classification.topics.iter().map(|score| pb::TopicScore {
        topic: names[score.topic].as_str().to_owned(),
        probability: score.probability,
        raw_score: score.raw_score,
        assigned: score.assigned,
    });
    pb::ClassifyResponse {
        model_version: version.name.to_string(),
        topics: topics.collect(),
        decision: Some(decision(classification.decision)),
        document_stats: Some(pb::DocumentStats {
            bytes: classification.stats.n_bytes as u64,
            tokens: classification.stats.n_tokens as u64,
            known_tokens: classification.stats.n_known_tokens as u64,
            truncated,
        }),
        document_id,
        explanations: classification.explanations.into_iter().map(|explained| explanation(explained, names)).collect(),
    }
}

fn explanation(explanation: TopicExplanation, names: &[Topic]) -> pb::TopicExplanation {
    let TopicExplanation { topic, bias, terms, remainder, n_other_terms } = explanation;
    let term = |term: TermContribution| pb::TermContribution {
        term: term.term,
        contribution: term.contribution,
        tfidf: term.tfidf,
        weight: term.weight,
        occurrence_count: term.n_occurrences as u64,
        spans: term.spans.into_iter().map(span).collect(),
        inferred_contribution: term.inferred_contribution,
        inferred: term.is_inferred,
    };
    pb::TopicExplanation {
        topic: names[topic].as_str().to_owned(),
        bias,
        terms: terms.into_iter().map(term).collect(),
        remainder,
        other_term_count: n_other_terms as u64,
    }
}

fn span(span: Span) -> pb::Span {
    let field = match span.field {
        Field::Title => PbField::Title,
        Field::Text => PbField::Text,
    };
    pb::Span { field: field.into(), start: span.start as u64, end: span.end as u64 }
}

fn decision(decision: Decision) -> pb::Decision {
    let (outcome, abstain_reason) = match decision {
        Decision::Assigned => (Outcome::Assigned, PbAbstainReason::Unspecified),
        Decision::Abstained(reason) => {
            let reason = match reason {
                AbstainReason::LowProbability => PbAbstainReason::LowProbability,
                AbstainReason::FewKnownTokens => PbAbstainReason::FewKnownTokens,
                AbstainReason::NoTokens => PbAbstainReason::NoTokens,
                AbstainReason::SmallMargin => PbAbstainReason::SmallMargin,
                AbstainReason::OtherLanguage => PbAbstainReason::OtherLanguage,
            };
            (Outcome::Abstained, reason)
        }
    };
    pb::Decision { outcome: outcome.into(), abstain_reason: abstain_reason.into() }
}

/// The response that tells what the server is.
pub fn server_info(
    limits: &Limits,
    connections: &ConnectionLimits,
    versions: &[Arc<LiveVersion>],
    size: StoreSize,
) -> pb::GetServerInfoResponse {
    pb::GetServerInfoResponse {
        software_version: env!("CARGO_PKG_VERSION").to_owned(),
        limits: Some(pb::Limits {
            max_message_bytes: limits.max_message_bytes.get().into(),
            max_document_bytes: limits.max_document_bytes.get().into(),
            max_batch_documents: limits.max_batch_documents.get(),
            max_documents_in_flight: limits.max_documents_in_flight.get(),
            max_message_examples: limits.max_message_examples.get(),
            max_training_jobs: limits.max_training_jobs.get(),
            max_topics: limits.max_topics.get(),
            max_artifact_bytes: limits.max_artifact_bytes.get().into(),
            max_model_bytes: limits.max_model_bytes.get(),
            max_inbound_bytes: limits.max_inbound_bytes.get(),
            max_training_documents: limits.max_training_documents.get(),
            max_training_bytes: limits.max_training_bytes.get(),
            max_connections: connections.max_connections.get(),
            max_streams_per_connection: connections.max_streams_per_connection.get(),
            max_header_bytes: connections.max_header_bytes.get(),
            handshake_timeout: Some(duration(connections.handshake_timeout)),
            idle_timeout: Some(duration(connections.idle_timeout)),
            max_connection_age: Some(duration(connections.max_age)),
            connection_grace: Some(duration(connections.age_grace)),
        }),
        models: versions.iter().map(|version| served_model(version)).collect(),
        store: Some(store_size(size)),
    }
}

/// A length of time as it is told: to the nanosecond, up to centuries.
pub(super) fn duration(duration: Duration) -> prost_types::Duration {
    prost_types::Duration { seconds: duration.as_secs() as i64, nanos: duration.subsec_nanos() as i32 }
}

fn store_size(size: StoreSize) -> pb::StoreSize {
    let StoreSize { database_bytes, artifact_bytes, n_documents, n_versions } = size;
    pb::StoreSize { database_bytes, artifact_bytes, document_count: n_documents, version_count: n_versions }
}

fn served_model(version: &LiveVersion) -> pb::ServedModel {
    let classifier = &version.classifier;
    pb::ServedModel {
        model_version: version.name.to_string(),
        topics: classifier.topics().iter().map(ToString::to_string).collect(),
        n_terms: classifier.n_terms() as u64,
        n_training_documents: classifier.provenance().n_documents as u64,
        checksum: format!("{:016x}", version.checksum),
        trained_by: classifier.provenance().software_version.clone(),
        resident_bytes: version.n_bytes,
        last_use_time: Some(timestamp(version.last_used_ms())),
    }
}
