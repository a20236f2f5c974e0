//! Backups: made while a server works, whole or not there, and a directory that answers as before when they are restored.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use tonic::transport::Channel;
use topicd::api::pb;
use topicd::api::pb::training_job::State;

use crate::server_process::{MIGRATIONS, ServerProcess, create_first_release, import, n_stored, topicd};
use crate::support::{document, examples, request, train_request};

const IMPORT_DOCUMENTS: usize = 1_000;
const TRAIN_DOCUMENTS: usize = 20;

#[track_caller]
fn succeed(directory: &Path, args: &[&str]) -> Value {
    let output = topicd(directory, &[args, &["--json"]].concat());
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[track_caller]
fn fail(directory: &Path, args: &[&str]) -> String {
    let output = topicd(directory, args);
    assert_eq!(output.status.code(), Some(1), "{args:?}: {}", String::from_utf8_lossy(&output.stdout));
    assert!(output.stdout.is_empty());
    String::from_utf8(output.stderr).unwrap()
}

/// The names in a directory.
fn names(directory: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn batch(number: usize, n_documents: usize) -> Vec<pb::LabeledDocument> {
    examples(number * n_documents..(number + 1) * n_documents)
}

async fn answer(server: &ServerProcess, model: &str) -> pb::ClassifyResponse {
    let request =
        pb::ClassifyRequest { model: model.to_owned(), ..request(document("", "the striker scored near a town")) };
    server.classifiers().classify(request).await.unwrap().into_inner()
}

/// A directory `data` with documents, and two versions of `classifiers/desk` that no server uses any more; what they
/// answer.
async fn data_dir_with_versions() -> (TempDir, Vec<pb::ClassifyResponse>) {
    let directory = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(&directory.path().join("data")).await;
    import(&server.channel, "archive", &batch(0, IMPORT_DOCUMENTS)).await.unwrap();
    let mut answers = Vec::new();
    for number in 0..2 {
        let job = server.train(train_request("desk", batch(number, TRAIN_DOCUMENTS))).await;
        answers.push(answer(&server, &job.model_version).await);
    }
    server.stop().await;
    (directory, answers)
}

/// Imports and trains until told to stop; counts what was acknowledged.
struct Load {
    n_imported: Arc<AtomicUsize>,
    n_trained: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    callers: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    fn start(channel: &Channel) -> Self {
        let [n_imported, n_trained]: [Arc<AtomicUsize>; 2] = Default::default();
        let stop = Arc::new(AtomicBool::new(false));
        let importing = {
            let (channel, n_imported, stop) = (channel.clone(), Arc::clone(&n_imported), Arc::clone(&stop));
            async move {
                while !stop.load(Ordering::Relaxed) {
                    let next = n_imported.load(Ordering::Relaxed);
                    import(&channel, "archive", &batch(next, IMPORT_DOCUMENTS)).await.unwrap();
                    n_imported.fetch_add(1, Ordering::Relaxed);
                }
            }
        };
        let training = {
            let (channel, n_trained, stop) = (channel.clone(), Arc::clone(&n_trained), Arc::clone(&stop));
            async move {
                let mut classifiers = pb::classifier_service_client::ClassifierServiceClient::new(channel);
                while !stop.load(Ordering::Relaxed) {
                    let next = n_trained.load(Ordering::Relaxed);
                    let request = train_request("desk", batch(next, TRAIN_DOCUMENTS));
                    let job = classifiers.train(request).await.unwrap().into_inner().training_job.unwrap();
                    assert_eq!(job.state(), State::Succeeded, "{job:?}");
                    n_trained.fetch_add(1, Ordering::Relaxed);
                }
            }
        };
        let callers = vec![tokio::spawn(importing), tokio::spawn(training)];
        Self { n_imported, n_trained, stop, callers }
    }

    fn acknowledged(&self) -> [usize; 2] {
        [&self.n_imported, &self.n_trained].map(|n| n.load(Ordering::Relaxed))
    }

    async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        for caller in self.callers {
            caller.await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_a_working_server_holds_all_that_was_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_owned();
    let server = ServerProcess::start(&path.join("data")).await;
    let load = Load::start(&server.channel);
    while load.acknowledged().iter().any(|n| *n < 2) {
        tokio::task::yield_now().await;
    }
    let [n_imported, n_trained] = load.acknowledged();
    let versions: Vec<String> = (1..=n_trained).map(|n| format!("classifiers/desk/versions/{n}")).collect();
    let at = path.clone();
    let backup = move || succeed(&at, &["backup", "--out", "a.backup", "--data-dir", "data"]);
    let contents = tokio::task::spawn_blocking(backup).await.unwrap();
    // Load went on: nobody waited for the backup, or was refused.
    load.stop().await;
    let mut answers = Vec::new();
    for version in &versions {
        answers.push(answer(&server, version).await);
    }
    drop(server);

    assert!(contents["n_documents"].as_u64().unwrap() as usize >= n_imported * IMPORT_DOCUMENTS, "{contents}");
    let length = std::fs::metadata(path.join("a.backup")).unwrap().len();
    assert_eq!((&contents["n_classifiers"], &contents["n_bytes"]), (&3.into(), &length.into()), "{contents}");
    let restored = succeed(&path, &["restore", "--from", "a.backup", "--data-dir", "restored"]);
    assert_eq!(restored, contents);
    let server = ServerProcess::start(&path.join("restored")).await;
    for number in 0..n_imported {
        let stored = n_stored(&server.channel, "archive", batch(number, IMPORT_DOCUMENTS)).await;
        assert_eq!(stored, IMPORT_DOCUMENTS, "import {number}");
    }
    // What was going on is there as a whole or not at all.
    let next = n_stored(&server.channel, "archive", batch(n_imported, IMPORT_DOCUMENTS)).await;
    assert!([0, IMPORT_DOCUMENTS].contains(&next), "{next} documents of an import");
    for (version, expected) in versions.iter().zip(&answers) {
        assert_eq!(answer(&server, version).await, *expected);
    }
    let list = pb::ListTrainingJobsRequest { classifier: "classifiers/desk".to_owned(), ..Default::default() };
    let jobs = server.models().list_training_jobs(list).await.unwrap().into_inner().training_jobs;
    assert!(jobs.iter().all(|job| job.state() != State::Running), "{jobs:?}");
    let job = server.train(train_request("desk", examples(100_000..100_020))).await;
    assert_eq!(job.state(), State::Succeeded, "{job:?}");
}

#[tokio::test]
async fn a_backup_takes_nothing_and_leaves_nothing_beside_its_file() {
    let (directory, answers) = data_dir_with_versions().await;
    let directory = directory.path();
    let before = names(&directory.join("data"));
    assert_eq!(before, ["lock", "topicd.db"].map(str::to_owned).into());
    let database = || std::fs::read(directory.join("data/topicd.db")).unwrap();
    let content = database();
    let contents = succeed(directory, &["backup", "--out", "a.backup", "--data-dir", "data"]);
    assert_eq!((&contents["n_documents"], &contents["n_versions"]), (&1040.into(), &3.into()), "{contents}");
    assert!(names(&directory.join("data")) == before && database() == content, "the source has changed");
    assert_eq!(names(directory), ["a.backup", "data"].map(str::to_owned).into());

    let said = fail(directory, &["backup", "--out", "a.backup", "--data-dir", "data"]);
    assert!(said.contains("a.backup is there already") && said.contains("--force"), "{said}");
    std::fs::write(directory.join("a.backup"), "something else").unwrap();
    succeed(directory, &["backup", "--out", "a.backup", "--data-dir", "data", "--force"]);
    for (out, said) in [("data/topicd.db", "keep backups elsewhere"), ("data/b", "keep backups elsewhere"), (".", ".")]
    {
        let refusal = fail(directory, &["backup", "--out", out, "--data-dir", "data", "--force"]);
        assert!(refusal.contains(said), "{refusal}");
    }
    let said = fail(directory, &["backup", "--out", "b", "--data-dir", "none"]);
    assert!(said.contains("none holds no data"), "{said}");
    assert!(fail(directory, &["backup", "--out", "none/b", "--data-dir", "data"]).contains("none/b"));
    assert_eq!(names(directory), ["a.backup", "data"].map(str::to_owned).into());

    let output = topicd(directory, &["restore", "--from", "a.backup", "--data-dir", "new/restored"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.starts_with("new/restored: 3 classifiers, 1040 documents, 3 versions, "), "{said}");
    let server = ServerProcess::start(&directory.join("new/restored")).await;
    for expected in &answers {
        assert_eq!(answer(&server, &expected.model_version).await, *expected);
    }
    let in_use = fail(directory, &["restore", "--from", "a.backup", "--data-dir", "new/restored"]);
    assert!(in_use.contains("in use by another topicd process"), "{in_use}");
    drop(server);
    let full = fail(directory, &["restore", "--from", "a.backup", "--data-dir", "new/restored"]);
    assert!(full.contains("isn't empty") && full.contains("topicd.db"), "{full}");
    let full = fail(directory, &["restore", "--from", "a.backup", "--data-dir", "."]);
    assert!(full.contains("isn't empty") && !directory.join("lock").exists(), "{full}");
}

#[tokio::test]
async fn what_is_no_whole_backup_is_refused_and_leaves_no_directory() {
    let (directory, _) = data_dir_with_versions().await;
    let directory = directory.path();
    succeed(directory, &["backup", "--out", "whole", "--data-dir", "data"]);
    let whole = std::fs::read(directory.join("whole")).unwrap();
    let refuse = |content: &[u8], said: &str| {
        std::fs::write(directory.join("bad"), content).unwrap();
        let refusal = fail(directory, &["restore", "--from", "bad", "--data-dir", "restored"]);
        assert!(refusal.contains("bad") && refusal.contains(said), "{refusal}");
        assert!(!directory.join("restored").exists());
    };
    refuse(b"", "isn't a topicd backup");
    refuse(&b"no database ".repeat(1000), "isn't a topicd backup");
    refuse(&whole[..whole.len() / 2], "is damaged");
    refuse(&whole[..whole.len() - 5000], "is damaged");
    refuse(&std::fs::read(directory.join("data/topicd.db")).unwrap(), "is the database of a data directory");
    let mut broken = whole.clone();
    broken[5 * 4096..9 * 4096].fill(7);
    refuse(&broken, "is damaged");

    let changed = async |sql: &'static str| {
        std::fs::write(directory.join("changed"), &whole).unwrap();
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(directory.join("changed"));
        let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
        assert!(sqlx::query(sql).execute(&pool).await.unwrap().rows_affected() > 0);
        pool.close().await;
        std::fs::read(directory.join("changed")).unwrap()
    };
    refuse(&changed("DELETE FROM _sqlx_migrations").await, "isn't a topicd backup");
    refuse(&changed("UPDATE _sqlx_migrations SET checksum = x'00' WHERE version = 1").await, "another migration 1");
    let newest = MIGRATIONS.iter().map(|migration| migration.version).max().unwrap();
    let newer = changed(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (999, 'of the future', TRUE, x'00', 0)",
    );
    refuse(&newer.await, &format!("has schema version 999; this topicd knows up to {newest}"));
    refuse(
        &changed("UPDATE examples SET text = text || '.' WHERE document_id = '7'").await,
        "2 stored documents aren't what was stored",
    );
    // The same of the model of a version, which is told by name; the rest is there for those who want it.
    let flipped = changed(
        "UPDATE artifacts SET content = x'00' || substr(content, 2) \
         WHERE sha256 = (SELECT artifact_sha256 FROM versions WHERE classifier = 'desk' AND number = 1)",
    );
    let flipped = flipped.await;
    refuse(&flipped, "the model files of classifiers/desk/versions/1 aren't what was stored");
    let contents = succeed(directory, &["restore", "--from", "bad", "--data-dir", "restored", "--allow-damaged"]);
    assert_eq!(contents["damaged_versions"], serde_json::json!(["classifiers/desk/versions/1"]));
    // It is found when a backup is made, too.
    let said = fail(directory, &["backup", "--out", "again", "--data-dir", "restored"]);
    assert!(said.contains("classifiers/desk/versions/1") && !directory.join("again").exists(), "{said}");
    succeed(directory, &["backup", "--out", "again", "--data-dir", "restored", "--allow-damaged"]);
}

/// The first release had documents only. Its backup is one of its own tables, which a server brings up to date.
#[tokio::test]
async fn a_backup_of_an_older_release_is_restored() {
    let directory = tempfile::tempdir().unwrap();
    create_first_release(&directory.path().join("data"), 50).await;
    let contents = succeed(directory.path(), &["backup", "--out", "a", "--data-dir", "data"]);
    let of =
        ["n_classifiers", "n_documents", "n_versions", "schema_version"].map(|key| contents[key].as_u64().unwrap());
    assert_eq!(of, [1, 50, 0, 1]);
    assert_eq!(succeed(directory.path(), &["restore", "--from", "a", "--data-dir", "restored"]), contents);
    let server = ServerProcess::start(&directory.path().join("restored")).await;
    assert_eq!(n_stored(&server.channel, "old", examples(0..60)).await, 50);
}

#[tokio::test]
async fn a_backup_that_is_killed_is_no_file_and_a_restore_no_directory() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let mut server = ServerProcess::start(&path.join("data")).await;
    for number in 0..10 {
        import(&server.channel, "archive", &batch(number, IMPORT_DOCUMENTS)).await.unwrap();
    }
    let spawn = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_topicd"));
        command.args(args).current_dir(path).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    let begun = Instant::now();
    succeed(path, &["backup", "--out", "whole", "--data-dir", "data"]);
    let whole = begun.elapsed();
    let mut n_killed = 0;
    for sixth in 0..6 {
        let out = format!("backup-{sixth}");
        let mut backup = spawn(&["backup", "--out", &out, "--data-dir", "data"]);
        std::thread::sleep(whole.mul_f64(f64::from(sixth) / 6.0).max(Duration::from_millis(1)));
        backup.kill().unwrap();
        let is_done = backup.wait().unwrap().success();
        n_killed += usize::from(!is_done);
        // It may have been killed when the file had its name already.
        if is_done || path.join(&out).exists() {
            succeed(path, &["restore", "--from", &out, "--data-dir", &format!("restored-{sixth}")]);
        }
        // The server has noticed nothing.
        assert_eq!(n_stored(&server.channel, "archive", batch(9, IMPORT_DOCUMENTS)).await, IMPORT_DOCUMENTS);
        import(&server.channel, "archive", &batch(10 + sixth as usize, IMPORT_DOCUMENTS)).await.unwrap();
    }
    assert!(n_killed > 0, "no backup was killed");
    server.kill();
    let checked = succeed(path, &["backup", "--out", "after", "--data-dir", "data"]);
    assert_eq!(checked["n_documents"], 16 * IMPORT_DOCUMENTS as u64);

    let mut restore = spawn(&["restore", "--from", "after", "--data-dir", "half"]);
    while !path.join("half/topicd.db.unfinished").exists() && restore.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    restore.kill().unwrap();
    restore.wait().unwrap();
    if !path.join("half/topicd.db").exists() {
        assert_eq!(succeed(path, &["restore", "--from", "after", "--data-dir", "half"]), checked);
    }
    assert_eq!(names(&path.join("half")), ["lock", "topicd.db"].map(str::to_owned).into());
}
