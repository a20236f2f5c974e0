//! Which version answers: promoting, rolling back, holding back, damaged files; and imports over the wire.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tonic::Code;
use topicd::api::pb;

use crate::server_process::ServerProcess;
use crate::support::{
    TestServer, assert_error, document, examples, labeled, model_of, request, server_with_three_versions, text_of,
    train_request, violations,
};

async fn classify(server: &TestServer, model: &str) -> Result<pb::ClassifyResponse, tonic::Status> {
    let request = pb::ClassifyRequest { model: model.to_owned(), ..request(document("", "the striker scored")) };
    Ok(server.client().await.classify(request).await?.into_inner())
}

async fn promote(server: &TestServer, version: &str, force: bool) -> Result<pb::Classifier, tonic::Status> {
    let request = pb::PromoteModelVersionRequest { model_version: model_of(version), force, ..Default::default() };
    Ok(server.models().await.promote_model_version(request).await?.into_inner().classifier.unwrap())
}

async fn rollback(server: &TestServer, etag: &str) -> Result<pb::Classifier, tonic::Status> {
    let request = pb::RollbackClassifierRequest { classifier: "classifiers/desk".to_owned(), etag: etag.to_owned() };
    Ok(server.models().await.rollback_classifier(request).await?.into_inner().classifier.unwrap())
}

#[tokio::test]
async fn aliases_move_together_and_survive() {
    let server = server_with_three_versions().await;
    let names = |classifier: &pb::Classifier| {
        let version = |name: &str| name.rsplit('/').next().unwrap_or_default().to_owned();
        [&classifier.stable_version, &classifier.previous_version, &classifier.candidate_version]
            .map(|name| version(name))
    };
    let get = pb::GetClassifierRequest { classifier: "classifiers/desk".to_owned() };
    let before = server.models().await.get_classifier(get.clone()).await.unwrap().into_inner().classifier.unwrap();
    assert_eq!((names(&before), before.dataset_revision), (["2", "1", "3"].map(str::to_owned), 2));
    assert_eq!(classify(&server, "classifiers/desk").await.unwrap().model_version, model_of("2"));
    for (alias, number) in [("previous", "1"), ("candidate", "3"), ("latest", "3"), ("1", "1"), ("stable", "2")] {
        assert_eq!(classify(&server, &model_of(alias)).await.unwrap().model_version, model_of(number));
    }

    let rolled_back = rollback(&server, &before.etag).await.unwrap();
    assert_eq!(names(&rolled_back), ["1", "2", "3"]);
    assert_eq!(classify(&server, "classifiers/desk").await.unwrap().model_version, model_of("1"));
    assert_error(&rollback(&server, &before.etag).await.unwrap_err(), Code::Aborted, "STALE_ETAG");

    assert_error(&promote(&server, "candidate", false).await.unwrap_err(), Code::FailedPrecondition, "HELD_BACK");
    assert_eq!(names(&promote(&server, "candidate", true).await.unwrap()), ["3", "1", ""]);
    let again = promote(&server, "3", false).await.unwrap();
    let server = server.restart().await;
    let after = server.models().await.get_classifier(get).await.unwrap().into_inner().classifier.unwrap();
    assert_eq!(after, again);
    assert_eq!(classify(&server, "classifiers/desk").await.unwrap().topics[0].topic, "other sport");
    assert_eq!(names(&promote(&server, "2", false).await.unwrap()), ["2", "3", ""]);
    assert_error(&promote(&server, "9", false).await.unwrap_err(), Code::NotFound, "UNKNOWN_VERSION");
    assert_error(&promote(&server, "candidate", false).await.unwrap_err(), Code::NotFound, "UNKNOWN_VERSION");

    let list = pb::ListModelVersionsRequest { classifier: "classifiers/desk".to_owned(), ..Default::default() };
    let versions = server.models().await.list_model_versions(list).await.unwrap().into_inner().model_versions;
    assert_eq!(versions.iter().map(|version| version.name.clone()).collect::<Vec<_>>(), ["3", "2", "1"].map(model_of));
    assert_eq!((versions[0].parent_version.clone(), versions[0].dataset_revision), (model_of("2"), 0));
    assert_eq!((versions[1].parent_version.clone(), versions[1].dataset_revision), (model_of("1"), 2));
    assert!(
        versions[0].checks.iter().any(|check| !check.passed) && versions[1].checks.iter().all(|check| check.passed)
    );
}

