//! How much is stored.

use super::{FILE_NAME, Store, StoreError, number};

/// How much a store holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreSize {
    /// The database and its write-ahead log, in bytes on the disk.
    pub database_bytes: u64,
    /// The model files in it, in bytes; each counts once, however many versions it is.
    pub artifact_bytes: u64,
    /// The documents of all classifiers, each in its newest revision.
    pub n_documents: u64,
    /// The versions of all classifiers.
    pub n_versions: u64,
}

impl Store {
    /// How much there is. Documents are counted in indexes, without reading any: a million of them take about 15 ms.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Damaged`].
    pub async fn size(&self) -> Result<StoreSize, StoreError> {
        let (artifact_bytes, n_versions, n_all, n_staged, n_ended): (i64, i64, i64, i64, i64) = sqlx::query_as(
            "SELECT (SELECT CAST(COALESCE(SUM(n_bytes), 0) AS BIGINT) FROM artifacts), \
             (SELECT COUNT(*) FROM versions), \
             (SELECT COUNT(*) FROM examples), \
             (SELECT COUNT(*) FROM examples WHERE import_id IN (SELECT id FROM imports WHERE revision IS NULL)), \
             (SELECT COUNT(*) FROM examples WHERE until_revision IS NOT NULL)",
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(StoreSize {
            database_bytes: self.database_bytes().await,
            artifact_bytes: number("number of bytes", artifact_bytes)?,
            n_documents: number("number of documents", n_all - n_staged - n_ended)?,
            n_versions: number("number of versions", n_versions)?,
        })
    }

    /// Bytes of the database and its write-ahead log on the disk.
    pub async fn database_bytes(&self) -> u64 {
        let database = self.data_dir.path().join(FILE_NAME);
        let n_bytes = move || {
            let mut log = database.as_os_str().to_owned();
            log.push("-wal");
            // There is no log when the database was closed, or before anything was written.
            let n_bytes = |path: &std::path::Path| std::fs::metadata(path).map_or(0, |metadata| metadata.len());
            n_bytes(&database) + n_bytes(log.as_ref())
        };
        tokio::task::spawn_blocking(n_bytes).await.unwrap_or(0)
    }
}
