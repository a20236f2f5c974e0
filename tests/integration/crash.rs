//! kill -9 at random moments: what was acknowledged is there after the next start, and nothing is there by half.
//!
//! `TOPICD_CRASH_KILLS=50 cargo test --release --test integration crash -- --nocapture` kills 50 times, and prints how many
//! kills hit each operation; without the variable it is 5 times.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tempfile::TempDir;
use tonic::transport::Channel;
use topicd::api::pb;
use topicd::api::pb::classifier_service_client::ClassifierServiceClient;
use topicd::api::pb::dataset_service_client::DatasetServiceClient;
use topicd::api::pb::model_service_client::ModelServiceClient;
use topicd::api::pb::training_job::State;

use crate::support::{document, examples, request, train_request};

const IMPORT_DOCUMENTS: usize = 2_000;
const TRAIN_DOCUMENTS: usize = 20;

/// What is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Operation {
    Import,
    Train,
    Promote,
}

/// A server process, and the way to it.
struct Server {
    child: Child,
    channel: Channel,
}

impl Server {
    async fn start(data_dir: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_topicd"))
            .args(["serve", "--listen", "127.0.0.1:0", "--log-format", "json", "--data-dir"])
            .arg(data_dir)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
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
        std::thread::spawn(move || log.for_each(drop));
        let channel = Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
        Self { child, channel }
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The client's own log: what was acknowledged, and what was under way when the server was killed.
#[derive(Default)]
struct Log {
    n_imported: usize,
    n_trained: usize,
    stable: Option<String>,
    /// What each version answered when it was first asked.
    answers: HashMap<String, pb::ClassifyResponse>,
    kills: BTreeMap<Operation, usize>,
}

fn import_batch(batch: usize) -> Vec<pb::LabeledDocument> {
    examples(batch * IMPORT_DOCUMENTS..(batch + 1) * IMPORT_DOCUMENTS)
}

fn train_batch(batch: usize) -> Vec<pb::LabeledDocument> {
    examples(batch * TRAIN_DOCUMENTS..(batch + 1) * TRAIN_DOCUMENTS)
}

/// Does the next of an operation; what it returns is an acknowledgement.
async fn run(operation: Operation, channel: Channel, n_before: usize, promote: String) -> Option<String> {
    match operation {
        Operation::Import => {
            let batch = import_batch(n_before);
            let messages: Vec<pb::ImportExamplesRequest> = batch
                .chunks(500)
                .map(|chunk| pb::ImportExamplesRequest {
                    classifier: "classifiers/archive".to_owned(),
                    examples: chunk.to_vec(),
                    ..Default::default()
                })
                .collect();
            let messages = tokio_stream::iter(messages);
            DatasetServiceClient::new(channel).import_examples(messages).await.ok().map(|_| String::new())
        }
        Operation::Train => {
            let request = train_request("desk", train_batch(n_before));
            let response = ClassifierServiceClient::new(channel).train(request).await.ok()?.into_inner();
            let job = response.training_job.unwrap();
            assert!(job.state() == State::Succeeded && job.promoted, "{job:?}");
            Some(job.model_version)
        }
        Operation::Promote => {
            let request = pb::PromoteModelVersionRequest { model_version: promote.clone(), ..Default::default() };
            ModelServiceClient::new(channel).promote_model_version(request).await.ok().map(|_| promote)
        }
    }
}

/// How many of these documents are stored.
async fn n_stored(channel: &Channel, classifier: &str, examples: Vec<pb::LabeledDocument>) -> usize {
    let request = pb::TrainRequest { validate_only: true, ..train_request(classifier, examples) };
    let response = ClassifierServiceClient::new(channel.clone()).train(request).await.unwrap().into_inner();
    response.validation.unwrap().intake.unwrap().unchanged_count as usize
}

impl Log {
    fn acknowledge(&mut self, operation: Operation, stable: String) {
        match operation {
            Operation::Import => self.n_imported += 1,
            Operation::Train => {
                self.n_trained += 1;
                self.stable = Some(stable);
            }
            Operation::Promote => self.stable = Some(stable),
        }
    }

    /// The version that is promoted next: another one than the stable one.
    async fn other_version(&self, channel: &Channel) -> String {
        let list = pb::ListModelVersionsRequest { classifier: "classifiers/desk".to_owned(), ..Default::default() };
        let response = ModelServiceClient::new(channel.clone()).list_model_versions(list).await.unwrap().into_inner();
        let mut names = response.model_versions.into_iter().map(|version| version.name);
        names.find(|name| Some(name) != self.stable.as_ref()).unwrap()
    }

    /// Holds the server, which has just started again, against the log. `under_way` was cut off: it counts as done if any
    /// of it is there.
    async fn check(&mut self, channel: &Channel, under_way: Option<(Operation, String)>) {
        let mut models = ModelServiceClient::new(channel.clone());
        let next = n_stored(channel, "archive", import_batch(self.n_imported)).await;
        assert!([0, IMPORT_DOCUMENTS].contains(&next), "{next} documents of an import");
        self.n_imported += usize::from(next > 0);
        for batch in [0, self.n_imported / 2, self.n_imported - 1] {
            assert_eq!(n_stored(channel, "archive", import_batch(batch)).await, IMPORT_DOCUMENTS, "import {batch}");
        }
        let next = n_stored(channel, "desk", train_batch(self.n_trained)).await;
        assert!([0, TRAIN_DOCUMENTS].contains(&next), "{next} documents of a training");
        self.n_trained += usize::from(next > 0);
        for batch in 0..self.n_trained {
            assert_eq!(n_stored(channel, "desk", train_batch(batch)).await, TRAIN_DOCUMENTS, "training {batch}");
        }
        let list = pb::ListTrainingJobsRequest {
            classifier: "classifiers/desk".to_owned(),
            page_size: 100,
            ..Default::default()
        };
        let jobs = models.list_training_jobs(list).await.unwrap().into_inner().training_jobs;
        assert!(jobs.iter().all(|job| job.state() != State::Running), "{jobs:?}");

        let get = pb::GetClassifierRequest { classifier: "classifiers/desk".to_owned() };
        let classifier = models.get_classifier(get).await.unwrap().into_inner().classifier.unwrap();
        let stable = classifier.stable_version.clone();
        let may_be_new = match &under_way {
            Some((Operation::Promote, version)) => *version == stable,
            Some((Operation::Train, _)) => jobs[0].model_version == stable,
            _ => false,
        };
        assert!(may_be_new || Some(&stable) == self.stable.as_ref(), "{stable} instead of {:?}", self.stable);
        self.stable = Some(stable);
        for alias in ["stable", "previous", "latest"] {
            self.check_answer(channel, &format!("classifiers/desk/versions/{alias}")).await;
        }
    }

    /// A version answers as it always has.
    async fn check_answer(&mut self, channel: &Channel, model: &str) {
        let request =
            pb::ClassifyRequest { model: model.to_owned(), ..request(document("", "the striker scored near a town")) };
        let answer = ClassifierServiceClient::new(channel.clone()).classify(request).await.unwrap().into_inner();
        let before = self.answers.entry(answer.model_version.clone()).or_insert_with(|| answer.clone());
        assert_eq!(*before, answer);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_kill_9() {
    const OPERATIONS: [Operation; 3] = [Operation::Import, Operation::Train, Operation::Promote];
    let n_kills: usize = std::env::var("TOPICD_CRASH_KILLS").map_or(5, |n| n.parse().unwrap());
    let seed = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let directory: TempDir = tempfile::tempdir().unwrap();
    let mut server = Server::start(directory.path()).await;
    let mut log = Log::default();

    // Once undisturbed, and twice for two versions: how long each takes.
    let mut durations = HashMap::new();
    for operation in [Operation::Import, Operation::Train, Operation::Train, Operation::Promote] {
        let promote = "classifiers/desk/versions/1".to_owned();
        let n_before = if operation == Operation::Import { log.n_imported } else { log.n_trained };
        let begun = Instant::now();
        let acknowledged = run(operation, server.channel.clone(), n_before, promote).await;
        durations.insert(operation, begun.elapsed());
        log.acknowledge(operation, acknowledged.unwrap());
    }
    while log.kills.values().sum::<usize>() < n_kills {
        // The one that was hit least often, so that all are.
        let least = |operation: &&Operation| log.kills.get(operation).copied().unwrap_or(0);
        let operation = *OPERATIONS.iter().min_by_key(least).unwrap();
        let n_before = if operation == Operation::Import { log.n_imported } else { log.n_trained };
        let promote = log.other_version(&server.channel).await;
        let call = tokio::spawn(run(operation, server.channel.clone(), n_before, promote.clone()));
        tokio::time::sleep(durations[&operation].mul_f64(random.gen_range(0.0..1.1))).await;
        server.kill();
        let under_way = match tokio::time::timeout(Duration::from_secs(60), call).await.unwrap().unwrap() {
            Some(stable) => {
                log.acknowledge(operation, stable);
                None
            }
            None => {
                *log.kills.entry(operation).or_default() += 1;
                Some((operation, promote))
            }
        };
        server = Server::start(directory.path()).await;
        log.check(&server.channel, under_way).await;
    }
    println!("kills that hit: {:?}", log.kills);
}
