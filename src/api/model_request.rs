//! Requests about classifiers, versions and jobs → calls.

use super::pb;
use super::violations::Violations;
use crate::names::{ClassifierName, excerpt};
use crate::service::{Error, JobName, ModelName, PromoteCall, RollbackCall};

/// The most entries of a page, and how many there are when the request doesn't say.
const PAGE_SIZES: (u32, u32) = (100, 20);

/// One page of a list that is ordered by falling number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Whose list.
    pub classifier: ClassifierName,
    /// Entries below this number; `None`: from the newest on.
    pub below: Option<u32>,
    /// At most so many.
    pub size: u32,
}

/// Checks a classifier's name.
///
/// # Errors
/// [`Error::InvalidRequest`].
pub fn classifier(name: &str) -> Result<ClassifierName, Error> {
    let mut violations = Violations::default();
    violations.check_classifier("classifier", name).ok_or_else(|| violations.into_error())
}

/// Checks a version's name.
///
/// # Errors
/// [`Error::InvalidRequest`].
pub fn model_version(name: &str) -> Result<ModelName, Error> {
    let mut violations = Violations::default();
    violations.check_version("model_version", name).ok_or_else(|| violations.into_error())
}

/// Checks a job's name.
///
/// # Errors
/// [`Error::InvalidRequest`].
pub fn training_job(name: &str) -> Result<JobName, Error> {
    let mut violations = Violations::default();
    violations.check_job("training_job", name).ok_or_else(|| violations.into_error())
}

/// Checks which page is wanted.
///
/// # Errors
/// [`Error::InvalidRequest`] with every field that is wrong.
pub fn page(classifier: &str, page_size: u32, page_token: &str) -> Result<Page, Error> {
    let mut violations = Violations::default();
    let classifier = violations.check_classifier("classifier", classifier);
    let (largest, default) = PAGE_SIZES;
    if page_size > largest {
        violations.add("page_size", "OUT_OF_RANGE", format!("is {page_size}; the most is {largest}"));
    }
    let below = page_token.parse().ok();
    if below.is_none() && !page_token.is_empty() {
        let description =
            format!("is {:?}; give the last answer's next_page_token, or leave it out", excerpt(page_token));
        violations.add("page_token", "MALFORMED_TOKEN", description);
    }
    match classifier {
        Some(classifier) if violations.is_empty() => {
            Ok(Page { classifier, below, size: if page_size == 0 { default } else { page_size } })
        }
        _ => Err(violations.into_error()),
    }
}

/// Checks a wish to promote.
///
/// # Errors
/// [`Error::InvalidRequest`].
pub fn promote_call(request: pb::PromoteModelVersionRequest) -> Result<PromoteCall, Error> {
    let version = model_version(&request.model_version)?;
    Ok(PromoteCall { version, force: request.force, etag: given(request.etag) })
}

/// Checks a wish to go back.
///
/// # Errors
/// [`Error::InvalidRequest`].
pub fn rollback_call(request: pb::RollbackClassifierRequest) -> Result<RollbackCall, Error> {
    Ok(RollbackCall { classifier: classifier(&request.classifier)?, etag: given(request.etag) })
}

fn given(etag: String) -> Option<String> {
    Some(etag).filter(|etag| !etag.is_empty())
}
