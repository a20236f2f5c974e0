//! Training over the wire: documents in, a better version answering, kept for good.

use tonic::Code;
use tonic_types::StatusExt;
use topicd::api::pb::data_issue::Kind;
use topicd::api::pb::evaluation::Source;
use topicd::api::pb::job_failure::Reason;
use topicd::api::pb::training_job::{Stage, State};
use topicd::api::pb::{self, Scope};

use crate::support::{
    TestServer, assert_error, document, examples, labeled, many_examples, non_zero, request, train_request, violations,
};

const REQUEST_ID: &str = "123e4567-e89b-42d3-a456-426614174000";

fn check_classifies(answer: &pb::ClassifyResponse, version: u32, topic: &str) {
    assert_eq!(answer.model_version, format!("classifiers/desk/versions/{version}"));
    assert_eq!(answer.topics[0].topic, topic);
}

async fn ask(server: &TestServer, text: &str) -> pb::ClassifyResponse {
    let request = pb::ClassifyRequest { model: "classifiers/desk".to_owned(), ..request(document("", text)) };
    server.client().await.classify(request).await.unwrap().into_inner()
}

async fn get_job(server: &TestServer, training_job: &str) -> pb::TrainingJob {
    let request = pb::GetTrainingJobRequest { training_job: training_job.to_owned() };
    server.models().await.get_training_job(request).await.unwrap().into_inner().training_job.unwrap()
}

fn kinds(issues: &[pb::DataIssue]) -> Vec<(Kind, u64)> {
    issues.iter().map(|issue| (issue.kind(), issue.document_count)).collect()
}

#[tokio::test]
async fn labelled_documents_become_a_version_that_answers_and_stays() {
    let server = TestServer::start().await;
    let job = server.train(train_request("desk", examples(0..80))).await;
    assert_eq!((job.name.as_str(), job.state()), ("classifiers/desk/trainingJobs/1", State::Succeeded), "{job:?}");
    assert!(job.promoted && job.checks.iter().all(|check| check.passed), "{job:?}");
    assert_eq!((job.fraction, job.stage(), job.document_count), (1.0, Stage::Unspecified, 80));
    assert_eq!(job.model_version, "classifiers/desk/versions/1");
    assert_eq!(job.evaluation.as_ref().unwrap().document_count, 80);
    assert_eq!(job.intake.unwrap().added_count, 80);
    check_classifies(&ask(&server, "the striker scored").await, 1, "sport");

    // 20 more, of which 10 are there already: all 90 are trained on.
    let job = server.train(train_request("desk", examples(70..90))).await;
    assert_eq!((job.document_count, job.dataset_revision), (90, 2), "{job:?}");
    let intake = job.intake.unwrap();
    assert_eq!((intake.given_count, intake.added_count, intake.unchanged_count), (20, 10, 10));
    let before = ask(&server, "tanks near the town").await;
    check_classifies(&before, 2, "war");

    let server = server.restart().await;
    assert_eq!(ask(&server, "tanks near the town").await, before);
    assert_eq!(get_job(&server, "classifiers/desk/trainingJobs/2").await, job);
    let list =
        pb::ListTrainingJobsRequest { classifier: "classifiers/desk".to_owned(), page_size: 1, ..Default::default() };
    let page = server.models().await.list_training_jobs(list.clone()).await.unwrap().into_inner();
    // Lists leave out what is large.
    let mut listed = job;
    let evaluation = listed.evaluation.as_mut().unwrap();
    assert_eq!((evaluation.reliability.len(), evaluation.coverage.last().unwrap().coverage), (15, 1.0));
    (evaluation.reliability, evaluation.coverage) = (Vec::new(), Vec::new());
    assert_eq!((page.training_jobs, page.next_page_token.as_str()), (vec![listed], "2"));
    let list = pb::ListTrainingJobsRequest { page_token: page.next_page_token, ..list };
    let page = server.models().await.list_training_jobs(list).await.unwrap().into_inner();
    assert_eq!(
        (page.training_jobs[0].name.as_str(), page.next_page_token.as_str()),
        ("classifiers/desk/trainingJobs/1", "")
    );
}

