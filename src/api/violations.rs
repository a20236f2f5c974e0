//! What is wrong with a request: the one place where what a caller sent is checked.
//!
//! Everything that is wrong is collected, so that one reply names it all. The descriptions complete sentences that begin
//! with the field: what was seen, what is allowed, what to try. They repeat no document text.

use std::fmt;
use std::num::NonZeroUsize;
use std::str::FromStr;

use prost::Message;
use sha2::{Digest, Sha256};

use super::pb;
use crate::abstention::AbstentionOptions;
use crate::classifier::ClassifyOptions;
use crate::config::Limits;
use crate::decision::Probability;
use crate::document::{Date, Document, DocumentWeight, LabeledDocument, Split, Topic};
use crate::explanation::Explain;
use crate::names::{ClassifierName, excerpt};
use crate::service::{AcceptedDocument, Error, FieldViolation, JobName, ModelName};
use crate::store::RequestId;

/// The longest `document_id`, in bytes.
pub const MAX_DOCUMENT_ID_BYTES: usize = 1024;
/// The longest `url`, in bytes.
pub const MAX_URL_BYTES: usize = 2048;
/// The most terms that an explanation lists.
pub const MAX_EXPLAINED_TERMS: u32 = 1000;
/// The most topics of one document.
pub const MAX_DOCUMENT_TOPICS: usize = 1000;
/// The most entries of a page, and how many there are when the request doesn't say.
const PAGE_SIZES: (u32, u32) = (100, 20);
/// The most wrong fields that one reply names; the others are counted. Errors travel in HTTP/2 headers, of which many
/// clients take no more than 16 KiB.
const MAX_VIOLATIONS: usize = 16;
/// And the most bytes that their names and descriptions may have there, the rest being for what every reply has.
const MAX_HEADER_BYTES: usize = 13 * 1024;

/// What a text takes in a reply's header: once as words, in which most characters but letters and digits are three, and twice in
/// the details (the words again, and the field's own), which are base64.
fn n_header_bytes(text: &str) -> usize {
    let in_words: usize = text.bytes().map(|byte| if byte.is_ascii_alphanumeric() { 1 } else { 3 }).sum();
    in_words + (2 * text.len() * 4).div_ceil(3)
}

/// What was found to be wrong so far. A check that finds something adds it, and returns nothing or a stand-in with
/// which the remaining checks can go on.
#[derive(Debug, Default)]
pub(super) struct Violations {
    found: Vec<FieldViolation>,
    n_header_bytes: usize,
    n_more: usize,
}

