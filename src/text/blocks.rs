//! Text in blocks of 64 bytes: which of them can be part of a token, and the lower-case form of those that are ASCII letters, 64
//! bytes at a time and without a branch. Where runs begin and end is read from the bits.

use std::ops::Range;

use crate::processor::Processor;

const BLOCK: usize = 64;
/// Bytes before and behind the text, so that eight bytes can be read from each place in it, and up to each.
const MARGIN: usize = 8;

/// One text's bytes in lower case, and the runs in it; buffers that serve one text after another.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    /// [`MARGIN`], the text with ASCII letters in lower case, zeros up to whole blocks, and what longer texts have left.
    lower: Vec<u8>,
    /// For each block, which bytes are parts of characters beyond ASCII; then a block without any.
    longer: Vec<u64>,
    has_longer: bool,
    /// Where each run begins and, behind that, where it ends.
    edges: Vec<usize>,
    n_edges: usize,
}

/// The beginning, middle and end of a run of lower-case bytes, which are all of it up to 17 bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct RunBytes {
    /// The first eight bytes, little-endian, whatever is behind the run's end.
    pub(super) first: u64,
    /// The last eight bytes, whatever is before the run's start.
    pub(super) last: u64,
    /// The byte in the middle, or behind it.
    pub(super) middle: u8,
}

impl Blocks {
    /// Reads a text, in place of the one before.
    #[inline(always)]
    pub(super) fn read(&mut self, processor: impl Processor, text: &str) {
        let n_blocks = text.len().div_ceil(BLOCK);
        let Self { lower, longer, edges, .. } = self;
        // What was there before is overwritten or behind the end.
        lower.resize((n_blocks * BLOCK + 2 * MARGIN).max(lower.len()), 0);
        longer.clear();
        longer.resize(n_blocks + 1, 0);
        edges.resize((text.len() + 2).max(edges.len()), 0);
        let (edges, mut n_edges, mut before, mut all_longer) = (edges.as_mut_slice(), 0, 0, 0);
        let (blocks, rest) = text.as_bytes().as_chunks::<BLOCK>();
        let mut last = [0; BLOCK];
        last[..rest.len()].copy_from_slice(rest);
        let last = [last];
        let blocks = blocks.iter().chain(last.iter().take(usize::from(!rest.is_empty())));
        let (lower, _) = lower[MARGIN..].as_chunks_mut::<BLOCK>();
        for (place, ((block, lower), longer)) in blocks.zip(lower).zip(longer).enumerate() {
            let (runs, of_longer) = classify(processor, block, lower);
            *longer = of_longer;
            all_longer |= of_longer;
            // A byte that is of a run when the one before isn't, or the other way round.
            let mut changes = runs ^ (runs << 1 | before);
            before = runs >> (BLOCK - 1);
            let start = place * BLOCK;
            while changes != 0 {
                edges[n_edges] = start + changes.trailing_zeros() as usize;
                n_edges += 1;
                changes &= changes - 1;
            }
        }
        if before == 1 {
            edges[n_edges] = text.len();
            n_edges += 1;
        }
        (self.n_edges, self.has_longer) = (n_edges, all_longer != 0);
    }

    /// The runs of ASCII token characters and parts of longer characters, first to last, and whether all bytes of a run are ASCII.
    #[inline(always)]
    pub(super) fn runs(&self) -> impl Iterator<Item = (Range<usize>, bool)> + '_ {
        let (edges, _) = self.edges[..self.n_edges].as_chunks::<2>();
        edges.iter().map(|&[start, end]| {
            let run = start..end;
            (run.clone(), !self.has_longer || self.is_ascii(run))
        })
    }

    #[inline(always)]
    fn is_ascii(&self, run: Range<usize>) -> bool {
        let (first, last) = (run.start / BLOCK, run.end / BLOCK);
        let (from_start, to_end) = (u64::MAX << (run.start % BLOCK), !(u64::MAX << (run.end % BLOCK)));
        if first == last {
            self.longer[first] & from_start & to_end == 0
        } else {
            let between = self.longer[first + 1..last].iter().fold(0, |all, &longer| all | longer);
            (self.longer[first] & from_start | between | self.longer[last] & to_end) == 0
        }
    }

    /// The bytes of a run in lower case, if it is ASCII.
    #[inline(always)]
    pub(super) fn lower(&self, run: Range<usize>) -> &[u8] {
        &self.lower[MARGIN + run.start..MARGIN + run.end]
    }

    /// The ends of a run in lower case, if it is ASCII.
    #[inline(always)]
    pub(super) fn run_bytes(&self, run: Range<usize>) -> RunBytes {
        RunBytes::of(&self.lower, MARGIN + run.start..MARGIN + run.end)
    }
}

