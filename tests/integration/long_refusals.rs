//! Refusals travel in a header, of which many clients take 16 KiB: whatever is wrong with a request, its refusal fits.

use tonic::Status;
use tonic_types::StatusExt;
use topicd::api::inference_pb::model_infer_request::InferInputTensor;
use topicd::api::inference_pb::{InferParameter, ModelInferRequest};
use topicd::api::inference_request::infer_call;
use topicd::api::pb;
use topicd::api::train_request::import_message;
use topicd::config::Limits;

/// What a reply with this status takes, as HTTP/2 counts it; some of the 16 KiB is for what every reply has.
fn n_header_bytes(status: Status) -> usize {
    let reply = status.into_http::<String>();
    reply.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum()
}

const MAX_HEADER_BYTES: usize = 15 * 1024;

fn n_named(status: &Status) -> usize {
    status.get_details_bad_request().unwrap().field_violations.len()
}

/// Found by fuzzing requests and weighing their refusals: sixteen topics of control characters, which errors repeat as `\u{1}`,
/// made a header of 42 KiB. Clients that take 16 break the connection, and never learn what is wrong.
#[test]
fn long_descriptions_of_many_fields() {
    let refusal = |topic: &str, n: usize| {
        let example = pb::LabeledDocument {
            document: Some(pb::Document { title: "a".to_owned(), ..Default::default() }),
            topics: vec![topic.to_owned(); n],
            ..Default::default()
        };
        let message = pb::ImportExamplesRequest { examples: vec![example], ..Default::default() };
        Status::from(import_message(message, None, 0, &Limits::default()).unwrap_err())
    };
    let unprintable = format!("a\n{}", "\u{10ffff}".repeat(31));
    for topic in ["\u{1}".repeat(128), unprintable, "é".repeat(1000), String::new()] {
        for n in [1, 20] {
            let status = refusal(&topic, n);
            // The classifier is missing, too.
            assert!((2..=16).contains(&n_named(&status)), "{topic:?}");
            assert_eq!(status.message().contains("more fields are wrong"), n_named(&status) < n + 1, "{topic:?}");
            let n_bytes = n_header_bytes(status);
            assert!(n_bytes <= MAX_HEADER_BYTES, "{n} of {topic:?}: {n_bytes}");
        }
    }
    assert_eq!(n_named(&refusal("", 20)), 16, "short ones are all named");
}

/// Found when requests of this protocol were fuzzed, too: a tensor's shape and parameters' names were repeated however long they were.
#[test]
fn long_shapes_and_names_of_parameters() {
    let input = |shape: Vec<i64>| InferInputTensor {
        name: "text".to_owned(),
        datatype: "BYTES".to_owned(),
        shape,
        ..Default::default()
    };
    let refusal = |request: ModelInferRequest| Status::from(infer_call(request, &Limits::default()).unwrap_err());
    let request = ModelInferRequest { model_name: "default".to_owned(), ..Default::default() };
    let long_shape = ModelInferRequest { inputs: vec![input(vec![i64::MIN; 10_000])], ..request.clone() };
    let parameters = [("p".repeat(100_000), InferParameter::default())].into();
    for (request, said) in [
        (long_shape, "has 10000 dimensions for 0 elements"),
        (ModelInferRequest { inputs: vec![input(vec![3, 2])], ..request.clone() }, "is [3, 2] for 0 elements"),
        (ModelInferRequest { parameters, ..request }, "ppp…"),
    ] {
        let status = refusal(request);
        assert!(status.message().contains(said), "{}", status.message());
        assert!(n_header_bytes(status) <= MAX_HEADER_BYTES, "{said}");
    }
}
