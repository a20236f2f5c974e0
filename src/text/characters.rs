//! What each character is to the tokenizer.

use unicode_normalization::char::is_combining_mark;

/// The four kinds of characters that tokenizing tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CharacterClass {
    /// A letter or digit of a script that puts spaces between words, or `_`.
    Spaced,
    /// A letter or digit of a script that doesn't (Han, kana, Thai, Lao, Khmer, Myanmar), or whose words carry so many
    /// endings that they hardly come twice (Hangul).
    Unspaced,
    /// A combining mark: it belongs to the character before it.
    Mark,
    /// Anything else: it ends a token.
    Separator,
}

impl CharacterClass {
    /// The class of a character; letters, digits and marks as Unicode's general category has them.
    pub fn of(c: char) -> Self {
        if c == '_' || c.is_ascii_alphanumeric() {
            Self::Spaced
        } else if c.is_ascii() {
            Self::Separator
        } else if is_combining_mark(c) {
            Self::Mark
        } else if !c.is_alphanumeric() {
            Self::Separator
        } else if is_unspaced(c) {
            Self::Unspaced
        } else {
            Self::Spaced
        }
    }
}

/// Whether a letter's script has no spaces around what comes again. By Unicode blocks, which never change once assigned; among them
/// is the prolonged sound mark `ー`, whose script property is Common although it stands inside kana words only.
fn is_unspaced(c: char) -> bool {
    matches!(u32::from(c),
        0x0E00..=0x0EFF                     // Thai, Lao
        | 0x1100..=0x11FF | 0x3130..=0x318F | 0xA960..=0xA97F | 0xAC00..=0xD7FF // Hangul
        | 0x1000..=0x109F | 0xA9E0..=0xA9FF | 0xAA60..=0xAA7F // Myanmar
        | 0x1780..=0x17FF                   // Khmer
        | 0x2E80..=0x2FDF | 0x3005..=0x3007 | 0x3021..=0x3029 | 0x3038..=0x303B // Han radicals, marks and numerals
        | 0x3040..=0x30FF | 0x31F0..=0x31FF | 0xFF66..=0xFF9F | 0x1B000..=0x1B16F // kana
        | 0x3400..=0x4DBF | 0x4E00..=0x9FFF | 0xF900..=0xFAFF | 0x20000..=0x3FFFF) // Han
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts() {
        use CharacterClass::*;
        for (characters, class) in [
            ("aÉßжЖ٣अΩⅻ_", Spaced),
            ("漢々かカーｶไ한ㅋ0".trim_end_matches('0'), Unspaced),
            ("\u{301}\u{93f}\u{e31}\u{64b}", Mark),
            (" .,-–'’“。、！\u{200b}😀€©", Separator),
        ] {
            for c in characters.chars() {
                assert_eq!(CharacterClass::of(c), class, "{c:?}");
            }
        }
    }
}
