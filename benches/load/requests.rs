//! What is asked: documents from a file, or one article cut to size, as messages that are encoded once.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;

use bytes::Bytes;
use clap::{Args, ValueEnum};
use flate2::read::MultiGzDecoder;
use prost::Message;
use serde::Deserialize;
use topicd::api::pb;

/// The article that is asked about where no file is given.
const ARTICLE: &str = include_str!("../../examples/articles/peace-talks.txt");
/// Documents of a batch, and documents of a stream that are on their way at a time.
pub(crate) const N_TOGETHER: usize = 64;

/// How documents are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// `Classify`.
    Unary,
    /// `BatchClassify`, 64 documents each.
    Batch,
    /// `StreamClassify`, 64 documents on their way.
    Stream,
}

/// Which documents.
#[derive(Debug, Clone, Args)]
pub(crate) struct Documents {
    /// JSON Lines, maybe gzipped, with `title` and `text`; without it, an article of the repository.
    #[arg(long)]
    documents: Option<PathBuf>,
    /// What title and text are cut to.
    #[arg(long, default_value_t = 2000)]
    max_bytes: usize,
}

impl Default for Documents {
    fn default() -> Self {
        Self { documents: None, max_bytes: 2000 }
    }
}

#[derive(Deserialize)]
struct Row {
    #[serde(default)]
    title: String,
    text: String,
}

impl Documents {
    /// Reads those that are at least nine tenths of the size, so that calls are alike.
    pub(crate) fn read(&self) -> Vec<pb::Document> {
        let rows = match &self.documents {
            None => {
                let text = ARTICLE.repeat(self.max_bytes / ARTICLE.len() + 1);
                vec![Row { title: String::new(), text }]
            }
            Some(path) => {
                let mut file: Box<dyn Read> = Box::new(File::open(path).unwrap());
                if path.extension().is_some_and(|extension| extension == "gz") {
                    file = Box::new(MultiGzDecoder::new(file));
                }
                BufReader::new(file).lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect()
            }
        };
        let documents = rows.into_iter().map(|Row { title, mut text }| {
            let room = self.max_bytes.saturating_sub(title.len());
            let end = (0..=room.min(text.len())).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
            text.truncate(end);
            pb::Document { title, text, ..Default::default() }
        });
        let is_long = |document: &pb::Document| document.title.len() + document.text.len() >= self.max_bytes * 9 / 10;
        let documents: Vec<pb::Document> = documents.filter(is_long).collect();
        assert!(!documents.is_empty(), "no document has {} bytes", self.max_bytes);
        documents
    }
}

/// Calls that are made again and again.
pub(crate) struct Requests {
    pub(crate) kind: Kind,
    pub(crate) messages: Vec<Bytes>,
}

impl Requests {
    pub(crate) fn new(kind: Kind, documents: &[pb::Document]) -> Self {
        let message = |first: usize| match kind {
            Kind::Unary => {
                let document = Some(documents[first].clone());
                pb::ClassifyRequest { document, ..Default::default() }.encode_to_vec()
            }
            Kind::Batch => {
                let documents = documents.iter().cycle().skip(first).take(N_TOGETHER).cloned().collect();
                pb::BatchClassifyRequest { documents, ..Default::default() }.encode_to_vec()
            }
            Kind::Stream => {
                let document = Some(documents[first].clone());
                pb::StreamClassifyRequest { document, ..Default::default() }.encode_to_vec()
            }
        };
        let step = if kind == Kind::Batch { N_TOGETHER } else { 1 };
        Self { kind, messages: (0..documents.len()).step_by(step).map(|first| message(first).into()).collect() }
    }

    /// Documents of a message.
    pub(crate) fn n_documents(&self) -> usize {
        if self.kind == Kind::Batch { N_TOGETHER } else { 1 }
    }

    pub(crate) fn message(&self, number: usize) -> Bytes {
        self.messages[number % self.messages.len()].clone()
    }
}
