//! Where a model's bytes are kept while it answers.
//!
//! Each word of a document is looked for somewhere in megabytes, so that with pages of 4 KiB the processor has to find out where the
//! page is nearly as often as it reads: pages of 2 MiB spare it that.

use bytes::Bytes;
use memmap2::MmapOptions;

/// Models smaller than this stay where they are: pages of 4 KiB are few enough.
const MIN_BYTES: usize = 2 << 20;

/// A copy of the bytes, if they are many, in pages that are huge where the system has such.
pub fn in_huge_pages(bytes: Bytes) -> Bytes {
    if bytes.len() < MIN_BYTES {
        return bytes;
    }
    let Ok(mut map) = MmapOptions::new().len(bytes.len()).map_anon() else { return bytes };
    // Advice that isn't taken does no harm.
    #[cfg(target_os = "linux")]
    let _ = map.advise(memmap2::Advice::HugePage);
    map.copy_from_slice(&bytes);
    map.make_read_only().map_or(bytes, Bytes::from_owner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_stay_what_they_are() {
        for n in [0, 100, MIN_BYTES, 3 * MIN_BYTES + 5] {
            let bytes: Bytes = (0..n).map(|i| (i * i) as u8).collect();
            assert_eq!(in_huge_pages(bytes.clone()), bytes);
        }
    }
}
