//! Model files: what is written is read again, and what is damaged or made up is refused and never panics.

use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::LazyLock;

use bytes::Bytes;
use proptest::prelude::*;
use topicd::artifact::{self, ArtifactError, NewModelFile, decode, encode};
use topicd::classifier::{Classifier, ClassifyScratch};
use topicd::document::Document;
use topicd::training::{Silent, train};
use topicd::training_config::TrainingConfig;
use xxhash_rust::xxh3::Xxh3;

use crate::classify::{CLASSIFIER, answer, bits, documents};
use crate::corpus::{dataset, news_like_corpus};

const N_BYTES: Range<usize> = 16..24;
const CHECKSUM: Range<usize> = 24..32;
const HEADER_BYTES: usize = 32;
const ENTRY_BYTES: usize = 24;
const N_SECTIONS: usize = 8;
const TABLE: Range<usize> = HEADER_BYTES..HEADER_BYTES + N_SECTIONS * ENTRY_BYTES;
const METADATA: usize = 0;
const TABLE_OF_TERMS: usize = 1;
const TERM_WEIGHTS: usize = 4;
const TOPIC_WEIGHTS: usize = 5;
const SCALES: usize = 6;
const BIASES: usize = 7;

/// A small model's file.
static FILE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let config = TrainingConfig { max_features: NonZeroUsize::new(150), ..TrainingConfig::default() };
    encode(&train(&dataset(&news_like_corpus(120, 3, 41)), &config, None, &Silent).unwrap().classifier)
});

/// Where a cache line begins, a bucket of the vocabulary is in one line.
#[test]
fn a_model_is_where_a_cache_line_begins() {
    let begins_line = |bytes: &Bytes| bytes.as_ptr().addr().is_multiple_of(64);
    let moved = decode(Bytes::from([&[0; 3], &FILE[..]].concat()).slice(3..)).unwrap();
    assert!(begins_line(&moved.bytes) && moved.bytes == FILE[..]);
    let again = decode(moved.bytes.clone()).unwrap();
    assert_eq!(again.bytes.as_ptr(), moved.bytes.as_ptr(), "it was moved without need");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.topicd");
    std::fs::write(&path, &FILE[..]).unwrap();
    let loaded = artifact::load(&path).unwrap();
    assert!(begins_line(&loaded.bytes) && loaded.bytes == FILE[..]);
    assert!(begins_line(&artifact::bundled().unwrap().bytes));
}

fn number(bytes: &[u8]) -> usize {
    usize::try_from(u64::from_le_bytes(bytes.try_into().unwrap())).unwrap()
}

fn section(file: &[u8], section: usize) -> Range<usize> {
    let entry = &file[TABLE.start + section * ENTRY_BYTES..];
    let start = number(&entry[8..16]);
    start..start + number(&entry[16..24])
}

/// The same bytes with the checksum that belongs to them: damage that only reading carefully finds.
fn resealed(mut file: Vec<u8>) -> Vec<u8> {
    let mut hasher = Xxh3::new();
    hasher.update(&file[..CHECKSUM.start]);
    hasher.update(&file[CHECKSUM.end..]);
    file[CHECKSUM].copy_from_slice(&hasher.digest().to_le_bytes());
    file
}

/// A file of another program that writes the format as the documentation has it, with some sections changed.
fn forged(changed: &[(usize, &[u8])]) -> Vec<u8> {
    let mut file = FILE[..TABLE.end].to_vec();
    for kind in 0..N_SECTIONS {
        file.resize(file.len().next_multiple_of(64), 0);
        let content = changed.iter().find(|section| section.0 == kind);
        let content = content.map_or(&FILE[section(&FILE, kind)], |section| section.1);
        let (entry, place) = (TABLE.start + kind * ENTRY_BYTES, file.len() as u64);
        file[entry + 8..entry + 16].copy_from_slice(&place.to_le_bytes());
        file[entry + 16..entry + 24].copy_from_slice(&(content.len() as u64).to_le_bytes());
        file.extend_from_slice(content);
    }
    let n_bytes = file.len() as u64;
    file[N_BYTES].copy_from_slice(&n_bytes.to_le_bytes());
    resealed(file)
}

