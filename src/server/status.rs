//! Every way in which a call fails, and the status that it fails with: one table, [`Refusal::row`] and `service_row`.
//!
//! Each status says in words what was seen, what is allowed and what to try, and for programs carries google.rpc
//! details: always an `ErrorInfo` with a reason and the domain `topicd`.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::time::Duration;

use prost::Message;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt, pb};

use super::request_id::RequestId;
use crate::access::{CredentialError, Extent, Role};
use crate::names::excerpt;
use crate::service::{self, Error};

/// The domain of every `ErrorInfo`.
const DOMAIN: &str = "topicd";

/// When to try again after a refusal that time mends: about what the documents in flight take.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// When to try again after a refusal that somebody has to mend first.
const RETRY_AFTER_MENDING: Duration = Duration::from_secs(60);

/// Why a call isn't answered: the service's own reasons, and those of carrying the call.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error(transparent)]
    Service(#[from] service::Error),
    #[error("the server is stopping; call again, to reach another one or this one when it is back")]
    Draining,
    #[error("the deadline passed before there was an answer; allow more time, or ask for less in one call")]
    DeadlineExceeded,
    #[error(
        "the message has {n_bytes} bytes; the limit max_message_bytes is {limit}; send shorter documents, or fewer in \
         one message"
    )]
    MessageTooLarge { n_bytes: u64, limit: u64 },
    #[error(
        "the message has more bytes when it is decompressed than the limit max_message_bytes, {limit}; send shorter documents, \
         or fewer in one message"
    )]
    DecompressedTooLarge { limit: u64 },
    #[error(
        "the message can't be read as the method's request: {0}; compare the client's .proto files with reflection"
    )]
    MalformedMessage(String),
    #[error(
        "the call's header has {n_bytes} bytes, counted as HTTP/2 does; the limit max_header_bytes is {limit}; send less \
         metadata"
    )]
    HeaderTooLarge { n_bytes: usize, limit: u32 },
    #[error(
        "the messages on their way to the server would have more bytes than the limit max_inbound_bytes, {limit}; try again when \
         others have been read"
    )]
    TooManyMessageBytes { limit: u64 },
    #[error(
        "the call has no credential; send the header \"authorization: Bearer TOKEN\", or connect with a certificate"
    )]
    NoCredential,
    #[error("the header authorization isn't \"Bearer TOKEN\", once")]
    MalformedCredential,
    #[error(transparent)]
    Credential(#[from] CredentialError),
    #[error(
        "{principal} isn't allowed that: it needs the role {role} for {extent}; ask whoever keeps the file of principals"
    )]
    RoleMissing { principal: String, role: Role, extent: Extent },
    #[error(
        "{principal} has had {per_second} documents classified in a second, which is its quota; try again in {} ms",
        retry_after.as_millis()
    )]
    TooManyDocuments { principal: String, per_second: NonZeroU32, retry_after: Duration },
    #[error("{0} isn't a method of this server; reflection lists those that are")]
    UnknownMethod(String),
    /// What tonic, or its health or reflection service, said.
    #[error("{message}")]
    Transport { code: Code, message: String },
}

