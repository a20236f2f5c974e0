//! What can be wrong with a file of documents, from a path that can't be opened to a single bad row.

use std::io;

use crate::document::DocumentError;

/// How many characters of a file an error message repeats.
const MAX_EXCERPT_CHARS: usize = 60;

/// A row (a line, a table row, an article file) that gave no document. Shows itself as `path:line: reason`.
#[derive(Debug, thiserror::Error)]
#[error("{path}:{line}: {reason}")]
pub struct RowError {
    /// The file's path, or the name that the caller of [`super::read`] gave.
    pub path: String,
    /// The line that the row starts on, counting from 1; blank lines count.
    pub line: u64,
    /// What is wrong with it.
    pub reason: Reason,
}

impl RowError {
    /// Whether nothing behind this row can be read either: the iteration ends after a fatal error, and goes on
    /// after any other.
    pub fn is_fatal(&self) -> bool {
        matches!(self.reason, Reason::Io(_) | Reason::Utf16)
    }
}

/// Why a row gave no document.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    /// The file can't be read any further, such as when its gzip data ends early. Fatal.
    #[error("cannot read any further: {0}; check that the file is complete")]
    Io(#[source] io::Error),
    /// The file starts with a UTF-16 byte order mark. Fatal.
    #[error("the file is UTF-16; convert it to UTF-8")]
    Utf16,
    /// The line, table row or article file is over the limit; it is read past, not into memory.
    #[error("longer than {max_bytes} bytes, the limit for a line, table row or article file; shorten or split it")]
    TooLong {
        /// The limit, in bytes.
        max_bytes: usize,
    },
    /// An article file holds nothing but white space.
    #[error("the file is empty; its first line must be a title")]
    EmptyFile,
    /// Title and text make no document, or a name no topic.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// The date is not a day of the calendar in one of the two accepted spellings.
    #[error("date is {seen}; write a day of the calendar as YYYYMMDD or YYYY-MM-DD")]
    BadDate {
        /// What stands there, quoted and shortened.
        seen: String,
    },
    /// The split is none of the accepted names.
    #[error("split is {seen}; write train or training, or test, held_out, validation or dev, or leave it out")]
    BadSplit {
        /// What stands there, quoted and shortened.
        seen: String,
    },
    /// A table's weight is no number.
    #[error("weight is {seen}; write a number, or leave it out")]
    BadWeight {
        /// What stands there, quoted and shortened.
        seen: String,
    },
    /// Several of the keys or columns that name topics are given, so it is unclear which of them counts.
    #[error("both {first} and {second} are given; keep one of them")]
    TwoTopicKeys {
        /// One key or column.
        first: &'static str,
        /// Another one.
        second: &'static str,
    },
    /// A JSON line holds bytes that are not UTF-8.
    #[error("byte {byte} of the line is not UTF-8, as JSON must be; convert the file to UTF-8")]
    NotUtf8 {
        /// The first such byte, counting from 1.
        byte: usize,
    },
    /// A line is not JSON.
    #[error("not JSON: {problem}, at column {column}; write one whole JSON object a line")]
    NotJson {
        /// What the parser says.
        problem: String,
        /// Where it says so: a byte of the line, counting from 1.
        column: usize,
    },
    /// A line is JSON, but no object.
    #[error("{seen} where a JSON object was expected; write one object a line")]
    NotAnObject {
        /// What the line holds.
        seen: String,
    },
    /// A JSON object has neither of the two keys that a document is made of.
    #[error("neither title nor text among the keys ({seen}); rename the keys that hold them")]
    NoTitleOrTextKey {
        /// The keys that it has, shortened.
        seen: String,
    },
    /// A JSON value has a type that its key can't have.
    #[error("{key} is {seen}; it must be {expected}")]
    WrongType {
        /// The key.
        key: &'static str,
        /// What its value may be.
        expected: &'static str,
        /// What its value is.
        seen: String,
    },
    /// A table has no line at all.
    #[error("the file has no header; its first line must name the columns, such as title, text and topics")]
    NoHeader,
    /// A table's header has neither of the two columns that a document is made of.
    #[error(
        "neither title nor text among the columns ({seen}); name them so in the first line, with commas between \
         the columns of CSV and tabs between those of TSV"
    )]
    NoTitleOrTextColumn {
        /// The columns that it has, shortened.
        seen: String,
    },
    /// A table's header names a column twice, upper and lower case being the same.
    #[error("column {name} is named twice in the header; rename or remove one of the two")]
    DuplicateColumn {
        /// The name, quoted and shortened.
        name: String,
    },
    /// A table row has more or fewer cells than the header.
    #[error("{cells} cells where the header names {columns} columns; put cells that hold a separator in quotes")]
    Ragged {
        /// Cells in this row.
        cells: usize,
        /// Columns in the header.
        columns: usize,
    },
    /// A table's quoted cell goes on to the end of the file.
    #[error("a quoted cell of this row is never closed, so it took the rest of the file; close or double its quotes")]
    UnclosedQuote,
    /// A fastText line has a label prefix with nothing behind it.
    #[error("`__label__` without a name; write `__label__name`, with no space between")]
    EmptyLabel,
}

