//! JSON lines: one object a line, with the keys `id`, `title`, `text`, `date`, `url`, `split`, `weight`, and `topics` or one of
//! its other names. `split` is `train` or `training`, or `test`, `held_out`, `validation` or `dev`; `weight` is a number.
//!
//! Other keys are ignored, `null` is as good as absent, and of a key given twice the last counts. A value that is
//! there but can't be used (a wrong type, a date or split that is none) makes the line bad: dropping it silently would train
//! on something else than the file says. JSON is UTF-8 by RFC 8259, so other bytes make the line bad, too.

use serde_json::{Map, Value};

use super::{
    TOPIC_KEYS,
    error::{Reason, excerpt, list_names},
    parse_date, parse_split,
};
use crate::document::{Document, DocumentWeight, LabeledDocument, Topic};

/// Reads a line that is not blank.
pub(super) fn parse(line: &[u8]) -> Result<LabeledDocument, Reason> {
    let line = str::from_utf8(line).map_err(|error| Reason::NotUtf8 { byte: error.valid_up_to() + 1 })?;
    let mut object = match serde_json::from_str(line).map_err(not_json)? {
        Value::Object(object) => object,
        other => return Err(Reason::NotAnObject { seen: describe(&other) }),
    };
    if !object.contains_key("title") && !object.contains_key("text") {
        return Err(Reason::NoTitleOrTextKey { seen: list_names(object.keys().map(String::as_str)) });
    }
    let title = take_string(&mut object, "title")?.unwrap_or_default();
    let text = take_string(&mut object, "text")?.unwrap_or_default();
    let mut document = Document::new(title, text)?.with_id(take_id(&mut object)?);
    document.date = take_string(&mut object, "date")?.map(|date| parse_date(&date)).transpose()?;
    document.url = take_string(&mut object, "url")?.unwrap_or_default();
    let split = parse_split(&take_string(&mut object, "split")?.unwrap_or_default())?;
    let weight = take_weight(&mut object)?;
    Ok(LabeledDocument::new(document, take_topics(&mut object)?).with_split(split).with_weight(weight))
}

/// The value of a key; `None` if it is absent or `null`.
fn take(object: &mut Map<String, Value>, key: &str) -> Option<Value> {
    object.remove(key).filter(|value| !value.is_null())
}

fn take_string(object: &mut Map<String, Value>, key: &'static str) -> Result<Option<String>, Reason> {
    match take(object, key) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(Reason::WrongType { key, expected: "a string", seen: describe(&other) }),
    }
}

fn take_id(object: &mut Map<String, Value>) -> Result<String, Reason> {
    match take(object, "id") {
        None => Ok(String::new()),
        Some(Value::String(id)) => Ok(id),
        Some(Value::Number(id)) if id.is_u64() || id.is_i64() => Ok(id.to_string()),
        // A number of more than 64 bits has lost its last digits by now, so that two ids might become one.
        Some(other) => {
            let expected = "a string, or a whole number of at most 64 bits";
            Err(Reason::WrongType { key: "id", expected, seen: describe(&other) })
        }
    }
}

fn take_weight(object: &mut Map<String, Value>) -> Result<DocumentWeight, Reason> {
    match take(object, "weight") {
        None => Ok(DocumentWeight::default()),
        Some(Value::Number(weight)) => Ok(DocumentWeight::new(weight.as_f64().unwrap_or(f64::NAN) as f32)?),
        Some(other) => Err(Reason::WrongType { key: "weight", expected: "a number", seen: describe(&other) }),
    }
}

fn take_topics(object: &mut Map<String, Value>) -> Result<Vec<Topic>, Reason> {
    let mut given = TOPIC_KEYS.into_iter().filter_map(|key| Some((key, take(object, key)?)));
    let Some((key, value)) = given.next() else {
        return Ok(Vec::new());
    };
    if let Some((second, _)) = given.next() {
        return Err(Reason::TwoTopicKeys { first: key, second });
    }
    let wrong_type = |seen| Reason::WrongType { key, expected: "a string or a list of strings", seen };
    match value {
        Value::String(name) => Ok(vec![Topic::new(&name)?]),
        Value::Array(names) => names
            .iter()
            .map(|name| match name {
                Value::String(name) => Ok(Topic::new(name)?),
                other => Err(wrong_type(format!("a list holding {}", describe(other)))),
            })
            .collect(),
        other => Err(wrong_type(describe(&other))),
    }
}

