//! Bytes → a request of each type → what the service is asked, or what is wrong with it; never a panic.
//!
//! The first byte says of which type; the others are the message.

#![no_main]

use std::num::NonZeroU32;

use libfuzzer_sys::fuzz_target;
use prost::Message;
use tonic::Status;
use topicd::api::inference_pb::{ModelInferRequest, ModelReadyRequest};
use topicd::api::{
    dataset_request, dataset_response, inference_request, model_file_request, model_request, pb, request, settings,
    traffic_request, train_request,
};
use topicd::config::Limits;
use topicd::document::LabeledDocument;
use topicd::service::{BatchCall, Error};

/// Small ones, so that inputs of a few hundred bytes go beyond them.
const LIMITS: fn() -> Limits = || Limits {
    max_document_bytes: NonZeroU32::MIN.saturating_add(99),
    max_batch_documents: NonZeroU32::MIN.saturating_add(3),
    max_message_examples: NonZeroU32::MIN.saturating_add(3),
    ..Limits::default()
};

/// Reads a message; what can't be read is tonic's to refuse. What can is written and read again.
fn message<M: Message + Default>(bytes: &[u8]) -> Option<M> {
    let message = M::decode(bytes).ok()?;
    let written = message.encode_to_vec();
    let again = M::decode(&*written).expect("what was written is read");
    // Not the same bytes: maps have no order.
    assert_eq!(again.encoded_len(), written.len());
    Some(message)
}

fuzz_target!(|data: &[u8]| {
    let Some((&kind, bytes)) = data.split_first() else { return };
    let limits = &LIMITS();
    /// Tells one conversion by its number: a message's type, and what it is converted by.
    macro_rules! convert {
        ($($number:literal => $message:ty: $convert:expr,)+) => {
            match kind % convert!(@count $($number)+) {
                $($number => check(message::<$message>(bytes), $convert),)+
                _ => unreachable!("every number has a type"),
            }
        };
        (@count $($number:literal)+) => { [$($number),+].len() as u8 };
    }
    convert! {
        0 => pb::ClassifyRequest: |m| request::classify_call(m, limits).map(drop),
        1 => pb::StreamClassifyRequest: |m| request::stream_call(m, limits).map(drop),
        2 => pb::BatchClassifyRequest: |m| batch(m, limits),
        3 => pb::TrainRequest: |m| train_request::train_call(m, limits).map(|call| call.examples.iter().for_each(travels)),
        4 => pb::ImportExamplesRequest: |m| import(m, limits),
        5 => pb::SubmitFeedbackRequest: |m| {
            dataset_request::feedback(m, limits).map(|(_, examples)| examples.iter().for_each(travels))
        },
        6 => pb::GetDatasetRequest: |m| dataset_request::dataset(m).map(drop),
        7 => pb::ListExamplesRequest: |m| dataset_request::list_call(m).map(drop),
        8 => pb::ExportExamplesRequest: |m| dataset_request::export_call(m).map(drop),
        9 => pb::RenameTopicRequest: |m| dataset_request::rename_call(m).map(drop),
        10 => pb::DeleteExamplesRequest: |m| dataset_request::delete_call(m).map(drop),
        11 => pb::UpdateClassifierSettingsRequest: |m| update_settings(m),
        12 => pb::ListModelVersionsRequest: |m: pb::ListModelVersionsRequest| {
            model_request::page(&m.classifier, m.page_size, &m.page_token).map(drop)
        },
        13 => pb::GetClassifierRequest: |m: pb::GetClassifierRequest| model_request::classifier(&m.classifier).map(drop),
        14 => pb::GetModelVersionRequest: |m: pb::GetModelVersionRequest| {
            model_request::model_version(&m.model_version).map(drop)
        },
        15 => pb::GetMonitoringReportRequest: |m: pb::GetMonitoringReportRequest| model_request::model(&m.model).map(drop),
        16 => pb::GetTrainingJobRequest: |m: pb::GetTrainingJobRequest| {
            model_request::training_job(&m.training_job).map(drop)
        },
        17 => pb::PromoteModelVersionRequest: |m| model_request::promote_call(m).map(drop),
        18 => pb::RollbackClassifierRequest: |m| model_request::rollback_call(m).map(drop),
        19 => pb::DeleteModelVersionRequest: |m| model_request::delete_call(m).map(drop),
        20 => pb::CompareModelVersionsRequest: |m| model_request::compare_call(m, limits).map(drop),
        21 => pb::EvaluateModelVersionRequest: |m| model_request::evaluate_call(m, limits).map(drop),
        22 => pb::DescribeTopicRequest: |m| model_request::describe_topic_call(m).map(drop),
        23 => pb::ImportModelVersionRequest: |m: pb::ImportModelVersionRequest| {
            model_file_request::import_call(m.clone(), limits).map(drop).or(model_file_request::import_chunk(m).map(drop))
        },
        24 => pb::ListReviewCandidatesRequest: |m| traffic_request::review_call(m).map(drop),
        25 => pb::DeleteReviewCandidatesRequest: |m| traffic_request::delete_review_call(m).map(drop),
        26 => pb::ListUnknownTermsRequest: |m| traffic_request::unknown_terms(&m).map(drop),
        27 => ModelInferRequest: |m| infer(m, limits),
        28 => ModelReadyRequest: |m: ModelReadyRequest| inference_request::model_name(&m.name, &m.version).map(drop),
    }
});

