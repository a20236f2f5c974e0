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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::processor::Any;
    use crate::text::for_each_document_token;

    /// Token by token; `None` for one that is too long.
    fn one_by_one(document: &Document, seed: u64) -> Vec<Option<TermHash>> {
        let mut hashes = Vec::new();
        for_each_document_token(document, &mut Scratch::default(), |token| {
            hashes.push((!token.is_too_long()).then(|| TermHash::unigram(token.normalized, seed)));
        });
        hashes
    }

    fn check(processor: impl Processor, tokens: &mut TokenHashes, document: &Document, scratch: &mut Scratch) {
        tokens.read(processor, document, 3, scratch);
        let expected = one_by_one(document, 3);
        assert_eq!(tokens.n_tokens(), expected.len());
        assert!(tokens.hashes().iter().copied().eq(expected.iter().copied().flatten()));
        let parts: Vec<Vec<TermHash>> =
            expected.split(Option::is_none).map(|part| part.iter().copied().flatten().collect()).collect();
        assert!(tokens.parts().eq(parts.iter().map(Vec::as_slice)));
    }

    proptest! {
        #[test]
        fn they_are_the_hashes_of_the_tokens(
            texts in prop::collection::vec("\\PC{0,80}|([a-zA-Z0-9é漢ก’_ .\u{301}-]{0,70}|[xé]{15,18}|x{255,258}|é{127,130}){0,4}", 2..6),
        ) {
            let (mut tokens, mut scratch) = (TokenHashes::default(), Scratch::default());
            for pair in texts.windows(2) {
                let Ok(document) = Document::new(&*pair[0], &*pair[1]) else { continue };
                check(Any, &mut tokens, &document, &mut scratch);
                #[cfg(target_arch = "x86_64")]
                if let Some(v3) = pulp::x86::V3::try_new() {
                    check(v3, &mut tokens, &document, &mut scratch);
                }
            }
        }
    }
}
