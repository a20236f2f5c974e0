//! How much a principal may use: documents a second, stored documents, trainings at a time.

use std::num::{NonZeroU32, NonZeroU64};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The most that a principal may use; `None`: as much as the server's limits allow everybody together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Quotas {
    /// Documents that it has classified a second, on average: what wasn't used in the last second may be used at once. A batch is let in
    /// as a whole when anything is left, and what it takes too much is waited for after it.
    pub documents_per_second: Option<NonZeroU32>,
    /// Labelled documents that it has brought and that are in datasets now.
    pub stored_documents: Option<NonZeroU64>,
    /// Training jobs of its that run or wait at a time.
    pub training_jobs: Option<NonZeroU32>,
}

/// What a principal has used, whatever the file has said of it meanwhile.
#[derive(Debug, Default)]
pub struct Usage {
    documents: Mutex<Option<Balance>>,
    n_training_jobs: AtomicU32,
}

/// The longest that a quota is waited for: what one call takes beyond it is let go.
const MAX_DEBT_SECONDS: f64 = 60.0;

/// Documents that may still be taken; below zero after a batch that took more than were left.
#[derive(Debug, Clone, Copy)]
struct Balance {
    n_documents: f64,
    at: Instant,
}

impl Usage {
    /// Takes documents from what a second allows.
    ///
    /// # Errors
    /// When there is none left: how long it takes until there is one.
    pub fn take_documents(&self, n_documents: usize, per_second: NonZeroU32, now: Instant) -> Result<(), Duration> {
        let rate = f64::from(per_second.get());
        let mut balance = self.documents.lock().unwrap_or_else(PoisonError::into_inner);
        let left = match *balance {
            None => rate,
            Some(Balance { n_documents, at }) => {
                (n_documents + rate * now.saturating_duration_since(at).as_secs_f64()).min(rate)
            }
        };
        let is_left = left >= 1.0;
        let taken = if is_left { n_documents as f64 } else { 0.0 };
        *balance = Some(Balance { n_documents: (left - taken).max(-MAX_DEBT_SECONDS * rate), at: now });
        if is_left { Ok(()) } else { Err(Duration::from_secs_f64((1.0 - left) / rate)) }
    }

    /// Takes one of the places of training jobs, until what is returned is dropped; `None` when all are taken.
    pub fn take_training_place(self: &Arc<Self>, n_places: NonZeroU32) -> Option<TrainingPlace> {
        let take = |taken: u32| (taken < n_places.get()).then_some(taken + 1);
        self.n_training_jobs.fetch_update(Ordering::AcqRel, Ordering::Acquire, take).ok()?;
        Some(TrainingPlace(Arc::clone(self)))
    }
}

/// One of the places of a principal's training jobs.
#[derive(Debug)]
pub struct TrainingPlace(Arc<Usage>);

impl Drop for TrainingPlace {
    fn drop(&mut self) {
        self.0.n_training_jobs.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN: NonZeroU32 = NonZeroU32::new(10).unwrap();

    #[test]
    fn what_a_second_allows_is_kept_on_average_and_a_large_batch_waits_after_it() {
        let (usage, begun) = (Usage::default(), Instant::now());
        let at = |seconds: f64| begun + Duration::from_secs_f64(seconds);
        for _ in 0..10 {
            assert_eq!(usage.take_documents(1, TEN, at(0.0)), Ok(()));
        }
        assert_eq!(usage.take_documents(1, TEN, at(0.0)), Err(Duration::from_millis(100)));
        // A batch of more than a second's worth: 1 is left at 0.1 s, 29 are owed after it, and paid back by 3.1 s.
        assert_eq!(usage.take_documents(30, TEN, at(0.101)), Ok(()));
        assert!(usage.take_documents(1, TEN, at(3.0)).is_err());
        assert_eq!(usage.take_documents(1, TEN, at(3.2)), Ok(()));
        // However many a call says that it has, its principal isn't locked out.
        assert_eq!(usage.take_documents(usize::MAX, TEN, at(4.0)), Ok(()));
        assert!(usage.take_documents(1, TEN, at(60.0)).is_err());
        assert_eq!(usage.take_documents(1, TEN, at(65.0)), Ok(()));
        // A pause isn't saved up for longer than a second.
        for _ in 0..10 {
            assert_eq!(usage.take_documents(1, TEN, at(100.0)), Ok(()));
        }
        assert!(usage.take_documents(1, TEN, at(100.0)).is_err());
    }

    #[test]
    fn places_of_trainings_come_back() {
        let usage = Arc::new(Usage::default());
        let two = NonZeroU32::new(2).unwrap();
        let first = usage.take_training_place(two).unwrap();
        let _second = usage.take_training_place(two).unwrap();
        assert!(usage.take_training_place(two).is_none());
        drop(first);
        assert!(usage.take_training_place(two).is_some());
    }
}
