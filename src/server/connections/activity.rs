//! What a connection's life is judged by: whether something sensible has come on it, and when it last had an open call.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// HTTP/2's client preface and the header of the SETTINGS that follow it (RFC 9113, section 3.4): with fewer bytes a connection
/// has not begun.
const HANDSHAKE_BYTES: u64 = 24 + 9;

/// What has happened on a connection; shared by those who notice it.
#[derive(Debug, Clone)]
pub(in crate::server) struct Activity(Arc<Seen>);

#[derive(Debug)]
struct Seen {
    number: u32,
    begun: Instant,
    n_bytes: AtomicU64,
    n_open_calls: AtomicUsize,
    /// Milliseconds from `begun` to the end of the last call.
    last_call_ms: AtomicU64,
}

impl Default for Activity {
    fn default() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let begun = Instant::now();
        let (n_bytes, n_open_calls, last_call_ms) = Default::default();
        Self(Arc::new(Seen { number, begun, n_bytes, n_open_calls, last_call_ms }))
    }
}

impl Activity {
    /// The connection's number since the start of the process.
    pub(super) fn number(&self) -> u32 {
        self.0.number
    }

    /// Counts a call as open until what is returned is dropped.
    pub(in crate::server) fn open_call(&self) -> OpenCall {
        self.0.n_open_calls.fetch_add(1, Ordering::Relaxed);
        OpenCall(self.clone())
    }

    /// Returns when so much time has passed since the connection was made and HTTP/2 hasn't begun; otherwise never.
    pub(super) async fn begins_late(&self, limit: Duration) {
        tokio::time::sleep_until(self.0.begun + limit).await;
        if self.has_begun() {
            std::future::pending::<()>().await;
        }
    }

    /// Whether so much has come as HTTP/2 begins with.
    pub(super) fn has_begun(&self) -> bool {
        self.0.n_bytes.load(Ordering::Relaxed) >= HANDSHAKE_BYTES
    }

    /// Returns when no call has been open for so long.
    pub(super) async fn is_idle(&self, limit: Duration) {
        loop {
            // In this order: see the end of a call.
            let is_open = self.0.n_open_calls.load(Ordering::Acquire) > 0;
            let since = Duration::from_millis(self.0.last_call_ms.load(Ordering::Relaxed));
            let earliest = self.0.begun + since + limit;
            if is_open {
                tokio::time::sleep(limit).await;
            } else if earliest > Instant::now() {
                tokio::time::sleep_until(earliest).await;
            } else {
                return;
            }
        }
    }
}

/// A call in progress.
#[derive(Debug)]
pub(in crate::server) struct OpenCall(Activity);

impl Drop for OpenCall {
    fn drop(&mut self) {
        let Activity(seen) = &self.0;
        let ms = u64::try_from(seen.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        // In this order, so that who sees no open call sees when the last one ended, too.
        seen.last_call_ms.fetch_max(ms, Ordering::Relaxed);
        seen.n_open_calls.fetch_sub(1, Ordering::Release);
    }
}

/// A stream whose bytes are counted as they come.
#[derive(Debug)]
pub(super) struct Watched<IO> {
    stream: IO,
    activity: Activity,
}

impl<IO> Watched<IO> {
    pub(super) fn new(stream: IO, activity: Activity) -> Self {
        Self { stream, activity }
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Watched<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let n_bytes = (buffer.filled().len() - before) as u64;
        self.activity.0.n_bytes.fetch_add(n_bytes, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Watched<IO> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_calls_is_idle_after_the_limit() {
        let activity = Activity::default();
        activity.is_idle(LIMIT).await;
        assert_eq!(activity.0.begun.elapsed(), LIMIT);
    }

    #[tokio::test(start_paused = true)]
    async fn idleness_is_counted_from_the_end_of_the_last_call() {
        let activity = Activity::default();
        let call = activity.open_call();
        let ends = async {
            tokio::time::sleep(3 * LIMIT + LIMIT / 2).await;
            drop(call);
        };
        let ((), ()) = tokio::join!(ends, activity.is_idle(LIMIT));
        assert_eq!(activity.0.begun.elapsed(), 4 * LIMIT + LIMIT / 2);
    }

    #[tokio::test(start_paused = true)]
    async fn who_says_too_little_begins_late_and_who_says_enough_never() {
        let activity = Activity::default();
        let (mut theirs, ours) = tokio::io::duplex(64);
        let mut watched = Watched::new(ours, activity.clone());
        let mut read = [0; 64];
        for (bytes, is_late) in [(&[0; 32][..], true), (&[0; 1], false)] {
            tokio::io::AsyncWriteExt::write_all(&mut theirs, bytes).await.unwrap();
            tokio::io::AsyncReadExt::read(&mut watched, &mut read).await.unwrap();
            let late = tokio::time::timeout(2 * LIMIT, activity.begins_late(LIMIT)).await;
            assert_eq!(late.is_ok(), is_late);
        }
    }
}
