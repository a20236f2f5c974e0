//! The table of errors that callers are promised, row by row over one connection: the code, what the details say, and that
//! the next call is answered. What needs a stopping server, a damaged file or a full disk has tests of its own.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::Ordering;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, SqliteConnection};
use tokio::net::TcpStream;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;
use tonic_types::StatusExt;
use topicd::api::pb;
use topicd::api::pb::classifier_service_client::ClassifierServiceClient;
use topicd::api::pb::dataset_service_client::DatasetServiceClient;
use topicd::api::pb::decision::{AbstainReason, Outcome};
use topicd::api::pb::model_service_client::ModelServiceClient;

use crate::support::{
    MIB, TestServer, article, assert_error, batch, document, examples, labeled, many_examples, model_of, non_zero,
    request, text_of, train_request, violations,
};

/// A server with two versions of `classifiers/desk`, of which the second was held back, and one connection to it.
struct Caller {
    server: TestServer,
    channel: Channel,
}

impl Caller {
    fn classifier(&self) -> ClassifierServiceClient<Channel> {
        ClassifierServiceClient::new(self.channel.clone())
    }

    fn models(&self) -> ModelServiceClient<Channel> {
        ModelServiceClient::new(self.channel.clone())
    }

    async fn classify(&self, call: pb::ClassifyRequest) -> Status {
        self.classifier().classify(call).await.unwrap_err()
    }

