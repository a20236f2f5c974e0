//! Labelled documents that are kept for good: imported, listed, relabelled, trained on, and whole after every crash.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use topicd::document::{ContentHash, Date, Document, DocumentWeight, LabeledDocument, Split, Topic};
use topicd::names::ClassifierName;
use topicd::store::{DataDir, Store, StoreError};

fn topicd(directory: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_topicd"))
        .args(args)
        .current_dir(directory)
        .env_remove("TOPICD_DATA_DIR")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// What a command that must succeed prints, a JSON object a line.
#[track_caller]
fn json_lines(directory: &Path, args: &[&str]) -> Vec<Value> {
    let output = topicd(directory, args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What a command that must fail says.
#[track_caller]
fn failure(directory: &Path, args: &[&str]) -> String {
    let output = topicd(directory, args);
    assert_eq!(output.status.code(), Some(1), "{args:?}: {}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr).unwrap()
}

#[track_caller]
fn import(directory: &Path, file: &str) -> Value {
    json_lines(directory, &["dataset", "import", file, "--data-dir", "data", "--json"]).remove(0)
}

fn list(directory: &Path) -> Vec<Value> {
    json_lines(directory, &["dataset", "list", "--data-dir", "data", "--json"])
}

/// Rows of two topics that a model can tell apart.
fn rows(numbers: std::ops::Range<usize>) -> String {
    let row = |i: usize| {
        let (topic, words) = if i.is_multiple_of(2) { ("war", "tanks shelled") } else { ("sport", "striker scored") };
        format!(r#"{{"id":"{i}","title":"report {i}","text":"{words} near town {}","topics":["{topic}"]}}"#, i % 7)
    };
    numbers.map(|i| row(i) + "\n").collect()
}

async fn open(data_dir: &Path) -> Store {
    Store::open(DataDir::lock(data_dir).unwrap()).await.unwrap()
}

async fn read(store: &Store, revision: Option<u32>) -> Vec<LabeledDocument> {
    let mut examples = store.examples(&ClassifierName::default(), revision).await.unwrap();
    let mut all = Vec::new();
    loop {
        let batch = examples.next_batch().await.unwrap();
        if batch.is_empty() {
            return all;
        }
        all.extend(batch);
    }
}

fn example(title: &str, text: &str, topics: &[&str]) -> LabeledDocument {
    let topics = topics.iter().map(|topic| Topic::new(topic).unwrap()).collect();
    LabeledDocument::new(Document::new(title, text).unwrap(), topics)
}

fn sorted(mut examples: Vec<LabeledDocument>) -> Vec<LabeledDocument> {
    examples.sort_by_key(|example| example.document.content_hash());
    examples
}

#[tokio::test]
async fn imports_become_revisions_that_stay_readable() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let write = |name: &str, text: &str| std::fs::write(directory.join(name), text).unwrap();
    write("first.jsonl", &(rows(0..1200) + &rows(0..3)));
    let relabelled = rows(0..2).replace("war", "conflict").replace("sport", "football");
    write("second.jsonl", &(relabelled + &rows(1200..1201) + &rows(2..4)));

    let outcome = import(directory, "first.jsonl");
    let expected = json!({"classifier": "default", "revision": 1, "n_given": 1203, "n_added": 1200,
        "n_relabelled": 0, "n_unchanged": 0, "n_skipped_rows": 0});
    assert_eq!(outcome, expected);
    let again = import(directory, "first.jsonl");
    assert_eq!((&again["revision"], &again["n_unchanged"], &again["n_added"]), (&json!(1), &json!(1200), &json!(0)));
    let outcome = import(directory, "second.jsonl");
    let expected = json!({"classifier": "default", "revision": 2, "n_given": 5, "n_added": 1,
        "n_relabelled": 2, "n_unchanged": 2, "n_skipped_rows": 0});
    assert_eq!(outcome, expected);

    let dataset = &list(directory)[0];
    assert_eq!((&dataset["classifier"], &dataset["n_documents"]), (&json!("default"), &json!(1201)));
    let counts = [("conflict", 1), ("football", 1), ("sport", 599), ("war", 600)];
    assert_eq!(dataset["topics"], json!(counts.map(|(topic, n)| json!({"topic": topic, "n_documents": n}))));
    let revisions = dataset["revisions"].as_array().unwrap();
    assert_eq!((revisions.len(), &revisions[1]["n_relabelled"]), (2, &json!(2)));
    assert!(revisions[0]["created_at_ms"].as_u64() <= revisions[1]["created_at_ms"].as_u64());

    let store = open(&directory.join("data")).await;
    let (old, new) = (read(&store, Some(1)).await, read(&store, None).await);
    assert_eq!((old.len(), new.len()), (1200, 1201));
    let expected: Vec<_> = (0..1200).map(|i| i.to_string()).collect();
    let mut ids: Vec<_> = old.iter().map(|example| example.document.id.clone()).collect();
    ids.sort_by_key(|id| id.parse::<usize>().unwrap());
    assert_eq!(ids, expected);
    assert!(old.iter().all(|example| ["war", "sport"].contains(&example.topics()[0].as_str())));
    assert_eq!(new.iter().filter(|example| example.topics()[0].as_str() == "conflict").count(), 1);
    let hashes: Vec<ContentHash> = new.iter().map(|example| example.document.content_hash()).collect();
    assert!(hashes.is_sorted());
}

#[tokio::test]
async fn what_went_in_comes_out() {
    let directory = tempfile::tempdir().unwrap();
    let mut all = example("Tïtle \"quoted\"", "naïve\r\n\ttext 🗞", &["zebra", "a \"b\"", "é", "a,b"]);
    all.document.id = "id with ' and \u{1F600}".to_owned();
    all.document.date = Date::parse("2024-02-29");
    all.document.url = "https://example.org/?a=b&c=%20".to_owned();
    let long = example("long", &"x".repeat(5 << 20), &["a"]);
    let given = vec![
        all.with_split(Some(Split::HeldOut)).with_weight(DocumentWeight::new(0.3).unwrap()),
        example("only a title", "", &[]).with_split(Some(Split::Training)),
        example("", " \0 ", &["a"]),
        long,
    ];
    let store = open(directory.path()).await;
    let mut import = store.begin_import(&ClassifierName::default()).await.unwrap();
    import.stage(&given).await.unwrap();
    assert_eq!(import.publish().await.unwrap().n_added, 4);
    assert_eq!(read(&store, None).await, sorted(given.clone()));
    drop(store);
    assert_eq!(read(&open(directory.path()).await, None).await, sorted(given));
}

#[tokio::test]
async fn the_last_label_of_an_import_counts_wherever_it_stands() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    let name = ClassifierName::default();
    let mut import = store.begin_import(&name).await.unwrap();
    import.stage(&[example("a", "", &["x"]), example("a", "", &["y"]), example("b", "", &["x"])]).await.unwrap();
    import.stage(&[example("b", "", &["z"])]).await.unwrap();
    let outcome = import.publish().await.unwrap();
    assert_eq!((outcome.n_given, outcome.n_added), (4, 2));
    assert_eq!(read(&store, None).await, sorted(vec![example("a", "", &["y"]), example("b", "", &["z"])]));
}

#[tokio::test]
async fn a_split_is_kept_until_another_one_is_given() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    let import = async |examples: &[LabeledDocument]| {
        let mut import = store.begin_import(&ClassifierName::default()).await.unwrap();
        import.stage(examples).await.unwrap();
        let outcome = import.publish().await.unwrap();
        (outcome.revision, outcome.n_added, outcome.n_relabelled, outcome.n_unchanged)
    };
    let (training, held_out) = (Some(Split::Training), Some(Split::HeldOut));
    let of = |text, topic, split| example(text, "", &[topic]).with_split(split);
    let first = [of("a", "x", held_out), of("b", "x", training), of("c", "x", None)];
    assert_eq!(import(&first).await, (1, 3, 0, 0));
    // Without a split: the same topics change nothing, other topics leave the split as it is.
    assert_eq!(import(&first.clone().map(|example| example.with_split(None))).await, (1, 0, 0, 3));
    assert_eq!(import(&first).await, (1, 0, 0, 3));
    assert_eq!(import(&[of("a", "y", None)]).await, (2, 0, 1, 0));
    // With another one it is a change, also where the topics are the same.
    assert_eq!(import(&[of("b", "x", held_out), of("c", "x", training), of("a", "y", held_out)]).await, (3, 0, 2, 1));
    // Given more than once at a time, a document is held out if any copy says so, in one batch or in several.
    let copies = [of("d", "x", held_out), of("d", "z", training), of("c", "x", None), of("c", "x", held_out)];
    assert_eq!(import(&copies).await, (4, 1, 1, 0));
    let mut several = store.begin_import(&ClassifierName::default()).await.unwrap();
    several.stage(&[of("e", "x", held_out)]).await.unwrap();
    several.stage(&[of("e", "x", training)]).await.unwrap();
    several.publish().await.unwrap();
    let newest = [
        of("a", "y", held_out),
        of("b", "x", held_out),
        of("c", "x", held_out),
        of("d", "z", held_out),
        of("e", "x", held_out),
    ];
    assert_eq!(read(&store, None).await, sorted(newest.into()));
    assert_eq!(read(&store, Some(1)).await, sorted(first.into()));
    let third = [of("a", "y", held_out), of("b", "x", held_out), of("c", "x", training)];
    assert_eq!(read(&store, Some(3)).await, sorted(third.into()));
}

/// A weight is a part of the label: the last one counts, and none is the usual one.
#[tokio::test]
async fn another_weight_is_a_change() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    let import = async |weight: f32| {
        let given = example("a", "", &["x"]).with_weight(DocumentWeight::new(weight).unwrap());
        let mut import = store.begin_import(&ClassifierName::default()).await.unwrap();
        import.stage(std::slice::from_ref(&given)).await.unwrap();
        let outcome = import.publish().await.unwrap();
        assert_eq!(read(&store, None).await, [given]);
        (outcome.revision, outcome.n_relabelled, outcome.n_unchanged)
    };
    assert_eq!(import(0.3).await, (1, 0, 0));
    assert_eq!(import(0.3).await, (1, 0, 1));
    assert_eq!(import(1.0).await, (2, 1, 0));
}

#[tokio::test]
async fn imports_at_the_same_time_are_published_one_after_the_other() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    let name = ClassifierName::default();
    let (mut first, mut second) = (store.begin_import(&name).await.unwrap(), store.begin_import(&name).await.unwrap());
    first.stage(&[example("a", "", &["x"]), example("b", "", &["x"])]).await.unwrap();
    second.stage(&[example("a", "", &["y"]), example("c", "", &["y"])]).await.unwrap();
    assert!(matches!(store.examples(&name, None).await, Err(StoreError::UnknownClassifier(_))));
    assert!(store.datasets().await.unwrap().is_empty());
    assert_eq!(second.publish().await.unwrap().revision, 1);
    let outcome = first.publish().await.unwrap();
    assert_eq!((outcome.revision, outcome.n_added, outcome.n_relabelled), (2, 1, 1));
    let third = store.begin_import(&name).await.unwrap();
    assert_eq!(third.publish().await.unwrap().revision, 2);
    let refusal = store.examples(&name, Some(3)).await.unwrap_err();
    assert!(matches!(refusal, StoreError::UnknownRevision { revision: 3, newest: 2, .. }), "{refusal}");
    let newest = [example("a", "", &["x"]), example("b", "", &["x"]), example("c", "", &["y"])];
    assert_eq!(read(&store, Some(2)).await, sorted(newest.into()));
    assert_eq!(read(&store, Some(1)).await.len(), 2);
}

