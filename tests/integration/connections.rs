//! Clients that are hostile, broken or slow: each keeps its own connection busy, and nobody else's.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::timeout;
use tonic::transport::Channel;
use topicd::api::pb::classifier_service_client::ClassifierServiceClient;

use crate::metrics::{classify_calls, value_of};
use crate::raw_http2::{
    CANCEL, DATA, END_STREAM, Frame, GOAWAY, HEADERS, RST_STREAM, RawClient, begin_call, classify_call, frame,
    grpc_message, headers,
};
use crate::stopping::is_unsent;
use crate::support::{LONG, TestServer, article, batch, document, eventually, non_zero, request, text_of};

const CLASSIFY: &str = "/topicd.v1.ClassifierService/Classify";
const BATCH_CLASSIFY: &str = "/topicd.v1.ClassifierService/BatchClassify";
/// HTTP/2's setting for how much of an answer may be sent before its reader has taken some.
const INITIAL_WINDOW_SIZE: u16 = 4;

/// What anybody else sees: answers.
async fn others_are_answered(server: &TestServer) {
    let mut client = server.client().await;
    for _ in 0..50 {
        let answer = timeout(LONG, client.classify(request(article()))).await.unwrap().unwrap().into_inner();
        assert!(!answer.topics.is_empty());
    }
}

