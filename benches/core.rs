//! What the steps between a document and its answer cost, by the document's size, and training, by the number of documents.
//!
//!     cargo bench --bench core
//!     cargo bench --bench core -- classify

#![allow(clippy::unwrap_used, missing_docs)]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use topicd::artifact;
use topicd::classifier::{ClassifyOptions, ClassifyScratch};
use topicd::dataset::Dataset;
use topicd::document::{Document, LabeledDocument, Topic};
use topicd::features::vectorizer::RowScratch;
use topicd::text::{Scratch, for_each_document_token};
use topicd::training::{Silent, train};
use topicd::training_config::TrainingConfig;

const ARTICLE: &str = include_str!("../examples/articles/peace-talks.txt");
const SIZES: [usize; 4] = [200, 2_000, 20_000, 200_000];

fn document(n_bytes: usize) -> Document {
    let text = ARTICLE.repeat(n_bytes / ARTICLE.len() + 1);
    Document::new("", text).unwrap().truncated(n_bytes).0
}

fn of_documents(criterion: &mut Criterion) {
    let classifier = artifact::bundled().unwrap().classifier;
    let mut steps = |name: &str, step: &mut dyn FnMut(&Document)| {
        let mut group = criterion.benchmark_group(name);
        for n_bytes in SIZES {
            let document = document(n_bytes);
            group.throughput(Throughput::Bytes(document.n_bytes() as u64));
            group.bench_function(BenchmarkId::from_parameter(n_bytes), |bencher| bencher.iter(|| step(&document)));
        }
    };
    let mut text = Scratch::default();
    steps("tokenize", &mut |document| for_each_document_token(document, &mut text, |token| _ = black_box(token)));
    let mut rows = RowScratch::default();
    steps("row", &mut |document| _ = black_box(classifier.vectorizer().vectorize(document, &mut rows)));
    let (mut row_of, mut scores) = (None, Vec::new());
    steps("scores", &mut |document| {
        if row_of != Some(document.n_bytes()) {
            classifier.vectorizer().vectorize(document, &mut rows);
            row_of = Some(document.n_bytes());
        }
        classifier.weights().score(rows.row(), &mut scores);
    });
    let (mut scratch, options) = (ClassifyScratch::default(), ClassifyOptions::default());
    steps("classify", &mut |document| _ = black_box(classifier.classify(document, &options, &mut scratch)));
}

/// Words that all topics have, and some of its own topic's.
fn example(number: usize) -> LabeledDocument {
    let topic = number % 8;
    let words = (0..200).map(|word| match word % 4 {
        0 => format!("topic{topic}word{}", (number * 31 + word * 7) % 400),
        _ => format!("word{}", (number * number + word * word * 13) % 20_000),
    });
    let document = Document::new("", words.collect::<Vec<_>>().join(" ")).unwrap();
    LabeledDocument::new(document, vec![Topic::new(&format!("topic_{topic}")).unwrap()])
}

fn training(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("train");
    group.sample_size(10);
    for n_documents in [500, 1_000, 2_000, 4_000] {
        let dataset = Dataset::new((0..n_documents).map(example)).unwrap();
        group.throughput(Throughput::Elements(n_documents as u64));
        group.bench_function(BenchmarkId::from_parameter(n_documents), |bencher| {
            bencher.iter(|| train(&dataset, &TrainingConfig::default(), None, &Silent).unwrap());
        });
    }
}

criterion_group!(benches, of_documents, training);
criterion_main!(benches);
