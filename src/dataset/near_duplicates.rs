//! Documents that are nearly the same text as another one.
//!
//! A document is the set of its distinct words, and two are near each other when the Jaccard similarity of their sets is
//! at least 4/5. Pairs are found by prefix filtering (Chaudhuri, Ganti & Kaushik, *A Primitive Operator for Similarity
//! Joins in Data Cleaning*, ICDE 2006; Bayardo, Ma & Srikant, *Scaling Up All Pairs Similarity Search*, WWW 2007): with
//! all words in one order, sets that are this similar share one of the first `n − ⌈4n/5⌉ + 1` words of each. In the order
//! of rising document frequency these are words that few documents hold, so that few pairs are compared.
//!
//! Documents are gone through once, by leader clustering: one that is near an earlier leader is reported with it, any
//! other one becomes a leader. So ten thousand copies of a template are each compared with one document.

use std::cmp::Ordering;

use hashbrown::HashTable;
use rayon::prelude::*;
use xxhash_rust::xxh3::xxh3_64;

use crate::cancellation::IsCancelled;
use crate::document::Document;
use crate::text::{Scratch, for_each_document_token};

/// Documents of fewer distinct words are left alone: "Yes, thank you." repeats nobody.
const MIN_WORDS: usize = 5;
/// The most places of the index that are looked at for one document, rarest words first. Without a bound, short documents
/// that all draw on the same few words would each be compared with a share of all others. Up to it the search is exact;
/// beyond, a document may go unreported, but none is reported that isn't near. Of six corpora of 5,434 to 52,003 documents,
/// the most that a document needs is 2,039 (20newsgroups; the mean is 130, elsewhere at most 91).
const MAX_LOOK_UPS: usize = 4096;
/// Documents whose words are held as 64-bit hashes at a time, before they are numbered; also how often it is asked
/// whether to stop.
const BLOCK: usize = 4096;

/// A document that is nearly the same text as another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NearDuplicate {
    /// Its place among the documents.
    pub document: usize,
    /// The place of the document that it is most similar to, of equals the first.
    pub of: usize,
}

/// What [`find_near_duplicates_and_leaks`] finds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NearDocuments {
    /// Documents that are nearly the same text as an earlier one, which is itself no near duplicate.
    pub duplicates: Vec<NearDuplicate>,
    /// Held-out documents, by their place among these, that are nearly the same text as one of the documents.
    pub leaks: Vec<NearDuplicate>,
}

/// The documents that are nearly the same text as an earlier one, in their order, and the held-out documents that are nearly
/// the same text as any of the documents, be it a leader or not. Pairs of held-out documents aren't looked for: they give
/// nothing away. The same on any number of threads. Told to stop, it returns early, and what it returns means nothing.
pub fn find_near_duplicates_and_leaks(
    documents: &[&Document],
    held_out: &[&Document],
    is_cancelled: IsCancelled<'_>,
) -> NearDocuments {
    let words = WordSets::of(&[documents, held_out].concat(), is_cancelled);
    let mut leaders = Leaders::new(&words);
    let mut found = NearDocuments::default();
    for document in 0..words.sets.len() {
        if document % BLOCK == 0 && is_cancelled() {
            return NearDocuments::default();
        }
        if document == documents.len() {
            // From here on every document counts, also one that is near a leader.
            found.duplicates.iter().for_each(|near| leaders.add(near.document as u32));
        }
        if words.sets[document].len() < MIN_WORDS {
            continue;
        }
        let nearest = leaders.nearest(document as u32).map(|leader| leader as usize);
        match (document.checked_sub(documents.len()), nearest) {
            (None, Some(of)) => found.duplicates.push(NearDuplicate { document, of }),
            (None, None) => leaders.add(document as u32),
            (Some(place), Some(of)) => found.leaks.push(NearDuplicate { document: place, of }),
            (Some(_), None) => {}
        }
    }
    found
}

