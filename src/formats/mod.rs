//! Reading documents from files: which formats there are, and a stream of documents out of any of them. Writing them: as JSON
//! lines.
//!
//! One file here is one format. Files are read as a stream, in memory that one row bounds; a bad row is reported with
//! its line and passed over, and only what makes the rest unreadable ends the stream. All formats may be
//! gzip-compressed, start with a byte order mark, end their lines with CRLF and hold blank lines.
//!
//! What it doesn't own: finding files in folders, limits on a document's size, and what makes a good training set.

mod article;
mod csv;
mod error;
mod fasttext;
mod format;
mod jsonl;
mod lines;
mod write;

use std::{fs::File, io::Read, path::Path};

use self::{
    csv::Table,
    error::excerpt,
    lines::{Lines, Source},
};
pub use self::{
    error::{ReadError, Reason, RowError},
    format::{Format, UnknownFormat},
    write::write_json_line,
};
use crate::document::{Date, LabeledDocument, Split};

/// The longest line, table row or article file, in bytes after decompression; longer ones are bad rows.
pub const MAX_ROW_BYTES: usize = 64 << 20;

/// How much of a file is looked at to tell an article from fastText lines.
const DETECTION_BYTES: usize = 4 << 10;

/// The keys and columns that may hold topics; a file uses one of them.
const TOPIC_KEYS: [&str; 4] = ["topics", "topic", "labels", "label"];

/// The documents of one file, in its order: an iterator that reads as it is asked.
pub struct Rows {
    path: String,
    format: Format,
    layout: Layout,
    lines: Lines,
    has_ended: bool,
}

/// What a row is made of: the formats, once the header of a table has been read.
enum Layout {
    Article,
    Jsonl,
    Table(Table),
    FastText,
}

/// Opens a file. Without a format, its name tells it, and for `.txt` and the like its first bytes
/// ([`Format::detect`]).
///
/// # Errors
/// [`ReadError::Open`] if it can't be read, [`ReadError::UnknownEnding`] if nothing tells the format,
/// [`ReadError::Row`] for a table with an unusable header.
pub fn open(path: &Path, format: Option<Format>) -> Result<Rows, ReadError> {
    let name = path.display().to_string();
    let failed = |source| ReadError::Open { path: name.clone(), source };
    let mut source = File::open(path).and_then(lines::decompressed).map_err(failed)?;
    let format = match format.or_else(|| Format::from_path(path)) {
        None => return Err(ReadError::UnknownEnding { path: name }),
        Some(Format::Article) if format.is_none() => {
            let (first_bytes, whole) = lines::peek(source, DETECTION_BYTES).map_err(failed)?;
            source = whole;
            Format::detect(path, &first_bytes).unwrap_or(Format::Article)
        }
        Some(format) => format,
    };
    Rows::new(source, name, format)
}

/// Reads from a stream, such as standard input; `name` stands for the path in errors.
///
/// # Errors
/// [`ReadError::Open`] if the first bytes can't be read, [`ReadError::Row`] for a table with an unusable header.
pub fn read(reader: impl Read + Send + 'static, name: &str, format: Format) -> Result<Rows, ReadError> {
    let source = lines::decompressed(reader).map_err(|source| ReadError::Open { path: name.to_owned(), source })?;
    Rows::new(source, name.to_owned(), format)
}

impl Rows {
    fn new(source: Source, path: String, format: Format) -> Result<Self, ReadError> {
        let mut lines = Lines::new(source, MAX_ROW_BYTES);
        let layout = match format {
            Format::Article => Ok(Layout::Article),
            Format::Jsonl => Ok(Layout::Jsonl),
            Format::FastText => Ok(Layout::FastText),
            Format::Csv => Table::new(&mut lines, b',').map(Layout::Table),
            Format::Tsv => Table::new(&mut lines, b'\t').map(Layout::Table),
        };
        match layout {
            Ok(layout) => Ok(Self { path, format, layout, lines, has_ended: false }),
            Err(reason) => Err(RowError { path, line: lines.first_line(), reason }.into()),
        }
    }

    /// The format that is being read, also when [`open`] had to find it out.
    pub fn format(&self) -> Format {
        self.format
    }

    fn next_document(&mut self) -> Result<Option<LabeledDocument>, Reason> {
        let parse = match &self.layout {
            Layout::Article => {
                self.has_ended = true;
                return article::read(&mut self.lines).map(Some);
            }
            Layout::Table(table) => return table.next_document(&mut self.lines),
            Layout::Jsonl => jsonl::parse,
            Layout::FastText => fasttext::parse,
        };
        if !self.lines.next_row()? {
            return Ok(None);
        }
        parse(self.lines.row()).map(Some)
    }
}

