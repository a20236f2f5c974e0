//! Classifier → bytes. The same classifier gives the same bytes.

use zerocopy::IntoBytes;
use zerocopy::little_endian::{U32, U64};

use super::layout::{
    ALIGNMENT, FORMAT_VERSION, Header, MAGIC, Metadata, OLDEST_FORMAT_VERSION, SectionEntry, SectionKind, checksum,
};
use crate::classifier::Classifier;
use crate::known_words::KnownWords;

/// The bytes of a classifier's model file.
pub fn encode(classifier: &Classifier) -> Vec<u8> {
    let vocabulary = classifier.vectorizer.vocabulary().to_parts();
    let metadata = Metadata {
        topics: classifier.topics.iter().map(ToString::to_string).collect(),
        label_kind: classifier.label_kind,
        n_terms: vocabulary.n_terms,
        n_unigrams: vocabulary.n_unigrams,
        n_character_ngrams: vocabulary.n_character_ngrams,
        n_inferred_words: vocabulary.n_inferred,
        hash_seed: vocabulary.seed,
        calibrator: classifier.calibrator.clone(),
        decision_rule: classifier.decision_rule.clone(),
        abstention: classifier.abstention.clone(),
        known_words: classifier.known_words.as_ref().map(|known| known.card().clone()),
        provenance: classifier.provenance.clone(),
    };
    // Strings, numbers and lists of them: there is nothing that JSON can't hold.
    let metadata = serde_json::to_vec(&metadata).unwrap_or_default();
    let weights = &classifier.weights;
    let known_words = classifier.known_words.as_ref();
    let of_words = |bytes: fn(&KnownWords) -> &[u8]| known_words.map(bytes).unwrap_or_default();
    let section = |kind| match kind {
        SectionKind::Metadata => &metadata[..],
        SectionKind::VocabularyTable => &vocabulary.buckets,
        SectionKind::Terms => &vocabulary.term_data,
        SectionKind::TermBlocks => &vocabulary.term_blocks,
        SectionKind::TermWeights => classifier.vectorizer.weights().as_bytes(),
        SectionKind::TopicWeights => weights.weights().as_bytes(),
        SectionKind::TopicWeightScales => weights.scales().as_bytes(),
        SectionKind::Biases => weights.biases().as_bytes(),
        SectionKind::InferredWeights => of_words(|known| known.inferred().weights().as_bytes()),
        SectionKind::InferredWeightScales => of_words(|known| known.inferred().scales().as_bytes()),
        SectionKind::WordLanguages => of_words(|known| known.packed_languages().as_bytes()),
    };
    let n_sections = if known_words.is_some() { SectionKind::ALL.len() } else { SectionKind::N_REQUIRED };
    let mut file = vec![0; size_of::<Header>() + n_sections * size_of::<SectionEntry>()];
    let mut entries = Vec::with_capacity(n_sections);
    for &kind in &SectionKind::ALL[..n_sections] {
        file.resize(file.len().next_multiple_of(ALIGNMENT), 0);
        let (offset, length) = (U64::new(file.len() as u64), U64::new(section(kind).len() as u64));
        entries.push(SectionEntry { kind: U32::new(kind as u32), zero: U32::ZERO, offset, length });
        file.extend_from_slice(section(kind));
    }
    // A model of the time of version 2 has the bytes that it had.
    let is_new = known_words.is_some() || classifier.provenance.recipe > 0;
    let version = if is_new { FORMAT_VERSION } else { OLDEST_FORMAT_VERSION };
    let mut header = Header {
        magic: MAGIC,
        version: U32::new(version),
        n_sections: U32::new(n_sections as u32),
        n_bytes: U64::new(file.len() as u64),
        checksum: U64::ZERO,
    };
    let (header_end, entries) = (size_of::<Header>(), entries.as_bytes());
    file[header_end..header_end + entries.len()].copy_from_slice(entries);
    file[..header_end].copy_from_slice(header.as_bytes());
    header.checksum = U64::new(checksum(&file));
    file[..header_end].copy_from_slice(header.as_bytes());
    file
}
