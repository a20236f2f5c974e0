//! Predictions against labels: how good a classifier is, in numbers, whether another one is better, and which labels may
//! be wrong.

mod comparison;
mod mcnemar;
mod metrics;
mod mislabels;
mod test_set;

pub use comparison::{ComparedMetrics, Comparison, TopicComparison};
pub use mcnemar::mcnemar_p_value;
pub use metrics::{
    CoveragePoint, Evaluation, EvaluationSource, Predictions, ReliabilityBin, TopicEvaluation, macro_f1,
};
pub use mislabels::{LabelRanking, UnlikelyLabel, rank_unlikely_labels};
pub use test_set::TestSet;
