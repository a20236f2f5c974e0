//! Every limit that `GetServerInfo` tells: what is just within it is let in, and one more is not.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use prost::Message;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};
use tonic_types::StatusExt;
use topicd::api::pb;
use topicd::api::pb::classifier_service_client::ClassifierServiceClient;
use topicd::artifact;
use topicd::config::ServeConfig;

use crate::connections::call_until_sent;
use crate::metrics::value_of;
use crate::raw_http2::{
    CANCEL, DATA, END_STREAM, GOAWAY, HEADERS, REFUSED_STREAM, RST_STREAM, RawClient, begin_call, classify_call, frame,
    grpc_message, headers,
};
use crate::support::{
    LONG, TestServer, article, assert_error, batch, document, eventually, examples, labeled, many_examples, non_zero,
    request, stream_request, text_of, train_request, violations,
};

const CLASSIFY: &str = "/topicd.v1.ClassifierService/Classify";

async fn server(change: impl FnOnce(&mut ServeConfig)) -> TestServer {
    TestServer::start_with(change).await
}

/// Runs the case of a limit; one without a case fails.
async fn check(limit: &str) {
    match limit {
        "max_message_bytes" => max_message_bytes().await,
        "max_document_bytes" => max_document_bytes().await,
        "max_batch_documents" => max_batch_documents().await,
        "max_documents_in_flight" => max_documents_in_flight().await,
        "max_message_examples" => max_message_examples().await,
        "max_training_jobs" => max_training_jobs().await,
        "max_topics" => max_topics().await,
        "max_artifact_bytes" => max_artifact_bytes().await,
        "max_model_bytes" => max_model_bytes().await,
        "max_training_documents" => max_training_documents().await,
        "max_training_bytes" => max_training_bytes().await,
        "max_connections" => max_connections().await,
        "max_streams_per_connection" => max_streams_per_connection().await,
        "max_header_bytes" => max_header_bytes().await,
        "handshake_timeout" => handshake_timeout().await,
        "idle_timeout" => idle_timeout().await,
        "max_connection_age" => max_connection_age().await,
        "connection_grace" => connection_grace().await,
        "max_inbound_bytes" => max_inbound_bytes().await,
        other => panic!("the limit {other} has no case here"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_limit_that_is_told_is_kept() {
    let pool = prost_reflect::DescriptorPool::decode(topicd::api::DESCRIPTORS).unwrap();
    let limits = pool.get_message_by_name("topicd.v1.Limits").unwrap();
    let names: Vec<String> = limits.fields().map(|field| field.name().to_owned()).collect();
    assert!(names.len() >= 18, "{names:?}");
    for name in names {
        println!("{name}");
        check(&name).await;
    }
}

/// A refusal of a field, and what it says.
#[track_caller]
fn assert_violation(status: &Status, field: &str, reason: &str, said: &str) {
    assert_error(status, Code::InvalidArgument, "INVALID_REQUEST");
    assert_eq!(violations(status), [(field.to_owned(), reason.to_owned())]);
    assert!(status.message().contains(said), "{status:?}");
}

/// A request of so many bytes: about 30,000.
fn batch_of(n_bytes: usize) -> pb::BatchClassifyRequest {
    let with = |n_more: usize| batch(vec![document("", &text_of(10_000)), document("", &text_of(17_000 + n_more))]);
    let request = with(n_bytes - with(0).encoded_len());
    assert_eq!(request.encoded_len(), n_bytes);
    request
}

async fn max_message_bytes() {
    let server = server(|config| {
        config.limits.max_message_bytes = non_zero(30_000);
        config.limits.max_document_bytes = non_zero(25_000);
    })
    .await;
    let mut client = server.client().await;
    client.batch_classify(batch_of(30_000)).await.unwrap();
    let refusal = client.batch_classify(batch_of(30_001)).await.unwrap_err();
    assert_error(&refusal, Code::ResourceExhausted, "MESSAGE_TOO_LARGE");
    assert_eq!(refusal.get_details_error_info().unwrap().metadata["message_bytes"], "30001");
}

async fn max_document_bytes() {
    let server = server(|config| config.limits.max_document_bytes = non_zero(1000)).await;
    let mut client = server.client().await;
    client.classify(request(document("title", &text_of(995)))).await.unwrap();
    let refusal = client.classify(request(document("title", &text_of(996)))).await.unwrap_err();
    assert_violation(&refusal, "document", "TOO_LONG", "1000");
}

async fn max_batch_documents() {
    let server = server(|config| config.limits.max_batch_documents = non_zero(3)).await;
    let mut client = server.client().await;
    client.batch_classify(batch(vec![article(); 3])).await.unwrap();
    let refusal = client.batch_classify(batch(vec![article(); 4])).await.unwrap_err();
    assert_violation(&refusal, "documents", "TOO_MANY", "max_batch_documents is 3");
}

async fn max_documents_in_flight() {
    let server = server(|config| {
        config.limits.max_documents_in_flight = non_zero(8);
        config.limits.max_batch_documents = non_zero(8);
    })
    .await;
    let mut client = server.client().await;
    client.batch_classify(batch(vec![article(); 8])).await.unwrap();
    let another = server.classify.workers().admit(1).unwrap();
    let refusal = client.batch_classify(batch(vec![article(); 8])).await.unwrap_err();
    assert_error(&refusal, Code::ResourceExhausted, "OVERLOADED");
    assert!(refusal.get_details_retry_info().is_some());
    drop(another);
    client.batch_classify(batch(vec![article(); 8])).await.unwrap();
}

async fn max_message_examples() {
    let server = server(|config| config.limits.max_message_examples = non_zero(10)).await;
    server.train(train_request("desk", examples(0..10))).await;
    let refusal = server.client().await.train(train_request("desk", examples(0..11))).await.unwrap_err();
    assert_violation(&refusal, "inline_examples.examples", "TOO_MANY", "10");
}

async fn max_training_jobs() {
    let server = server(|config| config.limits.max_training_jobs = non_zero(1)).await;
    let first = server.train(pb::TrainRequest { wait_timeout: None, ..train_request("desk", many_examples()) }).await;
    let refusal = server.client().await.train(train_request("other", examples(0..20))).await.unwrap_err();
    assert_error(&refusal, Code::ResourceExhausted, "TOO_MANY_JOBS");
    let cancel = pb::CancelTrainingJobRequest { training_job: first.name };
    server.models().await.cancel_training_job(cancel).await.unwrap();
    server.train(train_request("other", examples(0..20))).await;
}

async fn max_topics() {
    let server = server(|config| config.limits.max_topics = non_zero(2)).await;
    server.train(train_request("desk", examples(0..10))).await;
    let third = labeled(document("weather", "rain and wind"), &["weather"]);
    let refusal = server.client().await.train(train_request("desk", vec![third])).await.unwrap_err();
    assert_violation(&refusal, "inline_examples.examples", "UNUSABLE_EXAMPLES", "max_topics is 2");
}

async fn max_artifact_bytes() {
    let file = artifact::bundled().unwrap().bytes;
    let header = |n_bytes: usize| pb::ModelFile {
        classifier: "classifiers/desk".to_owned(),
        artifact_bytes: n_bytes as u64,
        ..crate::model_files::header("desk", &file)
    };
    let server = server(|config| config.limits.max_artifact_bytes = non_zero(file.len())).await;
    let import = async |header: pb::ModelFile, chunks: &[&[u8]]| {
        crate::model_files::import(&server, crate::model_files::messages(header, chunks)).await
    };
    let over = import(header(file.len() + 1), &[]).await.unwrap_err();
    assert_violation(&over, "file.artifact_bytes", "TOO_LONG", &file.len().to_string());
    import(header(file.len()), &[&file]).await.unwrap();
}

/// Over this limit nothing is refused: what was asked longest ago is let go of.
async fn max_model_bytes() {
    let made = TestServer::start().await;
    for classifier in ["desk", "more"] {
        made.train(train_request(classifier, examples(0..20))).await;
    }
    let loaded = async |server: &TestServer| {
        for classifier in ["desk", "more"] {
            let model = format!("classifiers/{classifier}");
            server.client().await.classify(pb::ClassifyRequest { model, ..request(article()) }).await.unwrap();
        }
        let info = server.models().await.get_server_info(pb::GetServerInfoRequest {}).await.unwrap().into_inner();
        info.models
    };
    let all = loaded(&made).await;
    let n_bytes = all.iter().map(|model| model.resident_bytes).sum::<u64>();
    let TestServer { stop, running, parent, classify, model_files, .. } = made;
    stop.send(()).unwrap();
    running.await.unwrap().unwrap();
    drop((classify, model_files));

    let budget =
        |n_bytes: u64| move |config: &mut ServeConfig| config.limits.max_model_bytes = n_bytes.try_into().unwrap();
    let server = TestServer::start_in(parent, budget(n_bytes)).await;
    assert_eq!(loaded(&server).await.len(), all.len());
    let TestServer { stop, running, parent, classify, model_files, .. } = server;
    stop.send(()).unwrap();
    running.await.unwrap().unwrap();
    drop((classify, model_files));
    let server = TestServer::start_in(parent, budget(n_bytes - 1)).await;
    assert_eq!(loaded(&server).await.len(), all.len() - 1);
}

async fn max_training_documents() {
    let server = server(|config| config.limits.max_training_documents = non_zero(20)).await;
    server.train(train_request("desk", examples(0..20))).await;
    let refusal = server.client().await.train(train_request("other", examples(0..21))).await.unwrap_err();
    assert_violation(&refusal, "inline_examples.examples", "UNUSABLE_EXAMPLES", "max_training_documents is 20");
    // With those that are stored there are 21.
    let job = server.train(train_request("desk", examples(20..21))).await;
    let failure = job.failure.unwrap();
    assert!(failure.message.contains("max_training_documents, 20"), "{failure:?}");
}

async fn max_training_bytes() {
    let n_bytes = |examples: &[pb::LabeledDocument]| {
        let documents = examples.iter().filter_map(|example| example.document.as_ref());
        documents.map(|document| document.title.len() + document.text.len()).sum::<usize>() as u64
    };
    let limit = n_bytes(&examples(0..20));
    let server = server(|config| config.limits.max_training_bytes = limit.try_into().unwrap()).await;
    let mut longer = examples(0..20);
    longer[7].document.as_mut().unwrap().text.push('s');
    let refusal = server.client().await.train(train_request("desk", longer)).await.unwrap_err();
    let said = format!("have {} bytes; the limit max_training_bytes is {limit}", limit + 1);
    assert_violation(&refusal, "inline_examples.examples", "UNUSABLE_EXAMPLES", &said);
    server.train(train_request("desk", examples(0..20))).await;
    let job = server.train(train_request("desk", examples(20..21))).await;
    assert!(job.failure.unwrap().message.contains("max_training_bytes"));
}

async fn max_connections() {
    let server = server(|config| config.connections.max_connections = non_zero(2)).await;
    let mut first = server.client().await;
    first.classify(request(article())).await.unwrap();
    let mut second = server.client().await;
    second.classify(request(article())).await.unwrap();
    let mut third = RawClient::begin(server.address, &[]).await;
    assert!(timeout(LONG, third.read_until(|_| true)).await.unwrap().is_none());
    let reads_metrics = value_of(&server, "topicd_connections_ended_total{reason=\"refused\"}").await;
    assert_eq!(reads_metrics, 1.0);
    drop(first);
    eventually("no connection is let in", || async {
        let mut client = RawClient::begin(server.address, &[]).await;
        client.write(&classify_call(1, article(), &[])).await.ok()?;
        client.read_until(|read| read.kind == DATA).await
    })
    .await;
    second.classify(request(article())).await.unwrap();
}

async fn max_streams_per_connection() {
    let server = server(|config| config.connections.max_streams_per_connection = non_zero(2)).await;
    let mut client = RawClient::begin(server.address, &[]).await;
    for stream_id in [1, 3, 5] {
        client.write(&begin_call(stream_id, &headers(CLASSIFY, &[]))).await.unwrap();
    }
    let refused = client.read_until(|read| read.kind == RST_STREAM).await.unwrap();
    assert_eq!((refused.stream_id, refused.error_code()), (5, REFUSED_STREAM));
    // One of those that are open ends, and there is room.
    client.write(&frame(RST_STREAM, 0, 1, &CANCEL.to_be_bytes())).await.unwrap();
    client.write(&classify_call(7, article(), &[])).await.unwrap();
    client.read_until(|read| read.kind == DATA && read.stream_id == 7).await.unwrap();
}

async fn max_header_bytes() {
    let headers_of = |n_bytes: usize| {
        let usual = headers(CLASSIFY, &[("x-note", "")]);
        // What HTTP/2 writes as pseudo-headers, the server knows as the request's parts.
        let sent = usual.iter().filter(|(name, _)| !name.starts_with(':'));
        let rest = sent.map(|(name, value)| name.len() + value.len() + 32).sum::<usize>();
        headers(CLASSIFY, &[("x-note", &"n".repeat(n_bytes - rest))])
    };
    let server = server(|config| config.connections.max_header_bytes = non_zero(1000)).await;
    let mut client = RawClient::begin(server.address, &[]).await;
    let message = grpc_message(&request(article()));
    for (stream_id, n_bytes) in [(1, 1000), (3, 1001), (5, 3000), (7, 1000)] {
        client.write(&begin_call(stream_id, &headers_of(n_bytes))).await.unwrap();
        client.write(&frame(DATA, END_STREAM, stream_id, &message)).await.unwrap();
    }
    // In whatever order they are answered; a refusal is a header alone.
    let (mut answered, mut refused) = (BTreeSet::new(), BTreeSet::new());
    while answered.len() + refused.len() < 4 {
        let read = client.read_until(|read| read.kind == DATA || read.is_end());
        let read = timeout(LONG, read).await.unwrap().unwrap();
        match read.kind {
            DATA => answered.insert(read.stream_id),
            HEADERS if !answered.contains(&read.stream_id) => refused.insert(read.stream_id),
            _ => false,
        };
    }
    assert_eq!((answered, refused), (BTreeSet::from([1, 7]), BTreeSet::from([3, 5])));

    // The same, as a library sees it.
    let mut long = tonic::Request::new(request(article()));
    long.metadata_mut().insert("x-note", "n".repeat(1200).parse().unwrap());
    let refusal = server.client().await.classify(long).await.unwrap_err();
    assert_error(&refusal, Code::ResourceExhausted, "HEADER_TOO_LARGE");
    assert_eq!(refusal.get_details_error_info().unwrap().metadata["max_header_bytes"], "1000");
}

async fn handshake_timeout() {
    let limit = Duration::from_secs(1);
    let server = server(|config| config.connections.handshake_timeout = limit).await;
    let mut begun = RawClient::begin(server.address, &[]).await;
    let connected = Instant::now();
    let mut silent = RawClient::silent(server.address).await;
    silent.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    timeout(LONG, silent.read_to_end()).await.unwrap();
    assert!(connected.elapsed() >= limit);
    // The one that said enough lives on.
    begun.write(&classify_call(1, article(), &[])).await.unwrap();
    begun.read_until(|read| read.kind == DATA).await.unwrap();
}

async fn idle_timeout() {
    let limit = Duration::from_secs(1);
    let server = server(|config| config.connections.idle_timeout = limit).await;
    let mut idle = RawClient::begin(server.address, &[]).await;
    let mut busy = RawClient::begin(server.address, &[]).await;
    busy.write(&begin_call(1, &headers(CLASSIFY, &[]))).await.unwrap();
    idle.write(&classify_call(1, article(), &[])).await.unwrap();
    idle.read_until(|read| read.kind == DATA).await.unwrap();
    let answered = Instant::now();
    let goaway = timeout(LONG, idle.read_until(|read| read.kind == GOAWAY)).await.unwrap().unwrap();
    assert_eq!(goaway.error_code(), 0);
    assert!(answered.elapsed() >= limit - Duration::from_millis(50), "{:?}", answered.elapsed());
    // A call that is open all the time isn't idle.
    busy.write(&frame(DATA, END_STREAM, 1, &grpc_message(&request(article())))).await.unwrap();
    let answered = busy.read_until(|read| matches!(read.kind, DATA | GOAWAY)).await.unwrap();
    assert_eq!(answered.kind, DATA);
}

async fn max_connection_age() {
    let server = server(|config| config.connections.max_age = Duration::from_millis(200)).await;
    let (channel, connections) = server.connect().await;
    let mut client = ClassifierServiceClient::new(channel);
    // Calls go on, on a new connection; none is lost.
    let calls = async {
        while connections.load(Ordering::Relaxed) == 1 {
            call_until_sent(&mut client).await;
        }
    };
    timeout(LONG, calls).await.unwrap();
}

async fn connection_grace() {
    let server = server(|config| {
        config.connections.max_age = Duration::from_millis(200);
        config.connections.age_grace = Duration::from_millis(400);
    })
    .await;
    let begun = Instant::now();
    let (send, requests) = tokio::sync::mpsc::channel(1);
    let mut answers = server.client().await.stream_classify(ReceiverStream::new(requests)).await.unwrap().into_inner();
    send.send(stream_request(article())).await.unwrap();
    assert!(answers.message().await.unwrap().is_some());
    // A call without an end is cut off.
    assert!(timeout(LONG, answers.message()).await.unwrap().is_err());
    // The age is up to a tenth less.
    assert!(begun.elapsed() >= Duration::from_millis(580), "{:?}", begun.elapsed());
    drop(send);
}

async fn max_inbound_bytes() {
    let server = server(|config| {
        config.limits.max_message_bytes = non_zero(40_000);
        config.limits.max_document_bytes = non_zero(30_000);
        config.limits.max_inbound_bytes = (64 * 1024).try_into().unwrap();
    })
    .await;
    // 30,000 bytes of a message that isn't whole: 30 of the 64 KiB, which are counted whole ones.
    let mut slow = RawClient::begin(server.address, &[]).await;
    let message = grpc_message(&batch_of(35_000));
    slow.write(&begin_call(1, &headers("/topicd.v1.ClassifierService/BatchClassify", &[]))).await.unwrap();
    for part in message[..30_000].chunks(10_000) {
        slow.write(&frame(DATA, 0, 1, part)).await.unwrap();
    }
    // The server makes room for more when it has read them; until then it could be the slow one that is refused.
    // (It says so at once only while its own settings aren't acknowledged, with which streams have more room.)
    let has_read = async { while slow.read().await.unwrap().stream_id != 1 {} };
    timeout(LONG, has_read).await.unwrap();
    let mut client = server.client().await;
    // A message has five bytes before it.
    let over = batch_of(34 * 1024 - 5 + 1);
    let refusal = client.batch_classify(over.clone()).await.unwrap_err();
    assert_error(&refusal, Code::ResourceExhausted, "TOO_MANY_MESSAGE_BYTES");
    assert!(refusal.get_details_retry_info().is_some());
    client.batch_classify(batch_of(34 * 1024 - 5)).await.unwrap();
    drop(slow);
    eventually("it is still counted", || {
        let (mut client, over) = (client.clone(), over.clone());
        async move { client.batch_classify(over).await.ok() }
    })
    .await;
}
