//! Panics become errors with an id that is also in the log: a bug costs one answer, never the process.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind};

use futures_util::FutureExt;

use super::error::Error;

/// What a caller can name when asking about an error that only the log explains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IncidentId(u64);

impl IncidentId {
    /// Another one: every `RandomState` has other keys, so its hash of nothing is as good as a random number.
    pub fn random() -> Self {
        Self(RandomState::new().hash_one(()))
    }
}

impl fmt::Display for IncidentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

// What the closures and futures below borrow is immutable, or thrown away with the answer: a panic leaves nothing half
// done behind that somebody would see.

/// Does `work`; a panic in it is an error.
pub fn catch<T>(work: impl FnOnce() -> T) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|_| panicked())
}

/// Awaits `work`; a panic in it is an error.
pub async fn catch_async<F: Future>(work: F) -> Result<F::Output, Error> {
    AssertUnwindSafe(work).catch_unwind().await.map_err(|_| panicked())
}

/// Logs an error that callers aren't told, and gives it its id.
pub(crate) fn incident(error: &dyn std::error::Error) -> IncidentId {
    let id = IncidentId::random();
    let mut causes = Vec::new();
    let mut source = error.source();
    while let Some(cause) = source {
        causes.push(cause.to_string());
        source = cause.source();
    }
    tracing::error!(%id, %error, causes = causes.join(": "), "a call failed");
    id
}

/// Gives a panic its id. The panic's own words were logged by the panic hook, on the same thread, just before; they
/// are not repeated to the caller, since they may hold what another part of the program knows.
pub(crate) fn panicked() -> Error {
    let id = IncidentId::random();
    tracing::error!(%id, "a panic was caught");
    Error::Panicked(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_error_with_an_id_of_its_own() {
        let Err(Error::Panicked(first)) = catch(|| -> () { panic!("a test's panic") }) else { panic!("not caught") };
        let Err(Error::Panicked(second)) = catch_async(async { panic!("a test's panic") }).await else {
            panic!("not caught")
        };
        assert_ne!(first, second);
        assert_eq!(first.to_string().len(), 16);
        assert_eq!(catch(|| 7), Ok(7));
    }
}
