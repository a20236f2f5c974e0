//! Comparing two versions for callers, on documents that neither is asked about if it was trained on them.

use std::collections::HashSet;
use std::num::NonZeroU32;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::{Error, FieldViolation};
use super::live::LiveVersion;
use super::model_name::{ModelName, VersionName};
use super::models::Models;
use super::out_of_fold::OutOfFold;
use super::panic::panicked;
use super::workers::{IsAwaited, run_on};
use crate::dataset::LabelKind;
use crate::dataset::issues::DocumentName;
use crate::document::{ContentHash, Document, LabeledDocument};
use crate::evaluation::{Comparison, TestSet};
use crate::names::ClassifierName;
use crate::store::{Store, StoreError};
use crate::targets::Targets;

/// Comparisons and evaluations that run or wait at a time; each may have a message full of documents.
const MAX_COMPARISONS: usize = 8;
/// The most documents that an answer names; the others are counted.
const MAX_NAMED_DOCUMENTS: usize = 20;

/// Compares versions, and evaluates them.
#[derive(Debug)]
pub struct CompareService {
    store: Store,
    pub(super) models: Arc<Models>,
    /// The threads that train: they give way to those that answer.
    pub(super) pool: Arc<rayon::ThreadPool>,
    /// The most topics that a version is evaluated on.
    pub(super) max_topics: NonZeroU32,
    /// One comparison or evaluation at a time has its documents in memory; the others wait.
    turn: Arc<Semaphore>,
    /// For that one and those that wait.
    places: Arc<Semaphore>,
}

/// A checked wish to compare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompareCall {
    /// The first version.
    pub first: ModelName,
    /// The second version; of the same classifier where the stored documents are meant.
    pub second: ModelName,
    /// Documents that come with the call; `None`: the stored ones of the classifier, in their newest revision.
    pub examples: Option<Vec<LabeledDocument>>,
}

/// Two versions, compared.
#[derive(Debug, Clone, PartialEq)]
pub struct ComparedVersions {
    /// The first version.
    pub first: VersionName,
    /// The second version.
    pub second: VersionName,
    /// The revision of the stored documents; `None`: they came with the call.
    pub dataset_revision: Option<u32>,
    /// How they compare.
    pub comparison: Comparison,
    /// How many documents are new to the first version, and how many to the second.
    pub n_new: [usize; 2],
    /// The first documents that get different topics.
    pub differing_documents: Vec<DifferingDocument>,
}

/// A document that two versions assign different topics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DifferingDocument {
    /// Which it is.
    pub document: DocumentName,
    /// Its labels.
    pub labels: Vec<String>,
    /// What the first version assigns.
    pub first: Vec<String>,
    /// What the second version assigns.
    pub second: Vec<String>,
}

/// A version, and what its training said of its documents.
pub(super) struct Judged {
    pub(super) version: Arc<LiveVersion>,
    pub(super) out_of_fold: OutOfFold,
}

impl CompareService {
    /// Compares versions of a store's models on these threads.
    pub fn new(store: Store, models: Arc<Models>, pool: Arc<rayon::ThreadPool>, max_topics: NonZeroU32) -> Self {
        let [turn, places] = [1, MAX_COMPARISONS].map(|n| Arc::new(Semaphore::new(n)));
        Self { store, models, pool, max_topics, turn, places }
    }

