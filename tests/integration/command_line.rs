//! The program as people and scripts use it: what it prints, where, and how it exits.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

const ARTICLES: [&str; 3] = ["peace-talks.txt", "cup-final.txt", "quarterly-results.txt"];

fn topicd(directory: &Path, args: &[&str]) -> Output {
    topicd_reading(directory, args, b"")
}

fn topicd_reading(directory: &Path, args: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_topicd"))
        .args(args)
        .current_dir(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that has failed already doesn't read: its output tells why.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

fn articles() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/articles"))
}

fn json_lines(output: &Output) -> Vec<Value> {
    assert!(output.status.success(), "{}", stderr(output));
    String::from_utf8_lossy(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Rows of two topics that a model can tell apart.
fn labelled_rows(n: usize) -> String {
    let row = |i: usize| {
        let (topic, words) = if i.is_multiple_of(2) { ("war", "tanks shelled") } else { ("sport", "striker scored") };
        format!(r#"{{"id":"{i}","title":"report {i}","text":"{words} near town {}","topics":["{topic}"]}}"#, i % 7)
    };
    (0..n).map(|i| row(i) + "\n").collect()
}

#[test]
fn articles_are_classified_in_the_order_given() {
    let answers = json_lines(&topicd(articles(), &[&["classify", "--json"], &ARTICLES[..]].concat()));
    let first = |answer: &Value| answer["topics"][0]["topic"].as_str().unwrap().to_owned();
    assert_eq!(answers.iter().map(first).collect::<Vec<_>>(), ["diplomacy", "sports", "business"]);
    assert_eq!(answers[0]["documentId"], "peace-talks.txt");
    assert_eq!(answers[0]["modelVersion"], "classifiers/default/versions/1");
    assert_eq!(answers[0]["topics"].as_array().unwrap().len(), 10);
    assert_eq!(answers[0]["topics"][0]["assigned"], true);

    let table = topicd(articles(), &["classify", "--top-k", "2", "peace-talks.txt"]);
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(table.starts_with("peace-talks.txt: diplomacy\n") && table.contains("conflict"), "{table}");
}

#[test]
fn standard_input_is_an_article_unless_told_otherwise() {
    let article = std::fs::read(articles().join(ARTICLES[1])).unwrap();
    let answers = json_lines(&topicd_reading(articles(), &["classify", "--json", "-"], &article));
    assert_eq!(answers[0]["topics"][0]["topic"], "sports");
    let rows = br#"{"id":"a","text":"The striker scored twice in the cup final."}
{"id":"b","text":"The central bank raised interest rates."}"#;
    let answers = json_lines(&topicd_reading(articles(), &["classify", "--json", "--format", "jsonl", "-"], rows));
    assert_eq!([&answers[0]["documentId"], &answers[1]["documentId"]], ["a", "b"]);
    assert_eq!(answers[1]["topics"][0]["topic"], "business");
}

#[test]
fn a_model_is_trained_measured_and_used() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    std::fs::write(directory.join("train.jsonl"), labelled_rows(60)).unwrap();
    std::fs::write(directory.join("test.csv"), "text,topic\ntanks shelled again,war\nscored,sport\nscored,war\n")
        .unwrap();

    let report = &json_lines(&topicd(directory, &["train", "--data", "train.jsonl", "--out", "m.topicd", "--json"]))[0];
    assert_eq!(report["evaluation"]["accuracy"], 1.0);
    assert_eq!(report["intake"]["n_given"], 60);
    let again = topicd(directory, &["train", "--data", "train.jsonl", "--out", "again.topicd"]);
    assert!(String::from_utf8_lossy(&again.stdout).contains("accuracy"), "{}", stderr(&again));
    let bytes = |name: &str| std::fs::read(directory.join(name)).unwrap();
    assert!(bytes("m.topicd") == bytes("again.topicd"), "the same documents gave other bytes");

    let evaluate = ["evaluate", "--model", "m.topicd", "--data", "test.csv", "--json"];
    let evaluation = &json_lines(&topicd(directory, &evaluate))[0];
    assert_eq!(evaluation["n_documents"], 3);
    for key in ["accuracy", "micro_f1", "macro_f1", "log_loss", "expected_calibration_error"] {
        assert!(evaluation[key].is_f64(), "{key}: {evaluation}");
    }
    assert!((evaluation["accuracy"].as_f64().unwrap() - 2.0 / 3.0).abs() < 1e-12);

    let answers = json_lines(&topicd(directory, &["classify", "--model", "m.topicd", "--json", "test.csv"]));
    assert_eq!(answers.len(), 3);
    assert_eq!(answers[0]["topics"][0]["topic"], "war");
}

#[test]
fn two_models_are_compared() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    std::fs::write(directory.join("good.jsonl"), labelled_rows(60)).unwrap();
    // The same, with a third topic that takes what is of war near town 3.
    let third = labelled_rows(60).replace(r#"near town 3","topics":["war"]"#, r#"near town 3","topics":["siege"]"#);
    std::fs::write(directory.join("third.jsonl"), third).unwrap();
    for name in ["good", "third"] {
        let (data, out) = (format!("{name}.jsonl"), format!("{name}.topicd"));
        json_lines(&topicd(directory, &["train", "--data", &data, "--out", &out, "--json"]));
    }
    std::fs::write(directory.join("test.jsonl"), labelled_rows(100) + "{\"text\":\"x\"}\n").unwrap();
    let compare = ["compare", "good.topicd", "third.topicd", "--data", "test.jsonl"];
    let output = topicd(directory, &[&compare[..], &["--json", "--show", "3"]].concat());
    let report = &json_lines(&output)[0];
    assert!(stderr(&output).contains("left out 1 doc"), "{}", stderr(&output));
    let n_lost = report["n_only_first_right"].as_u64().unwrap();
    assert!(n_lost > 5 && report["n_only_second_right"] == 0 && report["n_differing"] == n_lost, "{report}");
    assert!((report["p_value"].as_f64().unwrap() - 2f64.powi(1 - n_lost as i32)).abs() < 1e-12, "{report}");
    assert_eq!(report["first"]["accuracy"], 1.0);
    assert_eq!(report["topics"][0]["topic"], "siege");
    let shown = report["differing_documents"].as_array().unwrap();
    assert_eq!((shown.len(), &shown[0]["labels"][0], &shown[0]["second"][0]), (3, &"war".into(), &"siege".into()));
    // Each model's numbers are those that it has alone.
    for (model, metrics) in [("good.topicd", &report["first"]), ("third.topicd", &report["second"])] {
        let alone =
            &json_lines(&topicd(directory, &["evaluate", "--model", model, "--data", "test.jsonl", "--json"]))[0];
        for metric in ["accuracy", "micro_f1", "macro_f1"] {
            assert_eq!(alone[metric], metrics[metric], "{model} {metric}");
        }
    }

    let output = topicd(directory, &compare);
    let table = String::from_utf8(output.stdout).unwrap();
    for said in ["100       documents  good.topicd", "good.topicd is better", "largest losses", "report 10", "label"] {
        assert!(table.contains(said), "{said}: {table}");
    }
    let same = topicd(directory, &["compare", "good.topicd", "good.topicd", "--data", "test.jsonl"]);
    assert!(String::from_utf8_lossy(&same.stdout).contains("Both get the same documents right"), "{}", stderr(&same));
}

#[test]
fn a_model_is_verified_by_training_again() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    std::fs::write(directory.join("rows.jsonl"), labelled_rows(60)).unwrap();
    std::fs::write(directory.join("fewer.jsonl"), labelled_rows(58)).unwrap();
    let train = ["train", "--data", "rows.jsonl", "--out", "m.topicd", "--json", "--seed", "7", "--max-features", "20"];
    json_lines(&topicd(directory, &train));
    let same = topicd(directory, &["verify", "--model", "m.topicd", "--data", "rows.jsonl"]);
    assert!(String::from_utf8_lossy(&same.stdout).starts_with("The same: "), "{}", stderr(&same));
    assert_eq!((same.status.code(), stderr(&same).as_str()), (Some(0), ""));
    let other = topicd(directory, &["verify", "--model", "m.topicd", "--data", "fewer.jsonl"]);
    assert_eq!((other.status.code(), other.stdout.as_slice()), (Some(1), &b""[..]));
    let said = stderr(&other);
    assert!(said.contains("documents are others") && said.contains("on 60 with") && said.contains("58"), "{said}");
}

#[test]
fn a_topic_is_described() {
    let table = String::from_utf8(topicd(articles(), &["topic", "sports", "--max-terms", "3"]).stdout).unwrap();
    for said in ["sports: ", "precision", "█", "░", "without any", "most often confused with"] {
        assert!(table.contains(said), "{said}: {table}");
    }
    let description = &json_lines(&topicd(articles(), &["topic", "sports", "--json"]))[0];
    assert_eq!((description["topic"].as_str(), description["threshold"].is_null()), (Some("sports"), true));
    for side in ["terms_for", "terms_against"] {
        assert_eq!(description[side].as_array().unwrap().len(), 20);
    }
    let unknown = topicd(articles(), &["topic", "sport"]);
    assert!(
        unknown.status.code() == Some(1) && stderr(&unknown).contains("did you mean sports"),
        "{}",
        stderr(&unknown)
    );
    let unknown = topicd(articles(), &["topic", "philately"]);
    assert!(stderr(&unknown).contains("it has arts_culture, business"), "{}", stderr(&unknown));
}

#[test]
fn bad_rows_are_reported_and_skipped_or_stop_everything() {
    let directory = tempfile::tempdir().unwrap();
    let rows = labelled_rows(40) + "{\"title\": 7}\n" + &labelled_rows(2);
    std::fs::write(directory.path().join("rows.jsonl"), rows).unwrap();
    let args = ["train", "--data", "rows.jsonl", "--out", "m.topicd", "--json"];
    let skipping = topicd(directory.path(), &args);
    assert_eq!(json_lines(&skipping)[0]["n_skipped_rows"], 1);
    assert!(stderr(&skipping).contains("rows.jsonl:41:"), "{}", stderr(&skipping));
    assert!(stderr(&skipping).contains("1 bad row was skipped"), "{}", stderr(&skipping));

    let strict = topicd(directory.path(), &[&args[..], &["--strict"]].concat());
    assert_eq!(strict.status.code(), Some(1));
    assert!(strict.stdout.is_empty() && stderr(&strict).contains("rows.jsonl:41:"), "{}", stderr(&strict));
}

/// A stretch of bad rows longer than what is classified at a time was once taken for the end of the file, and the good
/// rows before a row that stops everything weren't answered.
#[test]
fn every_good_row_is_answered_whatever_stands_between() {
    let directory = tempfile::tempdir().unwrap();
    let rows = labelled_rows(3) + &"oops\n".repeat(3000) + &labelled_rows(5);
    std::fs::write(directory.path().join("rows.jsonl"), rows).unwrap();
    let skipping = topicd(directory.path(), &["classify", "--json", "rows.jsonl"]);
    assert_eq!(json_lines(&skipping).len(), 8);
    assert!(stderr(&skipping).contains("3000 bad rows were skipped"), "{}", stderr(&skipping));
    let strict = topicd(directory.path(), &["classify", "--json", "--strict", "rows.jsonl"]);
    assert_eq!(strict.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&strict.stdout).lines().count(), 3);
    assert!(stderr(&strict).contains("rows.jsonl:4:"), "{}", stderr(&strict));
}

/// Found out before training, not after it; and a device is no place for a model.
#[test]
fn a_place_that_takes_no_model_is_refused_and_links_are_followed() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("rows.jsonl"), labelled_rows(40)).unwrap();
    for (out, said) in [("missing/m.topicd", "missing/m.topicd"), ("/dev/null", "regular file"), (".", "regular file")]
    {
        let output = topicd(directory.path(), &["train", "--data", "rows.jsonl", "--out", out]);
        assert_eq!(output.status.code(), Some(1), "{out}");
        assert!(stderr(&output).contains(said), "{}", stderr(&output));
    }
    std::os::unix::fs::symlink("target.topicd", directory.path().join("link.topicd")).unwrap();
    std::fs::write(directory.path().join("target.topicd"), "old").unwrap();
    json_lines(&topicd(directory.path(), &["train", "--data", "rows.jsonl", "--out", "link.topicd", "--json"]));
    assert!(std::fs::read(directory.path().join("target.topicd")).unwrap().starts_with(b"TOPICD"));
    let names: Vec<_> = std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 3, "nothing unfinished stays behind: {names:?}");
}

