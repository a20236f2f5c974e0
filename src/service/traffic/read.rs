//! What callers see of what was learned, and what they have forgotten.

use super::Traffic;
use super::review_queue::ReviewCandidate;
use super::shadow_report::ShadowReport;
use super::unknown_terms::UnknownTerm;
use crate::document::ContentHash;
use crate::names::ClassifierName;
use crate::service::error::Error;
use crate::service::model_name::VersionName;
use crate::service::models::Models;

/// A question for a page of documents to label.
#[derive(Debug, Clone, PartialEq)]
pub struct ReviewCall {
    /// Whose.
    pub classifier: ClassifierName,
    /// Where the page before ended.
    pub after: Option<ReviewPlace>,
    /// The most documents.
    pub size: u32,
    /// The most bytes of titles and texts, but for the last document's.
    pub max_bytes: usize,
}

/// A place in a review queue: documents are ordered by margin, then by content hash.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReviewPlace {
    /// [`ReviewCandidate::margin`].
    pub margin: f64,
    /// The document.
    pub hash: ContentHash,
}

/// A page of documents.
#[derive(Debug, Clone, PartialEq)]
pub struct ReviewPage {
    /// The documents, the least sure first.
    pub candidates: Vec<ReviewCandidate>,
    /// Whether more follow.
    pub has_more: bool,
}

/// A wish to forget documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteReviewCall {
    /// Whose.
    pub classifier: ClassifierName,
    /// Which; `None`: all.
    pub hashes: Option<Vec<ContentHash>>,
}

/// Words that a vocabulary lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownTermsFound {
    /// Whose vocabulary; `None`: nothing was looked at yet.
    pub version: Option<VersionName>,
    /// Documents that were looked at.
    pub n_documents: u64,
    /// The words, those of most documents first.
    pub terms: Vec<UnknownTerm>,
}

impl ReviewPlace {
    fn of(candidate: &ReviewCandidate) -> Self {
        Self { margin: candidate.margin, hash: candidate.hash }
    }

    fn is_after(self, other: Self) -> bool {
        self.margin.total_cmp(&other.margin).then_with(|| self.hash.cmp(&other.hash)).is_gt()
    }
}

impl Models {
    /// The documents whose labels would teach a classifier most. Those that are stored with it aren't among them any more.
    ///
    /// # Errors
    /// The classifier doesn't exist, or the store fails.
    pub async fn review_candidates(&self, call: ReviewCall) -> Result<ReviewPage, Error> {
        let ReviewCall { classifier, after, size, max_bytes } = call;
        self.classifier(&classifier).await?;
        let Some(watch) = self.traffic.watch_of(&classifier) else {
            return Ok(ReviewPage { candidates: Vec::new(), has_more: false });
        };
        watch.expire();
        let hashes: Vec<ContentHash> = watch.contents().queue.candidates().map(|candidate| candidate.hash).collect();
        let labelled = self.store.examples_of(&classifier, &hashes).await?;
        let labelled: Vec<ContentHash> = labelled.iter().map(|example| example.document.content_hash()).collect();
        watch.drop_labelled(&labelled);
        let contents = watch.contents();
        let mut rest: Vec<&ReviewCandidate> = contents.queue.candidates().collect();
        rest.retain(|candidate| after.is_none_or(|after| ReviewPlace::of(candidate).is_after(after)));
        rest.sort_by(|a, b| a.margin.total_cmp(&b.margin).then_with(|| a.hash.cmp(&b.hash)));
        let (mut candidates, mut n_bytes) = (Vec::new(), 0);
        for candidate in rest.iter().take(size as usize) {
            if n_bytes >= max_bytes {
                break;
            }
            n_bytes += candidate.document.n_bytes();
            candidates.push((*candidate).clone());
        }
        let has_more = rest.len() > candidates.len();
        Ok(ReviewPage { candidates, has_more })
    }

    /// Forgets documents of a review queue; how many there were.
    ///
    /// # Errors
    /// The classifier doesn't exist, or the store fails.
    pub async fn delete_review_candidates(&self, call: DeleteReviewCall) -> Result<usize, Error> {
        self.classifier(&call.classifier).await?;
        let watch = self.traffic.watch_of(&call.classifier);
        Ok(watch.map_or(0, |watch| match &call.hashes {
            Some(hashes) => watch.erase(hashes),
            None => watch.erase_all(),
        }))
    }

    /// Forgets served documents that were erased where they are stored.
    pub(in crate::service) fn forget_served(&self, classifier: &ClassifierName, hashes: &[ContentHash]) {
        if let Some(watch) = self.traffic.watch_of(classifier) {
            watch.erase(hashes);
        }
    }

    /// Words of served documents that the vocabulary of a classifier's stable version lacks.
    ///
    /// # Errors
    /// The classifier doesn't exist, or the store fails.
    pub async fn unknown_terms(
        &self,
        classifier: ClassifierName,
        max_terms: usize,
    ) -> Result<UnknownTermsFound, Error> {
        self.classifier(&classifier).await?;
        let watch = self.traffic.watch_of(&classifier);
        let found = watch.and_then(|watch| {
            let contents = watch.contents();
            let (number, terms) = contents.unknown_terms.as_ref()?;
            Some((*number, terms.n_documents(), terms.most_frequent(max_terms)))
        });
        Ok(match found {
            None => UnknownTermsFound { version: None, n_documents: 0, terms: Vec::new() },
            Some((number, n_documents, terms)) => {
                UnknownTermsFound { version: Some(VersionName { classifier, number }), n_documents, terms }
            }
        })
    }

    /// How a classifier's candidate does beside its stable version; `None`: nothing was compared yet.
    ///
    /// # Errors
    /// The classifier doesn't exist, or the store fails.
    pub async fn shadow_report(&self, classifier: &ClassifierName) -> Result<Option<ShadowReport>, Error> {
        self.classifier(classifier).await?;
        Ok(self.traffic.shadow_report(classifier))
    }
}

impl Traffic {
    /// How a classifier's candidate does beside its stable version, as far as is known.
    pub(in crate::service) fn shadow_report(&self, classifier: &ClassifierName) -> Option<ShadowReport> {
        self.watch_of(classifier)?.contents().shadow.clone()
    }
}
