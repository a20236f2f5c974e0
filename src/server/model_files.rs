//! The streams of `ExportModelVersion` and `ImportModelVersion`.

use futures_util::stream::{self, BoxStream, StreamExt};
use tonic::Status;

use super::caller::Caller;
use super::inbound::Inbound;
use crate::api::pb::export_model_version_response::Part;
use crate::api::{model_file_request, model_response, pb};
use crate::config::Limits;
use crate::service::{BegunImport, ExportedVersion, ModelFiles, VersionInfo};

/// The version, then its file, unless the caller's credential ends before.
pub(super) fn export(
    exported: ExportedVersion,
    caller: Caller,
) -> BoxStream<'static, Result<pb::ExportModelVersionResponse, Status>> {
    let ExportedVersion { info, chunks } = exported;
    let version = Part::ModelVersion(model_response::model_version(info));
    let parts = std::iter::once(version).chain(chunks.map(|chunk| Part::Chunk(chunk.into())));
    let parts = parts.map(move |part| {
        caller.check()?;
        Ok(pb::ExportModelVersionResponse { part: Some(part) })
    });
    stream::iter(parts).boxed()
}

/// Takes a file as it comes, and makes it a version at the end of the stream.
pub(super) async fn import(
    model_files: &ModelFiles,
    limits: &Limits,
    mut messages: Inbound<pb::ImportModelVersionRequest>,
) -> Result<VersionInfo, Status> {
    // A stream without a message is told what the first one lacks.
    let first = messages.next().await?.unwrap_or_default();
    messages.caller().admit(&first)?;
    let call = model_file_request::import_call(first, limits)?;
    let mut import = match model_files.begin(call).await? {
        BegunImport::Repeated(version) => return Ok(*version),
        BegunImport::New(import) => import,
    };
    while let Some(message) = messages.next().await? {
        import.append(&model_file_request::import_chunk(message)?)?;
    }
    Ok(model_files.finish(import).await?)
}
