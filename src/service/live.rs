//! The versions that are in memory and answer: behind one atomic pointer for each classifier, read by every call and
//! replaced as a whole when something changes.
//!
//! What it doesn't own: how versions get here and which aliases mean what ([`super::models`]).

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use tokio::sync::futures::Notified;
use tokio::sync::{Mutex, MutexGuard, Notify};

use super::model_name::{ModelName, VersionName, VersionSelector};
use super::monitoring::ServedAnswers;
use crate::artifact::Artifact;
use crate::classifier::Classifier;
use crate::names::ClassifierName;
use crate::store::ClassifierRecord;

/// Versions without an alias that each classifier keeps in memory: those that were asked for last.
const MAX_UNNAMED_VERSIONS: usize = 2;

/// How exactly it is known when a version was asked last, in milliseconds. Calls write it no more often, so that those of a
/// busy version don't take its cache line from one another.
const LAST_USED_STEP_MS: u64 = 100;

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
    /// What it answered since it was loaded.
    pub(super) served: ServedAnswers,
    last_used_ms: AtomicU64,
}

impl LiveVersion {
    /// Lets a model answer under a name.
    pub fn new(name: VersionName, model: Artifact) -> Self {
        let Artifact { classifier, checksum, bytes } = model;
        let (n_bytes, now_ms) = (bytes.len() as u64, now_ms());
        let served = ServedAnswers::new(classifier.topics().len(), now_ms);
        Self { name, classifier, checksum, n_bytes, served, last_used_ms: AtomicU64::new(now_ms) }
    }

    /// When it was asked last, or loaded: milliseconds since 1970, UTC.
    pub fn last_used_ms(&self) -> u64 {
        self.last_used_ms.load(Ordering::Relaxed)
    }

    fn use_now(&self) {
        let now = now_ms();
        if now.abs_diff(self.last_used_ms()) >= LAST_USED_STEP_MS {
            self.set_last_used_ms(now);
        }
    }

    /// What it says orders versions, and nothing else: no other memory is read by it.
    pub(super) fn set_last_used_ms(&self, milliseconds: u64) {
        self.last_used_ms.store(milliseconds, Ordering::Relaxed);
    }
}

/// Milliseconds since 1970, UTC. A clock that is set back makes the wrong versions go for a while, and no answer wrong.
pub(super) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
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
    changed: Notify,
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
        let found = match model.version {
            VersionSelector::Stable => serving.stable.clone(),
            version => serving.loaded(serving.number(version)?).cloned(),
        };
        found.inspect(|version| version.use_now())
    }

    /// A classifier, if it is known.
    pub(super) fn classifier(&self, name: &ClassifierName) -> Option<Arc<LiveClassifier>> {
        self.classifiers.load().get(name).cloned()
    }

    /// Makes a classifier known; one that is known already stays as it is.
    pub(super) fn add(&self, record: ClassifierRecord) -> Arc<LiveClassifier> {
        let name = record.name.clone();
        let serving = Serving { record, stable: None, loaded: Vec::new() };
        let (serving, changes, changed) = (ArcSwap::from_pointee(serving), Mutex::new(()), Notify::new());
        let new = Arc::new(LiveClassifier { serving, changes, changed });
        let mut added = Arc::clone(&new);
        self.classifiers.rcu(|classifiers| {
            let mut classifiers = HashMap::clone(classifiers);
            added = Arc::clone(classifiers.entry(name.clone()).or_insert_with(|| Arc::clone(&new)));
            classifiers
        });
        added
    }

    /// The length of all that is in memory.
    pub(super) fn n_bytes(&self) -> u64 {
        let n_bytes = |serving: &Serving| serving.loaded.iter().map(|version| version.n_bytes).sum::<u64>();
        self.classifiers.load().values().map(|classifier| n_bytes(&classifier.serving.load())).sum()
    }

    /// Lets go of the version that was asked longest ago, but not of what answers for `classifiers/default`; `false` if there
    /// is no other. A call that has it in hand keeps it, and the next one that asks for it loads it again.
    pub(super) fn let_go_of_one(&self) -> bool {
        let default = ClassifierName::default();
        let classifiers = self.classifiers.load();
        let may_go = classifiers.iter().flat_map(|(name, classifier)| {
            let serving = classifier.serving();
            let stays = serving.stable.as_ref().filter(|_| *name == default).cloned();
            let loaded = serving.loaded.clone().into_iter();
            let may_go = loaded.filter(move |version| stays.as_ref().is_none_or(|stays| !Arc::ptr_eq(stays, version)));
            may_go.map(move |version| (classifier, version))
        });
        match may_go.min_by_key(|(_, version)| version.last_used_ms()) {
            None => false,
            Some((classifier, version)) => {
                classifier.let_go_of(&version);
                tracing::info!(version = %version.name, "no longer in memory");
                true
            }
        }
    }

    /// What answers where a stable version is asked for, of all classifiers of which it is in memory.
    pub(super) fn stable_versions(&self) -> Vec<Arc<LiveVersion>> {
        self.classifiers.load().values().filter_map(|classifier| classifier.serving.load().stable.clone()).collect()
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

    /// Ends when other versions answer than when this was called, or more are in memory; not when some were let go of.
    pub(super) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    /// Needs no turn: what is in memory changes no answer.
    fn let_go_of(&self, version: &Arc<LiveVersion>) {
        self.serving.rcu(|serving| {
            let mut serving = Serving::clone(serving);
            serving.loaded.retain(|other| !Arc::ptr_eq(other, version));
            serving.stable = serving.stable.filter(|stable| !Arc::ptr_eq(stable, version));
            serving
        });
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
    /// What it answers with now. Nobody else changes it meanwhile, but a version in memory may be let go of.
    pub(super) fn serving(&self) -> Arc<Serving> {
        self.classifier.serving()
    }

    /// Answers with `stable` from now on, where aliases mean what the record says.
    pub(super) fn answer_with(&self, record: ClassifierRecord, stable: Option<Arc<LiveVersion>>) {
        self.classifier.serving.rcu(|serving| {
            let mut serving = Serving::clone(serving);
            serving.record = record.clone();
            serving.stable = stable.clone();
            serving.keep(stable.clone());
            serving
        });
        self.classifier.changed.notify_waiters();
    }

    /// Lets go of a version that is stored no more; the record is what its classifier is without it.
    pub(super) fn forget(&self, record: ClassifierRecord, number: NonZeroU32) {
        self.classifier.serving.rcu(|serving| {
            let mut serving = Serving::clone(serving);
            serving.record = record.clone();
            serving.loaded.retain(|version| version.name.number != number);
            serving
        });
    }

    /// Takes a version into memory.
    pub(super) fn load(&self, version: Arc<LiveVersion>) {
        self.classifier.serving.rcu(|serving| {
            let mut serving = Serving::clone(serving);
            if serving.record.aliases.stable == Some(version.name.number) {
                serving.stable = Some(Arc::clone(&version));
            }
            serving.keep(Some(Arc::clone(&version)));
            serving
        });
        self.classifier.changed.notify_waiters();
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
            [aliases.stable, aliases.previous, aliases.candidate].contains(&number)
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