/// Why a file could not be read, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file can't be opened, or not even its first bytes can be read.
    #[error("{path}: cannot read: {source}")]
    Open {
        /// The file's path, or the name that the caller gave.
        path: String,
        /// What the operating system or the gzip decoder says.
        source: io::Error,
    },
    /// No format was named, and the file's name doesn't tell it.
    #[error("{path}: the name does not tell the format; say whether it is article, jsonl, csv, tsv or fasttext")]
    UnknownEnding {
        /// The file's path.
        path: String,
    },
    /// A table's header that can't be used, or the row that stopped [`super::read_all`].
    #[error(transparent)]
    Row(#[from] RowError),
}

/// The first characters of what a file holds, quoted: enough to find it again, never a whole article.
pub(super) fn excerpt(text: &str) -> String {
    match text.char_indices().nth(MAX_EXCERPT_CHARS) {
        Some((end, _)) => format!("{:?}…", text.get(..end).unwrap_or_default()),
        None => format!("{text:?}"),
    }
}

/// Names for a message: quoted, with commas between, the first ten of them; "none" if there are none.
pub(super) fn list_names<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    const MAX_NAMES: usize = 10;
    let n_left_out = names.len().saturating_sub(MAX_NAMES);
    let mut list = names.take(MAX_NAMES).map(excerpt).collect::<Vec<_>>().join(", ");
    if list.is_empty() {
        list.push_str("none");
    }
    if n_left_out > 0 {
        list.push_str(&format!(" and {n_left_out} more"));
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_error_shows_path_line_and_reason() {
        let error = |reason| RowError { path: "news.csv".into(), line: 7, reason };
        assert_eq!(
            error(Reason::Ragged { cells: 3, columns: 2 }).to_string(),
            "news.csv:7: 3 cells where the header names 2 columns; put cells that hold a separator in quotes"
        );
        assert!(!error(Reason::UnclosedQuote).is_fatal());
        assert!(error(Reason::Io(io::ErrorKind::UnexpectedEof.into())).is_fatal());
    }

    #[test]
    fn messages_repeat_little_of_a_file() {
        assert_eq!(excerpt("a\tb"), r#""a\tb""#);
        assert_eq!(excerpt(&"é".repeat(61)), format!("\"{}\"…", "é".repeat(60)));
        let names: Vec<String> = (0..12).map(|n| n.to_string()).collect();
        let list = list_names(names.iter().map(String::as_str));
        assert!(list.starts_with(r#""0", "1", "#) && list.ends_with(r#""9" and 2 more"#), "{list}");
        assert_eq!(list_names([].into_iter()), "none");
    }
}
