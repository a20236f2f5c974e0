//! Deleting versions that no alias means.

use std::sync::Arc;

use super::error::Error;
use super::model_name::{ModelName, VersionName};
use super::models::{Models, number_in};
use super::panic::panicked;
use super::promotion::{check_etag, stale};
use crate::store::ClassifierRecord;

/// A wish to delete a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteCall {
    /// The version.
    pub version: ModelName,
    /// Only if the classifier's etag is still this one.
    pub etag: Option<String>,
}

/// A version that is there no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletedVersion {
    /// Its name, which no other version will have.
    pub version: VersionName,
    /// What is left of its classifier.
    pub classifier: ClassifierRecord,
}

impl Models {
    /// Deletes a version, with its file unless another version has the same one. Who holds it in memory keeps it to the end
    /// of his call.
    ///
    /// # Errors
    /// The version doesn't exist, has an alias, is the one that the server was started with, or the etag isn't the
    /// classifier's any more.
    pub async fn delete(self: &Arc<Self>, call: DeleteCall) -> Result<DeletedVersion, Error> {
        let this = Arc::clone(self);
        // On a task of its own, so that what is deleted goes out of memory also when its caller is gone by then.
        let deleted = tokio::spawn(async move { this.delete_on_task(call).await });
        deleted.await.unwrap_or_else(|_| Err(panicked()))
    }

    async fn delete_on_task(&self, call: DeleteCall) -> Result<DeletedVersion, Error> {
        let DeleteCall { version: model, etag } = call;
        let classifier = self.known(&model.classifier).await?;
        let change = classifier.change().await;
        let record = self.classifier(&model.classifier).await?;
        check_etag(&record, etag.as_deref())?;
        let number = number_in(&record, &model)?;
        self.version_info(&model.classifier, number).await?;
        let version = VersionName { classifier: model.classifier, number };
        if let Some(alias) = record.aliases.alias_of(number) {
            return Err(Error::AliasedVersion { version, alias });
        }
        if version == self.built_in {
            return Err(Error::BuiltInVersion(version));
        }
        let deleted = self.store.delete_version(&record, number).await?;
        let record = deleted.ok_or_else(|| stale(&record))?;
        change.forget(record.clone(), number);
        tracing::info!(%version, "deleted");
        Ok(DeletedVersion { version, classifier: record })
    }
}
