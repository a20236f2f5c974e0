//! Everything that an accepted call can fail for. The server turns it into statuses, in one table.

use super::model_name::ModelName;
use super::panic::IncidentId;
use crate::names::ClassifierName;

/// Why a call, or one document of it, has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Fields of the request are wrong: all that are, so that a caller can mend them in one go.
    #[error("{}", in_one_line(.0))]
    InvalidRequest(Vec<FieldViolation>),
    /// There is no such classifier.
    #[error("{0} doesn't exist; leave model out for classifiers/default, or ask GetServerInfo which models answer")]
    UnknownClassifier(ClassifierName),
    /// There is such a classifier, but not in this version.
    #[error("{0} doesn't exist; leave the version out for the stable one, or ask GetServerInfo which models answer")]
    UnknownVersion(ModelName),
    /// More documents would be in flight than the limit allows.
    #[error(
        "the call's documents ({n_documents}) and those already in flight are more than the limit \
         max_documents_in_flight ({limit}); try again a little later"
    )]
    Overloaded {
        /// The documents of the call.
        n_documents: u32,
        /// The limit.
        limit: u32,
    },
    /// A panic was caught: a bug of ours, not the caller's fault.
    #[error("topicd failed at this request, and has logged why with the id {0}; other requests are not concerned")]
    Panicked(IncidentId),
}

/// One field of a request that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldViolation {
    /// The path to the field, such as `options.min_probability` or `documents[3].title`.
    pub field: String,
    /// What is wrong, for programs, such as `OUT_OF_RANGE`.
    pub reason: &'static str,
    /// What was seen, what is allowed and what to try; completes a sentence that begins with the field.
    pub description: String,
}

/// `field description; field description`.
fn in_one_line(violations: &[FieldViolation]) -> String {
    let lines: Vec<String> = violations.iter().map(|v| format!("{} {}", v.field, v.description)).collect();
    lines.join("; ")
}
