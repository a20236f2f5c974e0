//! How many connections there are, and how those that were ended.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionEnd {
    /// Its client closed it.
    Client,
    /// What came wasn't HTTP/2, or broke its rules, such as a flood of resets; or it broke off.
    Error,
    /// There were as many as the limit allows.
    Refused,
    /// HTTP/2 hadn't begun in time.
    HandshakeTimeout,
    /// It had no call for too long.
    Idle,
    /// It had lived as long as it may.
    Age,
    /// The server stops.
    Drain,
}

impl ConnectionEnd {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Client, Self::Error, Self::Refused, Self::HandshakeTimeout, Self::Idle, Self::Age, Self::Drain];
}

/// Counts connections, without a lock.
#[derive(Debug, Default)]
pub struct ConnectionCounters {
    open: AtomicU64,
    ended: [AtomicU64; ConnectionEnd::ALL.len()],
}

impl ConnectionCounters {
    /// Those that are open now.
    pub fn n_open(&self) -> u64 {
        self.open.load(Ordering::Relaxed)
    }

    /// Those that have ended so since the start.
    pub fn n_ended(&self, end: ConnectionEnd) -> u64 {
        self.ended[end as usize].load(Ordering::Relaxed)
    }

    /// Counts a connection as open until its end.
    pub fn begin(self: &Arc<Self>) -> CountedConnection {
        self.open.fetch_add(1, Ordering::Relaxed);
        // When the server is dropped.
        CountedConnection { counters: Arc::clone(self), end: ConnectionEnd::Drain }
    }

    /// Counts one that wasn't let in. The first is logged, and then each time that there are twice as many.
    pub fn refused(&self, max_connections: NonZeroU32) {
        let n = self.ended[ConnectionEnd::Refused as usize].fetch_add(1, Ordering::Relaxed) + 1;
        if n.is_power_of_two() {
            tracing::warn!(max_connections, n_refused = n, "connections over the limit are refused");
        }
    }
}

/// An open connection.
#[derive(Debug)]
pub struct CountedConnection {
    counters: Arc<ConnectionCounters>,
    end: ConnectionEnd,
}

impl CountedConnection {
    /// It has ended so; one that is dropped without it has with the server.
    pub fn end(mut self, end: ConnectionEnd) {
        self.end = end;
    }
}

impl Drop for CountedConnection {
    fn drop(&mut self) {
        self.counters.open.fetch_sub(1, Ordering::Relaxed);
        self.counters.ended[self.end as usize].fetch_add(1, Ordering::Relaxed);
    }
}
