//! Bytes on their way from a file to a format: decompressed, without byte order mark, cut into lines of bounded
//! length, decoded. What a line means is the format's business.

use std::io::{self, BufRead, BufReader, Cursor, Read};

use flate2::read::MultiGzDecoder;

use super::error::Reason;

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const UTF8_MARK: &[u8] = b"\xef\xbb\xbf";
const UTF16_MARKS: [&[u8]; 2] = [b"\xff\xfe", b"\xfe\xff"];
/// Large enough that reading costs few system calls, small enough to have one for each open file.
const BUFFER_BYTES: usize = 64 << 10;

/// A byte stream of which the first bytes have been looked at.
pub(super) type Source = Box<dyn BufRead + Send>;

/// The reader's bytes, decompressed if they start as gzip does, whatever the file is called.
pub(super) fn decompressed(mut reader: impl Read + Send + 'static) -> io::Result<Source> {
    let magic = first_bytes(&mut reader, GZIP_MAGIC.len())?;
    let is_gzip = magic == GZIP_MAGIC;
    let reader = Cursor::new(magic).chain(reader);
    // Several gzip members behind one another are one file: that is what `cat a.gz b.gz` and bgzip write.
    Ok(match is_gzip {
        true => Box::new(BufReader::with_capacity(BUFFER_BYTES, MultiGzDecoder::new(reader))),
        false => Box::new(BufReader::with_capacity(BUFFER_BYTES, reader)),
    })
}

/// The first `n_bytes` (fewer if there aren't so many), and a stream that starts with them again.
pub(super) fn peek(mut source: Source, n_bytes: usize) -> io::Result<(Vec<u8>, Source)> {
    let bytes = first_bytes(&mut source, n_bytes)?;
    Ok((bytes.clone(), Box::new(Cursor::new(bytes).chain(source))))
}

/// Reads `n_bytes`, fewer only at the end: a single `read` may return fewer at any time, as pipes do.
fn first_bytes(reader: &mut impl Read, n_bytes: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(n_bytes);
    reader.take(n_bytes as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The bytes behind a UTF-8 byte order mark, or all of them if there is none.
pub(super) fn without_byte_order_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(UTF8_MARK).unwrap_or(bytes)
}

/// Reads a row at a time, a row being one line or several, into one buffer of bounded length.
pub(super) struct Lines {
    source: Source,
    row: Vec<u8>,
    max_bytes: usize,
    first_line: u64,
    n_lines_read: u64,
}

impl Lines {
    /// Lines of which no row is longer than `max_bytes`, line breaks at its end not counted.
    pub(super) fn new(source: Source, max_bytes: usize) -> Self {
        Self { source, row: Vec::new(), max_bytes, first_line: 1, n_lines_read: 0 }
    }

    /// The current row, without the line break at its end; line breaks within it are `\n`.
    pub(super) fn row(&self) -> &[u8] {
        &self.row
    }

    /// The line that the current row starts on, counting from 1.
    pub(super) fn first_line(&self) -> u64 {
        self.first_line
    }

    /// Starts a new row with the next line that holds more than white space; `false` at the end of the file.
    /// After [`Reason::TooLong`] the next call goes on with the line behind the long one.
    pub(super) fn next_row(&mut self) -> Result<bool, Reason> {
        loop {
            self.row.clear();
            self.first_line = self.n_lines_read + 1;
            if !self.append_line()? {
                return Ok(false);
            }
            if !self.row.trim_ascii().is_empty() {
                return Ok(true);
            }
        }
    }

    /// Adds the next line, also a blank one, to the current row; `false` at the end of the file.
    pub(super) fn extend_row(&mut self) -> Result<bool, Reason> {
        self.row.push(b'\n');
        self.append_line()
    }

    /// Makes all that is left of the file the current row, line breaks as they are.
    pub(super) fn take_rest(&mut self) -> Result<(), Reason> {
        self.row.clear();
        self.first_line = self.n_lines_read + 1;
        let limit = self.max_bytes + UTF8_MARK.len() + 1;
        self.source.by_ref().take(limit as u64).read_to_end(&mut self.row).map_err(Reason::Io)?;
        if self.n_lines_read == 0 {
            self.drop_byte_order_mark()?;
        }
        if self.row.len() > self.max_bytes {
            return Err(Reason::TooLong { max_bytes: self.max_bytes });
        }
        Ok(())
    }

    fn append_line(&mut self) -> Result<bool, Reason> {
        let start = self.row.len();
        // Room for the longest content, a byte order mark and "\r\n"; what is longer is read past, not kept.
        let room = self.max_bytes.saturating_sub(start) + UTF8_MARK.len() + 2;
        let n_read = self.source.by_ref().take(room as u64).read_until(b'\n', &mut self.row).map_err(Reason::Io)?;
        if n_read == 0 {
            return Ok(false);
        }
        self.n_lines_read += 1;
        let is_whole = self.row.pop_if(|byte| *byte == b'\n').is_some();
        if self.row.len() > start {
            self.row.pop_if(|byte| *byte == b'\r');
        }
        if self.n_lines_read == 1 {
            self.drop_byte_order_mark()?;
        }
        if self.row.len() > self.max_bytes {
            if !is_whole {
                self.source.skip_until(b'\n').map_err(Reason::Io)?;
            }
            return Err(Reason::TooLong { max_bytes: self.max_bytes });
        }
        Ok(true)
    }

    fn drop_byte_order_mark(&mut self) -> Result<(), Reason> {
        if UTF16_MARKS.iter().any(|mark| self.row.starts_with(mark)) {
            return Err(Reason::Utf16);
        }
        let n_mark_bytes = self.row.len() - without_byte_order_mark(&self.row).len();
        self.row.drain(..n_mark_bytes);
        Ok(())
    }
}

/// Decodes UTF-8, and each byte that is not UTF-8 as windows-1252: in news files those bytes are nearly always
/// quotation marks, dashes and accents left from that code page, and a replacement character would tear the word
/// around them in two. Bytes that windows-1252 leaves undefined become U+FFFD.
pub(super) fn decode(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| {
        let mut text = String::with_capacity(error.as_bytes().len());
        for chunk in error.as_bytes().utf8_chunks() {
            text.push_str(chunk.valid());
            text.extend(chunk.invalid().iter().copied().map(windows_1252));
        }
        text
    })
}