impl Iterator for Rows {
    type Item = Result<LabeledDocument, RowError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.has_ended {
            return None;
        }
        let row = self.next_document().map_err(|reason| RowError {
            path: self.path.clone(),
            line: self.lines.first_line(),
            reason,
        });
        self.has_ended |= match &row {
            Ok(document) => document.is_none(),
            Err(error) => error.is_fatal(),
        };
        row.transpose()
    }
}

/// What [`read_all`] does about a bad row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strictness {
    /// Reports it, counts it and goes on.
    Skip,
    /// Stops with it as the error.
    Strict,
}

/// What [`read_all`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadOutcome {
    /// The documents of all files, in the order of the paths and of the rows in each file.
    pub examples: Vec<LabeledDocument>,
    /// The bad rows that were passed over.
    pub n_skipped: usize,
}

/// Reads files into memory, each as [`open`] does. An article's id is its path; other documents have the id that
/// their row gives them. `on_bad_row` is told of each row that is skipped.
///
/// # Errors
/// A file that can't be opened, a table's header that can't be used, a fatal row, and, if [`Strictness::Strict`],
/// any bad row.
pub fn read_all(
    paths: impl IntoIterator<Item = impl AsRef<Path>>,
    format: Option<Format>,
    strictness: Strictness,
    on_bad_row: &mut dyn FnMut(&RowError),
) -> Result<ReadOutcome, ReadError> {
    let mut outcome = ReadOutcome { examples: Vec::new(), n_skipped: 0 };
    for path in paths {
        let path = path.as_ref();
        let rows = open(path, format)?;
        let is_article = rows.format() == Format::Article;
        for row in rows {
            match row {
                Ok(mut example) => {
                    if is_article {
                        example.document.id = path.display().to_string();
                    }
                    outcome.examples.push(example);
                }
                Err(error) if strictness == Strictness::Strict || error.is_fatal() => return Err(error.into()),
                Err(error) => {
                    on_bad_row(&error);
                    outcome.n_skipped += 1;
                }
            }
        }
    }
    Ok(outcome)
}

/// A date as rows with named fields give it.
fn parse_date(text: &str) -> Result<Date, Reason> {
    Date::parse(text).ok_or_else(|| Reason::BadDate { seen: excerpt(text) })
}

