//! Protobuf messages as JSON, in protobuf's canonical form: what grpcurl and every other gRPC tool prints.

use std::sync::LazyLock;

use prost_reflect::{DescriptorPool, DynamicMessage};

/// Why a message has no JSON; with messages of `topicd.v1` it means that the binary was built wrongly.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// The descriptor set isn't readable.
    #[error("the built-in descriptor set can't be read")]
    Descriptors(#[source] &'static prost_reflect::DescriptorError),
    /// The message's type isn't in the descriptor set.
    #[error("the message type {0} isn't in the built-in descriptor set")]
    UnknownType(String),
    /// The message can't be read by its descriptor.
    #[error("the message doesn't fit its descriptor")]
    Decode(#[from] prost::DecodeError),
    /// The message can't be written.
    #[error("the message can't be written as JSON")]
    Encode(#[from] serde_json::Error),
}

/// Writes a message as JSON in one line: camel-case names, 64-bit integers as strings, fields with default values left
/// out.
///
/// # Errors
/// The message's type isn't one that `topicd.v1` defines or imports.
pub fn to_json<M: prost::Name>(message: &M) -> Result<String, JsonError> {
    static POOL: LazyLock<Result<DescriptorPool, prost_reflect::DescriptorError>> =
        LazyLock::new(|| DescriptorPool::decode(super::DESCRIPTORS));
    let pool = POOL.as_ref().map_err(JsonError::Descriptors)?;
    let descriptor = pool.get_message_by_name(&M::full_name()).ok_or_else(|| JsonError::UnknownType(M::full_name()))?;
    let message = DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice())?;
    Ok(serde_json::to_string(&message)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::pb;

    #[test]
    fn json_is_canonical() {
        let response = pb::ClassifyResponse {
            model_version: "classifiers/a".to_owned(),
            topics: vec![pb::TopicScore { topic: "b".to_owned(), probability: 0.1, ..Default::default() }],
            document_stats: Some(pb::DocumentStats { bytes: 7, ..Default::default() }),
            ..Default::default()
        };
        assert_eq!(
            to_json(&response).unwrap(),
            r#"{"modelVersion":"classifiers/a","topics":[{"topic":"b","probability":0.1}],"documentStats":{"bytes":"7"}}"#
        );
    }

    #[test]
    fn the_details_of_errors_are_spelled_out() {
        let info = tonic_types::pb::ErrorInfo { reason: "TEST".to_owned(), ..Default::default() };
        let details = vec![prost_types::Any {
            type_url: "type.googleapis.com/google.rpc.ErrorInfo".to_owned(),
            value: prost::Message::encode_to_vec(&info),
        }];
        let error = tonic_types::pb::Status { code: 3, message: String::new(), details };
        let result = Some(pb::batch_classify_result::Result::Error(error));
        assert_eq!(
            to_json(&pb::BatchClassifyResult { result }).unwrap(),
            r#"{"error":{"code":3,"details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"TEST"}]}}"#
        );
    }
}
