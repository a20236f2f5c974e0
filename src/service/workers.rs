//! Where long work runs, and how much of it is let in.
//!
//! The limit counts documents, over all calls, from when they are let in until their answer is ready. There is no
//! queue besides: whoever would exceed the limit is told at once and can go elsewhere, so waiting time is bounded by
//! the limit too.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tracing::Span;

use super::error::Error;
use super::panic::{catch, panicked};

/// Threads for work that is too long for the threads that serve connections, and the limit on what is in flight.
#[derive(Debug)]
pub struct Workers {
    pool: rayon::ThreadPool,
    free: Arc<Semaphore>,
    limit: u32,
}

/// The right to have some documents in flight; given back when dropped.
#[derive(Debug)]
pub struct Admission {
    _permit: OwnedSemaphorePermit,
}

/// Says whether the caller still waits: work for one who has hung up, or whose deadline has passed, is left undone.
pub type IsAwaited<'a> = &'a (dyn Fn() -> bool + Sync);

impl Workers {
    /// Starts a thread for each processor.
    ///
    /// # Errors
    /// The operating system gives no more threads.
    pub fn start(max_documents_in_flight: NonZeroU32) -> Result<Self, rayon::ThreadPoolBuildError> {
        let pool = rayon::ThreadPoolBuilder::new().thread_name(|index| format!("worker-{index}")).build()?;
        let limit = max_documents_in_flight.get();
        Ok(Self { pool, free: Arc::new(Semaphore::new(limit as usize)), limit })
    }

    /// The documents in flight, and the most there may be.
    pub fn load(&self) -> (u64, u64) {
        let limit = u64::from(self.limit);
        (limit.saturating_sub(self.free.available_permits() as u64), limit)
    }

    /// Whether there is no room for a single document: then whatever a call has is refused, and needn't be read.
    ///
    /// # Errors
    /// [`Error::NoRoom`].
    pub fn check_room(&self) -> Result<(), Error> {
        if self.free.available_permits() > 0 { Ok(()) } else { Err(Error::NoRoom { limit: self.limit }) }
    }

    /// Lets documents in, or refuses them at once.
    ///
    /// # Errors
    /// [`Error::Overloaded`].
    pub fn admit(&self, n_documents: u32) -> Result<Admission, Error> {
        match Arc::clone(&self.free).try_acquire_many_owned(n_documents) {
            Ok(permit) => Ok(Admission { _permit: permit }),
            Err(_) => Err(Error::Overloaded { n_documents, limit: self.limit }),
        }
    }

    /// Does `work` to each item on the workers; the results are in the items' order. Calls are worked on in the order in which
    /// they came. The documents count as in flight until all is done, or, when the caller is gone, left undone.
    ///
    /// # Errors
    /// [`Error::Panicked`].
    pub async fn map<I, T, W>(&self, admission: Admission, items: Vec<I>, work: W) -> Result<Vec<T>, Error>
    where
        I: Send + 'static,
        T: Send + 'static,
        W: Fn(I) -> T + Send + Sync + 'static,
    {
        let n_per_part = items.len().div_ceil(4 * self.pool.current_num_threads()).clamp(1, MAX_PART);
        let n_parts = items.len().div_ceil(n_per_part);
        if n_parts == 0 {
            return Ok(Vec::new());
        }
        let (reply, answer) = oneshot::channel();
        let parts = Arc::new(Parts {
            work,
            results: Mutex::new((0..n_parts).map(|_| None).collect()),
            n_left: AtomicUsize::new(n_parts),
            end: Mutex::new(Some((admission, reply))),
        });
        let mut items = items.into_iter();
        for place in 0..n_parts {
            let (parts, part, span) = (Arc::clone(&parts), items.by_ref().take(n_per_part).collect(), Span::current());
            self.pool.spawn_fifo(move || span.in_scope(|| parts.do_part(place, part)));
        }
        drop(parts);
        answer.await.unwrap_or_else(|_| Err(panicked()))
    }

    /// Does `work` on one of the workers; what has parts is for [`Self::map`]. The documents count as in flight until it is done, even when the caller is gone by then. `work` returns `None` only when nobody waits any more.
    ///
    /// # Errors
    /// [`Error::Panicked`].
    pub async fn run<T: Send + 'static>(
        &self,
        admission: Admission,
        work: impl FnOnce(IsAwaited<'_>) -> Option<T> + Send + 'static,
    ) -> Result<T, Error> {
        let admitted = move |is_awaited: IsAwaited<'_>| {
            let result = work(is_awaited);
            drop(admission);
            result
        };
        run_on(&self.pool, admitted).await
    }
}

/// The documents of a part: enough that handing it on costs nothing, few enough that others don't wait for it.
const MAX_PART: usize = 16;

/// Where results are sent.
type Reply<T> = oneshot::Sender<Result<T, Error>>;

/// Items that are worked on in parts, by whoever is free. No thread waits for another one's part: rayon would give it another
/// call's work meanwhile, and its own call would wait for that, and so on.
struct Parts<T, W> {
    work: W,
    results: Mutex<Vec<Option<Vec<T>>>>,
    n_left: AtomicUsize,
    /// Taken when the results are sent.
    end: Mutex<Option<(Admission, Reply<Vec<T>>)>>,
}

impl<T, W> Parts<T, W> {
    fn is_awaited(&self) -> bool {
        let end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        end.as_ref().is_some_and(|(_, reply)| !reply.is_closed())
    }

