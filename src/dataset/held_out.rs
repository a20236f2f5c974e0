//! Which documents are held out of training when nobody has settled it: frozen, and known of each document by itself.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::document::{ContentHash, LabeledDocument, Split};

/// The key of the hash below. Another one would move documents that models were trained on to those that judge them.
const HELD_OUT_SEED: u64 = 0x746f_7069_6364_2031;
/// One more than the largest hash.
const N_HASHES: f64 = (1_u128 << 64) as f64;

/// On which side a document is: the one that its split says, and where that isn't settled, held out if its place is below
/// the share.
pub fn side(hash: ContentHash, example: &LabeledDocument, held_out_share: f64) -> Split {
    let by_place = || if place(hash) < held_out_share { Split::HeldOut } else { Split::Training };
    example.split.unwrap_or_else(by_place)
}

/// A document's place from 0 to 1: XXH3-64 of the 32 bytes of its content hash, with a seed of our own, as a fraction of
/// 2⁶⁴. It depends on title and text alone, so that a document stays on its side whatever others come or go, and a larger
/// share only moves documents from training to the held-out ones.
pub fn place(hash: ContentHash) -> f64 {
    xxh3_64_with_seed(&hash.0, HELD_OUT_SEED) as f64 / N_HASHES
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Document;

    fn example(text: &str) -> LabeledDocument {
        LabeledDocument::new(Document::new("", text).unwrap(), Vec::new())
    }

    /// Texts with the hashes of documents that have no title.
    const GOLDEN: [(&str, u64); 4] = [
        ("a", 0xdbde_3629_2cb1_d8ab),
        ("b", 0x0dc6_9bab_f01e_2291),
        ("The striker scored.", 0xea99_84b3_4fca_4a33),
        ("naïve 🗞", 0xd5b7_bed9_e096_13b0),
    ];

    /// Computed with Python's hashlib and xxhash. If they change, every held-out document in the world changes sides.
    #[test]
    fn places_are_frozen() {
        for (text, hash) in GOLDEN {
            let content_hash = example(text).document.content_hash();
            assert_eq!(xxh3_64_with_seed(&content_hash.0, HELD_OUT_SEED), hash, "{text:?}");
            assert_eq!(place(content_hash), hash as f64 / 18_446_744_073_709_551_616.0);
        }
    }

    #[test]
    fn a_larger_share_only_adds_documents_and_what_is_settled_stays() {
        let examples: Vec<LabeledDocument> = (0..1000).map(|i| example(&i.to_string())).collect();
        let held_out = |share: f64| {
            let is_held_out =
                |example: &LabeledDocument| side(example.document.content_hash(), example, share) == Split::HeldOut;
            examples.iter().map(is_held_out).collect::<Vec<_>>()
        };
        let (none, some, more) = (held_out(0.0), held_out(0.2), held_out(0.5));
        assert!(none.iter().all(|is_held_out| !is_held_out));
        assert!(some.iter().zip(&more).all(|(some, more)| more >= some));
        let count = |side: &[bool]| side.iter().filter(|is_held_out| **is_held_out).count();
        assert!((160..240).contains(&count(&some)) && (450..550).contains(&count(&more)));
        for split in [Split::Training, Split::HeldOut] {
            let settled = |example: &LabeledDocument| {
                let example = example.clone().with_split(Some(split));
                side(example.document.content_hash(), &example, 0.5) == split
            };
            assert!(examples.iter().all(settled));
        }
    }
}
