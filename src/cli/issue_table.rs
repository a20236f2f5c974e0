//! What is wrong with labelled documents, as people read it.

use std::io::{self, Write};

use crate::dataset::issues::{DataIssue, FEW_DOCUMENTS, IssueKind};

/// Documents, or small topics, of an issue that are shown; the others are counted.
const MAX_SHOWN: usize = 5;

/// Writes each kind of issue with how many documents have it, and the first of these.
pub(super) fn write(out: &mut impl Write, issues: &[DataIssue]) -> io::Result<()> {
    for issue in issues.iter().filter(|issue| issue.kind != IssueKind::FewDocuments) {
        writeln!(out, "{} documents {}:", issue.n_documents, issue.kind.of_documents())?;
        for document in issue.documents.iter().take(MAX_SHOWN) {
            writeln!(out, "  {}", document.in_words())?;
        }
        if let Some(n_more @ 1..) = issue.n_documents.checked_sub(issue.documents.len().min(MAX_SHOWN)) {
            writeln!(out, "  and {n_more} more")?;
        }
    }
    write_small_topics(out, issues)
}

/// One paragraph for all of them: a corpus may have hundreds.
fn write_small_topics(out: &mut impl Write, issues: &[DataIssue]) -> io::Result<()> {
    let small: Vec<&DataIssue> = issues.iter().filter(|issue| issue.kind == IssueKind::FewDocuments).collect();
    if small.is_empty() {
        return Ok(());
    }
    let topic = |issue: &&DataIssue| format!("{} ({})", issue.topic.as_deref().unwrap_or_default(), issue.n_documents);
    let shown: Vec<String> = small.iter().take(MAX_SHOWN).map(topic).collect();
    let more = match small.len() - shown.len() {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    writeln!(out, "{} topics have fewer than {FEW_DOCUMENTS} documents: {}{more}", small.len(), shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::issues::{AffectedDocument, DocumentName, SuspectedMislabel};

    fn name(id: &str) -> DocumentName {
        DocumentName { document_id: id.to_owned(), content_hash: "0123456789abcdef".repeat(4) }
    }

    fn written(issues: &[DataIssue]) -> String {
        let mut out = Vec::new();
        write(&mut out, issues).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn documents_are_shown_with_what_is_known_of_them_up_to_a_number() {
        let mislabel = |given: Option<&str>, suggested: Option<&str>| AffectedDocument {
            name: name(""),
            other_document: None,
            mislabel: Some(SuspectedMislabel {
                given_topic: given.map(str::to_owned),
                suggested_topic: suggested.map(str::to_owned),
                given_probability: 0.25,
                suggested_probability: 0.75,
            }),
        };
        let near = AffectedDocument { name: name("a"), other_document: Some(name("b")), mislabel: None };
        let issue = |kind, n_documents, documents| DataIssue { kind, topic: None, n_documents, documents };
        let mislabels = [(Some("x"), Some("y")), (Some("x"), None), (None, Some("y"))];
        let mislabels = mislabels.map(|(given, suggested)| mislabel(given, suggested)).to_vec();
        assert_eq!(
            written(&[
                issue(IssueKind::NearDuplicate, 8, vec![near; 8]),
                issue(IssueKind::SuspectedMislabel, 3, mislabels),
            ]),
            "8 documents are nearly the same text as another one with the same topics:\n".to_owned()
                + &"  a repeats b\n".repeat(5)
                + "  and 3 more\n"
                + "3 documents have a label that is probably wrong, the most suspicious first:\n"
                + "  0123456789abcdef: not x (0.250) but y (0.750)\n"
                + "  0123456789abcdef: not x (without it 0.750)\n"
                + "  0123456789abcdef: also y (0.750)\n"
        );
    }

    #[test]
    fn small_topics_share_a_line() {
        let small = |i: usize| DataIssue {
            kind: IssueKind::FewDocuments,
            topic: Some(format!("t{i}")),
            n_documents: i,
            documents: Vec::new(),
        };
        let all: Vec<DataIssue> = (1..8).map(small).collect();
        assert_eq!(
            written(&all),
            "7 topics have fewer than 10 documents: t1 (1), t2 (2), t3 (3), t4 (4), t5 (5) and 2 more\n"
        );
        assert_eq!(written(&all[..2]), "2 topics have fewer than 10 documents: t1 (1), t2 (2)\n");
        assert_eq!(written(&[]), "");
    }
}
