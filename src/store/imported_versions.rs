//! Versions that callers sent: stored once, however often their request is repeated.

use std::num::NonZeroU32;

use sqlx::sqlite::SqliteConnection;

use super::classifiers::{read_classifier, touch_classifier};
use super::jobs::REQUEST_ID_LIFETIME_MS;
use super::versions::insert_version;
use super::{ClassifierRecord, NewVersion, RequestId, Store, StoreError, now_ms, version_number};
use crate::names::ClassifierName;

/// What became of a version that a caller sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImportedVersion {
    /// It is stored.
    New {
        /// Its number.
        number: NonZeroU32,
        /// What its classifier is with it.
        record: ClassifierRecord,
    },
    /// The same request has made the version with this number before; nothing was stored.
    Repeated(NonZeroU32),
    /// The request id was used for another request; nothing was stored.
    OtherRequest,
}

impl Store {
    /// Stores a version that a caller sent, and moves no alias. The classifier is created if it isn't there.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn add_imported(
        &self,
        classifier: &ClassifierName,
        version: &NewVersion,
        request: Option<&RequestId>,
    ) -> Result<ImportedVersion, StoreError> {
        let mut transaction = self.writer.begin().await?;
        touch_classifier(&mut transaction, classifier).await?;
        if let Some(request) = request
            && let Some((number, is_same)) = find_request(&mut transaction, request).await?
        {
            transaction.rollback().await?;
            return Ok(if is_same { ImportedVersion::Repeated(number) } else { ImportedVersion::OtherRequest });
        }
        let number = insert_version(&mut transaction, classifier, version, |aliases, _| aliases).await?;
        if let Some(request) = request {
            note_request(&mut transaction, classifier, number, request).await?;
        }
        let record = read_classifier(&mut transaction, classifier).await?;
        transaction.commit().await?;
        Ok(ImportedVersion::New { number, record })
    }

    /// The number of the version that was made by a request of this name, if it can be told still, and whether the request
    /// was the same, so that it is a version of the same classifier.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Damaged`].
    pub async fn requested_version(&self, request: &RequestId) -> Result<Option<(NonZeroU32, bool)>, StoreError> {
        find_request(&mut *self.pool.acquire().await?, request).await
    }

    /// What was stored as the out-of-fold predictions of any version with this file; nothing if there are none.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn out_of_fold_of_artifact(&self, sha256: &[u8; 32]) -> Result<Vec<u8>, StoreError> {
        let stored = sqlx::query_scalar(
            "SELECT out_of_fold FROM versions WHERE artifact_sha256 = $1 AND LENGTH(out_of_fold) > 0 LIMIT 1",
        );
        Ok(stored.bind(&sha256[..]).fetch_optional(&self.pool).await?.unwrap_or_default())
    }
}

async fn find_request(
    connection: &mut SqliteConnection,
    request: &RequestId,
) -> Result<Option<(NonZeroU32, bool)>, StoreError> {
    let row: Option<(i64, Option<Vec<u8>>)> =
        sqlx::query_as("SELECT number, request_sha256 FROM versions WHERE request_id = $1 AND created_at > $2")
            .bind(request.id.as_str())
            .bind(now_ms() - REQUEST_ID_LIFETIME_MS)
            .fetch_optional(connection)
            .await?;
    row.map(|(number, sha256)| Ok((version_number(number)?, sha256.as_deref() == Some(&request.sha256[..]))))
        .transpose()
}

async fn note_request(
    connection: &mut SqliteConnection,
    classifier: &ClassifierName,
    number: NonZeroU32,
    request: &RequestId,
) -> Result<(), StoreError> {
    // An id that is older than its life may be used again.
    sqlx::query("UPDATE versions SET request_id = NULL WHERE request_id = $1")
        .bind(request.id.as_str())
        .execute(&mut *connection)
        .await?;
    sqlx::query("UPDATE versions SET request_id = $1, request_sha256 = $2 WHERE classifier = $3 AND number = $4")
        .bind(request.id.as_str())
        .bind(&request.sha256[..])
        .bind(classifier.as_str())
        .bind(i64::from(number.get()))
        .execute(connection)
        .await?;
    Ok(())
}
