//! Who may call what: every method of the services' descriptors, by every role, and by nobody, over the wire. A method without a row
//! in `NEEDS` fails.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor, ReflectMessage, Value};
use sha2::{Digest, Sha256};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;
use topicd::api::{DESCRIPTORS, pb};
use topicd::hexadecimal;

use crate::encoded::Encoded;
use crate::server_process::{ServerProcess, serve};
use crate::support::{TestServer, article, assert_error, eventually, examples, request, stream_request, train_request};

/// What a method needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    Reader,
    Trainer,
    Admin,
    /// A role for any classifier.
    AnyReader,
    /// A role for all of them.
    ServerAdmin,
    /// A credential.
    Known,
    Nothing,
}

const NEEDS: &[(&str, Need)] = &[
    ("topicd.v1.ClassifierService/Classify", Need::Reader),
    ("topicd.v1.ClassifierService/BatchClassify", Need::Reader),
    ("topicd.v1.ClassifierService/StreamClassify", Need::Reader),
    ("topicd.v1.ClassifierService/Train", Need::Trainer),
    ("topicd.v1.ModelService/GetServerInfo", Need::AnyReader),
    ("topicd.v1.ModelService/ListClassifiers", Need::AnyReader),
    ("topicd.v1.ModelService/GetClassifier", Need::Reader),
    ("topicd.v1.ModelService/UpdateClassifierSettings", Need::Admin),
    ("topicd.v1.ModelService/ListModelVersions", Need::Reader),
    ("topicd.v1.ModelService/GetModelVersion", Need::Reader),
    ("topicd.v1.ModelService/PromoteModelVersion", Need::Admin),
    ("topicd.v1.ModelService/RollbackClassifier", Need::Admin),
    ("topicd.v1.ModelService/DeleteModelVersion", Need::Admin),
    ("topicd.v1.ModelService/ExportModelVersion", Need::Trainer),
    ("topicd.v1.ModelService/ImportModelVersion", Need::Admin),
    ("topicd.v1.ModelService/EvaluateModelVersion", Need::Trainer),
    ("topicd.v1.ModelService/CompareModelVersions", Need::Trainer),
    ("topicd.v1.ModelService/DescribeTopic", Need::Reader),
    ("topicd.v1.ModelService/GetMonitoringReport", Need::Reader),
    ("topicd.v1.ModelService/GetTrainingJob", Need::Trainer),
    ("topicd.v1.ModelService/ListTrainingJobs", Need::Trainer),
    ("topicd.v1.ModelService/WatchTrainingJob", Need::Trainer),
    ("topicd.v1.ModelService/CancelTrainingJob", Need::Trainer),
    ("topicd.v1.DatasetService/ImportExamples", Need::Trainer),
    ("topicd.v1.DatasetService/SubmitFeedback", Need::Trainer),
    ("topicd.v1.DatasetService/GetDataset", Need::Trainer),
    ("topicd.v1.DatasetService/ListExamples", Need::Trainer),
    ("topicd.v1.DatasetService/ExportExamples", Need::Trainer),
    ("topicd.v1.DatasetService/RenameTopic", Need::Trainer),
    ("topicd.v1.DatasetService/DeleteExamples", Need::Admin),
    ("topicd.v1.DatasetService/CompactStorage", Need::ServerAdmin),
    ("topicd.v1.TrafficService/ListReviewCandidates", Need::Trainer),
    ("topicd.v1.TrafficService/DeleteReviewCandidates", Need::Trainer),
    ("topicd.v1.TrafficService/ListUnknownTerms", Need::Trainer),
    ("topicd.v1.TrafficService/GetShadowReport", Need::Reader),
    ("inference.GRPCInferenceService/ServerLive", Need::Nothing),
    ("inference.GRPCInferenceService/ServerReady", Need::Nothing),
    ("inference.GRPCInferenceService/ModelReady", Need::Reader),
    ("inference.GRPCInferenceService/ServerMetadata", Need::AnyReader),
    ("inference.GRPCInferenceService/ModelMetadata", Need::Reader),
    ("inference.GRPCInferenceService/ModelInfer", Need::Reader),
    ("grpc.health.v1.Health/Check", Need::Nothing),
    ("grpc.health.v1.Health/Watch", Need::Nothing),
    ("grpc.reflection.v1.ServerReflection/ServerReflectionInfo", Need::Known),
    ("grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", Need::Known),
];