#[tokio::test]
async fn a_version_has_the_bytes_that_the_command_line_makes_of_the_same_documents() {
    let server = TestServer::start().await;
    let config = pb::TrainingConfig {
        c: 0.3,
        balance: pb::Balance::Full.into(),
        max_features: 40,
        seed: 7,
        label_kind: pb::LabelKind::SingleLabel.into(),
        selective_accuracy: Some(0.95),
        held_out_share: 0.0,
        character_ngrams: true,
        without_words: false,
        words_kept: 1000,
        words_languages: vec!["en".to_owned(), "de".to_owned()],
    };
    let weighted = |(i, example)| pb::LabeledDocument { weight: if i % 3 == 0 { 2.5 } else { 0.0 }, ..example };
    let examples: Vec<pb::LabeledDocument> = examples(0..80).into_iter().enumerate().map(weighted).collect();
    let request = pb::TrainRequest { config: Some(config.clone()), ..train_request("desk", examples.clone()) };
    let job = server.train(request).await;
    assert_eq!(job.config.as_ref(), Some(&config));
    let get = pb::GetModelVersionRequest { model_version: job.model_version };
    let version = server.models().await.get_model_version(get).await.unwrap().into_inner().model_version.unwrap();
    assert_eq!((version.config, version.c, version.term_count), (Some(config), 0.3, 40));

    let rows = examples.into_iter().rev().map(|example| {
        let document = example.document.unwrap();
        let weight = (example.weight > 0.0).then_some(example.weight);
        let row = serde_json::json!({"title": document.title, "text": document.text, "topics": example.topics, "weight": weight});
        row.to_string() + "\n"
    });
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("rows.jsonl"), rows.collect::<String>()).unwrap();
    let arguments = ["train", "--data", "rows.jsonl", "--out", "m.topicd", "--c", "0.3", "--balance", "full"];
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_topicd"))
        .args(arguments)
        .args(["--max-features", "40", "--seed", "7", "--label-kind", "single", "--selective-accuracy", "0.95"])
        .args(["--character-ngrams", "--words-kept", "1000", "--words-languages", "en,de"])
        .current_dir(directory.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let bytes = std::fs::read(directory.path().join("m.topicd")).unwrap();
    assert_eq!(version.artifact_bytes, bytes.len() as u64);
    use sha2::Digest;
    let sha256: String = sha2::Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(version.artifact_sha256, sha256);
}

/// Splits and the share over the wire: what is held out is measured on, found to leak, kept, and told of the version.
#[tokio::test]
async fn held_out_documents_are_measured_on() {
    let server = TestServer::start().await;
    let held_out = |example: pb::LabeledDocument| pb::LabeledDocument { split: pb::Split::HeldOut.into(), ..example };
    let mut given = examples(0..80);
    given.extend(examples(80..100).into_iter().map(held_out));
    let report = "tanks shelled the old bridge on the northern road at dawn and again in the evening";
    given.push(labeled(document("", report), &["war"]));
    given.push(held_out(labeled(document("", &format!("{report} today")), &["war"])));
    let job = server.train(train_request("desk", given.clone())).await;
    assert_eq!((job.state(), job.document_count), (State::Succeeded, 81), "{job:?}");
    let evaluation = job.evaluation.as_ref().unwrap();
    assert_eq!((evaluation.source(), evaluation.document_count), (Source::HeldOut, 21));
    assert!(kinds(&job.data_issues).iter().any(|(kind, n)| *kind == Kind::Leak && *n >= 1), "{job:?}");
    let version = get_version(&server, &job.model_version).await;
    assert_eq!((version.training_document_count, version.held_out_document_count), (81, 21));
    assert_eq!(version.evaluation, job.evaluation);

    // A document that is moved to the other side is a change, one that is given without a side is none.
    let moved =
        vec![given[80].clone(), held_out(given[0].clone()), pb::LabeledDocument { split: 0, ..given[81].clone() }];
    let validate = pb::TrainRequest { validate_only: true, ..train_request("desk", moved.clone()) };
    let validation = server.client().await.train(validate).await.unwrap().into_inner().validation.unwrap();
    let job = server.train(train_request("desk", moved)).await;
    assert_eq!(validation.intake.map(|intake| (intake.relabeled_count, intake.unchanged_count)), Some((1, 2)));
    let intake = job.intake.as_ref().unwrap();
    assert_eq!((intake.relabeled_count, intake.unchanged_count, job.dataset_revision), (1, 2, 2));
    assert!(kinds(&job.data_issues).contains(&(Kind::Relabeled, 1)), "{job:?}");
    assert_eq!((job.document_count, job.evaluation.unwrap().document_count), (80, 22));

    // It stays held out if one of its copies is.
    let copies =
        vec![held_out(given[0].clone()), pb::LabeledDocument { split: pb::Split::Training.into(), ..given[0].clone() }];
    let validate = pb::TrainRequest { validate_only: true, ..train_request("desk", copies) };
    let validation = server.client().await.train(validate).await.unwrap().into_inner().validation.unwrap();
    assert_eq!(validation.intake.map(|intake| (intake.relabeled_count, intake.unchanged_count)), Some((0, 1)));
    assert_eq!(validation.data_issues.iter().find(|issue| issue.kind() == Kind::Relabeled), None);

    // By a share, of documents without a split; the settings are told.
    let config = pb::TrainingConfig { held_out_share: 0.3, ..Default::default() };
    let job = server.train(pb::TrainRequest { config: Some(config), ..train_request("other", examples(0..80)) }).await;
    let version = get_version(&server, &job.model_version).await;
    assert_eq!(version.config.map(|config| config.held_out_share), Some(0.3));
    let n_held_out = version.held_out_document_count;
    assert!((10..40).contains(&n_held_out) && version.training_document_count + n_held_out == 80, "{n_held_out}");
    let job = server.train(train_request("plain", examples(0..80))).await;
    assert_eq!(job.evaluation.unwrap().source(), Source::OutOfFold);
}

