//! Where long work runs, and how much of it is let in.
//!
//! The limit counts documents, over all calls, from when they are let in until their answer is ready. There is no
//! queue besides: whoever would exceed the limit is told at once and can go elsewhere, so waiting time is bounded by
//! the limit too.

use std::num::NonZeroU32;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

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

    /// Does `work` on the workers, where it may use rayon's parallel iterators. The documents count as in flight until
    /// it is done, even when the caller is gone by then. `work` returns `None` only when nobody waits any more.
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
    let span = tracing::Span::current();
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
