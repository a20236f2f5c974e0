//! Requests about classifiers, versions and jobs → calls.

use super::pb;
use super::violations::{MAX_EXPLAINED_TERMS, Violations};
use crate::config::Limits;
use crate::document::{DocumentError, LabeledDocument, Topic};
use crate::names::ClassifierName;
use crate::service::{
    CompareCall, DeleteCall, DescribeTopicCall, Error, EvaluateCall, JobName, ModelName, PromoteCall, RollbackCall,
};
use crate::topic_description::DEFAULT_TOPIC_TERMS;

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

/// Checks which version is meant; left out: the stable one of the default classifier.
///
/// # Errors
/// [`Error::InvalidRequest`].
pub fn model(name: &str) -> Result<ModelName, Error> {
    let mut violations = Violations::default();
    violations.check_model("model", name).ok_or_else(|| violations.into_error())
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
    let size = violations.check_page_size(page_size);
    let below = page_token.parse().ok();
    if below.is_none() && !page_token.is_empty() {
        violations.add_malformed_token(page_token);
    }
    match classifier {
        Some(classifier) if violations.is_empty() => Ok(Page { classifier, below, size }),
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

/// Checks a wish to delete.
///
/// # Errors
/// [`Error::InvalidRequest`].
pub fn delete_call(request: pb::DeleteModelVersionRequest) -> Result<DeleteCall, Error> {
    Ok(DeleteCall { version: model_version(&request.model_version)?, etag: given(request.etag) })
}

/// Checks a wish to go back.
///
/// # Errors
/// [`Error::InvalidRequest`].
pub fn rollback_call(request: pb::RollbackClassifierRequest) -> Result<RollbackCall, Error> {
    Ok(RollbackCall { classifier: classifier(&request.classifier)?, etag: given(request.etag) })
}

/// Checks a wish to compare.
///
/// # Errors
/// [`Error::InvalidRequest`] with every field that is wrong.
pub fn compare_call(request: pb::CompareModelVersionsRequest, limits: &Limits) -> Result<CompareCall, Error> {
    let mut violations = Violations::default();
    let pb::CompareModelVersionsRequest { model_version_a, model_version_b, inline_examples } = request;
    let first = violations.check_version("model_version_a", &model_version_a);
    let second = violations.check_version("model_version_b", &model_version_b);
    let examples = inline_examples.map(|inline| violations.check_inline(inline, limits));
    if let (Some(first), Some(second), None) = (&first, &second, &examples)
        && first.classifier != second.classifier
    {
        let description = format!(
            "is one of {}, and model_version_a of {}, whose stored documents are others; give inline_examples to compare \
             them",
            second.classifier, first.classifier
        );
        violations.add("model_version_b", "OTHER_CLASSIFIER", description);
    }
    match (first, second) {
        (Some(first), Some(second)) if violations.is_empty() => Ok(CompareCall { first, second, examples }),
        _ => Err(violations.into_error()),
    }
}

/// Checks a wish to evaluate.
///
/// # Errors
/// [`Error::InvalidRequest`] with every field that is wrong.
pub fn evaluate_call(request: pb::EvaluateModelVersionRequest, limits: &Limits) -> Result<EvaluateCall, Error> {
    let mut violations = Violations::default();
    let pb::EvaluateModelVersionRequest { model_version, inline_examples } = request;
    let version = violations.check_version("model_version", &model_version);
    let examples = inline_examples.map(|inline| violations.check_inline(inline, limits));
    match version {
        Some(version) if violations.is_empty() => Ok(EvaluateCall { version, examples }),
        _ => Err(violations.into_error()),
    }
}

/// Checks a question about a topic.
///
/// # Errors
/// [`Error::InvalidRequest`] with every field that is wrong.
pub fn describe_topic_call(request: pb::DescribeTopicRequest) -> Result<DescribeTopicCall, Error> {
    let mut violations = Violations::default();
    let pb::DescribeTopicRequest { model, topic, max_terms } = request;
    let model = violations.check_model("model", &model);
    let topic = match Topic::new(&topic) {
        Ok(topic) => Some(topic),
        Err(DocumentError::EmptyTopic) => {
            violations.add("topic", "REQUIRED", "is missing; give the name of one of the model's topics".to_owned());
            None
        }
        Err(error) => {
            violations.add("topic", "BAD_TOPIC", format!("is wrong: {error}"));
            None
        }
    };
    if max_terms > MAX_EXPLAINED_TERMS {
        let description = format!("is {max_terms}; the most is {MAX_EXPLAINED_TERMS}");
        violations.add("max_terms", "OUT_OF_RANGE", description);
    }
    let max_terms = if max_terms == 0 { DEFAULT_TOPIC_TERMS } else { max_terms as usize };
    match (model, topic) {
        (Some(model), Some(topic)) if violations.is_empty() => Ok(DescribeTopicCall { model, topic, max_terms }),
        _ => Err(violations.into_error()),
    }
}

impl Violations {
    /// Documents that take the place of the stored ones.
    fn check_inline(&mut self, inline: pb::InlineExamples, limits: &Limits) -> Vec<LabeledDocument> {
        let field = "inline_examples.examples";
        if inline.examples.is_empty() {
            let description =
                "is empty; give labelled documents, or leave inline_examples out for the stored ones".to_owned();
            self.add(field, "REQUIRED", description);
        }
        self.check_examples(field, 0, inline.examples, limits)
    }
}

pub(super) fn given(etag: String) -> Option<String> {
    Some(etag).filter(|etag| !etag.is_empty())
}
