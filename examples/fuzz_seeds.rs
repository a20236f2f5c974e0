//! Writes the seeds that no editor can: small model files and requests. `cargo run --example fuzz_seeds`, when the model
//! file's format, a message or the list of conversions in `fuzz/fuzz_targets/requests.rs` has changed.

use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;

use prost::Message;
use topicd::api::inference_pb::infer_parameter::ParameterChoice;
use topicd::api::inference_pb::model_infer_request::{InferInputTensor, InferRequestedOutputTensor};
use topicd::api::inference_pb::{InferParameter, InferTensorContents, ModelInferRequest, ModelReadyRequest};
use topicd::api::pb;
use topicd::artifact::encode;
use topicd::dataset::Dataset;
use topicd::document::{Document, LabeledDocument, Topic};
use topicd::training::{Silent, train};
use topicd::training_config::TrainingConfig;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    write_models(&seeds.join("artifact"))?;
    write_requests(&seeds.join("requests"))
}

const TOPICS: [(&str, [&str; 8]); 3] = [
    ("diplomacy", ["treaty", "minister", "harbour", "border", "talks", "envoy", "embassy", "signed"]),
    ("sport", ["cup", "goalkeeper", "striker", "penalty", "rovers", "final", "coach", "scored"]),
    ("weather", ["rain", "storm", "flood", "harvest", "drought", "wind", "forecast", "river"]),
];
const COMMON: [&str; 8] = ["the", "a", "of", "in", "on", "monday", "said", "people"];

/// Documents whose words repeat in a fixed pattern; `n_topics` a document has, of the first `n_all`.
fn documents(n: usize, n_all: usize, n_topics: usize) -> Result<Dataset, Failure> {
    let document = |place: usize| -> Result<LabeledDocument, Failure> {
        let of = |offset: usize| TOPICS[(place + offset) % n_all];
        let words = |i: usize| [of(i % n_topics).1[(place / 3 + i * i) % 8], COMMON[(place * 7 + i) % 8]].join(" ");
        let text: Vec<String> = (0..4 + place % 5).map(words).collect();
        let topics = (0..n_topics).map(|offset| Topic::new(of(offset).0)).collect::<Result<_, _>>()?;
        Ok(LabeledDocument::new(Document::new(format!("Item {place}"), text.join(", "))?, topics))
    };
    Ok(Dataset::new((0..n).map(document).collect::<Result<Vec<_>, _>>()?)?)
}

fn write_models(directory: &Path) -> Result<(), Failure> {
    let config = TrainingConfig { max_features: NonZeroUsize::new(40), c: Some(1.0), ..TrainingConfig::default() };
    let models = [
        ("two-topics", documents(12, 2, 1)?, config.clone()),
        ("three-topics", documents(150, 3, 1)?, config.clone()),
        ("several-topics-a-document", documents(60, 3, 2)?, TrainingConfig { held_out_share: 0.2, ..config.clone() }),
        ("character-ngrams", documents(30, 2, 1)?, TrainingConfig { character_ngrams: true, ..config }),
    ];
    fs::create_dir_all(directory)?;
    for (name, documents, config) in models {
        let classifier = train(&documents, &config, None, &Silent)?.classifier;
        fs::write(directory.join(format!("{name}.topicd")), encode(&classifier))?;
    }
    Ok(())
}

const NAME: &str = "classifiers/default";
const VERSION: &str = "classifiers/default/versions/stable";
const HASH: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn document() -> pb::Document {
    pb::Document {
        title: "Storm over the harbour".to_owned(),
        text: "Rain fell on the river.".to_owned(),
        document_id: "17".to_owned(),
        publish_date: "2024-02-29".to_owned(),
        url: "https://example.org/17".to_owned(),
    }
}

fn examples() -> Vec<pb::LabeledDocument> {
    let example = |topics: &[&str], split: pb::Split, weight| pb::LabeledDocument {
        document: Some(document()),
        topics: topics.iter().map(|&topic| topic.to_owned()).collect(),
        split: split.into(),
        weight,
    };
    vec![
        example(&["weather"], pb::Split::Training, 2.5),
        example(&["sport", "weather"], pb::Split::HeldOut, 0.0),
        example(&[], pb::Split::Unspecified, 1.0),
    ]
}

fn options() -> pb::ClassifyOptions {
    pb::ClassifyOptions {
        top_k: 3,
        min_probability: 0.1,
        abstain_below: Some(0.5),
        truncation: pb::Truncation::End.into(),
        explain: pb::Explain::ReturnedTopics.into(),
        max_terms: 5,
        min_margin: Some(0.25),
    }
}