/// Each document's distinct words, numbered by rising document frequency.
struct WordSets {
    /// Sorted, so rare words come first.
    sets: Vec<Box<[u32]>>,
    n_words: usize,
    /// The words below this number are in one document only, and lead to no other.
    first_shared: u32,
}

impl WordSets {
    fn of(documents: &[&Document], is_cancelled: IsCancelled<'_>) -> Self {
        let mut numbers = WordNumbers::default();
        let mut sets: Vec<Box<[u32]>> = Vec::with_capacity(documents.len());
        for block in documents.chunks(BLOCK) {
            if is_cancelled() {
                break;
            }
            let hashes: Vec<Vec<u64>> = block.par_iter().map_init(Scratch::default, distinct_words).collect();
            sets.extend(hashes.iter().map(|hashes| hashes.iter().map(|&hash| numbers.count(hash)).collect()));
        }
        let ranks = numbers.ranks();
        sets.par_iter_mut().for_each(|set| {
            set.iter_mut().for_each(|word| *word = ranks[*word as usize]);
            set.sort_unstable();
        });
        let first_shared = numbers.n_documents.iter().filter(|&&n| n == 1).count() as u32;
        Self { sets, n_words: ranks.len(), first_shared }
    }

    /// The words by which a document is found: of the first `n − ⌈4n/5⌉ + 1`, those that another document has too.
    fn prefix(&self, document: u32) -> &[u32] {
        let set = &self.sets[document as usize];
        let prefix = &set[..set.len() / 5 + 1];
        &prefix[prefix.partition_point(|&word| word < self.first_shared)..]
    }
}

/// The hashes of a document's distinct words, sorted.
fn distinct_words(scratch: &mut Scratch, document: &&Document) -> Vec<u64> {
    let mut hashes = Vec::new();
    for_each_document_token(document, scratch, |token| {
        if !token.is_too_long() {
            hashes.push(xxh3_64(token.normalized));
        }
    });
    hashes.sort_unstable();
    hashes.dedup();
    hashes
}

/// Numbers words in the order in which they first come, and counts their documents.
#[derive(Default)]
struct WordNumbers {
    numbers: HashTable<u32>,
    hashes: Vec<u64>,
    n_documents: Vec<u32>,
}

impl WordNumbers {
    /// The number of a word that one more document holds.
    fn count(&mut self, hash: u64) -> u32 {
        let Self { numbers, hashes, n_documents } = self;
        let is_it = |&number: &u32| hashes[number as usize] == hash;
        let number = match numbers.find(hash, is_it) {
            Some(&number) => number,
            None => {
                let number = hashes.len() as u32;
                hashes.push(hash);
                n_documents.push(0);
                *numbers.insert_unique(hash, number, |&number| hashes[number as usize]).get()
            }
        };
        n_documents[number as usize] += 1;
        number
    }

    /// For each number the place of its word by rising document frequency, ties by hash.
    fn ranks(&self) -> Vec<u32> {
        let mut order: Vec<u32> = (0..self.hashes.len() as u32).collect();
        order.par_sort_unstable_by_key(|&number| (self.n_documents[number as usize], self.hashes[number as usize]));
        let mut ranks = vec![0; order.len()];
        for (rank, &number) in order.iter().enumerate() {
            ranks[number as usize] = rank as u32;
        }
        ranks
    }
}

/// A document that others may be near, with what tells of most others that they aren't, without a look at its words.
#[derive(Debug, Clone, Copy)]
struct Leader {
    document: u32,
    n_words: u32,
    signature: Signature,
}

/// Which of 64 bits the words of a set fall on. Each bit that two sets don't have in common is at least one word that they don't (the
/// bitmap filter of Sandes, Teodoro & Melo, *Bitmap Filter: Speeding up Exact Set Similarity Joins with Bitwise Operations*, 2017).
#[derive(Debug, Clone, Copy)]
struct Signature(u64);

impl Signature {
    fn of(set: &[u32]) -> Self {
        // Fibonacci hashing: neighbours in the order of frequency fall far apart.
        let bit = |word: u32| 1 << (u64::from(word).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 58);
        Self(set.iter().fold(0, |bits, &word| bits | bit(word)))
    }

