//! What an OTLP receiver is sent.

use std::collections::HashMap;
use std::net::SocketAddr;

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};
use topicd::api::pb;

use crate::server_process::{ServerProcess, serve};
use crate::support::{article, batch, document, request, stream_request};

/// A receiver, as OpenTelemetry's own protocol files define it.
struct Receiver(mpsc::UnboundedSender<ExportTraceServiceRequest>);

#[tonic::async_trait]
impl TraceService for Receiver {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let _ = self.0.send(request.into_inner());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

async fn receiver() -> (SocketAddr, mpsc::UnboundedReceiver<ExportTraceServiceRequest>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (send, received) = mpsc::unbounded_channel();
    let server = tonic::transport::Server::builder().add_service(TraceServiceServer::new(Receiver(send)));
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    (address, received)
}

/// A server that sends its spans; what they were when it has stopped.
async fn spans_of(share: &str, calls: impl AsyncFnOnce(&ServerProcess)) -> Vec<Span> {
    let (address, mut received) = receiver().await;
    let parent = tempfile::tempdir().unwrap();
    let mut command = serve(&parent.path().join("data"));
    command.args(["--otlp-endpoint", &format!("http://{address}"), "--trace-share", share]);
    let server = ServerProcess::spawn(command).await;
    calls(&server).await;
    // What is left is sent before the end.
    server.stop().await;
    let mut spans = Vec::new();
    while let Ok(request) = received.try_recv() {
        for of_resource in request.resource_spans {
            let resource = of_resource.resource.unwrap().attributes;
            assert!(resource.iter().any(|attribute| attribute.key == "service.name"), "{resource:?}");
            spans.extend(of_resource.scope_spans.into_iter().flat_map(|of_scope| of_scope.spans));
        }
    }
    spans
}

fn attributes(span: &Span) -> HashMap<&str, String> {
    let read = |value: &Option<opentelemetry_proto::tonic::common::v1::AnyValue>| match value
        .as_ref()
        .and_then(|value| value.value.as_ref())
    {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    };
    span.attributes.iter().map(|attribute| (&*attribute.key, read(&attribute.value))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_is_a_span_under_its_callers() {
    let spans = spans_of("1", async |server| {
        let mut call = Request::new(batch(vec![article(), document("", "secretword")]));
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        call.metadata_mut().insert("traceparent", parent.parse().unwrap());
        call.metadata_mut().insert("x-request-id", "desk-9".parse().unwrap());
        server.classifiers().batch_classify(call).await.unwrap();
        let unknown = pb::ClassifyRequest { model: "classifiers/none".to_owned(), ..request(article()) };
        server.classifiers().classify(unknown).await.unwrap_err();
        let requests = tokio_stream::iter(vec![stream_request(article()); 200]);
        let mut answers = server.classifiers().stream_classify(requests).await.unwrap().into_inner();
        while answers.message().await.unwrap().is_some() {}
    })
    .await;
    let named = |name: &str| spans.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("{spans:#?}"));
    let of_batch = named("topicd.v1.ClassifierService/BatchClassify");
    assert_eq!(of_batch.trace_id, 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c_u128.to_be_bytes());
    assert_eq!(of_batch.parent_span_id, 0xb7ad_6b71_6920_3331_u64.to_be_bytes());
    assert_eq!(of_batch.kind(), SpanKind::Server);
    assert!(of_batch.end_time_unix_nano > of_batch.start_time_unix_nano);
    let seen = attributes(of_batch);
    for (name, value) in [
        ("rpc.system.name", "grpc"),
        ("rpc.method", "topicd.v1.ClassifierService/BatchClassify"),
        ("rpc.response.status_code", "OK"),
        ("topicd.model_version", "classifiers/default/versions/1"),
        ("topicd.document_count", "2"),
        ("request_id", "desk-9"),
    ] {
        assert_eq!(seen.get(name).map(String::as_str), Some(value), "{name}: {seen:?}");
    }
    let refused = named("topicd.v1.ClassifierService/Classify");
    assert_eq!(attributes(refused)["rpc.response.status_code"], "NOT_FOUND");
    assert!(refused.parent_span_id.is_empty() && refused.trace_id != of_batch.trace_id);
    // Each document of a stream once added to what is said of its span.
    let of_stream = named("topicd.v1.ClassifierService/StreamClassify");
    let seen = attributes(of_stream);
    assert_eq!((&*seen["topicd.document_count"], &*seen["rpc.response.status_code"]), ("200", "OK"));
    assert!(of_stream.attributes.len() < 12, "{of_stream:?}");
    assert!(!format!("{spans:?}").contains("secretword"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_share_holds_for_calls_whose_callers_do_not_say() {
    let spans = spans_of("0", async |server| {
        server.classifiers().classify(request(article())).await.unwrap();
        let mut call = Request::new(request(article()));
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        call.metadata_mut().insert("traceparent", parent.parse().unwrap());
        server.classifiers().classify(call).await.unwrap();
    })
    .await;
    assert_eq!(spans.len(), 1, "{spans:#?}");
    assert_eq!(spans[0].parent_span_id, 0xb7ad_6b71_6920_3331_u64.to_be_bytes());
}
