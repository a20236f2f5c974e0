//! Telling the end of a request's stream from its breaking off.
//!
//! Tonic reads a stream that its caller has reset or cancelled as one that has ended: for a call that does something at
//! the end of the stream, that is the opposite of what the caller wants.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http_body::Frame;
use tonic::Status;
use tonic::body::Body;

/// A request's body that ends only where its caller has ended it; when it breaks off, that is an error which tonic tells.
pub(super) struct WholeBody {
    body: Body,
}

impl WholeBody {
    pub(super) fn new(body: Body) -> Self {
        Self { body }
    }
}

fn broken_off() -> Status {
    Status::aborted("the stream of messages broke off before its end; nothing was stored")
}

impl http_body::Body for WholeBody {
    type Data = bytes::Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<bytes::Bytes>, Status>>> {
        let body = &mut self.get_mut().body;
        match ready!(Pin::new(&mut *body).poll_frame(context)) {
            Some(Ok(frame)) => Poll::Ready(Some(Ok(frame))),
            None if http_body::Body::is_end_stream(body) => Poll::Ready(None),
            // Tonic takes CANCELLED for an end, so that a cancelled call mustn't be told by its own code.
            Some(Err(_)) | None => Poll::Ready(Some(Err(broken_off()))),
        }
    }

    fn is_end_stream(&self) -> bool {
        http_body::Body::is_end_stream(&self.body)
    }
}
