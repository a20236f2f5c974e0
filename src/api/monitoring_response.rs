//! Monitoring reports → responses.

use super::model_response::timestamp;
use super::pb;
use super::pb::feature_drift::Level as PbLevel;
use crate::drift::{BinDrift, FeatureDrift, Level, UNKNOWN_SHARE_BOUNDS, confidence_bounds};
use crate::service::monitoring::MonitoringReport;

/// Topics that a report lists.
const MAX_TOPICS: usize = 20;

/// What a version answered, beside its training.
pub fn monitoring_report(report: MonitoringReport) -> pb::GetMonitoringReportResponse {
    let MonitoringReport { version, window, n_reference_documents, topics, confidence, unknown_tokens } = report;
    let answers = window.answers;
    let names = version.classifier.topics().iter();
    let topic_bins =
        names.zip(&topics.bins).map(|(topic, bin)| pb::DriftBin { topic: topic.to_string(), ..drift_bin(bin) });
    let confidence_bins =
        confidence.bins.iter().enumerate().map(|(place, bin)| with_bounds(bin, confidence_bounds(place)));
    let lower_bounds = [0.0].into_iter().chain(UNKNOWN_SHARE_BOUNDS);
    let bounds = lower_bounds.zip(UNKNOWN_SHARE_BOUNDS);
    let unknown_bins = unknown_tokens.bins.iter().zip(bounds).map(|(bin, bounds)| with_bounds(bin, bounds));
    pb::GetMonitoringReportResponse {
        model_version: version.name.to_string(),
        window_begin_time: Some(timestamp(window.begin_ms)),
        window_end_time: Some(timestamp(window.end_ms)),
        document_count: answers.n_documents(),
        reference_document_count: n_reference_documents.unwrap_or_default(),
        topics: Some(feature_drift(&topics, &answers.topics, moved_most(topic_bins.collect()))),
        confidence: Some(feature_drift(&confidence, &answers.confidence, confidence_bins.collect())),
        unknown_tokens: Some(feature_drift(&unknown_tokens, &answers.unknown_tokens, unknown_bins.collect())),
    }
}

fn feature_drift(drift: &FeatureDrift, answers: &[u64], bins: Vec<pb::DriftBin>) -> pb::FeatureDrift {
    let level = match drift.level {
        Level::NoReference => PbLevel::NoReference,
        Level::TooFewDocuments => PbLevel::TooFewDocuments,
        Level::Stable => PbLevel::Stable,
        Level::Moderate => PbLevel::Moderate,
        Level::Significant => PbLevel::Significant,
    };
    pb::FeatureDrift {
        level: level.into(),
        population_stability_index: drift.index,
        document_count: answers.iter().sum(),
        min_document_count: drift.min_documents.unwrap_or_default(),
        bins,
    }
}

fn with_bounds(bin: &BinDrift, (lower_bound, upper_bound): (f64, f64)) -> pb::DriftBin {
    pb::DriftBin { lower_bound, upper_bound, ..drift_bin(bin) }
}

fn drift_bin(bin: &BinDrift) -> pb::DriftBin {
    let BinDrift { expected_share, observed_share, contribution } = *bin;
    pb::DriftBin { expected_share, observed_share, contribution, ..Default::default() }
}

/// The topics that contribute most, or have the largest shares where none contributes; equals stay in the order of their names.
fn moved_most(mut bins: Vec<pb::DriftBin>) -> Vec<pb::DriftBin> {
    let rank = |bin: &pb::DriftBin| bin.contribution.or(bin.observed_share).or(bin.expected_share).unwrap_or_default();
    bins.sort_by(|a, b| rank(b).total_cmp(&rank(a)));
    bins.truncate(MAX_TOPICS);
    bins
}
