//! Made-up corpora with the statistics of news: a few words that tell topics apart among many that don't.

use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use topicd::dataset::Dataset;
use topicd::document::{Document, LabeledDocument, Topic};

const SYLLABLES: [&str; 20] = [
    "ba", "co", "de", "fu", "gi", "ha", "jo", "ke", "lu", "mi", "na", "po", "qe", "ru", "si", "ta", "vo", "we", "xu",
    "zi",
];
const WORDS_PER_TOPIC: usize = 30;
const COMMON_WORDS: f64 = 3000.0;

/// Documents of a title and 20 to 60 words, as many of each topic. A quarter of the words are of a topic, mostly of the
/// document's own; the others occur in all topics, by Zipf's law.
pub(crate) fn news_like_corpus(n_documents: usize, n_topics: usize, seed: u64) -> Vec<LabeledDocument> {
    let mut random = random(seed);
    let document = |index| {
        let topic = index % n_topics;
        let (n_title, n_text) = (random.gen_range(4..8), random.gen_range(20..60));
        let words: Vec<String> = (0..n_title + n_text).map(|_| draw_word(topic, n_topics, &mut random)).collect();
        labeled(&words[..n_title].join(" "), &words[n_title..].join(" "), &[topic])
    };
    (0..n_documents).map(document).collect()
}

fn draw_word(topic: usize, n_topics: usize, random: &mut Xoshiro256PlusPlus) -> String {
    if random.gen_bool(0.75) {
        let rank = COMMON_WORDS.powf(random.gen_range(0.0..1.0)) as usize; // P(rank) ∝ 1 / rank
        return word(n_topics * WORDS_PER_TOPIC + rank);
    }
    let topic = if random.gen_bool(0.8) { topic } else { random.gen_range(0..n_topics) };
    word(topic * WORDS_PER_TOPIC + random.gen_range(0..WORDS_PER_TOPIC))
}

/// The word with this number; different numbers below 8,000 have different words.
fn word(number: usize) -> String {
    [number / 400, number / 20 % 20, number % 20].map(|syllable| SYLLABLES[syllable]).concat()
}

/// A document of the topics with these numbers.
pub(crate) fn labeled(title: &str, text: &str, topics: &[usize]) -> LabeledDocument {
    let topics = topics.iter().map(|topic| Topic::new(&format!("topic {topic:02}")).unwrap()).collect();
    LabeledDocument::new(Document::new(title, text).unwrap(), topics)
}

/// The same documents, with topics dealt out anew.
pub(crate) fn shuffle_labels(mut corpus: Vec<LabeledDocument>, seed: u64) -> Vec<LabeledDocument> {
    let mut random = random(seed);
    for last in (1..corpus.len()).rev() {
        let other = random.gen_range(0..=last);
        let [of_last, of_other] = [last, other].map(|document| corpus[document].topics().to_vec());
        corpus[last] = LabeledDocument::new(corpus[last].document.clone(), of_other);
        corpus[other] = LabeledDocument::new(corpus[other].document.clone(), of_last);
    }
    corpus
}

pub(crate) fn dataset(corpus: &[LabeledDocument]) -> Dataset {
    Dataset::new(corpus.iter().cloned()).unwrap()
}

pub(crate) fn random(seed: u64) -> Xoshiro256PlusPlus {
    Xoshiro256PlusPlus::seed_from_u64(seed)
}

/// Close to a draw from the standard normal distribution.
pub(crate) fn normal(random: &mut Xoshiro256PlusPlus) -> f64 {
    (0..12).map(|_| random.gen_range(0.0..1.0)).sum::<f64>() - 6.0
}

/// Runs something where rayon has this many threads.
pub(crate) fn with_threads<T: Send>(n_threads: usize, run: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap().install(run)
}
