//! Bytes → classifier. What gets past this file can be answered with.

use bytes::Bytes;
use zerocopy::FromBytes;

use super::layout::{
    ALIGNMENT, FORMAT_VERSION, Header, MAGIC, Metadata, OLDEST_FORMAT_VERSION, SectionEntry, SectionKind, checksum,
};
use super::{Artifact, ArtifactError};
use crate::cache_lines;
use crate::classifier::Classifier;
use crate::document::Topic;
use crate::features::vocabulary::VocabularyParts;
use crate::features::{Vectorizer, Vocabulary};
use crate::known_words::KnownWords;
use crate::linear::QuantizedWeights;
use crate::packed::Packed;

/// Reads a model file's bytes; what is large stays where it is and is shared, if the bytes begin at a multiple of 64.
///
/// # Errors
/// [`ArtifactError`], whatever the bytes are.
pub fn decode(file: Bytes) -> Result<Artifact, ArtifactError> {
    let header = check_header(&file)?;
    let file = cache_lines::begin_line(file);
    let sections = sections(&file, header)?;
    let section = |kind: SectionKind| sections.get(kind as usize - 1).cloned().unwrap_or_default();
    let metadata: Metadata = serde_json::from_slice(&section(SectionKind::Metadata))
        .map_err(|error| ArtifactError::Metadata(error.to_string()))?;
    let topics = metadata.topics.iter().map(|topic| Topic::new(topic)).collect::<Result<Vec<_>, _>>();
    let topics = topics.map_err(|error| ArtifactError::Metadata(error.to_string()))?;
    let vocabulary = Vocabulary::from_parts(VocabularyParts {
        seed: metadata.hash_seed,
        n_unigrams: metadata.n_unigrams,
        n_character_ngrams: metadata.n_character_ngrams,
        n_terms: metadata.n_terms,
        n_inferred: metadata.n_inferred_words,
        buckets: section(SectionKind::VocabularyTable),
        term_data: section(SectionKind::Terms),
        term_blocks: section(SectionKind::TermBlocks),
    })?;
    let vectorizer = Packed::new(section(SectionKind::TermWeights))
        .and_then(|weights| Vectorizer::new(vocabulary, weights))
        .ok_or(ArtifactError::Malformed("its TF-IDF weights don't fit its terms"))?;
    let weights = (|| {
        let weights = Packed::new(section(SectionKind::TopicWeights))?;
        let scales = Packed::new(section(SectionKind::TopicWeightScales))?;
        QuantizedWeights::new(weights, scales, Packed::new(section(SectionKind::Biases))?)
    })()
    .ok_or(ArtifactError::Malformed("its linear weights don't fit each other"))?;
    let has_words = sections.len() > SectionKind::N_REQUIRED;
    if has_words != metadata.known_words.is_some() || (!has_words && metadata.n_inferred_words > 0) {
        return Err(ArtifactError::Malformed(
            "its sections and its metadata don't agree whether it knows words of a table",
        ));
    }
    let known_words = metadata.known_words.map(|card| {
        let weights = Packed::new(section(SectionKind::InferredWeights))?;
        let scales = Packed::new(section(SectionKind::InferredWeightScales))?;
        let inferred = QuantizedWeights::without_biases(weights, scales, metadata.topics.len())?;
        let languages = Packed::new(section(SectionKind::WordLanguages))?;
        KnownWords::new(card, inferred, languages, (metadata.n_unigrams, metadata.n_inferred_words))
    });
    let known_words = match known_words {
        None => None,
        Some(known_words) => {
            Some(known_words.ok_or(ArtifactError::Malformed("what it knows of words doesn't fit its terms"))?)
        }
    };
    let classifier = Classifier {
        topics,
        label_kind: metadata.label_kind,
        vectorizer,
        weights,
        calibrator: metadata.calibrator,
        decision_rule: metadata.decision_rule,
        abstention: metadata.abstention,
        known_words,
        provenance: metadata.provenance,
    }
    .if_consistent()
    .ok_or(ArtifactError::Malformed("its parts don't fit each other"))?;
    Ok(Artifact { classifier, checksum: header.checksum.get(), bytes: file })
}

fn check_header(file: &[u8]) -> Result<Header, ArtifactError> {
    if !file.starts_with(&MAGIC) {
        return Err(ArtifactError::Magic);
    }
    let actual = file.len() as u64;
    let Ok((header, _)) = Header::read_from_prefix(file) else {
        return Err(ArtifactError::Length { expected: size_of::<Header>() as u64, actual });
    };
    if !(OLDEST_FORMAT_VERSION..=FORMAT_VERSION).contains(&header.version.get()) {
        return Err(ArtifactError::Version { found: header.version.get() });
    }
    if header.n_bytes.get() != actual {
        return Err(ArtifactError::Length { expected: header.n_bytes.get(), actual });
    }
    if header.checksum.get() != checksum(file) {
        return Err(ArtifactError::Checksum);
    }
    Ok(header)
}

/// The sections, in the order of their kinds; each must be exactly where writing puts it.
fn sections(file: &Bytes, header: Header) -> Result<Vec<Bytes>, ArtifactError> {
    let malformed = ArtifactError::Malformed;
    let n_sections = header.n_sections.get() as usize;
    let may_have_words = header.version.get() > OLDEST_FORMAT_VERSION;
    if n_sections != SectionKind::N_REQUIRED && !(may_have_words && n_sections == SectionKind::ALL.len()) {
        return Err(malformed("it has another number of sections"));
    }
    let table = file.get(size_of::<Header>()..).unwrap_or_default();
    let (entries, _) = <[SectionEntry]>::ref_from_prefix_with_elems(table, n_sections)
        .map_err(|_| malformed("its section table is cut off"))?;
    let mut end = size_of::<Header>() + size_of_val(entries);
    let mut sections = Vec::with_capacity(entries.len());
    for (kind, entry) in SectionKind::ALL.into_iter().zip(entries) {
        let start = end.next_multiple_of(ALIGNMENT);
        let in_place = entry.kind.get() == kind as u32 && entry.zero == 0 && entry.offset.get() == start as u64;
        let padding_is_zero = file.get(end..start).is_some_and(|padding| padding.iter().all(|&byte| byte == 0));
        let length =
            usize::try_from(entry.length.get()).ok().filter(|&length| length <= file.len() - start.min(file.len()));
        match length {
            Some(length) if in_place && padding_is_zero => end = start + length,
            _ => return Err(malformed("a section isn't where it belongs")),
        }
        sections.push(file.slice(start..end));
    }
    (end == file.len()).then_some(sections).ok_or(malformed("something follows the last section"))
}
