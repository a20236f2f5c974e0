//! Predictions against labels: how good a classifier is, in numbers, and whether another one is better.

mod comparison;
mod mcnemar;
mod metrics;
mod test_set;

pub use comparison::{ComparedMetrics, Comparison, TopicComparison};
pub use mcnemar::mcnemar_p_value;
pub use metrics::{Evaluation, Predictions, TopicEvaluation, macro_f1};
pub use test_set::TestSet;
