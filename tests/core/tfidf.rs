//! The whole way from text to TF-IDF row, in training and in answering, against scikit-learn's numbers.

use serde::Deserialize;
use topicd::document::{Document, LabeledDocument, Topic};
use topicd::features::vectorizer::RowScratch;
use topicd::features::weighting::weigh_terms;
use topicd::features::{SparseRow, SparseRows, TermCounts, Vectorizer, Vocabulary};
use topicd::packed::Packed;
use topicd::targets::Targets;

#[derive(Deserialize)]
struct Golden {
    documents: Vec<GoldenDocument>,
    unigrams: Unigrams,
    unigrams_and_bigrams: Blocks,
    supervised: Supervised,
}

#[derive(Deserialize)]
struct GoldenDocument {
    text: String,
    topics: Vec<String>,
}

#[derive(Deserialize)]
struct Unigrams {
    terms: Vec<String>,
    idf: Vec<f64>,
    rows: Vec<Vec<f64>>,
}

#[derive(Deserialize)]
struct Blocks {
    terms: Vec<String>,
    idf: Vec<f64>,
    block_weight: Vec<f64>,
    rows: Vec<Vec<f64>>,
}

#[derive(Deserialize)]
struct Supervised {
    terms: Vec<String>,
    supervised_weight: Vec<f64>,
    rows: Vec<Vec<f64>>,
}

/// The golden documents as our own code sees them.
struct Ours {
    golden: Golden,
    documents: Vec<Document>,
    counts: TermCounts,
    targets: Targets,
}

impl Ours {
    fn new() -> Self {
        let golden: Golden = serde_json::from_str(include_str!("../golden/tfidf.json")).unwrap();
        let topics = ["conflict", "diplomacy", "sports"].map(|name| Topic::new(name).unwrap());
        let numbers = |document: &GoldenDocument| -> Vec<u32> {
            let given = document.topics.iter().map(|topic| Topic::new(topic).unwrap()).collect();
            let labeled = LabeledDocument::new(Document::new("", &document.text).unwrap(), given);
            labeled.topics().iter().map(|topic| topics.binary_search(topic).unwrap() as u32).collect()
        };
        let targets = Targets::new(3, golden.documents.iter().map(numbers));
        let documents: Vec<Document> = golden.documents.iter().map(|d| Document::new("", &d.text).unwrap()).collect();
        let counts = TermCounts::of(&documents.iter().collect::<Vec<_>>(), false);
        Self { golden, documents, counts, targets }
    }

    fn terms(&self) -> Vec<String> {
        (0..self.counts.n_features() as u32).map(|feature| self.counts.term(feature)).collect()
    }

    /// The weights of all terms, from all documents.
    fn weights(&self) -> Vec<f32> {
        weigh_terms(&self.counts, &self.counts.postings(), &self.targets, &self.all(), None)
    }

    fn rows(&self, weights: &[f32]) -> SparseRows {
        self.counts.rows(&self.all(), weights)
    }

    fn all(&self) -> Vec<u32> {
        (0..self.documents.len() as u32).collect()
    }
}

/// scikit-learn's columns stand for `terms`, ours for `our_terms`.
#[track_caller]
fn assert_rows(actual: &SparseRows, our_terms: &[String], expected: &[Vec<f64>], terms: &[String]) {
    assert_eq!(actual.iter().count(), expected.len());
    for (row, expected) in actual.iter().zip(expected) {
        assert_row(row, our_terms, expected, terms);
    }
}

#[track_caller]
fn assert_row(row: SparseRow<'_>, our_terms: &[String], expected: &[f64], terms: &[String]) {
    assert!(row.features.is_sorted_by(|a, b| a < b));
    assert_eq!(row.features.len(), expected.iter().filter(|&&value| value != 0.0).count());
    for (feature, value) in row.iter() {
        let column = terms.iter().position(|term| *term == our_terms[feature]).unwrap();
        assert!((f64::from(value) - expected[column]).abs() < 1e-6, "{}: {value}", our_terms[feature]);
    }
}

