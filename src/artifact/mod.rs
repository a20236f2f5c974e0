//! Classifier ↔ bytes: the model file.
//!
//! ```text
//! offset  bytes
//!      0      8  magic "TOPICD\r\n": no text file starts so, and a transfer that changes line ends breaks it
//!      8      4  format version, 3; files of version 2 are read, too: they have no optional sections
//!     12      4  number of sections, n
//!     16      8  length of the file
//!     24      8  XXH3-64 of all other bytes of the file
//!     32   24·n  for each section: kind (4), zero (4), offset (8), length (8)
//!      …         the sections by rising kind, each at the next multiple of 64, zeros between
//! ```
//!
//! All numbers are little-endian. What is large is used where it lies ([`crate::packed`]); nothing is rebuilt at
//! loading. Sections (`layout.rs` numbers them): JSON of everything small (topics, calibration, decision rule,
//! abstention, provenance), the vocabulary's hash table, its terms (front-coded) and their block index, a TF-IDF weight a term,
//! an 8-bit weight a term and topic, a scale a term, a bias a topic. Models that know words of a table ([`crate::known_words`]) have three more: of each
//! word's weights the part that was inferred, a scale a word, and the languages of each word.
//!
//! A change of what is written, of the term hash or of tokenizing needs a new format version. Reading validates
//! everything that answering relies on: damaged or made-up bytes give an [`ArtifactError`], never a panic later.

mod decode;
mod encode;
mod layout;
mod new_file;

use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::cache_lines;
use crate::classifier::Classifier;
use crate::features::vocabulary::VocabularyError;
pub use decode::decode;
pub use encode::encode;
pub use new_file::NewModelFile;

/// A classifier and the checksum of its file, by which people can tell models apart.
#[derive(Debug, Clone)]
pub struct Artifact {
    /// The classifier.
    pub classifier: Classifier,
    /// XXH3-64 of the file, as its header has it.
    pub checksum: u64,
    /// The file, which the classifier's parts are views of.
    pub bytes: Bytes,
}

/// Why bytes are no model, or a model file can't be read.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// The file can't be read.
    #[error("can't read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file can't be written.
    #[error("can't write {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file was read, but is no model.
    #[error("can't use {path}")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<ArtifactError>,
    },
    /// The bytes don't start as a model file does.
    #[error("not a topicd model: it doesn't start with the magic bytes")]
    Magic,
    /// A version that this program doesn't read.
    #[error(
        "the model has format version {found}; this topicd reads versions {} to {}: use the release that wrote it, or train again",
        layout::OLDEST_FORMAT_VERSION,
        layout::FORMAT_VERSION
    )]
    Version {
        /// The version in the file.
        found: u32,
    },
    /// The file ends early, or something was added to it.
    #[error("the model has {actual} bytes instead of {expected}; it was cut off or added to: copy it again")]
    Length {
        /// The length in the header.
        expected: u64,
        /// The length of the bytes.
        actual: u64,
    },
    /// Bytes have changed since the file was written.
    #[error("the model's checksum is wrong: its bytes have changed; copy or train it again")]
    Checksum,
    /// The checksum is right, but the content isn't a model's.
    #[error("the model is malformed: {0}")]
    Malformed(&'static str),
    /// The vocabulary's part of it.
    #[error(transparent)]
    Vocabulary(#[from] VocabularyError),
    /// The JSON part of it.
    #[error("the model's metadata is malformed: {0}")]
    Metadata(String),
}

/// Puts bytes of any type at a multiple of 64, where the linker would put them anywhere.
#[repr(C, align(64))]
struct Aligned<B: ?Sized>(B);

static BUNDLED: &Aligned<[u8]> = &Aligned(*include_bytes!("../../models/news.topicd"));

/// The news model that is part of the program.
///
/// # Errors
/// Only if the program was built with a broken one; a test sees to it that it isn't.
pub fn bundled() -> Result<Artifact, ArtifactError> {
    decode(Bytes::from_static(&BUNDLED.0))
}

/// Reads a model file.
///
/// # Errors
/// [`ArtifactError`].
pub fn load(path: &Path) -> Result<Artifact, ArtifactError> {
    let bytes = cache_lines::read(path).map_err(|source| ArtifactError::Read { path: path.to_owned(), source })?;
    decode(bytes).map_err(|source| ArtifactError::Unusable { path: path.to_owned(), source: Box::new(source) })
}
