//! Calls from browsers: gRPC-Web in place of gRPC, and leave for pages of other origins to make them (CORS).

use http::{HeaderName, Method};
use tonic_web::GrpcWebLayer;
use tower::layer::util::{Identity, Stack};
use tower::util::Either;
use tower_http::cors::{AllowOrigin, CorsLayer, ExposeHeaders};

use super::request_id;
use crate::config::{CorsOrigin, GrpcWebConfig};

/// How long browsers may remember what they are allowed.
const MAX_AGE: std::time::Duration = std::time::Duration::from_secs(3600);

/// What pages may read of an answer's header: its status is there when there is nothing else.
const EXPOSED: [HeaderName; 4] = [
    HeaderName::from_static("grpc-status"),
    HeaderName::from_static("grpc-message"),
    HeaderName::from_static("grpc-status-details-bin"),
    request_id::NAME,
];

/// What pages may send.
const ALLOWED: [HeaderName; 8] = [
    HeaderName::from_static("authorization"),
    HeaderName::from_static("content-type"),
    HeaderName::from_static("grpc-timeout"),
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
    HeaderName::from_static("x-grpc-web"),
    request_id::NAME,
    HeaderName::from_static("x-user-agent"),
];

/// What is around all services where browsers may call, and nothing where they mayn't.
pub(super) fn layer(config: Option<&GrpcWebConfig>) -> Either<Stack<GrpcWebLayer, CorsLayer>, Identity> {
    let Some(GrpcWebConfig { origins }) = config else { return Either::Right(Identity::new()) };
    let some = origins.iter().filter_map(|origin| match origin {
        CorsOrigin::Any => None,
        CorsOrigin::One(origin) => Some(origin.clone()),
    });
    let origins = if origins.contains(&CorsOrigin::Any) { AllowOrigin::any() } else { AllowOrigin::list(some) };
    let cors = CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::POST])
        .allow_headers(ALLOWED)
        .expose_headers(ExposeHeaders::list(EXPOSED))
        .max_age(MAX_AGE);
    Either::Left(Stack::new(GrpcWebLayer::new(), cors))
}
