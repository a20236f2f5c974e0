//! A response that says when it has ended and how: with its trailers, or, when its caller goes before, as cancelled.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http_body::Frame;
use tokio::time::Instant;
use tonic::body::Body;
use tonic::{Code, Status};

use crate::telemetry::metrics::Metrics;

/// A call that counts when this is dropped.
pub(super) struct MeasuredCall {
    metrics: Arc<Metrics>,
    path: String,
    begun: Instant,
    code: Code,
}

impl MeasuredCall {
    /// A call that has just come in; one that nobody says more of was cancelled.
    pub(super) fn begin(metrics: Arc<Metrics>, path: &str, begun: Instant) -> Self {
        Self { metrics, path: path.to_owned(), begun, code: Code::Cancelled }
    }

    /// What the call ends with, unless something else comes.
    pub(super) fn set_code(&mut self, code: Code) {
        self.code = code;
    }
}

impl Drop for MeasuredCall {
    fn drop(&mut self) {
        let took = self.begun.elapsed();
        self.metrics.ended(&self.path, self.code, took);
        let microseconds = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        tracing::debug!(method = self.path, code = ?self.code, microseconds, "call");
    }
}

/// The response of a measured call.
pub(super) struct MeasuredBody {
    body: Body,
    call: MeasuredCall,
}

impl MeasuredBody {
    pub(super) fn new(body: Body, call: MeasuredCall) -> Self {
        Self { body, call }
    }
}

impl http_body::Body for MeasuredBody {
    type Data = bytes::Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<bytes::Bytes>, Status>>> {
        let this = self.get_mut();
        let frame = ready!(Pin::new(&mut this.body).poll_frame(context));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(trailers) = frame.trailers_ref() {
                    let status = Status::from_header_map(trailers);
                    this.call.set_code(status.map_or(Code::Unknown, |status| status.code()));
                }
            }
            Some(Err(status)) => this.call.set_code(status.code()),
            None => {}
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}
