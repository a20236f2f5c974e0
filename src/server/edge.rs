//! What every call passes on its way in and out, around all services: the end of lasting answers while the server stops,
//! who calls, the deadline, compression, catching panics, details for the statuses that tonic makes itself, and measuring.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};
use tracing::Instrument;

use super::caller::{Identification, is_health};
use super::deadline::Deadline;
use super::drain::{Draining, UntilDrain};
use super::measured::{MeasuredBody, MeasuredCall};
use super::message_budget::MessageBudget;
use super::request_id;
use super::status::{Refusal, status_of_call, with_details};
use super::whole_body::WholeBody;
use crate::service;
use crate::service::panic::catch_async;
use crate::telemetry::metrics::Metrics;

/// Lays an [`Edge`] around a service.
#[derive(Clone)]
pub(super) struct EdgeLayer {
    pub(super) draining: Draining,
    pub(super) metrics: Arc<Metrics>,
    pub(super) max_header_bytes: NonZeroU32,
    pub(super) messages: MessageBudget,
    pub(super) is_traced: bool,
    /// Whether there is room for a document at all.
    pub(super) check_room: CheckRoom,
    pub(super) identification: Identification,
}

impl<S> Layer<S> for EdgeLayer {
    type Service = Edge<S>;

    fn layer(&self, services: S) -> Edge<S> {
        Edge { services, around: Arc::new(self.clone()) }
    }
}

/// Says when calls with documents would be refused whatever they have.
pub(super) type CheckRoom = Arc<dyn Fn() -> Result<(), service::Error> + Send + Sync>;

/// All services, and what is around them.
#[derive(Clone)]
pub(super) struct Edge<S> {
    services: S,
    /// One for all calls: hyper has each call done by a clone.
    around: Arc<EdgeLayer>,
}

impl<S> Service<Request<Body>> for Edge<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<Body>, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.services.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let mut call = MeasuredCall::begin(Arc::clone(&self.around.metrics), &request, self.around.is_traced);
        let deadline = Deadline::of_call(request.headers(), call.begun());
        if !is_grpc(&request) {
            call.set_code(Code::InvalidArgument);
            return Box::pin(async { Ok(not_grpc()) });
        }
        let refusal = self.let_in(&mut call, &mut request).err();
        request.extensions_mut().insert(deadline);
        answer_compressed_as_asked(request.headers_mut());
        let messages = if is_health(call.path()) {
            // Anyone may ask: a question has a name in it, and takes nothing from those who are known.
            request.headers_mut().remove(ENCODING);
            &MessageBudget::new(MAX_HEALTH_BYTES, MAX_HEALTH_BYTES)
        } else {
            &self.around.messages
        };
        request = request.map(|body| messages.count(body));
        if IMPORTS.contains(&call.path()) {
            request = request.map(|body| Body::new(WholeBody::new(body)));
        }
        let draining = self.around.draining.clone();
        let span = call.span().clone();
        // A call that is refused isn't read: decoding what nobody answers is what an overloaded server has no time for.
        let answer = match refusal {
            Some(refusal) => Err(refusal),
            None => Ok(span.in_scope(|| self.services.call(request))),
        };
        let answered = async move {
            let mut response = match answer {
                Err(refusal) => refuse(refusal, &mut call),
                // Health and reflection answer to the end, but don't hold it up.
                Ok(answer) if !is_ours(call.path()) => {
                    told(answer.await?, &mut call).map(|body| Body::new(UntilDrain::new(body, draining)))
                }
                // Also while the server stops: connections have been told to send no more, so that what comes is what was
                // on its way, and its caller won't send it elsewhere.
                Ok(answer) => tokio::select! {
                    biased;
                    answer = catch_async(answer) => match answer {
                        Ok(response) => told(response?, &mut call),
                        Err(panicked) => refuse(panicked.into(), &mut call),
                    },
                    () = deadline.passed() => refuse(Refusal::DeadlineExceeded, &mut call),
                },
            };
            response.headers_mut().insert(request_id::NAME, call.request_id().header());
            Ok(response.map(|body| Body::new(MeasuredBody::new(body, call))))
        };
        Box::pin(answered.instrument(span))
    }
}

impl<S> Edge<S> {
    /// Finds out who makes a call, and whether it may be read.
    fn let_in(&self, call: &mut MeasuredCall, request: &mut Request<Body>) -> Result<(), Refusal> {
        let Self { around, .. } = self;
        check_header(request.headers(), around.max_header_bytes)?;
        let caller = around.identification.caller(request)?;
        if WITH_DOCUMENTS.contains(&call.path()) {
            (around.check_room)()?;
        }
        call.set_caller(caller.clone());
        request.extensions_mut().insert(caller);
        Ok(())
    }
}