#[tokio::test]
async fn the_bundled_model_has_nothing_to_go_back_to() {
    let server = TestServer::start().await;
    let request = pb::RollbackClassifierRequest { classifier: "classifiers/default".to_owned(), etag: String::new() };
    let refusal = server.models().await.rollback_classifier(request).await.unwrap_err();
    assert_error(&refusal, Code::FailedPrecondition, "NO_PREVIOUS_VERSION");
    let get = pb::GetModelVersionRequest { model_version: "classifiers/default/versions/stable".to_owned() };
    let version = server.models().await.get_model_version(get).await.unwrap().into_inner().model_version.unwrap();
    assert_eq!((version.origin(), version.training_job.as_str()), (pb::model_version::Origin::BuiltIn, ""));
    // The next start finds the same model, and makes no version of it.
    let server = server.restart().await;
    let get = pb::GetClassifierRequest { classifier: "classifiers/default".to_owned() };
    let classifier = server.models().await.get_classifier(get).await.unwrap().into_inner().classifier.unwrap();
    assert_eq!(classifier.latest_version, "classifiers/default/versions/1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_see_no_error_no_mixture_and_nothing_old_while_versions_change() {
    let server = server_with_three_versions().await;
    let mut expected = Vec::new();
    for version in ["1", "2"] {
        expected.push(classify(&server, &model_of(version)).await.unwrap());
    }
    let done = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let (client, expected, done) = (server_client(&server), expected.clone(), Arc::clone(&done));
            tokio::spawn(async move {
                let mut client = client.await;
                let mut n_calls = 0;
                while !done.load(Ordering::Relaxed) {
                    let request = pb::ClassifyRequest {
                        model: "classifiers/desk".to_owned(),
                        ..request(document("", "the striker scored"))
                    };
                    let answer = client.classify(request).await.unwrap().into_inner();
                    assert!(expected.contains(&answer), "{answer:?}");
                    n_calls += 1;
                }
                n_calls
            })
        })
        .collect();
    for round in 0..20 {
        rollback(&server, "").await.unwrap();
        let now = classify(&server, "classifiers/desk").await.unwrap();
        assert_eq!(now, expected[round % 2], "an old answer after the rollback was acknowledged");
    }
    done.store(true, Ordering::Relaxed);
    for caller in callers {
        assert!(caller.await.unwrap() > 0);
    }
}

fn server_client(
    server: &TestServer,
) -> impl Future<Output = pb::classifier_service_client::ClassifierServiceClient<tonic::transport::Channel>> + use<> {
    let address = server.address;
    async move {
        pb::classifier_service_client::ClassifierServiceClient::connect(format!("http://{address}")).await.unwrap()
    }
}

#[tokio::test]
async fn imports_over_the_wire_are_stored_as_a_whole_or_not_at_all() {
    let server = TestServer::start().await;
    let mut datasets = server.datasets().await;
    let message = |classifier: &str, examples| pb::ImportExamplesRequest {
        classifier: classifier.to_owned(),
        examples,
        ..Default::default()
    };
    let messages =
        vec![message("classifiers/desk", examples(0..700)), message("", examples(700..1000)), message("", Vec::new())];
    let answer = datasets.import_examples(tokio_stream::iter(messages)).await.unwrap().into_inner();
    assert_eq!((answer.dataset_revision, answer.intake.unwrap().added_count), (1, 1000));

    let mut bad = examples(1000..1003);
    bad[1].document = Some(document("", ""));
    let messages = vec![message("classifiers/desk", examples(1000..1500)), message("", bad)];
    let refusal = datasets.import_examples(tokio_stream::iter(messages)).await.unwrap_err();
    assert_eq!(violations(&refusal), [("examples[501].document".to_owned(), "REQUIRED".to_owned())]);
    let other = vec![message("classifiers/desk", examples(2000..2001)), message("classifiers/b", examples(0..1))];
    let refusal = datasets.import_examples(tokio_stream::iter(other)).await.unwrap_err();
    assert_eq!(violations(&refusal), [("classifier".to_owned(), "CHANGED".to_owned())]);
    let refusal = datasets.import_examples(tokio_stream::iter(Vec::new())).await.unwrap_err();
    assert_eq!(violations(&refusal), [("classifier".to_owned(), "REQUIRED".to_owned())]);
    let huge = labeled(document("", &text_of(17 << 20)), &["x"]);
    let messages = vec![message("classifiers/desk", examples(3000..3001)), message("", vec![huge])];
    let refusal = datasets.import_examples(tokio_stream::iter(messages)).await.unwrap_err();
    assert_error(&refusal, Code::ResourceExhausted, "MESSAGE_TOO_LARGE");

    let messages = vec![message("classifiers/desk", examples(999..1001))];
    let answer = datasets.import_examples(tokio_stream::iter(messages)).await.unwrap().into_inner();
    let intake = answer.intake.unwrap();
    assert_eq!((answer.dataset_revision, intake.added_count, intake.unchanged_count), (2, 1, 1));
    let job = server.train(train_request("desk", Vec::new())).await;
    assert_eq!(job.document_count, 1001);
}

