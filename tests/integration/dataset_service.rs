//! Datasets over the wire: reading them, and changing them as a whole.

use futures_util::TryStreamExt;
use tonic::Code;
use topicd::api::pb;

use crate::support::{TestServer, assert_error, document, examples, labeled, request, train_request, violations};

const DESK: &str = "classifiers/desk";

async fn import(server: &TestServer, examples: Vec<pb::LabeledDocument>) -> pb::ImportExamplesResponse {
    let message = pb::ImportExamplesRequest { classifier: DESK.to_owned(), examples, more_follows: false };
    server.datasets().await.import_examples(tokio_stream::iter([message])).await.unwrap().into_inner()
}

fn list(topic: &str) -> pb::ListExamplesRequest {
    pb::ListExamplesRequest {
        classifier: DESK.to_owned(),
        topic: topic.to_owned(),
        page_size: 100,
        ..Default::default()
    }
}

fn export(dataset_revision: u32) -> pb::ExportExamplesRequest {
    pb::ExportExamplesRequest { classifier: DESK.to_owned(), dataset_revision, topic: String::new() }
}

/// All lines of an export.
async fn exported(server: &TestServer, request: pb::ExportExamplesRequest) -> String {
    let stream = server.datasets().await.export_examples(request).await.unwrap().into_inner();
    let messages: Vec<pb::ExportExamplesResponse> = stream.try_collect().await.unwrap();
    let lines: Vec<u8> = messages.iter().flat_map(|message| message.json_lines.clone()).collect();
    let lines = String::from_utf8(lines).unwrap();
    assert_eq!(messages.iter().map(|message| message.document_count).sum::<u64>(), lines.lines().count() as u64);
    lines
}

async fn dataset(server: &TestServer, dataset_revision: u32) -> pb::Dataset {
    let request = pb::GetDatasetRequest { classifier: DESK.to_owned(), dataset_revision };
    server.datasets().await.get_dataset(request).await.unwrap().into_inner().dataset.unwrap()
}

fn topics(dataset: &pb::Dataset) -> Vec<(&str, u64)> {
    dataset.topics.iter().map(|count| (count.topic.as_str(), count.document_count)).collect()
}

#[tokio::test]
async fn pages_and_exports_hold_every_document_of_the_revision_that_was_asked_for() {
    let server = TestServer::start().await;
    let mut client = server.datasets().await;
    let odd = pb::LabeledDocument {
        split: pb::Split::HeldOut.into(),
        weight: 2.5,
        ..labeled(
            pb::Document {
                document_id: "id \"1\"\n".to_owned(),
                publish_date: "2024-02-29".to_owned(),
                url: "https://example.org/%20?a=b".to_owned(),
                ..document("Tïtle", "naïve\r\n\ttext 🗞 \\ \"")
            },
            &["100 % \"sure\"_!", "war"],
        )
    };
    import(&server, examples(0..45)).await;
    import(&server, vec![odd.clone()]).await;

    let (mut listed, mut request) = (Vec::new(), pb::ListExamplesRequest { page_size: 10, ..list("") });
    loop {
        let page = client.list_examples(request.clone()).await.unwrap().into_inner();
        assert_eq!(page.dataset_revision, 2);
        listed.extend(page.examples);
        if page.next_page_token.is_empty() {
            break;
        }
        // What comes meanwhile is in no later page.
        import(&server, vec![labeled(document("", &format!("late {}", listed.len())), &["war"])]).await;
        request.page_token = page.next_page_token;
    }
    assert_eq!(listed.len(), 46);
    assert!(listed.is_sorted_by(|a, b| a.content_hash < b.content_hash));
    assert!(listed.iter().any(|stored| stored.example.as_ref() == Some(&odd)));

    let of_topic = client.list_examples(list("100 % \"sure\"_!")).await.unwrap().into_inner();
    assert_eq!((of_topic.examples.len(), of_topic.examples[0].example.as_ref()), (1, Some(&odd)));
    for (topic, n) in [("WAR", 0), ("wa", 0), ("%", 0), ("sport", 22)] {
        let page = client.list_examples(list(topic)).await.unwrap().into_inner();
        assert_eq!((page.examples.len(), page.next_page_token.as_str()), (n, ""), "{topic}");
    }

    // What is exported is what files are read from.
    let lines = exported(&server, export(2)).await;
    assert_eq!(lines.lines().count(), 46);
    let path = server.parent.path().join("exported.jsonl");
    std::fs::write(&path, &lines).unwrap();
    let read = topicd::formats::open(&path, None).unwrap().map(Result::unwrap);
    let again: Vec<pb::LabeledDocument> =
        read.map(|example| topicd::api::dataset_response::labeled_document(&example)).collect();
    assert_eq!(again, listed.into_iter().map(|stored| stored.example.unwrap()).collect::<Vec<_>>());
    let war = pb::ExportExamplesRequest { topic: "war".to_owned(), ..export(1) };
    assert_eq!(exported(&server, war).await.lines().count(), 23);

    let newest = dataset(&server, 0).await;
    assert_eq!((newest.revision, newest.document_count, newest.revisions.len()), (6, 50, 6));
    let first = dataset(&server, 1).await;
    assert_eq!((topics(&first), first.revisions.len()), (vec![("sport", 22), ("war", 23)], 1));
    assert_eq!(first.revisions[0].added_count, 45);
}