    /// Compares two versions. A caller who doesn't wait any more ends it.
    ///
    /// # Errors
    /// A version is unknown, there is no labelled document, too many comparisons wait, or the store fails.
    pub async fn compare(&self, call: CompareCall) -> Result<ComparedVersions, Error> {
        let CompareCall { first, second, examples } = call;
        let place = self.place()?;
        let versions = [self.models.resolve(&first).await?, self.models.resolve(&second).await?];
        let turn = self.turn().await?;
        let [first_version, second_version] = versions;
        let judged = [self.judged(first_version).await?, self.judged(second_version).await?];
        let classifier = first.classifier;
        let (examples, dataset_revision) = match examples {
            Some(examples) => (last_of_each(examples), None),
            None => {
                let stored = self.stored(&classifier, |_| true).await?;
                let (examples, revision) = stored.ok_or_else(|| Error::NothingToCompareOn(classifier.clone()))?;
                (examples, Some(revision))
            }
        };
        if examples.iter().all(|example| example.topics().is_empty()) {
            return Err(if dataset_revision.is_some() { Error::NothingToCompareOn(classifier) } else { no_labels() });
        }
        let work = move |is_awaited: IsAwaited<'_>| {
            let compared = compare(&judged, &examples, dataset_revision, is_awaited);
            // Others may begin when these documents aren't needed any more, also if nobody waited for the answer.
            drop((examples, turn, place));
            compared
        };
        run_on(&self.pool, work).await
    }

    /// One of the places for those that run or wait, unless all are taken.
    pub(super) fn place(&self) -> Result<OwnedSemaphorePermit, Error> {
        let place = Arc::clone(&self.places).try_acquire_owned();
        place.map_err(|_| Error::TooManyComparisons { limit: MAX_COMPARISONS as u32 })
    }

    /// Waits for the right to have documents in memory.
    pub(super) async fn turn(&self) -> Result<OwnedSemaphorePermit, Error> {
        Arc::clone(&self.turn).acquire_owned().await.map_err(|_| panicked())
    }

    pub(super) async fn judged(&self, version: Arc<LiveVersion>) -> Result<Judged, Error> {
        let out_of_fold = self.models.out_of_fold(&version).await?;
        Ok(Judged { version, out_of_fold })
    }

    /// The stored documents of the newest revision that `counts` lets through, and its number; `None` when there is none.
    pub(super) async fn stored(
        &self,
        classifier: &ClassifierName,
        counts: impl Fn(&LabeledDocument) -> bool,
    ) -> Result<Option<(Vec<LabeledDocument>, u32)>, Error> {
        let mut stored = match self.store.examples(classifier, None).await {
            Err(StoreError::UnknownClassifier(_)) => return Ok(None),
            stored => stored?,
        };
        let mut examples = Vec::new();
        loop {
            let batch = stored.next_batch().await?;
            if batch.is_empty() {
                return Ok(Some((examples, stored.revision())));
            }
            examples.extend(batch.into_iter().filter(|example| counts(example)));
        }
    }
}

/// `None` when nobody waits any more.
fn compare(
    judged: &[Judged; 2],
    examples: &[LabeledDocument],
    dataset_revision: Option<u32>,
    is_awaited: IsAwaited<'_>,
) -> Option<ComparedVersions> {
    let [first, second] = judged.each_ref().map(|judged| &judged.version);
    let is_single = [first, second].iter().all(|version| version.classifier.label_kind() == LabelKind::SingleLabel);
    let known = first.classifier.topics().iter().chain(second.classifier.topics());
    let set = TestSet::new(examples, known, is_single);
    let documents: Vec<(&Document, ContentHash)> =
        set.documents().into_iter().map(|document| (document, document.content_hash())).collect();
    let is_cancelled = || !is_awaited();
    let answers = judged.each_ref().map(|Judged { version, out_of_fold }| {
        let answers = out_of_fold.answers(&version.classifier, &documents, &is_cancelled);
        (answers.assigned.among(version.classifier.topics(), &set.topics), answers.n_new)
    });
    if is_cancelled() {
        return None;
    }
    let [(by_first, new_to_first), (by_second, new_to_second)] = &answers;
    let comparison = Comparison::of(by_first, by_second, &set.labels, &set.topics);
    let named = comparison.differing.iter().take(MAX_NAMED_DOCUMENTS);
    Some(ComparedVersions {
        first: first.name.clone(),
        second: second.name.clone(),
        dataset_revision,
        n_new: [*new_to_first, *new_to_second],
        differing_documents: named.map(|&place| differing_document(&set, place, by_first, by_second)).collect(),
        comparison,
    })
}

fn differing_document(set: &TestSet<'_>, place: usize, by_first: &Targets, by_second: &Targets) -> DifferingDocument {
    DifferingDocument {
        document: DocumentName::of(&set.examples[place].document),
        labels: set.names(set.labels.of(place)),
        first: set.names(by_first.of(place)),
        second: set.names(by_second.of(place)),
    }
}

/// Of the same title and text the last one, in its place.
pub(super) fn last_of_each(mut examples: Vec<LabeledDocument>) -> Vec<LabeledDocument> {
    let mut seen = HashSet::with_capacity(examples.len());
    examples.reverse();
    examples.retain(|example| seen.insert(example.document.content_hash()));
    examples.reverse();
    examples
}

pub(super) fn no_labels() -> Error {
    unusable_examples("NO_TOPICS", "have no topic; give at least one document with a topic".to_owned())
}

/// What is wrong with documents that came with the call; completes a sentence that begins with the field.
pub(super) fn unusable_examples(reason: &'static str, description: String) -> Error {
    let field = "inline_examples.examples".to_owned();
    Error::InvalidRequest(vec![FieldViolation { field, reason, description }])
}
