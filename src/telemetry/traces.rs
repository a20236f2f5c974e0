//! Traces: a span for each call, sent over OTLP, under the caller's span where its `traceparent` header names one (W3C Trace
//! Context). Spans say which method, which version and how many documents; never what was in a document.
//!
//! Names and attributes are those of OpenTelemetry's conventions for RPC (release candidate of 2025).

use std::time::Duration;

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

use crate::config::{OtlpEndpoint, TraceShare};

/// The target of the spans that are sent. Not a line's in a log: those have the module's.
pub const TARGET: &str = "topicd::call";

/// How long the end of the process waits for the last spans to be taken.
const LAST_SPANS_TIME: Duration = Duration::from_secs(1);

/// What sends spans; they are sent in the background, a few seconds late at most.
#[derive(Debug, Clone)]
pub struct Exporter(SdkTracerProvider);

impl Exporter {
    /// Sends to an OTLP endpoint, such as `http://localhost:4317`, from within a tokio runtime. Whether anybody is there isn't
    /// known here; what can't be sent is dropped, and logged.
    ///
    /// # Errors
    /// The exporter can't be made of the endpoint.
    pub fn start(endpoint: &OtlpEndpoint, share: TraceShare) -> Result<Self, opentelemetry_otlp::ExporterBuildError> {
        let exporter = SpanExporter::builder().with_tonic().with_endpoint(endpoint.as_str()).build()?;
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

    /// Sends what is left, for a second at most.
    pub async fn stop(self) {
        // It blocks.
        let stopped = tokio::task::spawn_blocking(move || self.0.shutdown_with_timeout(LAST_SPANS_TIME)).await;
        if let Ok(Err(error)) = stopped {
            tracing::warn!(%error, "the last spans couldn't be sent");
        }
    }
}

/// A call's span. What is logged within it has the method, such as `topicd.v1.ClassifierService/Classify`, and the id.
pub fn call_span(method: &str, request_id: &dyn std::fmt::Display, headers: &HeaderMap, is_traced: bool) -> Span {
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

/// Says in a call's span which version answered, and on how many documents; once a call.
pub fn record_answer(span: &Span, version: &dyn std::fmt::Display, n_documents: usize) {
    // Spans that aren't sent have no room for it.
    if span.has_field("topicd.model_version") {
        span.record("topicd.model_version", tracing::field::display(version));
        span.record("topicd.document_count", n_documents as u64);
    }
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