/// The calls whose documents have to be let in.
const WITH_DOCUMENTS: [&str; 3] = [
    "/topicd.v1.ClassifierService/Classify",
    "/topicd.v1.ClassifierService/BatchClassify",
    "/inference.GRPCInferenceService/ModelInfer",
];

/// The calls that do something at the end of their streams.
const IMPORTS: [&str; 2] = ["/topicd.v1.DatasetService/ImportExamples", "/topicd.v1.ModelService/ImportModelVersion"];

/// The most bytes of a question for health.
const MAX_HEALTH_BYTES: u64 = 4096;

/// Whether a call is gRPC's. Browsers send what looks like a form to any server, with its reader's certificate, and don't ask
/// before: such a call must not be done, even if its page can't read the answer.
fn is_grpc(request: &Request<Body>) -> bool {
    let content_type = request.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    request.method() == Method::POST && content_type.is_some_and(|what| what.starts_with(b"application/grpc"))
}

/// As the gRPC specification asks ("Requests", "Content-Type").
fn not_grpc() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    response
}

fn is_ours(path: &str) -> bool {
    path.starts_with("/topicd.") || path.starts_with("/inference.")
}

/// The answer of a call that ends here.
fn refuse(refusal: Refusal, call: &mut MeasuredCall) -> Response<Body> {
    let status = status_of_call(&refusal, call.request_id());
    call.set_code(status.code());
    status.into_http()
}

/// Refuses a header over the limit, counted as in RFC 9113, section 6.5.2.
fn check_header(headers: &HeaderMap, limit: NonZeroU32) -> Result<(), Refusal> {
    let n_bytes = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum();
    let limit = limit.get();
    if n_bytes > limit as usize { Err(Refusal::HeaderTooLarge { n_bytes, limit }) } else { Ok(()) }
}

/// The headers of a message's compression, and of those that a caller reads.
const ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");

/// Has answers compressed as the caller compresses its messages, if it reads that. Many clients say of themselves that they read
/// gzip without having asked for it, and to compress for all of them would cost time on each answer.
fn answer_compressed_as_asked(headers: &mut HeaderMap) {
    let Some(accepted) = headers.remove(ACCEPT_ENCODING) else { return };
    let Some(encoding) = headers.get(ENCODING).filter(|encoding| *encoding != "identity").cloned() else { return };
    let mut accepted = accepted.as_bytes().split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
    if accepted.any(|accepted| accepted == encoding.as_bytes()) {
        headers.insert(ACCEPT_ENCODING, encoding);
    }
}