/// A refusal's row in the table: code, reason, and the reason's metadata; the details besides are added to others.
type Row = (Code, &'static str, HashMap<String, String>);

impl Refusal {
    /// The code that it is told with.
    pub(super) fn code(&self) -> Code {
        self.row(&mut ErrorDetails::new()).0
    }

    fn row(&self, details: &mut ErrorDetails) -> Row {
        let mut metadata = HashMap::new();
        let (code, reason) = match self {
            Self::Service(error) => return service_row(error, details),
            Self::Draining => {
                details.set_retry_info(Some(RETRY_AFTER));
                (Code::Unavailable, "DRAINING")
            }
            Self::DeadlineExceeded => (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"),
            // No RetryInfo: the same message never fits.
            Self::MessageTooLarge { n_bytes, limit } => {
                metadata.insert("message_bytes".to_owned(), n_bytes.to_string());
                metadata.insert("max_message_bytes".to_owned(), limit.to_string());
                (Code::ResourceExhausted, "MESSAGE_TOO_LARGE")
            }
            Self::DecompressedTooLarge { limit } => {
                metadata.insert("max_message_bytes".to_owned(), limit.to_string());
                (Code::ResourceExhausted, "MESSAGE_TOO_LARGE")
            }
            Self::HeaderTooLarge { n_bytes, limit } => {
                metadata.insert("header_bytes".to_owned(), n_bytes.to_string());
                metadata.insert("max_header_bytes".to_owned(), limit.to_string());
                (Code::ResourceExhausted, "HEADER_TOO_LARGE")
            }
            Self::TooManyMessageBytes { limit } => {
                details.set_retry_info(Some(RETRY_AFTER));
                metadata.insert("max_inbound_bytes".to_owned(), limit.to_string());
                (Code::ResourceExhausted, "TOO_MANY_MESSAGE_BYTES")
            }
            Self::NoCredential => (Code::Unauthenticated, "NO_CREDENTIAL"),
            Self::MalformedCredential => (Code::Unauthenticated, "MALFORMED_CREDENTIAL"),
            Self::Credential(CredentialError::Unknown) => (Code::Unauthenticated, "UNKNOWN_CREDENTIAL"),
            Self::Credential(CredentialError::Expired) => (Code::Unauthenticated, "EXPIRED_CREDENTIAL"),
            Self::Credential(CredentialError::Changed) => (Code::Unauthenticated, "CHANGED_CREDENTIAL"),
            Self::RoleMissing { role, extent, .. } => {
                metadata.insert("role".to_owned(), role.to_string());
                metadata.insert("for".to_owned(), extent.to_string());
                (Code::PermissionDenied, "ROLE_MISSING")
            }
            Self::TooManyDocuments { principal, per_second, retry_after } => {
                details.set_retry_info(Some(*retry_after));
                details.add_quota_failure_violation(quota_subject(principal), self.to_string());
                metadata.insert("documents_per_second".to_owned(), per_second.to_string());
                (Code::ResourceExhausted, "DOCUMENT_QUOTA")
            }
            Self::MalformedMessage(_) => (Code::InvalidArgument, "MALFORMED_MESSAGE"),
            Self::UnknownMethod(_) => (Code::Unimplemented, "UNKNOWN_METHOD"),
            Self::Transport { code, .. } => (*code, "TRANSPORT"),
        };
        (code, reason, metadata)
    }

    /// Reads a status that tonic made of its own for a call of `path`, before or beside our handlers.
    fn from_tonic(status: &Status, path: &str) -> Self {
        let message = status.message().to_owned();
        match status.code() {
            // "... found 20 bytes, the limit is: 10 bytes"
            Code::OutOfRange => match numbers_in(&message)[..] {
                [n_bytes, limit] => Self::MessageTooLarge { n_bytes, limit },
                _ => Self::Transport { code: Code::ResourceExhausted, message },
            },
            // "... size limit, of 10 bytes, exceeded while decompressing message"
            Code::ResourceExhausted => match numbers_in(&message)[..] {
                [limit] => Self::DecompressedTooLarge { limit },
                _ => Self::Transport { code: Code::ResourceExhausted, message },
            },
            // Tonic blames the server for messages that it can't read.
            Code::Internal => Self::MalformedMessage(message),
            Code::Unimplemented if message.is_empty() => Self::UnknownMethod(excerpt(path)),
            code => Self::Transport { code, message },
        }
    }
}

/// The status of a call of `path`, or of a message of it, as callers are told it: ours, which has details, as it is, and one that
/// tonic made with a code and details as ours have.
pub(super) fn with_details(status: Status, path: &str) -> Status {
    if status.details().is_empty() { Refusal::from_tonic(&status, path).into() } else { status }
}

/// What a quota is of, as google.rpc's `QuotaFailure` names it.
fn quota_subject(principal: &str) -> String {
    format!("principal:{principal}")
}

/// The rows of the service's own reasons.
fn service_row(error: &Error, details: &mut ErrorDetails) -> Row {
    let mut metadata = HashMap::new();
    let (code, reason) = match error {
        Error::InvalidRequest(violations) => {
            details.set_bad_request(violations.iter().map(field_violation).collect::<Vec<_>>());
            (Code::InvalidArgument, "INVALID_REQUEST")
        }
        Error::UnknownClassifier(name) => {
            details.set_resource_info("Classifier", name.to_string(), "", error.to_string());
            (Code::NotFound, "UNKNOWN_CLASSIFIER")
        }
        Error::UnknownVersion(name) => {
            details.set_resource_info("ModelVersion", name.to_string(), "", error.to_string());
            (Code::NotFound, "UNKNOWN_VERSION")
        }
        Error::UnknownTopic { version, topic, .. } => {
            details.set_resource_info("Topic", excerpt(topic), version.to_string(), error.to_string());
            (Code::NotFound, "UNKNOWN_TOPIC")
        }
        Error::UnknownRevision { classifier, revision, .. } => {
            details.set_resource_info(
                "DatasetRevision",
                revision.to_string(),
                classifier.to_string(),
                error.to_string(),
            );
            (Code::NotFound, "UNKNOWN_REVISION")
        }
        Error::UnknownDatasetTopic { classifier, topic } => {
            details.set_resource_info("Topic", excerpt(topic), classifier.to_string(), error.to_string());
            (Code::NotFound, "UNKNOWN_TOPIC")
        }
        Error::TopicExists { topic, .. } => {
            details.add_precondition_failure_violation("TOPIC", excerpt(topic), error.to_string());
            (Code::FailedPrecondition, "TOPIC_EXISTS")
        }
        Error::UnknownJob(name) => {
            details.set_resource_info("TrainingJob", name.to_string(), "", error.to_string());
            (Code::NotFound, "UNKNOWN_JOB")
        }
        Error::NothingTrained(name) => {
            details.add_precondition_failure_violation("VERSION", name.to_string(), error.to_string());
            (Code::FailedPrecondition, "NOTHING_TRAINED")
        }
        Error::NothingPromoted(name) => {
            details.add_precondition_failure_violation("STABLE_VERSION", name.to_string(), error.to_string());
            (Code::FailedPrecondition, "NOTHING_PROMOTED")
        }
        Error::UnusableDataset { classifier, problem } => {
            details.add_precondition_failure_violation("DATASET", classifier.to_string(), problem);
            (Code::FailedPrecondition, "UNUSABLE_DATASET")
        }
        Error::NothingToCompareOn(name) => {
            details.add_precondition_failure_violation("DATASET", name.to_string(), error.to_string());
            (Code::FailedPrecondition, "NOTHING_TO_COMPARE_ON")
        }
        Error::UnusableHeldOut { classifier, problem } => {
            details.add_precondition_failure_violation("DATASET", classifier.to_string(), problem);
            (Code::FailedPrecondition, "UNUSABLE_HELD_OUT_DOCUMENTS")
        }
        Error::JobRunning(name) => {
            metadata.insert("training_job".to_owned(), name.to_string());
            (Code::Aborted, "JOB_RUNNING")
        }
        Error::JobBeginning(_) => (Code::Aborted, "JOB_RUNNING"),
        Error::TooManyJobs { limit } => {
            details.set_retry_info(Some(RETRY_AFTER));
            metadata.insert("max_training_jobs".to_owned(), limit.to_string());
            (Code::ResourceExhausted, "TOO_MANY_JOBS")
        }
        Error::TrainingQuota { principal, limit } => {
            details.set_retry_info(Some(RETRY_AFTER_MENDING));
            details.add_quota_failure_violation(quota_subject(principal), error.to_string());
            metadata.insert("training_jobs".to_owned(), limit.to_string());
            (Code::ResourceExhausted, "TRAINING_QUOTA")
        }
        // No RetryInfo: time doesn't mend it.
        Error::StorageQuota { principal, limit } => {
            details.add_quota_failure_violation(quota_subject(principal), error.to_string());
            metadata.insert("stored_documents".to_owned(), limit.to_string());
            (Code::ResourceExhausted, "STORAGE_QUOTA")
        }
        Error::TooManyComparisons { limit } => {
            details.set_retry_info(Some(RETRY_AFTER));
            metadata.insert("max_comparisons".to_owned(), limit.to_string());
            (Code::ResourceExhausted, "TOO_MANY_COMPARISONS")
        }
        Error::TooManyModelFiles { limit, .. } => {
            details.set_retry_info(Some(RETRY_AFTER));
            metadata.insert("max_artifact_bytes".to_owned(), limit.to_string());
            (Code::ResourceExhausted, "TOO_MANY_MODEL_FILES")
        }
        Error::HeldBack { version, failed } => {
            for check in failed {
                details.add_precondition_failure_violation("PROMOTION_CHECK", version.to_string(), check);
            }
            (Code::FailedPrecondition, "HELD_BACK")
        }
        Error::AliasedVersion { version, .. } => {
            details.add_precondition_failure_violation("ALIAS", version.to_string(), error.to_string());
            (Code::FailedPrecondition, "ALIASED_VERSION")
        }
        Error::BuiltInVersion(version) => {
            details.add_precondition_failure_violation("BUILT_IN", version.to_string(), error.to_string());
            (Code::FailedPrecondition, "BUILT_IN_VERSION")
        }
        Error::NoPreviousVersion(name) => {
            details.add_precondition_failure_violation("PREVIOUS_VERSION", name.to_string(), error.to_string());
            (Code::FailedPrecondition, "NO_PREVIOUS_VERSION")
        }
        Error::StaleEtag { actual, .. } => {
            metadata.insert("etag".to_owned(), actual.clone());
            (Code::Aborted, "STALE_ETAG")
        }
        Error::DamagedVersion { version, problem } => {
            details.set_resource_info("ModelVersion", version.to_string(), "", problem);
            (Code::DataLoss, "DAMAGED_VERSION")
        }
        Error::StorageInUse => {
            details.set_retry_info(Some(RETRY_AFTER));
            (Code::Unavailable, "STORAGE_IN_USE")
        }
        Error::StorageFull => {
            details.set_retry_info(Some(RETRY_AFTER_MENDING));
            (Code::ResourceExhausted, "STORAGE_FULL")
        }
        Error::StoreFailed(id) => {
            metadata.insert("id".to_owned(), id.to_string());
            (Code::Internal, "STORE_FAILED")
        }
        Error::Overloaded { limit, .. } | Error::NoRoom { limit } => {
            details.set_retry_info(Some(RETRY_AFTER));
            metadata.insert("max_documents_in_flight".to_owned(), limit.to_string());
            (Code::ResourceExhausted, "OVERLOADED")
        }
        Error::Panicked(id) => {
            metadata.insert("id".to_owned(), id.to_string());
            (Code::Internal, "PANIC")
        }
        Error::Stopping => {
            details.set_retry_info(Some(RETRY_AFTER));
            (Code::Unavailable, "DRAINING")
        }
    };
    (code, reason, metadata)
}

fn field_violation(violation: &service::FieldViolation) -> FieldViolation {
    let service::FieldViolation { field, reason, description } = violation;
    FieldViolation { reason: (*reason).to_owned(), ..FieldViolation::new(field, description) }
}

fn numbers_in(text: &str) -> Vec<u64> {
    text.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        status(&refusal, ErrorDetails::new())
    }
}

/// The status of a call that ends with a refusal, with the call's id: what [`RequestId::add_to`] makes of the refusal's status,
/// encoded once.
pub(super) fn status_of_call(refusal: &Refusal, call: &RequestId) -> Status {
    let mut details = ErrorDetails::new();
    details.set_request_info(call.to_string(), "");
    status(refusal, details)
}

fn status(refusal: &Refusal, mut details: ErrorDetails) -> Status {
    let (code, reason, metadata) = refusal.row(&mut details);
    details.set_error_info(reason, DOMAIN, metadata);
    let pushback = pushback(code, &details);
    let mut status = Status::with_error_details(code, refusal.to_string(), details);
    if let Some(pushback) = pushback {
        status.metadata_mut().insert("grpc-retry-pushback-ms", pushback);
    }
    status
}

/// When clients with a retry policy may try again: when the details say, and where time doesn't mend it not at all. They don't read
/// details (gRFC A6, "Server Pushback").
fn pushback(code: Code, details: &ErrorDetails) -> Option<MetadataValue<Ascii>> {
    match details.retry_info().and_then(|info| info.retry_delay) {
        Some(delay) => Some(i64::try_from(delay.as_millis()).unwrap_or(i64::MAX).into()),
        None => (code == Code::ResourceExhausted).then(|| (-1_i64).into()),
    }
}

impl From<service::Error> for Status {
    fn from(error: service::Error) -> Self {
        Refusal::from(error).into()
    }
}

/// The same status as part of a response: a batch's or a stream's, for one document.
pub(super) fn rpc_status(refusal: impl Into<Refusal>) -> pb::Status {
    let status = Status::from(refusal.into());
    // A status with details carries itself, encoded, as its details.
    pb::Status::decode(status.details()).unwrap_or_else(|_| pb::Status {
        code: status.code().into(),
        message: status.message().to_owned(),
        details: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_with_a_calls_id_is_what_adding_the_id_makes() {
        let call = RequestId::of_call(&http::HeaderMap::new());
        let refusals = [Refusal::Draining, Refusal::NoCredential, Refusal::Service(Error::NoRoom { limit: 7 })];
        for refusal in refusals {
            let at_once = status_of_call(&refusal, &call);
            let added = call.add_to(&refusal.into());
            assert_eq!((at_once.code(), at_once.message()), (added.code(), added.message()));
            assert_eq!(at_once.details(), added.details());
            assert_eq!(at_once.metadata().as_ref(), added.metadata().as_ref());
        }
    }

    #[test]
    fn tonics_own_statuses_are_told_apart() {
        let read = |status: Status| with_details(status, "/topicd.v1.ClassifierService/Guess");
        let reason = |status: &Status| status.get_details_error_info().unwrap().reason;

        let status = read(Status::unimplemented(""));
        assert_eq!((status.code(), &*reason(&status)), (Code::Unimplemented, "UNKNOWN_METHOD"));
        assert!(status.message().starts_with("/topicd.v1.ClassifierService/Guess"));

        let status = read(Status::out_of_range("a new wording of tonic's"));
        assert_eq!((status.code(), status.message()), (Code::ResourceExhausted, "a new wording of tonic's"));

        let status = read(Status::not_found("service not registered"));
        assert_eq!((status.code(), &*reason(&status)), (Code::NotFound, "TRANSPORT"));
    }
}
