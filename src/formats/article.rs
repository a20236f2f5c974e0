//! The article layout: a title, a date (`YYYYMMDD` or `YYYY-MM-DD`), a URL, then a paragraph a line; one file is one
//! document.
//!
//! Blank lines mean nothing wherever they stand, and white space around a line is dropped. Date and URL may each be
//! missing, and so may the title: a first line that is a date or a URL is taken for what it is. Eight digits that
//! are no day of the calendar, such as `00000000`, stand in the date's place but give no date. The document has no
//! topics and no id. Bytes that are not UTF-8 are read as windows-1252.

use super::{
    error::Reason,
    lines::{Lines, decode},
};
use crate::document::{Date, Document, LabeledDocument};

/// Reads the whole file.
pub(super) fn read(lines: &mut Lines) -> Result<LabeledDocument, Reason> {
    lines.take_rest()?;
    parse(&decode(lines.row().to_vec()))
}

fn parse(file: &str) -> Result<LabeledDocument, Reason> {
    let mut lines = file.lines().map(str::trim).filter(|line| !line.is_empty()).peekable();
    if lines.peek().is_none() {
        return Err(Reason::EmptyFile);
    }
    let title = lines.next_if(|line| !is_date_line(line) && !is_url(line)).unwrap_or_default();
    let date = lines.next_if(|line| is_date_line(line)).and_then(Date::parse);
    let url = lines.next_if(|line| is_url(line)).unwrap_or_default();
    let text = lines.collect::<Vec<_>>().join("\n");

    let mut document = Document::new(title, text)?;
    document.date = date;
    document.url = url.to_owned();
    Ok(LabeledDocument::new(document, Vec::new()))
}

fn is_date_line(line: &str) -> bool {
    line.len() == 8 && line.bytes().all(|byte| byte.is_ascii_digit()) || Date::parse(line).is_some()
}

fn is_url(line: &str) -> bool {
    (line.starts_with("http://") || line.starts_with("https://")) && !line.contains(char::is_whitespace)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Title, date, URL and text of a file.
    fn parts(file: &str) -> (String, Option<String>, String, String) {
        let document = parse(file).unwrap().document;
        let date = document.date.map(|date| date.to_string());
        (document.title().to_owned(), date, document.url.clone(), document.text().to_owned())
    }

    fn expected(title: &str, date: Option<&str>, url: &str, text: &str) -> (String, Option<String>, String, String) {
        (title.to_owned(), date.map(str::to_owned), url.to_owned(), text.to_owned())
    }

    const URL: &str = "https://example.org/bridge?a=1";

    #[test]
    fn title_date_url_and_paragraphs() {
        let whole = expected("Bridge opens", Some("2022-03-29"), URL, "It is long.\nIt is red.");
        assert_eq!(parts(&format!("Bridge opens\n20220329\n{URL}\nIt is long.\nIt is red.")), whole);
        let spaced =
            format!("\r\n \r\nBridge opens\r\n\r\n20220329\r\n\r\n{URL} \r\n\r\n\tIt is long.\r\n\r\nIt is red.\r\n");
        assert_eq!(parts(&spaced), whole);
    }

    #[test]
    fn every_header_line_may_be_missing() {
        assert_eq!(parts(&format!("T\n{URL}\nText.")), expected("T", None, URL, "Text."));
        assert_eq!(parts("T\n20220329\nText."), expected("T", Some("2022-03-29"), "", "Text."));
        assert_eq!(parts("T\nText."), expected("T", None, "", "Text."));
        assert_eq!(parts(&format!("\n20220329\n{URL}\nText.")), expected("", Some("2022-03-29"), URL, "Text."));
        assert_eq!(parts("T"), expected("T", None, "", ""));
        assert_eq!(parts(&format!("T\n20220329\n{URL}\n")), expected("T", Some("2022-03-29"), URL, ""));
    }

    #[test]
    fn what_only_looks_like_a_header_line_is_text() {
        let text = "https://example.org tells more.\n20220329";
        assert_eq!(parts(&format!("T\n{text}")), expected("T", None, "", text));
        assert_eq!(parts("T\n2022032\nText."), expected("T", None, "", "2022032\nText."));
    }

    #[test]
    fn digits_that_are_no_day_are_no_date_and_no_text() {
        assert_eq!(parts(&format!("T\n00000000\n{URL}\nText.")), expected("T", None, URL, "Text."));
    }

    #[test]
    fn a_file_without_title_and_text_is_an_error() {
        for blank in ["", "\r\n \n\t"] {
            assert!(matches!(parse(blank), Err(Reason::EmptyFile)), "{blank:?}");
        }
        assert!(matches!(parse("20220329\n"), Err(Reason::Document(_))));
    }
}
