//! The versions of all classifiers: which there are, and which answer.
//!
//! The store says what is; [`LiveClassifiers`] holds what answers. A change is stored first and swapped in before its caller
//! is told, both under the classifier's lock for changes: after a crash in between, the next start answers by what is stored.

use std::num::{NonZeroU32, NonZeroU64};
use std::sync::Arc;

use super::built_in;
use super::error::Error;
use super::gate::{PromotionPolicy, Verdict};
use super::live::{LiveClassifier, LiveClassifiers, LiveVersion};
use super::memory::ModelMemory;
use super::model_name::{ModelName, VersionName, VersionSelector};
use super::out_of_fold::OutOfFold;
use super::promotion::promoted;
use super::settings::ClassifierSettings;
use super::traffic::Traffic;
use super::version_details::{VersionDetails, VersionInfo};
use crate::artifact::Artifact;
use crate::names::ClassifierName;
use crate::store::{Aliases, ClassifierRecord, JobState, NewVersion, RenamedTopic, Store, StoreError, StoreSize};

/// The versions of all classifiers.
#[derive(Debug)]
pub struct Models {
    pub(super) store: Store,
    pub(super) live: LiveClassifiers,
    /// The version that is the model which the server was started with.
    pub(super) built_in: VersionName,
    pub(super) memory: Arc<ModelMemory>,
    /// What is learned from served documents.
    pub(super) traffic: Traffic,
}

/// The end of a training job that made a version.
pub(super) struct TrainedVersion {
    pub(super) classifier: ClassifierName,
    pub(super) job: NonZeroU32,
    pub(super) version: NewVersion,
    /// Read from the version's file.
    pub(super) model: Artifact,
    /// What the classifier's settings said when it was judged.
    pub(super) stored_policy: PromotionPolicy,
    /// Which alias it gets.
    pub(super) verdict: Verdict,
}

/// What a version that was just trained wants to take the place of.
pub(super) struct Incumbent {
    pub(super) stored_policy: PromotionPolicy,
    pub(super) stable: Option<NonZeroU32>,
    pub(super) answering: Option<Answering>,
}

/// What answers in the stable version's place.
pub(super) struct Answering {
    pub(super) version: Arc<LiveVersion>,
    pub(super) out_of_fold: OutOfFold,
    /// The topics that got other names between the documents that it was trained on and those of the new version.
    pub(super) renamed: Vec<RenamedTopic>,
}

impl Models {
    /// Registers the program's own model: the first time, and when it is another one than before, as a new version of
    /// `classifiers/default`. It becomes the stable one if there is none, or if that came with the program too. All
    /// other versions are loaded when they are first asked for ([`Self::wait_for_default`] asks for one), and let go of when
    /// there are more than `max_bytes` of them.
    ///
    /// # Errors
    /// The store fails.
    pub async fn open(store: Store, model: Artifact, max_bytes: NonZeroU64) -> Result<Self, StoreError> {
        let name = ClassifierName::default();
        let number = built_in::register(&store, &name, &model).await?;
        let built_in = VersionName { classifier: name.clone(), number };
        let memory = Arc::new(ModelMemory::new(max_bytes));
        let (live, traffic) = (LiveClassifiers::default(), Traffic::default());
        let models = Self { store, live, memory, built_in, traffic };
        for record in models.store.classifiers().await? {
            match ClassifierSettings::read(&record) {
                Ok(settings) => models.traffic.follow(&record.name, &settings),
                Err(error) => tracing::error!(%error, classifier = %record.name, "its settings can't be read"),
            }
            models.live.add(record);
        }
        if let Some(classifier) = models.live.classifier(&name) {
            // From the program's own bytes, which needn't be read from the store.
            let version = LiveVersion::new(models.built_in.clone(), model);
            classifier.change().await.load(Arc::new(version));
        }
        Ok(models)
    }

    /// The versions of a store that nobody serves, to be looked at and changed; the program's own model isn't registered. What
    /// a server that has the store would begin with counts as that which came with a program last.
    ///
    /// # Errors
    /// The store fails.
    pub async fn of_store(store: Store) -> Result<Self, StoreError> {
        let name = ClassifierName::default();
        let newest = store.built_in_versions(&name).await?.into_iter().map(|version| version.number).next();
        let built_in = VersionName { classifier: name, number: newest.unwrap_or(NonZeroU32::MIN) };
        let memory = Arc::new(ModelMemory::new(NonZeroU64::MAX));
        Ok(Self { store, live: LiveClassifiers::default(), memory, built_in, traffic: Traffic::default() })
    }