#[tokio::test]
async fn what_is_asked_for_must_be_there() {
    let server = TestServer::start().await;
    let mut client = server.datasets().await;
    let nowhere = pb::GetDatasetRequest { classifier: "classifiers/nowhere".to_owned(), dataset_revision: 0 };
    assert_error(&client.get_dataset(nowhere).await.unwrap_err(), Code::NotFound, "UNKNOWN_CLASSIFIER");
    // The bundled model has no documents.
    let default =
        |dataset_revision| pb::GetDatasetRequest { classifier: "classifiers/default".to_owned(), dataset_revision };
    let none = client.get_dataset(default(0)).await.unwrap().into_inner().dataset.unwrap();
    assert_eq!((none.revision, none.document_count), (0, 0));
    assert_error(&client.get_dataset(default(1)).await.unwrap_err(), Code::NotFound, "UNKNOWN_REVISION");
    let empty = pb::ListExamplesRequest { classifier: "classifiers/default".to_owned(), ..list("") };
    assert_eq!(client.list_examples(empty).await.unwrap().into_inner(), pb::ListExamplesResponse::default());
    let empty = pb::ExportExamplesRequest { classifier: "classifiers/default".to_owned(), ..export(0) };
    assert_eq!(exported(&server, empty).await, "");

    import(&server, examples(0..4)).await;
    let refusal = client.export_examples(export(2)).await.unwrap_err();
    assert_error(&refusal, Code::NotFound, "UNKNOWN_REVISION");
    assert!(refusal.message().contains("its newest is 1"), "{refusal}");
    let bad = pb::ListExamplesRequest { page_size: 101, page_token: "9".to_owned(), ..list("\n") };
    let refusal = client.list_examples(bad).await.unwrap_err();
    let fields: Vec<String> = violations(&refusal).into_iter().map(|(field, _)| field).collect();
    assert_eq!(fields, ["topic", "page_size", "page_token"]);
}

