//! Words → character n-grams: pieces of words, for a model that has seen few texts, or texts whose words take many forms.
//!
//! A word gets a space before and behind it; its n-grams are the runs of [`N_CHARACTERS`] characters of that, so that those
//! at its beginning and end differ from the same letters inside (scikit-learn's analyzer `char_wb`). Words of up to three
//! characters have none: it would be the word itself. Neither have tokens of scripts without spaces, which are pieces of
//! words already.

use std::ops::Range;

use super::characters::CharacterClass;
use super::tokenizer::{RunScratch, normalize};

/// Characters (Unicode scalar values) of an n-gram, a space before or behind the word among them.
pub const N_CHARACTERS: usize = 5;

/// Stands, in the name of an n-gram, for what the word has before it or behind it.
const MORE: char = '*';

/// Buffers that n-grams need, to be used again for the next word.
#[derive(Debug, Default)]
pub struct NgramScratch {
    padded: String,
    /// Where each character of `padded` begins, and its end.
    starts: Vec<usize>,
    raw: RunScratch,
}

/// Calls `sink` with each n-gram of a normalised token, first to last, and the place of its first character among those of
/// the token with its spaces.
pub fn for_each_character_ngram(token: &str, scratch: &mut NgramScratch, mut sink: impl FnMut(&str, usize)) {
    if !token.chars().next().is_some_and(|first| CharacterClass::of(first) == CharacterClass::Spaced) {
        return;
    }
    let NgramScratch { padded, starts, .. } = scratch;
    padded.clear();
    padded.extend([" ", token, " "]);
    starts.clear();
    starts.extend(padded.char_indices().map(|(start, _)| start));
    starts.push(padded.len());
    if starts.len() <= N_CHARACTERS + 1 {
        return;
    }
    for (first, window) in starts.windows(N_CHARACTERS + 1).enumerate() {
        sink(&padded[window[0]..window[N_CHARACTERS]], first);
    }
}

/// How people read an n-gram, and how the vocabulary has it: `peac*` at the beginning of a word, `*eace` at its end,
/// `*eaceb*` inside. No token holds a `*`.
pub fn name(ngram: &str) -> String {
    match (ngram.strip_prefix(' '), ngram.strip_suffix(' ')) {
        (Some(beginning), _) => format!("{beginning}{MORE}"),
        (_, Some(end)) => format!("{MORE}{end}"),
        _ => format!("{MORE}{ngram}{MORE}"),
    }
}

/// The n-gram of a name; `None` when it is no n-gram's.
pub fn parse_name(name: &str) -> Option<String> {
    match (name.strip_prefix(MORE), name.strip_suffix(MORE)) {
        (Some(end), None) => Some(format!("{end} ")),
        (None, Some(beginning)) => Some(format!(" {beginning}")),
        (Some(rest), Some(_)) => rest.strip_suffix(MORE).map(str::to_owned),
        (None, None) => None,
    }
}

/// Which bytes of `raw`, a token as the caller wrote it, became the n-gram that begins at the place `first`: whole
/// characters with the marks that belong to them. All of them where the characters don't become the token one by one.
pub fn raw_range(raw: &str, token: &str, first: usize, scratch: &mut NgramScratch) -> Range<usize> {
    // The space before the word has the place 0.
    let characters = first.saturating_sub(1)..(first + N_CHARACTERS - 1);
    let (mut n_seen, mut range) = (0, None);
    for cluster in clusters(raw) {
        let n_characters = std::str::from_utf8(normalize(&raw[cluster.clone()], &mut scratch.raw))
            .map_or(0, |normalized| normalized.chars().count());
        if n_seen < characters.end && n_seen + n_characters > characters.start {
            let start = range.map_or(cluster.start, |range: Range<usize>| range.start);
            range = Some(start..cluster.end);
        }
        n_seen += n_characters;
    }
    range.filter(|_| n_seen == token.chars().count()).unwrap_or(0..raw.len())
}

/// The characters of a token, each with the marks behind it, as byte ranges.
fn clusters(raw: &str) -> impl Iterator<Item = Range<usize>> + '_ {
    let is_first = |&(start, c): &(usize, char)| start == 0 || CharacterClass::of(c) != CharacterClass::Mark;
    let starts = move || raw.char_indices().filter(is_first).map(|(start, _)| start);
    starts().zip(starts().skip(1).chain([raw.len()])).map(|(start, end)| start..end)
}

#[cfg(test)]
mod tests {
    use super::super::Field;
    use super::super::tokenizer::{Scratch, tokenize};
    use super::*;

    /// The n-grams of a text's tokens by name, and what of the text they are.
    fn ngrams(text: &str) -> Vec<(String, String)> {
        let (mut found, mut scratch) = (Vec::new(), NgramScratch::default());
        tokenize(text, Field::Text, &mut Scratch::default(), &mut |token| {
            let normalized = std::str::from_utf8(token.normalized).unwrap();
            let (mut of_token, raw) = (Vec::new(), &text[token.span.start..token.span.end]);
            for_each_character_ngram(normalized, &mut scratch, |ngram, first| of_token.push((name(ngram), first)));
            for (name, first) in of_token {
                found.push((name, raw[raw_range(raw, normalized, first, &mut scratch)].to_owned()));
            }
        });
        found
    }

    fn pairs<const N: usize>(expected: [(&str, &str); N]) -> Vec<(String, String)> {
        expected.map(|(name, raw)| (name.to_owned(), raw.to_owned())).to_vec()
    }

    #[test]
    fn a_word_has_its_runs_of_five_characters_with_the_spaces_around_it() {
        assert_eq!(
            ngrams("Treaty"),
            pairs([("trea*", "Trea"), ("*treat*", "Treat"), ("*reaty*", "reaty"), ("*eaty", "eaty")])
        );
        assert_eq!(ngrams("War, talk"), pairs([("talk*", "talk"), ("*talk", "talk")]));
    }

    #[test]
    fn characters_are_counted_as_normalised_and_found_as_written() {
        let decomposed = "E\u{301}TE\u{301}S";
        assert_eq!(ngrams(decomposed), pairs([("étés*", decomposed), ("*étés", decomposed)]));
        let expected =
            [("i\u{307}zm*", "İzm"), ("*i\u{307}zmi*", "İzmi"), ("*\u{307}zmir*", "İzmir"), ("*zmir", "zmir")];
        assert_eq!(ngrams("İzmir"), pairs(expected));
        assert_eq!(ngrams("ΛΌΓΟΣ").last(), pairs([("*όγος", "ΌΓΟΣ")]).last());
    }

    #[test]
    fn tokens_of_scripts_without_spaces_have_none() {
        assert_eq!(ngrams("東京都 ที่นี่ 한국어"), []);
    }

    #[test]
    fn a_name_gives_its_ngram_again() {
        for ngram in [" peac", "eace ", "peace", "a_b_c"] {
            assert_eq!(parse_name(&name(ngram)).as_deref(), Some(ngram));
        }
        assert_eq!([parse_name("peace"), parse_name("peace talks"), parse_name("*")], [None, None, None]);
    }
}