fn policy() -> pb::PromotionPolicy {
    pb::PromotionPolicy {
        mode: pb::promotion_policy::Mode::Manual.into(),
        min_accuracy: Some(0.8),
        max_log_loss: Some(1.5),
        min_documents_per_topic: 5,
        lost_topics_allowed: vec!["sport".to_owned()],
        significance: Some(0.05),
        min_shadow_agreement: Some(0.9),
        min_shadow_documents: 100,
        ..pb::PromotionPolicy::default()
    }
}

/// Two documents as tensors, their texts in one way or the other.
fn infer(is_raw: bool) -> ModelInferRequest {
    let tensor = |name: &str, elements: [&str; 2]| {
        let elements = elements.map(|element| element.as_bytes().to_vec());
        let raw = elements.iter().flat_map(|e| [&(e.len() as u32).to_le_bytes()[..], e].concat()).collect::<Vec<u8>>();
        let bytes_contents = elements.into_iter().map(Into::into).collect();
        let contents = InferTensorContents { bytes_contents, ..InferTensorContents::default() };
        let input = InferInputTensor {
            name: name.to_owned(),
            datatype: "BYTES".to_owned(),
            shape: vec![2, 1],
            contents: (!is_raw).then_some(contents),
            ..InferInputTensor::default()
        };
        (input, raw.into())
    };
    let (inputs, raw) =
        [tensor("text", ["Rain fell.", "They won."]), tensor("title", ["Storm", ""])].into_iter().unzip();
    let truncate = InferParameter { parameter_choice: Some(ParameterChoice::BoolParam(true)) };
    ModelInferRequest {
        model_name: "default".to_owned(),
        model_version: "2".to_owned(),
        id: "17".to_owned(),
        parameters: [("truncate".to_owned(), truncate)].into(),
        inputs,
        outputs: vec![InferRequestedOutputTensor { name: "topics".to_owned(), ..Default::default() }],
        raw_input_contents: if is_raw { raw } else { Vec::new() },
    }
}

