//! What is wrong with labelled documents: what kinds of issues there are, and those that show without training.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::Dataset;
use super::near_duplicates::{NearDuplicate, find_near_duplicates_and_leaks};
use crate::cancellation::IsCancelled;
use crate::document::{ContentHash, Document, LabeledDocument, Topic};
use crate::evaluation::{LabelRanking, UnlikelyLabel};
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
    /// A stored document was given with other topics, another weight or another split, which replace the stored ones.
    Relabelled,
    /// The document has no word to learn from: white space, punctuation or emoji only.
    NoTokens,
    /// The document has no topic.
    NoTopic,
    /// The topic has fewer than [`FEW_DOCUMENTS`] documents.
    FewDocuments,
    /// The document is nearly the same text as another one with the same topics.
    NearDuplicate,
    /// The document is nearly the same text as another one with other topics.
    ConflictingNearDuplicate,
    /// By predictions of models that never saw the document, its topic is probably wrong.
    SuspectedMislabel,
    /// The document is held out, but nearly the same text as one that is trained on: what is measured on it flatters.
    Leak,
}

impl IssueKind {
    /// What documents with this issue are or have, to be read after "documents".
    pub fn of_documents(self) -> &'static str {
        match self {
            Self::Duplicate => "were given again with the same topics, and count once",
            Self::ConflictingTopics => "were given again with other topics; the later ones count",
            Self::Relabelled => "were stored with other topics, another weight or another split, which these replace",
            Self::NoTokens => "have no word to learn from",
            Self::NoTopic => "have no topic",
            Self::FewDocuments => "have a topic with few documents",
            Self::NearDuplicate => "are nearly the same text as another one with the same topics",
            Self::ConflictingNearDuplicate => "are nearly the same text as another one with other topics",
            Self::SuspectedMislabel => "have a label that is probably wrong, the most suspicious first",
            Self::Leak => "are held out, but nearly the same text as a training document",
        }
    }
}

/// One kind of issue and the documents that have it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DataIssue {
    /// What is wrong.
    pub kind: IssueKind,
    /// The topic that it concerns, if it is one's.
    pub topic: Option<String>,
    /// How many documents have it.
    pub n_documents: usize,
    /// The first of them; of suspected mislabels the most suspicious.
    pub documents: Vec<AffectedDocument>,
}

/// A document that has an issue, and what is known about it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AffectedDocument {
    /// Which one.
    #[serde(flatten)]
    pub name: DocumentName,
    /// Of near duplicates and leaks, the document that it is nearly the same as; that one isn't counted among those
    /// affected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other_document: Option<DocumentName>,
    /// Of suspected mislabels, what is suspected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mislabel: Option<SuspectedMislabel>,
}

impl AffectedDocument {
    /// The document's name, and what is known of its issue.
    pub fn in_words(&self) -> String {
        let mut words = self.name.shown().to_owned();
        if let Some(other) = &self.other_document {
            words += &format!(" repeats {}", other.shown());
        }
        if let Some(mislabel) = &self.mislabel {
            let (given, suggested) = (mislabel.given_probability, mislabel.suggested_probability);
            words += &match (&mislabel.given_topic, &mislabel.suggested_topic) {
                (Some(from), Some(to)) => format!(": not {from} ({given:.3}) but {to} ({suggested:.3})"),
                (Some(from), None) => format!(": not {from} (without it {suggested:.3})"),
                (None, Some(to)) => format!(": also {to} ({suggested:.3})"),
                (None, None) => String::new(),
            };
        }
        words
    }
}

/// What is probably wrong with a document's topics, and what would be right.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SuspectedMislabel {
    /// The topic that it was given and perhaps shouldn't have; none where a topic is missing.
    pub given_topic: Option<String>,
    /// The topic that it should perhaps have; none where a topic is one too many.
    pub suggested_topic: Option<String>,
    /// How probable the label is as given: the probability of the given topic, or 1 minus that of a missing topic.
    pub given_probability: f64,
    /// How probable the suggested label is: the probability of the suggested topic, or 1 minus that of a topic too many.
    pub suggested_probability: f64,
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

    /// For people: the caller's name for it, or else the first 16 digits of its hash.
    pub fn shown(&self) -> &str {
        if self.document_id.is_empty() { self.content_hash.get(..16).unwrap_or_default() } else { &self.document_id }
    }
}

impl AffectedDocument {
    fn of(document: &Document) -> Self {
        Self { name: DocumentName::of(document), other_document: None, mislabel: None }
    }
}

impl SuspectedMislabel {
    /// Names the topics of a label.
    pub fn of(label: &UnlikelyLabel, topics: &[Topic]) -> Self {
        let name = |topic: Option<u32>| topic.map(|topic| topics[topic as usize].to_string());
        Self {
            given_topic: name(label.given_topic),
            suggested_topic: name(label.suggested_topic),
            given_probability: label.given_probability,
            suggested_probability: label.suggested_probability,
        }
    }
}

