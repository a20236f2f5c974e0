//! What is learned from served documents, off the reply path: the review queue, words that the vocabulary lacks, and what a
//! candidate would have answered.
//!
//! Nothing is kept of a classifier's documents unless its settings ask for it; what is kept is in memory only, bounded, and
//! gone with the process. Reading order: [`watch`] (what a call does: it counts, and may leave a copy of its document in the
//! inbox), `observer` (who takes the copies out and looks at them), [`review_queue`], [`unknown_terms`] and
//! [`shadow_report`] (what comes of it), [`read`] (what callers see of that).

mod observer;
pub mod read;
pub mod review_queue;
pub mod shadow_report;
pub mod unknown_terms;
pub mod watch;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

pub use observer::Observer;
pub use read::{DeleteReviewCall, ReviewCall, ReviewPage, ReviewPlace, UnknownTermsFound};

use super::model_name::{ModelName, VersionSelector};
use super::settings::ClassifierSettings;
use crate::names::ClassifierName;
use watch::{Inbox, Watch, WatchedCall};

/// The watches of the classifiers whose settings ask for one.
#[derive(Debug, Default)]
pub struct Traffic {
    watches: ArcSwap<HashMap<ClassifierName, Arc<Watch>>>,
    /// One change of settings at a time.
    changes: Mutex<()>,
    inbox: Arc<Inbox>,
}

impl Traffic {
    /// Watches a classifier as its settings say from now on; what they don't ask for any more is forgotten.
    pub(super) fn follow(&self, classifier: &ClassifierName, settings: &ClassifierSettings) {
        let _turn = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        let (review, shadow) = (settings.review, settings.shadow);
        let existing = self.watch_of(classifier);
        let is_wanted = review.max_documents.is_some() || shadow.share.get() > 0.0;
        if let Some(watch) = &existing {
            watch.set(review, shadow);
        }
        match (existing, is_wanted) {
            (None, true) => {
                let watch = Arc::new(Watch::new(&self.inbox));
                watch.set(review, shadow);
                self.watches.rcu(|watches| {
                    let mut watches = HashMap::clone(watches);
                    watches.insert(classifier.clone(), Arc::clone(&watch));
                    watches
                });
            }
            (Some(_), false) => {
                self.watches.rcu(|watches| {
                    let mut watches = HashMap::clone(watches);
                    watches.remove(classifier);
                    watches
                });
            }
            (Some(_), true) | (None, false) => {}
        }
    }

    /// What watches a call that asks this; `None` for most: those that don't ask for the stable version, which may be experiments,
    /// aren't watched, and others only where settings ask for it.
    pub(super) fn watch(&self, model: &ModelName) -> Option<WatchedCall> {
        if model.version == VersionSelector::Stable { Some(self.watch_of(&model.classifier)?.of_call()) } else { None }
    }

    /// Lets go of what was kept for too long, of all classifiers.
    fn expire(&self) {
        self.watches.load().values().for_each(|watch| watch.expire());
    }

    pub(super) fn watch_of(&self, classifier: &ClassifierName) -> Option<Arc<Watch>> {
        let watches = self.watches.load();
        if watches.is_empty() { None } else { watches.get(classifier).cloned() }
    }

    fn inbox(&self) -> &Inbox {
        &self.inbox
    }
}