#[tokio::test]
async fn an_import_that_ends_early_leaves_nothing() {
    let server = TestServer::start().await;
    let mut datasets = server.datasets().await;
    let (send, messages) = tokio::sync::mpsc::channel(1);
    let mut abandoned = server.datasets().await;
    let call =
        tokio::spawn(
            async move { abandoned.import_examples(tokio_stream::wrappers::ReceiverStream::new(messages)).await },
        );
    let message = |examples| pb::ImportExamplesRequest {
        classifier: "classifiers/desk".to_owned(),
        examples,
        more_follows: true,
    };
    for batch in 0..3 {
        send.send(message(examples(batch * 100..(batch + 1) * 100))).await.unwrap();
    }
    // A client's library may end the stream as if it were complete when the program that feeds it fails.
    drop(send);
    let refusal = call.await.unwrap().unwrap_err();
    assert_eq!(violations(&refusal), [("more_follows".to_owned(), "ENDED_EARLY".to_owned())]);
    let messages = vec![message(examples(0..300)), pb::ImportExamplesRequest::default()];
    let answer = datasets.import_examples(tokio_stream::iter(messages)).await.unwrap().into_inner();
    assert_eq!((answer.dataset_revision, answer.intake.unwrap().added_count), (1, 300));
}

/// Tonic reads a stream that was cancelled, whose deadline has passed or whose connection is gone as one that has ended:
/// half of an import was published so.
#[tokio::test]
async fn an_import_that_breaks_off_leaves_nothing() {
    let server = TestServer::start().await;
    let message = |range| pb::ImportExamplesRequest {
        classifier: "classifiers/desk".to_owned(),
        examples: examples(range),
        ..Default::default()
    };
    // Three calls, of which one passes its deadline, one is dropped, and one loses its connection.
    for case in 0..3 {
        let (send, messages) = tokio::sync::mpsc::channel(1);
        let mut request = tonic::Request::new(tokio_stream::wrappers::ReceiverStream::new(messages));
        if case == 0 {
            request.set_timeout(std::time::Duration::from_millis(300));
        }
        let (channel, _) = server.connect().await;
        let mut datasets = pb::dataset_service_client::DatasetServiceClient::new(channel);
        let call = tokio::spawn(async move { datasets.import_examples(request).await });
        for batch in 0..3 {
            send.send(message(batch * 100..(batch + 1) * 100)).await.unwrap();
        }
        if case == 0 {
            let refusal = call.await.unwrap().unwrap_err();
            assert!([Code::DeadlineExceeded, Code::Cancelled].contains(&refusal.code()), "{refusal:?}");
        } else {
            call.abort();
            assert!(call.await.unwrap_err().is_cancelled());
        }
        // The stream of messages has not ended; with the call, its connection goes too.
        server.connect().await;
        let (_, n_added) = import_once(&server, message(1000 * (case + 1)..1000 * (case + 1) + 1)).await;
        assert_eq!(n_added, 1);
        drop(send);
    }
    let (revision, n_added) = import_once(&server, message(0..300)).await;
    assert_eq!((revision, n_added), (4, 300), "an import that broke off was published");
}

