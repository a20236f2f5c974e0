//! Predictions against labels: how good a classifier is, in numbers.

mod metrics;

pub use metrics::{Evaluation, Predictions, TopicEvaluation, macro_f1};