async fn get_version(server: &TestServer, model_version: &str) -> pb::ModelVersion {
    let get = pb::GetModelVersionRequest { model_version: model_version.to_owned() };
    server.models().await.get_model_version(get).await.unwrap().into_inner().model_version.unwrap()
}

#[tokio::test]
async fn two_football_articles_do_not_replace_the_news_model() {
    let server = TestServer::start().await;
    let two = vec![
        labeled(document("Late winner", "The striker scored in the last minute."), &["football"]),
        labeled(document("Cup draw", "The second round was drawn."), &["cup"]),
    ];
    let job = server.train(train_request("default", two)).await;
    assert_eq!((job.state(), job.promoted), (State::Succeeded, false));
    let failed: Vec<&str> = job.checks.iter().filter(|check| !check.passed).map(|check| check.name.as_str()).collect();
    assert!(failed.contains(&"topics_lost"), "{:?}", job.checks);
    let answer = server.client().await.classify(request(document("", "Peace talks"))).await.unwrap().into_inner();
    assert_eq!((answer.model_version.as_str(), answer.topics.len()), ("classifiers/default/versions/1", 10));
}

#[tokio::test]
async fn source_only_uses_and_stores_nothing_else() {
    let server = TestServer::start().await;
    server.train(train_request("desk", examples(0..40))).await;
    let request = train_request("desk", examples(100..160));
    let job = server.train(pb::TrainRequest { scope: Scope::SourceOnly.into(), ..request }).await;
    assert_eq!((job.document_count, job.dataset_revision, job.state()), (60, 0, State::Succeeded), "{job:?}");
    let job = server.train(train_request("desk", Vec::new())).await;
    assert_eq!((job.document_count, job.dataset_revision), (40, 1), "{job:?}");
}

#[tokio::test]
async fn validation_tells_what_would_be_found_and_does_nothing() {
    let server = TestServer::start().await;
    server.train(train_request("desk", examples(0..40))).await;
    let mut given = examples(38..50);
    given.push(labeled(document("report 0", "tanks shelled near town 0"), &["sport"]));
    given.push(labeled(document("", "\u{1F389}"), &["sport"]));
    given.push(labeled(document("new", "unheard of"), &["science"]));
    given.push(labeled(document("new", "unheard of"), &["art"]));
    given.push(labeled(document("new", "unheard of"), &["art"]));
    given.push(labeled(document("nothing", "fits"), &[]));
    let request = pb::TrainRequest { validate_only: true, ..train_request("desk", given) };
    let response = server.client().await.train(request).await.unwrap().into_inner();
    assert_eq!(response.training_job, None);
    let validation = response.validation.unwrap();
    let intake = validation.intake.unwrap();
    let counts = (intake.given_count, intake.added_count, intake.relabeled_count, intake.unchanged_count);
    assert_eq!(counts, (18, 13, 1, 2));
    let topics: Vec<(&str, u64)> = validation.topics.iter().map(|t| (t.topic.as_str(), t.document_count)).collect();
    assert_eq!(topics, [("art", 1), ("sport", 27), ("war", 24)]);
    let expected = [
        (Kind::Duplicate, 1),
        (Kind::ConflictingTopics, 1),
        (Kind::Relabeled, 1),
        (Kind::NoTokens, 1),
        (Kind::NoTopic, 1),
        (Kind::FewDocuments, 1),
    ];
    assert_eq!(kinds(&validation.data_issues), expected);
    let job = server.train(train_request("desk", Vec::new())).await;
    assert_eq!((job.document_count, job.dataset_revision), (40, 1), "something was stored");
}