impl Violations {
    pub(super) fn add(&mut self, field: impl fmt::Display, reason: &'static str, description: String) {
        let field = field.to_string();
        let n_header_bytes = n_header_bytes(&field) + n_header_bytes(&description);
        let has_room = self.found.len() < MAX_VIOLATIONS && self.n_header_bytes + n_header_bytes <= MAX_HEADER_BYTES;
        // One alone is always short enough: what callers sent is repeated in excerpts only.
        if self.found.is_empty() || has_room {
            self.found.push(FieldViolation { field, reason, description });
            self.n_header_bytes += n_header_bytes;
        } else {
            self.n_more += 1;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// All that was found; more than a reply can hold is counted.
    pub(super) fn into_error(mut self) -> Error {
        if self.n_more > 0
            && let Some(last) = self.found.last_mut()
        {
            last.description.push_str(&format!("; and {} more fields are wrong", self.n_more));
        }
        Error::InvalidRequest(self.found)
    }

    /// A name that is left out is the default one's.
    pub(super) fn check_model(&mut self, field: &str, model: &str) -> Option<ModelName> {
        self.check_name(field, model)
    }

    /// A name of a version, which must not be left out.
    pub(super) fn check_version(&mut self, field: &str, model: &str) -> Option<ModelName> {
        if model.is_empty() {
            self.add(field, "REQUIRED", "is missing; give classifiers/{classifier}/versions/{version}".to_owned());
            return None;
        }
        self.check_name(field, model)
    }

    /// A name of a classifier without a version, which must not be left out.
    pub(super) fn check_classifier(&mut self, field: &str, name: &str) -> Option<ClassifierName> {
        let Some(bare) = name.strip_prefix("classifiers/") else {
            let description = if name.is_empty() {
                "is missing; give classifiers/{classifier}".to_owned()
            } else {
                format!("is {:?}; write classifiers/{{classifier}}", excerpt(name))
            };
            self.add(field, if name.is_empty() { "REQUIRED" } else { "MALFORMED_NAME" }, description);
            return None;
        };
        let parsed = bare.parse::<ClassifierName>();
        if let Err(error) = &parsed {
            self.add(field, "MALFORMED_NAME", format!("is wrong: {error}"));
        }
        parsed.ok()
    }

    pub(super) fn check_job(&mut self, field: &str, name: &str) -> Option<JobName> {
        self.check_name(field, name)
    }

    /// How many entries a page has at most.
    pub(super) fn check_page_size(&mut self, page_size: u32) -> u32 {
        let (largest, default) = PAGE_SIZES;
        if page_size > largest {
            self.add("page_size", "OUT_OF_RANGE", format!("is {page_size}; the most is {largest}"));
        }
        if page_size == 0 { default } else { page_size }
    }

    /// A page token that no answer had.
    pub(super) fn add_malformed_token(&mut self, token: &str) {
        let description = format!("is {:?}; give the last answer's next_page_token, or leave it out", excerpt(token));
        self.add("page_token", "MALFORMED_TOKEN", description);
    }

    /// The caller's name for a request, and what is asked under it.
    pub(super) fn check_request_id(
        &mut self,
        field: &str,
        request_id: &str,
        asked: &impl Message,
    ) -> Option<RequestId> {
        if request_id.is_empty() {
            return None;
        }
        let Ok(id) = uuid::Uuid::try_parse(request_id) else {
            let description = "isn't a UUID; write one such as 123e4567-e89b-42d3-a456-426614174000".to_owned();
            self.add(field, "MALFORMED_UUID", description);
            return None;
        };
        Some(RequestId { id: id.to_string(), sha256: Sha256::digest(asked.encode_to_vec()).into() })
    }

    fn check_name<T: FromStr<Err: fmt::Display>>(&mut self, field: &str, name: &str) -> Option<T> {
        let parsed = name.parse::<T>();
        if let Err(error) = &parsed {
            self.add(field, "MALFORMED_NAME", error.to_string());
        }
        parsed.ok()
    }

    pub(super) fn check_options(&mut self, options: Option<pb::ClassifyOptions>) -> (ClassifyOptions, pb::Truncation) {
        let options = options.unwrap_or_default();
        let checked = ClassifyOptions {
            top_k: NonZeroUsize::new(options.top_k as usize),
            min_probability: self.check_probability("options.min_probability", options.min_probability),
            abstention: AbstentionOptions {
                abstain_below: options.abstain_below.map(|p| self.check_probability("options.abstain_below", p)),
                min_margin: options.min_margin.map(|p| self.check_probability("options.min_margin", p)),
            },
            explain: self.check_explain(options.explain),
            max_terms: NonZeroUsize::new(options.max_terms as usize),
        };
        if options.max_terms > MAX_EXPLAINED_TERMS {
            let description = format!("is {}; the most is {MAX_EXPLAINED_TERMS}", options.max_terms);
            self.add("options.max_terms", "OUT_OF_RANGE", description);
        }
        let truncation = pb::Truncation::try_from(options.truncation);
        if let Err(prost::UnknownEnumValue(number)) = truncation {
            let description =
                format!("is {number}, which means nothing; use TRUNCATION_REJECT (1) or TRUNCATION_END (2)");
            self.add("options.truncation", "UNKNOWN_VALUE", description);
        }
        (checked, truncation.unwrap_or_default())
    }

    fn check_explain(&mut self, explain: i32) -> Explain {
        match pb::Explain::try_from(explain) {
            Ok(pb::Explain::Unspecified | pb::Explain::Nothing) => Explain::Nothing,
            Ok(pb::Explain::TopTopic) => Explain::TopTopic,
            Ok(pb::Explain::ReturnedTopics) => Explain::ReturnedTopics,
            Err(prost::UnknownEnumValue(number)) => {
                let description = format!(
                    "is {number}, which means nothing; use EXPLAIN_NOTHING (1), EXPLAIN_TOP_TOPIC (2) or \
                     EXPLAIN_RETURNED_TOPICS (3)"
                );
                self.add("options.explain", "UNKNOWN_VALUE", description);
                Explain::Nothing
            }
        }
    }

    pub(super) fn check_probability(&mut self, field: &str, value: f64) -> Probability {
        let probability = Probability::new(value);
        if probability.is_none() {
            self.add(field, "OUT_OF_RANGE", format!("is {value}; give a number from 0 to 1"));
        }
        probability.unwrap_or_default()
    }

    pub(super) fn check_batch_size(&mut self, n_documents: usize, limits: &Limits) {
        let limit = limits.max_batch_documents.get();
        if n_documents == 0 {
            self.add("documents", "REQUIRED", format!("is empty; give 1 to {limit} documents"));
        } else if n_documents > limit as usize {
            let description =
                format!("has {n_documents} documents; the limit max_batch_documents is {limit}; send several batches");
            self.add("documents", "TOO_MANY", description);
        }
    }

    pub(super) fn check_document(
        &mut self,
        path: impl fmt::Display,
        document: pb::Document,
        truncation: pb::Truncation,
        limits: &Limits,
    ) -> Option<AcceptedDocument> {
        let document = self.check_fields(&path, document)?;
        let (n_bytes, limit) = (document.n_bytes(), limits.max_document_bytes.get() as usize);
        if n_bytes > limit && truncation != pb::Truncation::End {
            let description = format!(
                "has {n_bytes} bytes of title and text; the limit max_document_bytes is {limit}; shorten it, or set \
                 options.truncation to TRUNCATION_END to have its end left out"
            );
            self.add(path, "TOO_LONG", description);
            return None;
        }
        let (document, truncated) = document.truncated(limit);
        Some(AcceptedDocument { document, truncated })
    }

    /// A document to be stored or learned from: all of it, and its topics.
    pub(super) fn check_example(
        &mut self,
        path: impl fmt::Display,
        example: pb::LabeledDocument,
        limits: &Limits,
    ) -> Option<LabeledDocument> {
        let Some(document) = example.document else {
            let description = "is missing; give one with a title, a text or both".to_owned();
            self.add(format_args!("{path}.document"), "REQUIRED", description);
            return None;
        };
        let document = self.check_fields(format_args!("{path}.document"), document);
        let topics = self.check_topics(&path, &example.topics);
        let split = self.check_split(&path, example.split);
        let weight = self.check_weight(&path, example.weight);
        let document = document?;
        let (n_bytes, limit) = (document.n_bytes(), limits.max_document_bytes.get());
        if n_bytes > limit as usize {
            let description = format!(
                "has {n_bytes} bytes of title and text; the limit max_document_bytes is {limit}; shorten it, or leave it out"
            );
            self.add(format_args!("{path}.document"), "TOO_LONG", description);
            return None;
        }
        Some(LabeledDocument::new(document, topics?).with_split(split).with_weight(weight?))
    }

    fn check_split(&mut self, path: impl fmt::Display, split: i32) -> Option<Split> {
        match pb::Split::try_from(split) {
            Ok(pb::Split::Unspecified) => None,
            Ok(pb::Split::Training) => Some(Split::Training),
            Ok(pb::Split::HeldOut) => Some(Split::HeldOut),
            Err(prost::UnknownEnumValue(number)) => {
                let description = format!(
                    "is {number}, which means nothing; use SPLIT_TRAINING (1) or SPLIT_HELD_OUT (2), or leave it out"
                );
                self.add(format_args!("{path}.split"), "UNKNOWN_VALUE", description);
                None
            }
        }
    }

    fn check_weight(&mut self, path: impl fmt::Display, weight: f32) -> Option<DocumentWeight> {
        let weight = if weight == 0.0 { Ok(DocumentWeight::default()) } else { DocumentWeight::new(weight) };
        if let Err(error) = &weight {
            let description = format!("is out of range: {error}; leave it out for 1");
            self.add(format_args!("{path}.weight"), "OUT_OF_RANGE", description);
        }
        weight.ok()
    }

    fn check_topics(&mut self, path: impl fmt::Display, topics: &[String]) -> Option<Vec<Topic>> {
        if topics.len() > MAX_DOCUMENT_TOPICS {
            let description =
                format!("has {} topics; the limit is {MAX_DOCUMENT_TOPICS}; leave some out", topics.len());
            self.add(format_args!("{path}.topics"), "TOO_MANY", description);
            return None;
        }
        let mut checked = Vec::with_capacity(topics.len());
        for (index, topic) in topics.iter().enumerate() {
            match Topic::new(topic) {
                Ok(topic) => checked.push(topic),
                Err(error) => {
                    self.add(format_args!("{path}.topics[{index}]"), "BAD_TOPIC", format!("is wrong: {error}"))
                }
            }
        }
        (checked.len() == topics.len()).then_some(checked)
    }

    /// What every document has, whatever it is for. `None` if it has neither title nor text.
    fn check_fields(&mut self, path: impl fmt::Display, document: pb::Document) -> Option<Document> {
        let pb::Document { title, text, document_id, publish_date, url } = document;
        for (field, value, limit) in
            [("document_id", &document_id, MAX_DOCUMENT_ID_BYTES), ("url", &url, MAX_URL_BYTES)]
        {
            let n_bytes = value.len();
            if n_bytes > limit {
                let description = format!("has {n_bytes} bytes; the limit is {limit}; shorten it, or leave it out");
                self.add(format_args!("{path}.{field}"), "TOO_LONG", description);
            }
        }
        let date = Date::parse(&publish_date);
        if date.is_none() && !publish_date.is_empty() {
            let description = format!("is {:?}; write a day as YYYY-MM-DD, or leave it out", excerpt(&publish_date));
            self.add(format_args!("{path}.publish_date"), "BAD_DATE", description);
        }
        let Ok(mut document) = Document::new(title, text) else {
            self.add(path, "REQUIRED", "has neither title nor text; give at least one of them".to_owned());
            return None;
        };
        (document.id, document.date, document.url) = (document_id, date, url);
        Some(document)
    }
}
