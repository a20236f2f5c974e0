//! What versions still have of erased documents is told to whoever erases them.

use topicd::api::pb;
use topicd::document::Document;

use crate::server_process::topicd;
use crate::support::{TestServer, copy_directory, document, examples, labeled, model_of, train_request};

const DESK: &str = "classifiers/desk";
/// Told of three documents, one of which has another word, and each of which shares words with others.
const SECRETS: [&str; 3] =
    ["Rumpelstilzchen lives near town 3", "rumpelstilzchen lives, tanks shelled", "a striker is rumpelstilzchen"];

fn secrets() -> Vec<pb::LabeledDocument> {
    SECRETS.iter().map(|text| labeled(document("", text), &["war"])).collect()
}

fn hash(text: &str) -> String {
    Document::new("", text).unwrap().content_hash().to_string()
}

async fn delete(server: &TestServer, texts: &[&str], purge_versions: bool) -> pb::DeleteExamplesResponse {
    let request = pb::DeleteExamplesRequest {
        classifier: DESK.to_owned(),
        content_hashes: texts.iter().map(|text| hash(text)).collect(),
        purge_versions,
    };
    server.datasets().await.delete_examples(request).await.unwrap().into_inner()
}

/// Version 1 has learned the secrets by words, and version 2 by pieces of words too.
async fn server_with_secrets() -> TestServer {
    let server = TestServer::start().await;
    server.train(train_request("desk", [examples(0..40), secrets()].concat())).await;
    let config = Some(pb::TrainingConfig { character_ngrams: true, ..Default::default() });
    let job = server.train(pb::TrainRequest { config, ..train_request("desk", Vec::new()) }).await;
    assert_eq!(job.model_version, model_of("2"));
    server
}

#[tokio::test]
async fn words_are_told_that_no_other_document_has() {
    let server = server_with_secrets().await;
    // The others still have its words.
    let first = delete(&server, &SECRETS[..1], false).await;
    assert_eq!((first.deleted_count, first.model_versions.len()), (1, 2));
    assert_eq!(first.learned_terms, []);

    // Somebody else's article has one of the words.
    server.train(train_request("desk", vec![labeled(document("", "who lives, who is a striker"), &["sport"])])).await;
    let last = delete(&server, &SECRETS[1..], false).await;
    assert_eq!((last.deleted_count, &last.model_versions), (2, &["3", "2", "1"].map(model_of).to_vec()));
    let told: Vec<_> = last.learned_terms.iter().map(|of| (of.model_version.clone(), of.terms.len() as u64)).collect();
    assert_eq!(told.iter().map(|(version, _)| version.clone()).collect::<Vec<_>>(), ["3", "2", "1"].map(model_of));
    assert!(last.learned_terms.iter().all(|of| of.term_count == of.terms.len() as u64), "{told:?}");
    let [of_third, of_second, of_first] = last.learned_terms.try_into().unwrap();
    // The pair was in two documents when version 1 was trained, and in one when version 3 was.
    assert_eq!(of_first.terms, ["rumpelstilzchen", "rumpelstilzchen lives"]);
    assert_eq!(of_third.terms, ["rumpelstilzchen"]);
    let pieces: Vec<&String> = of_second.terms.iter().filter(|term| term.contains('*')).collect();
    assert_eq!((pieces.len(), of_second.terms.len()), ("rumpelstilzchen".len() - 2, pieces.len() + 2));
    assert!(of_second.terms.is_sorted() && of_second.terms.contains(&"*tilzc*".to_owned()), "{of_second:?}");

    // What was erased before isn't known any more.
    let again = delete(&server, &SECRETS, false).await;
    assert_eq!((again.deleted_count, again.model_versions.len(), again.learned_terms.len()), (0, 3, 0));
}

#[tokio::test]
async fn versions_that_go_have_nothing_and_long_lists_are_counted() {
    let server = server_with_secrets().await;
    let purged = delete(&server, &SECRETS[2..], true).await;
    assert_eq!((purged.purged_model_versions.len(), purged.learned_terms.len()), (2, 0));

    let long: Vec<String> = (0..1500).map(|n| format!("w{n:04}")).collect();
    let long = long.join(" ");
    server.train(train_request("desk", vec![labeled(document("", &long), &["war"])])).await;
    let [of_third] = delete(&server, &[&long], false).await.learned_terms.try_into().unwrap();
    assert_eq!((of_third.term_count, of_third.terms.len()), (1500, 1000));
    assert_eq!([&of_third.terms[0], &of_third.terms[999]], ["w0000", "w0999"]);
}

/// A damaged file is no reason to keep what a person wants to be forgotten.
#[tokio::test]
async fn what_a_damaged_version_has_cannot_be_told_and_its_documents_go() {
    let server = server_with_secrets().await;
    let path = server.data_dir().join("topicd.db");
    let damage = async {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
        let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
        let sql = "UPDATE artifacts SET content = x'00' WHERE sha256 = \
                   (SELECT artifact_sha256 FROM versions WHERE classifier = 'desk' AND number = 1)";
        sqlx::query(sql).execute(&pool).await.unwrap();
        pool.close().await;
    };
    let server = server.restart_after(damage).await;
    let deleted = delete(&server, &SECRETS, false).await;
    assert_eq!((deleted.deleted_count, deleted.model_versions.len()), (3, 2));
    let told: Vec<&str> = deleted.learned_terms.iter().map(|of| of.model_version.as_str()).collect();
    assert_eq!(told, [model_of("2")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_tells_them_wherever_the_documents_are() {
    let server = server_with_secrets().await;
    let directory = tempfile::tempdir().unwrap();
    let (data_dir, here) = (server.data_dir(), directory.path().join("here"));
    let server = server.restart_after(async { copy_directory(&data_dir, &here) }).await;
    let address = server.address.to_string();
    let both = |arguments: &[&str]| {
        let on = |place: [&str; 2]| {
            let arguments = [&["dataset", "delete", "--classifier", "desk"], arguments, &place[..]].concat();
            let output = topicd(directory.path(), &arguments);
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stdout).unwrap()
        };
        let printed = on(["--server", &address]);
        assert_eq!(printed, on(["--data-dir", "here"]));
        printed
    };
    let printed = both(&[&hash(SECRETS[2]), &hash(SECRETS[1])]);
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines[0], "2 documents are erased; classifiers/desk is at revision 2.");
    assert_eq!(lines[1], "trained on some of them: classifiers/desk/versions/2, classifiers/desk/versions/1");
    assert_eq!(lines.len(), 4, "{printed}");
    assert_eq!(lines[3], "classifiers/desk/versions/1 has 2 terms that only they had: a, is");
    let printed = both(&["--json", &hash(SECRETS[0])]);
    let json: serde_json::Value = serde_json::from_str(&printed).unwrap();
    let of_second = &json["learned_terms"][0];
    assert_eq!((&of_second["model_version"], &of_second["n_terms"]), (&model_of("2").into(), &16.into()));
    assert_eq!(
        json["learned_terms"][1]["terms"],
        serde_json::json!(["lives", "rumpelstilzchen", "rumpelstilzchen lives"])
    );
}
