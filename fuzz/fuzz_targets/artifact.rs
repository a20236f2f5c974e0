//! Bytes → a classifier, or an error; never a panic, and what is taken answers as the contract says.
//!
//! Mutations of a whole file hardly ever get past its checksum. So most mutations are of one section of a model file, which is then
//! put together again as the format's documentation has it (`src/artifact/mod.rs`), and sealed.

#![no_main]

use std::sync::LazyLock;

use bytes::Bytes;
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use topicd::artifact::{decode, encode};
use topicd::classifier::{Classifier, ClassifyScratch};
use topicd::document::Document;
use topicd::drift::FeatureDrift;
use topicd::service::self_test;
use topicd_fuzz::check_answer;
use xxhash_rust::xxh3::Xxh3;

const HEADER_BYTES: usize = 32;
const ENTRY_BYTES: usize = 24;
const N_SECTIONS: usize = 8;
const ALIGNMENT: usize = 64;

/// With words that the seeds' models know.
static DOCUMENTS: LazyLock<Vec<Document>> = LazyLock::new(|| {
    let texts = [
        ("Ministers sign the harbour treaty", "The two ministers signed the treaty, and the harbour opens in May."),
        ("", "Rovers won the cup final: the goalkeeper saved a penalty, the striker scored twice."),
        ("雨が降る 🎉", " \u{301}"),
        ("", "rain rain rain storm flood the the the of harvest vaccine clinic nurses"),
    ];
    texts.into_iter().filter_map(|(title, text)| Document::new(title, text).ok()).collect()
});

fuzz_target!(|file: &[u8]| {
    let Ok(artifact) = decode(Bytes::copy_from_slice(file)) else { return };
    use_all_of(&artifact.classifier);
    let written = encode(&artifact.classifier);
    let read = decode(written.clone().into()).expect("what was written is read").classifier;
    assert!(encode(&read) == written, "a file that was written is written the same again");
});

/// Asks for everything that is told of a model whose file somebody sent.
fn use_all_of(classifier: &Classifier) {
    let mut scratch = ClassifyScratch::default();
    for document in DOCUMENTS.iter() {
        check_answer(classifier, document, &mut scratch);
    }
    self_test::check_sound(classifier).expect("a classifier that was read is sound");
    for topic in 0..classifier.topics().len() {
        for term in classifier.describe(topic, 10).terms_for {
            assert!(term.strength > 0.0 && term.strength.is_finite(), "{term:?}");
        }
    }
    if let Some(reference) = &classifier.provenance().reference {
        for (expected, observed) in
            [(&reference.topics[..], 300), (&reference.confidence, 0), (&reference.unknown_tokens, 9)]
        {
            let drift = FeatureDrift::of(Some(expected), &vec![observed; expected.len()]);
            assert!(drift.index.is_none_or(|index| index.is_finite() && index >= 0.0), "{drift:?}");
        }
    }
}

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let as_bytes = seed % 16 == 0;
    let sections = if as_bytes { None } else { sections(&data[..size]) };
    let mutated = sections.and_then(|mut sections| {
        match seed % 16 {
            1..=5 => change_number(&mut sections[0], seed / 16)?,
            6..=8 => change_bytes(&mut sections[0], max_size),
            _ => change_bytes(&mut sections[seed as usize / 16 % N_SECTIONS], max_size),
        }
        Some(sealed(&sections)).filter(|file| file.len() <= max_size)
    });
    match mutated {
        Some(file) => {
            data[..file.len()].copy_from_slice(&file);
            file.len()
        }
        None => fuzzer_mutate(data, size, max_size),
    }
});

fn change_bytes(section: &mut Vec<u8>, max_size: usize) {
    let size = section.len();
    section.resize((size + 64).min(max_size), 0);
    let max_size = section.len();
    let size = fuzzer_mutate(section, size.min(max_size), max_size);
    section.truncate(size);
}

/// Puts a number of note in the place of one of the JSON's.
fn change_number(json: &mut Vec<u8>, choice: u32) -> Option<()> {
    const NUMBERS: [&str; 16] = [
        "0",
        "-0.0",
        "1",
        "-1",
        "2",
        "0.5",
        "1e308",
        "-1e308",
        "5e-324",
        "1e-6",
        "1e6",
        "-1e6",
        "1000001",
        "4294967295",
        "9223372036854775808",
        "18446744073709551615",
    ];
    let is_part = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e');
    let starts: Vec<usize> = (1..json.len())
        .filter(|&at| matches!(json[at - 1], b':' | b'[' | b',') && matches!(json[at], b'-' | b'0'..=b'9'))
        .collect();
    let choice = choice as usize;
    let start = *starts.get(choice / NUMBERS.len() % starts.len().max(1))?;
    let end = json[start..].iter().position(|byte| !is_part(byte)).map_or(json.len(), |n| start + n);
    json.splice(start..end, NUMBERS[choice % NUMBERS.len()].bytes());
    Some(())
}

/// The sections of a file that has as many as a model file.
fn sections(file: &[u8]) -> Option<Vec<Vec<u8>>> {
    let number = |at: usize| file.get(at..at + 8).map(|bytes| u64::from_le_bytes(bytes.try_into().unwrap_or_default()));
    let section = |index: usize| {
        let entry = HEADER_BYTES + index * ENTRY_BYTES;
        let (start, length) = (number(entry + 8)? as usize, number(entry + 16)? as usize);
        file.get(start..start.checked_add(length)?).map(<[u8]>::to_vec)
    };
    (0..N_SECTIONS).map(section).collect()
}

/// A file with these sections and the checksum that belongs to it.
fn sealed(sections: &[Vec<u8>]) -> Vec<u8> {
    let mut file = b"TOPICD\r\n".to_vec();
    file.extend(2u32.to_le_bytes());
    file.extend((sections.len() as u32).to_le_bytes());
    file.resize(HEADER_BYTES + sections.len() * ENTRY_BYTES, 0);
    for (index, section) in sections.iter().enumerate() {
        file.resize(file.len().next_multiple_of(ALIGNMENT), 0);
        let entry = HEADER_BYTES + index * ENTRY_BYTES;
        let start = file.len() as u64;
        file[entry..entry + 4].copy_from_slice(&(index as u32 + 1).to_le_bytes());
        file[entry + 8..entry + 16].copy_from_slice(&start.to_le_bytes());
        file[entry + 16..entry + 24].copy_from_slice(&(section.len() as u64).to_le_bytes());
        file.extend_from_slice(section);
    }
    let n_bytes = file.len() as u64;
    file[16..24].copy_from_slice(&n_bytes.to_le_bytes());
    let mut hasher = Xxh3::new();
    hasher.update(&file[..24]);
    hasher.update(&file[32..]);
    file[24..32].copy_from_slice(&hasher.digest().to_le_bytes());
    file
}
