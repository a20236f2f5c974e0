//! What was learned from served documents → responses.

use super::dataset_response::document;
use super::model_response::timestamp;
use super::pb;
use super::response::duration;
use super::traffic_request::page_token;
use crate::names::ClassifierName;
use crate::service::traffic::review_queue::ReviewCandidate;
use crate::service::traffic::shadow_report::{ShadowReport, Times};
use crate::service::traffic::unknown_terms::UnknownTerm;
use crate::service::{ReviewPage, ReviewPlace, UnknownTermsFound, VersionName};

/// Pairs of topics that a report names.
const MAX_FLIPS: usize = 100;

/// A page of documents to label.
pub fn review_page(page: ReviewPage) -> pb::ListReviewCandidatesResponse {
    let last = page.candidates.last().filter(|_| page.has_more);
    let place = last.map(|last| ReviewPlace { margin: last.margin, hash: last.hash });
    pb::ListReviewCandidatesResponse {
        candidates: page.candidates.into_iter().map(review_candidate).collect(),
        next_page_token: place.map(page_token).unwrap_or_default(),
    }
}

fn review_candidate(candidate: ReviewCandidate) -> pb::ReviewCandidate {
    let topic = |(topic, probability)| pb::ReviewTopic { topic, probability };
    pb::ReviewCandidate {
        document: Some(document(&candidate.document)),
        content_hash: candidate.hash.to_string(),
        model_version: candidate.version.to_string(),
        topics: candidate.topics.into_iter().map(topic).collect(),
        margin: candidate.margin,
        classify_time: Some(timestamp(candidate.seen_ms)),
    }
}

/// Words that a vocabulary lacks.
pub fn unknown_terms(found: UnknownTermsFound) -> pb::ListUnknownTermsResponse {
    let term = |UnknownTerm { term, n_documents }| pb::UnknownTerm { term, document_count: n_documents };
    pb::ListUnknownTermsResponse {
        model_version: found.version.map(|version| version.to_string()).unwrap_or_default(),
        document_count: found.n_documents,
        terms: found.terms.into_iter().map(term).collect(),
    }
}

/// Two versions of a classifier, side by side.
pub fn shadow_report(classifier: &ClassifierName, report: ShadowReport) -> pb::ShadowReport {
    let name = |number| VersionName { classifier: classifier.clone(), number }.to_string();
    let agreement = report.agreement().unwrap_or_default();
    let flip = |((stable_topic, candidate_topic), document_count)| pb::TopicFlip {
        stable_topic,
        candidate_topic,
        document_count,
    };
    let mut flips: Vec<pb::TopicFlip> = report.flips.into_iter().map(flip).collect();
    // Stable: equals stay in the order of their names.
    flips.sort_by_key(|flip| std::cmp::Reverse(flip.document_count));
    flips.truncate(MAX_FLIPS);
    pb::ShadowReport {
        stable_version: name(report.stable),
        candidate_version: name(report.candidate),
        document_count: report.n_documents,
        agreed_count: report.n_agreed,
        agreement,
        flips,
        stable_latency: Some(latency(&report.stable_times)),
        candidate_latency: Some(latency(&report.candidate_times)),
    }
}

fn latency(times: &Times) -> pb::Latency {
    let quantile = |share| times.quantile(share).map(duration);
    pb::Latency { p50: quantile(0.5), p99: quantile(0.99) }
}
