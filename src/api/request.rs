//! Requests → calls: the one place where what a caller sent is checked.
//!
//! Everything that is wrong with a request is collected, so that one reply names it all. The descriptions complete
//! sentences that begin with the field: what was seen, what is allowed, what to try. They repeat no document text.

use std::fmt;
use std::num::NonZeroUsize;

use super::pb;
use crate::classifier::ClassifyOptions;
use crate::config::Limits;
use crate::decision::Probability;
use crate::document::Document;
use crate::service::{AcceptedDocument, BatchCall, ClassifyCall, Error, FieldViolation, ModelName};

/// The longest `document_id`, in bytes.
pub const MAX_DOCUMENT_ID_BYTES: usize = 1024;

/// Checks a request for one document.
///
/// # Errors
/// [`Error::InvalidRequest`] with every field that is wrong.
pub fn classify_call(request: pb::ClassifyRequest, limits: &Limits) -> Result<ClassifyCall, Error> {
    let mut violations = Violations::default();
    let model = violations.check_model(&request.model);
    let (options, truncation) = violations.check_options(request.options);
    let document = match request.document {
        Some(document) => violations.check_document("document", document, truncation, limits),
        None => {
            violations.add("document", "REQUIRED", "is missing; give one with a title, a text or both".to_owned());
            None
        }
    };
    match (model, document) {
        (Some(model), Some(document)) if violations.0.is_empty() => Ok(ClassifyCall { model, document, options }),
        _ => Err(Error::InvalidRequest(violations.0)),
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
    let model = violations.check_model(&request.model);
    let (options, truncation) = violations.check_options(request.options);
    violations.check_batch_size(request.documents.len(), limits);
    let Some(model) = model.filter(|_| violations.0.is_empty()) else {
        return Err(Error::InvalidRequest(violations.0));
    };
    let check_document = |(index, document)| {
        let mut violations = Violations::default();
        let document = violations.check_document(format_args!("documents[{index}]"), document, truncation, limits);
        document.filter(|_| violations.0.is_empty()).ok_or(Error::InvalidRequest(violations.0))
    };
    let documents = request.documents.into_iter().enumerate().map(check_document).collect();
    Ok(BatchCall { model, documents, options })
}

/// What was found to be wrong so far. A check that finds something adds it, and returns nothing or a stand-in with
/// which the remaining checks can go on.
#[derive(Default)]
struct Violations(Vec<FieldViolation>);

impl Violations {
    fn add(&mut self, field: impl fmt::Display, reason: &'static str, description: String) {
        self.0.push(FieldViolation { field: field.to_string(), reason, description });
    }

    fn check_model(&mut self, model: &str) -> Option<ModelName> {
        let parsed = model.parse::<ModelName>();
        if let Err(error) = &parsed {
            self.add("model", "MALFORMED_NAME", error.to_string());
        }
        parsed.ok()
    }

    fn check_options(&mut self, options: Option<pb::ClassifyOptions>) -> (ClassifyOptions, pb::Truncation) {
        let options = options.unwrap_or_default();
        let checked = ClassifyOptions {
            top_k: NonZeroUsize::new(options.top_k as usize),
            min_probability: self.check_probability("options.min_probability", options.min_probability),
            abstain_below: self.check_probability("options.abstain_below", options.abstain_below),
        };
        let truncation = pb::Truncation::try_from(options.truncation);
        if let Err(prost::UnknownEnumValue(number)) = truncation {
            let description =
                format!("is {number}, which means nothing; use TRUNCATION_REJECT (1) or TRUNCATION_END (2)");
            self.add("options.truncation", "UNKNOWN_VALUE", description);
        }
        (checked, truncation.unwrap_or_default())
    }

    fn check_probability(&mut self, field: &str, value: f64) -> Probability {
        let probability = Probability::new(value);
        if probability.is_none() {
            self.add(field, "OUT_OF_RANGE", format!("is {value}; give a number from 0 to 1"));
        }
        probability.unwrap_or_default()
    }

    fn check_batch_size(&mut self, n_documents: usize, limits: &Limits) {
        let limit = limits.max_batch_documents.get();
        if n_documents == 0 {
            self.add("documents", "REQUIRED", format!("is empty; give 1 to {limit} documents"));
        } else if n_documents > limit as usize {
            let description =
                format!("has {n_documents} documents; the limit max_batch_documents is {limit}; send several batches");
            self.add("documents", "TOO_MANY", description);
        }
    }

    fn check_document(
        &mut self,
        path: impl fmt::Display,
        document: pb::Document,
        truncation: pb::Truncation,
        limits: &Limits,
    ) -> Option<AcceptedDocument> {
        let pb::Document { title, text, document_id } = document;
        let (n_bytes, limit) = (document_id.len(), MAX_DOCUMENT_ID_BYTES);
        if n_bytes > limit {
            let description = format!("has {n_bytes} bytes; the limit is {limit}; shorten it, or leave it out");
            self.add(format_args!("{path}.document_id"), "TOO_LONG", description);
        }
        let Ok(document) = Document::new(title, text) else {
            self.add(path, "REQUIRED", "has neither title nor text; give at least one of them".to_owned());
            return None;
        };
        let (n_bytes, limit) = (document.n_bytes(), limits.max_document_bytes.get() as usize);
        if n_bytes > limit && truncation != pb::Truncation::End {
            let description = format!(
                "has {n_bytes} bytes of title and text; the limit max_document_bytes is {limit}; shorten it, or set \
                 options.truncation to TRUNCATION_END to have its end left out"
            );
            self.add(path, "TOO_LONG", description);
            return None;
        }
        let (document, truncated) = document.with_id(document_id).truncated(limit);
        Some(AcceptedDocument { document, truncated })
    }
}
