//! Protobuf: the generated types of `topicd.v1`, and their conversion from and to ours.
//!
//! What comes in is checked here once, all of it ([`violations`] collects what is wrong): [`request`] (classification),
//! [`train_request`] (labelled documents), [`model_file_request`] (model files), [`settings`] and [`promotion`] (what versions must
//! meet), [`traffic_request`], [`inference_request`] (another protocol's classification), [`model_request`] (the rest). What is behind has only valid values. What goes
//! out is made here ([`response`], [`model_response`], [`comparison_response`], [`topic_response`], [`traffic_response`], [`inference_response`],
//! [`monitoring_response`]), also as
//! JSON for the command line ([`json`]).

pub mod comparison_response;
pub mod dataset_request;
pub mod dataset_response;
pub mod inference_request;
pub mod inference_response;
pub mod json;
pub mod model_file_request;
pub mod model_request;
pub mod model_response;
pub mod monitoring_response;
pub mod promotion;
pub mod request;
pub mod response;
pub mod settings;
pub mod topic_response;
pub mod traffic_request;
pub mod traffic_response;
pub mod train_request;
pub mod violations;

/// The messages and services of `topicd.v1`, generated from `proto/` by `build.rs`.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::unwrap_used, clippy::expect_used, rustdoc::all)]
pub mod pb {
    tonic::include_proto!("topicd.v1");
}

/// The messages and service of the Open Inference Protocol, generated from `proto/third_party/inference`.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::unwrap_used, clippy::expect_used, rustdoc::all)]
pub mod inference_pb {
    tonic::include_proto!("inference");
}

/// The descriptors of `topicd.v1` and all that it imports, with their comments, as an encoded `FileDescriptorSet`.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
