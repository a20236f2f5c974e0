//! Predictions against labels: how good a classifier is, in numbers, and which labels may be wrong.

mod metrics;
mod mislabels;

pub use metrics::{CoveragePoint, Evaluation, Predictions, ReliabilityBin, TopicEvaluation, macro_f1};
pub use mislabels::{LabelRanking, UnlikelyLabel, rank_unlikely_labels};
