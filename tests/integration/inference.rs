//! The Open Inference Protocol: the same answers as Classify's, in tensors, and what is refused.

use tonic::Code;
use tonic::transport::Channel;
use topicd::api::inference_pb::grpc_inference_service_client::GrpcInferenceServiceClient;
use topicd::api::inference_pb::infer_parameter::ParameterChoice;
use topicd::api::inference_pb::model_infer_request::{InferInputTensor, InferRequestedOutputTensor};
use topicd::api::inference_pb::{
    InferParameter, InferTensorContents, ModelInferRequest, ModelInferResponse, ModelMetadataRequest,
    ModelReadyRequest, ServerLiveRequest, ServerMetadataRequest, ServerReadyRequest,
};
use topicd::api::pb;

use crate::support::{TestServer, assert_error, batch, document, non_zero, violations};

const TEXTS: [&str; 3] =
    ["Ministers of both countries met for talks about peace", "The striker scored twice", "\u{1F600}"];
const TITLES: [&str; 3] = ["Peace talks begin", "", "?"];

async fn client(server: &TestServer) -> GrpcInferenceServiceClient<Channel> {
    GrpcInferenceServiceClient::new(server.connect().await.0)
}

fn input(name: &str, texts: &[&str], is_raw: bool) -> (InferInputTensor, Vec<u8>) {
    let elements = || texts.iter().map(|text| text.as_bytes());
    let raw = elements().flat_map(|text| [&(text.len() as u32).to_le_bytes(), text].concat()).collect();
    let contents = InferTensorContents {
        bytes_contents: elements().map(|text| text.to_vec().into()).collect(),
        ..Default::default()
    };
    let input = InferInputTensor {
        name: name.to_owned(),
        datatype: "BYTES".to_owned(),
        shape: vec![texts.len() as i64],
        contents: (!is_raw).then_some(contents),
        ..Default::default()
    };
    (input, raw)
}

fn request(texts: &[&str], titles: &[&str], is_raw: bool) -> ModelInferRequest {
    let mut request = ModelInferRequest { model_name: "default".to_owned(), id: "7".to_owned(), ..Default::default() };
    let given = [("text", texts), ("title", titles)].into_iter().filter(|(_, elements)| !elements.is_empty());
    for (name, elements) in given {
        let (input, raw) = input(name, elements, is_raw);
        request.inputs.push(input);
        if is_raw {
            request.raw_input_contents.push(raw.into());
        }
    }
    request
}

fn texts_of(raw: &[u8]) -> Vec<String> {
    let (mut texts, mut rest) = (Vec::new(), raw);
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let (text, after) = after.split_at(u32::from_le_bytes(*length) as usize);
        texts.push(String::from_utf8(text.to_vec()).unwrap());
        rest = after;
    }
    texts
}

