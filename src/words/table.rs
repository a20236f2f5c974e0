//! The file of word vectors, and what it says about each word.
//!
//! ```text
//! offset  bytes
//!      0      8  magic "TOPICDW\n"
//!      8      4  format version, 1
//!     12      4  number of words, n
//!     16      4  dimensions of a vector, d; even
//!     20      4  length of the card
//!     24      8  length of the file
//!     32      8  XXH3-64 of all other bytes of the file
//!     40         the card: JSON, who made the table of what, and which languages it has
//!      …         columns, each at the next multiple of 64, zeros between:
//!                lengths of the words' strings (n bytes), the strings (sorted, UTF-8), frequencies (2n), languages (2n),
//!                scales (2n), vectors (n · d / 2)
//! ```
//!
//! A frequency is in hundredths of a power of ten: a word's probability in running text is 10^(−frequency / 100). Languages are bits, the
//! first language of the card the lowest. A scale is the upper half of a 32-bit float. A component of a vector is 4 bits, 1 to 15; it stands
//! for (bits − 8) · scale. All numbers are little-endian.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::packed::Packed;

const MAGIC: [u8; 8] = *b"TOPICDW\n";
const FORMAT_VERSION: u32 = 1;
/// Where columns begin.
const ALIGNMENT: usize = 64;
/// More would make training's memory a matter of the table.
const MAX_DIMENSIONS: usize = 512;
/// A frequency is read from a table of this many entries; rarer words weigh the same.
const MAX_CENTIBELS: usize = 1200;
/// In smooth inverse frequency (Arora, Liang & Ma, *A Simple but Tough-to-Beat Baseline for Sentence Embeddings*, ICLR 2017): a word of this
/// probability weighs half as much as a rare one.
const HALF_WEIGHT_PROBABILITY: f64 = 1e-4;

/// The first bytes of the file.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Header {
    magic: [u8; 8],
    version: U32,
    n_words: U32,
    n_dimensions: U32,
    n_card_bytes: U32,
    n_bytes: U64,
    checksum: U64,
}

/// What a table says about itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Card {
    /// Its name.
    pub name: String,
    /// Raised when the same name stands for another content.
    pub version: u32,
    /// Under which terms it, and models that have words of it, may be passed on.
    pub licence: String,
    /// Whom to name then.
    pub attribution: String,
    /// The languages, at most 16.
    pub languages: Vec<Language>,
}

/// A language of a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Language {
    /// Two letters, ISO 639-1.
    pub code: String,
    /// Three letters, ISO 639-3.
    pub iso639_3: String,
    /// Words of its own and shared ones.
    pub n_words: usize,
    /// The share of a running text's tokens that the table has; not known for scripts without spaces.
    pub coverage: Option<f64>,
}