fn write_requests(directory: &Path) -> Result<(), Failure> {
    let (name, version) = (|| NAME.to_owned(), || VERSION.to_owned());
    let inline = || Some(pb::InlineExamples { examples: examples() });
    let batch = pb::BatchClassifyRequest {
        model: name(),
        documents: vec![document(), pb::Document::default(), document()],
        options: Some(options()),
    };
    let train = pb::TrainRequest {
        classifier: name(),
        inline_examples: inline(),
        scope: pb::Scope::SourceOnly.into(),
        config: Some(pb::TrainingConfig {
            c: 0.5,
            balance: pb::Balance::Full.into(),
            max_features: 1000,
            held_out_share: 0.2,
            selective_accuracy: Some(0.8),
            ..pb::TrainingConfig::default()
        }),
        wait_timeout: Some(prost_types::Duration { seconds: 5, nanos: 1 }),
        request_id: "123e4567-e89b-42d3-a456-426614174000".to_owned(),
        promotion_policy: Some(policy()),
        ..pb::TrainRequest::default()
    };
    let settings = pb::UpdateClassifierSettingsRequest {
        classifier: name(),
        settings: Some(pb::ClassifierSettings {
            promotion_policy: Some(policy()),
            retention: Some(pb::RetentionPolicy { max_unaliased_versions: 3 }),
            retraining: Some(pb::RetrainingPolicy {
                min_changed_documents: 100,
                max_age: Some(prost_types::Duration { seconds: 86_400, nanos: 0 }),
            }),
            review: Some(pb::ReviewSettings { max_documents: 50 }),
            shadow: Some(pb::ShadowSettings { share: 0.1 }),
        }),
        etag: "7".to_owned(),
    };
    let file = pb::ModelFile {
        classifier: name(),
        artifact_sha256: HASH.to_owned(),
        artifact_bytes: 5000,
        ..pb::ModelFile::default()
    };
    let import = pb::ImportModelVersionRequest { part: Some(pb::import_model_version_request::Part::File(file)) };
    let chunk =
        pb::ImportModelVersionRequest { part: Some(pb::import_model_version_request::Part::Chunk(b"TOPICD".to_vec())) };
    let classify = pb::ClassifyRequest { model: version(), document: Some(document()), options: Some(options()) };
    let (classifier, model_version) = (name(), version());
    let seeds: Vec<(u8, &str, Vec<u8>)> = vec![
        (0, "classify", classify.encode_to_vec()),
        (1, "stream", classify.encode_to_vec()),
        (2, "batch", batch.encode_to_vec()),
        (3, "train", train.encode_to_vec()),
        (
            4,
            "import",
            pb::ImportExamplesRequest { classifier: name(), examples: examples(), more_follows: true }.encode_to_vec(),
        ),
        (5, "feedback", pb::SubmitFeedbackRequest { classifier: name(), examples: examples() }.encode_to_vec()),
        (6, "dataset", pb::GetDatasetRequest { classifier: name(), dataset_revision: 3 }.encode_to_vec()),
        (
            7,
            "list",
            pb::ListExamplesRequest {
                classifier: name(),
                dataset_revision: 3,
                topic: "sport".to_owned(),
                page_size: 10,
                page_token: format!("3-{HASH}"),
            }
            .encode_to_vec(),
        ),
        (
            8,
            "export",
            pb::ExportExamplesRequest { classifier: name(), dataset_revision: 0, topic: "sport".to_owned() }
                .encode_to_vec(),
        ),
        (
            9,
            "rename",
            pb::RenameTopicRequest {
                classifier: name(),
                topic: "sport".to_owned(),
                new_topic: "sports".to_owned(),
                merge: true,
            }
            .encode_to_vec(),
        ),
        (
            10,
            "delete",
            pb::DeleteExamplesRequest {
                classifier: name(),
                content_hashes: vec![HASH.to_owned()],
                purge_versions: true,
            }
            .encode_to_vec(),
        ),
        (11, "settings", settings.encode_to_vec()),
        (
            12,
            "versions",
            pb::ListModelVersionsRequest { classifier, page_size: 7, page_token: "12".to_owned() }.encode_to_vec(),
        ),
        (13, "classifier", pb::GetClassifierRequest { classifier: name() }.encode_to_vec()),
        (14, "version", pb::GetModelVersionRequest { model_version }.encode_to_vec()),
        (16, "job", pb::GetTrainingJobRequest { training_job: format!("{NAME}/trainingJobs/12") }.encode_to_vec()),
        (
            17,
            "promote",
            pb::PromoteModelVersionRequest { model_version: version(), force: true, etag: "1".to_owned() }
                .encode_to_vec(),
        ),
        (
            20,
            "compare",
            pb::CompareModelVersionsRequest {
                model_version_a: version(),
                model_version_b: format!("{NAME}/versions/2"),
                inline_examples: inline(),
            }
            .encode_to_vec(),
        ),
        (
            21,
            "evaluate",
            pb::EvaluateModelVersionRequest { model_version: version(), inline_examples: inline() }.encode_to_vec(),
        ),
        (
            22,
            "topic",
            pb::DescribeTopicRequest { model: version(), topic: "sport".to_owned(), max_terms: 9 }.encode_to_vec(),
        ),
        (23, "model-file", import.encode_to_vec()),
        (23, "chunk", chunk.encode_to_vec()),
        (
            24,
            "review",
            pb::ListReviewCandidatesRequest {
                classifier: name(),
                page_size: 10,
                page_token: format!("3fb999999999999a-{HASH}"),
            }
            .encode_to_vec(),
        ),
        (
            25,
            "forget",
            pb::DeleteReviewCandidatesRequest { classifier: name(), content_hashes: vec![HASH.to_owned()], all: false }
                .encode_to_vec(),
        ),
        (27, "infer", infer(false).encode_to_vec()),
        (27, "infer-raw", infer(true).encode_to_vec()),
        (28, "ready", ModelReadyRequest { name: "default".to_owned(), version: "stable".to_owned() }.encode_to_vec()),
        (26, "unknown-terms", pb::ListUnknownTermsRequest { classifier: name(), max_terms: 9 }.encode_to_vec()),
    ];
    let long = "\u{1}".repeat(100);
    let bad = pb::LabeledDocument { topics: vec![long; 20], ..examples().remove(0) };
    let bad = pb::SubmitFeedbackRequest { classifier: name(), examples: vec![bad] };
    fs::create_dir_all(directory)?;
    for (number, name, message) in seeds.into_iter().chain([(5, "many-bad-topics", bad.encode_to_vec())]) {
        fs::write(directory.join(name), [&[number], &*message].concat())?;
    }
    Ok(())
}