    fn do_part<I>(&self, place: usize, part: Vec<I>)
    where
        W: Fn(I) -> T,
    {
        let results = catch(|| {
            let results = part.into_iter().map(|item| self.is_awaited().then(|| (self.work)(item)));
            results.collect::<Option<Vec<T>>>()
        });
        match results {
            Ok(Some(results)) => self.results.lock().unwrap_or_else(PoisonError::into_inner)[place] = Some(results),
            Ok(None) => {}
            Err(panicked) => self.send(Err(panicked)),
        }
        // The last one sees what the others have left.
        if self.n_left.fetch_sub(1, Ordering::AcqRel) == 1 {
            let results = std::mem::take(&mut *self.results.lock().unwrap_or_else(PoisonError::into_inner));
            match results.into_iter().collect::<Option<Vec<_>>>() {
                Some(results) => self.send(Ok(results.into_iter().flatten().collect())),
                // Nobody waits any more, or knows that there was a panic.
                None => drop(self.end.lock().unwrap_or_else(PoisonError::into_inner).take()),
            }
        }
    }

    fn send(&self, results: Result<Vec<T>, Error>) {
        let end = self.end.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((admission, reply)) = end {
            // In this order: who has an answer sees that its documents aren't in flight any more.
            drop(admission);
            let _ = reply.send(results);
        }
    }
}

/// Does `work` on a pool's threads, where it may use rayon's parallel iterators. `work` returns `None` only when nobody waits
/// any more.
///
/// # Errors
/// [`Error::Panicked`].
pub(super) async fn run_on<T: Send + 'static>(
    pool: &rayon::ThreadPool,
    work: impl FnOnce(IsAwaited<'_>) -> Option<T> + Send + 'static,
) -> Result<T, Error> {
    let (reply, answer) = oneshot::channel();
    // What is logged there belongs to the call.
    let span = Span::current();
    pool.spawn(move || {
        let _entered = span.entered();
        // Rayon ends the process when a spawned closure panics.
        let result = catch(|| work(&|| !reply.is_closed())).transpose();
        if let Some(result) = result {
            // Nobody may wait for it any more.
            let _ = reply.send(result);
        }
    });
    answer.await.unwrap_or_else(|_| Err(panicked()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workers(limit: u32) -> Workers {
        Workers::start(NonZeroU32::new(limit).unwrap()).unwrap()
    }

    #[test]
    fn what_exceeds_the_limit_is_refused_until_something_is_given_back() {
        let workers = workers(3);
        let first = workers.admit(2).unwrap();
        assert_eq!(workers.admit(2).unwrap_err(), Error::Overloaded { n_documents: 2, limit: 3 });
        drop(first);
        assert!(workers.admit(3).is_ok());
    }

    #[tokio::test]
    async fn a_panic_in_the_work_is_an_error_and_gives_back_what_was_let_in() {
        let workers = workers(1);
        let failed = workers.run(workers.admit(1).unwrap(), |_| -> Option<()> { panic!("a test's panic") }).await;
        assert!(matches!(failed, Err(Error::Panicked(_))), "{failed:?}");
        assert_eq!(workers.run(workers.admit(1).unwrap(), |_| Some(7)).await, Ok(7));
    }

    #[tokio::test]
    async fn results_are_in_the_items_order_and_a_panic_is_an_error() {
        let workers = workers(1000);
        for n in [0, 1, 2, 15, 16, 17, 257] {
            let doubled = workers.map(workers.admit(n).unwrap(), (0..n).collect(), |item| 2 * item).await;
            assert_eq!(doubled, Ok((0..n).map(|item| 2 * item).collect()));
            assert_eq!(workers.load().0, 0);
        }
        let failed = workers.map(workers.admit(100).unwrap(), (0..100).collect(), |item| assert_ne!(item, 77)).await;
        assert!(matches!(failed, Err(Error::Panicked(_))), "{failed:?}");
        assert_eq!(workers.map(workers.admit(1).unwrap(), vec![3], |item| item).await, Ok(vec![3]));
    }

    #[tokio::test]
    async fn nothing_more_is_done_for_a_caller_who_is_gone() {
        let workers = workers(1000);
        let n_done = Arc::new(AtomicUsize::new(0));
        let (start, started) = std::sync::mpsc::channel::<()>();
        let (counter, started) = (Arc::clone(&n_done), Mutex::new(started));
        let call = workers.map(workers.admit(1000).unwrap(), (0..1000).collect::<Vec<u32>>(), move |_| {
            counter.fetch_add(1, Ordering::Relaxed);
            let _ = started.lock().map(|started| started.recv());
        });
        assert!(tokio::time::timeout(std::time::Duration::ZERO, call).await.is_err());
        // Those that had begun go on when the sender is gone.
        drop(start);
        while workers.load().0 > 0 {
            tokio::task::yield_now().await;
        }
        assert!(n_done.load(Ordering::Relaxed) <= workers.pool.current_num_threads());
    }

    #[tokio::test]
    async fn work_learns_that_its_caller_is_gone() {
        let workers = workers(1);
        let (start, started) = std::sync::mpsc::channel();
        let (tell, told) = oneshot::channel();
        let call = workers.run(workers.admit(1).unwrap(), move |is_awaited| {
            let before = is_awaited();
            started.recv().unwrap();
            tell.send((before, is_awaited())).unwrap();
            None::<()>
        });
        assert!(tokio::time::timeout(std::time::Duration::ZERO, call).await.is_err());
        start.send(()).unwrap();
        assert!(matches!(told.await, Ok((_, false))));
    }
}