/// Converts; an error names at least one field, and fits the header in which it is told: many clients read 16 KiB, some of which
/// are for what every reply has.
fn check<M>(message: Option<M>, convert: impl FnOnce(M) -> Result<(), Error>) {
    match message.map(convert) {
        Some(Err(Error::InvalidRequest(violations))) => {
            assert!((1..=16).contains(&violations.len()));
            assert!(
                violations.iter().all(|violation| !violation.field.is_empty() && !violation.description.is_empty())
            );
            let reply = Status::from(Error::InvalidRequest(violations)).into_http::<String>();
            let n_bytes: usize =
                reply.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum();
            assert!(n_bytes <= 15 * 1024, "a header of {n_bytes} bytes");
        }
        Some(Err(other)) => panic!("a conversion fails for what the request is only: {other}"),
        Some(Ok(())) | None => {}
    }
}

fn batch(message: pb::BatchClassifyRequest, limits: &Limits) -> Result<(), Error> {
    check_batch(&request::batch_call(message, limits)?);
    Ok(())
}

fn infer(message: ModelInferRequest, limits: &Limits) -> Result<(), Error> {
    let call = inference_request::infer_call(message, limits)?;
    check_batch(&call.batch);
    assert!((1..=inference_request::Output::ALL.len()).contains(&call.outputs.len()));
    Ok(())
}

fn check_batch(call: &BatchCall) {
    assert!((1..=4).contains(&call.documents.len()));
    let longest = call.documents.iter().flatten().map(|accepted| accepted.document.n_bytes()).max();
    assert!(longest.unwrap_or(0) <= 100);
}

fn import(message: pb::ImportExamplesRequest, limits: &Limits) -> Result<(), Error> {
    let first = train_request::import_message(message.clone(), None, 0, limits)?;
    first.examples.iter().for_each(travels);
    let later = train_request::import_message(message, Some(&first.classifier), 1 << 40, limits)?;
    assert_eq!(later.examples, first.examples);
    Ok(())
}

/// A labelled document that was taken is told as it was, and taken again.
fn travels(example: &LabeledDocument) {
    let told = pb::SubmitFeedbackRequest {
        classifier: "classifiers/default".to_owned(),
        examples: vec![dataset_response::labeled_document(example)],
    };
    let imported =
        pb::ImportExamplesRequest { classifier: told.classifier, examples: told.examples, more_follows: false };
    let again = train_request::import_message(imported, None, 0, &LIMITS()).expect("what was taken is taken again");
    assert_eq!(again.examples, [example.clone()]);
}

/// Settings that were taken are told so that they can be given again.
fn update_settings(message: pb::UpdateClassifierSettingsRequest) -> Result<(), Error> {
    let call = settings::update_settings_call(message)?;
    let told = pb::UpdateClassifierSettingsRequest {
        classifier: call.classifier.to_string(),
        settings: Some(settings::classifier_settings(&call.settings)),
        etag: String::new(),
    };
    let again = settings::update_settings_call(told).expect("what was taken is taken again");
    assert_eq!((again.classifier, again.settings), (call.classifier, call.settings));
    Ok(())
}
