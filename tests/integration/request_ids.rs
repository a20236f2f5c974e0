//! The id by which an operator finds a call: in its answer, its error and the log.

use tonic::{Code, Request, Status};
use tonic_types::StatusExt;
use topicd::api::pb;

use crate::server_process::{ServerProcess, serve};
use crate::support::{TestServer, article, request, stream_request};

fn with_id(id: &str) -> Request<pb::ClassifyRequest> {
    let mut call = Request::new(request(article()));
    call.metadata_mut().insert("x-request-id", id.parse().unwrap());
    call
}

fn id_in(status: &Status) -> String {
    status.get_details_request_info().unwrap().request_id
}

#[tokio::test]
async fn answers_and_errors_carry_the_callers_id() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let answer = client.classify(with_id("desk-7")).await.unwrap();
    assert_eq!(answer.metadata().get("x-request-id").unwrap(), "desk-7");

    let mut wrong = with_id("desk-8");
    wrong.get_mut().model = "classifiers/none".to_owned();
    let refusal = client.classify(wrong).await.unwrap_err();
    assert_eq!(refusal.metadata().get("x-request-id").unwrap(), "desk-8");
    assert_eq!(id_in(&refusal), "desk-8");
    // What else the details say is still there.
    assert_eq!(refusal.get_details_error_info().unwrap().reason, "UNKNOWN_CLASSIFIER");
    assert_eq!(refusal.get_details_resource_info().unwrap().resource_name, "classifiers/none");
}

#[tokio::test]
async fn calls_without_an_id_get_one_and_so_do_errors_that_end_streams() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let given = client.classify(request(article())).await.unwrap().metadata().get("x-request-id").unwrap().clone();
    let other = client.classify(request(article())).await.unwrap().metadata().get("x-request-id").unwrap().clone();
    assert!(given.len() == 16 && given != other);

    let (send, requests) = tokio::sync::mpsc::channel(1);
    let requests = tokio_stream::wrappers::ReceiverStream::new(requests);
    let answers = client.stream_classify(requests).await.unwrap();
    let id = answers.metadata().get("x-request-id").unwrap().to_str().unwrap().to_owned();
    let mut answers = answers.into_inner();
    send.send(stream_request(article())).await.unwrap();
    answers.message().await.unwrap().unwrap();
    server.stop.send(()).unwrap();
    let end = answers.message().await.unwrap_err();
    assert_eq!((end.code(), id_in(&end)), (Code::Unavailable, id));
}

#[tokio::test]
async fn the_log_has_the_id_of_each_call() {
    let parent = tempfile::tempdir().unwrap();
    let mut command = serve(&parent.path().join("data"));
    command.env("RUST_LOG", "topicd=debug");
    let server = ServerProcess::spawn(command).await;
    server.classifiers().classify(with_id("find-me")).await.unwrap();
    let log = server.stop().await;
    let found = log
        .iter()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .find(|line| line["span"]["request_id"] == "find-me" && line["fields"]["message"] == "call");
    let found = found.unwrap_or_else(|| panic!("{log:#?}"));
    assert_eq!(found["span"]["method"], "topicd.v1.ClassifierService/Classify");
    assert_eq!(found["fields"]["code"], "Ok");
    // Documents aren't logged.
    assert!(log.iter().all(|line| !line.contains("Ministers")), "{log:#?}");
}
