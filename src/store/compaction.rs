//! How what was deleted leaves the disk.
//!
//! SQLite is told to overwrite what is deleted (`secure_delete`), but pages that were rearranged may keep copies in their
//! gaps, and the write-ahead log holds earlier pages until they have gone to their places. [`Store::compact`] writes the
//! database anew and empties the log. All of this is SQLite's own; PostgreSQL's VACUUM FULL does the same.

use super::{Store, StoreError};

impl Store {
    /// Writes the database anew, so that nothing that was deleted is left in its files. Readers go on meanwhile, writers
    /// wait.
    ///
    /// # Errors
    /// [`StoreError::Database`]: no space; the database is as it was then. [`StoreError::InUse`]: a reader kept old pages in
    /// the log for half a minute.
    pub async fn compact(&self) -> Result<(), StoreError> {
        let mut writer = self.writer.acquire().await?;
        sqlx::query("VACUUM").execute(&mut *writer).await?;
        let (is_busy, ..): (i64, i64, i64) =
            sqlx::query_as("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&mut *writer).await?;
        if is_busy == 0 { Ok(()) } else { Err(StoreError::InUse) }
    }
}