#[tokio::test]
async fn an_import_that_is_dropped_or_discarded_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    let name = ClassifierName::default();
    for discard in [true, false] {
        let mut import = store.begin_import(&name).await.unwrap();
        import.stage(&[example("secret", "", &["x"])]).await.unwrap();
        if discard {
            import.discard().await.unwrap();
        }
    }
    drop(store);
    let store = open(directory.path()).await;
    let mut import = store.begin_import(&name).await.unwrap();
    import.stage(&[example("other", "", &["x"])]).await.unwrap();
    assert_eq!(import.publish().await.unwrap().n_added, 1);
    assert_eq!(read(&store, None).await, [example("other", "", &["x"])]);
}

#[test]
fn a_killed_import_leaves_all_or_nothing() {
    const DOCUMENTS: usize = 20_000;
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    std::fs::write(directory.join("rows.jsonl"), rows(0..DOCUMENTS)).unwrap();
    let import_into = |data_dir: &str| {
        let args = ["dataset", "import", "rows.jsonl", "--json", "--data-dir", data_dir];
        let mut command = Command::new(env!("CARGO_BIN_EXE_topicd"));
        command.args(args).current_dir(directory).stdout(Stdio::piped()).stderr(Stdio::null());
        command.spawn().unwrap()
    };
    let start = Instant::now();
    assert!(import_into("measured").wait().unwrap().success());
    let whole = start.elapsed();

    let (mut n_before, mut n_killed) = (0, 0);
    let nanoseconds = || std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().subsec_nanos();
    for round in 0..6 {
        // Somewhere in each sixth of an import.
        let fraction = (f64::from(round) + f64::from(nanoseconds() % 1000) / 1000.0) / 6.0;
        let mut child = import_into("data");
        std::thread::sleep(whole.mul_f64(fraction).max(Duration::from_millis(1)));
        child.kill().unwrap();
        let output = child.wait_with_output().unwrap();
        n_killed += usize::from(!output.status.success());
        let acknowledged = !output.stdout.is_empty();
        let n_after = match list_if_any(directory) {
            None => 0,
            Some(datasets) => datasets.first().map_or(0, |dataset| dataset["n_documents"].as_u64().unwrap() as usize),
        };
        assert!([0, DOCUMENTS].contains(&n_after), "round {round}: {n_after}");
        assert!(n_after == DOCUMENTS || (!acknowledged && n_before == 0), "round {round}: lost what was there");
        n_before = n_after;
    }
    assert!(n_killed > 0, "no import was killed");
    let outcome = import(directory, "rows.jsonl");
    assert_eq!(outcome["revision"], 1, "{outcome}");
    assert_eq!(list(directory)[0]["n_documents"], DOCUMENTS);
}