#[test]
fn labels_that_the_model_has_not_are_named() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(
        directory.path().join("a.jsonl"),
        "{\"text\":\"cup final\",\"topic\":\"Sports\"}\n{\"text\":\"x\"}\n",
    )
    .unwrap();
    let output = topicd(directory.path(), &["evaluate", "--data", "a.jsonl", "--json"]);
    assert_eq!(json_lines(&output)[0]["accuracy"], 0.0);
    assert!(
        stderr(&output).contains("no topic \"Sports\"") && stderr(&output).contains("left out 1 doc"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn failures_exit_with_1_and_bad_usage_with_2() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    std::fs::write(directory.join("one.jsonl"), r#"{"text":"a","topic":"only"}"#).unwrap();
    std::fs::write(directory.join("model.topicd"), "no model").unwrap();
    for (args, code, said) in [
        (&["classify", "missing.txt"][..], 1, "missing.txt"),
        (&["train", "--data", "one.jsonl", "--out", "m"], 1, "at least two topics"),
        (&["train", "--data", "one.jsonl", "--out", "m", "--c", "0"], 2, "0.0001"),
        (&["evaluate", "--model", "model.topicd", "--data", "one.jsonl"], 1, "magic"),
        (&["compare", "model.topicd", "model.topicd", "--data", "one.jsonl"], 1, "magic"),
        (&["compare", "model.topicd", "--data", "one.jsonl"], 2, "<B>"),
        (&["verify", "--data", "one.jsonl"], 1, "at least two topics"),
        (&["topic", "a", "--max-terms", "0"], 2, "--max-terms"),
        (&["serve", "--model", "model.topicd", "--listen", "127.0.0.1:0"], 1, "magic"),
        (&["classify"], 2, "FILE"),
        (&["classify", "--min-probability", "2", "a.txt"], 2, "from 0 to 1"),
        (&["train", "--data", "one.jsonl"], 2, "--out"),
        (&["train", "--data", "one.jsonl", "--out", "m", "--mislabels", "missing/ranking"], 1, "missing/ranking"),
        (&["frobnicate"], 2, "frobnicate"),
    ] {
        let output = topicd(directory, args);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(said), "{args:?}: {}", stderr(&output));
    }
}

#[test]
fn about_says_whose_texts_the_model_was_trained_on() {
    let about = String::from_utf8(topicd(articles(), &["about"]).stdout).unwrap();
    for said in ["Wikipedia contributors", "SIB-200", "CC BY-SA 4.0", "diplomacy"] {
        assert!(about.contains(said), "{about}");
    }
}

/// Whose table of words a model has words of goes with the model.
#[test]
fn about_tells_of_a_model_that_knows_words_whose_they_are() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let about = |model: &str| String::from_utf8(topicd(&golden, &["about", model]).stdout).unwrap();
    let with_words = about("format_3.topicd");
    for said in [
        "format_3.topicd: ",
        "Table of words: fourteen 1",
        "CC BY-SA 4.0",
        "wordfreq",
        "2971 words that no training document had",
    ] {
        assert!(with_words.contains(said), "{with_words}");
    }
    assert!(about("without_reference.topicd").contains("none of a table"));

    let directory = tempfile::tempdir().unwrap();
    let rows = ["{\"text\": \"a b\", \"topics\": [\"x\"]}", "{\"text\": \"c d\", \"topics\": [\"y\"]}"].join("\n");
    std::fs::write(directory.path().join("rows.jsonl"), rows).unwrap();
    let train = |options: &[&str]| {
        let arguments = [&["train", "--data", "rows.jsonl", "--out", "m.topicd"], options].concat();
        stderr(&topicd(directory.path(), &arguments))
    };
    let refusal = train(&["--words-languages", "en,xx"]);
    assert!(refusal.contains("\"xx\", which the table of words doesn't have; it has en, de"), "{refusal}");
    assert!(train(&["--words", "rows.jsonl"]).contains("not a topicd table of words"));
    assert!(train(&["--words", "none", "--words-languages", "en"]).contains("needs a table of words"));
}

