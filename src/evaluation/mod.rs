//! Predictions against labels: how good a classifier is, in numbers.

mod metrics;

pub use metrics::{CoveragePoint, Evaluation, Predictions, ReliabilityBin, TopicEvaluation, macro_f1};
