//! Model files on their way to callers, and from callers to new versions.
//!
//! Checking a file and storing it need all of it, so that it is in memory as a whole while it is on its way. How much that
//! is over all calls is bounded; there is no queue: whoever would exceed the limit is told at once.

use std::num::NonZeroU32;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::{Error, FieldViolation};
use super::live::LiveVersion;
use super::model_name::{ModelName, VersionName};
use super::models::Models;
use super::panic::panicked;
use super::training::other_request;
use super::version_details::{VersionDetails, VersionInfo};
use crate::artifact::{self, Artifact};
use crate::cache_lines;
use crate::hexadecimal;
use crate::names::ClassifierName;
use crate::store::{
    ClassifierRecord, ImportedVersion, NewArtifact, NewVersion, RequestId, Store, StoreError, VersionOrigin,
};

/// Bytes of a file that are sent in one message.
const CHUNK_BYTES: usize = 256 * 1024;

/// Sends model files, and takes them in.
#[derive(Debug)]
pub struct ModelFiles {
    store: Store,
    models: Arc<Models>,
    /// Bytes of further files that may be in memory.
    room: Arc<Semaphore>,
    max_artifact_bytes: NonZeroU32,
}

/// A version and its file, of which the rest is still to be sent.
#[derive(Debug)]
pub struct ExportedVersion {
    /// The version.
    pub info: VersionInfo,
    /// Its file.
    pub chunks: FileChunks,
}

/// The rest of a file, piece by piece.
#[derive(Debug)]
pub struct FileChunks {
    rest: Bytes,
    _room: OwnedSemaphorePermit,
}

impl Iterator for FileChunks {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let n_bytes = self.rest.len().min(CHUNK_BYTES);
        (n_bytes > 0).then(|| self.rest.split_to(n_bytes))
    }
}

/// A checked wish to import a model file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportCall {
    /// Whose version it becomes.
    pub classifier: ClassifierName,
    /// The SHA-256 that the file is said to have.
    pub sha256: [u8; 32],
    /// The length that it is said to have; at most the limit.
    pub n_bytes: NonZeroU32,
    /// The caller's name for the request.
    pub request: Option<RequestId>,
}

/// What became of the wish to import.
#[derive(Debug)]
pub enum BegunImport {
    /// The same request has made this version before.
    Repeated(Box<VersionInfo>),
    /// The file may come.
    New(FileImport),
}

/// A file that is coming. Nothing of it is stored until [`ModelFiles::finish`] has returned.
#[derive(Debug)]
pub struct FileImport {
    call: ImportCall,
    bytes: Vec<u8>,
    room: OwnedSemaphorePermit,
}

impl ModelFiles {
    /// Sends and takes the files of these models' versions, up to so many bytes each and at a time.
    pub fn new(store: Store, models: Arc<Models>, max_artifact_bytes: NonZeroU32) -> Self {
        let room = Arc::new(Semaphore::new(max_artifact_bytes.get() as usize));
        Self { store, models, room, max_artifact_bytes }
    }

    /// A version with its file, read from the store and checked against its SHA-256.
    ///
    /// # Errors
    /// The version doesn't exist, its file is damaged, too much is on its way, or the store fails.
    pub async fn export(&self, model: &ModelName) -> Result<ExportedVersion, Error> {
        let info = self.models.version(model).await?;
        let room = self.reserve(info.record.artifact_bytes)?;
        let rest = match self.store.artifact(&info.record.artifact_sha256).await {
            Ok(bytes) => bytes,
            Err(error @ StoreError::DamagedArtifact) => {
                let version = VersionName { classifier: model.classifier.clone(), number: info.record.number };
                // It may be gone because the version has been deleted meanwhile, and then that is to be told.
                self.models.version_info(&version.classifier, version.number).await?;
                tracing::error!(%version, %error, "a model file can't be exported");
                return Err(Error::DamagedVersion { version, problem: error.to_string() });
            }
            Err(error) => return Err(error.into()),
        };
        Ok(ExportedVersion { info, chunks: FileChunks { rest, _room: room } })
    }

    /// Begins an import, unless the same request has made a version already.
    ///
    /// # Errors
    /// The request's name was used for another one, too much is on its way, or the store fails.
    pub async fn begin(&self, call: ImportCall) -> Result<BegunImport, Error> {
        if let Some(request) = &call.request {
            match self.store.requested_version(request).await? {
                Some((number, true)) => {
                    let version = self.models.version_info(&call.classifier, number).await?;
                    return Ok(BegunImport::Repeated(Box::new(version)));
                }
                Some((_, false)) => return Err(other_request()),
                None => {}
            }
        }
        let room = self.reserve(call.n_bytes.get().into())?;
        let bytes = Vec::with_capacity(call.n_bytes.get() as usize);
        Ok(BegunImport::New(FileImport { call, bytes, room }))
    }