#[tokio::test]
async fn tensors_have_the_answers_that_documents_get() {
    let server = TestServer::start().await;
    let documents = (0..3).map(|i| document(TITLES[i], TEXTS[i])).collect();
    let answers = server.client().await.batch_classify(batch(documents)).await.unwrap().into_inner();
    let answers: Vec<pb::ClassifyResponse> = answers
        .results
        .into_iter()
        .map(|result| match result.result.unwrap() {
            pb::batch_classify_result::Result::Response(answer) => answer,
            other => panic!("{other:?}"),
        })
        .collect();
    let topics: Vec<&pb::TopicScore> = answers.iter().flat_map(|answer| &answer.topics).collect();
    let n_topics = answers[0].topics.len() as i64;

    let mut client = client(&server).await;
    let typed = client.model_infer(request(&TEXTS, &TITLES, false)).await.unwrap().into_inner();
    let raw = client.model_infer(request(&TEXTS, &TITLES, true)).await.unwrap().into_inner();
    for response in [&typed, &raw] {
        let ModelInferResponse { model_name, model_version, id, outputs, .. } = response;
        assert_eq!((&**model_name, &**model_version, &**id), ("default", "1", "7"));
        let described: Vec<_> =
            outputs.iter().map(|output| (&*output.name, &*output.datatype, &output.shape[..])).collect();
        assert_eq!(
            described,
            [
                ("topic", "BYTES", &[3][..]),
                ("probability", "FP64", &[3]),
                ("decision", "BYTES", &[3]),
                ("topics", "BYTES", &[3, n_topics]),
                ("probabilities", "FP64", &[3, n_topics]),
                ("assigned", "BOOL", &[3, n_topics]),
            ]
        );
    }
    let contents: Vec<_> = typed.outputs.into_iter().map(|output| output.contents.unwrap()).collect();
    let texts = |index: usize| {
        let texts: &Vec<bytes::Bytes> = &contents[index].bytes_contents;
        texts.iter().map(|text| String::from_utf8(text.to_vec()).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(texts(0), [0, 1, 2].map(|i| answers[i].topics[0].topic.clone()));
    assert_eq!(contents[1].fp64_contents, [0, 1, 2].map(|i| answers[i].topics[0].probability));
    assert_eq!(texts(2)[2], "NO_TOKENS");
    assert!(topics.iter().map(|score| &score.topic).eq(&texts(3)));
    assert!(topics.iter().map(|score| &score.probability).eq(&contents[4].fp64_contents));
    assert!(topics.iter().map(|score| &score.assigned).eq(&contents[5].bool_contents));

    let raw = raw.raw_output_contents;
    assert_eq!([texts_of(&raw[0]), texts_of(&raw[2]), texts_of(&raw[3])], [texts(0), texts(2), texts(3)]);
    let floats =
        |raw: &[u8]| raw.chunks(8).map(|chunk| f64::from_le_bytes(chunk.try_into().unwrap())).collect::<Vec<_>>();
    assert_eq!(
        (floats(&raw[1]), floats(&raw[4])),
        (contents[1].fp64_contents.clone(), contents[4].fp64_contents.clone())
    );
    assert!(contents[5].bool_contents.iter().map(|&assigned| u8::from(assigned)).eq(raw[5].iter().copied()));
}

#[tokio::test]
async fn only_what_is_asked_for_is_answered_and_a_title_is_enough() {
    let server = TestServer::start().await;
    let mut asked = request(&[], &TITLES[..1], false);
    asked.outputs = ["decision", "topic"]
        .map(|name| InferRequestedOutputTensor { name: name.to_owned(), ..Default::default() })
        .to_vec();
    asked.inputs[0].shape = vec![1, 1];
    asked.model_version = "stable".to_owned();
    let answer = client(&server).await.model_infer(asked).await.unwrap().into_inner();
    assert!(answer.outputs.iter().map(|output| &*output.name).eq(["decision", "topic"]));
    assert_eq!(answer.model_version, "1");
}

#[tokio::test]
async fn a_server_and_its_models_are_described() {
    let server = TestServer::start().await;
    let mut client = client(&server).await;
    assert!(client.server_live(ServerLiveRequest {}).await.unwrap().into_inner().live);
    assert!(client.server_ready(ServerReadyRequest {}).await.unwrap().into_inner().ready);
    let metadata = client.server_metadata(ServerMetadataRequest {}).await.unwrap().into_inner();
    assert_eq!((&*metadata.name, &*metadata.version), ("topicd", env!("CARGO_PKG_VERSION")));
    for (name, version, ready) in
        [("default", "", true), ("default", "1", true), ("default", "2", false), ("none", "", false)]
    {
        let asked = ModelReadyRequest { name: name.to_owned(), version: version.to_owned() };
        assert_eq!(client.model_ready(asked).await.unwrap().into_inner().ready, ready, "{name} {version}");
    }
    let asked = |name: &str| ModelMetadataRequest { name: name.to_owned(), ..Default::default() };
    let metadata = client.model_metadata(asked("default")).await.unwrap().into_inner();
    assert_eq!((&*metadata.platform, &metadata.versions[..]), ("topicd", &["1".to_owned()][..]));
    assert_eq!(metadata.outputs.len(), 6);
    let unknown = client.model_metadata(asked("none")).await.unwrap_err();
    assert_error(&unknown, Code::NotFound, "UNKNOWN_CLASSIFIER");
}

/// Everything that can be wrong with a request, each with the field that says so.
#[tokio::test]
async fn what_makes_no_sense_is_refused_with_its_field() {
    type Change = fn(&mut ModelInferRequest);
    let server = TestServer::start_with(|config| {
        config.limits.max_batch_documents = non_zero(4);
        config.limits.max_document_bytes = non_zero(1000);
    })
    .await;
    let mut client = client(&server).await;
    let parameter = |choice| InferParameter { parameter_choice: Some(choice) };
    let cases: &[(Change, &str, &str)] = &[
        (|r| r.model_name = "No Name".to_owned(), "model_name", "INVALID_NAME"),
        (|r| r.model_version = "newest".to_owned(), "model_version", "INVALID_VERSION"),
        (|r| r.inputs[0].name = "body".to_owned(), "inputs[0].name", "UNKNOWN_INPUT"),
        (|r| r.inputs.clear(), "inputs", "REQUIRED"),
        (|r| r.inputs.push(r.inputs[0].clone()), "inputs[1].name", "REPEATED"),
        (|r| r.inputs[0].datatype = "FP32".to_owned(), "inputs[0].datatype", "INVALID_TYPE"),
        (|r| r.inputs[0].shape = vec![2], "inputs[0].shape", "WRONG_SHAPE"),
        (|r| r.inputs[0].shape = vec![1, 3], "inputs[0].shape", "WRONG_SHAPE"),
        (|r| r.inputs[0].shape = vec![-3], "inputs[0].shape", "WRONG_SHAPE"),
        (|r| r.raw_input_contents = vec![vec![0].into()], "inputs[0].contents", "REPEATED"),
        (|r| r.raw_input_contents = vec![vec![0].into(), vec![].into()], "raw_input_contents", "WRONG_NUMBER"),
        (
            |r| {
                r.inputs[0].contents = None;
                r.raw_input_contents = vec![vec![9, 0, 0, 0, b'x'].into()];
            },
            "raw_input_contents[0]",
            "INVALID_CONTENTS",
        ),
        (
            |r| r.inputs[0].contents.as_mut().unwrap().bytes_contents[1] = vec![0xFF].into(),
            "inputs[0].contents.bytes_contents",
            "NOT_UTF8",
        ),
        (
            |r| r.outputs = vec![InferRequestedOutputTensor { name: "label".to_owned(), ..Default::default() }],
            "outputs[0].name",
            "UNKNOWN_OUTPUT",
        ),
    ];
    let three = || request(&TEXTS, &[], false);
    for (change, field, reason) in cases {
        let mut wrong = three();
        change(&mut wrong);
        let refused = client.model_infer(wrong).await.unwrap_err();
        assert_error(&refused, Code::InvalidArgument, "INVALID_REQUEST");
        assert!(violations(&refused).contains(&((*field).to_owned(), (*reason).to_owned())), "{field}: {refused:?}");
    }
    for (name, choice, reason) in [
        ("temperature", ParameterChoice::StringParam("1".to_owned()), "UNKNOWN_PARAMETER"),
        ("truncate", ParameterChoice::Int64Param(1), "INVALID_TYPE"),
    ] {
        let parameters = [(name.to_owned(), parameter(choice))].into();
        let refused = client.model_infer(ModelInferRequest { parameters, ..three() }).await.unwrap_err();
        assert_eq!(violations(&refused), [(format!("parameters[{name:?}]"), reason.to_owned())]);
    }
    let mut of_input = three();
    of_input.inputs[0]
        .parameters
        .insert("shared_memory_region".to_owned(), parameter(ParameterChoice::BoolParam(true)));
    let refused = client.model_infer(of_input).await.unwrap_err();
    assert_eq!(violations(&refused)[0].1, "UNKNOWN_PARAMETER");

    // KServe's client tells how many raw bytes there are.
    for (told, is_right) in [(12, true), (13, false)] {
        let mut raw = request(&["12345678"], &[], true);
        raw.inputs[0].parameters.insert("binary_data_size".to_owned(), parameter(ParameterChoice::Int64Param(told)));
        assert_eq!(client.model_infer(raw).await.is_ok(), is_right, "{told}");
    }

    // Names however long, and shapes, fit into the header that an error travels in.
    let parameters = [("x".repeat(100_000), parameter(ParameterChoice::BoolParam(true)))].into();
    let refused = client.model_infer(ModelInferRequest { parameters, ..three() }).await.unwrap_err();
    assert_error(&refused, Code::InvalidArgument, "INVALID_REQUEST");
    let mut wide = three();
    wide.inputs[0].shape = vec![i64::MAX; 50_000];
    assert_error(&client.model_infer(wide).await.unwrap_err(), Code::InvalidArgument, "INVALID_REQUEST");
    // Many empty elements are few bytes; they are refused before there is a document for each.
    let mut many = request(&[], &[], true);
    let (mut input, _) = input("text", &[], true);
    input.shape = vec![1_000_000];
    (many.inputs, many.raw_input_contents) = (vec![input], vec![vec![0; 4_000_000].into()]);
    let refused = client.model_infer(many).await.unwrap_err();
    assert_eq!(violations(&refused), [("raw_input_contents[0]".to_owned(), "TOO_MANY".to_owned())]);

    // One document too many, one too long, and that one cut.
    let refused = client.model_infer(request(&["a"; 5], &[], false)).await.unwrap_err();
    assert_error(&refused, Code::InvalidArgument, "INVALID_REQUEST");
    let long = "peace ".repeat(500);
    let refused = client.model_infer(request(&[&long], &[], true)).await.unwrap_err();
    assert_error(&refused, Code::InvalidArgument, "INVALID_REQUEST");
    let parameters = [("truncate".to_owned(), parameter(ParameterChoice::BoolParam(true)))].into();
    client.model_infer(ModelInferRequest { parameters, ..request(&[&long], &[], true) }).await.unwrap();
}
