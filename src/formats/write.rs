//! Labelled documents → JSON lines, which [`super::open`] reads as the same documents again.

use serde::Serialize;

use crate::document::{DocumentWeight, LabeledDocument, Split, Topic};

/// A line; what is empty or usual is left out, but for the text and the topics.
#[derive(Serialize)]
struct Row<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    id: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    title: &'a str,
    text: &'a str,
    topics: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    date: Option<String>,
    #[serde(skip_serializing_if = "str::is_empty")]
    url: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    split: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    weight: Option<f32>,
}

/// Appends a document's line, with the line break.
pub fn write_json_line(example: &LabeledDocument, lines: &mut Vec<u8>) {
    let document = &example.document;
    let row = Row {
        id: &document.id,
        title: document.title(),
        text: document.text(),
        topics: example.topics().iter().map(Topic::as_str).collect(),
        date: document.date.map(|date| date.to_string()),
        url: &document.url,
        split: example.split.map(|split| match split {
            Split::Training => "training",
            Split::HeldOut => "held_out",
        }),
        weight: (example.weight != DocumentWeight::default()).then_some(example.weight.get()),
    };
    // Strings and numbers, written to memory: nothing of it can fail.
    lines.extend(serde_json::to_vec(&row).unwrap_or_default());
    lines.push(b'\n');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::jsonl;
    use super::*;
    use crate::document::{Date, Document};

    /// Any name a topic can have: what consists of white space alone (U+2000 …) is none.
    fn topic() -> impl Strategy<Value = Topic> {
        "\\PC{1,10}".prop_filter_map("no name of a topic", |name| Topic::new(&name).ok())
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(
            (title, text, id, url) in (".*", ".+", ".*", ".*"),
            topics in proptest::collection::vec(topic(), 0..3),
            weight in 0.01f32..100.0,
            place in 0usize..3,
        ) {
            let mut document = Document::new(title, text).unwrap().with_id(id);
            document.url = url;
            document.date = [None, Date::parse("2024-02-29"), Date::parse("19991231")][place];
            let split = [None, Some(Split::Training), Some(Split::HeldOut)][place];
            let weight = DocumentWeight::new(weight).unwrap();
            let example = LabeledDocument::new(document, topics).with_split(split).with_weight(weight);
            let mut lines = Vec::new();
            write_json_line(&example, &mut lines);
            let line = lines.strip_suffix(b"\n").unwrap();
            prop_assert!(!line.contains(&b'\n'));
            prop_assert_eq!(jsonl::parse(line).unwrap(), example);
        }
    }

    #[test]
    fn what_is_empty_is_left_out() {
        let mut lines = Vec::new();
        write_json_line(&LabeledDocument::new(Document::new("", "a").unwrap(), Vec::new()), &mut lines);
        assert_eq!(String::from_utf8(lines).unwrap(), "{\"text\":\"a\",\"topics\":[]}\n");
    }
}
