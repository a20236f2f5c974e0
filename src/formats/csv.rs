//! Tables with a header: commas (CSV) or tabs (TSV) between the cells, and quotes as in RFC 4180.
//!
//! Columns are known by their names, in upper or lower case: `id`, `title`, `text`, `date`, `url`, `split` (with the values
//! that JSON lines have), and `topics` or one of its other names; other columns are ignored. Several topics in one cell have `;` between them. An empty cell is
//! as good as absent. Bytes that are not UTF-8 are read as windows-1252.
//!
//! Rows are cut here, not by the csv crate (which is the tests' oracle): it counts lines wrongly behind blank lines
//! and with CRLF, reads a row of any length into memory, and takes a quote that is never closed for a whole row.

use std::mem;

use super::{
    TOPIC_KEYS,
    error::{Reason, excerpt, list_names},
    lines::{Lines, decode},
    parse_date, parse_split,
};
use crate::document::{Document, DocumentWeight, LabeledDocument, Topic};

const TOPIC_SEPARATOR: char = ';';

/// A table whose header has been read and found usable.
pub(super) struct Table {
    delimiter: u8,
    n_columns: usize,
    id: Option<usize>,
    title: Option<usize>,
    text: Option<usize>,
    topics: Option<usize>,
    date: Option<usize>,
    url: Option<usize>,
    split: Option<usize>,
    weight: Option<usize>,
}

impl Table {
    /// Reads the header.
    pub(super) fn new(lines: &mut Lines, delimiter: u8) -> Result<Self, Reason> {
        let cells = next_cells(lines, delimiter)?.ok_or(Reason::NoHeader)?;
        let names: Vec<String> = cells.into_iter().map(|cell| decode(cell).trim().to_lowercase()).collect();
        // Spreadsheets and data frames write columns without a name; nobody can mean those, so they may repeat.
        let is_repeated =
            |(index, name): &(usize, &String)| !name.is_empty() && names.iter().take(*index).any(|n| n == *name);
        if let Some((_, name)) = names.iter().enumerate().find(is_repeated) {
            return Err(Reason::DuplicateColumn { name: excerpt(name) });
        }
        let column = |name: &str| names.iter().position(|column| column == name);
        let mut topics = TOPIC_KEYS.into_iter().filter_map(|key| Some((key, column(key)?)));
        let topics = match (topics.next(), topics.next()) {
            (Some((first, _)), Some((second, _))) => return Err(Reason::TwoTopicKeys { first, second }),
            (only, _) => only.map(|(_, index)| index),
        };
        let (title, text) = (column("title"), column("text"));
        if title.is_none() && text.is_none() {
            return Err(Reason::NoTitleOrTextColumn { seen: list_names(names.iter().map(String::as_str)) });
        }
        let [id, date, url, split, weight] = ["id", "date", "url", "split", "weight"].map(column);
        Ok(Self { delimiter, n_columns: names.len(), id, title, text, topics, date, url, split, weight })
    }

    /// Reads the next row; `None` at the end of the file.
    pub(super) fn next_document(&self, lines: &mut Lines) -> Result<Option<LabeledDocument>, Reason> {
        let Some(mut cells) = next_cells(lines, self.delimiter)? else {
            return Ok(None);
        };
        if cells.len() != self.n_columns {
            return Err(Reason::Ragged { cells: cells.len(), columns: self.n_columns });
        }
        let mut take = |column: Option<usize>| column.and_then(|index| cells.get_mut(index)).map(mem::take).map(decode);
        let mut document = Document::new(take(self.title).unwrap_or_default(), take(self.text).unwrap_or_default())?;
        let mut take_trimmed = |column| take(column).map(|cell| cell.trim().to_owned()).filter(|cell| !cell.is_empty());
        document.id = take_trimmed(self.id).unwrap_or_default();
        document.url = take_trimmed(self.url).unwrap_or_default();
        document.date = take_trimmed(self.date).map(|date| parse_date(&date)).transpose()?;
        let split = parse_split(&take_trimmed(self.split).unwrap_or_default())?;
        let weight = take_trimmed(self.weight).map(|weight| parse_weight(&weight)).transpose()?.unwrap_or_default();
        let topics = take_trimmed(self.topics)
            .map(|names| names.split(TOPIC_SEPARATOR).map(Topic::new).collect::<Result<_, _>>())
            .transpose()?;
        Ok(Some(LabeledDocument::new(document, topics.unwrap_or_default()).with_split(split).with_weight(weight)))
    }
}

