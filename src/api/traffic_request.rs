//! Requests about what was learned from served documents → calls.

use super::dataset_request::MESSAGE_BYTES;
use super::pb;
use super::violations::{MAX_EXPLAINED_TERMS, Violations};
use crate::names::ClassifierName;
use crate::service::{DeleteReviewCall, Error, ReviewCall, ReviewPlace};

/// Words that are listed when the request doesn't say how many.
const DEFAULT_TERMS: usize = 20;

/// Checks which page of the review queue is asked for.
///
/// # Errors
/// [`Error::InvalidRequest`] with every field that is wrong.
pub fn review_call(request: pb::ListReviewCandidatesRequest) -> Result<ReviewCall, Error> {
    let mut violations = Violations::default();
    let pb::ListReviewCandidatesRequest { classifier, page_size, page_token } = request;
    let classifier = violations.check_classifier("classifier", &classifier);
    let size = violations.check_page_size(page_size);
    let after = parse_token(&page_token);
    if after.is_none() && !page_token.is_empty() {
        violations.add_malformed_token(&page_token);
    }
    match classifier {
        Some(classifier) if violations.is_empty() => {
            Ok(ReviewCall { classifier, after, size, max_bytes: MESSAGE_BYTES })
        }
        _ => Err(violations.into_error()),
    }
}

/// What goes on after a document.
pub(super) fn page_token(place: ReviewPlace) -> String {
    format!("{:x}-{}", place.margin.to_bits(), place.hash)
}

fn parse_token(token: &str) -> Option<ReviewPlace> {
    let (margin, hash) = token.split_once('-')?;
    let margin = f64::from_bits(u64::from_str_radix(margin, 16).ok()?);
    Some(ReviewPlace { margin, hash: hash.parse().ok()? })
}

/// Checks which documents are to be forgotten.
///
/// # Errors
/// [`Error::InvalidRequest`] with every field that is wrong.
pub fn delete_review_call(request: pb::DeleteReviewCandidatesRequest) -> Result<DeleteReviewCall, Error> {
    let mut violations = Violations::default();
    let pb::DeleteReviewCandidatesRequest { classifier, content_hashes, all } = request;
    let classifier = violations.check_classifier("classifier", &classifier);
    if all != content_hashes.is_empty() {
        let description = if all {
            "has some, and all is set; leave one of them out"
        } else {
            "is empty; give those that ListReviewCandidates tells, or set all"
        };
        let reason = if all { "CONTRADICTION" } else { "REQUIRED" };
        violations.add("content_hashes", reason, description.to_owned());
    }
    let hashes = violations.check_content_hashes(&content_hashes);
    match classifier {
        Some(classifier) if violations.is_empty() => {
            Ok(DeleteReviewCall { classifier, hashes: (!all).then_some(hashes) })
        }
        _ => Err(violations.into_error()),
    }
}

/// Checks a question for unknown words: whose, and how many.
///
/// # Errors
/// [`Error::InvalidRequest`] with every field that is wrong.
pub fn unknown_terms(request: &pb::ListUnknownTermsRequest) -> Result<(ClassifierName, usize), Error> {
    let mut violations = Violations::default();
    let classifier = violations.check_classifier("classifier", &request.classifier);
    let max_terms = request.max_terms;
    if max_terms > MAX_EXPLAINED_TERMS {
        violations.add("max_terms", "OUT_OF_RANGE", format!("is {max_terms}; the most is {MAX_EXPLAINED_TERMS}"));
    }
    match classifier {
        Some(classifier) if violations.is_empty() => {
            Ok((classifier, if max_terms == 0 { DEFAULT_TERMS } else { max_terms as usize }))
        }
        _ => Err(violations.into_error()),
    }
}
