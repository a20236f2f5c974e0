//! Requests about datasets → calls.

use super::pb;
use super::violations::Violations;
use crate::config::Limits;
use crate::document::{ContentHash, LabeledDocument, Topic};
use crate::names::{ClassifierName, excerpt};
use crate::service::{DeleteExamplesCall, Error, ExamplesCall, ListExamplesCall, RenameCall};

/// Bytes of titles and texts of one message, but for the last document's: with those of usual limits, clients that read messages
/// of up to 4 MiB read it.
pub const MESSAGE_BYTES: usize = 1 << 20;
/// The most documents that one call erases.
const MAX_DELETED: usize = 1000;

/// Checks feedback.
///
/// # Errors
/// [`Error::InvalidRequest`] with every field that is wrong.
pub fn feedback(
    request: pb::SubmitFeedbackRequest,
    limits: &Limits,
) -> Result<(ClassifierName, Vec<LabeledDocument>), Error> {
    let mut violations = Violations::default();
    let classifier = violations.check_classifier("classifier", &request.classifier);
    if request.examples.is_empty() {
        violations.add("examples", "REQUIRED", "is empty; give the documents that were classified".to_owned());
    }
    let examples = violations.check_examples("examples", 0, request.examples, limits);
    if violations.is_empty() {
        for (n, _) in examples.iter().enumerate().filter(|(_, example)| example.document.id.is_empty()) {
            let description = "is missing; give the one that the document was classified under".to_owned();
            violations.add(format_args!("examples[{n}].document.document_id"), "REQUIRED", description);
        }
    }
    match classifier {
        Some(classifier) if violations.is_empty() => Ok((classifier, examples)),
        _ => Err(violations.into_error()),
    }
}

/// Checks which dataset is asked for.
///
/// # Errors
/// [`Error::InvalidRequest`].
pub fn dataset(request: pb::GetDatasetRequest) -> Result<(ClassifierName, Option<u32>), Error> {
    let mut violations = Violations::default();
    let classifier = violations.check_classifier("classifier", &request.classifier);
    Ok((classifier.ok_or_else(|| violations.into_error())?, revision(request.dataset_revision)))
}

/// Checks which page of documents is asked for.
///
/// # Errors
/// [`Error::InvalidRequest`] with every field that is wrong.
pub fn list_call(request: pb::ListExamplesRequest) -> Result<ListExamplesCall, Error> {
    let mut violations = Violations::default();
    let pb::ListExamplesRequest { classifier, dataset_revision, topic, page_size, page_token } = request;
    let classifier = violations.check_classifier("classifier", &classifier);
    let topic = violations.check_topic_filter(&topic);
    let size = violations.check_page_size(page_size);
    let token = parse_token(&page_token);
    if token.is_none() && !page_token.is_empty() {
        violations.add_malformed_token(&page_token);
    }
    match classifier {
        Some(classifier) if violations.is_empty() => {
            let (of_page, after) = token.unzip();
            let revision = of_page.or(revision(dataset_revision));
            let examples = ExamplesCall { classifier, revision, topic };
            Ok(ListExamplesCall { examples, after, size, max_bytes: MESSAGE_BYTES })
        }
        _ => Err(violations.into_error()),
    }
}

/// What goes on after a document of a revision.
pub(super) fn page_token(revision: u32, last: ContentHash) -> String {
    format!("{revision}-{last}")
}

fn parse_token(token: &str) -> Option<(u32, ContentHash)> {
    let (revision, hash) = token.split_once('-')?;
    Some((revision.parse().ok()?, hash.parse().ok()?))
}

/// Checks which documents are to be exported.
///
/// # Errors
/// [`Error::InvalidRequest`] with every field that is wrong.
pub fn export_call(request: pb::ExportExamplesRequest) -> Result<ExamplesCall, Error> {
    let mut violations = Violations::default();
    let classifier = violations.check_classifier("classifier", &request.classifier);
    let topic = violations.check_topic_filter(&request.topic);
    match classifier {
        Some(classifier) if violations.is_empty() => {
            Ok(ExamplesCall { classifier, revision: revision(request.dataset_revision), topic })
        }
        _ => Err(violations.into_error()),
    }
}

/// Checks a wish to give a topic another name.
///
/// # Errors
/// [`Error::InvalidRequest`] with every field that is wrong.
pub fn rename_call(request: pb::RenameTopicRequest) -> Result<RenameCall, Error> {
    let mut violations = Violations::default();
    let pb::RenameTopicRequest { classifier, topic, new_topic, merge } = request;
    let classifier = violations.check_classifier("classifier", &classifier);
    let topic = violations.check_topic("topic", &topic);
    let new_topic = violations.check_topic("new_topic", &new_topic);
    if topic.is_some() && topic == new_topic {
        violations.add("new_topic", "UNCHANGED", "is the topic's name already; give another one".to_owned());
    }
    match (classifier, topic, new_topic) {
        (Some(classifier), Some(topic), Some(new_topic)) if violations.is_empty() => {
            Ok(RenameCall { classifier, topic, new_topic, merge })
        }
        _ => Err(violations.into_error()),
    }
}

/// Checks a wish to erase documents.
///
/// # Errors
/// [`Error::InvalidRequest`] with every field that is wrong.
pub fn delete_call(request: pb::DeleteExamplesRequest) -> Result<DeleteExamplesCall, Error> {
    let mut violations = Violations::default();
    let classifier = violations.check_classifier("classifier", &request.classifier);
    let given = request.content_hashes;
    if given.is_empty() {
        violations.add("content_hashes", "REQUIRED", "is empty; give those that ListExamples tells".to_owned());
    }
    let hashes = violations.check_content_hashes(&given);
    match classifier {
        Some(classifier) if violations.is_empty() => {
            Ok(DeleteExamplesCall { classifier, hashes, purge_versions: request.purge_versions })
        }
        _ => Err(violations.into_error()),
    }
}

impl Violations {
    fn check_topic(&mut self, field: &str, name: &str) -> Option<Topic> {
        let topic = Topic::new(name);
        if let Err(error) = &topic {
            self.add(field, "BAD_TOPIC", format!("is wrong: {error}"));
        }
        topic.ok()
    }

    /// Hashes in the field `content_hashes`.
    pub(super) fn check_content_hashes(&mut self, given: &[String]) -> Vec<ContentHash> {
        if given.len() > MAX_DELETED {
            let description = format!("has {}; the limit is {MAX_DELETED}; erase them in several calls", given.len());
            self.add("content_hashes", "TOO_MANY", description);
            return Vec::new();
        }
        let mut hashes = Vec::with_capacity(given.len());
        for (n, hash) in given.iter().enumerate() {
            match hash.parse() {
                Ok(hash) => hashes.push(hash),
                Err(_) => {
                    let description =
                        format!("is {:?}; give the 64 hexadecimal digits of a content hash", excerpt(hash));
                    self.add(format_args!("content_hashes[{n}]"), "MALFORMED_HASH", description);
                }
            }
        }
        hashes
    }

    fn check_topic_filter(&mut self, name: &str) -> Option<Topic> {
        if name.is_empty() { None } else { self.check_topic("topic", name) }
    }
}

fn revision(given: u32) -> Option<u32> {
    (given > 0).then_some(given)
}
