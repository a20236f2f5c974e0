//! What a training finds out about its documents, the same for every way in. What shows before a training does in
//! [`crate::dataset::issues::find_issues`].

use std::sync::atomic::{AtomicBool, Ordering};

use super::error::TrainError;
use super::progress::Progress;
use super::train::{Trained, train};
use crate::dataset::issues::{
    DataIssue, FEW_DOCUMENTS, find_near_repetitions, find_small_topics, find_suspected_mislabels,
};
use crate::dataset::{Dataset, LabelKind};
use crate::document::Topic;
use crate::evaluation::{LabelRanking, rank_unlikely_labels};
use crate::training_config::TrainingConfig;
use crate::words::WordTable;

/// What a training finds out about its documents.
#[derive(Debug, Clone)]
pub struct Findings {
    /// What is wrong with them.
    pub issues: Vec<DataIssue>,
    /// All documents for which another label is more probable than the given one. Those of them that are suspected are
    /// one of the issues.
    pub label_ranking: LabelRanking,
}

/// Trains as [`train`] does and looks through the documents: for those that are nearly the same beside it, and then through predictions of
/// each document by models that never saw it.
///
/// # Errors
/// [`TrainError`]; cancelling is one.
pub fn train_and_look_through(
    dataset: &Dataset,
    config: &TrainingConfig,
    words: Option<&WordTable>,
    progress: &dyn Progress,
) -> Result<(Trained, Findings), TrainError> {
    let has_failed = AtomicBool::new(false);
    let (trained, near_repetitions) = rayon::join(
        || train(dataset, config, words, progress).inspect_err(|_| has_failed.store(true, Ordering::Relaxed)),
        || find_near_repetitions(dataset, &|| progress.is_cancelled() || has_failed.load(Ordering::Relaxed)),
    );
    let trained = trained?;
    if progress.is_cancelled() {
        return Err(TrainError::Cancelled);
    }
    let names = dataset.topics().iter().map(Topic::as_str);
    let mut issues = find_small_topics(names.zip(dataset.targets().documents_per_topic()));
    issues.extend(near_repetitions);
    let single_label = dataset.label_kind() == LabelKind::SingleLabel;
    let label_ranking = rank_unlikely_labels(&trained.out_of_fold, dataset.targets(), single_label, FEW_DOCUMENTS);
    issues.extend(find_suspected_mislabels(dataset, &label_ranking));
    Ok((trained, Findings { issues, label_ranking }))
}
