//! Labelled documents for callers: imports of any length.

use super::error::Error;
use crate::document::LabeledDocument;
use crate::names::ClassifierName;
use crate::store::{Import, ImportOutcome, Store};

/// Keeps labelled documents.
#[derive(Debug)]
pub struct DatasetService {
    store: Store,
}

impl DatasetService {
    /// Keeps them in this store.
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    /// Begins an import: nobody sees its documents until [`Self::publish`] has returned.
    ///
    /// # Errors
    /// [`Error::StoreFailed`].
    pub async fn begin(&self, classifier: &ClassifierName) -> Result<Import, Error> {
        Ok(self.store.begin_import(classifier).await?)
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
    /// [`Error::StoreFailed`].
    pub async fn publish(&self, import: Import) -> Result<ImportOutcome, Error> {
        Ok(import.publish().await?)
    }

    /// Forgets an import's documents.
    pub async fn discard(&self, import: Import) {
        if let Err(error) = import.discard().await {
            tracing::error!(%error, "what was staged couldn't be deleted; the next start does it");
        }
    }

    /// Closes the database.
    pub async fn close(&self) {
        self.store.close().await;
    }
}
