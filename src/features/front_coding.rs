//! A sorted list of strings in little space: each string is stored as what it doesn't share with the one before it.
//!
//! Blocks of [`BLOCK`] strings start with a whole string, so that one string is found without decoding the others
//! (front coding; Witten, Moffat & Bell, *Managing Gigabytes*, §4.1). Each entry is: shared bytes, own bytes (both
//! LEB128), the own bytes.

use bytes::Bytes;
use zerocopy::little_endian::U32;

use crate::packed::Packed;

const BLOCK: usize = 16;

/// The strings; any number of runs that are sorted each for itself.
#[derive(Debug, Clone)]
pub(super) struct FrontCodedStrings {
    pub(super) data: Bytes,
    pub(super) blocks: Packed<U32>,
    n_strings: usize,
}

impl FrontCodedStrings {
    /// Encodes strings; `None` when they need more than 4 GiB.
    pub(super) fn encode<'a>(strings: impl Iterator<Item = &'a str>) -> Option<Self> {
        let (mut data, mut blocks, mut n_strings) = (Vec::new(), Vec::new(), 0);
        let mut last = "";
        for string in strings {
            if n_strings % BLOCK == 0 {
                blocks.push(U32::new(u32::try_from(data.len()).ok()?));
                last = "";
            }
            let shared = last.bytes().zip(string.bytes()).take_while(|(a, b)| a == b).count();
            push_varint(&mut data, shared);
            push_varint(&mut data, string.len() - shared);
            data.extend_from_slice(&string.as_bytes()[shared..]);
            last = string;
            n_strings += 1;
        }
        Some(Self { data: data.into(), blocks: Packed::from_values(&blocks), n_strings })
    }

    /// Views encoded strings; `None` unless they are exactly `n_strings` well-formed ones.
    pub(super) fn decode(data: Bytes, blocks: Packed<U32>, n_strings: usize) -> Option<Self> {
        let strings = Self { data, blocks, n_strings };
        if strings.blocks.len() != n_strings.div_ceil(BLOCK) {
            return None;
        }
        let (mut rest, mut string) = (&strings.data[..], Vec::new());
        for index in 0..n_strings {
            if index % BLOCK == 0 {
                let start = strings.blocks[index / BLOCK].get() as usize;
                (start == strings.data.len() - rest.len()).then_some(())?;
                string.clear();
            }
            rest = decode_next(rest, &mut string)?;
            std::str::from_utf8(&string).ok()?;
        }
        rest.is_empty().then_some(strings)
    }

    /// The string at an index, if there is one.
    pub(super) fn get(&self, index: usize) -> Option<String> {
        if index >= self.n_strings {
            return None;
        }
        let start = self.blocks.get(index / BLOCK)?.get() as usize;
        let (mut rest, mut string) = (self.data.get(start..)?, Vec::new());
        for _ in 0..=index % BLOCK {
            rest = decode_next(rest, &mut string)?;
        }
        String::from_utf8(string).ok()
    }

    pub(super) fn len(&self) -> usize {
        self.n_strings
    }
}

fn push_varint(data: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        data.push(value as u8 | 0x80);
        value >>= 7;
    }
    data.push(value as u8);
}

fn take_varint(mut bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0;
    for shift in [0, 7, 14] {
        let (&byte, rest) = bytes.split_first()?;
        bytes = rest;
        value |= usize::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            return Some((value, bytes));
        }
    }
    None
}

/// Makes `string` the next string and returns what follows it.
fn decode_next<'a>(bytes: &'a [u8], string: &mut Vec<u8>) -> Option<&'a [u8]> {
    let (shared, bytes) = take_varint(bytes)?;
    let (own, bytes) = take_varint(bytes)?;
    if shared > string.len() || own > bytes.len() {
        return None;
    }
    let (own, rest) = bytes.split_at(own);
    string.truncate(shared);
    string.extend_from_slice(own);
    Some(rest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn decoding_gives_the_strings_back(mut strings in prop::collection::vec("[a-cé]{0,6}|x{200}", 0..60)) {
            strings.sort();
            let coded = FrontCodedStrings::encode(strings.iter().map(String::as_str)).unwrap();
            let again = FrontCodedStrings::decode(coded.data, coded.blocks, strings.len()).unwrap();
            for (index, string) in strings.iter().enumerate() {
                prop_assert_eq!(again.get(index), Some(string.clone()));
            }
            prop_assert_eq!(again.get(strings.len()), None);
        }

        #[test]
        fn decoding_never_panics(data in prop::collection::vec(any::<u8>(), 0..80), blocks in prop::collection::vec(0..90u32, 0..5), n in 0..70usize) {
            let blocks: Vec<U32> = blocks.into_iter().map(U32::new).collect();
            if let Some(strings) = FrontCodedStrings::decode(data.into(), Packed::from_values(&blocks), n) {
                for index in 0..n {
                    prop_assert!(strings.get(index).is_some());
                }
            }
        }
    }
}
