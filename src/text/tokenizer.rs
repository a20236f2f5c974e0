//! Text → tokens with their spans, allocating nothing a token.
//!
//! Scripts that are written without spaces have no runs that are words: there, a token is two neighbouring characters
//! (each with the marks that belong to it), and a run of one character is that character.

use std::ops::Range;

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

use super::blocks::{Blocks, RunBytes};
use super::characters::CharacterClass;
use super::short_hash;
use super::terms::TermHash;
use crate::processor::Any;

/// Tokens longer than this many bytes (normalised) are counted but never become terms: no vocabulary gains from them,
/// and a file of base64 would fill it with them.
pub const MAX_TOKEN_BYTES: usize = 256;

/// Which of a document's two strings a span is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    /// The document's title.
    Title,
    /// The document's text.
    Text,
}

/// Bytes `start..end` of one of the caller's strings; both ends are character boundaries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// Which string.
    pub field: Field,
    /// The first byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

/// One token.
#[derive(Debug, Clone, Copy)]
pub struct Token<'a> {
    /// Lower-cased, NFC-normalised UTF-8; empty when the token has more than [`MAX_TOKEN_BYTES`].
    pub normalized: &'a [u8],
    /// Where in the caller's text it stands.
    pub span: Span,
    /// Of `normalized`.
    bytes: RunBytes,
}

impl Token<'_> {
    /// The hash of its normalised bytes, as [`TermHash::unigram`] has it; means nothing of a token that is too long.
    #[inline(always)]
    pub fn hash(&self, seed: u64) -> TermHash {
        match self.normalized.len() {
            n_bytes @ ..=short_hash::MAX_BYTES => TermHash(short_hash::hash(self.bytes, n_bytes, seed)),
            _ => TermHash::unigram(self.normalized, seed),
        }
    }

    /// Whether the token is too long to be a term.
    pub fn is_too_long(&self) -> bool {
        self.normalized.is_empty()
    }
}

/// Buffers that tokenizing needs, to be used again for the next document.
#[derive(Debug, Default)]
pub struct Scratch {
    pub(super) blocks: Blocks,
    pub(super) runs: RunScratch,
}

/// Buffers that runs beyond ASCII need.
#[derive(Debug, Default)]
pub(super) struct RunScratch {
    lower: String,
    composed: String,
    clusters: Vec<usize>,
}