    /// At least so many words are in one of two sets and not in the other.
    fn min_difference(self, other: Self) -> usize {
        (self.0 ^ other.0).count_ones() as usize
    }
}

/// The documents that are near no earlier one, and which of them have a word in their prefix.
struct Leaders<'a> {
    words: &'a WordSets,
    /// For each shared word, from `first_shared` on.
    postings: Vec<Vec<Leader>>,
    /// For each leader the last document that it was compared with: several words lead to the same leader.
    compared_with: Vec<u32>,
}

impl<'a> Leaders<'a> {
    fn new(words: &'a WordSets) -> Self {
        let n_shared = words.n_words - words.first_shared as usize;
        Self { words, postings: vec![Vec::new(); n_shared], compared_with: vec![u32::MAX; words.sets.len()] }
    }

    fn add(&mut self, document: u32) {
        let set = &self.words.sets[document as usize];
        let leader = Leader { document, n_words: set.len() as u32, signature: Signature::of(set) };
        for &word in self.words.prefix(document) {
            self.postings[(word - self.words.first_shared) as usize].push(leader);
        }
    }

    /// The leader that a document is most similar to, of equals the first; none if none is near.
    fn nearest(&mut self, document: u32) -> Option<u32> {
        let Self { words, postings, compared_with } = self;
        let set = &words.sets[document as usize];
        let signature = Signature::of(set);
        let mut best: Option<(Similarity, u32)> = None;
        let places = words.prefix(document).iter().flat_map(|&word| &postings[(word - words.first_shared) as usize]);
        for leader in places.take(MAX_LOOK_UPS) {
            let n_words = leader.n_words as usize;
            let (few, many) = (set.len().min(n_words), set.len().max(n_words));
            let is_far = 5 * few < 4 * many || signature.min_difference(leader.signature) > max_difference(few + many);
            let leader = leader.document;
            if is_far || std::mem::replace(&mut compared_with[leader as usize], document) == document {
                continue;
            }
            let Some(similarity) = Similarity::if_near(set, &words.sets[leader as usize]) else { continue };
            let is_better = |(best, of): &(Similarity, u32)| similarity.cmp(best).then(of.cmp(&leader)).is_gt();
            if best.as_ref().is_none_or(is_better) {
                best = Some((similarity, leader));
            }
        }
        best.map(|(_, leader)| leader)
    }
}

/// How many words two near sets, of so many words together, have in common at least: i / (sum − i) ≥ 4/5.
fn min_intersection(sum: usize) -> usize {
    (4 * sum).div_ceil(9)
}

/// How many words are in one of them and not in the other at most.
fn max_difference(sum: usize) -> usize {
    sum - 2 * min_intersection(sum)
}

/// The Jaccard similarity of two sets: the size of their intersection over that of their union.
#[derive(Debug, Clone, Copy)]
struct Similarity {
    intersection: usize,
    union: usize,
}

impl Similarity {
    /// Of two sorted sets; `None` if it is below 4/5, which is found out as early as possible.
    fn if_near(a: &[u32], b: &[u32]) -> Option<Self> {
        let sum = a.len() + b.len();
        let required = min_intersection(sum);
        let (mut i, mut j, mut intersection) = (0, 0, 0);
        while i < a.len() && j < b.len() {
            if intersection + (a.len() - i).min(b.len() - j) < required {
                return None;
            }
            let order = a[i].cmp(&b[j]);
            i += usize::from(order != Ordering::Greater);
            j += usize::from(order != Ordering::Less);
            intersection += usize::from(order == Ordering::Equal);
        }
        (intersection >= required).then_some(Self { intersection, union: sum - intersection })
    }