#[tokio::test]
async fn a_renamed_topic_is_one_revision_and_the_old_ones_stay() {
    let server = TestServer::start().await;
    let mut client = server.datasets().await;
    let both = labeled(document("both", "tanks and strikers"), &["war", "sport", "z"]);
    import(&server, [examples(0..6), vec![both.clone()]].concat()).await;
    let rename = |topic: &str, new_topic: &str, merge| pb::RenameTopicRequest {
        classifier: DESK.to_owned(),
        topic: topic.to_owned(),
        new_topic: new_topic.to_owned(),
        merge,
    };
    let renamed = client.rename_topic(rename("war", "Conflict", false)).await.unwrap().into_inner();
    assert_eq!((renamed.dataset_revision, renamed.document_count), (2, 4));
    assert_eq!(topics(&dataset(&server, 0).await), [("Conflict", 4), ("sport", 4), ("z", 1)]);
    assert_eq!(topics(&dataset(&server, 1).await), [("sport", 4), ("war", 4), ("z", 1)]);

    let refusal = client.rename_topic(rename("sport", "Conflict", false)).await.unwrap_err();
    assert_error(&refusal, Code::FailedPrecondition, "TOPIC_EXISTS");
    let refusal = client.rename_topic(rename("war", "peace", true)).await.unwrap_err();
    assert_error(&refusal, Code::NotFound, "UNKNOWN_TOPIC");
    let merged = client.rename_topic(rename("sport", "Conflict", true)).await.unwrap().into_inner();
    assert_eq!((merged.dataset_revision, merged.document_count), (3, 4));
    let newest = dataset(&server, 0).await;
    assert_eq!((newest.document_count, topics(&newest)), (7, vec![("Conflict", 7), ("z", 1)]));
    let of_both = client.list_examples(list("z")).await.unwrap().into_inner();
    assert_eq!(of_both.examples[0].example.as_ref().unwrap().topics, ["Conflict", "z"]);
    assert_eq!(newest.revisions.iter().map(|one| one.relabeled_count).collect::<Vec<_>>(), [0, 4, 4]);

    let refusal = client.rename_topic(rename("a", "a", false)).await.unwrap_err();
    assert_eq!(violations(&refusal), [("new_topic".to_owned(), "UNCHANGED".to_owned())]);
}

#[tokio::test]
async fn feedback_is_kept_and_trained_on() {
    let server = TestServer::start().await;
    let mut client = server.datasets().await;
    import(&server, examples(0..40)).await;
    let feedback = |examples| pb::SubmitFeedbackRequest { classifier: DESK.to_owned(), examples };
    let mut corrected = examples(0..1);
    corrected[0].topics = vec!["sport".to_owned()];
    corrected.push(labeled(pb::Document { document_id: "new".to_owned(), ..document("", "a new one") }, &["war"]));
    let outcome = client.submit_feedback(feedback(corrected)).await.unwrap().into_inner();
    let intake = outcome.intake.unwrap();
    assert_eq!((outcome.dataset_revision, intake.added_count, intake.relabeled_count), (2, 1, 1));
    let job = server.train(train_request("desk", Vec::new())).await;
    assert_eq!((job.document_count, job.dataset_revision), (41, 2));

    let nameless = labeled(document("", "nobody knows"), &["war"]);
    let refusal = client.submit_feedback(feedback(vec![nameless])).await.unwrap_err();
    assert_eq!(violations(&refusal), [("examples[0].document.document_id".to_owned(), "REQUIRED".to_owned())]);
    let refusal = client.submit_feedback(feedback(Vec::new())).await.unwrap_err();
    assert_eq!(violations(&refusal), [("examples".to_owned(), "REQUIRED".to_owned())]);
}

