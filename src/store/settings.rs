//! What classifiers are told to do: JSON of the service's, which the store keeps and doesn't read.

use super::classifiers::{read_classifier, touch_classifier};
use super::{ClassifierRecord, Store, StoreError};
use crate::names::ClassifierName;

impl Store {
    /// Makes sure that a classifier is there; one that is new has no documents and no versions.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn add_classifier(&self, classifier: &ClassifierName) -> Result<ClassifierRecord, StoreError> {
        let mut transaction = self.writer.begin().await?;
        touch_classifier(&mut transaction, classifier).await?;
        let record = read_classifier(&mut transaction, classifier).await?;
        transaction.commit().await?;
        self.changed.notify_one();
        Ok(record)
    }

    /// Replaces the settings of a classifier that is there; `None` when its etag isn't the expected one any more.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn replace_settings(
        &self,
        classifier: &ClassifierName,
        expected_etag: u64,
        settings: &str,
    ) -> Result<Option<ClassifierRecord>, StoreError> {
        let mut transaction = self.writer.begin().await?;
        let updated =
            sqlx::query("UPDATE classifiers SET settings = $1, etag = etag + 1 WHERE name = $2 AND etag = $3")
                .bind(settings)
                .bind(classifier.as_str())
                .bind(expected_etag as i64)
                .execute(&mut *transaction)
                .await?;
        if updated.rows_affected() == 0 {
            return Ok(None);
        }
        let record = read_classifier(&mut transaction, classifier).await?;
        transaction.commit().await?;
        self.changed.notify_one();
        Ok(Some(record))
    }
}
