//! More at a time than the limit allows.

use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{RpcStatusExt, StatusExt};
use topicd::api::pb::stream_classify_response::Result as StreamResult;

use crate::support::{TestServer, article, assert_error, batch, non_zero, request, stream_request};

#[track_caller]
fn assert_overloaded(status: &Status) {
    assert_error(status, Code::ResourceExhausted, "OVERLOADED");
    assert!(status.get_details_retry_info().unwrap().retry_delay > Some(Duration::ZERO));
    assert!(status.message().contains("max_documents_in_flight (8)"), "{}", status.message());
}

#[tokio::test]
async fn documents_over_the_limit_are_refused_at_once_until_others_are_done() {
    let server = TestServer::start_with(|config| {
        config.limits.max_documents_in_flight = non_zero(8);
        config.limits.max_batch_documents = non_zero(8);
    })
    .await;
    let mut client = server.client().await;
    let others = server.classify.workers().admit(7).unwrap();

    assert_overloaded(&client.batch_classify(batch(vec![article(); 2])).await.unwrap_err());
    client.batch_classify(batch(vec![article()])).await.unwrap();
    client.classify(request(article())).await.unwrap();

    let last = server.classify.workers().admit(1).unwrap();
    assert_overloaded(&client.classify(request(article())).await.unwrap_err());
    let requests = tokio_stream::iter([stream_request(article())]);
    let mut answers = client.stream_classify(requests).await.unwrap().into_inner();
    let Some(StreamResult::Error(error)) = answers.message().await.unwrap().unwrap().result else {
        panic!("not refused")
    };
    assert_eq!(error.code, Code::ResourceExhausted as i32);
    assert!(error.get_details_retry_info().is_some());

    drop((others, last));
    client.batch_classify(batch(vec![article(); 8])).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_callers_at_once_are_all_answered() {
    let server = TestServer::start().await;
    let client = server.client().await;
    let expected = client.clone().classify(request(article())).await.unwrap().into_inner();
    let callers: Vec<_> = (0..64)
        .map(|_| {
            let mut client = client.clone();
            tokio::spawn(async move { client.classify(request(article())).await.unwrap().into_inner() })
        })
        .collect();
    for caller in callers {
        assert_eq!(caller.await.unwrap(), expected);
    }
    // Everything that was let in was given back.
    server.classify.workers().admit(4096).unwrap();
}
