//! What callers get wrong: each is answered with a code and details that say what to mend, and does no harm to the
//! call after it.

use std::sync::atomic::Ordering;

use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;
use tonic_types::StatusExt;
use topicd::api::pb::classifier_service_client::ClassifierServiceClient;
use topicd::api::pb::{ClassifyOptions, ClassifyRequest, ClassifyResponse, Document};

use crate::support::{MIB, TestServer, article, assert_error, document, request, text_of, violations};

/// Requests with one field wrong each, and what is said about it.
fn wrong_fields() -> Vec<(ClassifyRequest, &'static str, &'static str, &'static str)> {
    let options = |options: ClassifyOptions| ClassifyRequest { options: Some(options), ..request(article()) };
    let named = |model: &str| ClassifyRequest { model: model.to_owned(), ..request(article()) };
    let id = "i".repeat(1025);
    vec![
        (ClassifyRequest::default(), "document", "REQUIRED", "is missing"),
        (request(Document::default()), "document", "REQUIRED", "neither title nor text"),
        (request(document("title", &text_of(5_000_000))), "document", "TOO_LONG", "5000005 bytes"),
        (request(document("", &text_of(MIB + 1))), "document", "TOO_LONG", "limit max_document_bytes is 1048576"),
        (request(Document { document_id: id, ..article() }), "document.document_id", "TOO_LONG", "1025"),
        (
            options(ClassifyOptions { min_probability: f64::NAN, ..Default::default() }),
            "options.min_probability",
            "OUT_OF_RANGE",
            "is NaN",
        ),
        (
            options(ClassifyOptions { abstain_below: Some(f64::NEG_INFINITY), ..Default::default() }),
            "options.abstain_below",
            "OUT_OF_RANGE",
            "is -inf",
        ),
        (
            options(ClassifyOptions { min_probability: 1.5, ..Default::default() }),
            "options.min_probability",
            "OUT_OF_RANGE",
            "is 1.5",
        ),
        (
            options(ClassifyOptions { truncation: 77, ..Default::default() }),
            "options.truncation",
            "UNKNOWN_VALUE",
            "is 77",
        ),
        (
            options(ClassifyOptions { truncation: -1, ..Default::default() }),
            "options.truncation",
            "UNKNOWN_VALUE",
            "is -1",
        ),
        (named("news"), "model", "MALFORMED_NAME", "classifiers/{classifier}"),
        (named("classifiers/News"), "model", "MALFORMED_NAME", "\"News\""),
        (named("classifiers/default/versions/newest"), "model", "MALFORMED_NAME", "\"newest\""),
        (named(&"x".repeat(MIB)), "model", "MALFORMED_NAME", "x…"),
    ]
}

#[tokio::test]
async fn a_wrong_field_is_named_and_the_next_call_on_the_connection_is_answered() {
    let server = TestServer::start().await;
    let (channel, connections) = server.connect().await;
    let mut client = ClassifierServiceClient::new(channel);
    for (request_with_fault, field, reason, said) in wrong_fields() {
        let status = client.classify(request_with_fault).await.unwrap_err();
        assert_error(&status, Code::InvalidArgument, "INVALID_REQUEST");
        assert_eq!(violations(&status), [(field.to_owned(), reason.to_owned())]);
        let description = &status.get_details_bad_request().unwrap().field_violations[0].description;
        assert!(description.contains(said), "{description}");
        assert_eq!(status.message(), format!("{field} {description}"));
        client.classify(request(article())).await.unwrap();
    }
    assert_eq!(connections.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn all_wrong_fields_are_named_at_once() {
    let server = TestServer::start().await;
    let wrong = ClassifyRequest {
        model: "classifiers/".to_owned(),
        document: Some(Document { document_id: "i".repeat(2000), ..document("", "") }),
        options: Some(ClassifyOptions {
            min_probability: -0.1,
            abstain_below: Some(2.0),
            min_margin: Some(-1.0),
            truncation: 3,
            explain: 9,
            max_terms: 1001,
            top_k: 0,
        }),
    };
    let status = server.client().await.classify(wrong).await.unwrap_err();
    let named: Vec<String> = violations(&status).into_iter().map(|(field, _)| field).collect();
    assert_eq!(
        named,
        [
            "model",
            "options.min_probability",
            "options.abstain_below",
            "options.min_margin",
            "options.explain",
            "options.max_terms",
            "options.truncation",
            "document.document_id",
            "document"
        ]
    );
}

#[tokio::test]
async fn a_model_that_does_not_exist_is_not_found_by_name() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    for (model, reason, resource_type, resource_name) in [
        ("classifiers/sports", "UNKNOWN_CLASSIFIER", "Classifier", "classifiers/sports"),
        ("classifiers/sports/versions/1", "UNKNOWN_CLASSIFIER", "Classifier", "classifiers/sports"),
        ("classifiers/default/versions/2", "UNKNOWN_VERSION", "ModelVersion", "classifiers/default/versions/2"),
    ] {
        let request = ClassifyRequest { model: model.to_owned(), ..request(article()) };
        let status = client.classify(request).await.unwrap_err();
        assert_error(&status, Code::NotFound, reason);
        let resource = status.get_details_resource_info().unwrap();
        assert_eq!((&*resource.resource_type, &*resource.resource_name), (resource_type, resource_name));
    }
}

// Tonic's own answer is OUT_OF_RANGE without details.
#[tokio::test]
async fn a_message_over_the_limit_is_resource_exhausted_and_the_connection_lives() {
    let server = TestServer::start().await;
    let (channel, connections) = server.connect().await;
    let mut client = ClassifierServiceClient::new(channel);
    let status = client.classify(request(document("", &text_of(17 * MIB)))).await.unwrap_err();
    assert_error(&status, Code::ResourceExhausted, "MESSAGE_TOO_LARGE");
    assert!(status.message().contains("max_message_bytes is 16777216"), "{}", status.message());
    let metadata = status.get_details_error_info().unwrap().metadata;
    assert_eq!(metadata["max_message_bytes"], "16777216");
    assert!(metadata["message_bytes"].parse::<usize>().unwrap() > 17 * MIB, "{metadata:?}");
    client.classify(request(article())).await.unwrap();
    assert_eq!(connections.load(Ordering::Relaxed), 1);
}

/// Calls any method with any message.
async fn call(server: &TestServer, path: &'static str, message: Document) -> Status {
    let mut client = Grpc::new(server.connect().await.0);
    client.ready().await.unwrap();
    let codec = ProstCodec::<Document, ClassifyResponse>::default();
    client.unary(Request::new(message), PathAndQuery::from_static(path), codec).await.unwrap_err()
}

#[tokio::test]
async fn what_is_no_request_of_ours_is_answered_with_details_too() {
    let server = TestServer::start().await;
    // A document's text is where a request has its document.
    let status = call(&server, "/topicd.v1.ClassifierService/Classify", document("", "not protobuf")).await;
    assert_error(&status, Code::InvalidArgument, "MALFORMED_MESSAGE");
    for path in ["/topicd.v1.ClassifierService/Guess", "/topicd.v2.ClassifierService/Classify", "/"] {
        let status = call(&server, path, article()).await;
        assert_error(&status, Code::Unimplemented, "UNKNOWN_METHOD");
        assert!(status.message().starts_with(path), "{}", status.message());
    }
}