    /// Checks a file that has come as a whole, and makes it a version, which has no alias.
    ///
    /// # Errors
    /// The file isn't the one that was announced, or no model; or the store fails. Then nothing is stored.
    pub async fn finish(&self, import: FileImport) -> Result<VersionInfo, Error> {
        let FileImport { call, bytes, room } = import;
        if bytes.len() < call.n_bytes.get() as usize {
            return Err(other_length(&call, format_args!("the stream ended after {}", bytes.len())));
        }
        let sha256 = call.sha256;
        let checked = tokio::task::spawn_blocking(move || check(bytes.into(), &sha256)).await;
        let (file, model) = checked.unwrap_or_else(|_| Err(panicked()))?;
        let imported = self.models.add_imported(&call.classifier, file, model, call.request.as_ref()).await;
        drop(room);
        imported
    }

    /// Makes room for a file in memory. A stored one may be larger than the limit, which may have been another one.
    fn reserve(&self, n_bytes: u64) -> Result<OwnedSemaphorePermit, Error> {
        let limit = self.max_artifact_bytes.get();
        let n_permits = u32::try_from(n_bytes).map_or(limit, |n_bytes| n_bytes.min(limit));
        let room = Arc::clone(&self.room).try_acquire_many_owned(n_permits);
        room.map_err(|_| Error::TooManyModelFiles { n_bytes, limit })
    }
}

impl FileImport {
    /// Takes the file's next bytes.
    ///
    /// # Errors
    /// They are more than was announced.
    pub fn append(&mut self, chunk: &[u8]) -> Result<(), Error> {
        if chunk.len() > self.call.n_bytes.get() as usize - self.bytes.len() {
            return Err(other_length(&self.call, format_args!("more came")));
        }
        self.bytes.extend_from_slice(chunk);
        Ok(())
    }
}

impl Models {
    async fn add_imported(
        &self,
        name: &ClassifierName,
        artifact: NewArtifact,
        model: Artifact,
        request: Option<&RequestId>,
    ) -> Result<VersionInfo, Error> {
        let stored = self.store.classifier(name).await?;
        let classifier = self.live.add(stored.unwrap_or_else(|| ClassifierRecord::new(name.clone())));
        let change = classifier.change().await;
        let version = NewVersion {
            origin: VersionOrigin::Imported,
            job: None,
            dataset_revision: None,
            parent: None,
            details: VersionDetails::of(&model).to_json(),
            // If it was trained here, it is known what it was trained on.
            out_of_fold: self.store.out_of_fold_of_artifact(artifact.sha256()).await?,
            artifact,
        };
        let number = match self.store.add_imported(name, &version, request).await? {
            ImportedVersion::New { number, record } => {
                let stable = change.serving().stable().cloned();
                change.answer_with(record.clone(), stable);
                let version = VersionName { classifier: name.clone(), number };
                tracing::info!(%version, "imported");
                let room = self.memory.room(&self.live, model.bytes.len() as u64).await;
                change.load(Arc::new(LiveVersion::new(version, model)));
                drop(room);
                self.retain(&change, record).await;
                number
            }
            ImportedVersion::Repeated(number) => number,
            ImportedVersion::OtherRequest => return Err(other_request()),
        };
        self.version_info(name, number).await
    }
}

/// Whether bytes are the file that was announced, and a model.
fn check(bytes: Bytes, sha256: &[u8; 32]) -> Result<(NewArtifact, Artifact), Error> {
    // Both have the same bytes, in one place.
    let bytes = cache_lines::begin_line(bytes);
    let file = NewArtifact::new(bytes.clone());
    if file.sha256() != sha256 {
        let description = format!(
            "is {}, but the chunks have {}; nothing was stored: send the file again, or its own SHA-256",
            hexadecimal::encode(sha256),
            hexadecimal::encode(file.sha256())
        );
        return Err(violation("file.artifact_sha256", "CHECKSUM_MISMATCH", description));
    }
    let not_a_model = |error: artifact::ArtifactError| {
        violation("chunk", "NOT_A_MODEL", format!("is of no model file that can be used: {error}"))
    };
    let model = artifact::decode(bytes).map_err(not_a_model)?;
    Ok((file, model))
}

fn other_length(call: &ImportCall, came: std::fmt::Arguments<'_>) -> Error {
    let description = format!("is {}, but {came}; nothing was stored", call.n_bytes);
    violation("file.artifact_bytes", "LENGTH_MISMATCH", description)
}

fn violation(field: &str, reason: &'static str, description: String) -> Error {
    Error::InvalidRequest(vec![FieldViolation { field: field.to_owned(), reason, description }])
}
