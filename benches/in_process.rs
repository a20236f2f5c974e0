//! How fast documents that are in memory are classified on one thread, without the wire, beside libraries that do no more.
//!
//!     cargo bench --bench in_process -- CORPORA/wcep_topics
//!     cargo bench --bench in_process -- CORPORA/20newsgroups_bydate --model 20newsgroups.topicd --python .venv/bin/python

#![allow(clippy::unwrap_used, missing_docs)]

#[path = "load/ratios.rs"]
mod ratios;

use std::io::{BufRead, BufReader, Lines, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Instant;

use clap::Parser;
use topicd::artifact::Artifact;
use topicd::classifier::{ClassifyOptions, ClassifyScratch};
use topicd::document::Document;
use topicd::formats::{Strictness, read_all};

use ratios::{median, ratio};

/// What is classified, and by what.
#[derive(Debug, Parser)]
struct Options {
    /// A corpus: a folder with `train.jsonl.gz` and `test.jsonl.gz`.
    corpus: PathBuf,
    /// The model that topicd has of it; without it, the bundled one.
    #[arg(long)]
    model: Option<PathBuf>,
    /// Python with what `peers/requirements.txt` lists: then libraries are measured too.
    #[arg(long)]
    python: Option<PathBuf>,
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// What cargo adds.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let options = Options::parse();
    let test = options.corpus.join("test.jsonl.gz");
    let documents: Vec<Document> = read_all([&test], None, Strictness::Strict, &mut |_| ())
        .unwrap()
        .examples
        .into_iter()
        .map(|example| example.document)
        .collect();
    let megabytes = documents.iter().map(Document::n_bytes).sum::<usize>() as f64 / 1e6;
    let artifact = match &options.model {
        Some(model) => topicd::artifact::load(model).unwrap(),
        None => topicd::artifact::bundled().unwrap(),
    };
    let libraries = options.python.iter().flat_map(|python| {
        ["fasttext", "scikit-learn"].map(|library| Library::start(library, python, &options.corpus, &test))
    });
    let mut libraries: Vec<Library> = libraries.collect();
    let (mut ours, mut theirs) = (Vec::new(), vec![Vec::new(); libraries.len()]);
    for _ in 0..options.rounds {
        ours.push(megabytes / pass(&artifact, &documents));
        for (library, rates) in libraries.iter_mut().zip(&mut theirs) {
            rates.push(megabytes / library.pass());
        }
    }
    println!("{} documents, {megabytes:.1} MB; one thread, medians of {} rounds\n", documents.len(), options.rounds);
    println!("| | MB/s | most | documents/s | topicd ÷ it |\n|---|---:|---:|---:|---:|");
    let line = |name: &str, rates: &[f64], to: &str| {
        let rate = median(rates);
        let most = rates.iter().copied().fold(0.0, f64::max);
        println!("| {name} | {rate:.1} | {most:.1} | {:.0} | {to} |", rate / megabytes * documents.len() as f64);
    };
    line("topicd", &ours, "");
    for (library, rates) in libraries.iter().zip(&theirs) {
        line(library.name, rates, &ratio(&ours, rates));
    }
}

/// Seconds for all documents.
fn pass(artifact: &Artifact, documents: &[Document]) -> f64 {
    let (mut scratch, options) = (ClassifyScratch::default(), ClassifyOptions::default());
    let begun = Instant::now();
    for document in documents {
        std::hint::black_box(artifact.classifier.classify(document, &options, &mut scratch));
    }
    begun.elapsed().as_secs_f64()
}

/// A library in Python, which waits to be told to make a pass.
struct Library {
    name: &'static str,
    process: Child,
    said: Lines<BufReader<ChildStdout>>,
}

impl Library {
    fn start(name: &'static str, python: &Path, corpus: &Path, documents: &Path) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/load/peers/throughput.py");
        let mut command = Command::new(python);
        command.arg(script).arg(name).arg("--train").arg(corpus.join("train.jsonl.gz"));
        command.arg("--documents").arg(documents).stdin(Stdio::piped()).stdout(Stdio::piped());
        for variable in ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"] {
            command.env(variable, "1");
        }
        let mut process = command.spawn().unwrap();
        let mut said = BufReader::new(process.stdout.take().unwrap()).lines();
        assert_eq!(said.next().unwrap().unwrap(), "ready");
        Self { name, process, said }
    }

    fn pass(&mut self) -> f64 {
        self.process.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
        self.said.next().unwrap().unwrap().parse().unwrap()
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
