//! What a training says about its documents: the same to callers and on the command line, and kept.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};
use topicd::api::pb::{self, Scope};

use crate::support::{TestServer, document, labeled, train_request};

fn named(id: &str, text: &str, topic: &str) -> pb::LabeledDocument {
    labeled(pb::Document { document_id: id.to_owned(), ..document("", text) }, &[topic])
}

/// Two topics that can be told apart, no two documents near each other.
fn tidy(i: usize) -> pb::LabeledDocument {
    let (topic, words) = if i.is_multiple_of(2) { ("war", "tanks shelled") } else { ("sport", "striker scored") };
    named(&i.to_string(), &format!("{words} near town t{i} on day d{i} of week w{i}"), topic)
}

fn text(i: usize) -> String {
    tidy(i).document.unwrap_or_default().text
}

/// With a copy, a near one, a near one of another topic, a wrong label, a topic of one document, and nothing to read.
fn untidy() -> Vec<pb::LabeledDocument> {
    let more = [
        tidy(3),
        named("near", &format!("{}, again!", text(5)), "sport"),
        named("conflict", &format!("{}, again!", text(6)), "sport"),
        named("wrong", "tanks shelled, tanks shelled", "sport"),
        named("alone", "unheard of", "science"),
        named("empty", "\u{1F389}", "war"),
    ];
    (0..80).map(tidy).chain(more).collect()
}

/// Issues by kind: how many documents, and each of these with what it is like and what is suspected of it.
type Issues = BTreeMap<String, (u64, Vec<String>)>;

fn of_job(job: &pb::TrainingJob) -> Issues {
    let described = |document: &pb::data_issue::DocumentName| {
        let other = document.other_document.as_ref().map(|other| &other.document_id);
        let mislabel = document.mislabel.as_ref();
        let mislabel =
            mislabel.map(|m| (&m.given_topic, m.given_probability, &m.suggested_topic, m.suggested_probability));
        json!([document.document_id, document.content_hash, other, mislabel]).to_string()
    };
    let issue = |issue: &pb::DataIssue| {
        let kind = issue.kind().as_str_name().trim_start_matches("KIND_").to_lowercase();
        (kind, (issue.document_count, issue.documents.iter().map(described).collect()))
    };
    job.data_issues.iter().map(issue).collect()
}

fn of_report(report: &Value) -> Issues {
    let described = |document: &Value| {
        let mislabel = &document["mislabel"];
        let mislabel = mislabel
            .as_object()
            .map(|m| (&m["given_topic"], &m["given_probability"], &m["suggested_topic"], &m["suggested_probability"]));
        let other = document["other_document"].get("document_id");
        json!([document["document_id"], document["content_hash"], other, mislabel]).to_string()
    };
    let issue = |issue: &Value| {
        let documents = issue["documents"].as_array().unwrap().iter().map(described).collect();
        (issue["kind"].as_str().unwrap().to_owned(), (issue["n_documents"].as_u64().unwrap(), documents))
    };
    report["data_issues"].as_array().unwrap().iter().map(issue).collect()
}

fn train_here(directory: &Path, examples: &[pb::LabeledDocument], args: &[&str]) -> String {
    let row = |example: &pb::LabeledDocument| {
        let document = example.document.clone().unwrap_or_default();
        json!({"id": document.document_id, "text": document.text, "topics": example.topics}).to_string() + "\n"
    };
    std::fs::write(directory.join("rows.jsonl"), examples.iter().map(row).collect::<String>()).unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_topicd"))
        .args(["train", "--data", "rows.jsonl", "--out", "m.topicd"])
        .args(args)
        .current_dir(directory)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn a_job_and_the_command_line_find_the_same_and_it_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let report = train_here(directory.path(), &untidy(), &["--json"]);
    let expected = of_report(&serde_json::from_str(&report).unwrap());
    let documents_of = |kind: &str| expected.get(kind).map_or((0, String::new()), |(n, all)| (*n, all.join(" ")));
    for (kind, n_documents, said) in [
        ("duplicate", 1, &["\"3\""][..]),
        ("no_tokens", 1, &["\"empty\""]),
        ("few_documents", 1, &[]),
        ("near_duplicate", 1, &["\"5\"", "\"near\""]),
        ("conflicting_near_duplicate", 1, &["\"6\"", "\"conflict\""]),
        ("suspected_mislabel", 1, &["\"wrong\"", "\"sport\"", "\"war\""]),
    ] {
        let (n, documents) = documents_of(kind);
        assert_eq!(n, n_documents, "{kind}: {expected:?}");
        assert!(said.iter().all(|said| documents.contains(said)), "{kind}: {documents}");
    }
    assert_eq!(expected.len(), 6, "{expected:?}");

    let server = TestServer::start().await;
    let stored = server.train(train_request("desk", untidy())).await;
    assert_eq!(of_job(&stored), expected);
    let alone = pb::TrainRequest { scope: Scope::SourceOnly.into(), ..train_request("other", untidy()) };
    assert_eq!(of_job(&server.train(alone).await), expected);

    let server = server.restart().await;
    let request = pb::GetTrainingJobRequest { training_job: stored.name };
    let job = server.models().await.get_training_job(request).await.unwrap().into_inner().training_job.unwrap();
    assert_eq!(of_job(&job), expected);
}

#[test]
fn people_read_what_is_wrong_and_all_unlikely_labels_are_written() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let wrong = (1000..1060).step_by(2).map(|i| named(&format!("wrong {i}"), &text(i), "sport"));
    let examples: Vec<pb::LabeledDocument> = (0..400).map(tidy).chain(wrong).collect();
    std::fs::write(directory.join("ranking.jsonl"), "old ".repeat(10_000)).unwrap();
    let table = train_here(directory, &examples, &["--mislabels", "ranking.jsonl"]);
    assert!(table.contains("documents have a label that is probably wrong"), "{table}");
    assert!(table.contains(": not sport (") && table.contains(") but war ("), "{table}");

    let ranking = std::fs::read_to_string(directory.join("ranking.jsonl")).unwrap();
    let ranking: Vec<Value> = ranking.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let is_wrong = |row: &&Value| row["document_id"].as_str().unwrap().starts_with("wrong");
    assert_eq!(ranking.iter().take(30).filter(is_wrong).count(), 30, "{ranking:?}");
    let ratio =
        |row: &Value| row["suggested_probability"].as_f64().unwrap() / row["given_probability"].as_f64().unwrap();
    assert!(ranking.iter().map(ratio).is_sorted_by(|a, b| a >= b) && ranking.iter().all(|row| ratio(row) > 1.0));
    let n_suspected = ranking.iter().take_while(|row| row["is_suspected"] == true).count();
    assert!(table.contains(&format!("{n_suspected} documents have a label")), "{n_suspected}: {table}");
    assert!(ranking[n_suspected..].iter().all(|row| row["is_suspected"] == false));
    assert_eq!(
        [&ranking[0]["topics"], &ranking[0]["given_topic"], &ranking[0]["suggested_topic"]],
        [&json!(["sport"]), &json!("sport"), &json!("war")]
    );
    assert_eq!(ranking[0]["content_hash"].as_str().map(str::len), Some(64));
}
