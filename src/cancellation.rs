//! Stopping long work early.

/// Asked between steps of long work, from any of its threads, whether it should stop. Once it has said yes it says so for
/// ever; what the work returns then means nothing, and its caller asks again before using it.
pub type IsCancelled<'a> = &'a (dyn Fn() -> bool + Sync);

/// For work that is always done to the end.
pub fn never() -> bool {
    false
}