fn error(file: &[u8]) -> ArtifactError {
    decode(Bytes::copy_from_slice(file)).map(|_| "a classifier").unwrap_err()
}

/// Reads bytes; if they are taken for a model, uses it, and says whether all that it answers are probabilities.
fn decode_and_classify(file: Vec<u8>) -> Option<bool> {
    let artifact = decode(file.into()).ok()?;
    let (mut scratch, mut is_usable) = (ClassifyScratch::default(), true);
    for document in &documents(8) {
        let answer = answer(&artifact.classifier, document, &mut scratch);
        is_usable &= answer.topics.iter().all(|score| (0.0..=1.0).contains(&score.probability));
    }
    encode(&artifact.classifier);
    Some(is_usable)
}

fn assert_same_answers(classifier: &Classifier, other: &Classifier) {
    let (mut scratch, mut other_scratch) = (ClassifyScratch::default(), ClassifyScratch::default());
    for document in &documents(200) {
        let expected = answer(classifier, document, &mut scratch);
        let actual = answer(other, document, &mut other_scratch);
        assert_eq!((bits(&actual), actual.stats), (bits(&expected), expected.stats));
    }
}

#[test]
fn what_is_written_is_read_again_to_the_bit() {
    let file = encode(&CLASSIFIER);
    let read = decode(file.clone().into()).unwrap();
    assert!(encode(&read.classifier) == file);
    assert_eq!(read.checksum.to_le_bytes(), file[CHECKSUM]);
    assert_eq!(read.classifier.topics(), CLASSIFIER.topics());
    assert_eq!(read.classifier.provenance(), CLASSIFIER.provenance());
    assert_same_answers(&CLASSIFIER, &read.classifier);
    assert!(forged(&[]) == *FILE, "the format is as the documentation has it");
}

/// Files of each format that there was, and what they answered when they were made. No change may touch these: who has a model keeps it.
#[test]
fn models_of_every_format_answer_as_they_did() {
    let golden = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let expected: serde_json::Value =
        serde_json::from_slice(&std::fs::read(golden.join("answers.json")).unwrap()).unwrap();
    for (name, version) in [("without_reference.topicd", 2), ("format_3.topicd", 3)] {
        let model = artifact::load(&golden.join(name)).unwrap();
        assert_eq!(model.bytes[8..12], u32::to_le_bytes(version));
        let mut scratch = ClassifyScratch::default();
        let documents = expected["documents"].as_array().unwrap();
        for (given, probabilities) in documents.iter().zip(expected["answers"][name].as_array().unwrap()) {
            let document =
                Document::new(given["title"].as_str().unwrap_or(""), given["text"].as_str().unwrap()).unwrap();
            for score in answer(&model.classifier, &document, &mut scratch).topics {
                let topic = model.classifier.topics()[score.topic].as_str();
                let expected = probabilities[topic].as_f64().unwrap();
                assert!((score.probability - expected).abs() < 1e-6, "{name}, {given}, {topic}: {}", score.probability);
            }
        }
    }
}

#[test]
fn files_are_saved_whole_and_loaded() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model.topicd");
    std::fs::write(&path, "an older model").unwrap();
    NewModelFile::create(&path).unwrap().write(&CLASSIFIER).unwrap();
    assert!(std::fs::read(&path).unwrap() == encode(&CLASSIFIER));
    assert_same_answers(&CLASSIFIER, &artifact::load(&path).unwrap().classifier);

    let nowhere = directory.path().join("no directory/model.topicd");
    assert!(matches!(artifact::load(&nowhere), Err(ArtifactError::Read { path, .. }) if path == nowhere));
    assert!(matches!(NewModelFile::create(&nowhere), Err(ArtifactError::Write { path, .. }) if path == nowhere));
    // A directory can't be replaced by a file; nothing half-written stays behind.
    let taken = directory.path().join("taken");
    std::fs::create_dir_all(taken.join("by something")).unwrap();
    assert!(matches!(NewModelFile::create(&taken), Err(ArtifactError::Write { .. })));
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 2);
}

