//! What is known of a version besides its file: stored with it as JSON, told to callers.

use serde::{Deserialize, Serialize};

use super::error::Error;
use super::gate::Check;
use super::panic::incident;
use super::self_test::SelfTest;
use crate::abstention::Abstention;
use crate::artifact::Artifact;
use crate::classifier::Provenance;
use crate::dataset::LabelKind;
use crate::store::VersionRecord;

/// Confusion matrices of more topics are neither stored here nor told.
pub(super) const MAX_CONFUSED_TOPICS: usize = 200;

/// The details of a version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VersionDetails {
    /// XXH3-64 of the model file, as 16 hexadecimal digits.
    pub checksum: String,
    /// The topics, sorted.
    pub topics: Vec<String>,
    /// Whether documents have one topic or any number.
    pub label_kind: LabelKind,
    /// The number of terms.
    pub n_terms: usize,
    /// Documents, settings and evaluation.
    pub provenance: Provenance,
    /// What a document has to have so that topics are assigned to it.
    #[serde(default)]
    pub abstention: Abstention,
    /// How long training took; nothing for a version that wasn't trained here.
    pub training_seconds: Option<f64>,
    /// What the gate found when it was made; how much it agreed with the stable version on served documents is of when it was
    /// promoted.
    pub checks: Vec<Check>,
    /// Whether it becomes the stable version by itself once it has been compared on enough served documents.
    #[serde(default)]
    pub awaits_shadow: bool,
    /// Some documents and what it says of them.
    pub self_test: SelfTest,
}

impl VersionDetails {
    /// The details of a model, as far as its file has them.
    pub fn of(model: &Artifact) -> Self {
        let mut provenance = model.classifier.provenance().clone();
        // Its size is the square of the number of topics, and the model file has it.
        if model.classifier.topics().len() > MAX_CONFUSED_TOPICS {
            provenance.evaluation.confusion_matrix.clear();
        }
        Self {
            checksum: format!("{:016x}", model.checksum),
            topics: model.classifier.topics().iter().map(ToString::to_string).collect(),
            label_kind: model.classifier.label_kind(),
            n_terms: model.classifier.n_terms(),
            provenance,
            abstention: model.classifier.abstention().clone(),
            training_seconds: None,
            checks: Vec::new(),
            awaits_shadow: false,
            self_test: SelfTest::default(),
        }
    }

    /// Reads what is stored with a version.
    ///
    /// # Errors
    /// [`Error::StoreFailed`] when it can't be read.
    pub fn read(record: &VersionRecord) -> Result<Self, Error> {
        serde_json::from_str(&record.details).map_err(|error| Error::StoreFailed(incident(&error)))
    }

    /// As it is stored.
    pub fn to_json(&self) -> String {
        // Strings, numbers and lists of them: there is nothing that JSON can't hold.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// A version, as callers are told of it.
#[derive(Debug, Clone, PartialEq)]
pub struct VersionInfo {
    /// What the store knows.
    pub record: VersionRecord,
    /// What else there is.
    pub details: VersionDetails,
}
