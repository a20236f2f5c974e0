//! Files of every format → labelled documents or errors; and each document, written as a JSON line, is read as it was.
//!
//! The first byte is a digit: 0 to 4 for the format, 5 to 9 for the same ones compressed with gzip.

#![no_main]

use std::io::{Cursor, Write};
use std::path::Path;

use flate2::{Compression, write::GzEncoder};
use libfuzzer_sys::fuzz_target;
use topicd::document::LabeledDocument;
use topicd::formats::{Format, RowError, read, write_json_line};

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// Of deflate: a match of 258 bytes takes two bits at least.
const MAX_EXPANSION: usize = 1032;

fuzz_target!(|data: &[u8]| {
    let Some((&choice, file)) = data.split_first() else { return };
    let choice = usize::from(choice.wrapping_sub(b'0'));
    let format = Format::ALL[choice % Format::ALL.len()];
    let rows = rows(file.to_vec(), format);
    let is_compressed = file.starts_with(&GZIP_MAGIC);
    // A row takes at least a byte, but for the only one of an empty article.
    let max_rows = if is_compressed { file.len() * MAX_EXPANSION } else { file.len().max(1) };
    assert!(rows.len() <= max_rows);
    if choice >= Format::ALL.len() && !is_compressed {
        assert_eq!(documents(&self::rows(gzip(file), format)), documents(&rows), "compressed or not");
    }
    let _ = Format::detect(Path::new("article.txt"), file);
    for document in documents(&rows) {
        let mut line = Vec::new();
        write_json_line(document, &mut line);
        assert_eq!(line.iter().filter(|&&byte| byte == b'\n').count(), 1);
        let again = self::rows(line, Format::Jsonl);
        assert_eq!(documents(&again), [document], "written and read again");
    }
});

type Row = Result<LabeledDocument, RowError>;

/// All rows; a file that can't be begun has none. What is wrong with the others can be said.
fn rows(file: Vec<u8>, format: Format) -> Vec<Row> {
    let rows: Vec<Row> = match read(Cursor::new(file), "file", format) {
        Ok(rows) => rows.collect(),
        Err(error) => {
            assert!(!error.to_string().is_empty());
            Vec::new()
        }
    };
    let errors = rows.iter().filter_map(|row| row.as_ref().err());
    errors.for_each(|error| assert!(error.line > 0 && !error.to_string().is_empty()));
    rows
}

fn documents(rows: &[Row]) -> Vec<&LabeledDocument> {
    rows.iter().flatten().collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("memory takes what is written to it")
}
