//! Everything that an accepted call can fail for. The server turns it into statuses, in one table.

use super::model_name::{JobName, ModelName, VersionName};
use super::panic::{IncidentId, incident};
use crate::names::{ClassifierName, excerpt};
use crate::store::{Alias, StoreError};

/// Why a call, or one document of it, has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Fields of the request are wrong: all that are, so that a caller can mend them in one go.
    #[error("{}", in_one_line(.0))]
    InvalidRequest(Vec<FieldViolation>),
    /// There is no such classifier.
    #[error("{0} doesn't exist; leave model out for classifiers/default, or ask ListClassifiers which there are")]
    UnknownClassifier(ClassifierName),
    /// There is such a classifier, but not in this version.
    #[error("{0} doesn't exist; leave the version out for the stable one, or ask ListModelVersions which there are")]
    UnknownVersion(ModelName),
    /// The version has no such topic.
    #[error("{version} has no topic {:?}; {}", excerpt(topic), other_topics(similar))]
    UnknownTopic {
        /// The version.
        version: VersionName,
        /// The topic that was asked for.
        topic: String,
        /// Topics that may have been meant.
        similar: Vec<String>,
    },
    /// The classifier's documents don't have that revision.
    #[error("{classifier} has no dataset revision {revision}; its newest is {newest}")]
    UnknownRevision {
        /// The classifier.
        classifier: ClassifierName,
        /// The revision asked for.
        revision: u32,
        /// The newest there is.
        newest: u32,
    },
    /// No document has that topic.
    #[error("no document of {classifier} has the topic {:?}; GetDataset tells which topics there are", excerpt(topic))]
    UnknownDatasetTopic {
        /// The classifier.
        classifier: ClassifierName,
        /// The topic.
        topic: String,
    },
    /// The new name of a topic is another topic's.
    #[error("{classifier} has documents of the topic {:?} already; set merge to make the two one", excerpt(topic))]
    TopicExists {
        /// The classifier.
        classifier: ClassifierName,
        /// The new name.
        topic: String,
    },
    /// There is no such training job.
    #[error("{0} doesn't exist; ask ListTrainingJobs which there are")]
    UnknownJob(JobName),
    /// The classifier has documents, but no version.
    #[error("{0} has no version yet; call Train")]
    NothingTrained(ClassifierName),
    /// The classifier has versions, but none that answers where none is named.
    #[error(
        "{0} has no stable version yet; name one of its versions, or call PromoteModelVersion to make it the stable one"
    )]
    NothingPromoted(ClassifierName),
    /// The stored documents can't be trained on.
    #[error("the stored documents of {classifier} can't be trained on: {problem}")]
    UnusableDataset {
        /// Whose documents.
        classifier: ClassifierName,
        /// What is wrong with them.
        problem: String,
    },
    /// There are no stored documents that versions can be compared on.
    #[error("{0} has no stored documents with a topic to compare on; import some, or give inline_examples")]
    NothingToCompareOn(ClassifierName),
    /// The stored documents can't tell how good a version is.
    #[error("the stored documents of {classifier} can't be evaluated on: {problem}")]
    UnusableHeldOut {
        /// Whose documents.
        classifier: ClassifierName,
        /// What is wrong with them.
        problem: String,
    },
    /// The classifier is being trained.
    #[error("{0} is running; wait for it, or cancel it")]
    JobRunning(JobName),
    /// A job of the classifier is just being stored.
    #[error("a training of {0} is just beginning; ask ListTrainingJobs for it, and wait for it")]
    JobBeginning(ClassifierName),
    /// More jobs run or wait than the limit allows.
    #[error("{limit} training jobs run or wait already, which is the limit max_training_jobs; try again later")]
    TooManyJobs {
        /// The limit.
        limit: u32,
    },
    /// More of the caller's jobs run or wait than its quota allows.
    #[error(
        "{limit} training jobs of {principal} run or wait already, which is its quota; try again when one has ended"
    )]
    TrainingQuota {
        /// Who calls.
        principal: String,
        /// The quota.
        limit: u32,
    },
    /// The caller's documents would be more than its quota allows.
    #[error(
        "the documents of {principal} in datasets would be more than {limit}, which is its quota; nothing was stored; delete some, \
         or ask for a larger quota"
    )]
    StorageQuota {
        /// Who calls.
        principal: String,
        /// The quota.
        limit: u64,
    },
    /// More comparisons and evaluations run or wait than the limit allows.
    #[error("{limit} comparisons and evaluations run or wait already, which is the limit; try again a little later")]
    TooManyComparisons {
        /// The limit.
        limit: u32,
    },
    /// More bytes of model files would be on their way than the limit allows.
    #[error(
        "the model file's {n_bytes} bytes and those of model files already on their way are more than the limit \
         max_artifact_bytes ({limit}); try again a little later"
    )]
    TooManyModelFiles {
        /// The bytes of the call's file.
        n_bytes: u64,
        /// The limit.
        limit: u32,
    },
    /// The gate held the version back, and nobody forces it.
    #[error("{version} was held back when it was trained: {}; set force to promote it all the same", failed.join("; "))]
    HeldBack {
        /// The version.
        version: VersionName,
        /// What it failed at.
        failed: Vec<String>,
    },
    /// An alias means the version that is to be deleted.
    #[error("{version} can't be deleted: {}", until(*alias))]
    AliasedVersion {
        /// The version.
        version: VersionName,
        /// What it is.
        alias: Alias,
    },
    /// The version that is to be deleted would be there again after the next start.
    #[error(
        "{0} can't be deleted: it is the model that the server was started with, and would be registered again at the next \
         start; start the server with another --model first"
    )]
    BuiltInVersion(VersionName),
    /// There is nothing to go back to.
    #[error("{0} has no previous version to go back to")]
    NoPreviousVersion(ClassifierName),
    /// Somebody else has changed it meanwhile.
    #[error("{classifier} has changed: its etag is {actual:?} now; read it again with GetClassifier")]
    StaleEtag {
        /// The classifier.
        classifier: ClassifierName,
        /// Its etag.
        actual: String,
    },
    /// The version's file is damaged.
    #[error("the model file of {version} can't be used: {problem}; use another version, or restore a backup")]
    DamagedVersion {
        /// The version.
        version: VersionName,
        /// What is wrong with it.
        problem: String,
    },
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
    /// As many documents are in flight as may be.
    #[error(
        "as many documents are in flight as the limit max_documents_in_flight ({limit}) allows; try again a little later"
    )]
    NoRoom {
        /// The limit.
        limit: u32,
    },
    /// The server is stopping.
    #[error("the server is stopping; call again, to reach another one or this one when it is back")]
    Stopping,
    /// Somebody else has used the database for long.
    #[error("somebody else has used the database for longer than a call waits for it; try again later")]
    StorageInUse,
    /// The store can't hold more.
    #[error(
        "the disk that the server keeps its data on is full, so nothing of this was stored; try again when there is room"
    )]
    StorageFull,
    /// The database failed.
    #[error("the database failed, and the log says why with the id {0}; nothing was changed")]
    StoreFailed(IncidentId),
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