    /// How much is stored.
    ///
    /// # Errors
    /// [`Error::StoreFailed`].
    pub async fn store_size(&self) -> Result<StoreSize, Error> {
        Ok(self.store.size().await?)
    }

    /// The versions in memory, by name.
    pub fn loaded(&self) -> Vec<Arc<LiveVersion>> {
        self.memory.loaded(&self.live)
    }

    /// A classifier that is stored, also if that happened after the start.
    pub(super) async fn known(&self, name: &ClassifierName) -> Result<Arc<LiveClassifier>, Error> {
        if let Some(classifier) = self.live.classifier(name) {
            return Ok(classifier);
        }
        let record = self.store.classifier(name).await?;
        Ok(self.live.add(record.ok_or_else(|| Error::UnknownClassifier(name.clone()))?))
    }

    /// All classifiers, by name.
    ///
    /// # Errors
    /// [`Error::StoreFailed`].
    pub async fn classifiers(&self) -> Result<Vec<ClassifierRecord>, Error> {
        Ok(self.store.classifiers().await?)
    }

    /// One classifier.
    ///
    /// # Errors
    /// It doesn't exist, or the store fails.
    pub async fn classifier(&self, name: &ClassifierName) -> Result<ClassifierRecord, Error> {
        self.store.classifier(name).await?.ok_or_else(|| Error::UnknownClassifier(name.clone()))
    }

    /// What is known of a version.
    ///
    /// # Errors
    /// It doesn't exist, or the store fails.
    pub async fn version(&self, model: &ModelName) -> Result<VersionInfo, Error> {
        let record = self.classifier(&model.classifier).await?;
        let number = number_in(&record, model)?;
        self.version_info(&model.classifier, number).await
    }

    /// The newest versions below a number, newest first, at most `limit`.
    ///
    /// # Errors
    /// The classifier doesn't exist, or the store fails.
    pub async fn versions(
        &self,
        classifier: &ClassifierName,
        below: Option<u32>,
        limit: u32,
    ) -> Result<Vec<VersionInfo>, Error> {
        self.classifier(classifier).await?;
        let records = self.store.versions(classifier, below, limit).await?;
        records
            .into_iter()
            .map(|record| {
                let details = VersionDetails::read(&record)?;
                Ok(VersionInfo { record, details })
            })
            .collect()
    }

    pub(super) async fn version_info(
        &self,
        classifier: &ClassifierName,
        number: NonZeroU32,
    ) -> Result<VersionInfo, Error> {
        let record = self.store.version(classifier, number).await?;
        let record = record.ok_or_else(|| unknown(classifier, number))?;
        let details = VersionDetails::read(&record)?;
        Ok(VersionInfo { record, details })
    }

    /// What the classifier's settings ask of a new version, the stable version's number, and what to compare with: what answers in the stable version's
    /// place, and its out-of-fold predictions. With a damaged version that nothing stands in for there is nothing to
    /// compare: training again is how to mend it. `revision` is that of the new version's documents; `None`: they weren't
    /// stored, and count as labelled now.
    pub(super) async fn incumbent(
        &self,
        classifier: &ClassifierName,
        revision: Option<u32>,
    ) -> Result<Incumbent, Error> {
        let record = self.classifier(classifier).await?;
        let stored_policy = ClassifierSettings::read(&record)?.promotion_policy;
        let stable = record.aliases.stable;
        let model = ModelName { classifier: classifier.clone(), version: VersionSelector::Stable };
        let version = match self.resolve(&model).await {
            Ok(version) => version,
            Err(Error::NothingTrained(_) | Error::NothingPromoted(_) | Error::DamagedVersion { .. }) => {
                return Ok(Incumbent { stored_policy, stable, answering: None });
            }
            Err(error) => return Err(error),
        };
        let renamed = self.renamed_since(&version.name, revision).await?;
        match self.out_of_fold(&version).await {
            Ok(out_of_fold) => {
                let answering = Some(Answering { version, out_of_fold, renamed });
                Ok(Incumbent { stored_policy, stable, answering })
            }
            // Deleted meanwhile: then another version is stable now, and storing what was compared with this one is refused.
            Err(Error::UnknownVersion(_)) => Ok(Incumbent { stored_policy, stable, answering: None }),
            Err(error) => Err(error),
        }
    }

