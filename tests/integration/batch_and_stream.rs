//! Many documents: in one call, and one after another.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use proptest::prelude::*;
use prost::Message;
use rayon::prelude::*;
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request};
use topicd::api::pb;
use topicd::api::pb::batch_classify_result::Result as BatchResult;
use topicd::api::pb::classifier_service_client::ClassifierServiceClient;
use topicd::api::pb::stream_classify_response::Result as StreamResult;
use topicd::api::pb::{BatchClassifyRequest, ClassifyResponse, Document, StreamClassifyRequest};
use topicd::api::response::classify_response;
use topicd::artifact;
use topicd::classifier::ClassifyOptions;
use topicd::names::ClassifierName;
use topicd::service::{AcceptedDocument, LiveVersion, VersionName, answer};

use crate::support::{
    MIB, TestServer, article, assert_error, batch, document, request, stream_request, text_of, violations,
};

fn numbered(number: usize, text: &str) -> Document {
    Document { document_id: number.to_string(), ..document("", text) }
}

#[tokio::test]
async fn a_batch_of_any_allowed_size_is_answered_in_order() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    for size in [1, 2, 256] {
        let documents = (0..size).map(|number| numbered(number, &text_of(100 + number))).collect();
        let results = client.batch_classify(batch(documents)).await.unwrap().into_inner().results;
        let ids = results.into_iter().map(|result| match result.result {
            Some(BatchResult::Response(response)) => response.document_id,
            other => panic!("{other:?}"),
        });
        assert_eq!(ids.collect::<Vec<_>>(), (0..size).map(|number| number.to_string()).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_whole_batch_fails_the_call() {
    let server = TestServer::start().await;
    let (channel, connections) = server.connect().await;
    let mut client = ClassifierServiceClient::new(channel);
    let options = pb::ClassifyOptions { min_probability: f64::NAN, truncation: 9, ..Default::default() };
    for (wrong, expected) in [
        (batch(Vec::new()), vec![("documents", "REQUIRED")]),
        (batch(vec![article(); 257]), vec![("documents", "TOO_MANY")]),
        (
            BatchClassifyRequest { model: "x".to_owned(), documents: Vec::new(), options: Some(options) },
            vec![
                ("model", "MALFORMED_NAME"),
                ("options.min_probability", "OUT_OF_RANGE"),
                ("options.truncation", "UNKNOWN_VALUE"),
                ("documents", "REQUIRED"),
            ],
        ),
    ] {
        let status = client.batch_classify(wrong).await.unwrap_err();
        assert_error(&status, Code::InvalidArgument, "INVALID_REQUEST");
        let expected: Vec<_> = expected.into_iter().map(|(f, r)| (f.to_owned(), r.to_owned())).collect();
        assert_eq!(violations(&status), expected);
    }
    let model = "classifiers/none".to_owned();
    let status = client.batch_classify(BatchClassifyRequest { model, ..batch(vec![article()]) }).await.unwrap_err();
    assert_error(&status, Code::NotFound, "UNKNOWN_CLASSIFIER");

    // Each document fits, their message doesn't.
    let status = client.batch_classify(batch(vec![document("", &text_of(MIB)); 17])).await.unwrap_err();
    assert_error(&status, Code::ResourceExhausted, "MESSAGE_TOO_LARGE");

    client.batch_classify(batch(vec![article()])).await.unwrap();
    assert_eq!(connections.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn what_is_wrong_with_one_document_is_its_own_error() {
    let server = TestServer::start().await;
    let documents = vec![
        article(),
        document("", ""),
        article(),
        Document { document_id: "i".repeat(1025), ..document("", &text_of(MIB + 1)) },
    ];
    let results = server.client().await.batch_classify(batch(documents)).await.unwrap().into_inner().results;
    let results: Vec<_> = results.into_iter().map(|result| result.result.unwrap()).collect();
    let [
        BatchResult::Response(first),
        BatchResult::Error(empty),
        BatchResult::Response(third),
        BatchResult::Error(long),
    ] = &results[..]
    else {
        panic!("{results:?}")
    };
    assert_eq!(first, third);
    assert_eq!(empty.code, Code::InvalidArgument as i32);
    assert!(empty.message.starts_with("documents[1] has neither title nor text"), "{}", empty.message);
    assert_eq!(violations(empty), [("documents[1]".to_owned(), "REQUIRED".to_owned())]);
    assert_eq!(
        violations(long),
        [("documents[3].document_id", "TOO_LONG"), ("documents[3]", "TOO_LONG")]
            .map(|(field, reason)| (field.to_owned(), reason.to_owned()))
    );
}

#[tokio::test]
async fn a_bad_document_does_not_end_a_stream() {
    let server = TestServer::start().await;
    let requests = vec![
        stream_request(numbered(1, "peace talks")),
        StreamClassifyRequest::default(),
        stream_request(numbered(2, &text_of(200_000))),
        StreamClassifyRequest { model: "classifiers/none".to_owned(), ..stream_request(article()) },
        StreamClassifyRequest {
            options: Some(pb::ClassifyOptions { truncation: 5, ..Default::default() }),
            ..stream_request(article())
        },
        stream_request(numbered(3, "war")),
    ];
    let answers = server.client().await.stream_classify(tokio_stream::iter(requests)).await.unwrap().into_inner();
    let seen: Vec<String> = answers
        .map(|answer| match answer.unwrap().result.unwrap() {
            StreamResult::Response(response) => response.document_id,
            StreamResult::Error(error) => format!("{:?}", Code::from(error.code)),
        })
        .collect()
        .await;
    assert_eq!(seen, ["1", "InvalidArgument", "2", "NotFound", "InvalidArgument", "3"]);
}

#[tokio::test]
async fn a_stream_answers_each_document_before_the_next_is_sent() {
    let server = TestServer::start().await;
    let (send, requests) = mpsc::channel(1);
    let mut client = server.client().await;
    let mut answers = client.stream_classify(ReceiverStream::new(requests)).await.unwrap().into_inner();
    for number in 0..3 {
        send.send(stream_request(numbered(number, "peace talks"))).await.unwrap();
        let Some(StreamResult::Response(response)) = answers.message().await.unwrap().unwrap().result else {
            panic!("no response")
        };
        assert_eq!(response.document_id, number.to_string());
    }
    drop(send);
    assert_eq!(answers.message().await.unwrap(), None);
}

#[tokio::test]
async fn a_message_over_the_limit_ends_a_stream_after_the_answers_before_it() {
    let server = TestServer::start().await;
    let (channel, connections) = server.connect().await;
    let mut client = ClassifierServiceClient::new(channel);
    let requests = vec![stream_request(article()), stream_request(document("", &text_of(17 * MIB)))];
    let mut answers = client.stream_classify(tokio_stream::iter(requests)).await.unwrap().into_inner();
    assert!(matches!(answers.message().await.unwrap().unwrap().result, Some(StreamResult::Response(_))));
    let status = answers.message().await.unwrap_err();
    assert_error(&status, Code::ResourceExhausted, "MESSAGE_TOO_LARGE");
    assert!(status.message().contains("max_message_bytes is 16777216"), "{}", status.message());
    client.classify(request(article())).await.unwrap();
    assert_eq!(connections.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_streams_deadline_is_kept() {
    let server = TestServer::start().await;
    let (_send, requests) = mpsc::channel(1);
    let mut call = Request::new(ReceiverStream::new(requests));
    call.set_timeout(Duration::from_millis(200));
    let mut answers = server.client().await.stream_classify(call).await.unwrap().into_inner();
    let status = answers.message().await.unwrap_err();
    assert_error(&status, Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
}

/// The answers to documents as bytes: one by one, as a batch and as a stream.
async fn answers_of(server: &TestServer, documents: &[Document]) -> [Vec<Vec<u8>>; 3] {
    let mut client = server.client().await;
    let mut alone: Vec<ClassifyResponse> = Vec::new();
    for document in documents {
        alone.push(client.classify(request(document.clone())).await.unwrap().into_inner());
    }
    let batch = client.batch_classify(batch(documents.to_vec())).await.unwrap().into_inner().results;
    let in_batch = batch.into_iter().map(|result| match result.result.unwrap() {
        BatchResult::Response(response) => response,
        BatchResult::Error(error) => panic!("{error:?}"),
    });
    let requests: Vec<_> = documents.iter().cloned().map(stream_request).collect();
    let streamed = client.stream_classify(tokio_stream::iter(requests)).await.unwrap().into_inner();
    let streamed = streamed.map(|answer| match answer.unwrap().result.unwrap() {
        StreamResult::Response(response) => response,
        StreamResult::Error(error) => panic!("{error:?}"),
    });
    [alone, in_batch.collect(), streamed.collect().await]
        .map(|responses| responses.iter().map(ClassifyResponse::encode_to_vec).collect())
}

/// The answers to documents without a server, on some number of threads.
fn answers_in_process(version: &Arc<LiveVersion>, documents: &[Document], n_threads: usize) -> Vec<Vec<u8>> {
    let answer_one = |document: &Document| {
        let pb::Document { title, text, document_id, .. } = document.clone();
        let document = topicd::document::Document::new(title, text).unwrap().with_id(document_id);
        let accepted = AcceptedDocument { document, truncated: false };
        classify_response(answer(version, accepted, &ClassifyOptions::default(), None).unwrap()).encode_to_vec()
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
    pool.install(|| documents.par_iter().map(answer_one).collect())
}

/// What everything else rests on: an answer depends on the document alone. The server has the bundled model; the one
/// asked without a server was saved and loaded again.
#[test]
fn any_document_has_the_same_answer_to_the_bit_everywhere() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = runtime.block_on(TestServer::start());
    let saved = artifact::encode(&artifact::bundled().unwrap().classifier);
    let name = VersionName { classifier: ClassifierName::default(), number: NonZeroU32::MIN };
    let version = Arc::new(LiveVersion::new(name, artifact::decode(saved.into()).unwrap()));
    let check = |documents: &[Document]| {
        let [alone, in_batch, streamed] = runtime.block_on(answers_of(&server, documents));
        assert_eq!(alone, in_batch);
        assert_eq!(alone, streamed);
        assert_eq!(alone, answers_in_process(&version, documents, 1));
        assert_eq!(alone, answers_in_process(&version, documents, 2));
    };
    // Short ones are classified where they arrive, long ones by the workers.
    check(&[20, 500, 16_384, 16_385, 300_000, 40].map(|n| document("t", &text_of(n))));
    let news = "([Tt]he |peace |talks |Minister |cup |final |war |bank |virus |é́ |中文|ไทย |, ){0,60}";
    let words = prop_oneof![Just(String::new()), "\\PC{0,80}", news];
    let any_document = (".{1,20}", words).prop_map(|(title, text)| document(&title, &text));
    proptest!(ProptestConfig::with_cases(48), |(documents in prop::collection::vec(any_document, 1..20))| {
        check(&documents);
    });
}