/// What a message calls a value.
fn describe(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => format!("the number {number}"),
        Value::String(text) => format!("the string {}", excerpt(text)),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

fn not_json(error: serde_json::Error) -> Reason {
    // serde_json's own "line 1" would contradict the file's line number next to it.
    let position = format!(" at line {} column {}", error.line(), error.column());
    let message = error.to_string();
    let problem = message.strip_suffix(&position).unwrap_or(&message).to_owned();
    Reason::NotJson { problem, column: error.column() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topics(line: &str) -> Vec<String> {
        parse(line.as_bytes()).unwrap().topics().iter().map(Topic::to_string).collect()
    }

    fn message(line: &str) -> String {
        parse(line.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn every_key_is_read_and_others_are_ignored() {
        let line = r#"{"id": 17, "title": "T", "text": "a\nb", "topics": ["z", " a "], "date": "2022-03-29",
                       "url": "https://example.org", "source": {"name": ["x"]}}"#;
        let labeled = parse(line.as_bytes()).unwrap();
        let document = &labeled.document;
        assert_eq!((document.id.as_str(), document.title(), document.text()), ("17", "T", "a\nb"));
        assert_eq!(
            (document.date.unwrap().to_string().as_str(), document.url.as_str()),
            ("2022-03-29", "https://example.org")
        );
        assert_eq!(topics(line), ["a", "z"]);
    }

    #[test]
    fn all_but_title_or_text_may_be_absent_or_null() {
        let bare = Document::new("", "b").unwrap();
        assert_eq!(parse(br#"{"text": "b"}"#).unwrap().document, bare);
        let nulls =
            br#"{"text": "b", "title": null, "id": null, "date": null, "url": null, "topics": null, "label": null}"#;
        assert_eq!(parse(nulls).unwrap().document, bare);
        assert_eq!(parse(br#"{"title": "T"}"#).unwrap().document.title(), "T");
        assert_eq!(
            message(r#"{"title": "", "text": null}"#),
            "neither title nor text is given; give at least one of them"
        );
        assert_eq!(
            message(r#"{"headline": "T", "body": "b"}"#),
            r#"neither title nor text among the keys ("body", "headline"); rename the keys that hold them"#
        );
    }

    #[test]
    fn topics_have_four_names_of_which_one_may_be_used() {
        for key in TOPIC_KEYS {
            assert_eq!(topics(&format!(r#"{{"text": "b", "{key}": "x;y"}}"#)), ["x;y"]);
            assert_eq!(topics(&format!(r#"{{"text": "b", "{key}": ["y", "x"]}}"#)), ["x", "y"]);
        }
        assert!(topics(r#"{"text": "b", "topics": []}"#).is_empty());
        assert_eq!(topics(r#"{"text": "b", "topics": null, "label": "x"}"#), ["x"]);
        assert_eq!(
            message(r#"{"text": "b", "label": "x", "topics": ["x"]}"#),
            "both topics and label are given; keep one of them"
        );
    }

    #[test]
    fn a_weight_is_a_number_in_its_range() {
        let weight =
            |value: &str| parse(format!(r#"{{"text": "b", "weight": {value}}}"#).as_bytes()).unwrap().weight.get();
        assert_eq!(["0.01", "2", "1e2", "null"].map(weight), [0.01, 2.0, 100.0, 1.0]);
        for (bad, seen) in [("0", "0"), ("-1", "-1"), ("100.5", "100.5"), ("1e99", "inf")] {
            let expected = format!("weight is {seen}; it must be a number from 0.01 to 100");
            assert_eq!(message(&format!(r#"{{"text": "b", "weight": {bad}}}"#)), expected);
        }
        assert_eq!(message(r#"{"text": "b", "weight": "2"}"#), r#"weight is the string "2"; it must be a number"#);
    }

    #[test]
    fn a_split_has_some_names_and_no_others() {
        use crate::document::Split::{HeldOut, Training};
        let split = |value: &str| parse(format!(r#"{{"text": "b", "split": {value}}}"#).as_bytes()).unwrap().split;
        assert_eq!([r#""train""#, r#""training""#].map(split), [Some(Training); 2]);
        assert_eq!([r#""test""#, r#""held_out""#, r#""validation""#, r#""dev""#].map(split), [Some(HeldOut); 4]);
        assert_eq!([r#""""#, "null"].map(split), [None; 2]);
        assert_eq!(parse(br#"{"text": "b"}"#).unwrap().split, None);
        assert_eq!(
            message(r#"{"text": "b", "split": "Fold 3"}"#),
            r#"split is "Fold 3"; write train or training, or test, held_out, validation or dev, or leave it out"#
        );
        assert_eq!(message(r#"{"text": "b", "split": 1}"#), "split is the number 1; it must be a string");
    }

    #[test]
    fn wrong_types_are_named() {
        for (line, expected) in [
            (r#"{"text": 7}"#, "text is the number 7; it must be a string"),
            (r#"{"title": ["T"], "text": "b"}"#, "title is a list; it must be a string"),
            (r#"{"text": "b", "label": 3}"#, "label is the number 3; it must be a string or a list of strings"),
            (
                r#"{"text": "b", "topics": ["x", null]}"#,
                "topics is a list holding null; it must be a string or a list of strings",
            ),
            (r#"{"text": "b", "date": 20220329}"#, "date is the number 20220329; it must be a string"),
            (r#"{"text": "b", "url": {}}"#, "url is an object; it must be a string"),
            (r#"{"text": "b", "id": true}"#, "id is true; it must be a string, or a whole number of at most 64 bits"),
            (r#"["text"]"#, "a list where a JSON object was expected; write one object a line"),
        ] {
            assert_eq!(message(line), expected);
        }
        let id = |id: &str| parse(format!(r#"{{"text": "b", "id": {id}}}"#).as_bytes());
        assert_eq!(id("18446744073709551615").unwrap().document.id, "18446744073709551615");
        assert!(matches!(id("18446744073709551616"), Err(Reason::WrongType { key: "id", .. })));
    }

    #[test]
    fn bad_values_are_bad_lines() {
        assert_eq!(
            message(r#"{"text": "b", "date": "2022-03-29th"}"#),
            r#"date is "2022-03-29th"; write a day of the calendar as YYYYMMDD or YYYY-MM-DD"#
        );
        assert_eq!(message(r#"{"text": "b", "label": " "}"#), "a topic name is empty");
        assert_eq!(
            message(r#"{"text": "b""#),
            "not JSON: EOF while parsing an object, at column 12; write one whole JSON object a line"
        );
        assert!(matches!(parse(b"{\"text\": \"caf\xe9\"}"), Err(Reason::NotUtf8 { byte: 14 })));
        assert!(matches!(parse("[".repeat(100_000).as_bytes()), Err(Reason::NotJson { .. })));
    }
}
