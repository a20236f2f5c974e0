//! Predictions against labels: how good a classifier is, in numbers.

mod metrics;
mod test_set;

pub use metrics::{Evaluation, Predictions, TopicEvaluation, macro_f1};
pub use test_set::TestSet;
