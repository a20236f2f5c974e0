//! Labelled documents for callers: imports of any length, feedback, reading, and changes of a dataset as a whole.

use std::sync::Arc;

use super::erasure::{DeleteExamplesCall, Deleted, erase};
use super::error::Error;
use super::models::Models;
use super::panic::panicked;
use super::training::TrainingService;
use crate::access::Principal;
use crate::document::{ContentHash, LabeledDocument, Topic};
use crate::names::ClassifierName;
use crate::store::{DatasetSummary, Examples, Import, ImportOutcome, Owner, RenameOutcome, Store};

/// Keeps labelled documents.
#[derive(Debug)]
pub struct DatasetService {
    store: Store,
    models: Arc<Models>,
    training: Arc<TrainingService>,
}

/// Which documents are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExamplesCall {
    /// Whose.
    pub classifier: ClassifierName,
    /// Of which revision; `None`: the newest.
    pub revision: Option<u32>,
    /// Only those that have it.
    pub topic: Option<Topic>,
}

/// Which page of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListExamplesCall {
    /// Of which documents.
    pub examples: ExamplesCall,
    /// The content hash of the last document before it.
    pub after: Option<ContentHash>,
    /// The most documents.
    pub size: u32,
    /// The most bytes of titles and texts, but for the last document's.
    pub max_bytes: usize,
}

/// A page of documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExamplePage {
    /// The revision that is listed; 0: there are none.
    pub revision: u32,
    /// The documents, by content hash.
    pub examples: Vec<LabeledDocument>,
    /// Whether more follow.
    pub has_more: bool,
}

/// A wish to give a topic another name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenameCall {
    /// In whose documents.
    pub classifier: ClassifierName,
    /// The topic.
    pub topic: Topic,
    /// Its new name.
    pub new_topic: Topic,
    /// Also if that is a topic already.
    pub merge: bool,
}

/// A topic has another name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Renamed {
    /// The revision that this made.
    pub revision: u32,
    /// Documents that had the topic.
    pub n_documents: u64,
}

/// A principal as the owner of documents.
pub fn owner(principal: &Principal) -> Owner {
    Owner { name: principal.name().to_owned(), max_documents: principal.quotas().stored_documents }
}

impl DatasetService {
    /// Keeps them in this store.
    pub fn new(store: Store, models: Arc<Models>, training: Arc<TrainingService>) -> Self {
        Self { store, models, training }
    }

    /// Begins an import: nobody sees its documents until [`Self::publish`] has returned.
    ///
    /// # Errors
    /// [`Error::StoreFailed`].
    pub async fn begin(&self, classifier: &ClassifierName, owner: Option<Owner>) -> Result<Import, Error> {
        Ok(self.store.begin_import(classifier).await?.owned_by(owner))
    }

    /// Writes some documents of an import.
    ///
    /// # Errors
    /// [`Error::StoreFailed`]; then the import can only be discarded.
    pub async fn stage(&self, import: &mut Import, examples: &[LabeledDocument]) -> Result<(), Error> {
        Ok(import.stage(examples).await?)
    }

    /// Makes an import's documents a new revision: all or, when it fails, none of them.
    ///
    /// # Errors
    /// [`Error::StorageQuota`], [`Error::StoreFailed`].
    pub async fn publish(&self, import: Import) -> Result<ImportOutcome, Error> {
        Ok(import.publish().await?)
    }

    /// Forgets an import's documents.
    pub async fn discard(&self, import: Import) {
        if let Err(error) = import.discard().await {
            tracing::error!(%error, "what was staged couldn't be deleted; the next start does it");
        }
    }

    /// Imports documents that are all here.
    ///
    /// # Errors
    /// [`Error::StorageQuota`], [`Error::StoreFailed`]; then none of them is kept.
    pub async fn add(
        self: &Arc<Self>,
        classifier: ClassifierName,
        owner: Option<Owner>,
        examples: Vec<LabeledDocument>,
    ) -> Result<ImportOutcome, Error> {
        let this = Arc::clone(self);
        // On a task of its own: whether or not the caller is still there, nothing is left half done.
        let added = tokio::spawn(async move {
            let mut import = this.begin(&classifier, owner).await?;
            match this.stage(&mut import, &examples).await {
                Ok(()) => this.publish(import).await,
                Err(error) => {
                    this.discard(import).await;
                    Err(error)
                }
            }
        });
        added.await.unwrap_or_else(|_| Err(panicked()))
    }