/// What a document is for, by the names that rows with named fields give it; `None` if nothing stands there.
fn parse_split(text: &str) -> Result<Option<Split>, Reason> {
    match text {
        "" => Ok(None),
        "train" | "training" => Ok(Some(Split::Training)),
        "test" | "held_out" | "validation" | "dev" => Ok(Some(Split::HeldOut)),
        other => Err(Reason::BadSplit { seen: excerpt(other) }),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        io::{Cursor, Write},
        path::PathBuf,
    };

    use flate2::{Compression, write::GzEncoder};
    use proptest::prelude::*;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn read_bytes(bytes: impl Into<Vec<u8>>, format: Format) -> Vec<Result<LabeledDocument, RowError>> {
        read(Cursor::new(bytes.into()), "-", format).unwrap().collect()
    }

    fn texts(rows: &[Result<LabeledDocument, RowError>]) -> Vec<&str> {
        rows.iter().flatten().map(|row| row.document.text()).collect()
    }

    /// A folder with one good file of each format, and their paths.
    fn folder() -> (tempfile::TempDir, Vec<PathBuf>) {
        let folder = tempfile::tempdir().unwrap();
        let files: [(&str, Vec<u8>); 6] = [
            ("a.txt", b"Title\n20220329\narticle".to_vec()),
            ("b.jsonl", b"{\"text\": \"jsonl\"}".to_vec()),
            ("c.csv.gz", gzip(b"text,label\ncsv,x\n")),
            ("d.tsv", b"text\tlabel\ntsv\tx\n".to_vec()),
            ("e.ft", b"__label__x fasttext\n".to_vec()),
            ("f.txt.gz", gzip(b"\n__label__x labelled text file\n")),
        ];
        let paths = files.map(|(name, bytes)| {
            let path = folder.path().join(name);
            fs::write(&path, bytes).unwrap();
            path
        });
        (folder, paths.into())
    }

    #[test]
    fn each_format_is_found_by_name_or_content() {
        let (_folder, paths) = folder();
        let outcome = read_all(&paths, None, Strictness::Strict, &mut |_| ()).unwrap();
        let texts: Vec<&str> = outcome.examples.iter().map(|example| example.document.text()).collect();
        assert_eq!(texts, ["article", "jsonl", "csv", "tsv", "fasttext", "labelled text file"]);
        let ids: Vec<&str> = outcome.examples.iter().map(|example| example.document.id.as_str()).collect();
        assert_eq!(ids, [paths[0].to_str().unwrap(), "", "", "", "", ""]);
    }

    #[test]
    fn a_format_that_is_named_overrides_the_file_name() {
        let (folder, paths) = folder();
        let rows = open(&paths[1], Some(Format::FastText)).unwrap();
        assert_eq!(rows.format(), Format::FastText);
        assert_eq!(texts(&rows.collect::<Vec<_>>()), [r#"{"text": "jsonl"}"#]);
        let odd = folder.path().join("odd.dat");
        fs::write(&odd, "text").unwrap();
        assert!(matches!(open(&odd, None), Err(ReadError::UnknownEnding { .. })));
        assert!(open(&odd, Some(Format::Article)).is_ok());
        assert!(matches!(open(&folder.path().join("none.csv"), None), Err(ReadError::Open { .. })));
    }

    #[test]
    fn bad_rows_are_skipped_and_counted_or_stop_a_strict_reading() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.jsonl");
        fs::write(&path, "\u{feff}{\"text\": \"one\"}\r\n\r\n{\"text\": 2}\r\n{\"text\": \"three\"}\r\noops").unwrap();
        let mut lines = Vec::new();
        let outcome = read_all([&path], None, Strictness::Skip, &mut |error| lines.push(error.line)).unwrap();
        assert_eq!((outcome.examples.len(), outcome.n_skipped, lines), (2, 2, vec![3, 5]));
        let error = read_all([&path], None, Strictness::Strict, &mut |_| panic!("nothing is skipped")).unwrap_err();
        let expected = format!("{}:3: text is the number 2; it must be a string", path.display());
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn an_unusable_header_is_an_error_of_the_file() {
        let error = read(Cursor::new("\n\nname,body\na,b\n"), "-", Format::Csv).err().unwrap();
        assert!(error.to_string().starts_with(r#"-:3: neither title nor text among the columns ("name", "body")"#));
    }

    #[test]
    fn gzip_that_ends_early_gives_its_rows_and_then_a_fatal_error() {
        // Lines that don't compress well, so that the decoder gives some of them away before it sees the end.
        let number = |n: u32| n.wrapping_mul(2_654_435_761);
        let text: String = (0..50_000).map(|n| format!("__label__x {} {}\n", number(n), number(n + 7))).collect();
        let mut bytes = gzip(text.as_bytes());
        bytes.truncate(bytes.len() / 2);
        let rows = read_bytes(bytes.clone(), Format::FastText);
        let (last, before) = rows.split_last().unwrap();
        assert!(before.len() > 1000 && before.iter().all(Result::is_ok), "{}", before.len());
        let error = last.as_ref().unwrap_err();
        assert!(error.is_fatal() && error.line == before.len() as u64 + 1, "{error}");

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cut.ft.gz");
        fs::write(&path, bytes).unwrap();
        let stopped = read_all([path], None, Strictness::Skip, &mut |_| panic!("not a bad row"));
        assert!(matches!(stopped, Err(ReadError::Row(error)) if error.is_fatal()));
    }

    #[test]
    fn several_gzip_members_are_one_file() {
        let members = [gzip(b"{\"text\": \"one\"}\n"), gzip(b"{\"text\": \"two\"}\n")].concat();
        assert_eq!(texts(&read_bytes(members, Format::Jsonl)), ["one", "two"]);
    }

    #[test]
    fn an_article_file_is_one_row_good_or_bad() {
        let rows = read_bytes(b"\xef\xbb\xbfTitle\r\n\r\nIt\x92s a caf\xe9.\r\n".to_vec(), Format::Article);
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0].as_ref().unwrap().document.title(), "Title");
        assert_eq!(texts(&rows), ["It’s a café."]);
        let rows = read_bytes(" \n", Format::Article);
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0].as_ref().unwrap_err().to_string(), "-:1: the file is empty; its first line must be a title");
    }

    #[test]
    fn utf16_ends_the_reading() {
        let rows = read_bytes(b"\xff\xfe{\0}\0\n\0{\0}\0\n\0".to_vec(), Format::Jsonl);
        assert_eq!(rows.len(), 1);
        assert!(rows[0].as_ref().unwrap_err().is_fatal());
    }

    #[test]
    fn rows_can_be_read_on_another_thread() {
        fn is_send<T: Send>(_: &T) {}
        is_send(&read(Cursor::new("a"), "-", Format::Article).unwrap());
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_reader_panic_or_go_on_forever(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            for format in Format::ALL {
                let with_header = [&b"title,text\n"[..], &bytes].concat();
                for file in [bytes.clone(), with_header, [&[0x1f, 0x8b], bytes.as_slice()].concat()] {
                    if let Ok(rows) = read(Cursor::new(file), "-", format) {
                        prop_assert!(rows.take(1000).count() < 1000);
                    }
                }
            }
        }
    }
}
