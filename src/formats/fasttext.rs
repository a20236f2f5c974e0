//! fastText's training lines: `__label__a __label__b the text`.
//!
//! Labels count at the line's start only; a line without one is a document without topics. The text has no title.
//! Bytes that are not UTF-8 are read as windows-1252.

use super::{error::Reason, lines::decode};
use crate::document::{Document, LabeledDocument, Topic};

/// What a label starts with.
pub(super) const LABEL_PREFIX: &str = "__label__";

/// Reads a line that is not blank.
pub(super) fn parse(line: &[u8]) -> Result<LabeledDocument, Reason> {
    let line = decode(line.to_vec());
    let mut rest = line.trim();
    let mut topics = Vec::new();
    while let Some(labelled) = rest.strip_prefix(LABEL_PREFIX) {
        let (label, behind) = labelled.split_once(|c: char| c.is_ascii_whitespace()).unwrap_or((labelled, ""));
        if label.is_empty() {
            return Err(Reason::EmptyLabel);
        }
        topics.push(Topic::new(label)?);
        rest = behind.trim_start();
    }
    Ok(LabeledDocument::new(Document::new("", rest)?, topics))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::DocumentError;

    fn parts(line: &[u8]) -> (Vec<String>, String) {
        let labeled = parse(line).unwrap();
        assert_eq!(labeled.document.title(), "");
        (labeled.topics().iter().map(Topic::to_string).collect(), labeled.document.text().to_owned())
    }

    #[test]
    fn labels_in_front_are_topics() {
        assert_eq!(
            parts(b"__label__sport \t __label__law  Two clubs , one judge "),
            (vec!["law".to_owned(), "sport".to_owned()], "Two clubs , one judge".to_owned())
        );
        assert_eq!(parts(b"no label here"), (vec![], "no label here".to_owned()));
        assert_eq!(parts(b"see __label__x below"), (vec![], "see __label__x below".to_owned()));
        assert_eq!(parts(b"__label__caf\xe9 a\xa0b").0, ["café"]);
    }

    #[test]
    fn labels_without_name_or_text_are_bad_lines() {
        for line in ["__label__", "__label__ text", "__label__a __label__\ttext"] {
            assert!(matches!(parse(line.as_bytes()), Err(Reason::EmptyLabel)), "{line}");
        }
        assert!(matches!(parse(b"__label__a "), Err(Reason::Document(DocumentError::Empty))));
        let long = format!("__label__{} text", "x".repeat(129));
        assert!(matches!(parse(long.as_bytes()), Err(Reason::Document(DocumentError::TopicTooLong { bytes: 129 }))));
    }
}