/// What callers can't have caused is for the log; they are told where to look.
impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::UnknownClassifier(name) => Self::UnknownClassifier(name),
            StoreError::UnknownRevision { classifier, revision, newest } => {
                Self::UnknownRevision { classifier, revision, newest }
            }
            StoreError::TooManyDocuments { owner: principal, limit } => Self::StorageQuota { principal, limit },
            StoreError::InUse => Self::StorageInUse,
            StoreError::DiskFull(_) => {
                tracing::error!(%error, "a call failed");
                Self::StorageFull
            }
            error => Self::StoreFailed(incident(&error)),
        }
    }
}

/// Why a version with an alias stays, and how it loses the alias.
fn until(alias: Alias) -> &'static str {
    match alias {
        Alias::Stable => {
            "it is the stable version, which answers where none is named; promote another one, which makes this the previous \
             version, and then one more"
        }
        Alias::Previous => {
            "it is the previous version, which RollbackClassifier goes back to until another one is promoted"
        }
        Alias::Candidate => {
            "it is the candidate, until it is promoted or a later training makes a version that is held back"
        }
    }
}

fn other_topics(similar: &[String]) -> String {
    if similar.is_empty() {
        "ask GetModelVersion which it has".to_owned()
    } else {
        format!("did you mean {}", similar.join(", "))
    }
}

/// `field description; field description`.
fn in_one_line(violations: &[FieldViolation]) -> String {
    let lines: Vec<String> = violations.iter().map(|v| format!("{} {}", v.field, v.description)).collect();
    lines.join("; ")
}