    /// The topics that got other names after a version's documents, up to a revision; none if these weren't stored.
    async fn renamed_since(&self, version: &VersionName, last: Option<u32>) -> Result<Vec<RenamedTopic>, Error> {
        let VersionName { classifier, number } = version;
        let trained_on = self.store.version(classifier, *number).await?.and_then(|record| record.dataset_revision);
        match trained_on {
            Some(revision) => Ok(self.store.renamed_topics(classifier, revision, last).await?),
            None => Ok(Vec::new()),
        }
    }

    /// What a version's training said of its documents; nothing of one that wasn't trained here. A version that was deleted
    /// since it was loaded is unknown: otherwise it would be judged by what it learned by heart.
    pub(super) async fn out_of_fold(&self, version: &LiveVersion) -> Result<OutOfFold, Error> {
        let VersionName { classifier, number } = &version.name;
        let bytes = self.store.out_of_fold(classifier, *number).await?;
        let bytes = bytes.ok_or_else(|| unknown(classifier, *number))?;
        Ok(OutOfFold::decode(&bytes, version.classifier.topics().len()))
    }

    /// Ends a job with the version that it made, which answers if it is stable; says when. `details` makes the job's
    /// details, given the version's number. `None`, and nothing is stored, when another version is stable than the one
    /// that this was compared with, or the settings ask for something else.
    pub(super) async fn add_trained(
        &self,
        trained: TrainedVersion,
        details: impl FnOnce(NonZeroU32) -> String,
    ) -> Result<Option<u64>, Error> {
        let classifier = self.known(&trained.classifier).await?;
        let change = classifier.change().await;
        let record = self.classifier(&trained.classifier).await?;
        let is_as_judged = record.aliases.stable == trained.version.parent
            && ClassifierSettings::read(&record)?.promotion_policy == trained.stored_policy;
        if !is_as_judged {
            return Ok(None);
        }
        let TrainedVersion { classifier: name, job, version, model, verdict, .. } = trained;
        let room = self.memory.room(&self.live, model.bytes.len() as u64).await;
        let aliases = move |before, new| match verdict {
            Verdict::Stable => promoted(before, new),
            Verdict::Candidate => Aliases { candidate: Some(new), ..before },
            Verdict::Stored => before,
        };
        let mut number = NonZeroU32::MIN;
        let job_details = |made: Option<NonZeroU32>| {
            number = made.unwrap_or(number);
            details(number)
        };
        let (record, ended_at_ms) =
            self.store.end_job(&name, job, JobState::Succeeded, Some(&version), aliases, job_details).await?;
        let live = Arc::new(LiveVersion::new(VersionName { classifier: name, number }, model));
        let stable =
            if verdict == Verdict::Stable { Some(Arc::clone(&live)) } else { change.serving().stable().cloned() };
        change.answer_with(record.clone(), stable);
        if verdict == Verdict::Candidate {
            change.load(live);
        }
        drop(room);
        self.memory.trim(&self.live);
        self.retain(&change, record).await;
        Ok(Some(ended_at_ms))
    }
}

fn unknown(classifier: &ClassifierName, number: NonZeroU32) -> Error {
    Error::UnknownVersion(ModelName { classifier: classifier.clone(), version: VersionSelector::Number(number) })
}

/// The number of the version that a caller means, whether or not a number that is named exists.
pub(super) fn number_in(record: &ClassifierRecord, model: &ModelName) -> Result<NonZeroU32, Error> {
    model.version.number_in(record).ok_or_else(|| match (record.latest, model.version) {
        (None, _) => Error::NothingTrained(model.classifier.clone()),
        (Some(_), VersionSelector::Stable) => Error::NothingPromoted(model.classifier.clone()),
        (Some(_), _) => Error::UnknownVersion(model.clone()),
    })
}