    /// What a dataset holds; `None`: its newest revision.
    ///
    /// # Errors
    /// The classifier or the revision doesn't exist, or the store fails.
    pub async fn dataset(&self, classifier: &ClassifierName, revision: Option<u32>) -> Result<DatasetSummary, Error> {
        let revision = self.revision(classifier, revision).await?;
        Ok(self.store.dataset(classifier, revision).await?)
    }

    /// A page of documents.
    ///
    /// # Errors
    /// The classifier or the revision doesn't exist, or the store fails.
    pub async fn list(&self, call: ListExamplesCall) -> Result<ExamplePage, Error> {
        let ListExamplesCall { examples: ExamplesCall { classifier, revision, topic }, after, size, max_bytes } = call;
        let revision = self.revision(&classifier, revision).await?;
        if revision == 0 {
            return Ok(ExamplePage { revision, examples: Vec::new(), has_more: false });
        }
        let mut stored = self.store.examples(&classifier, Some(revision)).await?.with_topic(topic);
        if let Some(hash) = after {
            stored = stored.after(hash);
        }
        let examples = stored.next_of(size, max_bytes).await?;
        let has_more = !stored.next_of(1, 1).await?.is_empty();
        Ok(ExamplePage { revision, examples, has_more })
    }

    /// All documents, to be read bit by bit; `None`: there are none.
    ///
    /// # Errors
    /// The classifier or the revision doesn't exist, or the store fails.
    pub async fn export(&self, call: ExamplesCall) -> Result<Option<Examples>, Error> {
        match self.revision(&call.classifier, call.revision).await? {
            0 => Ok(None),
            revision => Ok(Some(self.store.examples(&call.classifier, Some(revision)).await?.with_topic(call.topic))),
        }
    }

    /// The revision that is meant: the newest if none is named.
    async fn revision(&self, classifier: &ClassifierName, revision: Option<u32>) -> Result<u32, Error> {
        let newest = self.models.classifier(classifier).await?.dataset_revision;
        match revision {
            None => Ok(newest),
            Some(revision) if revision <= newest => Ok(revision),
            Some(revision) => Err(Error::UnknownRevision { classifier: classifier.clone(), revision, newest }),
        }
    }

    /// Gives a topic another name in all documents.
    ///
    /// # Errors
    /// The classifier or the topic doesn't exist, the new name does and merging isn't asked for, or the store fails.
    pub async fn rename(&self, call: RenameCall) -> Result<Renamed, Error> {
        let RenameCall { classifier, topic, new_topic, merge } = call;
        self.models.classifier(&classifier).await?;
        let renamed = self.store.rename_topic(&classifier, &topic, &new_topic, merge).await?;
        match renamed {
            RenameOutcome::Renamed { revision, n_documents } => Ok(Renamed { revision, n_documents }),
            RenameOutcome::UnknownTopic => Err(Error::UnknownDatasetTopic { classifier, topic: topic.to_string() }),
            RenameOutcome::Exists => Err(Error::TopicExists { classifier, topic: new_topic.to_string() }),
        }
    }

    /// Erases documents, as [`erase`] does. Meanwhile nothing is trained of them.
    ///
    /// # Errors
    /// The classifier doesn't exist or is being trained, or the store fails.
    pub async fn delete(self: &Arc<Self>, call: DeleteExamplesCall) -> Result<Deleted, Error> {
        self.models.classifier(&call.classifier).await?;
        // A training that has read them already would make a version of them.
        let place = self.training.reserve(&call.classifier)?;
        let this = Arc::clone(self);
        // On a task of its own: versions that shall go with the documents go also when the caller is gone by then.
        let deleted = tokio::spawn(async move {
            let deleted = erase(&this.store, &this.models, &this.training.pool(), call).await;
            drop(place);
            deleted
        });
        deleted.await.unwrap_or_else(|_| Err(panicked()))
    }

    /// Writes the database anew, without what was deleted; its bytes before and after.
    ///
    /// # Errors
    /// There is no space, the database is in use for too long, or it fails.
    pub async fn compact(self: &Arc<Self>) -> Result<(u64, u64), Error> {
        let this = Arc::clone(self);
        let compacted = tokio::spawn(async move {
            let before = this.store.database_bytes().await;
            this.store.compact().await?;
            let after = this.store.database_bytes().await;
            tracing::info!(before, after, "the database was written anew");
            Ok((before, after))
        });
        compacted.await.unwrap_or_else(|_| Err(panicked()))
    }

    /// Closes the database.
    pub async fn close(&self) {
        self.store.close().await;
    }
}