/// Runs `topicd serve` with arguments and environment, to its end.
fn serve(directory: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_topicd"));
    command.arg("serve").args(arguments).envs(environment.iter().copied()).current_dir(directory);
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn settings_come_from_flags_then_the_environment_then_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = "listen = \"127.0.0.1:0\"\nmax_topics = 10\nmax_training_jobs = 3\nmax_document_bytes = 65536\n";
    std::fs::write(directory.path().join("topicd.toml"), file).unwrap();
    let from = ["--config", "topicd.toml", "--print-config"];
    let arguments = [&from[..], &["--max-topics", "30"]].concat();
    let (code, printed, said) =
        serve(directory.path(), &arguments, &[("TOPICD_MAX_TOPICS", "20"), ("TOPICD_MAX_TRAINING_JOBS", "5")]);
    assert_eq!((code, said.as_str()), (Some(0), ""));
    for line in [
        "listen = \"127.0.0.1:0\"  # topicd.toml",
        "max_topics = 30  # the command line",
        "max_training_jobs = 5  # TOPICD_MAX_TRAINING_JOBS",
        "max_document_bytes = 65536  # topicd.toml",
        "max_batch_documents = 256  # default",
        "# model isn't set",
    ] {
        assert!(printed.lines().any(|printed| printed == line), "{line} isn't in\n{printed}");
    }
    // What is printed is such a file.
    std::fs::write(directory.path().join("printed.toml"), &printed).unwrap();
    let (code, again, _) = serve(directory.path(), &["--config", "printed.toml", "--print-config"], &[]);
    let values =
        |printed: &str| printed.lines().map(|line| line.split("  #").next().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!((code, values(&again)), (Some(0), values(&printed)));
}

#[test]
fn a_file_that_cannot_be_obeyed_is_bad_usage_before_anything_is_opened() {
    let directory = tempfile::tempdir().unwrap();
    for (file, problem) in [
        ("max_topic = 10", "max_topic is no setting; did you mean max_topics?"),
        ("colour = \"blue\"", "colour is no setting; these are: listen, data_dir, "),
        ("max_topics = 0", "max_topics is wrong: invalid value '0'"),
        ("max_topics = [1]", "max_topics is a list, a table or a date; give one string or number"),
        ("config = \"other.toml\"", "config is no setting"),
        ("max_topics = ", "topicd.toml: "),
    ] {
        std::fs::write(directory.path().join("topicd.toml"), file).unwrap();
        let (code, _, said) = serve(directory.path(), &["--config", "topicd.toml"], &[]);
        assert!(code == Some(2) && said.contains("topicd.toml: ") && said.contains(problem), "{file}: {code:?} {said}");
    }
    let (code, _, said) = serve(directory.path(), &["--config", "nothing.toml"], &[]);
    assert!(code == Some(2) && said.contains("nothing.toml: "), "{said}");
    assert!(!directory.path().join("topicd-data").exists());
}
