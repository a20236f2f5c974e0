//! Stopping without cutting calls off: the signal that the drain has begun, and the end of streams that would last.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http_body::Frame;
use tokio::sync::watch;
use tonic::Status;
use tonic::body::Body;

use super::status::Refusal;

/// Makes the signal; sending `true` begins the drain.
pub(super) fn signal() -> (watch::Sender<bool>, Draining) {
    let (begin, begun) = watch::channel(false);
    (begin, Draining(begun))
}

/// Whether the drain has begun: nobody is let in any more, and what lasts as long as its caller likes ends.
#[derive(Debug, Clone)]
pub(super) struct Draining(watch::Receiver<bool>);

impl Draining {
    /// Returns when the drain begins.
    pub(super) async fn begun(mut self) {
        // An error says that whoever would signal is gone, and so is the server.
        let _ = self.0.wait_for(|begun| *begun).await;
    }
}

/// What ends a stream with an error.
pub(super) fn trailers(refusal: Refusal) -> Result<Frame<bytes::Bytes>, Status> {
    let mut trailers = http::HeaderMap::new();
    Status::from(refusal).add_header(&mut trailers).map(|()| Frame::trailers(trailers))
}

/// A response that ends when the drain begins, after what is ready has been sent. For streams that last as long as their
/// caller likes, such as health's `Watch`: the drain would wait for them to the end of its time.
pub(super) struct UntilDrain {
    body: Option<Body>,
    draining: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl UntilDrain {
    pub(super) fn new(body: Body, draining: Draining) -> Self {
        Self { body: Some(body), draining: Box::pin(draining.begun()) }
    }
}

impl http_body::Body for UntilDrain {
    type Data = bytes::Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<bytes::Bytes>, Status>>> {
        let this = self.get_mut();
        let Some(body) = &mut this.body else { return Poll::Ready(None) };
        if let Poll::Ready(frame) = Pin::new(body).poll_frame(context) {
            return Poll::Ready(frame);
        }
        ready!(this.draining.as_mut().poll(context));
        this.body = None;
        Poll::Ready(Some(trailers(Refusal::Draining)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(http_body::Body::is_end_stream)
    }
}
