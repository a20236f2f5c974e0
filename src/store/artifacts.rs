//! Model files: bytes here, each stored once, by its SHA-256.

use bytes::Bytes;
use sha2::{Digest, Sha256};
use sqlx::sqlite::SqliteConnection;

use super::{Store, StoreError};

/// A model file to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewArtifact {
    bytes: Bytes,
    sha256: [u8; 32],
}

impl NewArtifact {
    /// Computes the SHA-256, which takes some milliseconds a megabyte.
    pub fn new(bytes: Bytes) -> Self {
        let sha256 = sha256_of(&bytes);
        Self { bytes, sha256 }
    }

    /// The name that it is stored by.
    pub fn sha256(&self) -> &[u8; 32] {
        &self.sha256
    }
}

impl Store {
    /// A model file, checked against the name that it is stored by.
    ///
    /// # Errors
    /// [`StoreError::DamagedArtifact`] when its bytes have changed, [`StoreError::Database`].
    pub async fn artifact(&self, sha256: &[u8; 32]) -> Result<Bytes, StoreError> {
        let content: Option<Vec<u8>> = sqlx::query_scalar("SELECT content FROM artifacts WHERE sha256 = $1")
            .bind(&sha256[..])
            .fetch_optional(&self.pool)
            .await?;
        let content = content.ok_or(StoreError::DamagedArtifact)?;
        let (content, actual) = tokio::task::spawn_blocking(move || {
            let actual = sha256_of(&content);
            (content, actual)
        })
        .await
        .map_err(|_| StoreError::DamagedArtifact)?;
        if actual == *sha256 { Ok(content.into()) } else { Err(StoreError::DamagedArtifact) }
    }
}

/// Stores a model file. One that is there is written again: its bytes may have changed on the disk, and training the version
/// again, or importing it, is how to mend that.
pub(super) async fn insert_artifact(
    connection: &mut SqliteConnection,
    artifact: &NewArtifact,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO artifacts (sha256, n_bytes, content) VALUES ($1, $2, $3) \
         ON CONFLICT (sha256) DO UPDATE SET n_bytes = excluded.n_bytes, content = excluded.content",
    )
    .bind(&artifact.sha256[..])
    .bind(artifact.bytes.len() as i64)
    .bind(&artifact.bytes[..])
    .execute(connection)
    .await?;
    Ok(())
}

/// Deletes a model file that no version has.
pub(super) async fn delete_unused_artifact(connection: &mut SqliteConnection, sha256: &[u8]) -> Result<(), StoreError> {
    sqlx::query(
        "DELETE FROM artifacts WHERE sha256 = $1 \
         AND NOT EXISTS (SELECT 1 FROM versions WHERE versions.artifact_sha256 = artifacts.sha256)",
    )
    .bind(sha256)
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) fn sha256_of(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}
