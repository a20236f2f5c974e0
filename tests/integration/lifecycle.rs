//! Starting and stopping.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use topicd::config::{Limits, ServeConfig};
use topicd::server::{self, ServeError};
use topicd::store::{DataDir, DataDirError};

use crate::support::{
    LONG, TestServer, article, assert_error, document, non_zero, request, start_services, stream_request, text_of,
};

#[tokio::test]
async fn a_second_server_on_the_same_data_directory_is_refused() {
    let first = TestServer::start().await;
    // Answering shows that it has begun, and so has the directory.
    first.client().await.classify(request(article())).await.unwrap();
    let data_dir = first.data_dir();
    let refusal = DataDir::lock(&data_dir).unwrap_err();
    assert!(matches!(refusal, DataDirError::InUse { .. }), "{refusal:?}");
    assert!(refusal.to_string().contains(data_dir.to_str().unwrap()), "{refusal}");

    first.stop.send(()).unwrap();
    first.running.await.unwrap().unwrap();
    drop((first.classify, first.model_files));
    assert!(DataDir::lock(&data_dir).is_ok());
}

#[tokio::test]
async fn limits_that_contradict_each_other_are_refused_at_the_start() {
    let parent = tempfile::tempdir().unwrap();
    let limits = Limits { max_message_bytes: non_zero(1000), ..Limits::default() };
    let config = ServeConfig { data_dir: parent.path().join("data"), limits, ..ServeConfig::default() };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let services = start_services(&config).await;
    let refusal =
        server::run(listener, &config, services, Default::default(), std::future::pending()).await.unwrap_err();
    assert!(matches!(refusal, ServeError::Limits(_)), "{refusal:?}");
}

/// Keeps every worker busy until the sender is dropped.
fn block_workers(server: &TestServer) -> mpsc::Sender<()> {
    let (release, released) = mpsc::channel::<()>();
    let released = Arc::new(std::sync::Mutex::new(released));
    for _ in 0..std::thread::available_parallelism().unwrap().get() {
        let (classify, released) = (Arc::clone(&server.classify), Arc::clone(&released));
        tokio::spawn(async move {
            let admission = classify.workers().admit(1).unwrap();
            let work = move |_: topicd::service::workers::IsAwaited<'_>| {
                let _ = released.lock().map(|released| released.recv());
                Some(())
            };
            classify.workers().run(admission, work).await
        });
    }
    release
}

/// Waits until this many documents are in flight, of the 16 allowed.
async fn wait_for_in_flight(server: &TestServer, n_documents: u32) {
    let others = || server.classify.workers().admit(16 - n_documents + 1);
    while others().is_ok() {
        tokio::task::yield_now().await;
    }
}

async fn start_with_16_in_flight(drain_timeout: Duration) -> TestServer {
    TestServer::start_with(|config| {
        config.drain_timeout = drain_timeout;
        config.limits.max_documents_in_flight = non_zero(16);
        config.limits.max_batch_documents = non_zero(16);
    })
    .await
}

#[tokio::test]
async fn stopping_says_so_to_watchers_and_streams_and_finishes_the_calls_in_flight() {
    let server = start_with_16_in_flight(LONG).await;
    let mut health = HealthClient::new(server.connect().await.0);
    let mut watch = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    let (send, requests) = tokio::sync::mpsc::channel(1);
    let mut answers = server.client().await.stream_classify(ReceiverStream::new(requests)).await.unwrap().into_inner();
    send.send(stream_request(article())).await.unwrap();
    assert!(answers.message().await.unwrap().is_some());

    let release = block_workers(&server);
    let mut client = server.client().await;
    // Long enough for the workers, which are busy.
    let call = tokio::spawn(async move { client.classify(request(document("", &text_of(100_000)))).await });
    let n_blocked = std::thread::available_parallelism().unwrap().get() as u32;
    wait_for_in_flight(&server, n_blocked + 1).await;

    server.stop.send(()).unwrap();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    assert_error(&watch.message().await.unwrap_err(), Code::Unavailable, "DRAINING");
    assert_error(&answers.message().await.unwrap_err(), Code::Unavailable, "DRAINING");
    assert!(!call.is_finished() && !server.running.is_finished());

    drop(release);
    assert!(!call.await.unwrap().unwrap().into_inner().topics.is_empty());
    timeout(LONG, server.running).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn stopping_waits_no_longer_than_it_was_told() {
    let server = start_with_16_in_flight(Duration::from_millis(50)).await;
    let release = block_workers(&server);
    let mut client = server.client().await;
    let call = tokio::spawn(async move { client.classify(request(document("", &text_of(100_000)))).await });
    let n_blocked = std::thread::available_parallelism().unwrap().get() as u32;
    wait_for_in_flight(&server, n_blocked + 1).await;
    server.stop.send(()).unwrap();
    timeout(LONG, server.running).await.unwrap().unwrap().unwrap();
    assert!(timeout(LONG, call).await.unwrap().unwrap().is_err());
    drop(release);
}