#[test]
fn plain_tf_idf_is_that_of_scikit_learn() {
    let ours = Ours::new();
    let (terms, plain, blocks) = (ours.terms(), &ours.golden.unigrams, &ours.golden.unigrams_and_bigrams);
    assert_eq!(terms, blocks.terms, "unigrams sorted, then bigrams of at least two documents sorted");

    // Ours always has the supervised weight in it; dividing by scikit-learn's leaves idf and block.
    let weights = ours.weights();
    for (feature, supervised) in ours.golden.supervised.supervised_weight.iter().enumerate() {
        let expected = blocks.idf[feature] * blocks.block_weight[feature];
        assert!((f64::from(weights[feature]) / supervised - expected).abs() < 1e-6, "{}", terms[feature]);
    }

    let weights: Vec<f32> =
        blocks.idf.iter().zip(&blocks.block_weight).map(|(idf, block)| (idf * block) as f32).collect();
    assert_rows(&ours.rows(&weights), &terms, &blocks.rows, &blocks.terms);

    let idf_of =
        |term: &String| plain.terms.iter().position(|other| other == term).map_or(0.0, |place| plain.idf[place]);
    let weights: Vec<f32> = terms.iter().map(|term| idf_of(term) as f32).collect();
    assert_rows(&ours.rows(&weights), &terms, &plain.rows, &plain.terms);
}

#[test]
fn supervised_tf_idf_is_that_of_scikit_learn_in_training_and_in_answering() {
    let ours = Ours::new();
    let (terms, weights, golden) = (ours.terms(), ours.weights(), &ours.golden.supervised);
    let rows = ours.rows(&weights);
    assert_rows(&rows, &terms, &golden.rows, &golden.terms);

    let (unigrams, bigrams) = terms.split_at(terms.partition_point(|term| !term.contains(' ')));
    let weights = Packed::from_values(&weights.iter().map(|&weight| weight.into()).collect::<Vec<_>>());
    let vectorizer = Vectorizer::new(Vocabulary::new(unigrams, bigrams, &[]).unwrap(), weights).unwrap();
    let mut scratch = RowScratch::default();
    for (document, expected) in ours.documents.iter().zip(rows.iter()) {
        vectorizer.vectorize(document, &mut scratch);
        let mut row: Vec<(usize, f32)> = scratch.row().iter().collect();
        row.sort_by_key(|&(feature, _)| feature);
        let is_same = |(ours, expected): (&(usize, f32), (usize, f32))| {
            ours.0 == expected.0 && (ours.1 - expected.1).abs() <= expected.1 * f32::EPSILON
        };
        assert!(row.len() == expected.features.len() && row.iter().zip(expected.iter()).all(is_same), "{row:?}");
    }

    // A word that no document has, and a bigram over the seam of title and text.
    let document = Document::new("Unheard-of peace", "talks").unwrap();
    let stats = vectorizer.vectorize(&document, &mut scratch);
    assert_eq!((stats.n_bytes, stats.n_tokens, stats.n_known_tokens), (21, 4, 3));
    let known: Vec<&str> = scratch.row().iter().map(|(feature, _)| &terms[feature][..]).collect();
    assert_eq!(known, ["of", "peace", "talks", "peace talks"]);
}

/// What cross-validation relies on: a subset's weights come from its own documents and topics alone.
#[test]
fn weights_of_a_subset_are_those_of_its_documents_counted_alone() {
    let ours = Ours::new();
    let subset = [6, 0, 1, 3];
    let weights = weigh_terms(&ours.counts, &ours.counts.postings(), &ours.targets, &subset, None);

    let documents: Vec<&Document> = subset.iter().map(|&document| &ours.documents[document as usize]).collect();
    let alone = TermCounts::of(&documents, false);
    let expected = weigh_terms(&alone, &alone.postings(), &ours.targets.select(&subset), &[0, 1, 2, 3], None);

    let weighed = |terms: Vec<String>, weights: Vec<f32>| -> Vec<(String, f32)> {
        terms.into_iter().zip(weights).filter(|&(_, weight)| weight > 0.0).collect()
    };
    let terms_alone = (0..alone.n_features() as u32).map(|feature| alone.term(feature)).collect();
    let expected = weighed(terms_alone, expected);
    assert_eq!(weighed(ours.terms(), weights), expected);
    assert!(expected.len() < ours.terms().len());
}
