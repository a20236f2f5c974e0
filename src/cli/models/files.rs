//! `topicd models export` and `import`: model files out of versions, and into them.

use std::error::Error;
use std::fs;
use std::io::{self, Write};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::version_name;
use super::versions::{Versions, said};
use crate::api::pb::{export_model_version_response, import_model_version_request};
use crate::api::{json, model_request, model_response, pb};
use crate::cli::place::PlaceArgs;
use crate::cli::{CommandResult, remote, stored};
use crate::config::Limits;
use crate::hexadecimal;
use crate::names::ClassifierName;
use crate::new_file::NewFile;
use crate::service::{BegunImport, ImportCall, ModelFiles};

/// Bytes of a file that are sent in one message.
const CHUNK_BYTES: usize = 256 * 1024;

/// What `topicd models export` is told.
#[derive(Debug, clap::Args)]
pub(super) struct ExportArgs {
    /// The version: CLASSIFIER (its stable version), CLASSIFIER/NUMBER, CLASSIFIER/candidate and so on.
    #[arg(value_name = "VERSION", value_parser = version_name)]
    version: String,

    /// Where the model file goes; a file that is there is replaced.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,

    #[command(flatten)]
    place: PlaceArgs,
}

/// What `topicd models import` is told.
#[derive(Debug, clap::Args)]
pub(super) struct ImportArgs {
    /// The model file.
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Whose version it becomes; the classifier is created if it isn't there.
    #[arg(long, value_name = "NAME", value_parser = stored::classifier)]
    classifier: ClassifierName,

    #[command(flatten)]
    place: PlaceArgs,

    /// Print one JSON object instead of a sentence.
    #[arg(long)]
    json: bool,
}

/// Exports.
///
/// # Errors
/// No such place or version, a damaged one, or a file that can't be written.
pub(super) async fn export(args: &ExportArgs) -> CommandResult {
    let (name, sha256, bytes) = match Versions::open(&args.place).await? {
        Versions::Here { store, models } => {
            let info = models.version(&model_request::model_version(&args.version)?).await?;
            let bytes = store.artifact(&info.record.artifact_sha256).await?;
            let version = model_response::model_version(info);
            (version.name, version.artifact_sha256, bytes.to_vec())
        }
        Versions::Server(mut client) => {
            let request = pb::ExportModelVersionRequest { model_version: args.version.clone() };
            let mut messages = said(client.export_model_version(request).await)?;
            let (mut version, mut bytes) = (pb::ModelVersion::default(), Vec::new());
            while let Some(message) = messages.message().await.map_err(|status| remote::refusal(&status))? {
                match message.part {
                    Some(export_model_version_response::Part::ModelVersion(told)) => version = told,
                    Some(export_model_version_response::Part::Chunk(chunk)) => bytes.extend(chunk),
                    None => {}
                }
            }
            (version.name, version.artifact_sha256, bytes)
        }
    };
    if sha256_of(&bytes) != sha256 {
        return Err(format!("{name} didn't arrive whole: its SHA-256 is another one; try again").into());
    }
    let written = NewFile::create(&args.out).and_then(|mut file| {
        file.unfinished.write_all(&bytes)?;
        file.keep()
    });
    written.map_err(|error| format!("can't write {}: {error}", args.out.display()))?;
    writeln!(io::stdout().lock(), "{name}: {} bytes, SHA-256 {sha256}.", bytes.len())?;
    Ok(())
}

/// Imports.
///
/// # Errors
/// No such place, a file that can't be read or is no model.
pub(super) async fn import(args: &ImportArgs) -> CommandResult {
    let bytes = fs::read(&args.file).map_err(|error| format!("can't read {}: {error}", args.file.display()))?;
    let version = match Versions::open(&args.place).await? {
        Versions::Here { store, models } => {
            let files = ModelFiles::new(store, Arc::clone(&models), Limits::MAX_ARTIFACT_BYTES);
            model_response::model_version(import_here(args, &files, &bytes).await?)
        }
        Versions::Server(mut client) => {
            let file = pb::ModelFile {
                classifier: args.classifier.to_string(),
                artifact_sha256: sha256_of(&bytes),
                artifact_bytes: bytes.len() as u64,
                request_id: String::new(),
            };
            let chunks: Vec<Vec<u8>> = bytes.chunks(CHUNK_BYTES).map(<[u8]>::to_vec).collect();
            let parts = std::iter::once(import_model_version_request::Part::File(file))
                .chain(chunks.into_iter().map(import_model_version_request::Part::Chunk));
            let messages = parts.map(|part| pb::ImportModelVersionRequest { part: Some(part) });
            said(client.import_model_version(tokio_stream::iter(messages)).await)?.model_version.unwrap_or_default()
        }
    };
    let out = &mut io::stdout().lock();
    if args.json {
        return Ok(writeln!(out, "{}", json::to_json(&version)?)?);
    }
    Ok(writeln!(out, "{} is stored; `topicd models promote` makes it answer.", version.name)?)
}

async fn import_here(
    args: &ImportArgs,
    files: &ModelFiles,
    bytes: &[u8],
) -> Result<crate::service::VersionInfo, Box<dyn Error>> {
    let n_bytes =
        u32::try_from(bytes.len()).ok().and_then(NonZeroU32::new).filter(|n| *n <= Limits::MAX_ARTIFACT_BYTES);
    let Some(n_bytes) = n_bytes else {
        let limit = Limits::MAX_ARTIFACT_BYTES;
        return Err(
            format!("{} has {} bytes; a model file has from 1 to {limit}", args.file.display(), bytes.len()).into()
        );
    };
    let (classifier, sha256) = (args.classifier.clone(), Sha256::digest(bytes).into());
    match files.begin(ImportCall { classifier, sha256, n_bytes, request: None }).await? {
        BegunImport::Repeated(version) => Ok(*version),
        BegunImport::New(mut import) => {
            import.append(bytes)?;
            Ok(files.finish(import).await?)
        }
    }
}

fn sha256_of(bytes: &[u8]) -> String {
    hexadecimal::encode(&Sha256::digest(bytes))
}
