//! Bytes that begin where a cache line does. A bucket of a vocabulary's table is as long as a line (64 bytes): where the table begins in the middle of one,
//! each look-up waits for two lines, of which one was fetched ahead.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use bytes::Bytes;

/// Of most processors.
const CACHE_LINE_BYTES: usize = 64;

/// Reads a file.
pub(crate) fn read(path: &Path) -> io::Result<Bytes> {
    let mut file = File::open(path)?;
    let n_expected = usize::try_from(file.metadata()?.len()).unwrap_or(0);
    let mut buffer = Vec::new();
    buffer.try_reserve_exact(n_expected.saturating_add(CACHE_LINE_BYTES))?;
    let start = skip_to_line(&mut buffer);
    file.read_to_end(&mut buffer)?;
    // What was longer than expected, as a pipe is, has been moved.
    Ok(begin_line(Bytes::from(buffer).slice(start..)))
}

/// A copy of bytes.
pub(crate) fn copy(bytes: &[u8]) -> Bytes {
    let mut buffer = Vec::with_capacity(bytes.len() + CACHE_LINE_BYTES);
    let start = skip_to_line(&mut buffer);
    buffer.extend_from_slice(bytes);
    Bytes::from(buffer).slice(start..)
}

/// The bytes, or a copy if they begin in the middle of a line.
pub(crate) fn begin_line(bytes: Bytes) -> Bytes {
    if n_bytes_to_line(&bytes) == 0 { bytes } else { copy(&bytes) }
}

/// Has what is put next into an empty buffer begin a line; says where that is.
fn skip_to_line(buffer: &mut Vec<u8>) -> usize {
    let start = n_bytes_to_line(buffer.spare_capacity_mut());
    buffer.resize(start, 0);
    start
}

fn n_bytes_to_line<T>(bytes: &[T]) -> usize {
    bytes.as_ptr().addr().wrapping_neg() % CACHE_LINE_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_from_anywhere_begin_a_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        for n_bytes in [0, 1, 63, 64, 65, 100_000] {
            let bytes: Vec<u8> = (0..n_bytes).map(|place| (place % 251) as u8).collect();
            std::fs::write(&path, &bytes).unwrap();
            let shifted = Bytes::from([&[7; 3], &bytes[..]].concat()).slice(3..);
            for lined in [read(&path).unwrap(), copy(&bytes), begin_line(shifted)] {
                assert_eq!(lined, bytes);
                assert!(lined.is_empty() || n_bytes_to_line(&lined) == 0);
            }
            let lined = copy(&bytes);
            let place = lined.as_ptr();
            assert_eq!(begin_line(lined).as_ptr(), place, "bytes that begin a line were moved");
        }
        assert!(read(dir.path()).is_err());
    }

    /// Its length is 0 to who asks before reading.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_file_that_is_longer_than_it_says_is_read_whole() {
        let path = Path::new("/proc/version");
        assert_eq!(std::fs::metadata(path).unwrap().len(), 0);
        let bytes = read(path).unwrap();
        assert_eq!(bytes, std::fs::read(path).unwrap());
        assert!(bytes.len() > CACHE_LINE_BYTES && n_bytes_to_line(&bytes) == 0);
    }
}
