//! Traces: a span for each call, sent over OTLP, under the caller's span where its `traceparent` header names one (W3C Trace
//! Context). Spans say which method, which version and how many documents; never what was in a document.
//!
//! Names and attributes are those of OpenTelemetry's conventions for RPC (release candidate of 2025).

use http::HeaderMap;
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::{TraceContextExt, TracerProvider};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider};
use tonic::Code;
use tracing::Span;
use tracing::field::Empty;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::config::TraceShare;

/// The target of the spans that are sent. Not a line's in a log: those have the module's.
pub const TARGET: &str = "topicd::call";

/// What sends spans; they are sent in the background, a few seconds late at most.
#[derive(Debug, Clone)]
pub struct Exporter(SdkTracerProvider);

impl Exporter {
    /// Sends to an OTLP endpoint, such as `http://localhost:4317`, from within a tokio runtime. Whether anybody is there isn't
    /// known here; what can't be sent is dropped, and logged.
    ///
    /// # Errors
    /// The endpoint is no URL.
    pub fn start(endpoint: &str, share: TraceShare) -> Result<Self, opentelemetry_otlp::ExporterBuildError> {
        let exporter = SpanExporter::builder().with_tonic().with_endpoint(endpoint).build()?;
        let resource = Resource::builder()
            .with_service_name("topicd")
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(share.get())));
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_sampler(sampler)
            .with_resource(resource)
            .build();
        Ok(Self(provider))
    }

    /// What makes spans of tracing's.
    pub fn tracer(&self) -> SdkTracer {
        self.0.tracer("topicd")
    }

    /// Sends what is left. Blocks for seconds if nobody answers, so not for threads that serve.
    pub fn stop(&self) {
        if let Err(error) = self.0.shutdown() {
            tracing::warn!(%error, "the last spans couldn't be sent");
        }
    }
}

/// A call's span, which [`ClassifyService`](crate::service::ClassifyService) says the version and number of documents in. `path` is its request's, `/{service}/{method}`. What is logged within it has method and id.
pub fn call_span(path: &str, request_id: &dyn std::fmt::Display, headers: &HeaderMap, is_traced: bool) -> Span {
    let method = path.trim_start_matches('/');
    if !is_traced {
        return tracing::info_span!(target: TARGET, "call", method, %request_id);
    }
    let span = tracing::info_span!(
        target: TARGET,
        "call",
        otel.name = method,
        otel.kind = "server",
        otel.status_code = Empty,
        rpc.system.name = "grpc",
        rpc.method = method,
        rpc.response.status_code = Empty,
        topicd.model_version = Empty,
        topicd.document_count = Empty,
        %request_id
    );
    let parent = TraceContextPropagator::new().extract_with_context(&Context::new(), &Headers(headers));
    if parent.span().span_context().is_valid() {
        // Fails only where nobody exports.
        let _ = span.set_parent(parent);
    }
    span
}

/// Says in a call's span how it ended; `name` is the code's, such as `OK`.
pub fn record_end(span: &Span, code: Code, name: &str) {
    span.record("rpc.response.status_code", name);
    // Those that the conventions count as the server's fault.
    let is_fault = matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    );
    if is_fault {
        span.record("otel.status_code", "ERROR");
    }
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}