/// Calls `sink` with each token of `text`, first to last.
pub fn tokenize(text: &str, field: Field, scratch: &mut Scratch, sink: &mut impl FnMut(Token<'_>)) {
    let Scratch { blocks, runs } = scratch;
    blocks.read(Any, text);
    for run in blocks.runs() {
        tokenize_run_of(text, field, blocks, run, runs, sink);
    }
}

/// Calls `sink` with each token of one of the runs that `blocks` found in `text`, of which it says whether it is ASCII.
pub(super) fn tokenize_run_of(
    text: &str,
    field: Field,
    blocks: &Blocks,
    (run, is_ascii): (Range<usize>, bool),
    scratch: &mut RunScratch,
    sink: &mut impl FnMut(Token<'_>),
) {
    if is_ascii {
        let normalized = if run.len() > MAX_TOKEN_BYTES { &[] } else { blocks.lower(run.clone()) };
        let span = Span { field, start: run.start, end: run.end };
        sink(Token { normalized, span, bytes: blocks.run_bytes(run) });
    } else {
        tokenize_mixed(text, run, field, scratch, sink);
    }
}

/// Emits the tokens of a run in which there are characters beyond ASCII, of which some may be separators.
fn tokenize_mixed(
    text: &str,
    run: Range<usize>,
    field: Field,
    scratch: &mut RunScratch,
    sink: &mut impl FnMut(Token<'_>),
) {
    let mut position = run.start;
    while position < run.end {
        position = match ascii_token(&text[position..run.end]) {
            Some(n_bytes) => {
                let end = position + n_bytes;
                emit(text, position..end, field, scratch, sink);
                end
            }
            None => tokenize_run(text, position, field, scratch, sink),
        };
    }
}

/// How many ASCII characters are at the beginning, if they are a token for themselves, as the word before a typographic apostrophe is.
fn ascii_token(run: &str) -> Option<usize> {
    let n_bytes = run.bytes().position(|byte| !byte.is_ascii()).unwrap_or(run.len());
    let is_alone =
        run[n_bytes..].chars().next().is_none_or(|next| CharacterClass::of(next) == CharacterClass::Separator);
    (n_bytes > 0 && is_alone).then_some(n_bytes)
}

/// Emits the tokens of the run of token characters at `start`, and returns where the run ends; one separator or stray
/// mark when there is no run. Within a run, a change between spaced and unspaced scripts ends a token.
fn tokenize_run(
    text: &str,
    start: usize,
    field: Field,
    scratch: &mut RunScratch,
    sink: &mut impl FnMut(Token<'_>),
) -> usize {
    let mut characters = text[start..].char_indices().map(|(offset, c)| (start + offset, CharacterClass::of(c)));
    let Some((_, first)) = characters.next() else { return text.len() };
    if matches!(first, CharacterClass::Separator | CharacterClass::Mark) {
        return characters.next().map_or(text.len(), |(next, _)| next);
    }
    scratch.clusters.clear();
    scratch.clusters.push(start);
    // Marks go with the character before them.
    let end = characters
        .find_map(|(offset, class)| match class {
            CharacterClass::Mark => None,
            class if class == first => {
                if first == CharacterClass::Unspaced {
                    scratch.clusters.push(offset);
                }
                None
            }
            _ => Some(offset),
        })
        .unwrap_or(text.len());
    scratch.clusters.push(end);
    let clusters = std::mem::take(&mut scratch.clusters);
    // [start, end] for one token; [a, b, c, end] for ab, bc, c·end pairs of neighbouring clusters.
    if let [start, end] = clusters[..] {
        emit(text, start..end, field, scratch, sink);
    } else {
        for window in clusters.windows(3) {
            emit(text, window[0]..window[2], field, scratch, sink);
        }
    }
    scratch.clusters = clusters;
    end
}

/// Normalises `text[range]` and hands it on.
fn emit(text: &str, range: Range<usize>, field: Field, scratch: &mut RunScratch, sink: &mut impl FnMut(Token<'_>)) {
    let normalized = if range.len() > 4 * MAX_TOKEN_BYTES {
        &[] // No normalisation makes it four times shorter, and a megabyte of one word isn't worth the work.
    } else {
        normalize(&text[range.clone()], scratch)
    };
    let normalized = if normalized.len() > MAX_TOKEN_BYTES { &[] } else { normalized };
    let span = Span { field, start: range.start, end: range.end };
    sink(Token { normalized, span, bytes: RunBytes::of_slice(normalized) });
}

/// NFC of the full lower-case mapping of `token`.
pub(super) fn normalize<'a>(token: &str, scratch: &'a mut RunScratch) -> &'a [u8] {
    scratch.lower.clear();
    if token.is_ascii() {
        scratch.lower.push_str(token);
        scratch.lower.make_ascii_lowercase();
        return scratch.lower.as_bytes();
    }
    for (offset, c) in token.char_indices() {
        if c == 'Σ' && offset > 0 && is_word_end(&token[offset + c.len_utf8()..]) {
            scratch.lower.push('ς'); // Unicode's Final_Sigma condition
        } else {
            scratch.lower.extend(c.to_lowercase());
        }
    }
    if is_nfc_quick(scratch.lower.chars()) == IsNormalized::Yes {
        return scratch.lower.as_bytes();
    }
    scratch.composed.clear();
    scratch.composed.extend(scratch.lower.chars().nfc());
    scratch.composed.as_bytes()
}

fn is_word_end(rest: &str) -> bool {
    rest.chars().all(|c| CharacterClass::of(c) == CharacterClass::Mark)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tokens(text: &str) -> Vec<(String, Range<usize>)> {
        let mut found = Vec::new();
        tokenize(text, Field::Text, &mut Scratch::default(), &mut |token| {
            found.push((String::from_utf8(token.normalized.to_vec()).unwrap(), token.span.start..token.span.end));
        });
        found
    }

    fn words(text: &str) -> Vec<String> {
        tokens(text).into_iter().map(|(word, _)| word).collect()
    }

    #[test]
    fn words_digits_and_underscores_make_tokens() {
        assert_eq!(
            words("Don't PANIC: it's 42_000, e.g. x"),
            ["don", "t", "panic", "it", "s", "42_000", "e", "g", "x"]
        );
        assert_eq!(words(" \t\n.,;😀 —"), [""; 0]);
        assert_eq!(tokens("-Ab9 c"), [("ab9".into(), 1..4), ("c".into(), 5..6)]);
    }

    #[test]
    fn casing_and_composition_beyond_ascii() {
        assert_eq!(words("Éclair E\u{301}clair ÉCLAIR"), ["éclair"; 3]);
        assert_eq!(words("ΟΔΥΣΣΕΥΣ ΣΑΣ Σ"), ["οδυσσευς", "σας", "σ"]);
        assert_eq!(words("İstanbul STRASSE straße"), ["i\u{307}stanbul", "strasse", "straße"]);
        assert_eq!(words("naïve Zürich’s"), ["naïve", "zürich", "s"]);
        assert_eq!(words("हिन्दी العربيّة"), ["हिन्दी", "العربيّة"]);
    }

    #[test]
    fn a_mark_never_starts_a_token() {
        assert_eq!(tokens("=\u{338}a \u{301} b"), [("a".into(), 3..4), ("b".into(), 8..9)]);
    }

    #[test]
    fn scripts_without_spaces_make_pairs_of_characters() {
        assert_eq!(words("東京都は iPhone手機 国"), ["東京", "京都", "都は", "iphone", "手機", "国"]);
        assert_eq!(words("コーヒー"), ["コー", "ーヒ", "ヒー"]);
        // The vowel and tone marks stay with their consonants.
        assert_eq!(words("ที่นี่"), ["ที่นี่"]);
        assert_eq!(tokens("中文字"), [("中文".into(), 0..6), ("文字".into(), 3..9)]);
    }

    #[test]
    fn long_tokens_are_counted_but_are_no_terms() {
        for letter in ["x", "é", "e\u{301}"] {
            let fits = letter.repeat(256 / "é".len().min(letter.len()));
            assert_eq!(words(&fits).len(), 1);
            assert_eq!(words(&letter.repeat(100_000)), [""], "{letter}");
        }
    }

    proptest! {
        #[test]
        fn spans_are_in_order_and_slice_the_text(text in "\\PC*|[a-zA-Z ٠-٩ก-๙一-丆e\u{301}]*") {
            let mut last = 0;
            for (word, span) in tokens(&text) {
                prop_assert!(span.start >= last && span.end > span.start);
                last = span.start;
                let slice = &text[span];
                // Normalising what the span covers gives the token again.
                if slice.chars().all(|c| CharacterClass::of(c) != CharacterClass::Separator) && !word.is_empty() {
                    let again: String = slice.nfc().collect::<String>().to_lowercase().nfc().collect();
                    prop_assert_eq!(word, again);
                } else {
                    prop_assert!(word.is_empty(), "a separator inside {:?}", slice);
                }
            }
        }

        /// Buffers are made for so many.
        #[test]
        fn a_token_takes_two_bytes_or_ends_the_text(text in "\\PC*|[a1 東é\u{301}.ก\u{e31}]*") {
            prop_assert!(tokens(&text).len() <= text.len().div_ceil(2), "{:?}", tokens(&text));
        }

        #[test]
        fn tokens_of_normalised_text_are_the_same(text in "[a-zA-ZàéîõüÀÉÎÕÜа-яА-Я\u{300}-\u{30f} .]*") {
            let composed: String = text.nfc().collect();
            prop_assert_eq!(words(&text), words(&composed));
        }
    }
}
