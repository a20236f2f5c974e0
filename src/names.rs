//! What classifiers are called: the one name that the store, the service and the command line have for each.
//!
//! What it doesn't own: the paths that callers write into requests (`service::model_name`).

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// The longest name of a classifier, in bytes.
pub const MAX_CLASSIFIER_BYTES: usize = 64;

/// The name of a classifier; shown as `classifiers/{name}`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct ClassifierName(String);

impl ClassifierName {
    /// The bare name, without `classifiers/`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for ClassifierName {
    fn default() -> Self {
        Self("default".to_owned())
    }
}

impl fmt::Display for ClassifierName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "classifiers/{}", self.0)
    }
}

/// A string, shown in part, that is no [`ClassifierName`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} can't name a classifier; a name has 1 to {MAX_CLASSIFIER_BYTES} of the characters a-z, 0-9, - and _")]
pub struct ClassifierNameError(pub String);

impl FromStr for ClassifierName {
    type Err = ClassifierNameError;

    /// Reads a bare name.
    fn from_str(name: &str) -> Result<Self, ClassifierNameError> {
        let is_allowed = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
        if (1..=MAX_CLASSIFIER_BYTES).contains(&name.len()) && name.bytes().all(is_allowed) {
            Ok(Self(name.to_owned()))
        } else {
            Err(ClassifierNameError(excerpt(name)))
        }
    }
}

/// The beginning of a string that a caller sent, short enough to be repeated in an error.
pub(crate) fn excerpt(text: &str) -> String {
    const MAX_CHARS: usize = 80;
    match text.char_indices().nth(MAX_CHARS) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_name_is_read_and_anything_else_refused() {
        for name in ["default", "news-2", "a_b", &"a".repeat(64)] {
            assert_eq!(name.parse::<ClassifierName>().unwrap().as_str(), name);
        }
        for wrong in ["", "A", "é", "a b", "classifiers/a", &"a".repeat(65)] {
            assert!(wrong.parse::<ClassifierName>().is_err(), "{wrong}");
        }
    }
}