/// What is left when they have gone: nothing in flight.
async fn nothing_is_in_flight(server: &TestServer) {
    eventually("documents are in flight", || async { server.classify.workers().admit(4096).ok() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_read_holds_up_nobody() {
    let server = TestServer::start().await;
    let mut slow = RawClient::begin(server.address, &[(INITIAL_WINDOW_SIZE, 1)]).await;
    let message = grpc_message(&batch(vec![document("", &text_of(200)); 50]));
    for stream_id in (1..200).step_by(2) {
        let mut bytes = begin_call(stream_id, &headers(BATCH_CLASSIFY, &[]));
        bytes.extend(frame(DATA, END_STREAM, stream_id, &message));
        slow.write(&bytes).await.unwrap();
    }
    others_are_answered(&server).await;
    // Their answers wait, but what they asked for is done.
    nothing_is_in_flight(&server).await;
    drop(slow);
}

/// Refused calls whose messages come when they have been refused, as they do from far away and under load, broke their connection
/// after the thousandth: they were sent on streams that the server had forgotten.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_refused_calls_that_come_late_do_not_cost_the_connection() {
    let server = TestServer::start_with(|config| config.limits.max_documents_in_flight = non_zero(256)).await;
    let everything = server.classify.workers().admit(256).unwrap();
    let mut client = RawClient::begin(server.address, &[]).await;
    let message = grpc_message(&batch(vec![document("", &text_of(200)); 5]));
    let mut next = 1;
    for _ in 0..10 {
        let streams: Vec<u32> = (0..150).map(|n| next + 2 * n).collect();
        next += 300;
        for &stream_id in &streams {
            client.write(&begin_call(stream_id, &headers(BATCH_CLASSIFY, &[]))).await.unwrap();
        }
        for _ in &streams {
            let answer = client.read_until(|read| read.kind == HEADERS).await.expect("refused, and told so");
            assert!(answer.is_end());
        }
        for &stream_id in &streams {
            client.write(&frame(DATA, END_STREAM, stream_id, &message)).await.unwrap();
        }
    }
    drop(everything);
    let mut last = begin_call(next, &headers(BATCH_CLASSIFY, &[]));
    last.extend(frame(DATA, END_STREAM, next, &message));
    client.write(&last).await.unwrap();
    let answer = client.read_until(|read| read.kind == GOAWAY || read.stream_id == next && read.kind == DATA).await;
    assert_eq!(answer.map(|answer| answer.kind), Some(DATA), "the connection takes calls");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_sends_byte_by_byte_holds_up_nobody() {
    let server = TestServer::start().await;
    let mut slow = RawClient::begin(server.address, &[]).await;
    let message = grpc_message(&request(article()));
    slow.write(&begin_call(1, &headers(CLASSIFY, &[]))).await.unwrap();
    let (last, others) = message.split_last().unwrap();
    for (i, byte) in others.iter().enumerate() {
        slow.write(&frame(DATA, 0, 1, &[*byte])).await.unwrap();
        if i.is_multiple_of(40) {
            others_are_answered(&server).await;
            nothing_is_in_flight(&server).await;
        }
    }
    slow.write(&frame(DATA, END_STREAM, 1, &[*last])).await.unwrap();
    assert!(slow.read_until(|read| read.kind == DATA && !read.payload.is_empty()).await.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_streams_harm_nobody() {
    let server = TestServer::start().await;
    let (mut reader, mut writer) = RawClient::begin(server.address, &[]).await.stream.into_split();
    let read = tokio::spawn(async move { tokio::io::copy(&mut reader, &mut tokio::io::sink()).await });
    let many = tokio::spawn(async move {
        let headers = headers(CLASSIFY, &[]);
        for i in 0..10_000 {
            // The server may have closed the connection.
            if tokio::io::AsyncWriteExt::write_all(&mut writer, &begin_call(2 * i + 1, &headers)).await.is_err() {
                break;
            }
        }
        writer
    });
    others_are_answered(&server).await;
    let writer = many.await.unwrap();
    others_are_answered(&server).await;
    drop(writer);
    let _ = timeout(LONG, read).await.unwrap();
    nothing_is_in_flight(&server).await;
}

/// CVE-2023-44487: calls that are cancelled as soon as they are sent cost the server work and their sender nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rapid_resets_harm_nobody() {
    let server = TestServer::start().await;
    let mut client = RawClient::begin(server.address, &[]).await;
    let resets = tokio::spawn(async move {
        for stream_id in (1..40_000).step_by(2) {
            let mut bytes = classify_call(stream_id, article(), &[]);
            bytes.extend(frame(RST_STREAM, 0, stream_id, &CANCEL.to_be_bytes()));
            if client.write(&bytes).await.is_err() {
                break;
            }
        }
        client
    });
    others_are_answered(&server).await;
    drop(resets.await.unwrap());
    others_are_answered(&server).await;
    nothing_is_in_flight(&server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_http2_is_closed_and_counted() {
    let server = TestServer::start().await;
    let mut plain = RawClient::silent(server.address).await;
    plain.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n and more than a preface").await.unwrap();
    timeout(LONG, plain.read_to_end()).await.unwrap();

    let mut garbage = RawClient::begin(server.address, &[]).await;
    garbage.write(&[0xff; 4096]).await.unwrap();
    let goaway = timeout(LONG, garbage.read_until(|read| read.kind == GOAWAY)).await.unwrap();
    assert!(goaway.is_none_or(|goaway| goaway.error_code() != 0));
    timeout(LONG, garbage.read_to_end()).await.unwrap();

    others_are_answered(&server).await;
    eventually("they aren't counted", || async {
        (value_of(&server, "topicd_connections_ended_total{reason=\"error\"}").await == 2.0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_go_on_over_new_connections_when_the_old_ones_are_too_old() {
    let server = TestServer::start_with(|config| config.connections.max_age = Duration::from_millis(100)).await;
    let (channel, connections) = server.connect().await;
    let mut client = ClassifierServiceClient::new(channel);
    let calls = async {
        while connections.load(Ordering::Relaxed) < 4 {
            call_until_sent(&mut client).await;
        }
    };
    timeout(LONG, calls).await.unwrap();
    eventually("they aren't counted", || async {
        (value_of(&server, "topicd_connections_ended_total{reason=\"age\"}").await >= 3.0).then_some(())
    })
    .await;
}

/// Who says nothing, and who doesn't answer the news that the server stops, made it wait to the end of its time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_no_call_does_not_hold_up_the_end() {
    let server = TestServer::start_with(|config| config.drain_timeout = 10 * LONG).await;
    let silent = RawClient::silent(server.address).await;
    let mut deaf = RawClient::begin(server.address, &[]).await;
    deaf.write(&classify_call(1, article(), &[])).await.unwrap();
    deaf.read_until(|read| read.kind == DATA).await.unwrap();
    eventually("they aren't connected", || async {
        (value_of(&server, "topicd_connections").await == 2.0).then_some(())
    })
    .await;
    server.stop.send(()).unwrap();
    timeout(LONG, server.running).await.unwrap().unwrap().unwrap();
    drop((silent, deaf));
}

/// Calls, again if tonic's client had the call in hand when the connection ended.
pub(crate) async fn call_until_sent(client: &mut ClassifierServiceClient<Channel>) {
    while let Err(status) = client.classify(request(article())).await {
        assert!(is_unsent(&status), "{status:?}");
    }
}

/// Found with a deadline of a millisecond and ten thousand calls: tonic's own clock, which sat around ours, said CANCELLED now and
/// then. Its server isn't used any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn short_deadlines_are_never_cancelled() {
    let server = TestServer::start().await;
    let mut client = RawClient::begin(server.address, &[]).await;
    for i in 0..300 {
        let (stream_id, timeout) = (2 * i + 1, format!("{}u", 50 + 10 * (i % 20)));
        client.write(&classify_call(stream_id, article(), &[("grpc-timeout", &timeout)])).await.unwrap();
        let end = client.read_until(Frame::is_end).await.unwrap();
        assert!(end.kind != RST_STREAM, "{end:?}");
    }
    eventually("some have another code", || async {
        let (answered, late) = (classify_calls("OK"), classify_calls("DEADLINE_EXCEEDED"));
        (value_of(&server, &answered).await + value_of(&server, &late).await == 300.0).then_some(())
    })
    .await;
}