/// Principals by their tokens, with their roles, and which needs these meet.
const PRINCIPALS: &[(&str, &str, &[Need])] = &[
    ("idle", "", &[Need::Known]),
    ("reader", "reader = [\"desk\"]", &[Need::Reader, Need::AnyReader, Need::Known]),
    ("trainer", "trainer = [\"desk\"]", &[Need::Trainer, Need::Reader, Need::AnyReader, Need::Known]),
    ("admin", "admin = [\"desk\"]", &[Need::Admin, Need::Trainer, Need::Reader, Need::AnyReader, Need::Known]),
    ("stranger", "admin = [\"other\"]", &[Need::AnyReader, Need::Known]),
    ("reads-all", "reader = [\"*\"]", &[Need::Reader, Need::AnyReader, Need::Known]),
    (
        "owner",
        "admin = [\"*\"]",
        &[Need::ServerAdmin, Need::Admin, Need::Trainer, Need::Reader, Need::AnyReader, Need::Known],
    ),
];

/// A principal as the file has it; its token is its name and `-secret`.
pub(crate) fn entry(name: &str, says: &str) -> String {
    let sha256 = hexadecimal::encode(&Sha256::digest(format!("{name}-secret")));
    format!("[[principal]]\nname = \"{name}\"\ntoken_sha256 = [\"{sha256}\"]\n{says}\n\n")
}

fn principals() -> String {
    let expired = entry("expired", "admin = [\"*\"]\nexpires = 2020-01-01T00:00:00Z");
    PRINCIPALS.iter().map(|(name, says, _)| entry(name, says)).collect::<String>() + &expired
}

async fn server_with(directory: &Path, content: &str) -> TestServer {
    let path = directory.join("principals.toml");
    std::fs::write(&path, content).unwrap();
    TestServer::start_with(|config| config.security.principals = Some(path)).await
}

fn with_token<T>(message: T, token: Option<&str>) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(token) = token {
        request.metadata_mut().insert("authorization", format!("Bearer {token}-secret").parse().unwrap());
    }
    request
}

/// Calls any method with one message, and says what the first answer is.
async fn call(channel: &Channel, method: &str, message: Bytes, token: Option<&str>) -> Result<Bytes, Status> {
    let mut client = tonic::client::Grpc::new(channel.clone());
    client.ready().await.unwrap();
    let path: PathAndQuery = format!("/{method}").parse().unwrap();
    let messages = tokio_stream::once(message);
    let mut answers = client.streaming(with_token(messages, token), path, Encoded).await?.into_inner();
    let first = answers.message().await?.unwrap_or_default();
    // An error of one document is in the answer.
    if method.ends_with("/StreamClassify")
        && let Ok(pb::StreamClassifyResponse { result: Some(pb::stream_classify_response::Result::Error(error)) }) =
            pb::StreamClassifyResponse::decode(first.clone())
    {
        return Err(Status::new(Code::from(error.code), error.message));
    }
    Ok(first)
}

/// A message about `classifiers/desk`, in whatever field the method's message has for that.
fn about_desk(method: &MethodDescriptor) -> Bytes {
    let mut message = DynamicMessage::new(method.input());
    let names = [
        ("classifier", "classifiers/desk"),
        ("model", "classifiers/desk"),
        ("model_version", "classifiers/desk/versions/1"),
        ("model_version_a", "classifiers/desk/versions/1"),
        ("model_version_b", "classifiers/desk/versions/1"),
        ("training_job", "classifiers/desk/trainingJobs/1"),
    ];
    let names = names.into_iter().chain([("model_name", "desk"), ("name", "desk")]);
    for (field, name) in names {
        if message.descriptor().get_field_by_name(field).is_some() {
            message.set_field_by_name(field, Value::String(name.to_owned()));
        }
    }
    if method.name() == "ImportModelVersion" {
        let file = pb::ModelFile { classifier: "classifiers/desk".to_owned(), ..Default::default() };
        let part = Some(pb::import_model_version_request::Part::File(file));
        return pb::ImportModelVersionRequest { part }.encode_to_vec().into();
    }
    message.encode_to_vec().into()
}