/// The datasets, or none if the import was killed before there was a database.
fn list_if_any(directory: &Path) -> Option<Vec<Value>> {
    directory.join("data/topicd.db").exists().then(|| list(directory))
}

#[test]
fn a_strict_import_with_a_bad_row_imports_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    std::fs::write(directory.join("rows.jsonl"), rows(0..700) + "{\"title\": 7}\n" + &rows(700..701)).unwrap();
    let strict = failure(directory, &["dataset", "import", "rows.jsonl", "--data-dir", "data", "--strict"]);
    assert!(strict.contains("rows.jsonl:701:"), "{strict}");
    assert!(list(directory).is_empty());
    let missing = failure(directory, &["dataset", "import", "rows.jsonl", "none.jsonl", "--data-dir", "data"]);
    assert!(missing.contains("none.jsonl"), "{missing}");
    assert!(list(directory).is_empty());
    let outcome = import(directory, "rows.jsonl");
    assert_eq!((&outcome["n_added"], &outcome["n_skipped_rows"]), (&json!(701), &json!(1)));
}

#[test]
fn training_from_the_store_and_from_files_gives_the_same_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let write = |name: &str, text: String| std::fs::write(directory.join(name), text).unwrap();
    write("a.jsonl", rows(0..50));
    // The same text under another topic: the later one counts, in files as in the store.
    write("b.jsonl", rows(40..80) + &rows(0..1).replace("war", "sport"));
    let train = |source: &[&str], out: &str| {
        let report = json_lines(directory, &[&["train"], source, &["--out", out, "--json"]].concat()).remove(0);
        (std::fs::read(directory.join(out)).unwrap(), report)
    };
    let (first, _) = train(&["--data", "a.jsonl"], "first.topicd");
    let (both, _) = train(&["--data", "a.jsonl", "b.jsonl"], "both.topicd");
    for file in ["a.jsonl", "b.jsonl"] {
        let args = ["dataset", "import", file, "--data-dir", "data", "--classifier", "desk", "--json"];
        assert_eq!(json_lines(directory, &args)[0]["classifier"], "desk");
    }
    let (stored, report) = train(&["--data-dir", "data", "--classifier", "desk"], "stored.topicd");
    assert_eq!(report["intake"]["n_given"], 80);
    assert!(stored == both, "the stored documents gave other bytes");
    let (stored, _) = train(&["--data-dir", "data", "--classifier", "desk", "--revision", "1"], "old.topicd");
    assert!(stored == first, "the first revision gave other bytes");
}

