//! Text → the hashes of its tokens, which is all that most models need of them: the fast way.

use super::short_hash;
use super::terms::TermHash;
use super::tokenizer::{Field, Scratch, Token, tokenize_run_of};
use crate::document::Document;
use crate::processor::Processor;

/// One document's tokens by their hashes; buffers that serve one document after another.
#[derive(Debug, Default)]
pub(crate) struct TokenHashes {
    hashes: Vec<TermHash>,
    n_hashes: usize,
    /// Where tokens that are too long are left out.
    breaks: Vec<usize>,
}

impl TokenHashes {
    /// Reads a document's title, then its text, in place of the document before.
    #[inline(always)]
    pub(crate) fn read(&mut self, processor: impl Processor, document: &Document, seed: u64, scratch: &mut Scratch) {
        // A token has a byte, and a byte behind it unless it is a field's last.
        self.hashes.resize((document.n_bytes() / 2 + 2).max(self.hashes.len()), TermHash(0));
        self.breaks.clear();
        self.n_hashes = 0;
        for (text, field) in [(document.title(), Field::Title), (document.text(), Field::Text)] {
            self.read_field(processor, text, field, seed, scratch);
        }
    }

    #[inline(always)]
    fn read_field(&mut self, processor: impl Processor, text: &str, field: Field, seed: u64, scratch: &mut Scratch) {
        let Scratch { blocks, runs } = scratch;
        blocks.read(processor, text);
        let mut n_hashes = self.n_hashes;
        for (run, is_ascii) in blocks.runs() {
            if is_ascii && run.len() <= short_hash::MAX_BYTES {
                self.hashes[n_hashes] = TermHash(short_hash::hash(blocks.run_bytes(run.clone()), run.len(), seed));
                n_hashes += 1;
            } else {
                self.n_hashes = n_hashes;
                tokenize_run_of(text, field, blocks, (run, is_ascii), runs, &mut |token| self.push(token, seed));
                n_hashes = self.n_hashes;
            }
        }
        self.n_hashes = n_hashes;
    }

    fn push(&mut self, token: Token<'_>, seed: u64) {
        if token.is_too_long() {
            self.breaks.push(self.n_hashes);
        } else {
            self.hashes[self.n_hashes] = token.hash(seed);
            self.n_hashes += 1;
        }
    }

    /// The number of tokens, those that are too long among them.
    pub(crate) fn n_tokens(&self) -> usize {
        self.n_hashes + self.breaks.len()
    }

    /// The hashes of the tokens that aren't too long, first to last.
    pub(crate) fn hashes(&self) -> &[TermHash] {
        &self.hashes[..self.n_hashes]
    }

    /// The same in parts, between which there is a token that is too long, so that no pair reaches from one to the next.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &[TermHash]> {
        let starts = std::iter::once(0).chain(self.breaks.iter().copied());
        let ends = self.breaks.iter().copied().chain([self.n_hashes]);
        starts.zip(ends).map(|(start, end)| &self.hashes[start..end])
    }
}
