//! Requests for classification → calls.

use super::pb;
use super::violations::Violations;
use crate::config::Limits;
use crate::service::{BatchCall, ClassifyCall, Error};

/// Checks a request for one document.
///
/// # Errors
/// [`Error::InvalidRequest`] with every field that is wrong.
pub fn classify_call(request: pb::ClassifyRequest, limits: &Limits) -> Result<ClassifyCall, Error> {
    let mut violations = Violations::default();
    let model = violations.check_model("model", &request.model);
    let (options, truncation) = violations.check_options(request.options);
    let document = match request.document {
        Some(document) => violations.check_document("document", document, truncation, limits),
        None => {
            violations.add("document", "REQUIRED", "is missing; give one with a title, a text or both".to_owned());
            None
        }
    };
    match (model, document) {
        (Some(model), Some(document)) if violations.is_empty() => Ok(ClassifyCall { model, document, options }),
        _ => Err(violations.into_error()),
    }
}

/// Checks a message of a stream, which is a request like any other.
///
/// # Errors
/// As [`classify_call`].
pub fn stream_call(request: pb::StreamClassifyRequest, limits: &Limits) -> Result<ClassifyCall, Error> {
    let pb::StreamClassifyRequest { model, document, options } = request;
    classify_call(pb::ClassifyRequest { model, document, options }, limits)
}

/// Checks a request for a batch. What is wrong with one document is that document's own error; the rest concerns all.
///
/// # Errors
/// [`Error::InvalidRequest`] with every field that is wrong for all.
pub fn batch_call(request: pb::BatchClassifyRequest, limits: &Limits) -> Result<BatchCall, Error> {
    let mut violations = Violations::default();
    let model = violations.check_model("model", &request.model);
    let (options, truncation) = violations.check_options(request.options);
    violations.check_batch_size(request.documents.len(), limits);
    let Some(model) = model.filter(|_| violations.is_empty()) else {
        return Err(violations.into_error());
    };
    let check_document = |(index, document)| {
        let mut violations = Violations::default();
        let document = violations.check_document(format_args!("documents[{index}]"), document, truncation, limits);
        document.filter(|_| violations.is_empty()).ok_or_else(|| violations.into_error())
    };
    let documents = request.documents.into_iter().enumerate().map(check_document).collect();
    Ok(BatchCall { model, documents, options })
}
