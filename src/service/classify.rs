//! Classifying for callers: one document, or a batch of them.
//!
//! There is one way to an answer, [`answer`], whoever asks: a document gets the same answer, to the bit, alone, in a
//! batch and in a stream.

use std::cell::RefCell;
use std::num::NonZeroU32;
use std::sync::Arc;

use super::counters::DocumentCounters;
use super::error::Error;
use super::live::LiveVersion;
use super::model_name::ModelName;
use super::models::Models;
use super::panic::catch;
use super::traffic::watch::WatchedCall;
use super::workers::{IsAwaited, Workers};
use crate::classifier::{Classification, ClassifyOptions, ClassifyScratch};
use crate::document::Document;

/// A single document up to this size, in bytes, is classified on the thread that serves its connection, where other
/// calls wait meanwhile: measured with the bundled model, 0.2 ms for this size and 0.03 ms for a usual 2 kB. Larger
/// ones, and batches, go to the workers.
pub const MAX_INLINE_BYTES: usize = 16 * 1024;

/// The buffers that a document of more bytes needed aren't kept: they take up to seventy times as much, on each thread.
const MAX_KEPT_BYTES: usize = 256 * 1024;

/// A document within the limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedDocument {
    /// The document, as it is classified.
    pub document: Document,
    /// Whether its end was left out to make it fit.
    pub truncated: bool,
}

/// One document to classify.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassifyCall {
    /// Which model is asked.
    pub model: ModelName,
    /// What is classified.
    pub document: AcceptedDocument,
    /// What to answer.
    pub options: ClassifyOptions,
}

/// Documents to classify by the same model with the same options.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchCall {
    /// Which model is asked.
    pub model: ModelName,
    /// What is classified; a document that can't be keeps its place with the reason.
    pub documents: Vec<Result<AcceptedDocument, Error>>,
    /// What to answer.
    pub options: ClassifyOptions,
}

/// The answer to one document.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The version that answered.
    pub version: Arc<LiveVersion>,
    /// What it said.
    pub classification: Classification,
    /// The caller's name for the document.
    pub document_id: String,
    /// Whether the document's end was left out.
    pub truncated: bool,
}

/// Classifies documents for all callers.
#[derive(Debug)]
pub struct ClassifyService {
    pub(super) models: Arc<Models>,
    workers: Workers,
    documents: Arc<DocumentCounters>,
}

/// Who takes note of a call's answers.
#[derive(Debug)]
pub struct Witness {
    documents: Arc<DocumentCounters>,
    watch: Option<WatchedCall>,
}

impl ClassifyService {
    /// Starts the workers.
    ///
    /// # Errors
    /// The operating system gives no more threads.
    pub fn start(
        models: Arc<Models>,
        max_documents_in_flight: NonZeroU32,
    ) -> Result<Self, rayon::ThreadPoolBuildError> {
        let workers = Workers::start(max_documents_in_flight)?;
        Ok(Self { models, workers, documents: Arc::default() })
    }

    /// The workers, and the limit on what is in flight.
    pub fn workers(&self) -> &Workers {
        &self.workers
    }

    /// The documents that were classified.
    pub fn documents(&self) -> &DocumentCounters {
        &self.documents
    }

    fn witness(&self, model: &ModelName) -> Witness {
        Witness { documents: Arc::clone(&self.documents), watch: self.models.traffic.watch(model) }
    }

    /// Classifies one document.
    ///
    /// # Errors
    /// The model is unknown, too much is in flight, or there was a panic.
    pub async fn classify(&self, call: ClassifyCall) -> Result<Answer, Error> {
        let ClassifyCall { model, document, options } = call;
        let version = self.models.resolve(&model).await?;
        let admission = self.workers.admit(1)?;
        let witness = self.witness(&model);
        if document.document.n_bytes() <= MAX_INLINE_BYTES {
            return answer(&version, document, &options, Some(&witness));
        }
        let classify =
            move |is_awaited: IsAwaited<'_>| is_awaited().then(|| answer(&version, document, &options, Some(&witness)));
        self.workers.run(admission, classify).await?
    }

    /// Classifies a batch: one result a document, in their order.
    ///
    /// # Errors
    /// The model is unknown, or too much is in flight. What concerns one document is its own result.
    pub async fn classify_batch(&self, call: BatchCall) -> Result<Vec<Result<Answer, Error>>, Error> {
        let BatchCall { model, documents, options } = call;
        let version = self.models.resolve(&model).await?;
        let n_documents = u32::try_from(documents.len()).unwrap_or(u32::MAX);
        let admission = self.workers.admit(n_documents)?;
        let witness = self.witness(&model);
        let classify = move |document: Result<AcceptedDocument, Error>| {
            document.and_then(|document| answer(&version, document, &options, Some(&witness)))
        };
        self.workers.map(admission, documents, classify).await
    }
}

/// Classifies one document on this thread; the witness takes note of it.
///
/// # Errors
/// [`Error::Panicked`].
pub fn answer(
    version: &Arc<LiveVersion>,
    document: AcceptedDocument,
    options: &ClassifyOptions,
    witness: Option<&Witness>,
) -> Result<Answer, Error> {
    thread_local! {
        static SCRATCH: RefCell<Option<ClassifyScratch>> = const { RefCell::new(None) };
    }
    let AcceptedDocument { document, truncated } = document;
    let classification = catch(|| {
        // Taken, not borrowed: a panic loses the buffers, and the next document starts with new ones.
        let mut scratch = SCRATCH.take().unwrap_or_default();
        let classification = version.classifier.classify(&document, options, &mut scratch);
        if document.n_bytes() <= MAX_KEPT_BYTES {
            SCRATCH.set(Some(scratch));
        }
        classification
    })
    .inspect_err(|_| witness.into_iter().for_each(|witness| witness.documents.add_failed()))?;
    if let Some(witness) = witness {
        witness.see(version, (&document, !truncated), &classification);
    }
    Ok(Answer { version: Arc::clone(version), classification, document_id: document.id, truncated })
}

impl Witness {
    fn see(&self, version: &Arc<LiveVersion>, document: (&Document, bool), answer: &Classification) {
        self.documents.add(answer);
        version.served.add(answer);
        if let Some(watch) = &self.watch {
            watch.see(version, document, answer);
        }
    }
}
