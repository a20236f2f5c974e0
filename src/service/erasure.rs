//! Erasing documents: from the store, and from the versions that learned them as far as that is wished; what these still have
//! of them is told.

use std::sync::Arc;

use super::error::Error;
use super::learned_terms::{self, LearnedTerms};
use super::model_name::VersionName;
use super::models::Models;
use super::out_of_fold::OutOfFold;
use crate::document::ContentHash;
use crate::names::ClassifierName;
use crate::store::{DeleteOutcome, Store, StoreError};

/// A wish to erase documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteExamplesCall {
    /// Whose.
    pub classifier: ClassifierName,
    /// Which.
    pub hashes: Vec<ContentHash>,
    /// Whether the versions that learned them are deleted, too.
    pub purge_versions: bool,
}

/// Documents are erased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deleted {
    /// The newest revision.
    pub revision: u32,
    /// Documents that were there.
    pub n_deleted: u64,
    /// Those that weren't.
    pub unknown: Vec<ContentHash>,
    /// Versions that learned some of them and are still there, newest first.
    pub learned_by: Vec<VersionName>,
    /// What these still have of them; only of documents that were there.
    pub learned_terms: Vec<LearnedTerms>,
    /// Versions that were deleted for having learned some of them.
    pub purged: Vec<VersionName>,
}

/// Erases documents, and says which versions learned them. Nothing may be trained of them meanwhile. What versions still have of
/// them is found on the pool's threads, and before they go: a caller who asks again after a crash is told it, too.
///
/// # Errors
/// The classifier doesn't exist, or the store fails.
pub async fn erase(
    store: &Store,
    models: &Arc<Models>,
    pool: &rayon::ThreadPool,
    call: DeleteExamplesCall,
) -> Result<Deleted, Error> {
    let DeleteExamplesCall { classifier, hashes, purge_versions } = call;
    models.classifier(&classifier).await?;
    let learned_terms = if purge_versions {
        Vec::new()
    } else {
        let versions = versions_that_learned(store, &classifier, &hashes).await?;
        // Erasing doesn't wait for what else is wrong.
        learned_terms::of_erased(store, pool, &classifier, &hashes, &versions).await.unwrap_or_else(|error| {
            tracing::error!(%error, %classifier, "which terms of erased documents versions have can't be told");
            Vec::new()
        })
    };
    let deleted = store.delete_examples(&classifier, &hashes).await?;
    models.forget_served(&classifier, &hashes);
    // Once more: a version's file may have been imported as another version meanwhile.
    let learned_by = versions_that_learned(store, &classifier, &hashes).await?;
    tracing::info!(%classifier, n_deleted = deleted.n_deleted, "documents were erased");
    let (learned_by, purged) = if purge_versions { (Vec::new(), learned_by) } else { (learned_by, Vec::new()) };
    if !purged.is_empty() {
        models.purge(classifier, purged.iter().map(|version| version.number).collect()).await?;
    }
    let DeleteOutcome { revision, n_deleted, unknown } = deleted;
    Ok(Deleted { revision, n_deleted, unknown, learned_by, learned_terms, purged })
}

/// The versions of a classifier that were trained on any of some documents, newest first.
async fn versions_that_learned(
    store: &Store,
    classifier: &ClassifierName,
    hashes: &[ContentHash],
) -> Result<Vec<VersionName>, StoreError> {
    let mut found = Vec::new();
    for number in store.version_numbers(classifier).await? {
        let out_of_fold = store.out_of_fold(classifier, number).await?;
        // A version that was deleted meanwhile has none.
        if out_of_fold.is_some_and(|learned| OutOfFold::learned_any(&learned, hashes)) {
            found.push(VersionName { classifier: classifier.clone(), number });
        }
    }
    Ok(found)
}
