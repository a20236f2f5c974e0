//! What a training finds out about its documents, the same for every way in. What shows before a training does in
//! [`crate::dataset::issues::find_issues`].

use crate::cancellation::IsCancelled;
use crate::dataset::issues::{
    DataIssue, FEW_DOCUMENTS, find_near_repetitions, find_small_topics, find_suspected_mislabels,
};
use crate::dataset::{Dataset, LabelKind};
use crate::document::Topic;
use crate::evaluation::{LabelRanking, Predictions, rank_unlikely_labels};

/// What a training finds out about its documents.
#[derive(Debug, Clone)]
pub struct Findings {
    /// What is wrong with them.
    pub issues: Vec<DataIssue>,
    /// All documents for which another label is more probable than the given one. Those of them that are suspected are
    /// one of the issues.
    pub label_ranking: LabelRanking,
}

impl Findings {
    /// Looks through the documents that were trained on, and through predictions of each by models that never saw it.
    /// Told to stop, it returns early, and what it returns means nothing.
    pub fn of(dataset: &Dataset, out_of_fold: &Predictions, is_cancelled: IsCancelled<'_>) -> Self {
        let names = dataset.topics().iter().map(Topic::as_str);
        let mut issues = find_small_topics(names.zip(dataset.targets().documents_per_topic()));
        issues.extend(find_near_repetitions(dataset, is_cancelled));
        let single_label = dataset.label_kind() == LabelKind::SingleLabel;
        let label_ranking = rank_unlikely_labels(out_of_fold, dataset.targets(), single_label, FEW_DOCUMENTS);
        issues.extend(find_suspected_mislabels(dataset, &label_ranking));
        Self { issues, label_ranking }
    }
}
