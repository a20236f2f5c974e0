//! Versions that nobody needs any more: those beyond what a classifier's settings keep, and those that learned what was erased.

use std::num::NonZeroU32;
use std::sync::Arc;

use super::error::Error;
use super::live::Change;
use super::model_name::VersionName;
use super::models::Models;
use super::panic::panicked;
use super::promotion::stale;
use super::settings::ClassifierSettings;
use crate::names::ClassifierName;
use crate::store::{Aliases, ClassifierRecord};

impl Models {
    /// Deletes the oldest versions without an alias that are more than the settings keep, and gives the classifier as it is then.
    /// What fails is logged, and done at the next change.
    pub(super) async fn retain(&self, change: &Change<'_>, record: ClassifierRecord) -> ClassifierRecord {
        let mut current = record;
        if let Err(error) = self.delete_surplus(change, &mut current).await {
            tracing::error!(%error, classifier = %current.name, "versions beyond those that are kept couldn't be deleted");
        }
        current
    }

    async fn delete_surplus(&self, change: &Change<'_>, current: &mut ClassifierRecord) -> Result<(), Error> {
        let Some(limit) = ClassifierSettings::read(current)?.retention.max_unaliased_versions else { return Ok(()) };
        let unaliased: Vec<NonZeroU32> = self
            .store
            .version_numbers(&current.name)
            .await?
            .into_iter()
            .filter(|number| current.aliases.alias_of(*number).is_none())
            .filter(|&number| self.built_in != VersionName { classifier: current.name.clone(), number })
            .collect();
        for &number in unaliased.iter().skip(limit.get() as usize) {
            let Some(record) = self.store.delete_version(current, number).await? else { return Err(stale(current)) };
            change.forget(record.clone(), number);
            tracing::info!(version = %VersionName { classifier: record.name.clone(), number }, "deleted, as settings.retention says");
            *current = record;
        }
        Ok(())
    }

    /// Deletes versions whatever aliases they have. Where the stable one goes, the previous one takes its place if it stays.
    ///
    /// # Errors
    /// The classifier doesn't exist, or the store fails.
    pub(super) async fn purge(
        self: &Arc<Self>,
        classifier: ClassifierName,
        numbers: Vec<NonZeroU32>,
    ) -> Result<ClassifierRecord, Error> {
        let this = Arc::clone(self);
        let purged = tokio::spawn(async move { this.purge_on_task(&classifier, &numbers).await });
        purged.await.unwrap_or_else(|_| Err(panicked()))
    }

    async fn purge_on_task(&self, name: &ClassifierName, numbers: &[NonZeroU32]) -> Result<ClassifierRecord, Error> {
        let classifier = self.known(name).await?;
        let change = classifier.change().await;
        let record = self.classifier(name).await?;
        let aliases = without(record.aliases, numbers);
        let (stable, _room) = match aliases.stable {
            Some(number) if aliases.stable != record.aliases.stable => {
                // A damaged one is no reason to keep what must go: whoever asks for it is told.
                self.loaded_or_load(&change.serving(), name, number).await.ok().unzip()
            }
            Some(_) => (change.serving().stable().cloned(), None),
            None => (None, None),
        };
        let purged = self.store.purge_versions(&record, numbers, aliases).await?;
        let record = purged.ok_or_else(|| stale(&record))?;
        change.answer_with(record.clone(), stable);
        numbers.iter().for_each(|&number| change.forget(record.clone(), number));
        tracing::info!(classifier = %name, ?numbers, "versions were deleted with what they had learned");
        Ok(record)
    }
}

/// What the aliases mean when some versions are gone.
pub(super) fn without(aliases: Aliases, numbers: &[NonZeroU32]) -> Aliases {
    let kept = |alias: Option<NonZeroU32>| alias.filter(|number| !numbers.contains(number));
    match (kept(aliases.stable), kept(aliases.previous), kept(aliases.candidate)) {
        (None, previous, candidate) if aliases.stable.is_some() => Aliases {
            stable: previous,
            previous: None,
            candidate: candidate.filter(|number| Some(*number) != previous),
        },
        (stable, previous, candidate) => Aliases { stable, previous, candidate },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_previous_version_takes_the_place_of_a_stable_one_that_goes() {
        let number = |number: u32| NonZeroU32::new(number);
        let aliases = |stable: u32, previous: u32, candidate: u32| Aliases {
            stable: number(stable),
            previous: number(previous),
            candidate: number(candidate),
        };
        let without = |numbers: &[u32]| {
            let numbers: Vec<NonZeroU32> = numbers.iter().filter_map(|&n| number(n)).collect();
            super::without(aliases(3, 2, 4), &numbers)
        };
        assert_eq!(without(&[1]), aliases(3, 2, 4));
        assert_eq!(without(&[3]), aliases(2, 0, 4));
        assert_eq!(without(&[2, 4]), aliases(3, 0, 0));
        assert_eq!(without(&[2, 3]), aliases(0, 0, 4));
    }
}