/// A person asks for an article to be forgotten: no list, export, revision or byte of the data directory has it any more,
/// and which versions learned it is told.
#[tokio::test]
async fn an_erased_document_is_nowhere() {
    let server = TestServer::start().await;
    let mut client = server.datasets().await;
    const SECRET: &str = "the neighbour's name is Rumpelstilzchen";
    let secret = |topic| labeled(document("Revealed", &format!("{SECRET} and he lives next door")), &[topic]);
    let long = "filler that fills pages of the database ".repeat(2000);
    import(&server, [examples(0..60), vec![secret("war")]].concat()).await;
    let job = server.train(train_request("desk", Vec::new())).await;
    // It is in two revisions, and between pages that come and go.
    import(&server, vec![secret("sport"), labeled(document("", &long), &["war"])]).await;
    assert!(in_files(&server, SECRET));

    let all = client.list_examples(list("")).await.unwrap().into_inner().examples;
    let hash_of = |text: &str| {
        let has = |stored: &&pb::StoredExample| {
            stored.example.as_ref().unwrap().document.as_ref().unwrap().text.contains(text)
        };
        all.iter().find(has).unwrap().content_hash.clone()
    };
    let unknown = "0".repeat(64);
    let delete = |content_hashes| pb::DeleteExamplesRequest {
        classifier: DESK.to_owned(),
        content_hashes,
        purge_versions: false,
    };
    let hashes = vec![hash_of(SECRET), unknown.clone(), hash_of("filler")];
    let deleted = client.delete_examples(delete(hashes)).await.unwrap().into_inner();
    assert_eq!((deleted.dataset_revision, deleted.deleted_count), (3, 2));
    assert_eq!(deleted.unknown_content_hashes, [unknown]);
    assert_eq!(deleted.model_versions, std::slice::from_ref(&job.model_version));
    for revision in 1..=3 {
        assert!(!exported(&server, export(revision)).await.contains("Rumpelstilzchen"));
    }
    assert_eq!(dataset(&server, 0).await.revisions[2].deleted_count, 2);

    let compacted = client.compact_storage(pb::CompactStorageRequest {}).await.unwrap().into_inner();
    assert!(compacted.bytes_after < compacted.bytes_before, "{compacted:?}");
    assert!(!in_files(&server, SECRET) && !in_files(&server, "filler that fills"));
    let ask = pb::ClassifyRequest { model: DESK.to_owned(), ..request(document("", "tanks shelled")) };
    assert_eq!(server.client().await.classify(ask).await.unwrap().into_inner().model_version, job.model_version);

    let server = server.restart().await;
    assert!(!in_files(&server, SECRET));
    let again = server.train(train_request("desk", Vec::new())).await;
    assert_eq!((again.document_count, again.state()), (60, pb::training_job::State::Succeeded));
}

/// Whether a file of the data directory holds a text, in its bytes as they are.
fn in_files(server: &TestServer, text: &str) -> bool {
    let files = std::fs::read_dir(server.data_dir()).unwrap();
    files
        .map(|file| std::fs::read(file.unwrap().path()).unwrap())
        .any(|bytes| bytes.windows(text.len()).any(|window| window == text.as_bytes()))
}

#[tokio::test]
async fn nothing_is_erased_by_a_call_that_is_wrong_or_while_a_training_runs() {
    let server = TestServer::start().await;
    let mut client = server.datasets().await;
    import(&server, examples(0..300)).await;
    let delete = |content_hashes| pb::DeleteExamplesRequest {
        classifier: DESK.to_owned(),
        content_hashes,
        purge_versions: false,
    };
    let refusal = client.delete_examples(delete(vec!["0f".to_owned(), "é".repeat(32)])).await.unwrap_err();
    let fields: Vec<String> = violations(&refusal).into_iter().map(|(field, _)| field).collect();
    assert_eq!(fields, ["content_hashes[0]", "content_hashes[1]"]);
    for wrong in [Vec::new(), vec!["0".repeat(64); 1001]] {
        let refusal = client.delete_examples(delete(wrong)).await.unwrap_err();
        assert_eq!(violations(&refusal)[0].0, "content_hashes");
    }
    let none = client.delete_examples(delete(vec!["0".repeat(64)])).await.unwrap().into_inner();
    assert_eq!((none.dataset_revision, none.deleted_count, none.unknown_content_hashes.len()), (1, 0, 1));

    let request = pb::TrainRequest { wait_timeout: None, ..train_request("desk", Vec::new()) };
    let job = server.train(request).await;
    let refusal = client.delete_examples(delete(vec!["0".repeat(64)])).await;
    let watch = pb::CancelTrainingJobRequest { training_job: job.name };
    let job = server.models().await.cancel_training_job(watch).await.unwrap().into_inner().training_job.unwrap();
    // Where the training had ended already, the call was answered.
    if let Err(refusal) = refusal {
        assert_error(&refusal, Code::Aborted, "JOB_RUNNING");
    } else {
        assert_eq!(job.state(), pb::training_job::State::Succeeded);
    }
}

