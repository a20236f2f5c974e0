//! Getting a version into memory when it is asked for: read, checked, and given room.

use std::num::NonZeroU32;
use std::sync::Arc;

use super::error::Error;
use super::live::{LiveVersion, Serving};
use super::memory::Room;
use super::model_name::{ModelName, VersionName, VersionSelector};
use super::models::{Models, number_in};
use super::panic::panicked;
use super::self_test;
use crate::artifact;
use crate::names::ClassifierName;
use crate::store::StoreError;

impl Models {
    /// The version that a caller means; loads it if it isn't in memory.
    ///
    /// # Errors
    /// It doesn't exist, or can't be loaded.
    pub async fn resolve(&self, model: &ModelName) -> Result<Arc<LiveVersion>, Error> {
        match self.live.find(model) {
            Some(version) => Ok(version),
            None => self.load(model).await,
        }
    }

    async fn load(&self, model: &ModelName) -> Result<Arc<LiveVersion>, Error> {
        let classifier = self.known(&model.classifier).await?;
        let change = classifier.change().await;
        // Somebody else may have loaded it while we waited.
        if let Some(version) = self.live.find(model) {
            return Ok(version);
        }
        let serving = change.serving();
        let number = number_in(&serving.record, model)?;
        let loaded = self.load_version(&model.classifier, number).await;
        match (loaded, model.version, serving.record.aliases.previous) {
            (Ok((version, _room)), ..) => {
                change.load(Arc::clone(&version));
                Ok(version)
            }
            (Err(error @ Error::DamagedVersion { .. }), VersionSelector::Stable, Some(previous)) => {
                let stand_in = self.loaded_or_load(&serving, &model.classifier, previous).await;
                let (stand_in, _room) = stand_in.map_err(|_| error.clone())?;
                tracing::error!(%error, stand_in = %stand_in.name, "the previous version answers instead");
                change.answer_with(serving.record.clone(), Some(Arc::clone(&stand_in)));
                Ok(stand_in)
            }
            (Err(error), ..) => Err(error),
        }
    }

    /// A version that is in memory, or else is read; its room is given back when it counts as loaded.
    pub(super) async fn loaded_or_load(
        &self,
        serving: &Serving,
        classifier: &ClassifierName,
        number: NonZeroU32,
    ) -> Result<(Arc<LiveVersion>, Option<Room>), Error> {
        match serving.loaded(number) {
            Some(version) => Ok((Arc::clone(version), None)),
            None => {
                let (version, room) = self.load_version(classifier, number).await?;
                Ok((version, Some(room)))
            }
        }
    }

    /// Makes room for a version, reads its file, and has it take its self-test.
    pub(super) async fn load_version(
        &self,
        classifier: &ClassifierName,
        number: NonZeroU32,
    ) -> Result<(Arc<LiveVersion>, Room), Error> {
        let info = self.version_info(classifier, number).await?;
        let name = VersionName { classifier: classifier.clone(), number };
        let damaged = |problem: String| {
            tracing::error!(version = %name, problem, "a model file can't be used");
            Error::DamagedVersion { version: name.clone(), problem }
        };
        let room = self.memory.room(&self.live, info.record.artifact_bytes).await;
        let bytes = match self.store.artifact(&info.record.artifact_sha256).await {
            Ok(bytes) => bytes,
            Err(error @ StoreError::DamagedArtifact) => return Err(damaged(error.to_string())),
            Err(error) => return Err(error.into()),
        };
        let examples = self.store.examples_of(classifier, &info.details.self_test.hashes()).await?;
        let decoded = tokio::task::spawn_blocking(move || {
            let model = artifact::decode(bytes)?;
            let documents = examples.iter().map(|example| &example.document);
            let answers = info.details.self_test.run(&model.classifier, documents, self_test::LATER_TOLERANCE);
            let sound = self_test::check_sound(&model.classifier);
            Ok::<_, artifact::ArtifactError>((model, answers, sound))
        });
        let decoded = decoded.await.map_err(|_| panicked())?;
        let (model, (n_right, n_asked), sound) = decoded.map_err(|error| damaged(error.to_string()))?;
        if n_right < n_asked {
            return Err(damaged(format!("its self-test failed for {} of {n_asked} documents", n_asked - n_right)));
        }
        sound.map_err(|unsound| damaged(unsound.to_string()))?;
        tracing::info!(version = %name, "loaded");
        Ok((Arc::new(LiveVersion::new(name, model)), room))
    }
}