/// Takes note of an answer's code, if it has one already, and gives an error the call's id, and one that tonic made itself, such as for
/// a message over the limit, a code and details as ours have.
fn told(response: Response<Body>, call: &mut MeasuredCall) -> Response<Body> {
    let Some(status) = Status::from_header_map(response.headers()) else { return response };
    if status.code() == Code::Ok {
        call.set_code(Code::Ok);
        return response;
    }
    let status = call.request_id().add_to(&with_details(status, call.path()));
    call.set_code(status.code());
    status.into_http()
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http_body_util::BodyExt;
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use tokio::time::Instant;

    use tonic_types::StatusExt;
    use tower::ServiceExt;

    use super::*;
    use crate::server::drain;

    fn always() -> CheckRoom {
        Arc::new(|| Ok(()))
    }

    /// Calls a method of ours that does `work`, with the headers given, and reads the status.
    async fn call<F>(work: F, headers: &[(&'static str, &str)]) -> Status
    where
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        let (_drain, draining) = drain::signal();
        call_while(draining, work, headers).await
    }

    async fn call_while<F>(draining: Draining, work: F, headers: &[(&'static str, &str)]) -> Status
    where
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        let mut work = Some(work);
        let services = tower::service_fn(move |_: Request<Body>| {
            let work = work.take().unwrap();
            async move { Ok::<_, Infallible>(work.await) }
        });
        let mut request =
            Request::post("/topicd.v1.ClassifierService/Classify").header(CONTENT_TYPE, "application/grpc");
        for &(name, value) in headers {
            request = request.header(name, value);
        }
        let metrics = Arc::new(Metrics::new(&[]).unwrap());
        let max_header_bytes = NonZeroU32::new(1000).unwrap();
        let messages = MessageBudget::new(1_000_000, 1_000_000);
        let edge = EdgeLayer {
            draining,
            metrics,
            max_header_bytes,
            messages,
            is_traced: false,
            check_room: always(),
            identification: Identification::default(),
        };
        let edge = edge.layer(services);
        let response = edge.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        Status::from_header_map(response.headers()).unwrap()
    }

    #[tokio::test]
    async fn a_panic_is_internal_with_an_id() {
        let status = call(async { panic!("a test's panic") }, &[]).await;
        assert_eq!(status.code(), Code::Internal);
        let info = status.get_details_error_info().unwrap();
        assert_eq!((&*info.reason, &*info.domain, info.metadata["id"].len()), ("PANIC", "topicd", 16));
        assert!(status.message().contains(&info.metadata["id"]));
    }

    /// It was refused, though it was sent before its caller could know.
    #[tokio::test]
    async fn a_call_that_comes_while_the_server_stops_is_answered() {
        let (drain, draining) = drain::signal();
        drain.send_replace(true);
        let status = call_while(draining, async { Status::not_found("answered").into_http() }, &[]).await;
        assert_eq!((status.code(), status.message()), (Code::NotFound, "answered"));
    }

    // The answer of tonic's server is CANCELLED; found out with curl, since tonic's client has its own clock.
    #[tokio::test(start_paused = true)]
    async fn a_deadline_that_passes_is_deadline_exceeded_when_it_passes() {
        let begun = Instant::now();
        let status = call(std::future::pending(), &[("grpc-timeout", "100m")]).await;
        assert_eq!(status.code(), Code::DeadlineExceeded);
        assert_eq!(status.get_details_error_info().unwrap().reason, "DEADLINE_EXCEEDED");
        assert!((100..110).contains(&begun.elapsed().as_millis()));
    }

    /// A body that says one thing and then panics.
    struct Panicking(bool);

    impl http_body::Body for Panicking {
        type Data = bytes::Bytes;
        type Error = Status;

        fn poll_frame(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<http_body::Frame<bytes::Bytes>, Status>>> {
            assert!(!std::mem::replace(&mut self.0, true), "a test's panic");
            Poll::Ready(Some(Ok(http_body::Frame::data(bytes::Bytes::from_static(b"said")))))
        }
    }

    /// Over a real connection: hyper's answer to a panic in a body is to reset the stream, which callers read as CANCELLED.
    #[tokio::test]
    async fn a_panic_in_a_stream_ends_it_with_internal_and_the_connection_lives() {
        let (_drain, draining) = drain::signal();
        let metrics = Arc::new(Metrics::new(&[]).unwrap());
        let limits = crate::config::ConnectionLimits::default();
        let layer = EdgeLayer {
            draining: draining.clone(),
            metrics,
            max_header_bytes: limits.max_header_bytes,
            messages: MessageBudget::new(1_000_000, 1_000_000),
            is_traced: false,
            check_room: always(),
            identification: Identification::default(),
        };
        let services = tower::service_fn(|_: Request<Body>| async {
            Ok::<_, Infallible>(Response::new(Body::new(Panicking(false))))
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let counters = Arc::default();
        let protocols = crate::server::connections::Protocols { limits, tls: None, is_http1_spoken: false };
        tokio::spawn(crate::server::connections::serve(listener, layer.layer(services), protocols, counters, draining));

        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let (mut client, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        for _ in 0..2 {
            let call = Request::post("http://localhost/topicd.v1.ClassifierService/StreamClassify")
                .header(CONTENT_TYPE, "application/grpc");
            let response = client.send_request(call.body(Body::empty()).unwrap()).await.unwrap();
            let body = response.into_body().collect().await.unwrap();
            let status = Status::from_header_map(body.trailers().unwrap()).unwrap();
            assert_eq!(status.code(), Code::Internal);
            assert_eq!(status.get_details_error_info().unwrap().reason, "PANIC");
            assert_eq!(status.get_details_request_info().unwrap().request_id.len(), 16);
            assert_eq!(body.to_bytes(), "said");
        }
    }

    #[tokio::test]
    async fn an_answer_that_is_ready_is_given_however_short_the_time() {
        let work = async { Status::not_found("ready").into_http() };
        let status = call(work, &[("grpc-timeout", "1n")]).await;
        assert_eq!((status.code(), status.message()), (Code::NotFound, "ready"));
    }

    #[tokio::test]
    async fn what_tonic_says_gets_our_code_and_details() {
        let said = "Error, decoded message length too large: found 20 bytes, the limit is: 10 bytes";
        let status = call(async move { Status::out_of_range(said).into_http() }, &[]).await;
        assert_eq!(status.code(), Code::ResourceExhausted);
        let info = status.get_details_error_info().unwrap();
        assert_eq!((&*info.reason, &*info.metadata["max_message_bytes"]), ("MESSAGE_TOO_LARGE", "10"));
    }
}
