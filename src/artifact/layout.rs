//! The fixed numbers of the format, shared by reading and writing.

use serde::{Deserialize, Serialize};
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::abstention::Abstention;
use crate::calibration::Calibrator;
use crate::classifier::Provenance;
use crate::dataset::LabelKind;
use crate::decision::DecisionRule;
use crate::known_words::KnownWordsCard;

pub(super) const MAGIC: [u8; 8] = *b"TOPICD\r\n";
/// What is written.
pub(super) const FORMAT_VERSION: u32 = 3;
/// The oldest that is read: as what is written, without the optional sections.
pub(super) const OLDEST_FORMAT_VERSION: u32 = 2;
/// Sections start at multiples of this: a cache line, and the widest vector register.
pub(super) const ALIGNMENT: usize = 64;

/// The first bytes of the file.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Header {
    pub(super) magic: [u8; 8],
    pub(super) version: U32,
    pub(super) n_sections: U32,
    pub(super) n_bytes: U64,
    pub(super) checksum: U64,
}

/// Where a section is.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct SectionEntry {
    pub(super) kind: U32,
    pub(super) zero: U32,
    pub(super) offset: U64,
    pub(super) length: U64,
}

/// What a section holds; the file has each at most once, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum SectionKind {
    Metadata = 1,
    VocabularyTable = 2,
    Terms = 3,
    TermBlocks = 4,
    TermWeights = 5,
    TopicWeights = 6,
    TopicWeightScales = 7,
    Biases = 8,
    InferredWeights = 9,
    InferredWeightScales = 10,
    WordLanguages = 11,
}

impl SectionKind {
    /// Those that each file has; then those that a file has all of or none, depending on whether the model knows words of a table.
    pub(super) const ALL: [Self; 11] = [
        Self::Metadata,
        Self::VocabularyTable,
        Self::Terms,
        Self::TermBlocks,
        Self::TermWeights,
        Self::TopicWeights,
        Self::TopicWeightScales,
        Self::Biases,
        Self::InferredWeights,
        Self::InferredWeightScales,
        Self::WordLanguages,
    ];
    /// How many each file has.
    pub(super) const N_REQUIRED: usize = 8;
}

/// What is small, as JSON; the order of the fields is part of the format.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Metadata {
    pub(super) topics: Vec<String>,
    pub(super) label_kind: LabelKind,
    pub(super) n_terms: usize,
    pub(super) n_unigrams: usize,
    /// Models without them have the bytes that they had before there were any.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) n_character_ngrams: usize,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) n_inferred_words: usize,
    pub(super) hash_seed: u64,
    pub(super) calibrator: Calibrator,
    pub(super) decision_rule: DecisionRule,
    pub(super) abstention: Abstention,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) known_words: Option<KnownWordsCard>,
    pub(super) provenance: Provenance,
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// XXH3-64 of a file's bytes but for the eight of the checksum itself.
pub(super) fn checksum(file: &[u8]) -> u64 {
    let place = std::mem::offset_of!(Header, checksum);
    let mut hasher = xxhash_rust::xxh3::Xxh3::new();
    hasher.update(file.get(..place).unwrap_or(file));
    hasher.update(file.get(place + size_of::<U64>()..).unwrap_or_default());
    hasher.digest()
}