    fn cmp(&self, other: &Self) -> Ordering {
        (self.intersection * other.union).cmp(&(other.intersection * self.union))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::cancellation::never;

    fn find_near_duplicates(documents: &[&Document], is_cancelled: IsCancelled<'_>) -> Vec<NearDuplicate> {
        find_near_duplicates_and_leaks(documents, &[], is_cancelled).duplicates
    }

    fn found(texts: &[String]) -> Vec<(usize, usize)> {
        let documents: Vec<Document> = texts.iter().map(|text| Document::new("", text.as_str()).unwrap()).collect();
        let found = find_near_duplicates(&documents.iter().collect::<Vec<_>>(), &never);
        found.into_iter().map(|found| (found.document, found.of)).collect()
    }

    /// Words `from..to`, as text.
    fn words(numbers: impl IntoIterator<Item = usize>) -> String {
        numbers.into_iter().map(|number| format!("w{number} ")).collect()
    }

    #[test]
    fn four_fifths_of_the_words_in_common_are_near_and_less_is_not() {
        // 8 of 10 words in the union; then 7 of 9, then 9 of 11.
        assert_eq!(found(&[words(0..9), words(1..10)]), [(1, 0)]);
        assert_eq!(found(&[words(0..8), words(1..9)]), []);
        assert_eq!(found(&[words(0..10), words(1..11)]), [(1, 0)]);
        assert_eq!(found(&[words(0..100), words(20..100)]), [(1, 0)]);
        assert_eq!(found(&[words(0..100), words(21..100)]), []);
    }

    #[test]
    fn case_order_and_repetition_of_words_do_not_count() {
        let texts = ["One two three, four five!", "five FIVE four (three) two one", "six six six six six six"];
        assert_eq!(found(&texts.map(str::to_owned)), [(1, 0)]);
    }

    #[test]
    fn documents_of_few_words_are_left_alone() {
        assert_eq!(
            found(&[words(0..4), format!("{}.", words(0..4)), words(0..5), format!("{}.", words(0..5))]),
            [(3, 2)]
        );
    }

    #[test]
    fn the_most_similar_leader_is_named_and_followers_lead_nobody() {
        // 1 is near 0; 2 is near 1 only; 3 is near 0 and 2, and more like 2.
        let texts = [words(0..20), words(2..22), words(4..24), words(3..23)];
        assert_eq!(found(&texts), [(1, 0), (3, 2)]);
        assert_eq!(found(&[words(0..20), words(4..24), words(2..22)]), [(2, 0)], "of equals the first");
    }

    /// What is found without index, filters and early exits.
    fn expected(texts: &[String]) -> Vec<(usize, usize)> {
        let sets: Vec<BTreeSet<&str>> = texts.iter().map(|text| text.split_whitespace().collect()).collect();
        let (mut leaders, mut found): (Vec<usize>, _) = (Vec::new(), Vec::new());
        for (document, set) in sets.iter().enumerate().filter(|(_, set)| set.len() >= MIN_WORDS) {
            let similarity = |leader: usize| {
                let intersection = set.intersection(&sets[leader]).count();
                (intersection, set.len() + sets[leader].len() - intersection)
            };
            let near = leaders.iter().copied().filter(|&leader| 5 * similarity(leader).0 >= 4 * similarity(leader).1);
            let best = near.max_by(|&a, &b| {
                let (a_both, a_all) = similarity(a);
                let (b_both, b_all) = similarity(b);
                (a_both * b_all).cmp(&(b_both * a_all)).then(b.cmp(&a))
            });
            match best {
                Some(leader) => found.push((document, leader)),
                None => leaders.push(document),
            }
        }
        found
    }

    #[test]
    fn a_signature_never_tells_more_of_a_difference_than_there_is() {
        let sets: Vec<Vec<u32>> = (0..200).map(|i| (0..i % 40).map(|j| (i * 7 + j * j * 13) % 90).collect()).collect();
        for a in &sets {
            for b in &sets {
                let [a, b] = [a, b].map(|set| set.iter().copied().collect::<BTreeSet<u32>>());
                let [of_a, of_b] = [&a, &b].map(|set| Signature::of(&set.iter().copied().collect::<Vec<_>>()));
                assert!(of_a.min_difference(of_b) <= a.symmetric_difference(&b).count());
            }
        }
    }

    proptest! {
        /// Few words and large sets, so that many pairs are near and many just aren't.
        #[test]
        fn the_index_finds_what_comparing_all_finds(
            sets in proptest::collection::vec(proptest::collection::btree_set(0..24usize, 1..24), 0..60)
        ) {
            let texts: Vec<String> = sets.into_iter().map(words).collect();
            prop_assert_eq!(found(&texts), expected(&texts));
        }
    }

    #[test]
    fn the_number_of_threads_changes_nothing() {
        let texts: Vec<String> = (0..3 * BLOCK).map(|i| words(i / 3 * 10..i / 3 * 10 + 9 + i % 3)).collect();
        let on = |n_threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
            pool.install(|| found(&texts))
        };
        let alone = on(1);
        assert_eq!(alone.len(), 2 * BLOCK);
        assert_eq!(alone, on(3));
    }

