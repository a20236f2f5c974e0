//! The messages of an import of a model file → calls.

use std::num::NonZeroU32;

use super::pb;
use super::pb::import_model_version_request::Part;
use super::violations::Violations;
use crate::config::Limits;
use crate::hexadecimal::parse_sha256;
use crate::names::excerpt;
use crate::service::{Error, ImportCall};

/// Checks an import's first message, which says what comes.
///
/// # Errors
/// [`Error::InvalidRequest`] with every field that is wrong.
pub fn import_call(message: pb::ImportModelVersionRequest, limits: &Limits) -> Result<ImportCall, Error> {
    let mut violations = Violations::default();
    let Some(Part::File(file)) = message.part else {
        let description = "is missing in the first message; say which file comes before its chunks do".to_owned();
        violations.add("file", "REQUIRED", description);
        return Err(violations.into_error());
    };
    let classifier = violations.check_classifier("file.classifier", &file.classifier);
    let sha256 = violations.check_sha256("file.artifact_sha256", &file.artifact_sha256);
    let n_bytes = violations.check_artifact_bytes("file.artifact_bytes", file.artifact_bytes, limits);
    let request = violations.check_request_id("file.request_id", &file.request_id, &file);
    match (classifier, sha256, n_bytes) {
        (Some(classifier), Some(sha256), Some(n_bytes)) if violations.is_empty() => {
            Ok(ImportCall { classifier, sha256, n_bytes, request })
        }
        _ => Err(violations.into_error()),
    }
}

/// Checks a later message, which has some of the file.
///
/// # Errors
/// [`Error::InvalidRequest`] when it is something else.
pub fn import_chunk(message: pb::ImportModelVersionRequest) -> Result<Vec<u8>, Error> {
    let (field, reason, description) = match message.part {
        Some(Part::Chunk(chunk)) => return Ok(chunk),
        Some(Part::File(_)) => ("file", "REPEATED", "is in a later message too; import one file in one call"),
        None => ("chunk", "REQUIRED", "is missing in a later message; send the file's bytes"),
    };
    let mut violations = Violations::default();
    violations.add(field, reason, description.to_owned());
    Err(violations.into_error())
}

impl Violations {
    fn check_sha256(&mut self, field: &str, sha256: &str) -> Option<[u8; 32]> {
        if sha256.is_empty() {
            let description = "is missing; give the file's SHA-256, such as sha256sum prints it".to_owned();
            self.add(field, "REQUIRED", description);
            return None;
        }
        let parsed = parse_sha256(sha256);
        if parsed.is_none() {
            let description = format!("is {:?}; write the file's SHA-256 as 64 hexadecimal digits", excerpt(sha256));
            self.add(field, "MALFORMED_SHA256", description);
        }
        parsed
    }

    fn check_artifact_bytes(&mut self, field: &str, n_bytes: u64, limits: &Limits) -> Option<NonZeroU32> {
        let limit = limits.max_artifact_bytes;
        if n_bytes > limit.get().into() {
            let description = format!(
                "is {n_bytes}; the limit max_artifact_bytes is {limit}; train with a lower max_features, or start the server \
                 with a larger --max-artifact-bytes"
            );
            self.add(field, "TOO_LONG", description);
            return None;
        }
        let checked = u32::try_from(n_bytes).ok().and_then(NonZeroU32::new);
        if checked.is_none() {
            self.add(field, "REQUIRED", "is missing; give the file's length in bytes".to_owned());
        }
        checked
    }
}
