//! How much memory messages may take on their way in, over all calls: until a message is whole, nobody else counts it.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http_body::Frame;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Status;
use tonic::body::Body;

use super::status::Refusal;

/// What is counted at a time: a semaphore's permits are 32-bit numbers.
const UNIT_BYTES: u64 = 1024;
/// A message's compression flag and length (gRPC over HTTP/2, "Length-Prefixed-Message").
const HEAD_BYTES: usize = 5;

/// The bytes that are left.
#[derive(Debug, Clone)]
pub(super) struct MessageBudget {
    free: Arc<Semaphore>,
    limit: u64,
    /// What a compressed message counts as: nobody knows how many bytes it becomes, but that it is refused when they are more.
    max_message_bytes: u64,
}

impl MessageBudget {
    /// Room for so many bytes, of messages of so many at most.
    pub(super) fn new(max_bytes: u64, max_message_bytes: u64) -> Self {
        let units = usize::try_from(max_bytes.div_ceil(UNIT_BYTES)).unwrap_or(usize::MAX);
        Self { free: Arc::new(Semaphore::new(units.min(Semaphore::MAX_PERMITS))), limit: max_bytes, max_message_bytes }
    }

    /// The same body, whose messages are counted while they come.
    pub(super) fn count(&self, body: Body) -> Body {
        Body::new(CountedBody::new(Some(body), self.clone()))
    }

    /// Has `held` be worth so many bytes.
    fn hold(&self, held: &mut Option<OwnedSemaphorePermit>, n_bytes: u64) -> Result<(), Refusal> {
        let n_units = n_bytes.div_ceil(UNIT_BYTES);
        let n_held = held.as_ref().map_or(0, |held| held.num_permits() as u64);
        if n_units < n_held {
            let n_more = usize::try_from(n_held - n_units).unwrap_or(usize::MAX);
            drop(held.as_mut().and_then(|held| held.split(n_more)));
            return Ok(());
        }
        let refusal = || Refusal::TooManyMessageBytes { limit: self.limit };
        let n_more = u32::try_from(n_units - n_held).map_err(|_| refusal())?;
        let more = Arc::clone(&self.free).try_acquire_many_owned(n_more).map_err(|_| refusal())?;
        match held {
            Some(held) => held.merge(more),
            None => *held = Some(more),
        }
        Ok(())
    }
}

/// A request's body. What was counted for a message is given back when the next one begins, or the body is dropped.
struct CountedBody {
    /// `None` after a refusal.
    body: Option<Body>,
    budget: MessageBudget,
    held: Option<OwnedSemaphorePermit>,
    /// Bytes of the message that comes, or came last, and whether it is compressed.
    n_bytes: u64,
    is_compressed: bool,
    /// The beginning of the message's head, while that isn't whole.
    head: [u8; HEAD_BYTES],
    n_head: usize,
    /// Bytes of the message that are still to come, when its head is whole.
    n_to_come: u64,
}

impl CountedBody {
    fn new(body: Option<Body>, budget: MessageBudget) -> Self {
        Self {
            body,
            budget,
            held: None,
            n_bytes: 0,
            is_compressed: false,
            head: [0; HEAD_BYTES],
            n_head: 0,
            n_to_come: 0,
        }
    }

    fn see(&mut self, mut data: &[u8]) -> Result<(), Refusal> {
        while !data.is_empty() {
            if self.n_to_come == 0 {
                if self.n_head == 0 {
                    (self.n_bytes, self.is_compressed) = (0, false);
                }
                self.head[self.n_head] = data.get_u8();
                self.n_head += 1;
                self.n_bytes += 1;
                if self.n_head == HEAD_BYTES {
                    let [is_compressed, length @ ..] = self.head;
                    (self.n_to_come, self.n_head) = (u32::from_be_bytes(length).into(), 0);
                    self.is_compressed = is_compressed != 0;
                }
            } else {
                let n_seen = self.n_to_come.min(data.len() as u64);
                self.n_to_come -= n_seen;
                self.n_bytes += n_seen;
                data.advance(n_seen as usize);
            }
        }
        let becomes = if self.is_compressed { self.budget.max_message_bytes } else { 0 };
        self.budget.hold(&mut self.held, self.n_bytes.max(becomes))
    }
}

