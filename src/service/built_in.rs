//! The program's own model as a version of `classifiers/default`: stored like any other, so that rolling back to it works
//! also when the program has been replaced by one with a newer model.

use std::num::NonZeroU32;

use bytes::Bytes;

use super::promotion::promoted;
use super::version_details::VersionDetails;
use crate::artifact::Artifact;
use crate::names::ClassifierName;
use crate::store::{NewArtifact, NewVersion, Store, StoreError, VersionOrigin, VersionRecord};

/// Registers the model: the first time, and when it is another one than before, as a new version. It becomes the stable
/// one if there is none, or if that came with the program too. Says the version's number.
pub(super) async fn register(store: &Store, name: &ClassifierName, model: &Artifact) -> Result<NonZeroU32, StoreError> {
    let details = VersionDetails::of(model);
    match find(store, name, &details).await? {
        Some(number) => {
            go_back(store, name, number).await?;
            Ok(number)
        }
        None => add(store, name, model, &details).await,
    }
}

/// The built-in version that is this very model.
async fn find(
    store: &Store,
    name: &ClassifierName,
    details: &VersionDetails,
) -> Result<Option<NonZeroU32>, StoreError> {
    let built_in = store.built_in_versions(name).await?;
    let is_same =
        |record: &VersionRecord| VersionDetails::read(record).is_ok_and(|stored| stored.checksum == details.checksum);
    Ok(built_in.iter().find(|record| is_same(record)).map(|record| record.number))
}

/// Lets a built-in version that was registered before answer again if another built-in one does.
async fn go_back(store: &Store, name: &ClassifierName, number: NonZeroU32) -> Result<(), StoreError> {
    let Some(record) = store.classifier(name).await? else { return Ok(()) };
    let Some(stable) = record.aliases.stable.filter(|stable| *stable != number) else { return Ok(()) };
    let stable = store.version(name, stable).await?;
    if stable.is_some_and(|stable| stable.origin == VersionOrigin::BuiltIn) {
        // Nobody else has the store yet.
        store.move_aliases(name, record.etag, promoted(record.aliases, number), None).await?;
    }
    Ok(())
}

async fn add(
    store: &Store,
    name: &ClassifierName,
    model: &Artifact,
    details: &VersionDetails,
) -> Result<NonZeroU32, StoreError> {
    let stable = match store.classifier(name).await?.and_then(|record| record.aliases.stable) {
        Some(number) => store.version(name, number).await?,
        None => None,
    };
    let takes_over = stable.is_none_or(|stable| stable.origin == VersionOrigin::BuiltIn);
    let version = NewVersion {
        origin: VersionOrigin::BuiltIn,
        job: None,
        dataset_revision: None,
        parent: None,
        artifact: NewArtifact::new(Bytes::clone(&model.bytes)),
        details: details.to_json(),
        out_of_fold: Vec::new(),
    };
    let mut number = NonZeroU32::MIN;
    let aliases = |before, new| {
        number = new;
        if takes_over { promoted(before, new) } else { before }
    };
    store.add_version(name, &version, aliases).await?;
    Ok(number)
}
