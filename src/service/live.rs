//! The classifiers that answer now.

use std::num::NonZeroU32;
use std::sync::Arc;

use super::error::Error;
use super::model_name::{ModelName, VersionName, VersionSelector};
use crate::artifact::Artifact;
use crate::classifier::Classifier;
use crate::names::ClassifierName;

/// One version of a classifier, loaded and answering.
#[derive(Debug)]
pub struct LiveVersion {
    /// Its name, which every answer repeats.
    pub name: VersionName,
    /// What answers.
    pub classifier: Classifier,
    /// The checksum of its model file.
    pub checksum: u64,
}

/// All that answer: version 1 of `classifiers/default`.
#[derive(Debug)]
pub struct LiveClassifiers {
    default: Arc<LiveVersion>,
}

impl LiveClassifiers {
    /// Lets a model answer as version 1 of `classifiers/default`.
    pub fn new(model: Artifact) -> Self {
        let Artifact { classifier, checksum } = model;
        let name = VersionName { classifier: ClassifierName::default(), number: NonZeroU32::MIN };
        Self { default: Arc::new(LiveVersion { name, classifier, checksum }) }
    }

    /// The version that a caller means. A call asks once and keeps what it got, so that all its documents are answered
    /// by the same version, whatever goes live meanwhile.
    ///
    /// # Errors
    /// [`Error::UnknownClassifier`] and [`Error::UnknownVersion`].
    pub fn resolve(&self, model: &ModelName) -> Result<Arc<LiveVersion>, Error> {
        if model.classifier != self.default.name.classifier {
            return Err(Error::UnknownClassifier(model.classifier.clone()));
        }
        match model.version {
            VersionSelector::Number(number) if number != self.default.name.number => {
                Err(Error::UnknownVersion(model.clone()))
            }
            VersionSelector::Number(_) | VersionSelector::Stable | VersionSelector::Latest => {
                Ok(Arc::clone(&self.default))
            }
        }
    }

    /// Every version that answers.
    pub fn versions(&self) -> impl Iterator<Item = &LiveVersion> {
        std::iter::once(self.default.as_ref())
    }
}