/// Why bytes are no table of words.
#[derive(Debug, thiserror::Error)]
pub enum WordTableError {
    /// The file can't be read.
    #[error("can't read {path}: {source}")]
    Read {
        /// The file.
        path: std::path::PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The bytes don't start as a table does.
    #[error("not a topicd table of words: it doesn't start with the magic bytes")]
    Magic,
    /// Another format.
    #[error("the table of words has format version {0}; this topicd reads version {FORMAT_VERSION}")]
    Version(u32),
    /// Cut off, or added to.
    #[error("the table of words has {actual} bytes instead of {expected}; it was cut off or added to: copy it again")]
    Length {
        /// In the header.
        expected: u64,
        /// Of the bytes.
        actual: u64,
    },
    /// Bytes have changed.
    #[error("the checksum of the table of words is wrong: its bytes have changed; copy it again")]
    Checksum,
    /// The checksum is right, but the content isn't a table's.
    #[error("the table of words is malformed: {0}")]
    Malformed(&'static str),
}

/// Words of some languages with a vector each; immutable, cheap to clone.
#[derive(Debug, Clone)]
pub struct WordTable {
    card: Card,
    checksum: u64,
    n_dimensions: usize,
    strings: Bytes,
    /// Where each word's string ends.
    ends: Vec<u32>,
    frequencies: Packed<U16>,
    languages: Packed<U16>,
    scales: Packed<U16>,
    vectors: Bytes,
}

impl WordTable {
    /// Reads a table's bytes; what is large stays where it is.
    ///
    /// # Errors
    /// [`WordTableError`], whatever the bytes are.
    pub fn decode(file: Bytes) -> Result<Self, WordTableError> {
        let header = check_header(&file)?;
        let malformed = WordTableError::Malformed;
        let n_words = header.n_words.get() as usize;
        let n_dimensions = header.n_dimensions.get() as usize;
        if n_dimensions == 0 || n_dimensions % 2 == 1 || n_dimensions > MAX_DIMENSIONS {
            return Err(malformed("its vectors need an even number of dimensions, at most 512"));
        }
        let mut rest = Columns { file: &file, end: size_of::<Header>() };
        let card = rest.take(header.n_card_bytes.get() as usize, false)?;
        let card: Card = serde_json::from_slice(&card).map_err(|_| malformed("its card doesn't parse"))?;
        if card.languages.len() > u16::BITS as usize {
            return Err(malformed("it has more than 16 languages"));
        }
        let lengths = rest.take(n_words, true)?;
        let n_string_bytes: usize = lengths.iter().map(|&length| usize::from(length)).sum();
        let strings = rest.take(n_string_bytes, true)?;
        let mut numbers = || Packed::new(rest.take(2 * n_words, true)?).ok_or(malformed("a column is cut off"));
        let (frequencies, languages, scales) = (numbers()?, numbers()?, numbers()?);
        let vectors = rest.take(n_words * n_dimensions / 2, true)?;
        if rest.end != file.len() {
            return Err(malformed("something follows the last column"));
        }
        let ends = ends(&lengths);
        let table = Self {
            card,
            checksum: header.checksum.get(),
            n_dimensions,
            strings,
            ends,
            frequencies,
            languages,
            scales,
            vectors,
        };
        table.check()?;
        Ok(table)
    }

    fn check(&self) -> Result<(), WordTableError> {
        let malformed = WordTableError::Malformed;
        let n_languages = self.card.languages.len() as u32;
        if std::str::from_utf8(&self.strings).is_err() || (0..self.len()).any(|word| self.try_word(word).is_none()) {
            return Err(malformed("a word isn't UTF-8"));
        }
        if !(1..self.len()).all(|word| self.word(word - 1) < self.word(word)) {
            return Err(malformed("its words aren't sorted"));
        }
        if self.languages.iter().any(|bits| u32::from(bits.get()).checked_shr(n_languages).unwrap_or(0) != 0) {
            return Err(malformed("a word has a language that the card doesn't name"));
        }
        let is_share = |coverage: f64| coverage > 0.0 && coverage <= 1.0;
        if !self.card.languages.iter().filter_map(|language| language.coverage).all(is_share) {
            return Err(malformed("the coverage of a language is no share"));
        }
        if (0..self.len()).any(|word| !(0.0..1e6).contains(&self.scale(word))) {
            return Err(malformed("the scale of a vector is out of range"));
        }
        if self.vectors.iter().any(|&pair| pair & 0x0F == 0 || pair >> 4 == 0) {
            return Err(malformed("a vector's component is out of range"));
        }
        Ok(())
    }

    /// Reads a table from a file.
    ///
    /// # Errors
    /// [`WordTableError`].
    pub fn read(path: &std::path::Path) -> Result<Self, WordTableError> {
        let bytes = std::fs::read(path).map_err(|source| WordTableError::Read { path: path.to_owned(), source })?;
        Self::decode(bytes.into())
    }

    /// What it says about itself.
    pub fn card(&self) -> &Card {
        &self.card
    }

    /// What is wrong with codes of languages: that it lacks one.
    pub fn unknown_language(&self, codes: &[String]) -> Option<String> {
        let known: Vec<&str> = self.card.languages.iter().map(|language| &*language.code).collect();
        let unknown = codes.iter().find(|code| !known.contains(&code.as_str()))?;
        Some(format!("has {unknown:?}, which the table of words doesn't have; it has {}", known.join(", ")))
    }

    /// XXH3-64 of the file, as its header has it: what tables are told apart by.
    pub fn checksum(&self) -> u64 {
        self.checksum
    }

    /// The number of words.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether it has no words.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The components of a vector.
    pub fn n_dimensions(&self) -> usize {
        self.n_dimensions
    }

    /// A word, as the tokenizer normalises it; words are sorted by their bytes. Empty beyond the last.
    pub fn word(&self, word: usize) -> &str {
        self.try_word(word).unwrap_or_default()
    }

    fn try_word(&self, word: usize) -> Option<&str> {
        let start = if word == 0 { 0 } else { *self.ends.get(word - 1)? };
        std::str::from_utf8(self.strings.get(start as usize..*self.ends.get(word)? as usize)?).ok()
    }

    /// How rare a word is in the language in which it is most frequent, in hundredths of a power of ten.
    pub fn centibels(&self, word: usize) -> u16 {
        self.frequencies[word].get()
    }

    /// s(w) = a / (a + p(w)) with a = 10⁻⁴: close to 1 for rare words, close to 0 for the most frequent ones.
    pub fn smooth_inverse_frequency(&self, word: usize) -> f32 {
        let centibels = usize::from(self.centibels(word)).min(MAX_CENTIBELS);
        let probability = 10f64.powf(-(centibels as f64) / 100.0);
        (HALF_WEIGHT_PROBABILITY / (HALF_WEIGHT_PROBABILITY + probability)) as f32
    }

    /// The languages that have a word: bit i for the card's i-th.
    pub fn languages(&self, word: usize) -> u16 {
        self.languages[word].get()
    }

    fn scale(&self, word: usize) -> f32 {
        f32::from_bits(u32::from(self.scales[word].get()) << 16)
    }

    /// Adds `factor` times a word's vector to `sum`, which has [`Self::n_dimensions`] components.
    pub fn add_vector(&self, word: usize, factor: f32, sum: &mut [f32]) {
        let n_bytes = self.n_dimensions / 2;
        let factor = factor * self.scale(word);
        let pairs = &self.vectors[word * n_bytes..(word + 1) * n_bytes];
        for (sum, &pair) in sum.as_chunks_mut::<2>().0.iter_mut().zip(pairs) {
            sum[0] += factor * f32::from(i16::from(pair & 0x0F) - 8);
            sum[1] += factor * f32::from(i16::from(pair >> 4) - 8);
        }
    }
}

/// What follows the header.
struct Columns<'a> {
    file: &'a Bytes,
    end: usize,
}

impl Columns<'_> {
    /// The next bytes, at the next multiple of [`ALIGNMENT`] if aligned.
    fn take(&mut self, n_bytes: usize, aligned: bool) -> Result<Bytes, WordTableError> {
        let malformed = WordTableError::Malformed;
        let start = if aligned { self.end.next_multiple_of(ALIGNMENT) } else { self.end };
        let padding = self.file.get(self.end..start).ok_or(malformed("a column is cut off"))?;
        if padding.iter().any(|&byte| byte != 0) {
            return Err(malformed("there is something between two columns"));
        }
        let end = start.checked_add(n_bytes).filter(|&end| end <= self.file.len());
        self.end = end.ok_or(malformed("a column is cut off"))?;
        Ok(self.file.slice(start..self.end))
    }
}

fn check_header(file: &[u8]) -> Result<Header, WordTableError> {
    if !file.starts_with(&MAGIC) {
        return Err(WordTableError::Magic);
    }
    let actual = file.len() as u64;
    let Ok((header, _)) = Header::read_from_prefix(file) else {
        return Err(WordTableError::Length { expected: size_of::<Header>() as u64, actual });
    };
    if header.version.get() != FORMAT_VERSION {
        return Err(WordTableError::Version(header.version.get()));
    }
    if header.n_bytes.get() != actual {
        return Err(WordTableError::Length { expected: header.n_bytes.get(), actual });
    }
    let place = std::mem::offset_of!(Header, checksum);
    let mut hasher = Xxh3::new();
    hasher.update(&file[..place]);
    hasher.update(&file[size_of::<Header>()..]);
    if header.checksum.get() != hasher.digest() {
        return Err(WordTableError::Checksum);
    }
    Ok(header)
}

fn ends(lengths: &[u8]) -> Vec<u32> {
    let ends = lengths.iter().scan(0, |end, &length| {
        *end += u32::from(length);
        Some(*end)
    });
    ends.collect()
}
