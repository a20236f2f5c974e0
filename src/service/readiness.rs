//! Whether `classifiers/default` answers, which is what makes a server ready.

use std::time::Duration;

use super::error::Error;
use super::model_name::{ModelName, VersionName};
use super::models::Models;
use super::panic::catch;
use super::self_test;
use crate::names::ClassifierName;

/// How often it is asked again when nothing here has changed it: what couldn't be read may have been mended.
const RETRY_INTERVAL: Duration = Duration::from_secs(10);

impl Models {
    /// Returns when what answers for `classifiers/default` is in memory and has taken its self-test; if it is in memory when
    /// this is called, without waiting for anything. Until then it tries whenever the classifier changes, and every ten
    /// seconds.
    pub async fn wait_for_default(&self) {
        let name = ClassifierName::default();
        let mut told = None;
        loop {
            let classifier = self.live.classifier(&name);
            // Asked for before looking, so that a change in between isn't missed.
            let changed = classifier.as_ref().map(|classifier| classifier.changed());
            let error = match self.ask_default().await {
                Ok(version) => return tracing::info!(%version, "has taken its self-test"),
                Err(error) => error,
            };
            if told.as_ref() != Some(&error) {
                tracing::error!(%error, "classifiers/default doesn't answer; health is NOT_SERVING until it does");
                told = Some(error);
            }
            match changed {
                Some(changed) => drop(tokio::time::timeout(RETRY_INTERVAL, changed).await),
                None => tokio::time::sleep(RETRY_INTERVAL).await,
            }
        }
    }

    async fn ask_default(&self) -> Result<VersionName, Error> {
        let version = self.resolve(&ModelName::default()).await?;
        // A short document: it keeps this thread no longer than a caller's.
        let sound = catch(|| self_test::check_sound(&version.classifier))?;
        let version = version.name.clone();
        match sound {
            Ok(()) => Ok(version),
            Err(unsound) => Err(Error::DamagedVersion { version, problem: unsound.to_string() }),
        }
    }
}