#[tokio::test]
async fn documents_that_cannot_be_trained_on_are_refused_and_not_stored() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let one_topic = vec![labeled(document("a", ""), &["x"]), labeled(document("b", ""), &["x"])];
    let no_topic = vec![labeled(document("a", ""), &[]), labeled(document("b", ""), &[])];
    let no_words = vec![labeled(document("", " "), &["x"]), labeled(document("\u{1F389}", ""), &["y"])];
    for (given, said) in [(one_topic, "\"x\""), (no_topic, "has a topic"), (no_words, "word to learn from")] {
        for validate_only in [false, true] {
            let request = pb::TrainRequest { validate_only, ..train_request("desk", given.clone()) };
            let refusal = client.train(request).await.unwrap_err();
            assert_error(&refusal, Code::InvalidArgument, "INVALID_REQUEST");
            assert_eq!(violations(&refusal)[0].0, "inline_examples.examples");
            assert!(refusal.message().contains(said), "{refusal:?}");
        }
    }
    let refusal = client.train(train_request("desk", Vec::new())).await.unwrap_err();
    assert_error(&refusal, Code::FailedPrecondition, "UNUSABLE_DATASET");

    let long_topic = "x".repeat(129);
    let given = vec![
        labeled(document("", ""), &["x"]),
        labeled(document("a", ""), &["y", &long_topic]),
        pb::LabeledDocument { document: None, split: 3, ..Default::default() },
        pb::LabeledDocument { split: 3, ..labeled(document("a", ""), &["x"]) },
        pb::LabeledDocument { weight: 101.0, ..labeled(document("a", ""), &["x"]) },
        pb::LabeledDocument { weight: f32::NAN, ..labeled(document("a", ""), &["x"]) },
        labeled(pb::Document { publish_date: "yesterday".to_owned(), ..document("a", "") }, &["\n"]),
    ];
    let request = pb::TrainRequest {
        config: Some(pb::TrainingConfig { c: -1.0, balance: 9, ..Default::default() }),
        request_id: "7".to_owned(),
        scope: 5,
        wait_timeout: Some(prost_types::Duration { seconds: -1, nanos: 0 }),
        ..train_request("Desk", given)
    };
    let refusal = client.train(request).await.unwrap_err();
    let fields: Vec<String> = violations(&refusal).into_iter().map(|violation| violation.0).collect();
    let expected = [
        "request_id",
        "classifier",
        "scope",
        "config.balance",
        "config.c",
        "wait_timeout",
        "inline_examples.examples[0].document",
        "inline_examples.examples[1].topics[1]",
        "inline_examples.examples[2].document",
        "inline_examples.examples[3].split",
        "inline_examples.examples[4].weight",
        "inline_examples.examples[5].weight",
        "inline_examples.examples[6].document.publish_date",
        "inline_examples.examples[6].topics[0]",
    ];
    assert_eq!(fields, expected);
    for held_out_share in [-0.1, 0.6, f64::NAN] {
        let config = Some(pb::TrainingConfig { held_out_share, ..Default::default() });
        let request = pb::TrainRequest { config, ..train_request("desk", examples(0..20)) };
        let refusal = client.train(request).await.unwrap_err();
        assert_eq!(violations(&refusal), [("config.held_out_share".to_owned(), "OUT_OF_RANGE".to_owned())]);
    }

    let none = pb::LabeledDocument::default();
    let refusal = client.train(train_request("desk", vec![none.clone(); 300])).await.unwrap_err();
    assert!(violations(&refusal).len() == 16 && refusal.message().contains("284 more fields"), "{refusal:?}");
    let refusal = client.train(train_request("desk", vec![none; 300_000])).await.unwrap_err();
    assert_error(&refusal, Code::InvalidArgument, "INVALID_REQUEST");
    assert!(refusal.message().contains("50000"), "{refusal:?}");
    let list = server.models().await.list_classifiers(pb::ListClassifiersRequest {}).await.unwrap().into_inner();
    assert_eq!(list.classifiers.len(), 1, "{list:?}");
    let ask = pb::ClassifyRequest { model: "classifiers/desk".to_owned(), ..request_of("a") };
    assert_error(&client.classify(ask).await.unwrap_err(), Code::NotFound, "UNKNOWN_CLASSIFIER");
}

fn request_of(title: &str) -> pb::ClassifyRequest {
    request(document(title, ""))
}