    #[test]
    fn copies_of_a_template_are_each_compared_with_one_document() {
        let found = found(&(0..20_000).map(|i| words((0..30).chain([100 + i]))).collect::<Vec<_>>());
        assert_eq!(found.len(), 19_999);
        assert!(found.iter().all(|&(_, of)| of == 0));
    }

    #[test]
    fn beyond_the_bound_what_is_found_is_near() {
        // Twelve of 60 words each: every prefix holds words that thousands of documents have.
        let common = |i: usize| words((0..12).map(|j| xxh3_64(&(i * 12 + j).to_le_bytes()) as usize % 60));
        let text = |i: usize| if i % 50 == 1 { common(i - 1) + &format!("extra{i}") } else { common(i) };
        let texts: Vec<String> = (0..15_000).map(text).collect();
        let documents: Vec<Document> = texts.iter().map(|text| Document::new("", text.as_str()).unwrap()).collect();
        let sets = WordSets::of(&documents.iter().collect::<Vec<_>>(), &never);
        let mut leaders = Leaders::new(&sets);
        (0..14_000).for_each(|document| leaders.add(document));
        let n_places = |document| {
            let words = sets.prefix(document).iter();
            words.map(|&word| leaders.postings[(word - sets.first_shared) as usize].len()).sum::<usize>()
        };
        let n_beyond = (14_000..15_000).filter(|&document| n_places(document) > MAX_LOOK_UPS).count();
        assert!(n_beyond > 500, "the bound is reached by {n_beyond} only");
        let found = found(&texts);
        assert!(!found.is_empty());
        let is_near = |(a, b): (usize, usize)| Similarity::if_near(&sets.sets[a], &sets.sets[b]).is_some();
        assert!(found.into_iter().all(is_near));
    }

    /// A held-out document may be near one that is itself near a leader, but not near that leader.
    #[test]
    fn leaks_are_found_to_any_document_and_pairs_of_documents_stay_what_they_are() {
        let texts = [0..20, 2..22, 40..60, 60..80].map(words);
        let held_out = [4..24, 40..60, 100..120, 100..120, 80..84].map(words);
        let documents = |texts: &[String]| -> Vec<Document> {
            texts.iter().map(|text| Document::new("", text.as_str()).unwrap()).collect()
        };
        let (texts, held_out) = (documents(&texts), documents(&held_out));
        let (texts, held_out): (Vec<_>, Vec<_>) = (texts.iter().collect(), held_out.iter().collect());
        let found = find_near_duplicates_and_leaks(&texts, &held_out, &never);
        assert_eq!(found.duplicates, find_near_duplicates(&texts, &never));
        assert_eq!(found.duplicates, [NearDuplicate { document: 1, of: 0 }]);
        let expected = [NearDuplicate { document: 0, of: 1 }, NearDuplicate { document: 1, of: 2 }];
        assert_eq!(found.leaks, expected);
    }

    #[test]
    fn what_was_told_to_stop_stops() {
        let documents: Vec<Document> = (0..9).map(|_| Document::new("", words(0..9)).unwrap()).collect();
        assert_eq!(find_near_duplicates(&documents.iter().collect::<Vec<_>>(), &|| true), []);
    }
}