impl CountedBody {
    /// Has what is still to come read by nobody's call, and thrown away.
    ///
    /// A body that is dropped before its end resets its stream. What its caller has sent by then comes later, on a stream that the server
    /// has forgotten when many others were reset since, which h2 counts as the caller's error; with 1,024 of these it closes the
    /// connection (`max_local_error_reset_streams`), and all calls that are open on it fail. Under overload that took half a minute.
    fn let_go(&mut self) {
        let rest = self.body.take().filter(|rest| !http_body::Body::is_end_stream(rest));
        if let (Some(rest), Ok(runtime)) = (rest, Handle::try_current()) {
            runtime.spawn(tokio::time::timeout(LAST_BYTES_TIME, discard(rest, self.budget.max_message_bytes)));
        }
    }
}

/// How long the rest of a message that nobody reads may take.
const LAST_BYTES_TIME: Duration = Duration::from_secs(5);

/// Reads a body to its end, or up to so many bytes.
async fn discard(mut body: Body, max_bytes: u64) {
    let mut n_bytes = 0;
    while n_bytes <= max_bytes
        && let Some(Ok(frame)) = poll_fn(|context| http_body::Body::poll_frame(Pin::new(&mut body), context)).await
    {
        n_bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
    }
}

impl Drop for CountedBody {
    fn drop(&mut self) {
        self.let_go();
    }
}

impl http_body::Body for CountedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        let Some(body) = &mut this.body else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(body).poll_frame(context));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
            && let Err(refusal) = this.see(data)
        {
            this.held = None;
            this.let_go();
            return Poll::Ready(Some(Err(refusal.into())));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.as_ref().map(http_body::Body::size_hint).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(n_bytes: usize) -> Vec<u8> {
        let mut message = vec![0];
        message.extend((n_bytes as u32).to_be_bytes());
        message.resize(HEAD_BYTES + n_bytes, 7);
        message
    }

    fn counted(budget: &MessageBudget) -> CountedBody {
        CountedBody::new(None, budget.clone())
    }

    #[test]
    fn a_message_is_counted_until_the_next_begins_however_it_is_cut() {
        let budget = MessageBudget::new(8 * 1024, 1024);
        let mut stream = message(5000);
        stream.extend(message(3000));
        stream.extend(message(0));
        stream.extend(message(1));
        for n_at_once in [1, 2, 3, 7, 1024, 20_000] {
            let mut body = counted(&budget);
            let mut most = 0;
            for data in stream.chunks(n_at_once) {
                body.see(data).unwrap();
                most = most.max(8 - budget.free.available_permits());
            }
            // What ends in one piece with the beginning of the next is given back at once.
            assert!(most <= 5 && (most >= 4 || n_at_once > 5000), "{n_at_once}: {most}");
            assert_eq!((body.n_bytes, budget.free.available_permits()), (6, 7), "{n_at_once}");
            drop(body);
            assert_eq!(budget.free.available_permits(), 8);
        }
    }

    /// A few bytes that become many took no room until they were many.
    #[test]
    fn a_compressed_message_counts_as_the_largest() {
        let budget = MessageBudget::new(8 * 1024, 5 * 1024);
        let mut body = counted(&budget);
        let mut compressed = message(20);
        compressed[0] = 1;
        body.see(&compressed[..10]).unwrap();
        assert_eq!(budget.free.available_permits(), 3);
        body.see(&compressed[10..]).unwrap();
        assert!(counted(&budget).see(&compressed).is_err());
        body.see(&message(3)).unwrap();
        assert_eq!(budget.free.available_permits(), 7);
    }

    #[test]
    fn what_is_too_much_together_is_refused_until_something_is_given_back() {
        let budget = MessageBudget::new(8 * 1024, 1024);
        let (mut first, mut second) = (counted(&budget), counted(&budget));
        first.see(&message(4 * 1024 - HEAD_BYTES)).unwrap();
        second.see(&message(4 * 1024 - HEAD_BYTES)).unwrap();
        let mut third = counted(&budget);
        assert!(matches!(third.see(&[0]), Err(Refusal::TooManyMessageBytes { limit: 8192 })));
        drop(first);
        third.see(&message(3000)).unwrap();
    }
}