#[tokio::test]
async fn the_same_request_gets_the_same_job() {
    let server = TestServer::start().await;
    let request = pb::TrainRequest { request_id: REQUEST_ID.to_owned(), ..train_request("desk", examples(0..40)) };
    let first = server.train(request.clone()).await;
    let hurried = pb::TrainRequest { wait_timeout: None, ..request.clone() };
    assert_eq!(server.train(hurried).await, first);
    let server = server.restart().await;
    assert_eq!(server.train(request.clone()).await, first);
    let other = pb::TrainRequest { scope: Scope::SourceOnly.into(), ..request };
    let refusal = server.client().await.train(other).await.unwrap_err();
    assert_eq!(violations(&refusal), [("request_id".to_owned(), "REQUEST_ID_USED".to_owned())]);
}

#[tokio::test]
async fn one_job_at_a_time_which_can_be_watched_and_cancelled() {
    let server = TestServer::start().await;
    let at_once = |request| pb::TrainRequest { wait_timeout: None, ..request };
    let job = server.train(at_once(train_request("desk", many_examples()))).await;
    assert_eq!(job.state(), State::Running);
    let refusal = server.client().await.train(train_request("desk", examples(0..20))).await.unwrap_err();
    assert_error(&refusal, Code::Aborted, "JOB_RUNNING");
    assert_eq!(refusal.get_details_error_info().unwrap().metadata["training_job"], job.name);

    let mut models = server.models().await;
    let watch = pb::WatchTrainingJobRequest { training_job: job.name.clone() };
    let mut updates = models.watch_training_job(watch).await.unwrap().into_inner();
    let mut stage = Stage::Unspecified;
    while stage != Stage::CrossValidation {
        let update = updates.message().await.unwrap().unwrap().training_job.unwrap();
        assert_eq!(update.state(), State::Running, "it ended before it could be cancelled: {update:?}");
        stage = update.stage();
    }
    // Another classifier's job waits for its turn.
    let waiting = server.train(at_once(train_request("other", examples(0..20)))).await;
    let cancel = pb::CancelTrainingJobRequest { training_job: job.name.clone() };
    let cancelled = models.cancel_training_job(cancel.clone()).await.unwrap().into_inner().training_job.unwrap();
    assert_eq!((cancelled.state(), cancelled.model_version.as_str()), (State::Cancelled, ""));
    let mut last = None;
    while let Some(update) = updates.message().await.unwrap() {
        last = update.training_job;
    }
    assert_eq!(last.as_ref(), Some(&cancelled));
    assert_eq!(models.cancel_training_job(cancel).await.unwrap().into_inner().training_job, Some(cancelled));

    let watch = pb::WatchTrainingJobRequest { training_job: waiting.name };
    let mut updates = models.watch_training_job(watch).await.unwrap().into_inner();
    let mut last = State::Unspecified;
    while let Some(update) = updates.message().await.unwrap() {
        last = update.training_job.unwrap().state();
    }
    assert_eq!(last, State::Succeeded);
    let unknown = pb::GetTrainingJobRequest { training_job: "classifiers/desk/trainingJobs/9".to_owned() };
    assert_error(&models.get_training_job(unknown).await.unwrap_err(), Code::NotFound, "UNKNOWN_JOB");
}

#[tokio::test]
async fn more_jobs_than_the_limit_are_refused() {
    let server = TestServer::start_with(|config| config.limits.max_training_jobs = non_zero(1)).await;
    let first = pb::TrainRequest { wait_timeout: None, ..train_request("desk", many_examples()) };
    let job = server.train(first).await;
    let refusal = server.client().await.train(train_request("other", examples(0..20))).await.unwrap_err();
    assert_error(&refusal, Code::ResourceExhausted, "TOO_MANY_JOBS");
    assert!(refusal.get_details_retry_info().is_some());
    let cancel = pb::CancelTrainingJobRequest { training_job: job.name };
    server.models().await.cancel_training_job(cancel).await.unwrap();
    server.train(train_request("other", examples(0..20))).await;
}

#[tokio::test]
async fn a_job_that_the_server_did_not_outlive_has_failed_and_its_documents_are_kept() {
    let server = TestServer::start().await;
    let request = pb::TrainRequest { wait_timeout: None, ..train_request("desk", many_examples()) };
    let job = server.train(request).await;
    let server = server.restart().await;
    let job = get_job(&server, &job.name).await;
    assert_eq!((job.state(), job.failure.unwrap().reason()), (State::Failed, Reason::Interrupted));
    assert!(job.end_time.is_some());
    let ask = pb::ClassifyRequest { model: "classifiers/desk".to_owned(), ..request_of("a") };
    let refusal = server.client().await.classify(ask).await.unwrap_err();
    assert_error(&refusal, Code::FailedPrecondition, "NOTHING_TRAINED");
    let job = server.train(train_request("desk", examples(0..2))).await;
    assert_eq!(job.document_count, 6002);
}