/// The character that a byte from 0x80 on stands for in windows-1252.
fn windows_1252(byte: u8) -> char {
    /// 0x80 to 0x9F, where windows-1252 differs from Latin-1.
    const C1: [char; 32] = [
        '€', '\u{fffd}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{fffd}', 'Ž', '\u{fffd}', //
        '\u{fffd}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{fffd}', 'ž', 'Ÿ',
    ];
    byte.checked_sub(0x80).and_then(|index| C1.get(usize::from(index)).copied()).unwrap_or(char::from(byte))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// Rows with the lines they start on; a row over the limit is `None`.
    fn rows(bytes: Vec<u8>, max_bytes: usize) -> Vec<(u64, Option<String>)> {
        let mut lines = Lines::new(decompressed(Cursor::new(bytes)).unwrap(), max_bytes);
        let mut rows = Vec::new();
        loop {
            let row = match lines.next_row() {
                Ok(false) => return rows,
                Ok(true) => Some(String::from_utf8(lines.row().to_vec()).unwrap()),
                Err(Reason::TooLong { .. }) => None,
                Err(other) => panic!("{other}"),
            };
            rows.push((lines.first_line(), row));
        }
    }

    #[test]
    fn byte_order_mark_crlf_and_blank_lines_are_no_content() {
        let found = rows(b"\xef\xbb\xbfone\r\n\r\n \t\ntwo\r".to_vec(), 100);
        assert_eq!(found, [(1, Some("one".to_owned())), (4, Some("two".to_owned()))]);
        assert_eq!(rows(b"\xef\xbb\xbf\n".to_vec(), 100), []);
        assert_eq!(rows(Vec::new(), 100), []);
    }

    #[test]
    fn the_limit_counts_content_only_and_reading_goes_on_behind_a_long_line() {
        for line_break in ["\n", "\r\n"] {
            let text = ["\u{feff}12345", "123456", &"x".repeat(1000), "12345"].join(line_break);
            let fits = Some("12345".to_owned());
            assert_eq!(rows(text.into_bytes(), 5), [(1, fits.clone()), (2, None), (3, None), (4, fits)]);
        }
    }

    #[test]
    fn a_long_line_is_not_kept_in_memory() {
        let source = decompressed(io::repeat(b'x').take(8 << 20)).unwrap();
        let mut lines = Lines::new(source, 1000);
        assert!(matches!(lines.next_row(), Err(Reason::TooLong { max_bytes: 1000 })));
        assert!(lines.row.capacity() < 10_000, "{}", lines.row.capacity());
        assert!(!lines.next_row().unwrap());
    }

    #[test]
    fn the_limit_holds_for_a_row_of_many_lines_and_for_the_rest_of_a_file() {
        let lines = |text: &str| Lines::new(decompressed(Cursor::new(text.to_owned())).unwrap(), 5);
        let mut joined = lines("12\r\n\r\n4\r\n\r\n");
        assert!(joined.next_row().unwrap() && joined.extend_row().unwrap() && joined.extend_row().unwrap());
        assert_eq!((joined.row(), joined.first_line()), (&b"12\n\n4"[..], 1));
        assert!(matches!(joined.extend_row(), Err(Reason::TooLong { .. })));
        let mut whole = lines("\u{feff}12\n45");
        whole.take_rest().unwrap();
        assert_eq!(whole.row(), b"12\n45");
        assert!(matches!(lines("12\n456").take_rest(), Err(Reason::TooLong { .. })));
    }

    #[test]
    fn gzip_is_known_by_its_first_bytes_and_may_have_several_members() {
        let members = [gzip(b"on"), gzip(b"e\ntwo\n")].concat();
        assert_eq!(rows(members, 100), [(1, Some("one".to_owned())), (2, Some("two".to_owned()))]);
    }

    #[test]
    fn peeking_takes_nothing_away() {
        let (bytes, mut source) = peek(decompressed(Cursor::new(gzip(b"one\n"))).unwrap(), 3).unwrap();
        let mut all = Vec::new();
        source.read_to_end(&mut all).unwrap();
        assert_eq!((bytes.as_slice(), all.as_slice()), (&b"one"[..], &b"one\n"[..]));
    }

    #[test]
    fn utf16_is_refused() {
        let mut lines = Lines::new(decompressed(Cursor::new(b"\xff\xfea\0\n\0".to_vec())).unwrap(), 100);
        assert!(matches!(lines.next_row(), Err(Reason::Utf16)));
    }

    #[test]
    fn bytes_that_are_not_utf8_are_windows_1252() {
        assert_eq!(decode("naïve €".into()), "naïve €");
        assert_eq!(decode(b"caf\xe9 \x93na\xc3\xafve\x94 \x80 \x9f \x81 \xff".to_vec()), "café “naïve” € Ÿ \u{fffd} ÿ");
        assert_eq!(decode(b"cut \xe2\x82".to_vec()), "cut â‚"); // the first two bytes of a three-byte character
    }
}