#[test]
fn a_file_that_was_cut_off_is_refused() {
    let file = encode(&CLASSIFIER);
    for length in (0..400).chain((1000..file.len()).step_by(1000)).chain([file.len() - 1]) {
        match error(&file[..length]) {
            ArtifactError::Magic => assert!(length < 8),
            ArtifactError::Length { expected, actual } => {
                assert_eq!(actual, length as u64);
                assert_eq!(expected, if length < HEADER_BYTES { HEADER_BYTES } else { file.len() } as u64);
            }
            other => panic!("cut at {length}: {other}"),
        }
    }
    assert!(matches!(error(&[&file[..], b"\n"].concat()), ArtifactError::Length { .. }));
}

#[test]
fn every_changed_byte_of_header_and_table_is_found() {
    for place in 0..TABLE.end {
        for bits in [0x01, 0x80, 0xFF] {
            let mut file = FILE.clone();
            file[place] ^= bits;
            let found = error(&file);
            let as_expected = match place {
                0..8 => matches!(found, ArtifactError::Magic),
                // Version 2 is read, too.
                8..12 => matches!(found, ArtifactError::Version { .. } | ArtifactError::Checksum),
                16..24 => matches!(found, ArtifactError::Length { .. }),
                _ => matches!(found, ArtifactError::Checksum),
            };
            assert!(as_expected, "byte {place}: {found}");
            let is_of_version_2 = (place, bits) == (8, 0x01);
            if !CHECKSUM.contains(&place) && !is_of_version_2 {
                error(&resealed(file));
            }
        }
    }
}

#[test]
fn bytes_that_belong_to_no_section_are_refused() {
    let mut n_between = 0;
    for kind in 0..N_SECTIONS {
        let end = if kind == 0 { TABLE.end } else { section(&FILE, kind - 1).end };
        for place in end..section(&FILE, kind).start {
            let mut file = FILE.clone();
            file[place] = 1;
            assert!(matches!(error(&resealed(file)), ArtifactError::Malformed(_)), "byte {place}");
            n_between += 1;
        }
    }
    assert!(n_between > 100);
    let mut longer = [&FILE[..], &[0; 64]].concat();
    let n_bytes = longer.len() as u64;
    longer[N_BYTES].copy_from_slice(&n_bytes.to_le_bytes());
    assert!(matches!(error(&resealed(longer)), ArtifactError::Malformed(_)));
}

/// A look-up in such a table would end, but give a term's number twice and another's never.
#[test]
fn a_hash_table_with_a_number_twice_is_refused() {
    let mut table = FILE[section(&FILE, TABLE_OF_TERMS)].to_vec();
    // A bucket is eight fingerprints, then eight numbers; filled slots come first.
    let first_numbers: Vec<usize> =
        (32..table.len()).step_by(64).filter(|&at| table[at..at + 4] != [0xFF; 4]).collect();
    let (from, to) = (first_numbers[0], first_numbers[1]);
    table.copy_within(from..from + 4, to);
    assert!(matches!(error(&forged(&[(TABLE_OF_TERMS, &table)])), ArtifactError::Vocabulary(_)));
}

/// Each of the two is a model's, but not the same model's.
#[test]
fn weights_for_fewer_terms_than_the_vocabulary_has_are_refused() {
    let (weights, scales) = (&FILE[section(&FILE, TOPIC_WEIGHTS)], &FILE[section(&FILE, SCALES)]);
    let fewer = forged(&[(TOPIC_WEIGHTS, &weights[3..]), (SCALES, &scales[4..])]);
    assert!(matches!(error(&fewer), ArtifactError::Malformed(_)));
}

