//! Calls whose messages are still being read, and the documents that are expected of them: whoever will find no room needn't be
//! read, which costs more than to refuse it.
//!
//! What a batch has is known when it is read. Until then it is expected to have as many documents as those that were let in lately.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a call is counted on, from one to two of it: who sends a byte a second keeps nobody out.
const TICK: Duration = Duration::from_millis(100);
/// The mean number of documents of a batch is kept in such parts of one, and moves by this part of the difference each time.
const MEAN_PARTS: u32 = 256;
const MEAN_WEIGHT: i64 = 8;

/// Documents that a call will want let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// One.
    OneDocument,
    /// As many as batches have.
    Batch,
}

/// The calls that are being read.
#[derive(Debug)]
pub(super) struct Arrivals {
    begun: Instant,
    ticks: Mutex<Ticks>,
    mean_batch: AtomicU32,
}

/// Documents expected of calls that began in a tick, and in the one before.
#[derive(Debug, Default)]
struct Ticks {
    number: u64,
    current: u64,
    previous: u64,
}

/// A call that is being read; dropped when its documents are known, or it ends.
#[derive(Debug)]
pub struct Arrival {
    arrivals: Arc<Arrivals>,
    tick: u64,
    n_documents: u64,
}

impl Arrivals {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { begun: Instant::now(), ticks: Mutex::default(), mean_batch: AtomicU32::new(MEAN_PARTS) })
    }

    /// Takes note of a call, unless those that are being read are expected to take all that is free.
    pub(super) fn expect(self: &Arc<Self>, wanted: Wanted, n_free: usize) -> Option<Arrival> {
        let n_documents = match wanted {
            Wanted::OneDocument => 1,
            Wanted::Batch => u64::from(self.mean_batch.load(Ordering::Relaxed).div_ceil(MEAN_PARTS)),
        };
        let mut ticks = self.ticks();
        if ticks.current + ticks.previous >= n_free as u64 {
            return None;
        }
        ticks.current += n_documents;
        Some(Arrival { arrivals: Arc::clone(self), tick: ticks.number, n_documents })
    }

    /// Learns from a batch that was let in.
    pub(super) fn learn(&self, n_documents: u32) {
        let mean = self.mean_batch.load(Ordering::Relaxed);
        let difference = i64::from(n_documents.saturating_mul(MEAN_PARTS)) - i64::from(mean);
        let next = i64::from(mean) + difference / MEAN_WEIGHT;
        // Of two batches at the same time one may be lost: it is an estimate.
        self.mean_batch.store(u32::try_from(next).unwrap_or(u32::MAX).max(MEAN_PARTS), Ordering::Relaxed);
    }

    /// The ticks up to now.
    fn ticks(&self) -> MutexGuard<'_, Ticks> {
        let number = u64::try_from(self.begun.elapsed().as_nanos() / TICK.as_nanos()).unwrap_or(u64::MAX);
        let mut ticks = self.ticks.lock().unwrap_or_else(PoisonError::into_inner);
        ticks.go_on_to(number);
        ticks
    }
}

impl Ticks {
    fn go_on_to(&mut self, number: u64) {
        match number.saturating_sub(self.number) {
            0 => return,
            1 => self.previous = std::mem::take(&mut self.current),
            _ => (self.current, self.previous) = (0, 0),
        }
        self.number = number;
    }

    fn give_back(&mut self, tick: u64, n_documents: u64) {
        match self.number.saturating_sub(tick) {
            0 => self.current -= n_documents,
            1 => self.previous -= n_documents,
            _ => {}
        }
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        self.arrivals.ticks().give_back(self.tick, self.n_documents);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_will_find_no_room_is_not_read() {
        let arrivals = Arrivals::new();
        (0..100).for_each(|_| arrivals.learn(64));
        let first = arrivals.expect(Wanted::Batch, 100).unwrap();
        let second = arrivals.expect(Wanted::Batch, 100).unwrap();
        assert!(arrivals.expect(Wanted::OneDocument, 100).is_none());
        drop(first);
        let third = arrivals.expect(Wanted::OneDocument, 100).unwrap();
        assert_eq!((second.n_documents, third.n_documents), (64, 1));
        drop((second, third));
        assert!(arrivals.expect(Wanted::Batch, 1).is_some(), "alone, whatever is expected");
        assert!(arrivals.expect(Wanted::OneDocument, 0).is_none());
    }

    #[test]
    fn who_takes_long_to_send_is_not_counted_on() {
        let mut ticks = Ticks { number: 7, current: 5, previous: 3 };
        ticks.give_back(7, 1);
        ticks.give_back(6, 1);
        assert_eq!((ticks.current, ticks.previous), (4, 2));
        ticks.go_on_to(7);
        ticks.go_on_to(8);
        assert_eq!((ticks.current, ticks.previous), (0, 4));
        ticks.give_back(6, 2);
        ticks.give_back(7, 4);
        assert_eq!((ticks.current, ticks.previous), (0, 0));
        ticks.current = 9;
        ticks.go_on_to(10);
        assert_eq!((ticks.number, ticks.current, ticks.previous), (10, 0, 0));
    }

    #[test]
    fn batches_are_expected_to_be_like_those_of_late() {
        let arrivals = Arrivals::new();
        let expected = || arrivals.expect(Wanted::Batch, 10_000).unwrap().n_documents;
        assert_eq!(expected(), 1);
        (0..100).for_each(|_| arrivals.learn(256));
        assert!((250..=256).contains(&expected()), "{}", expected());
        (0..100).for_each(|_| arrivals.learn(1));
        assert_eq!(expected(), 2);
        arrivals.learn(u32::MAX);
        (0..200).for_each(|_| arrivals.learn(0));
        assert!(expected() <= 8);
    }
}
