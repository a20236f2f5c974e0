//! How callers name classifiers, their versions and their training jobs: `classifiers/{classifier}`,
//! `classifiers/{classifier}/versions/{number | stable | previous | candidate | latest}` and
//! `classifiers/{classifier}/trainingJobs/{number}`.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use crate::names::{ClassifierName, ClassifierNameError, MAX_CLASSIFIER_BYTES, excerpt};
use crate::store::ClassifierRecord;

/// Which of a classifier's versions a caller means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum VersionSelector {
    /// The one that answers when no version is named.
    #[default]
    Stable,
    /// The one that was stable before.
    Previous,
    /// The one that was trained last without being promoted.
    Candidate,
    /// The one with the highest number.
    Latest,
    /// The one with this number.
    Number(NonZeroU32),
}

impl VersionSelector {
    /// The number that it means; a number means itself, whether or not there is such a version.
    pub fn number_in(self, record: &ClassifierRecord) -> Option<NonZeroU32> {
        match self {
            Self::Stable => record.aliases.stable,
            Self::Previous => record.aliases.previous,
            Self::Candidate => record.aliases.candidate,
            Self::Latest => record.latest,
            Self::Number(number) => Some(number),
        }
    }
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
            VersionSelector::Previous => f.write_str("previous"),
            VersionSelector::Candidate => f.write_str("candidate"),
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

/// The name of a training job, `classifiers/{classifier}/trainingJobs/{number}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct JobName {
    /// The classifier that it trains.
    pub classifier: ClassifierName,
    /// The job's number.
    pub number: NonZeroU32,
}

impl fmt::Display for JobName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/trainingJobs/{}", self.classifier, self.number)
    }
}

/// A string, shown in part, that is no [`JobName`]; completes a sentence that begins with the field's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("is {0:?}; write classifiers/{{classifier}}/trainingJobs/{{number}}, as Train answers it")]
pub struct JobNameError(String);

impl FromStr for JobName {
    type Err = JobNameError;

    fn from_str(name: &str) -> Result<Self, JobNameError> {
        let parse = || {
            let (classifier, number) = name.strip_prefix("classifiers/")?.split_once("/trainingJobs/")?;
            let VersionSelector::Number(number) = version_selector(number).ok()? else { return None };
            Some(Self { classifier: classifier.parse().ok()?, number })
        };
        parse().ok_or_else(|| JobNameError(excerpt(name)))
    }
}

/// Why a string is no [`ModelName`]; completes a sentence that begins with the field's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModelNameError {
    /// It has another form.
    #[error(
        "is {0:?}; write classifiers/{{classifier}} or \
         classifiers/{{classifier}}/versions/{{number, stable, previous, candidate or latest}}, or leave it out for classifiers/default"
    )]
    Form(String),
    /// The classifier's name is empty, too long, or has characters that names don't have.
    #[error("names the classifier {0:?}; a name has 1 to {MAX_CLASSIFIER_BYTES} of the characters a-z, 0-9, - and _")]
    Classifier(String),
    /// The version is neither a number nor one of the words for versions.
    #[error("names the version {0:?}; a version is a number from 1 to {max}, stable, previous, candidate or latest", max = u32::MAX)]
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
        "previous" => Ok(VersionSelector::Previous),
        "candidate" => Ok(VersionSelector::Candidate),
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
            ("classifiers/default/versions/previous", "classifiers/default/versions/previous"),
            ("classifiers/default/versions/candidate", "classifiers/default/versions/candidate"),
            ("classifiers/default/versions/12", "classifiers/default/versions/12"),
        ] {
            assert_eq!(written.parse::<ModelName>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn a_job_has_one_name() {
        let name = "classifiers/desk/trainingJobs/12";
        assert_eq!(name.parse::<JobName>().unwrap().to_string(), name);
        for wrong in [
            "",
            "12",
            "classifiers/desk",
            "classifiers/desk/trainingJobs/",
            "classifiers/desk/trainingJobs/0",
            "classifiers/desk/trainingJobs/latest",
            "classifiers/D/trainingJobs/1",
            "classifiers/desk/trainingJobs/1/2",
        ] {
            assert!(wrong.parse::<JobName>().is_err(), "{wrong}");
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
        for version in ["", "0", "01", "+1", "-1", "1a", "4294967296", "Stable", "newest"] {
            let wrong = format!("classifiers/a/versions/{version}");
            assert_eq!(wrong.parse::<ModelName>(), Err(ModelNameError::Version(version.to_owned())));
        }
        let message = "é".repeat(1_000_000).parse::<ModelName>().unwrap_err().to_string();
        assert!(message.len() < 400, "{message}");
    }
}
