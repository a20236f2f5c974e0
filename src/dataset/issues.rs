//! What is wrong with labelled documents, as far as it shows without training.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::document::{ContentHash, Document, LabeledDocument, Topic};
use crate::text::has_tokens;

/// Topics of fewer documents are reported: cross-validation says little about them.
pub const FEW_DOCUMENTS: usize = 10;
/// The most documents that one issue names; the others are counted.
const MAX_NAMED_DOCUMENTS: usize = 20;

/// The kinds of issues.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IssueKind {
    /// The same title and text was given more than once, with the same topics.
    Duplicate,
    /// The same title and text was given with different topics; the later ones count.
    ConflictingTopics,
    /// A stored document was given with other topics, which replace the stored ones.
    Relabelled,
    /// The document has no word to learn from: white space, punctuation or emoji only.
    NoTokens,
    /// The document has no topic.
    NoTopic,
    /// The topic has fewer than [`FEW_DOCUMENTS`] documents.
    FewDocuments,
}

/// One kind of issue and the documents that have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataIssue {
    /// What is wrong.
    pub kind: IssueKind,
    /// The topic that it concerns, if it is one's.
    pub topic: Option<String>,
    /// How many documents have it.
    pub n_documents: usize,
    /// The first of them.
    pub documents: Vec<DocumentName>,
}

/// Which document is meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DocumentName {
    /// The caller's own name for it; may be empty.
    pub document_id: String,
    /// SHA-256 of title and text, as 64 hexadecimal digits.
    pub content_hash: String,
}

impl DocumentName {
    /// Names a document.
    pub fn of(document: &Document) -> Self {
        Self { document_id: document.id.clone(), content_hash: document.content_hash().to_string() }
    }
}

impl DataIssue {
    /// An issue of some documents; none if there are none.
    pub fn of_documents(kind: IssueKind, documents: &[&Document]) -> Option<Self> {
        let named = documents.iter().take(MAX_NAMED_DOCUMENTS).map(|document| DocumentName::of(document)).collect();
        let issue = Self { kind, topic: None, n_documents: documents.len(), documents: named };
        (!documents.is_empty()).then_some(issue)
    }
}

/// Documents that were given more than once: with the same topics, and with others.
pub fn find_repetitions(examples: &[LabeledDocument]) -> Vec<DataIssue> {
    let mut topics_of: HashMap<ContentHash, &[Topic]> = HashMap::with_capacity(examples.len());
    let (mut duplicates, mut conflicts) = (Vec::new(), Vec::new());
    for example in examples {
        match topics_of.insert(example.document.content_hash(), example.topics()) {
            None => {}
            Some(earlier) if earlier == example.topics() => duplicates.push(&example.document),
            Some(_) => conflicts.push(&example.document),
        }
    }
    let issues = [(IssueKind::Duplicate, duplicates), (IssueKind::ConflictingTopics, conflicts)];
    issues.iter().filter_map(|(kind, documents)| DataIssue::of_documents(*kind, documents)).collect()
}

/// Documents that nothing can be learned from.
pub fn find_unusable(examples: &[LabeledDocument]) -> Vec<DataIssue> {
    let documents_that = |is_unusable: fn(&LabeledDocument) -> bool| -> Vec<&Document> {
        examples.iter().filter(|example| is_unusable(example)).map(|example| &example.document).collect()
    };
    let no_tokens = documents_that(|example| !has_tokens(&example.document));
    let no_topic = documents_that(|example| example.topics().is_empty());
    let issues = [(IssueKind::NoTokens, no_tokens), (IssueKind::NoTopic, no_topic)];
    issues.iter().filter_map(|(kind, documents)| DataIssue::of_documents(*kind, documents)).collect()
}

/// Topics with too few documents to judge them by; given topics and how many documents have each.
pub fn find_small_topics<'a>(counts: impl IntoIterator<Item = (&'a str, usize)>) -> Vec<DataIssue> {
    let small = counts.into_iter().filter(|(_, n_documents)| *n_documents < FEW_DOCUMENTS);
    let issue = |(topic, n_documents): (&str, usize)| DataIssue {
        kind: IssueKind::FewDocuments,
        topic: Some(topic.to_owned()),
        n_documents,
        documents: Vec::new(),
    };
    small.map(issue).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(id: usize, text: &str, topics: &[&str]) -> LabeledDocument {
        let topics = topics.iter().map(|topic| Topic::new(topic).unwrap()).collect();
        LabeledDocument::new(Document::new("", text).unwrap().with_id(id.to_string()), topics)
    }

    fn found(issues: &[DataIssue]) -> Vec<(IssueKind, usize, Vec<&str>)> {
        let mut found = Vec::new();
        for issue in issues {
            let ids = issue.documents.iter().map(|document| document.document_id.as_str()).collect();
            found.push((issue.kind, issue.n_documents, ids));
        }
        found
    }

    #[test]
    fn repetitions_are_told_apart_by_their_topics() {
        let examples = [
            example(0, "a", &["x"]),
            example(1, "b", &["x"]),
            example(2, "a", &["x"]),
            example(3, "b", &["y"]),
            example(4, "b", &["y"]),
        ];
        let expected = [(IssueKind::Duplicate, 2, vec!["2", "4"]), (IssueKind::ConflictingTopics, 1, vec!["3"])];
        assert_eq!(found(&find_repetitions(&examples)), expected);
        assert!(find_repetitions(&examples[..2]).is_empty());
    }

    #[test]
    fn what_cannot_be_learned_from_is_named_up_to_a_number() {
        let mut examples: Vec<_> = (0..30).map(|i| example(i, &format!("🎉{}", " ".repeat(i)), &["x"])).collect();
        examples.push(example(30, "word", &[]));
        examples.push(example(31, "12", &["x"]));
        let issues = find_unusable(&examples);
        assert_eq!((issues[0].kind, issues[0].n_documents, issues[0].documents.len()), (IssueKind::NoTokens, 30, 20));
        assert_eq!(found(&issues[1..]), [(IssueKind::NoTopic, 1, vec!["30"])]);
    }

    #[test]
    fn small_topics_are_those_of_fewer_than_ten_documents() {
        let issues = find_small_topics([("a", 10), ("b", 9), ("c", 1)]);
        let topics: Vec<_> = issues.iter().map(|issue| (issue.topic.as_deref(), issue.n_documents)).collect();
        assert_eq!(topics, [(Some("b"), 9), (Some("c"), 1)]);
    }
}