/// Held-out documents on the command line: from files and from the store, with a split or by a share, verified.
#[test]
fn held_out_documents_are_told_measured_on_and_verified() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let write = |name: &str, text: String| std::fs::write(directory.join(name), text).unwrap();
    write("train.jsonl", rows(0..60));
    write("test.jsonl", rows(60..80).replace("\"id\"", "\"split\":\"test\",\"id\""));
    let train = |args: &[&str]| json_lines(directory, &[&["train", "--json"], args].concat()).remove(0);
    let report = train(&["--data", "train.jsonl", "test.jsonl", "--out", "files.topicd"]);
    let evaluation = &report["evaluation"];
    assert_eq!((&evaluation["source"], &evaluation["n_documents"]), (&json!("held_out"), &json!(20)));
    assert_eq!((&report["n_training_documents"], &report["n_held_out"]), (&json!(60), &json!(20)));

    for file in ["test.jsonl", "train.jsonl"] {
        import(directory, file);
    }
    train(&["--classifier", "default", "--data-dir", "data", "--out", "stored.topicd"]);
    let bytes = |file: &str| std::fs::read(directory.join(file)).unwrap();
    assert!(bytes("stored.topicd") == bytes("files.topicd"), "the stored documents gave other bytes");

    let shared =
        topicd(directory, &["train", "--data", "train.jsonl", "--held-out-share", "0.25", "--out", "share.topicd"]);
    let shown = String::from_utf8(shared.stdout).unwrap();
    assert!(shown.starts_with("Evaluation on the held-out documents"), "{shown}");
    let verify =
        |model: &str, data: &[&str]| topicd(directory, &[&["verify", "--model", model, "--data"], data].concat());
    for (model, data) in [("files.topicd", &["train.jsonl", "test.jsonl"][..]), ("share.topicd", &["train.jsonl"])] {
        let same = verify(model, data);
        assert!(same.status.success(), "{same:?}");
    }
    let other = verify("files.topicd", &["train.jsonl"]);
    let said = String::from_utf8(other.stderr).unwrap();
    assert!(said.contains("beside them 20 were held out, and here 0 are"), "{said}");
    let half = topicd(directory, &["train", "--data", "train.jsonl", "--held-out-share", "0.6", "--out", "m"]);
    assert_eq!(half.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&half.stderr).contains("from 0 to 0.5"), "{half:?}");
}