async fn import_once(server: &TestServer, message: pb::ImportExamplesRequest) -> (u32, u64) {
    let answer = server.datasets().await.import_examples(tokio_stream::iter([message])).await.unwrap().into_inner();
    (answer.dataset_revision, answer.intake.unwrap().added_count)
}

/// The same from the command line: files to a server, and a training there that is watched to its end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_imports_and_trains_on_a_server() {
    let server = TestServer::start().await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_owned();
    let rows: Vec<String> = examples(0..1200)
        .into_iter()
        .enumerate()
        .map(|(i, example)| {
            let document = example.document.unwrap();
            serde_json::json!({"id": document.document_id, "title": document.title, "text": document.text,
                "split": if i % 10 == 9 { "dev" } else { "" }, "date": "2024-02-29", "url": "https://example.org", "topics": example.topics})
            .to_string()
        })
        .collect();
    std::fs::write(path.join("rows.jsonl"), rows.join("\n")).unwrap();
    std::fs::write(path.join("bad.jsonl"), rows[..600].join("\n").replace("report", "other") + "\n{}\n").unwrap();
    let address = server.address.to_string();
    let topicd = async |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_topicd"));
        command.args(arguments).args(["--server", &address]).current_dir(&path);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let import = ["dataset", "import", "--classifier", "desk", "--json"];
    let (code, printed, said) = topicd(&[&import[..], &["bad.jsonl", "--strict"]].concat()).await;
    assert!(code == Some(1) && printed.is_empty() && said.contains("bad.jsonl:601"), "{printed}{said}");
    let (code, printed, said) = topicd(&[&import[..], &["rows.jsonl"]].concat()).await;
    assert_eq!(code, Some(0), "{said}");
    let report: serde_json::Value = serde_json::from_str(&printed).unwrap();
    assert_eq!((&report["revision"], &report["n_added"]), (&serde_json::json!(1), &serde_json::json!(1200)));

    let (code, printed, said) = topicd(&["train", "--classifier", "desk"]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(printed.contains("classifiers/desk/versions/1 answers now") && printed.contains("accuracy"), "{printed}");
    assert!(printed.starts_with("Evaluation on the held-out documents") && printed.contains(" 120\n"), "{printed}");
    let settings = ["--c", "0.5", "--held-out-share", "0.25", "--json"];
    let (code, printed, _) = topicd(&[&["train", "--classifier", "desk"], &settings[..]].concat()).await;
    let job: serde_json::Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(job["config"]["heldOutShare"], 0.25, "{job}");
    assert_eq!((code, &job["modelVersion"]), (Some(0), &serde_json::json!("classifiers/desk/versions/2")));
    let train = |flags: &[&'static str]| [&["train", "--classifier", "desk"], flags].concat();
    let (code, printed, said) = topicd(&train(&["--promote", "manual", "--min-accuracy", "0.5"])).await;
    assert!(code == Some(0) && printed.contains("passed  min_accuracy: ") && said.is_empty(), "{printed}{said}");
    assert!(printed.ends_with("versions/3 is the candidate; PromoteModelVersion makes it answer.\n"), "{printed}");
    let (code, printed, said) = topicd(&train(&["--min-documents-per-topic", "9999", "--promote", "never"])).await;
    assert!(code == Some(0) && printed.contains("FAILED  min_documents_per_topic: "), "{printed}");
    assert!(printed.ends_with("versions/4 is stored; PromoteModelVersion makes it answer.\n"), "{printed}");
    assert!(said.contains("versions/4 didn't pass all checks"), "{said}");
    let rules = ["--max-accuracy-drop", "0.01", "--max-macro-f1-drop", "0.02", "--significance", "0.05", "--json"];
    let rules =
        [&rules[..], &["--min-macro-f1", "0.3", "--allow-lost-topic", "cup", "--allow-lost-topic", "art"]].concat();
    let (code, printed, _) = topicd(&train(&rules)).await;
    let job: serde_json::Value = serde_json::from_str(&printed).unwrap();
    let expected = serde_json::json!({"mode": "MODE_AUTOMATIC", "minMacroF1": 0.3, "maxAccuracyDrop": 0.01,
        "maxMacroF1Drop": 0.02, "significance": 0.05, "lostTopicsAllowed": ["art", "cup"]});
    assert_eq!((code, &job["promotionPolicy"], &job["promoted"]), (Some(0), &expected, &serde_json::json!(true)));
    let (code, _, said) = topicd(&train(&["--min-accuracy", "1.5"])).await;
    assert!(code == Some(2) && said.contains("number from 0 to 1"), "{said}");
    let (code, _, said) = topicd(&["train", "--classifier", "nobody"]).await;
    assert!(code == Some(1) && said.contains("can't be trained on"), "{said}");
    let (code, _, said) = topicd(&["train", "--classifier", "desk", "--revision", "2"]).await;
    assert!(code == Some(1) && said.contains("has no dataset revision 2; its newest is 1"), "{said}");
    server.stop.send(()).unwrap();
    server.running.await.unwrap().unwrap();
    let (code, _, said) = topicd(&["train", "--classifier", "desk"]).await;
    assert!(code == Some(1) && said.contains("no topicd server answers"), "{said}");
}

/// A byte of a stored model file changes on the disk: that version is DATA_LOSS, and the one before it answers where the
/// stable one is asked for.
#[tokio::test]
async fn a_damaged_version_is_told_and_the_previous_one_answers() {
    let server = server_with_three_versions().await;
    let expected = classify(&server, &model_of("1")).await.unwrap();
    let get = pb::GetModelVersionRequest { model_version: model_of("2") };
    let version = server.models().await.get_model_version(get).await.unwrap().into_inner().model_version.unwrap();
    let path = server.data_dir().join("topicd.db");
    let server = server.restart_after(damage(&path, &version)).await;
    for _ in 0..2 {
        let answer = classify(&server, "classifiers/desk").await.unwrap();
        assert_eq!(answer, expected);
        assert_error(&classify(&server, &model_of("2")).await.unwrap_err(), Code::DataLoss, "DAMAGED_VERSION");
    }
    assert_error(
        &promote(&server, "2", true).await.err().unwrap_or_else(|| panic!("promoted")),
        Code::DataLoss,
        "DAMAGED_VERSION",
    );

    // The log says so too, to whoever looks after the server.
    let TestServer { stop, running, parent, classify, model_files, .. } = server;
    stop.send(()).unwrap();
    running.await.unwrap().unwrap();
    drop((classify, model_files));
    let server = ServerProcess::start(&parent.path().join("data")).await;
    let request =
        pb::ClassifyRequest { model: "classifiers/desk".to_owned(), ..request(document("", "the striker scored")) };
    assert_eq!(server.classifiers().classify(request).await.unwrap().into_inner(), expected);
    let log = server.stop().await;
    let errors: Vec<serde_json::Value> = log.iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let errors: Vec<_> = errors.iter().filter(|line| line["level"] == "ERROR").map(|line| &line["fields"]).collect();
    assert_eq!((errors.len(), &errors[0]["version"]), (2, &model_of("2").into()), "{errors:?}");
    assert!(errors[0]["problem"].as_str().unwrap().contains("has changed on the disk"), "{errors:?}");
    let instead = (&errors[1]["message"], &errors[1]["stand_in"]);
    assert_eq!(instead, (&"the previous version answers instead".into(), &model_of("1").into()), "{errors:?}");
}

/// Flips a bit of a version's stored model file.
pub(crate) async fn damage(path: &std::path::Path, version: &pb::ModelVersion) {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
    let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
    let key = "lower(hex(sha256)) = $1";
    let select = sqlx::AssertSqlSafe(format!("SELECT content FROM artifacts WHERE {key}"));
    let mut content: Vec<u8> =
        sqlx::query_scalar(select).bind(&version.artifact_sha256).fetch_one(&pool).await.unwrap();
    let middle = content.len() / 2;
    content[middle] ^= 1;
    let update = sqlx::AssertSqlSafe(format!("UPDATE artifacts SET content = $2 WHERE {key}"));
    let updated = sqlx::query(update).bind(&version.artifact_sha256).bind(content).execute(&pool).await.unwrap();
    assert_eq!(updated.rows_affected(), 1);
    pool.close().await;
}