/// What was trained on once can be trained on again, whatever came after.
#[tokio::test]
async fn an_earlier_revision_gives_the_same_model_again() {
    let server = TestServer::start().await;
    let first = server.train(train_request("desk", examples(0..40))).await;
    import(&server, examples(40..60)).await;
    let of_first = pb::TrainRequest { dataset_revision: 1, ..train_request("desk", Vec::new()) };
    let again = server.train(of_first.clone()).await;
    assert_eq!((again.document_count, again.dataset_revision), (40, 1));
    let mut models = server.models().await;
    let mut sha256 = async |job: &pb::TrainingJob| {
        let get = pb::GetModelVersionRequest { model_version: job.model_version.clone() };
        models.get_model_version(get).await.unwrap().into_inner().model_version.unwrap().artifact_sha256
    };
    assert_eq!(sha256(&first).await, sha256(&again).await);

    let mut client = server.client().await;
    let unknown = pb::TrainRequest { dataset_revision: 3, ..of_first.clone() };
    assert_error(&client.train(unknown).await.unwrap_err(), Code::NotFound, "UNKNOWN_REVISION");
    let both = pb::TrainRequest { dataset_revision: 1, ..train_request("desk", examples(0..2)) };
    let refusal = client.train(both).await.unwrap_err();
    assert_eq!(violations(&refusal), [("dataset_revision".to_owned(), "CONFLICT".to_owned())]);
}

/// The same commands on a server and on a data directory say the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_reads_and_changes_datasets_wherever_they_are() {
    let server = TestServer::start().await;
    let directory = tempfile::tempdir().unwrap();
    let rows: String = examples(0..30)
        .into_iter()
        .map(|example| {
            let document = example.document.unwrap();
            let row = serde_json::json!({"title": document.title, "text": document.text, "topics": example.topics});
            row.to_string() + "\n"
        })
        .collect();
    std::fs::write(directory.path().join("rows.jsonl"), rows).unwrap();
    let path = directory.path().to_owned();
    let on = async |place: [&str; 2], arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_topicd"));
        command.arg("dataset").args(arguments).args(place).current_dir(&path);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let address = server.address.to_string();
    let both = async |arguments: &[&str]| {
        let of_server = on(["--server", &address], arguments).await;
        let of_store = on(["--data-dir", "kept"], arguments).await;
        assert_eq!((of_server.0, &of_server.1), (of_store.0, &of_store.1), "{} {}", of_server.2, of_store.2);
        of_server
    };
    let desk = ["--classifier", "desk"];
    let (code, ..) = both(&[&["import", "rows.jsonl"], &desk[..]].concat()).await;
    assert_eq!(code, Some(0));
    let (_, printed, _) = both(&["list"]).await;
    assert_eq!(printed, "classifiers/desk  revision 1  30 documents\n  sport         15\n  war           15\n");
    let (_, printed, _) = both(&[&["rename", "war", "conflict"], &desk[..]].concat()).await;
    assert_eq!(printed, "15 documents of war are of conflict now.\nclassifiers/desk is at revision 2.\n");
    let (code, ..) = both(&[&["rename", "sport", "conflict"], &desk[..]].concat()).await;
    assert_eq!(code, Some(1));
    let (_, printed, _) = both(&[&["rename", "sport", "conflict", "--merge", "--json"], &desk[..]].concat()).await;
    assert_eq!(printed, "{\"revision\":3,\"n_documents\":15}\n");

    let (_, lines, said) = both(&[&["export", "--revision", "2", "--topic", "sport"], &desk[..]].concat()).await;
    assert!(lines.lines().count() == 15 && said.contains("15 documents"), "{said}");
    both(&[&["export", "--out", "out.jsonl"], &desk[..]].concat()).await;
    let written = std::fs::read_to_string(path.join("out.jsonl")).unwrap();
    let (_, lines, _) = both(&[&["export"], &desk[..]].concat()).await;
    assert!(written == lines && lines.lines().count() == 30);
    let (code, ..) = both(&[&["export", "--revision", "9", "--out", "out.jsonl"], &desk[..]].concat()).await;
    assert!(code == Some(1) && std::fs::read_to_string(path.join("out.jsonl")).unwrap() == written);
    assert_eq!(std::fs::read_dir(&path).unwrap().count(), 3, "nothing unfinished is left");

    let document = serde_json::from_str::<serde_json::Value>(lines.lines().next().unwrap()).unwrap();
    let text = |key: &str| document[key].as_str().unwrap_or_default().to_owned();
    let hash = topicd::document::Document::new(text("title"), text("text")).unwrap().content_hash().to_string();
    let unknown = "0".repeat(64);
    let (_, printed, _) = both(&[&["delete", &hash, &unknown], &desk[..]].concat()).await;
    let expected = format!("1 documents are erased; classifiers/desk is at revision 4.\nnot there: {unknown}\n");
    assert_eq!(printed, expected);
    let (code, ..) = both(&[&["delete", "xyz"], &desk[..]].concat()).await;
    assert_eq!(code, Some(2));
    for place in [["--server", &address], ["--data-dir", "kept"]] {
        let (code, printed, said) = on(place, &["compact"]).await;
        assert!(code == Some(0) && printed.contains("bytes now"), "{said}");
    }
    let (_, printed, _) = both(&["list"]).await;
    assert_eq!(printed, "classifiers/desk  revision 4  29 documents\n  conflict         29\n");
}