impl DataIssue {
    /// An issue of some documents; none if there are none.
    pub fn of_documents(kind: IssueKind, documents: &[&Document]) -> Option<Self> {
        Self::of_affected(kind, documents, |document| AffectedDocument::of(document))
    }

    /// An issue of some documents, of which the first are described; none if there are none.
    pub fn of_affected<T>(kind: IssueKind, documents: &[T], describe: impl Fn(&T) -> AffectedDocument) -> Option<Self> {
        let described = documents.iter().take(MAX_NAMED_DOCUMENTS).map(describe).collect();
        let issue = Self { kind, topic: None, n_documents: documents.len(), documents: described };
        (!documents.is_empty()).then_some(issue)
    }
}

/// All that shows in labelled documents as they were given, before they are a dataset.
pub fn find_issues(examples: &[LabeledDocument]) -> Vec<DataIssue> {
    [find_repetitions(examples), find_unusable(examples)].concat()
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

/// Training documents that are nearly the same text as another one, with the same topics and with others; and held-out
/// documents that are nearly the same text as a training document. Told to stop, it returns early, and what it returns means
/// nothing.
pub fn find_near_repetitions(dataset: &Dataset, is_cancelled: IsCancelled<'_>) -> Vec<DataIssue> {
    let (documents, targets) = (dataset.documents(), dataset.targets());
    let held_out: Vec<&Document> = dataset.held_out().iter().map(|example| &example.document).collect();
    let near = find_near_duplicates_and_leaks(&documents, &held_out, is_cancelled);
    let (same, conflicting): (Vec<_>, Vec<_>) =
        near.duplicates.into_iter().partition(|near| targets.of(near.document) == targets.of(near.of));
    let issue = |kind, near: &[NearDuplicate], among: &[&Document]| {
        DataIssue::of_affected(kind, near, |near| AffectedDocument {
            other_document: Some(DocumentName::of(documents[near.of])),
            ..AffectedDocument::of(among[near.document])
        })
    };
    let issues = [
        issue(IssueKind::NearDuplicate, &same, &documents),
        issue(IssueKind::ConflictingNearDuplicate, &conflicting, &documents),
        issue(IssueKind::Leak, &near.leaks, &held_out),
    ];
    issues.into_iter().flatten().collect()
}

/// Documents whose labels are suspected to be wrong, by a ranking of the dataset's documents.
pub fn find_suspected_mislabels(dataset: &Dataset, ranking: &LabelRanking) -> Option<DataIssue> {
    let documents = dataset.documents();
    DataIssue::of_affected(IssueKind::SuspectedMislabel, ranking.suspected(), |label| AffectedDocument {
        mislabel: Some(SuspectedMislabel::of(label, dataset.topics())),
        ..AffectedDocument::of(documents[label.document])
    })
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
            let ids = issue.documents.iter().map(|document| document.name.document_id.as_str()).collect();
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
    fn near_repetitions_are_told_apart_by_their_topics_and_name_both_sides() {
        let text = |from: usize| (from..from + 20).map(|word| format!("w{word} ")).collect::<String>();
        let examples = [
            example(0, &text(0), &["x"]),
            example(1, &text(1), &["x"]),
            example(2, &text(100), &["x"]),
            example(3, &text(101), &["y"]),
            example(4, &text(200), &["y"]),
        ];
        let issues = find_near_repetitions(&Dataset::new(examples).unwrap(), &crate::cancellation::never);
        let sides = |issue: &DataIssue| {
            let document = &issue.documents[0];
            let mut sides =
                [&document.name, document.other_document.as_ref().unwrap()].map(|name| &name.document_id[..]);
            sides.sort_unstable();
            (issue.kind, issue.n_documents, sides.concat())
        };
        let expected =
            [(IssueKind::NearDuplicate, 1, "01".to_owned()), (IssueKind::ConflictingNearDuplicate, 1, "23".to_owned())];
        assert_eq!(issues.iter().map(sides).collect::<Vec<_>>(), expected);
    }

    /// Jobs are stored with their issues for good.
    #[test]
    fn issues_that_were_stored_before_documents_had_details_can_be_read() {
        let stored = r#"{"kind":"duplicate","topic":null,"n_documents":1,
            "documents":[{"document_id":"a","content_hash":"00"}]}"#;
        let issue: DataIssue = serde_json::from_str(stored).unwrap();
        assert_eq!((issue.documents[0].name.shown(), &issue.documents[0].mislabel), ("a", &None));
        let again = serde_json::to_value(&issue).unwrap();
        assert_eq!(again, serde_json::from_str::<serde_json::Value>(stored).unwrap());
    }

    #[test]
    fn small_topics_are_those_of_fewer_than_ten_documents() {
        let issues = find_small_topics([("a", 10), ("b", 9), ("c", 1)]);
        let topics: Vec<_> = issues.iter().map(|issue| (issue.topic.as_deref(), issue.n_documents)).collect();
        assert_eq!(topics, [(Some("b"), 9), (Some("c"), 1)]);
    }
}