#[test]
fn equally_probable_topics_come_in_their_order() {
    let mut metadata: serde_json::Value = serde_json::from_slice(&FILE[section(&FILE, METADATA)]).unwrap();
    metadata["calibrator"] = serde_json::json!({"method": "temperature", "temperature": 1.0});
    let metadata = metadata.to_string();
    let artifact = decode(forged(&[(METADATA, metadata.as_bytes()), (BIASES, &[0; 12])]).into()).unwrap();
    let emoji = Document::new("", "🎉").unwrap();
    let answer = answer(&artifact.classifier, &emoji, &mut ClassifyScratch::default());
    assert!(answer.topics.iter().map(|score| score.topic).eq(0..3), "{answer:?}");
}

#[test]
fn made_up_metadata_is_refused() {
    let original = std::str::from_utf8(&FILE[section(&FILE, METADATA)]).unwrap();
    assert_eq!(decode_and_classify(forged(&[(METADATA, original.as_bytes())])), Some(true));
    let replaced = |from: &str, to: &str| {
        assert!(original.contains(from), "{from} isn't in {original}");
        error(&forged(&[(METADATA, original.replacen(from, to, 1).as_bytes())]))
    };
    for (from, to) in [
        ("{", "{\"more\":1,"),
        ("\"n_terms\":150,", ""),
        ("\"topic 00\"", "\"\""),
        ("single_label", "no_label"),
        ("\"n_terms\":150", "\"n_terms\":-1"),
        ("\"temperature\":", "\"temperature\":1e999,\"\":"),
        ("\"unknown_tokens\":[", "\"unknown_tokens\":[0,"),
    ] {
        assert!(matches!(replaced(from, to), ArtifactError::Metadata(_)), "{to}");
    }
    for (from, to) in [
        ("\"n_terms\":150", "\"n_terms\":151"),
        ("\"n_terms\":150", "\"n_terms\":0"),
        ("\"n_unigrams\":", "\"n_unigrams\":151"),
    ] {
        assert!(matches!(replaced(from, to), ArtifactError::Vocabulary(_)), "{to}");
    }
    for (from, to) in [
        ("\"topic 01\"", "\"topic 00\""),
        ("\"topic 02\"", "\"topic 00\""),
        ("\"topic 02\"", "\"topic 02\",\"topic 03\""),
        (",\"topic 02\"", ""),
        ("\"temperature\":", "\"temperature\":-"),
        ("\"most_probable\"", "\"thresholds\",\"thresholds\":[0.0]"),
        ("\"reference\":{\"topics\":[", "\"reference\":{\"topics\":[0,"),
        ("\"reference\":{\"topics\":[", "\"reference\":{\"topics\":[1"),
    ] {
        assert!(matches!(replaced(from, to), ArtifactError::Malformed(_)), "{to}");
    }
}

/// Numbers that size calculations overflow with.
#[test]
fn metadata_with_enormous_numbers_is_refused() {
    let original = std::str::from_utf8(&FILE[section(&FILE, METADATA)]).unwrap();
    // Of the third, a hundredfold is that of 150 in 64 bits.
    for n_terms in [u64::MAX, u64::MAX / 100 + 1, 150 + (1 << 62), u64::from(u32::MAX), 1 << 40] {
        let metadata = original.replacen("\"n_terms\":150", &format!("\"n_terms\":{n_terms}"), 1);
        assert!(
            matches!(error(&forged(&[(METADATA, metadata.as_bytes())])), ArtifactError::Vocabulary(_)),
            "{n_terms}"
        );
    }
}

