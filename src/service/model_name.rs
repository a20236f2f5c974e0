//! How callers name classifiers and their versions: `classifiers/{classifier}`, and
//! `classifiers/{classifier}/versions/{number | stable | latest}`.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use crate::names::{ClassifierName, ClassifierNameError, MAX_CLASSIFIER_BYTES, excerpt};

/// Which of a classifier's versions a caller means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum VersionSelector {
    /// The one that answers when no version is named.
    #[default]
    Stable,
    /// The one with the highest number.
    Latest,
    /// The one with this number.
    Number(NonZeroU32),
}

/// What a caller wrote into a request's `model`; by default the stable version of `classifiers/default`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ModelName {
    /// The classifier.
    pub classifier: ClassifierName,
    /// The version of it.
    pub version: VersionSelector,
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/versions/", self.classifier)?;
        match self.version {
            VersionSelector::Stable => f.write_str("stable"),
            VersionSelector::Latest => f.write_str("latest"),
            VersionSelector::Number(number) => write!(f, "{number}"),
        }
    }
}

/// The name of one exact version, `classifiers/{classifier}/versions/{number}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionName {
    /// The classifier.
    pub classifier: ClassifierName,
    /// The version's number.
    pub number: NonZeroU32,
}

impl fmt::Display for VersionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/versions/{}", self.classifier, self.number)
    }
}

/// Why a string is no [`ModelName`]; completes a sentence that begins with the field's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModelNameError {
    /// It has another form.
    #[error(
        "is {0:?}; write classifiers/{{classifier}} or \
         classifiers/{{classifier}}/versions/{{number, stable or latest}}, or leave it out for classifiers/default"
    )]
    Form(String),
    /// The classifier's name is empty, too long, or has characters that names don't have.
    #[error("names the classifier {0:?}; a name has 1 to {MAX_CLASSIFIER_BYTES} of the characters a-z, 0-9, - and _")]
    Classifier(String),
    /// The version is neither a number nor one of the words for versions.
    #[error("names the version {0:?}; a version is a number from 1 to {max}, stable, or latest", max = u32::MAX)]
    Version(String),
}

impl FromStr for ModelName {
    type Err = ModelNameError;

    /// Reads a `model` field; the empty string is the default.
    fn from_str(model: &str) -> Result<Self, ModelNameError> {
        if model.is_empty() {
            return Ok(Self::default());
        }
        let form_error = || ModelNameError::Form(excerpt(model));
        let path = model.strip_prefix("classifiers/").ok_or_else(form_error)?;
        match path.split('/').collect::<Vec<_>>()[..] {
            [classifier] => Ok(Self { classifier: classifier_name(classifier)?, version: VersionSelector::Stable }),
            [classifier, "versions", version] => {
                Ok(Self { classifier: classifier_name(classifier)?, version: version_selector(version)? })
            }
            _ => Err(form_error()),
        }
    }
}

fn classifier_name(name: &str) -> Result<ClassifierName, ModelNameError> {
    name.parse().map_err(|ClassifierNameError(name)| ModelNameError::Classifier(name))
}

fn version_selector(version: &str) -> Result<VersionSelector, ModelNameError> {
    match version {
        "stable" => Ok(VersionSelector::Stable),
        "latest" => Ok(VersionSelector::Latest),
        // One version has one name: no "+1", no "01".
        number if number.starts_with(|first: char| matches!(first, '1'..='9')) => {
            number.parse().map(VersionSelector::Number).map_err(|_| ModelNameError::Version(excerpt(number)))
        }
        other => Err(ModelNameError::Version(excerpt(other))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_name_is_read_and_shown() {
        for (written, shown) in [
            ("", "classifiers/default/versions/stable"),
            ("classifiers/news-2", "classifiers/news-2/versions/stable"),
            ("classifiers/a_b/versions/stable", "classifiers/a_b/versions/stable"),
            ("classifiers/default/versions/latest", "classifiers/default/versions/latest"),
            ("classifiers/default/versions/12", "classifiers/default/versions/12"),
        ] {
            assert_eq!(written.parse::<ModelName>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn anything_else_is_refused_and_shown_in_part() {
        for wrong in ["default", "models/default", "classifiers/a/b", "classifiers/a/versions/1/", "/", " "] {
            assert!(matches!(wrong.parse::<ModelName>(), Err(ModelNameError::Form(_))), "{wrong}");
        }
        for wrong in ["classifiers/", "classifiers/A", "classifiers/é", &format!("classifiers/{}", "a".repeat(65))] {
            assert!(matches!(wrong.parse::<ModelName>(), Err(ModelNameError::Classifier(_))), "{wrong}");
        }
        for version in ["", "0", "01", "+1", "-1", "1a", "4294967296", "Stable", "candidate"] {
            let wrong = format!("classifiers/a/versions/{version}");
            assert_eq!(wrong.parse::<ModelName>(), Err(ModelNameError::Version(version.to_owned())));
        }
        let message = "é".repeat(1_000_000).parse::<ModelName>().unwrap_err().to_string();
        assert!(message.len() < 400, "{message}");
    }
}
