//! A server that is a process of its own, so that it can be killed, and what is asked of it in several tests.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread::JoinHandle;

use rustix::process::{Pid, Signal};
use sqlx::SqlitePool;
use sqlx::migrate::Migrator;
use sqlx::sqlite::SqliteConnectOptions;
use tonic::transport::Channel;
use topicd::api::pb;
use topicd::api::pb::classifier_service_client::ClassifierServiceClient;
use topicd::api::pb::dataset_service_client::DatasetServiceClient;
use topicd::api::pb::model_service_client::ModelServiceClient;
use topicd::document::Document;

use crate::support::{examples, train_request};

/// The tables of every release.
pub(crate) static MIGRATIONS: Migrator = sqlx::migrate!();

/// A server process, and the way to it.
pub(crate) struct ServerProcess {
    pub(crate) child: Child,
    pub(crate) address: String,
    pub(crate) channel: Channel,
    log: Option<JoinHandle<Vec<String>>>,
}

/// The command that serves a data directory.
pub(crate) fn serve(data_dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_topicd"));
    command.args(["serve", "--listen", "127.0.0.1:0", "--log-format", "json", "--data-dir"]).arg(data_dir);
    command
}

/// Runs topicd to its end.
pub(crate) fn topicd(directory: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_topicd"));
    command.args(args).current_dir(directory).env_remove("TOPICD_DATA_DIR").stdin(Stdio::null()).output().unwrap()
}

impl ServerProcess {
    pub(crate) async fn start(data_dir: &Path) -> Self {
        Self::spawn(serve(data_dir)).await
    }

    /// Runs a command that ends in a server's, until that listens.
    pub(crate) async fn spawn(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut seen = Vec::new();
        let address = loop {
            let line = log.next().unwrap_or_else(|| panic!("the server didn't start: {seen:#?}")).unwrap();
            let fields = serde_json::from_str::<serde_json::Value>(&line).unwrap_or_default()["fields"].take();
            if fields["message"] == "listening" {
                break fields["address"].as_str().unwrap().to_owned();
            }
            seen.push(line);
        };
        // Read to the end, or the pipe fills up and the server waits for us.
        let log = std::thread::spawn(move || seen.into_iter().chain(log.map_while(Result::ok)).collect());
        let channel = Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
        Self { child, address, channel, log: Some(log) }
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks the server to stop, and waits until it has; what it has logged.
    pub(crate) async fn stop(self) -> Vec<String> {
        self.signal(Signal::TERM);
        let (status, log) = self.wait().await;
        assert!(status.success(), "{log:#?}");
        log
    }

    pub(crate) fn signal(&self, signal: Signal) {
        rustix::process::kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for the server's end; how it ended, and what it has logged.
    pub(crate) async fn wait(mut self) -> (ExitStatus, Vec<String>) {
        // On another thread: a connection that nobody drives isn't closed, and the server would wait for it.
        let ended = tokio::task::spawn_blocking(move || {
            let status = self.child.wait().unwrap();
            (status, self.log.take().unwrap().join().unwrap())
        });
        ended.await.unwrap()
    }

    pub(crate) fn classifiers(&self) -> ClassifierServiceClient<Channel> {
        ClassifierServiceClient::new(self.channel.clone())
    }

    pub(crate) fn models(&self) -> ModelServiceClient<Channel> {
        ModelServiceClient::new(self.channel.clone())
    }

    /// Trains, and waits for the end of the job.
    pub(crate) async fn train(&self, request: pb::TrainRequest) -> pb::TrainingJob {
        self.classifiers().train(request).await.unwrap().into_inner().training_job.unwrap()
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Imports documents in messages of 500; whether that was acknowledged.
pub(crate) async fn import(
    channel: &Channel,
    classifier: &str,
    documents: &[pb::LabeledDocument],
) -> Result<pb::ImportExamplesResponse, tonic::Status> {
    let message = |chunk: &[pb::LabeledDocument]| pb::ImportExamplesRequest {
        classifier: format!("classifiers/{classifier}"),
        examples: chunk.to_vec(),
        ..Default::default()
    };
    let messages: Vec<_> = documents.chunks(500).map(message).collect();
    let mut datasets = DatasetServiceClient::new(channel.clone());
    Ok(datasets.import_examples(tokio_stream::iter(messages)).await?.into_inner())
}

/// How many of these documents are stored.
pub(crate) async fn n_stored(channel: &Channel, classifier: &str, examples: Vec<pb::LabeledDocument>) -> usize {
    let request = pb::TrainRequest { validate_only: true, ..train_request(classifier, examples) };
    let response = ClassifierServiceClient::new(channel.clone()).train(request).await.unwrap().into_inner();
    response.validation.unwrap().intake.unwrap().unchanged_count as usize
}

/// Makes the data directory of the first release, with the first so many of [`examples`] in `classifiers/old`.
pub(crate) async fn create_first_release(data_dir: &Path, n_documents: usize) {
    std::fs::create_dir_all(data_dir).unwrap();
    let options = SqliteConnectOptions::new().filename(data_dir.join("topicd.db")).create_if_missing(true);
    let pool = SqlitePool::connect_with(options).await.unwrap();
    let first = MIGRATIONS.iter().filter(|migration| migration.version == 1).cloned().collect();
    Migrator::with_migrations(first).run(&pool).await.unwrap();
    let mut transaction = pool.begin().await.unwrap();
    for sql in ["INSERT INTO classifiers VALUES ('old', 1)", "INSERT INTO imports VALUES (1, 'old', 1, 0, $1, 0, 0)"] {
        sqlx::query(sql).bind(n_documents as i64).execute(&mut *transaction).await.unwrap();
    }
    for example in examples(0..n_documents) {
        let document = example.document.unwrap();
        let hash = Document::new(&document.title, &document.text).unwrap().content_hash();
        sqlx::query("INSERT INTO examples VALUES ('old', $1, 1, NULL, $2, $3, NULL, '', $4, $5)")
            .bind(hash.0.to_vec())
            .bind(serde_json::json!(example.topics).to_string())
            .bind(document.document_id)
            .bind(document.title)
            .bind(document.text)
            .execute(&mut *transaction)
            .await
            .unwrap();
    }
    transaction.commit().await.unwrap();
    pool.close().await;
}
