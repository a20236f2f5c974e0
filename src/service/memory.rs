//! How much memory models may take, all classifiers together: room is made before one is loaded, by letting go of those
//! that were asked longest ago.
//!
//! What counts is the length of a version's file, of which its parts are views. A version that a call has in hand answers that
//! call whatever becomes of it here; from then on its bytes aren't counted, and last as long as the call. What answers for
//! `classifiers/default` always stays. A version that is longer than the whole budget answers too: everything else
//! that may go is let go of for it, and it goes when the next one is loaded.

use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::live::{LiveClassifiers, LiveVersion};

/// The budget, and what loads in progress have taken of it.
#[derive(Debug)]
pub struct ModelMemory {
    max_bytes: NonZeroU64,
    /// Bytes of versions that are being loaded. The lock is held by whoever makes room, and by nobody who answers.
    reserved: Mutex<u64>,
    given_back: Notify,
}

/// Room for one version, taken before it is loaded and given back by dropping this when it counts among the loaded ones.
#[derive(Debug)]
pub(super) struct Room {
    memory: Arc<ModelMemory>,
    n_bytes: u64,
}

impl ModelMemory {
    /// A budget of so many bytes.
    pub(super) fn new(max_bytes: NonZeroU64) -> Self {
        Self { max_bytes, reserved: Mutex::new(0), given_back: Notify::new() }
    }

    /// Makes room for a version. Where other loads have taken what could be made, it waits for them: whoever has room
    /// waits for nobody.
    pub(super) async fn room(self: &Arc<Self>, live: &LiveClassifiers, n_bytes: u64) -> Room {
        loop {
            // Asked for before looking, so that room that is given back in between isn't missed.
            let given_back = self.given_back.notified();
            if let Some(room) = self.try_room(live, n_bytes) {
                return room;
            }
            given_back.await;
        }
    }

    /// `None` when others are loading, and must have done so first.
    fn try_room(self: &Arc<Self>, live: &LiveClassifiers, n_bytes: u64) -> Option<Room> {
        let mut reserved = self.reserved();
        while live.n_bytes() + *reserved + n_bytes > self.max_bytes.get() {
            if live.let_go_of_one() {
                continue;
            }
            if *reserved > 0 {
                return None;
            }
            tracing::warn!(
                n_bytes,
                max_model_bytes = self.max_bytes,
                "a model doesn't fit the budget, and is loaded alone"
            );
            break;
        }
        *reserved += n_bytes;
        Some(Room { memory: Arc::clone(self), n_bytes })
    }

    /// Lets go of what is too much, for those who put a version back that was in memory before: it may have been let go of
    /// meanwhile, and its place taken.
    pub(super) fn trim(&self, live: &LiveClassifiers) {
        let reserved = self.reserved();
        while live.n_bytes() + *reserved > self.max_bytes.get() && live.let_go_of_one() {}
    }

    /// Every version in memory at one moment, by name: nothing is let go of meanwhile, so that they are together within the
    /// budget as it is kept.
    pub(super) fn loaded(&self, live: &LiveClassifiers) -> Vec<Arc<LiveVersion>> {
        let _nobody_makes_room = self.reserved();
        live.versions()
    }

    fn reserved(&self) -> MutexGuard<'_, u64> {
        self.reserved.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        *self.memory.reserved() -= self.n_bytes;
        self.memory.given_back.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::artifact::{self, Artifact};
    use crate::names::ClassifierName;
    use crate::service::{ModelName, VersionName};
    use crate::store::{Aliases, ClassifierRecord};

    /// Classifiers that all have the bundled model, so that each takes the same room.
    struct Fixture {
        live: LiveClassifiers,
        memory: Arc<ModelMemory>,
        model: Artifact,
    }

    impl Fixture {
        /// Room for so many models and a half.
        fn new(n_models: u64) -> Self {
            let model = artifact::bundled().unwrap();
            let n_bytes = model.bytes.len() as u64;
            let max_bytes = NonZeroU64::new(n_bytes * n_models + n_bytes / 2).unwrap();
            Self { live: LiveClassifiers::default(), memory: Arc::new(ModelMemory::new(max_bytes)), model }
        }

        fn n_bytes(&self) -> u64 {
            self.model.bytes.len() as u64
        }

        async fn load(&self, name: &str, last_used: u64) -> Arc<LiveVersion> {
            let room = self.memory.room(&self.live, self.n_bytes()).await;
            let name: ClassifierName = name.parse().unwrap();
            let number = NonZeroU32::MIN;
            let aliases = Aliases { stable: Some(number), ..Aliases::default() };
            let record = ClassifierRecord { aliases, latest: Some(number), ..ClassifierRecord::new(name.clone()) };
            let version = Arc::new(LiveVersion::new(VersionName { classifier: name, number }, self.model.clone()));
            version.set_last_used_ms(last_used);
            self.live.add(record).change().await.load(Arc::clone(&version));
            drop(room);
            version
        }

        fn loaded(&self) -> Vec<String> {
            let loaded = self.memory.loaded(&self.live);
            loaded.iter().map(|version| version.name.classifier.as_str().to_owned()).collect()
        }
    }

    #[tokio::test]
    async fn what_was_asked_longest_ago_goes_and_the_default_stays() {
        let fixture = Fixture::new(3);
        fixture.load("default", 1).await;
        fixture.load("a", 2).await;
        let b = fixture.load("b", 3).await;
        // It was asked again meanwhile.
        fixture.live.find(&"classifiers/a".parse::<ModelName>().unwrap()).unwrap();
        fixture.load("c", 5).await;
        assert_eq!(fixture.loaded(), ["a", "c", "default"]);
        assert!(fixture.live.find(&"classifiers/b".parse::<ModelName>().unwrap()).is_none());
        // A call that has it in hand gets its answer.
        assert!(!b.classifier.topics().is_empty());
        assert!(fixture.live.n_bytes() <= fixture.memory.max_bytes.get());
    }

    #[tokio::test]
    async fn a_model_beyond_the_budget_is_loaded_alone() {
        let fixture = Fixture::new(0);
        fixture.load("default", 1).await;
        fixture.load("a", 2).await;
        fixture.load("b", 3).await;
        assert_eq!(fixture.loaded(), ["b", "default"]);
    }

    #[tokio::test]
    async fn loads_wait_for_room_that_others_have_taken() {
        let fixture = Fixture::new(1);
        let room = fixture.memory.room(&fixture.live, fixture.n_bytes()).await;
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let mut waiting = Box::pin(fixture.memory.room(&fixture.live, fixture.n_bytes()));
        assert!(waiting.as_mut().poll(&mut context).is_pending());
        drop(room);
        drop(waiting.await);
        assert_eq!(*fixture.memory.reserved(), 0);
    }
}
