//! Answers → responses of the Open Inference Protocol.

use super::inference_pb::model_infer_response::InferOutputTensor;
use super::inference_pb::model_metadata_response::TensorMetadata;
use super::inference_pb::{InferTensorContents, ModelInferResponse, ModelMetadataResponse, ServerMetadataResponse};
use super::inference_request::{BYTES, Output, TEXT, TITLE};
use super::pb;
use super::pb::decision::Outcome;
use super::response::classify_response;
use crate::service::{Answer, LiveVersion};

/// What the server and its models are called.
const NAME: &str = "topicd";

/// The response to a call for a server's name.
pub fn server_metadata() -> ServerMetadataResponse {
    let version = env!("CARGO_PKG_VERSION").to_owned();
    ServerMetadataResponse { name: NAME.to_owned(), version, extensions: Vec::new() }
}

/// What a version takes and answers.
pub fn model_metadata(version: &LiveVersion) -> ModelMetadataResponse {
    let n_topics = version.classifier.topics().len() as i64;
    let tensor = |name: &str, datatype: &str, shape: &[i64]| TensorMetadata {
        name: name.to_owned(),
        datatype: datatype.to_owned(),
        shape: shape.to_vec(),
    };
    let output = |output: Output| {
        let shape: &[i64] = if output.is_of_topics() { &[-1, n_topics] } else { &[-1] };
        tensor(output.name(), output.datatype(), shape)
    };
    ModelMetadataResponse {
        name: version.name.classifier.as_str().to_owned(),
        versions: vec![version.name.number.to_string()],
        platform: NAME.to_owned(),
        inputs: [TEXT, TITLE].map(|name| tensor(name, BYTES, &[-1])).to_vec(),
        outputs: Output::ALL.map(output).to_vec(),
    }
}

/// The response that holds answers, of which there is at least one and which are all of one version.
pub fn model_infer(answers: Vec<Answer>, outputs: &[Output], is_raw: bool, id: String) -> ModelInferResponse {
    let (model_name, model_version) = answers.first().map_or_else(Default::default, |answer| {
        (answer.version.name.classifier.as_str().to_owned(), answer.version.name.number.to_string())
    });
    let answers: Vec<pb::ClassifyResponse> = answers.into_iter().map(classify_response).collect();
    let n_topics = answers.first().map_or(0, |answer| answer.topics.len());
    let mut response = ModelInferResponse { model_name, model_version, id, ..Default::default() };
    for &output in outputs {
        let contents = contents(output, &answers);
        let mut shape = vec![answers.len() as i64];
        if output.is_of_topics() {
            shape.push(n_topics as i64);
        }
        let (typed, raw) = if is_raw { (None, Some(raw(&contents))) } else { (Some(contents), None) };
        response.outputs.push(InferOutputTensor {
            name: output.name().to_owned(),
            datatype: output.datatype().to_owned(),
            shape,
            parameters: Default::default(),
            contents: typed,
        });
        response.raw_output_contents.extend(raw);
    }
    response
}

/// An output's elements.
fn contents(output: Output, answers: &[pb::ClassifyResponse]) -> InferTensorContents {
    let topics = || answers.iter().flat_map(|answer| &answer.topics);
    let first = || answers.iter().filter_map(|answer| answer.topics.first());
    let mut contents = InferTensorContents::default();
    match output {
        Output::Topic => contents.bytes_contents = first().map(|score| score.topic.clone().into()).collect(),
        Output::Probability => contents.fp64_contents = first().map(|score| score.probability).collect(),
        Output::Decision => contents.bytes_contents = answers.iter().map(|answer| decision(answer).into()).collect(),
        Output::Topics => contents.bytes_contents = topics().map(|score| score.topic.clone().into()).collect(),
        Output::Probabilities => contents.fp64_contents = topics().map(|score| score.probability).collect(),
        Output::Assigned => contents.bool_contents = topics().map(|score| score.assigned).collect(),
    }
    contents
}

/// `ASSIGNED`, or why not, such as `LOW_PROBABILITY`.
fn decision(answer: &pb::ClassifyResponse) -> &'static str {
    let decision = answer.decision.unwrap_or_default();
    match decision.outcome() {
        Outcome::Abstained => {
            let reason = decision.abstain_reason().as_str_name();
            reason.strip_prefix("ABSTAIN_REASON_").unwrap_or(reason)
        }
        _ => "ASSIGNED",
    }
}

/// The elements as bytes: numbers little-endian, booleans as a byte, texts with their length before them.
fn raw(contents: &InferTensorContents) -> bytes::Bytes {
    let InferTensorContents { bool_contents, fp64_contents, bytes_contents, .. } = contents;
    let mut raw: Vec<u8> = bool_contents.iter().map(|&element| element.into()).collect();
    raw.extend(fp64_contents.iter().flat_map(|element| element.to_le_bytes()));
    for element in bytes_contents {
        // Topics' names and decisions are short.
        raw.extend((element.len() as u32).to_le_bytes());
        raw.extend(element);
    }
    raw.into()
}