#[test]
fn wrong_usage_says_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    std::fs::write(directory.join("rows.jsonl"), rows(0..10)).unwrap();
    for (args, code, said) in [
        (&["train", "--out", "m"][..], 2, "--classifier"),
        (&["train", "--out", "m", "--data", "rows.jsonl", "--classifier", "default"], 2, "cannot be used with"),
        (&["train", "--out", "m", "--data", "rows.jsonl", "--revision", "1"], 2, "cannot be used with"),
        (&["train", "--out", "m", "--classifier", "Desk"], 2, "a-z"),
        (&["train", "--out", "m", "--data", "x.jsonl", "--data-dir", "none"], 2, "--data-dir"),
        (&["train", "--out", "m", "--classifier", "default", "--data-dir", "none"], 1, "none holds no datasets"),
        (&["dataset", "list", "--data-dir", "none"], 1, "topicd dataset import"),
        (&["dataset", "import", "--data-dir", "none"], 2, "FILE"),
    ] {
        let output = topicd(directory, args);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {stderr}");
        assert!(stderr.contains(said), "{args:?}: {stderr}");
    }
    assert!(!directory.join("none").exists());
    import(directory, "rows.jsonl");
    let unknown = failure(directory, &["train", "--out", "m", "--classifier", "desk", "--data-dir", "data"]);
    assert!(unknown.contains("classifiers/desk has no stored documents"), "{unknown}");
}

#[test]
fn a_directory_in_use_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("rows.jsonl"), rows(0..10)).unwrap();
    import(directory.path(), "rows.jsonl");
    let _owner = DataDir::lock(&directory.path().join("data")).unwrap();
    for args in [&["dataset", "list"][..], &["dataset", "import", "rows.jsonl"]] {
        let refusal = failure(directory.path(), &[args, &["--data-dir", "data"]].concat());
        assert!(refusal.contains("in use by another topicd process"), "{refusal}");
    }
}