/// Whoever wants every trace gone gives up the versions that learned it, the one that answers among them.
#[tokio::test]
async fn versions_that_learned_what_is_erased_can_go_too() {
    let server = TestServer::start().await;
    let mut client = server.datasets().await;
    let first = server.train(train_request("desk", examples(0..40))).await;
    let secret = document("", "a secret of the tanks that shelled");
    let second = server.train(train_request("desk", vec![labeled(secret.clone(), &["war"])])).await;
    assert!(second.promoted, "{second:?}");
    let ask = pb::ClassifyRequest { model: DESK.to_owned(), ..request(document("", "tanks shelled")) };
    let answer = async || server.client().await.classify(ask.clone()).await;
    assert_eq!(answer().await.unwrap().into_inner().model_version, second.model_version);

    let hash = |document: &pb::Document| {
        topicd::document::Document::new(document.title.clone(), document.text.clone())
            .unwrap()
            .content_hash()
            .to_string()
    };
    let erase = |document: &pb::Document| pb::DeleteExamplesRequest {
        classifier: DESK.to_owned(),
        content_hashes: vec![hash(document)],
        purge_versions: true,
    };
    let deleted = client.delete_examples(erase(&secret)).await.unwrap().into_inner();
    assert_eq!(
        (deleted.model_versions.len(), &deleted.purged_model_versions),
        (0, &vec![second.model_version.clone()])
    );
    assert_eq!(answer().await.unwrap().into_inner().model_version, first.model_version);
    let get = pb::GetModelVersionRequest { model_version: second.model_version };
    assert_error(&server.models().await.get_model_version(get).await.unwrap_err(), Code::NotFound, "UNKNOWN_VERSION");

    let other = examples(0..1)[0].document.clone().unwrap();
    let deleted = client.delete_examples(erase(&other)).await.unwrap().into_inner();
    assert_eq!(deleted.purged_model_versions, [first.model_version]);
    assert_error(&answer().await.unwrap_err(), Code::FailedPrecondition, "NOTHING_TRAINED");
    let third = server.train(train_request("desk", Vec::new())).await;
    assert_eq!((third.document_count, third.promoted), (39, true));
    assert_eq!(answer().await.unwrap().into_inner().model_version, "classifiers/desk/versions/3");
}
