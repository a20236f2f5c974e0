//! What Prometheus reads.

use std::collections::HashMap;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use topicd::api::pb;

use crate::support::{
    TestServer, article, batch, document, eventually, examples, request, stream_request, train_request,
};

/// The page, with its head.
async fn page(server: &TestServer, path: &str) -> String {
    let mut stream = TcpStream::connect(server.metrics).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await.unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).await.unwrap();
    page
}

/// The samples of the page, by name and labels.
pub(crate) async fn samples(server: &TestServer) -> HashMap<String, f64> {
    let page = page(server, "/metrics").await;
    let (head, body) = page.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.0 200") && head.contains("text/plain; version=0.0.4"), "{head}");
    let samples = body.lines().filter(|line| !line.starts_with('#'));
    let parsed = samples.map(|line| line.rsplit_once(' ').unwrap());
    parsed.map(|(name, value)| (name.to_owned(), value.parse().unwrap())).collect()
}

fn calls(service: &str, method: &str, code: &str) -> String {
    let method = format!("rpc_method=\"topicd.v1.{service}/{method}\"");
    format!("rpc_server_calls_total{{{method},rpc_response_status_code=\"{code}\"}}")
}

pub(crate) fn classify_calls(code: &str) -> String {
    calls("ClassifierService", "Classify", code)
}

/// One of the samples; 0 if it isn't there.
pub(crate) async fn value_of(server: &TestServer, name: &str) -> f64 {
    samples(server).await.get(name).copied().unwrap_or_default()
}

/// The samples, once one of them has a value: a call whose caller has gone is counted when the server notices.
async fn samples_with(server: &TestServer, name: &str, value: f64) -> HashMap<String, f64> {
    eventually(&format!("{name} isn't {value}"), || async {
        let samples = samples(server).await;
        (samples.get(name) == Some(&value)).then_some(samples)
    })
    .await
}

fn documents(outcome: &str) -> String {
    format!("topicd_documents_total{{outcome=\"{outcome}\"}}")
}

#[tokio::test]
async fn everything_is_there_from_the_start_at_zero() {
    let server = TestServer::start().await;
    let samples = samples(&server).await;
    for code in ["OK", "INVALID_ARGUMENT", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED", "INTERNAL", "UNAVAILABLE"] {
        assert_eq!(samples[&classify_calls(code)], 0.0);
        assert_eq!(samples[&calls("DatasetService", "ImportExamples", code)], 0.0);
    }
    let duration = "rpc_method=\"topicd.v1.ClassifierService/Classify\",rpc_response_status_code=\"OK\"";
    assert_eq!(samples[&format!("rpc_server_call_duration_seconds_count{{{duration}}}")], 0.0);
    assert_eq!(samples[&format!("rpc_server_call_duration_seconds_bucket{{{duration},le=\"0.001\"}}")], 0.0);
    for outcome in ["assigned", "abstained_no_tokens", "abstained_low_probability", "failed"] {
        assert_eq!(samples[&documents(outcome)], 0.0);
    }
    for name in ["topicd_documents_in_flight", "topicd_document_bytes_total", "topicd_training_jobs_active"] {
        assert_eq!(samples[name], 0.0);
    }
    assert_eq!(samples["topicd_documents_in_flight_limit"], 4096.0);
    assert_eq!(samples["topicd_stable_version{classifier=\"default\"}"], 1.0);
    assert_eq!(samples["topicd_loaded_models"], 1.0);
    for feature in ["topics", "confidence", "unknown_tokens"] {
        let name = format!("topicd_drift_psi{{classifier=\"default\",feature=\"{feature}\"}}");
        assert!(samples[&name].is_nan(), "nothing was served yet");
    }
    assert!(samples["topicd_loaded_model_bytes"] > 1e6 && samples["topicd_store_bytes{kind=\"database\"}"] > 1e6);
    assert!(samples[&format!("topicd_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"))] == 1.0);
    #[cfg(target_os = "linux")]
    assert!(samples["process_resident_memory_bytes"] > 1e6);
    assert!(page(&server, "/").await.starts_with("HTTP/1.0 404"));
}

#[tokio::test]
async fn calls_documents_and_trainings_are_counted() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let answer = client.classify(request(article())).await.unwrap().into_inner();
    client.classify(request(document("", "…"))).await.unwrap();
    client.classify(pb::ClassifyRequest::default()).await.unwrap_err();
    client.batch_classify(batch(vec![article(), document("", ""), article()])).await.unwrap();
    // Who has an answer finds it counted.
    let told = samples(&server).await;
    assert_eq!(told[&calls("ClassifierService", "BatchClassify", "OK")], 1.0);
    assert_eq!((told[&classify_calls("OK")], told[&classify_calls("INVALID_ARGUMENT")]), (2.0, 1.0));
    assert_eq!((told[&documents("assigned")], told[&documents("abstained_no_tokens")]), (3.0, 1.0));
    let stats = answer.document_stats.unwrap();
    assert_eq!(told["topicd_document_bytes_total"], 3.0 * stats.bytes as f64 + 3.0);
    assert_eq!(told["topicd_tokens_total{known=\"true\"}"], 3.0 * stats.known_tokens as f64);

    server.train(train_request("desk", examples(0..40))).await;
    client.train(train_request("desk", Vec::new())).await.unwrap();
    let samples = samples(&server).await;
    assert_eq!(samples[&calls("ClassifierService", "Train", "OK")], 2.0);
    assert_eq!(samples["topicd_training_jobs_total{outcome=\"promoted\"}"], 2.0);
    assert!(samples["topicd_training_seconds_total"] > 0.0);
    assert_eq!(samples["topicd_stable_version{classifier=\"desk\"}"], 2.0);
    assert_eq!(samples["topicd_stored{kind=\"documents\"}"], 40.0);
}

#[tokio::test]
async fn a_stream_counts_when_it_has_ended_or_its_caller_has_gone() {
    let server = TestServer::start().await;
    let stream = |code: &str| calls("ClassifierService", "StreamClassify", code);
    let requests = tokio_stream::iter([stream_request(article())]);
    let mut answers = server.client().await.stream_classify(requests).await.unwrap().into_inner();
    while answers.message().await.unwrap().is_some() {}
    assert_eq!(samples(&server).await[&stream("OK")], 1.0);
    let mut health = HealthClient::new(server.connect().await.0);
    let mut news = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    news.message().await.unwrap().unwrap();
    let watch =
        "rpc_server_calls_total{rpc_method=\"grpc.health.v1.Health/Watch\",rpc_response_status_code=\"CANCELLED\"}";
    assert_eq!(samples(&server).await[watch], 0.0);
    drop(news);
    samples_with(&server, watch, 1.0).await;
}
