//! Documents, topics and labelled documents: valid by construction, so nothing behind this file checks them again.
//!
//! What it doesn't own: how documents look in files ([`crate::formats`]) or on the wire (`api`).

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

/// The longest topic name, in bytes of UTF-8.
pub const MAX_TOPIC_BYTES: usize = 128;

/// Why a title and a text don't make a [`Document`], or a string no [`Topic`].
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum DocumentError {
    /// Both title and text are the empty string.
    #[error("neither title nor text is given; give at least one of them")]
    Empty,
    /// The topic is empty or only white space.
    #[error("a topic name is empty")]
    EmptyTopic,
    /// The topic is longer than [`MAX_TOPIC_BYTES`].
    #[error("topic name has {bytes} bytes; the limit is {MAX_TOPIC_BYTES}")]
    TopicTooLong {
        /// The length seen, after trimming.
        bytes: usize,
    },
    /// The weight isn't between [`DocumentWeight::MIN`] and [`DocumentWeight::MAX`].
    #[error("weight is {0}; it must be a number from {min} to {max}", min = DocumentWeight::MIN, max = DocumentWeight::MAX)]
    Weight(f32),
    /// The topic holds a control character, such as a line break.
    #[error("topic name {0:?} holds a control character; use printable characters only")]
    TopicControlCharacter(String),
}

/// A calendar day, as in line 2 of an article file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date {
    year: u16,
    month: u8,
    day: u8,
}

impl Date {
    /// Reads `YYYYMMDD` or `YYYY-MM-DD`, the latter also with a time of day behind it (`YYYY-MM-DDT…`), which is
    /// dropped; `None` for anything else, and for days that no calendar has.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = match text.as_bytes() {
            day if day.len() > 10 && matches!(day[10], b'T' | b' ') => &day[..10],
            day => day,
        };
        let digits: Vec<u8> = match bytes {
            [a @ .., b'-', m1, m2, b'-', d1, d2] if a.len() == 4 => [a, &[*m1, *m2, *d1, *d2]].concat(),
            _ if bytes.len() == 8 => bytes.to_vec(),
            _ => return None,
        };
        if !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let number =
            |range: std::ops::Range<usize>| digits[range].iter().fold(0u16, |n, b| n * 10 + u16::from(b - b'0'));
        let (year, month, day) = (number(0..4), number(4..6) as u8, number(6..8) as u8);
        let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let days = match month {
            1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
            4 | 6 | 9 | 11 => 30,
            2 => 28 + u8::from(leap),
            _ => return None,
        };
        (year > 0 && (1..=days).contains(&day)).then_some(Self { year, month, day })
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

/// What one article says, and what is known about it. Its title or its text is not the empty string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    title: String,
    text: String,
    /// The caller's own name for the document; repeated in answers, never classified. May be empty.
    pub id: String,
    /// The day it was published, where known; never classified.
    pub date: Option<Date>,
    /// Where it was published; never classified. May be empty.
    pub url: String,
}

impl Document {
    /// A document without id, date and URL.
    ///
    /// # Errors
    /// [`DocumentError::Empty`] when both strings are empty. White space alone is a document, of which
    /// nothing can be said: it is answered, not refused.
    pub fn new(title: impl Into<String>, text: impl Into<String>) -> Result<Self, DocumentError> {
        let (title, text) = (title.into(), text.into());
        if title.is_empty() && text.is_empty() {
            return Err(DocumentError::Empty);
        }
        Ok(Self { title, text, id: String::new(), date: None, url: String::new() })
    }

    /// The same document with an id.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<String>) -> Self {
        self.id = id.into();
        self
    }

    /// The headline; may be empty when there is a text.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// The body; may be empty when there is a title.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Bytes of title and text together: what every document limit counts.
    pub fn n_bytes(&self) -> usize {
        self.title.len() + self.text.len()
    }

    /// The same document with its text cut, at a character boundary, so that title and text have at most
    /// `max_bytes`; a title over the limit is cut too. The flag says whether anything was cut.
    #[must_use]
    pub fn truncated(mut self, max_bytes: usize) -> (Self, bool) {
        let cut = self.n_bytes() > max_bytes;
        if cut {
            self.title.truncate(self.title.floor_char_boundary(max_bytes));
            self.text.truncate(self.text.floor_char_boundary(max_bytes - self.title.len()));
        }
        (self, cut)
    }

    /// The identity of what is classified: SHA-256 over title and text, each preceded by its length.
    pub fn content_hash(&self) -> ContentHash {
        let mut hasher = Sha256::new();
        for part in [&self.title, &self.text] {
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        ContentHash(hasher.finalize().into())
    }
}

/// SHA-256 of a document's title and text; two documents with the same hash are the same document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentHash(pub [u8; 32]);

