//! What one fit costs, from the file to terms, weights and a model in 8 bits: what a library does that neither calibrates nor evaluates. A training
//! of topicd makes four of them, three for probabilities and for an evaluation on documents that a model never saw
//! (`benches/quality/cpu_ratio.py` measures that).
//!
//!     cargo bench --bench one_fit -- CORPORA/20newsgroups_bydate --python .venv/bin/python

#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../load/ratios.rs"]
mod ratios;

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Parser;
use linfa::ParamGuard;
use linfa::dataset::DatasetBase;
use linfa::traits::Fit;
use topicd::dataset::Dataset;
use topicd::features::counts::TermKind;
use topicd::features::weighting::weigh_terms;
use topicd::features::{TermCounts, Vectorizer, Vocabulary};
use topicd::formats::{Strictness, read_all};
use topicd::linear::{LinearSvmParams, QuantizedWeights};
use topicd::packed::Packed;
use zerocopy::little_endian::F32;

use ratios::{median, ratio};

/// What is trained on, and beside what.
#[derive(Debug, Parser)]
struct Options {
    /// A corpus: a folder with `train.jsonl.gz`, one topic a document.
    corpus: PathBuf,
    /// Python with what `peers/requirements.txt` lists: then libraries are measured too.
    #[arg(long)]
    python: Option<PathBuf>,
    #[arg(long, default_value_t = 0.5)]
    c: f32,
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// What cargo adds.
    #[arg(long, hide = true)]
    bench: bool,
}

/// Its name in the table, and in `peers.py`.
const LIBRARIES: [(&str, &str); 2] = [("scikit-learn, LinearSVC", "linear-svc"), ("fastText, five epochs", "fasttext")];

fn main() {
    let Options { corpus, python, c, rounds, .. } = Options::parse();
    let data = corpus.join("train.jsonl.gz");
    let (mut ours, mut theirs) = (Vec::new(), LIBRARIES.map(|_| Vec::new()));
    for _ in 0..rounds {
        let before = cpu_seconds();
        std::hint::black_box(fit(&data, c));
        ours.push(cpu_seconds() - before);
        for ((_, method), theirs) in LIBRARIES.iter().zip(&mut theirs) {
            theirs.extend(python.iter().map(|python| cpu_seconds_of(method, python, &data)));
        }
    }
    println!("CPU seconds, medians of {rounds} rounds\n\n| | CPU s | topicd ÷ it |\n|---|---:|---:|");
    println!("| topicd, one fit | {:.2} | |", median(&ours));
    for ((name, _), theirs) in LIBRARIES.iter().zip(&theirs).filter(|(_, theirs)| !theirs.is_empty()) {
        println!("| {name} | {:.2} | {} |", median(theirs), ratio(&ours, theirs));
    }
}

/// What [`topicd::training::train`] does at the end, on all documents; it needs less, as it makes 8 bits of each weight at once, on all threads.
fn fit(data: &Path, c: f32) -> (Vectorizer, QuantizedWeights) {
    let examples = read_all([data], None, Strictness::Strict, &mut |_| ()).unwrap().examples;
    let dataset = Dataset::new(examples).unwrap();
    let counts = TermCounts::of(&dataset.documents(), false);
    let documents: Vec<u32> = (0..counts.n_documents() as u32).collect();
    let weights = weigh_terms(&counts, &counts.postings(), dataset.targets(), &documents, None);
    let rows = counts.rows(&documents, &weights);
    let params = LinearSvmParams::default().c(c).check().unwrap();
    let fitted = params.fit(&DatasetBase::new(rows, dataset.targets().clone())).unwrap();

    let kept: Vec<u32> = (0..counts.n_features() as u32).filter(|&feature| weights[feature as usize] > 0.0).collect();
    let terms = |kind: TermKind| {
        let of_kind = kept.iter().filter(|&&feature| counts.kind(feature) == kind);
        of_kind.map(|&feature| counts.term(feature)).collect::<Vec<String>>()
    };
    let vocabulary = Vocabulary::new(&terms(TermKind::Unigram), &terms(TermKind::Bigram), &[]).unwrap();
    let kept_weights: Vec<F32> = kept.iter().map(|&feature| F32::new(weights[feature as usize])).collect();
    let vectorizer = Vectorizer::new(vocabulary, Packed::from_values(&kept_weights)).unwrap();
    (vectorizer, fitted.quantize(&kept))
}

/// What this process has used so far, of all threads; Linux counts it in hundredths.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    // proc_pid_stat(5): after the name, which is in brackets, utime and stime are the 12th and 13th.
    let (_, after_name) = stat.rsplit_once(") ").unwrap();
    after_name.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<f64>().unwrap() / 100.0).sum()
}

/// What a library needs for reading and fitting, without Python's start.
fn cpu_seconds_of(method: &str, python: &Path, data: &Path) -> f64 {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/quality/peers.py");
    let mut command = Command::new(python);
    command.arg(script).args(["train", "--method", method, "--data"]).arg(data);
    // Spinning BLAS threads would add CPU seconds that do no work.
    for variable in ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"] {
        command.env(variable, "1");
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()["cpu_seconds"].as_f64().unwrap()
}
