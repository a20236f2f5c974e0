//! What every call passes on its way in and out, around all services: the end of lasting answers while the server stops,
//! the deadline, catching panics, details for the statuses that tonic makes itself, and measuring.

use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use http::{Request, Response};
use tokio::time::Instant;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};

use super::deadline::Deadline;
use super::drain::{Draining, UntilDrain};
use super::measured::{MeasuredBody, MeasuredCall};
use super::status::Refusal;
use super::whole_body::WholeBody;
use crate::service::panic::catch_async;
use crate::telemetry::metrics::Metrics;

/// Lays an [`Edge`] around a service.
#[derive(Debug, Clone)]
pub(super) struct EdgeLayer {
    pub(super) draining: Draining,
    pub(super) metrics: Arc<Metrics>,
}

impl<S> Layer<S> for EdgeLayer {
    type Service = Edge<S>;

    fn layer(&self, services: S) -> Edge<S> {
        Edge { services, draining: self.draining.clone(), metrics: Arc::clone(&self.metrics) }
    }
}

/// All services, and what is around them.
#[derive(Debug, Clone)]
pub(super) struct Edge<S> {
    services: S,
    draining: Draining,
    metrics: Arc<Metrics>,
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
        let begun = Instant::now();
        let uri = request.uri().clone();
        let deadline = Deadline::of_call(request.headers(), begun);
        request.extensions_mut().insert(deadline);
        if IMPORTS.contains(&uri.path()) {
            request = request.map(|body| Body::new(WholeBody::new(body)));
        }
        let draining = self.draining.clone();
        let mut call = MeasuredCall::begin(Arc::clone(&self.metrics), uri.path(), begun);
        let answer = self.services.call(request);
        Box::pin(async move {
            let response = if !is_ours(uri.path()) {
                // Health and reflection answer to the end, but don't hold it up.
                answer.await?.map(|body| Body::new(UntilDrain::new(body, draining)))
            } else {
                // Also while the server stops: connections have been told to send no more, so that what comes is what was
                // on its way, and its caller won't send it elsewhere.
                tokio::select! {
                    biased;
                    answer = catch_async(answer) => match answer {
                        Ok(response) => response?,
                        Err(panicked) => refuse(panicked.into()),
                    },
                    () = deadline.passed() => refuse(Refusal::DeadlineExceeded),
                }
            };
            let response = with_details(response, uri.path());
            if let Some(status) = Status::from_header_map(response.headers()) {
                call.set_code(status.code());
            }
            Ok(response.map(|body| Body::new(MeasuredBody::new(body, call))))
        })
    }
}

/// The calls that do something at the end of their streams.
const IMPORTS: [&str; 2] = ["/topicd.v1.DatasetService/ImportExamples", "/topicd.v1.ModelService/ImportModelVersion"];

fn is_ours(path: &str) -> bool {
    path.starts_with("/topicd.")
}

fn refuse(refusal: Refusal) -> Response<Body> {
    Status::from(refusal).into_http()
}

/// Gives an error that tonic made itself, such as for a message over the limit, a code and details as ours have.
fn with_details(response: Response<Body>, path: &str) -> Response<Body> {
    match Status::from_header_map(response.headers()) {
        Some(status) if status.code() != Code::Ok && status.details().is_empty() => {
            refuse(Refusal::from_tonic(&status, path))
        }
        _ => response,
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::time::Duration;

    use tonic_types::StatusExt;
    use tower::ServiceExt;

    use super::*;
    use crate::server::drain;

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
        let mut request = Request::builder().uri("/topicd.v1.ClassifierService/Classify");
        for &(name, value) in headers {
            request = request.header(name, value);
        }
        let metrics = Arc::new(Metrics::new(&[]).unwrap());
        let edge = EdgeLayer { draining, metrics }.layer(services);
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

    // Tonic's own answer to a deadline is CANCELLED; found out with curl, since tonic's client has its own clock.
    #[tokio::test(start_paused = true)]
    async fn a_deadline_that_passes_is_deadline_exceeded_before_tonic_notices() {
        let begun = Instant::now();
        let status = call(std::future::pending(), &[("grpc-timeout", "100m")]).await;
        assert_eq!(status.code(), Code::DeadlineExceeded);
        assert_eq!(status.get_details_error_info().unwrap().reason, "DEADLINE_EXCEEDED");
        assert!(begun.elapsed() < Duration::from_millis(100));
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