    async fn train(&self, call: pb::TrainRequest) -> Status {
        self.classifier().train(call).await.unwrap_err()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_is_kept_and_the_next_call_is_answered() {
    let server = TestServer::start_with(|config| {
        config.limits.max_documents_in_flight = non_zero(300);
        config.limits.max_training_jobs = non_zero(2);
    })
    .await;
    server.train(train_request("desk", examples(0..40))).await;
    let mut others = examples(0..40);
    others.iter_mut().for_each(|example| example.topics = vec![format!("other {}", example.topics[0])]);
    let source_only = pb::Scope::SourceOnly.into();
    server.train(pb::TrainRequest { scope: source_only, ..train_request("desk", others) }).await;
    let (channel, connections) = server.connect().await;
    let caller = Caller { server, channel };

    macro_rules! rows {
        ($($row:ident),* $(,)?) => {$(
            println!(stringify!($row));
            $row(&caller).await;
            let answer = caller.classifier().classify(request(article())).await.unwrap().into_inner();
            assert!(!answer.topics.is_empty());
        )*};
    }
    rows!(
        a_bad_field,
        a_long_document,
        unusable_documents,
        no_usable_token,
        a_long_message,
        too_much_at_once,
        unknown_names,
        refused_states,
        a_deadline_that_passes,
        conflicts,
        an_unknown_method,
        a_message_that_cannot_be_read,
        a_header_over_the_limit,
    );
    // None of these cost the connection.
    assert_eq!(connections.load(Ordering::Relaxed), 1);
}

async fn a_bad_field(caller: &Caller) {
    let options = pb::ClassifyOptions { min_probability: f64::NAN, truncation: 77, ..Default::default() };
    let call = pb::ClassifyRequest { options: Some(options), ..request(document("", "")) };
    let refusal = caller.classify(call).await;
    assert_error(&refusal, Code::InvalidArgument, "INVALID_REQUEST");
    let fields: Vec<String> = violations(&refusal).into_iter().map(|(field, _)| field).collect();
    assert_eq!(fields, ["options.min_probability", "options.truncation", "document"]);
}

async fn a_long_document(caller: &Caller) {
    let long = request(document("", &text_of(MIB + 1)));
    let refusal = caller.classify(long.clone()).await;
    assert_error(&refusal, Code::InvalidArgument, "INVALID_REQUEST");
    assert!(refusal.message().contains("1048577") && refusal.message().contains("1048576"), "{refusal:?}");
    let options = pb::ClassifyOptions { truncation: pb::Truncation::End.into(), ..Default::default() };
    let cut = pb::ClassifyRequest { options: Some(options), ..long };
    let answer = caller.classifier().classify(cut).await.unwrap().into_inner();
    assert!(answer.document_stats.unwrap().truncated);
}

async fn unusable_documents(caller: &Caller) {
    let given = caller.train(train_request("new", vec![labeled(article(), &["war"])])).await;
    assert_error(&given, Code::InvalidArgument, "INVALID_REQUEST");
    assert_eq!(violations(&given), [("inline_examples.examples".to_owned(), "UNUSABLE_EXAMPLES".to_owned())]);
    let stored = caller.train(pb::TrainRequest { inline_examples: None, ..train_request("new", Vec::new()) }).await;
    assert_error(&stored, Code::FailedPrecondition, "UNUSABLE_DATASET");
    let violation = &stored.get_details_precondition_failure().unwrap().violations[0];
    assert_eq!((&*violation.r#type, &*violation.subject), ("DATASET", "classifiers/new"));
}

async fn no_usable_token(caller: &Caller) {
    for text in [" \n\t", "🙂🎉"] {
        let answer = caller.classifier().classify(request(document("", text))).await.unwrap().into_inner();
        let decision = answer.decision.unwrap();
        assert_eq!((decision.outcome(), decision.abstain_reason()), (Outcome::Abstained, AbstainReason::NoTokens));
    }
}

async fn a_long_message(caller: &Caller) {
    let refusal = caller.classify(request(document("", &text_of(16 * MIB)))).await;
    assert_error(&refusal, Code::ResourceExhausted, "MESSAGE_TOO_LARGE");
    // The same message never fits, so it isn't said when to try again.
    assert!(refusal.get_details_retry_info().is_none());
}

async fn too_much_at_once(caller: &Caller) {
    let others = caller.server.classify.workers().admit(300).unwrap();
    let alone = caller.classify(request(article())).await;
    let together = caller.classifier().batch_classify(batch(vec![article(); 2])).await.unwrap_err();
    for refusal in [alone, together] {
        assert_error(&refusal, Code::ResourceExhausted, "OVERLOADED");
        assert!(refusal.get_details_retry_info().unwrap().retry_delay.is_some());
    }
    drop(others);
}

async fn unknown_names(caller: &Caller) {
    for (model, reason, kind) in [
        ("classifiers/none", "UNKNOWN_CLASSIFIER", "Classifier"),
        ("classifiers/desk/versions/9", "UNKNOWN_VERSION", "ModelVersion"),
    ] {
        let refusal = caller.classify(pb::ClassifyRequest { model: model.to_owned(), ..request(article()) }).await;
        assert_error(&refusal, Code::NotFound, reason);
        let resource = refusal.get_details_resource_info().unwrap();
        assert_eq!((&*resource.resource_type, &*resource.resource_name), (kind, model));
    }
    let name = "classifiers/desk/trainingJobs/99".to_owned();
    let job = caller.models().get_training_job(pb::GetTrainingJobRequest { training_job: name }).await;
    assert_error(&job.unwrap_err(), Code::NotFound, "UNKNOWN_JOB");
}

async fn refused_states(caller: &Caller) {
    let import = pb::ImportExamplesRequest {
        classifier: "classifiers/untrained".to_owned(),
        examples: vec![labeled(article(), &["war"])],
        more_follows: false,
    };
    let mut datasets = DatasetServiceClient::new(caller.channel.clone());
    datasets.import_examples(tokio_stream::iter([import])).await.unwrap();
    let untrained = pb::ClassifyRequest { model: "classifiers/untrained".to_owned(), ..request(article()) };
    assert_error(&caller.classify(untrained).await, Code::FailedPrecondition, "NOTHING_TRAINED");

    let promote = pb::PromoteModelVersionRequest { model_version: model_of("2"), ..Default::default() };
    let held_back = caller.models().promote_model_version(promote).await.unwrap_err();
    assert_error(&held_back, Code::FailedPrecondition, "HELD_BACK");
    assert_eq!(held_back.get_details_precondition_failure().unwrap().violations[0].r#type, "PROMOTION_CHECK");

    let delete = pb::DeleteModelVersionRequest { model_version: model_of("1"), ..Default::default() };
    let aliased = caller.models().delete_model_version(delete).await.unwrap_err();
    assert_error(&aliased, Code::FailedPrecondition, "ALIASED_VERSION");
}

/// Tonic's own client has a clock of its own, so this one is h2's. The message never comes.
async fn a_deadline_that_passes(caller: &Caller) {
    let stream = TcpStream::connect(caller.server.address).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let call = http::Request::post("http://localhost/topicd.v1.ClassifierService/Classify")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-timeout", "20m")
        .body(())
        .unwrap();
    let (answer, message) = client.ready().await.unwrap().send_request(call, false).unwrap();
    let answer = answer.await.unwrap();
    let status = Status::from_header_map(answer.headers()).unwrap();
    assert_error(&status, Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
    drop(message);
}

async fn conflicts(caller: &Caller) {
    let begun = pb::TrainRequest { wait_timeout: None, ..train_request("busy", many_examples()) };
    let job = caller.classifier().train(begun).await.unwrap().into_inner().training_job.unwrap();
    let running = caller.train(train_request("busy", examples(0..20))).await;
    assert_error(&running, Code::Aborted, "JOB_RUNNING");
    assert_eq!(running.get_details_error_info().unwrap().metadata["training_job"], job.name);
    let cancel = pb::CancelTrainingJobRequest { training_job: job.name };
    caller.models().cancel_training_job(cancel).await.unwrap();

    let stale =
        pb::PromoteModelVersionRequest { model_version: model_of("1"), etag: "0".to_owned(), ..Default::default() };
    let stale = caller.models().promote_model_version(stale).await.unwrap_err();
    assert_error(&stale, Code::Aborted, "STALE_ETAG");
}

/// Calls a method by its path, with a message of another one.
async fn call(caller: &Caller, path: &'static str) -> Status {
    let mut client = tonic::client::Grpc::new(caller.channel.clone());
    client.ready().await.unwrap();
    let codec = ProstCodec::<pb::Document, pb::ClassifyResponse>::default();
    client.unary(Request::new(document("", "no request")), PathAndQuery::from_static(path), codec).await.unwrap_err()
}

async fn an_unknown_method(caller: &Caller) {
    let refusal = call(caller, "/topicd.v1.ClassifierService/Guess").await;
    assert_error(&refusal, Code::Unimplemented, "UNKNOWN_METHOD");
}

async fn a_message_that_cannot_be_read(caller: &Caller) {
    let refusal = call(caller, "/topicd.v1.ClassifierService/Classify").await;
    assert_error(&refusal, Code::InvalidArgument, "MALFORMED_MESSAGE");
}

async fn a_header_over_the_limit(caller: &Caller) {
    let mut call = Request::new(request(article()));
    call.metadata_mut().insert("x-note", "n".repeat(17_000).parse().unwrap());
    let refusal = caller.classifier().classify(call).await.unwrap_err();
    assert_error(&refusal, Code::ResourceExhausted, "HEADER_TOO_LARGE");
}

/// Another process holds the database for longer than a call waits; and then something is wrong with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_fails_costs_the_calls_that_need_it() {
    let server = TestServer::start().await;
    server.train(train_request("desk", examples(0..20))).await;
    let options = SqliteConnectOptions::new().filename(server.data_dir().join("topicd.db"));
    let mut other = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    let mut client = server.client().await;
    let in_use = client.train(train_request("desk", examples(20..30))).await.unwrap_err();
    assert_error(&in_use, Code::Unavailable, "STORAGE_IN_USE");
    assert!(in_use.get_details_retry_info().is_some());
    client.classify(request(article())).await.unwrap();
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    client.train(train_request("desk", examples(20..30))).await.unwrap();

    sqlx::query("DROP TABLE jobs").execute(&mut other).await.unwrap();
    let name = "classifiers/desk/trainingJobs/1".to_owned();
    let job = server.models().await.get_training_job(pb::GetTrainingJobRequest { training_job: name }).await;
    let failed = job.unwrap_err();
    assert_error(&failed, Code::Internal, "STORE_FAILED");
    // The log has the rest, under this id.
    assert_eq!(failed.get_details_error_info().unwrap().metadata["id"].len(), 16);
    assert!(!failed.message().contains("jobs"), "{failed:?}");
    client.classify(request(article())).await.unwrap();
}

/// Reasons that only a unit test can bring about, and where.
const ELSEWHERE: [(&str, &str); 1] = [("PANIC", "src/server/edge.rs")];

/// A row that is added to the table has a test, or this fails.
#[test]
fn every_reason_is_in_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let table = std::fs::read_to_string(root.join("src/server/status.rs")).unwrap();
    let rows = table.split("(Code::").skip(1).filter_map(|row| row.split_once('"')?.1.split_once("\")"));
    let reasons: BTreeSet<&str> = rows.map(|(reason, _)| reason).filter(|reason| is_reason(reason)).collect();
    assert!(reasons.len() > 25, "{reasons:?}");
    let mut tests = String::new();
    for file in std::fs::read_dir(root.join("tests/integration")).unwrap() {
        tests.push_str(&std::fs::read_to_string(file.unwrap().path()).unwrap_or_default());
    }
    for (reason, file) in ELSEWHERE {
        assert!(std::fs::read_to_string(root.join(file)).unwrap().contains(reason), "{reason}");
    }
    let untested: Vec<&&str> = reasons
        .iter()
        .filter(|reason| !ELSEWHERE.iter().any(|(elsewhere, _)| elsewhere == *reason))
        .filter(|reason| !tests.contains(&format!("\"{reason}\"")))
        .collect();
    assert!(untested.is_empty(), "{untested:?}");
}

fn is_reason(word: &str) -> bool {
    word.len() > 3 && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
}