/// 64 hexadecimal digits.
impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A string that is no [`ContentHash`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a content hash has 64 hexadecimal digits")]
pub struct ContentHashError;

impl FromStr for ContentHash {
    type Err = ContentHashError;

    /// Reads 64 hexadecimal digits.
    fn from_str(text: &str) -> Result<Self, ContentHashError> {
        let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
        let byte = |pair: &[u8]| Some(digit(pair[0])? << 4 | digit(pair[1])?);
        let bytes: Option<Vec<u8>> =
            if text.len() == 64 { text.as_bytes().chunks_exact(2).map(byte).collect() } else { None };
        bytes.and_then(|bytes| bytes.try_into().ok()).map(Self).ok_or(ContentHashError)
    }
}

/// A topic's name: 1 to [`MAX_TOPIC_BYTES`] bytes, no control characters, no white space around it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Topic(String);

impl Topic {
    /// Trims and checks a name.
    ///
    /// # Errors
    /// A name that is empty, too long or unprintable.
    pub fn new(name: &str) -> Result<Self, DocumentError> {
        let name = name.trim();
        if name.is_empty() {
            Err(DocumentError::EmptyTopic)
        } else if name.len() > MAX_TOPIC_BYTES {
            Err(DocumentError::TopicTooLong { bytes: name.len() })
        } else if name.chars().any(char::is_control) {
            Err(DocumentError::TopicControlCharacter(name.to_owned()))
        } else {
            Ok(Self(name.to_owned()))
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What a labelled document is for. Of copies of a document that come together the greater one counts, so that one that
/// says held-out is enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Split {
    /// It is trained on.
    Training,
    /// It is kept from training, to measure on.
    HeldOut,
}

/// How much a labelled document counts where a model is fitted, against a usual one's 1: the learner's C is multiplied by
/// it. Everything else (what terms weigh, probabilities, evaluations) counts every document once.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct DocumentWeight(f32);

impl DocumentWeight {
    /// The smallest: who wants less leaves the document out.
    pub const MIN: f32 = 0.01;
    /// The largest.
    pub const MAX: f32 = 100.0;

    /// Checks a weight.
    ///
    /// # Errors
    /// [`DocumentError::Weight`].
    pub fn new(weight: f32) -> Result<Self, DocumentError> {
        (Self::MIN..=Self::MAX).contains(&weight).then_some(Self(weight)).ok_or(DocumentError::Weight(weight))
    }

    /// The number.
    pub fn get(self) -> f32 {
        self.0
    }
}

/// 1.
impl Default for DocumentWeight {
    fn default() -> Self {
        Self(1.0)
    }
}

// It is never NaN.
impl Eq for DocumentWeight {}

/// A document and the topics that a person gave it: sorted, each once; none means that no topic fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabeledDocument {
    /// What was labelled.
    pub document: Document,
    /// What it is for; `None`: not settled, so that the settings of a training decide.
    pub split: Option<Split>,
    /// How much it counts.
    pub weight: DocumentWeight,
    topics: Vec<Topic>,
}

impl LabeledDocument {
    /// Sorts the topics and drops repetitions. What the document is for isn't settled, and it counts as much as others.
    pub fn new(document: Document, mut topics: Vec<Topic>) -> Self {
        topics.sort();
        topics.dedup();
        Self { document, split: None, weight: DocumentWeight::default(), topics }
    }

    /// The same labelled document for training, for measuring, or, with `None`, for either.
    #[must_use]
    pub fn with_split(mut self, split: Option<Split>) -> Self {
        self.split = split;
        self
    }

    /// The same labelled document with another weight.
    #[must_use]
    pub fn with_weight(mut self, weight: DocumentWeight) -> Self {
        self.weight = weight;
        self
    }

    /// Forgets all topics but the first by name.
    pub fn keep_first_topic(&mut self) {
        self.topics.truncate(1);
    }

    /// The document's topics, sorted, each once.
    pub fn topics(&self) -> &[Topic] {
        &self.topics
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_a_day_that_a_calendar_has() {
        assert_eq!(Date::parse("20220329").unwrap().to_string(), "2022-03-29");
        assert_eq!(Date::parse("2024-02-29").unwrap().to_string(), "2024-02-29");
        assert_eq!(Date::parse("2024-01-02T10:00:00Z").unwrap().to_string(), "2024-01-02");
        for bad in ["20230229", "20221301", "20220100", "2022032", "2022/03/29", "00000101", "2022-3-029", "２０２２"]
        {
            assert_eq!(Date::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn truncation_cuts_at_a_character_and_keeps_the_title_first() {
        let document = Document::new("Tïtle", "naïve text").unwrap();
        let (cut, was_cut) = document.clone().truncated(9);
        assert!(was_cut);
        assert_eq!((cut.title(), cut.text()), ("Tïtle", "na")); // ï needs bytes 2..4 of the text; only 3 are left
        let (cut, _) = document.clone().truncated(2);
        assert_eq!((cut.title(), cut.text()), ("T", "n")); // the byte that half an ï would take goes to the text
        assert_eq!(document.clone().truncated(1000), (document, false));
    }

    #[test]
    fn content_hash_tells_title_from_text() {
        let hash = |title, text| Document::new(title, text).unwrap().content_hash();
        assert_ne!(hash("ab", "c"), hash("a", "bc"));
        assert_eq!(hash("a", "b"), Document::new("a", "b").unwrap().with_id("7").content_hash());
    }

    #[test]
    fn topics_are_checked_sorted_and_unique() {
        assert_eq!(Topic::new("  law_crime\n").unwrap().as_str(), "law_crime");
        assert_eq!(Topic::new(" \t"), Err(DocumentError::EmptyTopic));
        assert_eq!(Topic::new(&"x".repeat(129)), Err(DocumentError::TopicTooLong { bytes: 129 }));
        assert!(matches!(Topic::new("a\nb"), Err(DocumentError::TopicControlCharacter(_))));
        let [a, b] = ["a", "b"].map(|name| Topic::new(name).unwrap());
        let labeled = LabeledDocument::new(Document::new("t", "").unwrap(), vec![b.clone(), a.clone(), b.clone()]);
        assert_eq!(labeled.topics(), [a, b]);
    }
}
