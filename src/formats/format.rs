//! The formats and their names, and how a file's name and first bytes tell which one it has.

use std::{fmt, path::Path, str::FromStr};

use super::{fasttext, lines};

/// How documents are laid out in a file. Any of them may be gzip-compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// One document a file: title, date, URL, then a paragraph a line.
    Article,
    /// A JSON object a line.
    Jsonl,
    /// A table with a header and commas between the cells.
    Csv,
    /// A table with a header and tabs between the cells.
    Tsv,
    /// A document a line, its topics in front as `__label__topic`.
    FastText,
}

impl Format {
    /// Every format, in the order in which messages list them.
    pub const ALL: [Self; 5] = [Self::Article, Self::Jsonl, Self::Csv, Self::Tsv, Self::FastText];

    /// The format's name, as [`FromStr`] reads it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Article => "article",
            Self::Jsonl => "jsonl",
            Self::Csv => "csv",
            Self::Tsv => "tsv",
            Self::FastText => "fasttext",
        }
    }

    /// The format that a file's ending stands for, in upper or lower case and with or without `.gz` behind it:
    /// `.jsonl` and `.ndjson`, `.csv`, `.tsv`, `.ft` and `.fasttext`; `.txt`, `.text`, `.md` and no ending at all
    /// are articles. `None` for any other ending.
    pub fn from_path(path: &Path) -> Option<Self> {
        let ending = |path: &Path| path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
        let ending = match ending(path) {
            Some(gz) if gz == "gz" => ending(&path.with_extension("")),
            other => other,
        };
        match ending.as_deref() {
            Some("jsonl" | "ndjson") => Some(Self::Jsonl),
            Some("csv") => Some(Self::Csv),
            Some("tsv") => Some(Self::Tsv),
            Some("ft" | "fasttext") => Some(Self::FastText),
            Some("txt" | "text" | "md") | None => Some(Self::Article),
            Some(_) => None,
        }
    }

    /// As [`Format::from_path`], but an article by its name whose first line that isn't blank starts with
    /// `__label__` is fastText: that is how training files for fastText usually look, and no title does.
    /// `first_bytes` are the first of the file, decompressed; a few kilobytes are enough.
    pub fn detect(path: &Path, first_bytes: &[u8]) -> Option<Self> {
        let text = lines::without_byte_order_mark(first_bytes).trim_ascii_start();
        match Self::from_path(path)? {
            Self::Article if text.starts_with(fasttext::LABEL_PREFIX.as_bytes()) => Some(Self::FastText),
            by_name => Some(by_name),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A name that no format has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown format {0:?}; use article, jsonl, csv, tsv or fasttext")]
pub struct UnknownFormat(pub String);

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|format| format.name() == name).ok_or_else(|| UnknownFormat(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_tell_the_format() {
        for (path, format) in [
            ("a/b.jsonl", Some(Format::Jsonl)),
            ("b.ndjson.gz", Some(Format::Jsonl)),
            ("B.CSV.GZ", Some(Format::Csv)),
            ("b.tsv", Some(Format::Tsv)),
            ("b.ft", Some(Format::FastText)),
            ("b.fasttext.gz", Some(Format::FastText)),
            ("b.txt", Some(Format::Article)),
            ("b.md.gz", Some(Format::Article)),
            ("b", Some(Format::Article)),
            ("b.d/000017", Some(Format::Article)),
            ("b.gz", Some(Format::Article)),
            ("b.pdf", None),
            ("b.json.gz", None),
        ] {
            assert_eq!(Format::from_path(Path::new(path)), format, "{path}");
        }
    }

    #[test]
    fn a_text_file_that_starts_with_a_label_is_fasttext() {
        let detect = |path, bytes: &[u8]| Format::detect(Path::new(path), bytes);
        assert_eq!(detect("train.txt", b"\xef\xbb\xbf\r\n \n__label__a b"), Some(Format::FastText));
        assert_eq!(detect("train.txt", b"A title\n__label__a b"), Some(Format::Article));
        assert_eq!(detect("train.csv", b"__label__a b"), Some(Format::Csv));
        assert_eq!(detect("train.pdf", b"__label__a b"), None);
    }

    #[test]
    fn names_go_there_and_back() {
        for format in Format::ALL {
            assert_eq!(format.to_string().parse(), Ok(format));
        }
        let message = "xml".parse::<Format>().unwrap_err().to_string();
        assert!(Format::ALL.iter().all(|format| message.contains(format.name())), "{message}");
    }
}