impl RunBytes {
    /// Of a run in bytes of which there are eight before it and eight from its start on.
    #[inline(always)]
    fn of(bytes: &[u8], run: Range<usize>) -> Self {
        let eight = |from: usize| bytes[from..].first_chunk().map_or(0, |eight| u64::from_le_bytes(*eight));
        let middle = bytes[run.start + run.len() / 2];
        Self { first: eight(run.start), last: eight(run.end - size_of::<u64>()), middle }
    }

    /// Of bytes that are a run for themselves.
    pub(super) fn of_slice(run: &[u8]) -> Self {
        let mut bytes = [0; MARGIN + MAX_SLICE + MARGIN];
        let n_bytes = run.len().min(MAX_SLICE);
        bytes[MARGIN..MARGIN + n_bytes].copy_from_slice(&run[..n_bytes]);
        Self::of(&bytes, MARGIN..MARGIN + n_bytes)
    }
}

/// Bytes of a slice that has [`RunBytes`]; of more, they say nothing.
const MAX_SLICE: usize = 16;

/// Bit i of the first number: byte i is an ASCII token character or part of a longer character; of the second: it is the latter.
#[inline(always)]
fn classify(processor: impl Processor, block: &[u8; BLOCK], lower: &mut [u8; BLOCK]) -> (u64, u64) {
    let mut is_run = [0; BLOCK];
    for i in 0..BLOCK {
        let byte = block[i];
        let letter = byte | (u8::from(byte.wrapping_sub(b'A') < 26) << 5);
        let is_letter = u8::from(letter.wrapping_sub(b'a') < 26);
        let is_other = u8::from(letter.wrapping_sub(b'0') < 10) | u8::from(letter == b'_');
        lower[i] = letter;
        is_run[i] = ((is_letter | is_other) << 7) | byte;
    }
    (processor.high_bits(&is_run), processor.high_bits(block))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::processor::Any;
    use crate::text::characters::CharacterClass;

    fn runs(blocks: &Blocks) -> Vec<(Range<usize>, bool)> {
        blocks.runs().collect()
    }

    #[test]
    fn runs_go_across_blocks_and_end_with_the_text() {
        let mut blocks = Blocks::default();
        for n in [1, 63, 64, 65, 127, 128, 129, 1000] {
            blocks.read(Any, &"X".repeat(n));
            assert_eq!(runs(&blocks), [(0..n, true)], "{n}");
            assert_eq!(blocks.lower(0..n), "x".repeat(n).as_bytes());
            blocks.read(Any, &format!("{}é.", "X".repeat(n)));
            assert_eq!(runs(&blocks), [(0..n + 2, false)], "{n}");
            blocks.read(Any, &format!("é {}", "X".repeat(n)));
            assert_eq!(runs(&blocks), [(0..2, false), (3..n + 3, true)], "{n}");
            blocks.read(Any, &format!("{}.é", "X".repeat(n)));
            assert_eq!(runs(&blocks), [(0..n, true), (n + 1..n + 3, false)], "{n}");
        }
        blocks.read(Any, "");
        assert_eq!(runs(&blocks), []);
    }

    proptest! {
        /// Byte by byte, as the classes of characters have it.
        #[test]
        fn runs_are_those_of_the_classes(text in "[\\x00-\\x7f]{0,300}|[a-zA-Z0-9 ._é—漢@`{\\[/:^]{0,300}") {
            let mut blocks = Blocks::default();
            blocks.read(Any, "What was read before, which is long enough to reach into another block, is forgotten: é.");
            blocks.read(Any, &text);
            let is_gap = |byte: &u8| byte.is_ascii() && CharacterClass::of((*byte).into()) == CharacterClass::Separator;
            let (mut expected, mut start) = (Vec::new(), 0);
            for run in text.as_bytes().split(is_gap) {
                if !run.is_empty() {
                    let range = start..start + run.len();
                    expected.push((range.clone(), run.is_ascii()));
                    if run.is_ascii() {
                        let lower = run.to_ascii_lowercase();
                        prop_assert_eq!(blocks.lower(range.clone()), &*lower);
                        let (here, alone) = (blocks.run_bytes(range), RunBytes::of_slice(&lower));
                        if run.len() >= 8 && run.len() <= MAX_SLICE {
                            prop_assert_eq!((here.first, here.last, here.middle), (alone.first, alone.last, alone.middle));
                        }
                    }
                }
                start += run.len() + 1;
            }
            prop_assert_eq!(runs(&blocks), expected);
        }
    }
}
