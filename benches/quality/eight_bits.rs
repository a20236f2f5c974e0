//! What 8-bit weights cost: accuracy of the same linear model's highest raw score with 32-bit and with 8-bit weights, and
//! documents on which the two differ.
//!
//!     cargo bench --bench eight_bits -- CORPORA/wcep_topics …

#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;

use linfa::ParamGuard;
use linfa::dataset::{DatasetBase, Records};
use linfa::traits::{Fit, PredictInplace};
use ndarray::ArrayView1;
use topicd::dataset::Dataset;
use topicd::document::Document;
use topicd::features::TermCounts;
use topicd::features::weighting::weigh_terms;
use topicd::formats::{Strictness, read_all};
use topicd::linear::LinearSvmParams;
use topicd::targets::Targets;

fn main() {
    println!(
        "| corpus | test documents | accuracy, 32 bits | accuracy, 8 bits | answers that differ |\n|---|---:|---:|---:|---:|"
    );
    // Cargo itself gives `--bench`.
    for corpus in std::env::args().skip(1).filter(|argument| !argument.starts_with("--")) {
        compare(Path::new(&corpus));
    }
}

fn compare(corpus: &Path) {
    let [training, test] = ["train", "test"].map(|split| {
        let path = corpus.join(format!("{split}.jsonl.gz"));
        read_all([path], None, Strictness::Strict, &mut |_| ()).unwrap().examples
    });
    let training = Dataset::new(training).unwrap();
    let n_training = training.documents().len() as u32;
    // Terms that only test documents have get no weight.
    let documents: Vec<&Document> =
        training.documents().into_iter().chain(test.iter().map(|example| &example.document)).collect();
    let counts = TermCounts::of(&documents, false);
    let learned: Vec<u32> = (0..n_training).collect();
    let no_topics = (0..test.len()).map(|_| Vec::new());
    let topics = (0..n_training as usize).map(|document| training.targets().of(document).to_vec());
    let targets = Targets::new(training.topics().len(), topics.chain(no_topics));
    let weights = weigh_terms(&counts, &counts.postings(), &targets, &learned, None);
    let params = LinearSvmParams::default().check().unwrap();
    let model = params.fit(&DatasetBase::new(counts.rows(&learned, &weights), training.targets().clone())).unwrap();

    let rows = counts.rows(&(n_training..documents.len() as u32).collect::<Vec<u32>>(), &weights);
    let mut exact = model.default_target(&rows);
    model.predict_inplace(&rows, &mut exact);
    let rounded = model.quantize(&(0..rows.nfeatures() as u32).collect::<Vec<u32>>());
    let mut in_8_bits = rounded.default_target(&rows);
    rounded.predict_inplace(&rows, &mut in_8_bits);
    let (mut n_right, mut n_different) = ([0, 0], 0);
    for (document, example) in test.iter().enumerate() {
        let answers = [highest(exact.row(document).mapv(f64::from).view()), highest(in_8_bits.row(document))];
        for (n_right, answer) in n_right.iter_mut().zip(answers) {
            *n_right += usize::from(example.topics().first() == Some(&training.topics()[answer]));
        }
        n_different += usize::from(answers[0] != answers[1]);
    }
    let [exact, rounded] = n_right.map(|n| n as f64 / test.len() as f64);
    let name = corpus.file_name().unwrap().to_string_lossy();
    println!("| {name} | {} | {exact:.4} | {rounded:.4} | {n_different} |", test.len());
}

fn highest(scores: ArrayView1<'_, f64>) -> usize {
    scores.iter().enumerate().fold(0, |best, (topic, score)| if *score > scores[best] { topic } else { best })
}