fn parse_weight(text: &str) -> Result<DocumentWeight, Reason> {
    let weight = text.parse().map_err(|_| Reason::BadWeight { seen: excerpt(text) })?;
    Ok(DocumentWeight::new(weight)?)
}

/// Where in a cell a byte leaves the reader.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    CellStart,
    Bare,
    Quoted,
    /// Behind a quote in a quoted cell: its end, or the first of two quotes that stand for one.
    QuoteInQuoted,
}

impl Place {
    fn after(self, byte: u8, delimiter: u8) -> Self {
        match (self, byte) {
            (Self::Quoted, b'"') => Self::QuoteInQuoted,
            (Self::Quoted, _) => Self::Quoted,
            (_, byte) if byte == delimiter => Self::CellStart,
            (Self::CellStart | Self::QuoteInQuoted, b'"') => Self::Quoted,
            _ => Self::Bare,
        }
    }
}

/// The next row's cells, without the quotes around them: as many lines as it takes until no quoted cell is open.
/// After a row over the limit, the line behind the one that crossed it starts a new row.
fn next_cells(lines: &mut Lines, delimiter: u8) -> Result<Option<Vec<Vec<u8>>>, Reason> {
    if !lines.next_row()? {
        return Ok(None);
    }
    let (mut cells, mut cell, mut place) = (Vec::new(), Vec::new(), Place::CellStart);
    let mut n_bytes_seen = 0;
    loop {
        for &byte in lines.row().iter().skip(n_bytes_seen) {
            let next = place.after(byte, delimiter);
            match (place, next) {
                (Place::CellStart, Place::Quoted) | (Place::Quoted, Place::QuoteInQuoted) => {}
                (_, Place::CellStart) => cells.push(mem::take(&mut cell)),
                _ => cell.push(byte),
            }
            place = next;
        }
        if place != Place::Quoted {
            cells.push(cell);
            return Ok(Some(cells));
        }
        n_bytes_seen = lines.row().len();
        if !lines.extend_row()? {
            return Err(Reason::UnclosedQuote);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;
    use crate::formats::lines::decompressed;

    fn lines(file: impl Into<Vec<u8>>) -> Lines {
        Lines::new(decompressed(Cursor::new(file.into())).unwrap(), 1000)
    }

    /// Each row's first line with the document or the message.
    fn rows(file: impl Into<Vec<u8>>, delimiter: u8) -> Vec<(u64, Result<LabeledDocument, String>)> {
        let mut lines = lines(file);
        let table = Table::new(&mut lines, delimiter).unwrap();
        let mut rows = Vec::new();
        while let Some(row) = table.next_document(&mut lines).map_err(|reason| reason.to_string()).transpose() {
            rows.push((lines.first_line(), row));
        }
        rows
    }

    fn header_error(file: &str) -> String {
        Table::new(&mut lines(file), b',').err().unwrap().to_string()
    }

    #[test]
    fn columns_are_found_by_name() {
        let file = "\u{feff}TEXT, Label ,source,Title,ID,date,URL\r\nb,z; a,x,T,0017,20220329,https://example.org\r\nb,,,,,,\r\n";
        let rows = rows(file, b',');
        let first = rows[0].1.as_ref().unwrap();
        let document = &first.document;
        assert_eq!((document.id.as_str(), document.title(), document.text()), ("0017", "T", "b"));
        assert_eq!(
            (document.date.unwrap().to_string().as_str(), document.url.as_str()),
            ("2022-03-29", "https://example.org")
        );
        assert_eq!(first.topics(), ["a", "z"].map(|name| Topic::new(name).unwrap()));
        assert_eq!(rows[1].1, Ok(LabeledDocument::new(Document::new("", "b").unwrap(), vec![])));
    }

    #[test]
    fn a_split_is_read_and_what_is_none_makes_the_row_bad() {
        use crate::document::Split::{HeldOut, Training};
        let found = rows("text,Split\na,train\nb, dev \nc,\nd,both\ne,test\n", b',');
        let split = |row: &Result<LabeledDocument, String>| row.as_ref().map(|row| row.split).map_err(String::clone);
        let bad = r#"split is "both"; write train or training, or test, held_out, validation or dev, or leave it out"#;
        let expected = [Ok(Some(Training)), Ok(Some(HeldOut)), Ok(None), Err(bad.to_owned()), Ok(Some(HeldOut))];
        assert_eq!(found.iter().map(|(_, row)| split(row)).collect::<Vec<_>>(), expected);
        assert_eq!(split(&rows("text\na\n", b',')[0].1), Ok(None));
    }

    #[test]
    fn a_weight_is_read_and_what_is_none_makes_the_row_bad() {
        let found = rows("text,weight\na,2.5\nb,\nc,much\nd,NaN\n", b',');
        let weight =
            |row: &Result<LabeledDocument, String>| row.as_ref().map(|row| row.weight.get()).map_err(String::clone);
        let bad = [
            "weight is \"much\"; write a number, or leave it out",
            "weight is NaN; it must be a number from 0.01 to 100",
        ];
        let expected = [Ok(2.5), Ok(1.0), Err(bad[0].to_owned()), Err(bad[1].to_owned())];
        assert_eq!(found.iter().map(|(_, row)| weight(row)).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn quoted_cells_hold_quotes_separators_and_line_breaks() {
        for line_break in ["\n", "\r\n"] {
            let file = ["title\ttext", "\"a\tb\"\t\"c", "", "\"\"d\"\" e\"", "x\ty"].join(line_break);
            let expected = [(2, ("a\tb", "c\n\n\"d\" e")), (5, ("x", "y"))];
            let expected = expected.map(|(line, (title, text))| (line, Document::new(title, text).unwrap()));
            let found: Vec<_> =
                rows(file, b'\t').into_iter().map(|(line, row)| (line, row.unwrap().document)).collect();
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn bad_rows_have_the_line_they_start_on_and_reading_goes_on() {
        for line_break in ["\n", "\r\n"] {
            let file =
                ["title,topics,date", "", "one", "\"two\nlines\",a", "three,a;;b,", "four,,2022", "five,,", ",,"];
            let found = rows(file.join("\n").replace('\n', line_break), b',');
            let message = |line| found.iter().find(|row| row.0 == line).unwrap().1.clone().unwrap_err();
            assert!(message(3).starts_with("1 cells where the header names 3 columns"));
            assert!(message(4).starts_with("2 cells"));
            assert_eq!(message(6), "a topic name is empty");
            assert!(message(7).starts_with(r#"date is "2022""#));
            assert_eq!(found[4].1.as_ref().unwrap().document.title(), "five");
            assert!(message(9).starts_with("neither title nor text"));
        }
    }

    #[test]
    fn a_quote_that_is_never_closed_is_one_bad_row_at_its_own_line() {
        let found = rows("title\none\n\"two\nthree\n", b',');
        assert_eq!((found.len(), found[1].0), (2, 3));
        assert!(found[1].1.as_ref().unwrap_err().starts_with("a quoted cell of this row is never closed"));
    }

    #[test]
    fn a_row_over_the_limit_is_bad_and_reading_goes_on_behind_it() {
        let file = format!("title\n\"{}\n{}\nthree\n", "x".repeat(600), "x".repeat(600));
        let found = rows(file, b',');
        assert_eq!((found[0].0, found[1].0), (2, 4));
        assert!(found[0].1.as_ref().unwrap_err().starts_with("longer than 1000 bytes"));
        assert_eq!(found[1].1.as_ref().unwrap().document.title(), "three");
    }

    #[test]
    fn bytes_that_are_not_utf8_stay_in_their_cell() {
        let found = rows(b"title,label\n\"caf\xe9, \x93new\x94\",x\n".to_vec(), b',');
        assert_eq!(found[0].1.as_ref().unwrap().document.title(), "café, “new”");
    }

    #[test]
    fn unusable_headers_are_named() {
        let message = header_error("headline;text;topics\na;b;c");
        assert!(
            message.starts_with(r#"neither title nor text among the columns ("headline;text;topics")"#),
            "{message}"
        );
        assert!(header_error("Text,id,text\n").starts_with(r#"column "text" is named twice"#));
        assert_eq!(header_error("text,topic,labels\n"), "both topic and labels are given; keep one of them");
        assert!(header_error(" \n").starts_with("the file has no header"));
        assert!(Table::new(&mut lines(",text,\n"), b',').is_ok());
    }

    proptest! {
        /// The csv crate is the oracle for where cells and rows end, but for a quote that is never closed.
        #[test]
        fn rows_and_cells_end_where_the_csv_crate_says(file in r#"[a,"\n]{0,40}"#) {
            let mut expected = ::csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(file.as_bytes());
            let mut expected = expected.byte_records().map(Result::unwrap);
            let mut lines = lines(file.as_str());
            loop {
                match next_cells(&mut lines, b',') {
                    Ok(Some(cells)) => prop_assert_eq!(&expected.next().unwrap(), &cells),
                    Ok(None) => break prop_assert!(expected.next().is_none()),
                    Err(_) => break prop_assert_eq!(expected.count(), 1),
                }
            }
        }
    }
}
