//! The versions that are in memory and answer: behind one atomic pointer for each classifier, read by every call and
//! replaced as a whole when something changes.
//!
//! What it doesn't own: how versions get here and which aliases mean what ([`super::models`]).

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::{Mutex, MutexGuard};

use super::model_name::{ModelName, VersionName, VersionSelector};
use crate::artifact::Artifact;
use crate::classifier::Classifier;
use crate::names::ClassifierName;
use crate::store::ClassifierRecord;

/// Versions without an alias that each classifier keeps in memory: those that were asked for last.
const MAX_UNNAMED_VERSIONS: usize = 2;

/// One version of a classifier, loaded and answering.
#[derive(Debug)]
pub struct LiveVersion {
    /// Its name, which every answer repeats.
    pub name: VersionName,
    /// What answers.
    pub classifier: Classifier,
    /// The checksum of its model file.
    pub checksum: u64,
    /// The length of its model file, which is about what it takes of memory: its large parts are views of the file's bytes.
    pub n_bytes: u64,
}

impl LiveVersion {
    /// Lets a model answer under a name.
    pub fn new(name: VersionName, model: Artifact) -> Self {
        let Artifact { classifier, checksum, bytes } = model;
        Self { name, classifier, checksum, n_bytes: bytes.len() as u64 }
    }
}

/// The classifiers that are known to be there, and what they have in memory.
#[derive(Debug, Default)]
pub struct LiveClassifiers {
    classifiers: ArcSwap<HashMap<ClassifierName, Arc<LiveClassifier>>>,
}

/// A classifier.
#[derive(Debug)]
pub(super) struct LiveClassifier {
    serving: ArcSwap<Serving>,
    changes: Mutex<()>,
}

/// What a classifier answers with. Never changed, only replaced.
#[derive(Debug, Clone)]
pub(super) struct Serving {
    /// What the store says of it.
    pub(super) record: ClassifierRecord,
    /// Answers where the stable version is asked for: it, or the previous one when it can't be loaded.
    stable: Option<Arc<LiveVersion>>,
    /// All in memory, the one that was loaded last at the end.
    loaded: Vec<Arc<LiveVersion>>,
}

impl LiveClassifiers {
    /// The version that a caller means, if it is in memory. A call asks once and keeps what it got, so that all its
    /// documents are answered by the same version, whatever goes live meanwhile.
    pub(super) fn find(&self, model: &ModelName) -> Option<Arc<LiveVersion>> {
        let classifiers = self.classifiers.load();
        let serving = classifiers.get(&model.classifier)?.serving.load();
        match model.version {
            VersionSelector::Stable => serving.stable.clone(),
            version => serving.loaded(serving.number(version)?).cloned(),
        }
    }

    /// A classifier, if it is known.
    pub(super) fn classifier(&self, name: &ClassifierName) -> Option<Arc<LiveClassifier>> {
        self.classifiers.load().get(name).cloned()
    }

    /// Makes a classifier known; one that is known already stays as it is.
    pub(super) fn add(&self, record: ClassifierRecord) -> Arc<LiveClassifier> {
        let name = record.name.clone();
        let serving = Serving { record, stable: None, loaded: Vec::new() };
        let new = Arc::new(LiveClassifier { serving: ArcSwap::from_pointee(serving), changes: Mutex::new(()) });
        let mut added = Arc::clone(&new);
        self.classifiers.rcu(|classifiers| {
            let mut classifiers = HashMap::clone(classifiers);
            added = Arc::clone(classifiers.entry(name.clone()).or_insert_with(|| Arc::clone(&new)));
            classifiers
        });
        added
    }

    /// Every version in memory, by name.
    pub fn versions(&self) -> Vec<Arc<LiveVersion>> {
        let classifiers = self.classifiers.load();
        let mut versions: Vec<_> = classifiers.values().flat_map(|one| one.serving.load().loaded.clone()).collect();
        versions.sort_by(|a, b| (&a.name.classifier, a.name.number).cmp(&(&b.name.classifier, b.name.number)));
        versions
    }
}

impl LiveClassifier {
    /// What it answers with now.
    pub(super) fn serving(&self) -> Arc<Serving> {
        self.serving.load_full()
    }

    /// The right to replace what it answers with: one at a time, so that what is stored and what answers are changed in
    /// the same order.
    pub(super) async fn change(&self) -> Change<'_> {
        Change { classifier: self, _turn: self.changes.lock().await }
    }
}

/// See [`LiveClassifier::change`].
pub(super) struct Change<'a> {
    classifier: &'a LiveClassifier,
    _turn: MutexGuard<'a, ()>,
}

impl Change<'_> {
    /// What it answers with now; nobody else changes it meanwhile.
    pub(super) fn serving(&self) -> Arc<Serving> {
        self.classifier.serving()
    }

    /// Answers with `stable` from now on, where aliases mean what the record says.
    pub(super) fn answer_with(&self, record: ClassifierRecord, stable: Option<Arc<LiveVersion>>) {
        let mut serving = Serving::clone(&self.serving());
        serving.record = record;
        serving.stable = stable.clone();
        serving.keep(stable);
        self.classifier.serving.store(Arc::new(serving));
    }

    /// Lets go of a version that is stored no more; the record is what its classifier is without it.
    pub(super) fn forget(&self, record: ClassifierRecord, number: NonZeroU32) {
        let mut serving = Serving::clone(&self.serving());
        serving.record = record;
        serving.loaded.retain(|version| version.name.number != number);
        self.classifier.serving.store(Arc::new(serving));
    }

    /// Takes a version into memory.
    pub(super) fn load(&self, version: Arc<LiveVersion>) {
        let mut serving = Serving::clone(&self.serving());
        if serving.record.aliases.stable == Some(version.name.number) {
            serving.stable = Some(Arc::clone(&version));
        }
        serving.keep(Some(version));
        self.classifier.serving.store(Arc::new(serving));
    }
}

impl Serving {
    /// The number of the version that a selector means.
    pub(super) fn number(&self, version: VersionSelector) -> Option<NonZeroU32> {
        version.number_in(&self.record)
    }

    /// What answers where the stable version is asked for.
    pub(super) fn stable(&self) -> Option<&Arc<LiveVersion>> {
        self.stable.as_ref()
    }

    /// A version, if it is in memory.
    pub(super) fn loaded(&self, number: NonZeroU32) -> Option<&Arc<LiveVersion>> {
        self.loaded.iter().find(|version| version.name.number == number)
    }

    /// Takes one more into memory, and lets go of what has no alias and was loaded long ago.
    fn keep(&mut self, version: Option<Arc<LiveVersion>>) {
        if let Some(version) = version {
            self.loaded.retain(|other| other.name != version.name);
            self.loaded.push(version);
        }
        let aliases = self.record.aliases;
        let is_named = |version: &LiveVersion| {
            let number = Some(version.name.number);
            [aliases.stable, aliases.previous].contains(&number)
        };
        let n_unnamed = self.loaded.iter().filter(|version| !is_named(version)).count();
        let mut n_surplus = n_unnamed.saturating_sub(MAX_UNNAMED_VERSIONS);
        self.loaded.retain(|version| {
            let goes = n_surplus > 0 && !is_named(version);
            n_surplus -= usize::from(goes);
            !goes
        });
    }
}