/// All methods that the server has, with a message for each.
fn methods() -> Vec<(String, Bytes)> {
    let mut pool = DescriptorPool::decode(DESCRIPTORS).unwrap();
    for more in [
        tonic_health::pb::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
    ] {
        pool.decode_file_descriptor_set(more).unwrap();
    }
    let methods = pool.services().flat_map(|service| service.methods().collect::<Vec<_>>());
    let named = methods
        .map(|method| (format!("{}/{}", method.parent_service().full_name(), method.name()), about_desk(&method)));
    named.collect()
}

fn is_denied(answer: &Result<Bytes, Status>) -> Option<Code> {
    let code = answer.as_ref().err().map(Status::code);
    code.filter(|code| matches!(code, Code::Unauthenticated | Code::PermissionDenied))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_method_is_for_those_whose_role_allows_it_and_nobody_else() {
    let directory = tempfile::tempdir().unwrap();
    let server = server_with(directory.path(), &principals()).await;
    let channel = server.connect().await.0;
    let needs: HashMap<_, _> = NEEDS.iter().copied().collect();
    let methods = methods();
    assert_eq!(methods.len(), needs.len(), "{methods:?}");
    for (method, message) in methods {
        let need = *needs.get(&*method).unwrap_or_else(|| panic!("who may call {method}? give it a row in NEEDS"));
        for (name, _, meets) in PRINCIPALS {
            let answer = call(&channel, &method, message.clone(), Some(name)).await;
            let denied = (need != Need::Nothing && !meets.contains(&need)).then_some(Code::PermissionDenied);
            assert_eq!(is_denied(&answer), denied, "{method} by {name}: {answer:?}");
        }
        for token in [None, Some("nobody's"), Some("expired")] {
            let answer = call(&channel, &method, message.clone(), token).await;
            let denied = (need != Need::Nothing).then_some(Code::Unauthenticated);
            assert_eq!(is_denied(&answer), denied, "{method} with {token:?}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn what_was_sent_in_place_of_a_credential_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let server = server_with(directory.path(), &principals()).await;
    let mut client = server.client().await;
    for (header, reason) in [
        (None, "NO_CREDENTIAL"),
        (Some("Basic cmVhZGVyOg=="), "MALFORMED_CREDENTIAL"),
        (Some("reader"), "MALFORMED_CREDENTIAL"),
        (Some("Bearer nobody's"), "UNKNOWN_CREDENTIAL"),
        (Some("Bearer expired-secret"), "EXPIRED_CREDENTIAL"),
    ] {
        let mut message = Request::new(request(article()));
        if let Some(header) = header {
            message.metadata_mut().insert("authorization", header.parse().unwrap());
        }
        assert_error(&client.classify(message).await.unwrap_err(), Code::Unauthenticated, reason);
    }
    // Two are none: which one was meant?
    let mut twice = with_token(request(article()), Some("owner"));
    twice.metadata_mut().append("authorization", "Bearer reader".parse().unwrap());
    assert_error(&client.classify(twice).await.unwrap_err(), Code::Unauthenticated, "MALFORMED_CREDENTIAL");
    let mut lower = Request::new(request(article()));
    lower.metadata_mut().insert("authorization", "bearer owner-secret".parse().unwrap());
    client.classify(lower).await.unwrap();

    let denied = client.classify(with_token(request(article()), Some("reader"))).await.unwrap_err();
    assert_error(&denied, Code::PermissionDenied, "ROLE_MISSING");
    let info = denied.get_details_error_info().unwrap();
    assert_eq!((&*info.metadata["role"], &*info.metadata["for"]), ("reader", "classifiers/default"));
}

/// A trainer who judges by rules of its own would be an administrator; so would one of a classifier who compares it with another
/// one's.
#[tokio::test]
async fn what_a_message_says_may_need_more_than_its_method() {
    let directory = tempfile::tempdir().unwrap();
    let server = server_with(directory.path(), &principals()).await;
    let mut client = server.client().await;
    let policy = |mode: pb::promotion_policy::Mode| pb::TrainRequest {
        promotion_policy: Some(pb::PromotionPolicy { mode: mode.into(), ..Default::default() }),
        ..train_request("desk", examples(0..20))
    };
    for mode in [pb::promotion_policy::Mode::Unspecified, pb::promotion_policy::Mode::Manual] {
        let denied = client.train(with_token(policy(mode), Some("trainer"))).await.unwrap_err();
        assert_error(&denied, Code::PermissionDenied, "ROLE_MISSING");
    }
    client.train(with_token(train_request("desk", examples(0..20)), Some("trainer"))).await.unwrap();
    client.train(with_token(policy(pb::promotion_policy::Mode::Automatic), Some("admin"))).await.unwrap();

    let comparison = pb::CompareModelVersionsRequest {
        model_version_a: "classifiers/desk/versions/1".to_owned(),
        model_version_b: "classifiers/default/versions/1".to_owned(),
        ..Default::default()
    };
    let denied = server.models().await.compare_model_versions(with_token(comparison, Some("trainer"))).await;
    let info = denied.unwrap_err().get_details_error_info().unwrap();
    assert_eq!(info.metadata["for"], "classifiers/default");
    // A name that can't be read is told to be that, but only to whom some name is allowed.
    let nowhere = || pb::GetClassifierRequest { classifier: "desk".to_owned() };
    let told = server.models().await.get_classifier(with_token(nowhere(), Some("reader"))).await.unwrap_err();
    assert_error(&told, Code::InvalidArgument, "INVALID_REQUEST");
    let denied = server.models().await.get_classifier(with_token(nowhere(), Some("idle"))).await.unwrap_err();
    assert_error(&denied, Code::PermissionDenied, "ROLE_MISSING");
}

#[tokio::test]
async fn lists_have_only_what_may_be_read() {
    let directory = tempfile::tempdir().unwrap();
    let server = server_with(directory.path(), &principals()).await;
    server.client().await.train(with_token(train_request("desk", examples(0..40)), Some("owner"))).await.unwrap();
    let mut models = server.models().await;
    for (name, seen) in [("reader", &["desk"][..]), ("stranger", &[]), ("reads-all", &["default", "desk"])] {
        let list = models.list_classifiers(with_token(pb::ListClassifiersRequest {}, Some(name))).await.unwrap();
        let listed: Vec<_> = list.into_inner().classifiers.into_iter().map(|one| one.name).collect();
        let expected: Vec<_> = seen.iter().map(|name| format!("classifiers/{name}")).collect();
        assert_eq!(listed, expected, "{name}");
        let info = models.get_server_info(with_token(pb::GetServerInfoRequest {}, Some(name))).await.unwrap();
        assert_eq!(info.into_inner().models.len(), seen.len(), "{name}");
    }
}

/// A file that is changed counts for the next call, and for calls that last.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_taken_out_of_the_file_is_denied_and_a_stream_of_theirs_ends() {
    let directory = tempfile::tempdir().unwrap();
    let server =
        server_with(directory.path(), &(entry("stays", "reader = [\"*\"]") + &entry("goes", "reader = [\"*\"]"))).await;
    let mut client = server.client().await;
    let (sender, messages) = tokio::sync::mpsc::channel(4);
    let messages = tokio_stream::wrappers::ReceiverStream::new(messages);
    let mut stream = client.stream_classify(with_token(messages, Some("goes"))).await.unwrap().into_inner();
    sender.send(stream_request(article())).await.unwrap();
    assert!(stream.message().await.unwrap().is_some());

    std::fs::write(directory.path().join("principals.toml"), entry("stays", "reader = [\"*\"]")).unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(30), stream.message()).await.unwrap().unwrap_err();
    assert_error(&ended, Code::Unauthenticated, "CHANGED_CREDENTIAL");
    let denied = client.classify(with_token(request(article()), Some("goes"))).await.unwrap_err();
    assert_error(&denied, Code::Unauthenticated, "UNKNOWN_CREDENTIAL");
    client.classify(with_token(request(article()), Some("stays"))).await.unwrap();

    // What can't be read changes nothing, and is counted.
    std::fs::write(directory.path().join("principals.toml"), "[[principal]").unwrap();
    eventually("the failure is counted", || async {
        let failures = crate::metrics::value_of(&server, "topicd_reload_failures_total").await;
        (failures > 0.0).then_some(())
    })
    .await;
    client.classify(with_token(request(article()), Some("stays"))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quotas_hold_for_each_principal_and_are_told() {
    let directory = tempfile::tempdir().unwrap();
    let quotas = "trainer = [\"*\"]\ndocuments_per_second = 5\nstored_documents = 30\ntraining_jobs = 1";
    let content = entry("small", quotas) + &entry("free", "trainer = [\"*\"]");
    let server = server_with(directory.path(), &content).await;
    let mut client = server.client().await;
    let mut refused = None;
    for _ in 0..50 {
        if let Err(status) = client.classify(with_token(request(article()), Some("small"))).await {
            refused = Some(status);
            break;
        }
    }
    let refused = refused.unwrap();
    assert_error(&refused, Code::ResourceExhausted, "DOCUMENT_QUOTA");
    let violation = &refused.get_details_quota_failure().unwrap().violations[0];
    assert_eq!(violation.subject, "principal:small");
    let wait = refused.get_details_retry_info().unwrap().retry_delay.unwrap();
    assert!(wait <= Duration::from_millis(200), "{wait:?}");
    // What clients with a retry policy go by.
    assert_eq!(refused.metadata().get("grpc-retry-pushback-ms").unwrap(), &*wait.as_millis().to_string());
    for _ in 0..20 {
        client.classify(with_token(request(article()), Some("free"))).await.unwrap();
    }
    // As often as it says, it is let in again.
    eventually("its turn again", || {
        let mut client = client.clone();
        async move { client.classify(with_token(request(article()), Some("small"))).await.ok() }
    })
    .await;

    let feedback =
        |numbers| pb::SubmitFeedbackRequest { classifier: "classifiers/desk".to_owned(), examples: examples(numbers) };
    let mut datasets = server.datasets().await;
    datasets.submit_feedback(with_token(feedback(0..25), Some("small"))).await.unwrap();
    let refused = datasets.submit_feedback(with_token(feedback(20..40), Some("small"))).await.unwrap_err();
    assert_error(&refused, Code::ResourceExhausted, "STORAGE_QUOTA");
    assert_eq!(refused.metadata().get("grpc-retry-pushback-ms").unwrap(), "-1");
    assert_eq!(refused.get_details_quota_failure().unwrap().violations[0].subject, "principal:small");
    let inline = with_token(train_request("desk", examples(20..40)), Some("small"));
    assert_error(&client.train(inline).await.unwrap_err(), Code::ResourceExhausted, "STORAGE_QUOTA");
    // Of what was refused nothing is there; what was there before may come again; others' documents don't count.
    let stored = |datasets: &mut pb::dataset_service_client::DatasetServiceClient<Channel>| {
        let mut datasets = datasets.clone();
        async move {
            let dataset = pb::GetDatasetRequest { classifier: "classifiers/desk".to_owned(), dataset_revision: 0 };
            let dataset = datasets.get_dataset(with_token(dataset, Some("free"))).await.unwrap();
            dataset.into_inner().dataset.unwrap().document_count
        }
    };
    assert_eq!(stored(&mut datasets).await, 25);
    datasets.submit_feedback(with_token(feedback(0..30), Some("small"))).await.unwrap();
    datasets.submit_feedback(with_token(feedback(100..200), Some("free"))).await.unwrap();
    assert_eq!(stored(&mut datasets).await, 130);

    // One training at a time: a second classifier's, too. When the first has ended, there is room again.
    let long = pb::TrainRequest {
        wait_timeout: None,
        scope: pb::Scope::SourceOnly.into(),
        ..train_request("desk", crate::support::many_examples())
    };
    let job = client.train(with_token(long, Some("small"))).await.unwrap().into_inner().training_job.unwrap();
    let source_only = |classifier: &str| pb::TrainRequest {
        scope: pb::Scope::SourceOnly.into(),
        ..train_request(classifier, examples(0..20))
    };
    let refused = client.train(with_token(source_only("second"), Some("small"))).await.unwrap_err();
    assert_error(&refused, Code::ResourceExhausted, "TRAINING_QUOTA");
    let cancel = pb::CancelTrainingJobRequest { training_job: job.name };
    server.models().await.cancel_training_job(with_token(cancel, Some("free"))).await.unwrap();
    eventually("room again", || {
        let mut client = client.clone();
        let request = with_token(source_only("second"), Some("small"));
        async move { client.train(request).await.ok() }
    })
    .await;
}

/// Lines of the audit log, as a process writes them: of what was denied and what changed something, and of nothing else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_denied_or_changes_something_is_in_the_audit_log_and_a_signal_has_the_file_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("principals.toml");
    std::fs::write(&path, entry("owner", "admin = [\"*\"]") + &entry("goes", "reader = [\"*\"]")).unwrap();
    let mut command = serve(&directory.path().join("data"));
    command.arg("--principals").arg(&path);
    let server = ServerProcess::spawn(command).await;
    let mut client = server.classifiers();
    client.classify(with_token(request(article()), Some("goes"))).await.unwrap();
    client.classify(request(article())).await.unwrap_err();
    let rollback = pb::RollbackClassifierRequest { classifier: "classifiers/default".to_owned(), ..Default::default() };
    server.models().rollback_classifier(with_token(rollback, Some("goes"))).await.unwrap_err();
    client.train(with_token(train_request("desk", examples(0..20)), Some("owner"))).await.unwrap();
    let rollback = pb::RollbackClassifierRequest { classifier: "classifiers/desk".to_owned(), ..Default::default() };
    server.models().rollback_classifier(with_token(rollback, Some("owner"))).await.unwrap_err();
    let denied = pb::ClassifyRequest { model: "classifiers/desk".to_owned(), ..request(article()) };
    client.classify(with_token(denied, Some("owner"))).await.unwrap();

    std::fs::write(&path, entry("owner", "admin = [\"*\"]")).unwrap();
    server.signal(rustix::process::Signal::HUP);
    eventually("who was taken out is denied", || {
        let mut client = client.clone();
        async move { client.classify(with_token(request(article()), Some("goes"))).await.err() }
    })
    .await;
    let log = server.stop().await;
    let audit = log.iter().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let audit: Vec<_> = audit.filter(|line| line["target"] == "topicd::audit").collect();
    let told: Vec<[&str; 5]> = audit
        .iter()
        .map(|line| {
            ["message", "principal", "method", "subject", "code"].map(|field| line["fields"][field].as_str().unwrap())
        })
        .collect();
    let classify = "topicd.v1.ClassifierService/Classify";
    assert_eq!(
        told[..4],
        [
            ["denied", "nobody", classify, "", "Unauthenticated"],
            ["denied", "goes", "topicd.v1.ModelService/RollbackClassifier", "classifiers/default", "PermissionDenied"],
            ["changed", "owner", "topicd.v1.ClassifierService/Train", "classifiers/desk", "Ok"],
            ["failed", "owner", "topicd.v1.ModelService/RollbackClassifier", "classifiers/desk", "FailedPrecondition"],
        ]
    );
    // A call that was on its way in while the file was read is told with the name that it came in with.
    let unknown = ["denied", "nobody", classify, "", "Unauthenticated"];
    let overtaken = ["denied", "goes", classify, "classifiers/default", "Unauthenticated"];
    assert!(told[4..].iter().all(|line| [unknown, overtaken].contains(line)), "{told:?}");
    assert!(audit.iter().all(|line| line["fields"]["peer"].as_str().unwrap().starts_with("127.0.0.1:")));
    assert!(log.iter().all(|line| !line.contains("-secret") && !line.contains("Peace talks begin")));
}

/// The published retry policy names methods that there are, each once, and none that does something twice when it is called twice.
#[test]
fn the_published_service_config_retries_only_what_may_be_repeated() {
    let config = include_str!("../../examples/service_config.json");
    let config: serde_json::Value = serde_json::from_str(config).unwrap();
    let named = config["methodConfig"].as_array().unwrap().iter().flat_map(|config| config["name"].as_array().unwrap());
    let named: Vec<_> = named.map(|name| format!("{}/{}", name["service"], name["method"]).replace('"', "")).collect();
    let methods: Vec<String> = methods().into_iter().map(|(method, _)| method).collect();
    for (index, method) in named.iter().enumerate() {
        assert!(methods.contains(method) && !named[..index].contains(method), "{method}");
        // Documents that are there already stay as they are.
        let is_repeatable = method.ends_with("/SubmitFeedback");
        let need = NEEDS.iter().find(|(known, _)| known == method).unwrap().1;
        let is_read = !matches!(need, Need::Admin | Need::ServerAdmin) && !method.ends_with("/Train");
        assert!(is_read || is_repeatable, "{method}");
    }
}
