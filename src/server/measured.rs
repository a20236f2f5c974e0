//! A response that says when it has ended and how: with its trailers, just before these are sent, or, when its caller goes before, as
//! cancelled.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::{HeaderMap, Request};
use http_body::Frame;
use tokio::time::Instant;
use tonic::body::Body;
use tonic::{Code, Status};
use tracing::Span;

use super::audit;
use super::caller::{Caller, Peer};
use super::connections::{Activity, OpenCall};
use super::drain::trailers;
use super::request_id::RequestId;
use crate::service::panic::catch;
use crate::telemetry::metrics::{Method, Metrics, code_name};
use crate::telemetry::traces;

/// A call that counts once: when its end is about to be sent, or when this is dropped before that.
pub(super) struct MeasuredCall {
    metrics: Arc<Metrics>,
    path: String,
    method: Arc<Method>,
    begun: Instant,
    code: Code,
    request_id: RequestId,
    span: Span,
    peer: Option<Peer>,
    /// `None`: who calls wasn't found out.
    caller: Option<Caller>,
    is_ended: bool,
    _open_call: Option<OpenCall>,
}

impl MeasuredCall {
    /// A call that has just come in; one that nobody says more of was cancelled.
    pub(super) fn begin(metrics: Arc<Metrics>, request: &Request<Body>, is_traced: bool) -> Self {
        let (path, headers) = (request.uri().path(), request.headers());
        let request_id = RequestId::of_call(headers);
        // Who calls something else can't choose what spans and lines are called.
        let method = Arc::clone(metrics.method(path));
        let span = traces::call_span(method.name(), &request_id, headers, is_traced);
        Self {
            metrics,
            method,
            path: path.to_owned(),
            begun: Instant::now(),
            code: Code::Cancelled,
            span,
            request_id,
            peer: request.extensions().get::<Peer>().cloned(),
            caller: None,
            is_ended: false,
            _open_call: request.extensions().get::<Activity>().map(Activity::open_call),
        }
    }

    /// When the call came in.
    pub(super) fn begun(&self) -> Instant {
        self.begun
    }

    /// The path of the call's method, `/{service}/{method}`.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// What is done for the call is done in its span.
    pub(super) fn span(&self) -> &Span {
        &self.span
    }

    /// What the call is found by.
    pub(super) fn request_id(&self) -> &RequestId {
        &self.request_id
    }

    /// Who makes it.
    pub(super) fn set_caller(&mut self, caller: Caller) {
        self.caller = Some(caller);
    }

    /// Takes note of the status that ends a stream, and puts the call's id into an error.
    fn end_with(&mut self, trailers: &mut HeaderMap) {
        self.code = trailers.get("grpc-status").map_or(Code::Unknown, |code| Code::from_bytes(code.as_bytes()));
        if self.code != Code::Ok
            && let Some(status) = Status::from_header_map(trailers)
            && let Err(error) = self.request_id.add_to(&status).add_header(trailers)
        {
            self.span.in_scope(|| tracing::error!(%error, "an error's details can't be sent"));
        }
    }

    /// What the call ends with, unless something else comes.
    pub(super) fn set_code(&mut self, code: Code) {
        self.code = code;
    }

    /// Counts the call and tells it. Before its end is sent, so that who has an answer finds it in the metrics and in the audit log, and
    /// what one caller does after the other is told in this order.
    fn end(&mut self) {
        if std::mem::replace(&mut self.is_ended, true) {
            return;
        }
        let took = self.begun.elapsed();
        let _entered = self.span.enter();
        traces::record_end(&self.span, self.code, code_name(self.code));
        self.metrics.ended(&self.method, self.code, took);
        let microseconds = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        tracing::debug!(code = ?self.code, microseconds, "call");
        audit::log(self.caller.as_ref(), self.peer.as_ref(), self.method.name(), self.code);
    }
}

impl Drop for MeasuredCall {
    fn drop(&mut self) {
        self.end();
    }
}

/// The response of a measured call. A panic in making it is an error like others, and ends it.
pub(super) struct MeasuredBody {
    /// `None` after a panic in it.
    body: Option<Body>,
    call: MeasuredCall,
}

impl MeasuredBody {
    pub(super) fn new(body: Body, mut call: MeasuredCall) -> Self {
        // Its header is all there is.
        if http_body::Body::is_end_stream(&body) {
            call.end();
        }
        Self { body: Some(body), call }
    }
}

impl http_body::Body for MeasuredBody {
    type Data = bytes::Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<bytes::Bytes>, Status>>> {
        let Self { body, call } = self.get_mut();
        let Some(polled) = body else { return Poll::Ready(None) };
        let mut frame = match call.span.in_scope(|| catch(|| Pin::new(polled).poll_frame(context))) {
            Ok(frame) => ready!(frame),
            Err(panicked) => {
                *body = None;
                Some(trailers(panicked.into()))
            }
        };
        match &mut frame {
            Some(Ok(frame)) => {
                if let Some(trailers) = frame.trailers_mut() {
                    call.end_with(trailers);
                    call.end();
                }
            }
            Some(Err(status)) => {
                call.set_code(status.code());
                call.end();
            }
            None => call.end(),
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