/// Found by fuzzing: with two counts of confusions that together are more than 64 bits hold, describing a topic of a model that
/// somebody had sent panicked where overflow is checked, and put confusions in a wrong order elsewhere.
#[test]
fn an_evaluation_of_more_documents_than_there_were_is_refused() {
    let original: serde_json::Value = serde_json::from_slice(&FILE[section(&FILE, METADATA)]).unwrap();
    let with = |place: &str, count: usize| {
        let mut metadata = original.clone();
        *metadata.pointer_mut(&format!("/provenance/evaluation/{place}")).unwrap() = count.into();
        forged(&[(METADATA, metadata.to_string().as_bytes())])
    };
    assert_eq!(decode_and_classify(with("n_documents", 120)), Some(true));
    for (place, count) in [
        ("confusion_matrix/0/1", usize::MAX),
        ("confusion_matrix/2/0", 121),
        ("n_documents", 121),
        ("topics/0/n_documents", 121),
        ("topics/2/n_assigned", usize::MAX),
    ] {
        assert!(matches!(error(&with(place, count)), ArtifactError::Malformed(_)), "{place}");
    }
}

/// Numbers that are finite, and make scores that aren't.
#[test]
fn no_made_up_model_answers_with_anything_but_probabilities() {
    let numbers = |number: f32| number.to_le_bytes().repeat(150);
    for (kind, number) in [(TERM_WEIGHTS, f32::MAX), (TERM_WEIGHTS, 1e-45), (SCALES, f32::MAX)] {
        assert_ne!(
            decode_and_classify(forged(&[(kind, &numbers(number))])),
            Some(false),
            "section {kind} of {number:e}"
        );
    }
    let metadata = std::str::from_utf8(&FILE[section(&FILE, METADATA)]).unwrap();
    let (before, after) = metadata.split_once("\"temperature\":").unwrap();
    let (_, after) = after.split_at(after.find([',', '}']).unwrap());
    let metadata = format!("{before}\"temperature\":1e-320{after}");
    assert_ne!(decode_and_classify(forged(&[(METADATA, metadata.as_bytes())])), Some(false), "temperature");
}

#[test]
fn sections_of_another_length_are_refused() {
    for kind in 0..N_SECTIONS {
        let content = &FILE[section(&FILE, kind)];
        let longer = [content, &[0]].concat();
        for wrong in [&content[..content.len() - 1], &content[1..], &content[..content.len() / 2], &longer, &[]] {
            let refused = error(&forged(&[(kind, wrong)]));
            let as_expected = match kind {
                0 => matches!(refused, ArtifactError::Metadata(_)),
                1..=3 => matches!(refused, ArtifactError::Vocabulary(_)),
                _ => matches!(refused, ArtifactError::Malformed(_)),
            };
            assert!(as_expected, "section {kind} of {} bytes: {refused}", wrong.len());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn changed_bytes_are_found(place in any::<prop::sample::Index>(), changed in prop::collection::vec(1..=255u8, 1..40)) {
        let mut file = FILE.clone();
        let start = place.index(file.len());
        file[start..].iter_mut().zip(changed).for_each(|(byte, bits)| *byte ^= bits);
        prop_assert!(decode(file.into()).is_err());
    }

    #[test]
    fn garbage_is_refused(garbage in prop::collection::vec(any::<u8>(), 0..2000)) {
        prop_assert!(matches!(error(&garbage), ArtifactError::Magic));
        let n_bytes = HEADER_BYTES + garbage.len();
        let mut file = [&FILE[..HEADER_BYTES], &garbage].concat();
        file[N_BYTES].copy_from_slice(&(n_bytes as u64).to_le_bytes());
        prop_assert!(matches!(error(&resealed(file)), ArtifactError::Malformed(_)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    /// Sections are hit alike, however long they are.
    #[test]
    fn resealed_damage_never_panics(kind in 0..N_SECTIONS, place in any::<prop::sample::Index>(), bits in 1..=255u8) {
        let mut file = FILE.clone();
        let section = section(&file, kind);
        file[section.start + place.index(section.len())] ^= bits;
        prop_assert_ne!(decode_and_classify(resealed(file)), Some(false));
    }
}
