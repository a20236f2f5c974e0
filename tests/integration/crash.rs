//! kill -9 at random moments: what was acknowledged is there after the next start, and nothing is there by half.
//!
//! `TOPICD_CRASH_KILLS=200 cargo test --test integration crash -- --nocapture` kills 200 times, and prints how many kills hit
//! each operation before it was acknowledged, and in how many of these it was nevertheless done; without the variable
//! each is hit once. `TOPICD_CRASH_SEED` repeats the moments of a run.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sqlx::Connection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use tempfile::TempDir;
use tonic::transport::Channel;
use topicd::api::pb;
use topicd::api::pb::classifier_service_client::ClassifierServiceClient;
use topicd::api::pb::model_service_client::ModelServiceClient;
use topicd::api::pb::training_job::State;

use crate::server_process::{
    MIGRATIONS, ServerProcess, create_first_release, import, n_documents, n_stored, serve, topicd,
};
use crate::support::{document, examples, model_of, request, train_request};

const IMPORT_DOCUMENTS: usize = 2_000;
const TRAIN_DOCUMENTS: usize = 20;
const FIRST_RELEASE_DOCUMENTS: usize = 500;

/// What is killed. A deletion of documents goes here: its acknowledgement takes them out of the log's numbers, and one that
/// was cut off has deleted all of them or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Operation {
    Import,
    Train,
    Promote,
    Rollback,
    Backup,
    Migrate,
}

const OPERATIONS: [Operation; 6] = [
    Operation::Import,
    Operation::Train,
    Operation::Promote,
    Operation::Rollback,
    Operation::Backup,
    Operation::Migrate,
];

/// Kills that hit an operation before it was acknowledged.
#[derive(Debug, Clone, Copy, Default)]
struct Kills {
    n: usize,
    /// Of these, how often it was done all the same.
    n_done: usize,
}

/// The client's own log: what was acknowledged, and what was under way when the server was killed.
#[derive(Default)]
struct Log {
    n_imported: usize,
    n_trained: usize,
    stable: Option<String>,
    previous: Option<String>,
    /// The SHA-256 of the model file of each version that was ever told.
    versions: BTreeMap<String, String>,
    /// What each version answered when it was first asked.
    answers: HashMap<String, pb::ClassifyResponse>,
    kills: BTreeMap<Operation, Kills>,
}

fn import_batch(batch: usize) -> Vec<pb::LabeledDocument> {
    examples(batch * IMPORT_DOCUMENTS..(batch + 1) * IMPORT_DOCUMENTS)
}

fn train_batch(batch: usize) -> Vec<pb::LabeledDocument> {
    examples(batch * TRAIN_DOCUMENTS..(batch + 1) * TRAIN_DOCUMENTS)
}

/// Does the next of what a server is asked to do; what it returns is an acknowledgement, with the version that is stable then.
async fn call(operation: Operation, channel: Channel, n_before: usize, promote: String) -> Option<String> {
    let mut models = ModelServiceClient::new(channel.clone());
    match operation {
        Operation::Import => {
            import(&channel, "archive", &import_batch(n_before)).await.ok()?;
            Some(String::new())
        }
        Operation::Train => {
            let request = train_request("desk", train_batch(n_before));
            let response = ClassifierServiceClient::new(channel).train(request).await.ok()?.into_inner();
            let job = response.training_job.unwrap();
            assert!(job.state() == State::Succeeded && job.promoted, "{job:?}");
            Some(job.model_version)
        }
        Operation::Promote => {
            let request = pb::PromoteModelVersionRequest { model_version: promote, ..Default::default() };
            let response = models.promote_model_version(request).await.ok()?.into_inner();
            Some(response.classifier.unwrap().stable_version)
        }
        Operation::Rollback => {
            let classifier = "classifiers/desk".to_owned();
            let request = pb::RollbackClassifierRequest { classifier, ..Default::default() };
            let response = models.rollback_classifier(request).await.ok()?.into_inner();
            Some(response.classifier.unwrap().stable_version)
        }
        Operation::Backup | Operation::Migrate => panic!("{operation:?} isn't a call"),
    }
}

impl Log {
    fn n_before(&self, operation: Operation) -> usize {
        if operation == Operation::Import { self.n_imported } else { self.n_trained }
    }

    fn acknowledge(&mut self, operation: Operation, stable: String) {
        match operation {
            Operation::Import => self.n_imported += 1,
            Operation::Train => {
                self.n_trained += 1;
                self.move_stable(stable);
            }
            Operation::Promote | Operation::Rollback => self.move_stable(stable),
            Operation::Backup | Operation::Migrate => {}
        }
    }

    fn move_stable(&mut self, stable: String) {
        if Some(&stable) != self.stable.as_ref() {
            self.previous = self.stable.replace(stable);
        }
    }

    fn hit(&mut self, operation: Operation, is_done: bool) {
        let kills = self.kills.entry(operation).or_default();
        kills.n += 1;
        kills.n_done += usize::from(is_done);
    }

    /// The one that was hit least often, so that all are.
    fn next_operation(&self) -> Operation {
        let n_kills = |operation: &&Operation| self.kills.get(operation).map_or(0, |kills| kills.n);
        *OPERATIONS.iter().min_by_key(n_kills).unwrap()
    }

    /// The version that is promoted next: another one than the stable one.
    fn other_version(&self) -> String {
        self.versions.keys().rev().find(|name| Some(*name) != self.stable.as_ref()).unwrap().clone()
    }

    /// Holds the server, which has just started again, against the log. `under_way` was cut off; whether it was done all the
    /// same.
    async fn check(&mut self, channel: &Channel, under_way: Option<(Operation, String)>) -> bool {
        let n_before = (self.n_imported, self.n_trained);
        self.check_documents(channel).await;
        let job = self.check_jobs(channel).await;
        self.check_versions(channel).await;
        let mut models = ModelServiceClient::new(channel.clone());
        let get = pb::GetClassifierRequest { classifier: "classifiers/desk".to_owned() };
        let classifier = models.get_classifier(get).await.unwrap().into_inner().classifier.unwrap();
        let stable = classifier.stable_version.clone();
        let has_moved = Some(&stable) != self.stable.as_ref();
        let is_done = match &under_way {
            Some((Operation::Promote, version)) => *version == stable,
            Some((Operation::Rollback, _)) => Some(&stable) == self.previous.as_ref(),
            Some((Operation::Train, _)) => job.model_version == stable,
            _ => (self.n_imported, self.n_trained) != n_before,
        };
        assert!(!has_moved || (is_done && under_way.is_some()), "{stable} instead of {:?}", self.stable);
        self.move_stable(stable);
        assert_eq!(Some(classifier.previous_version), self.previous);
        // Any of those that were ever told.
        let told = self.versions.keys().nth(self.n_trained % self.versions.len()).cloned();
        for version in ["stable", "previous", "latest"].map(model_of).into_iter().chain(told) {
            self.check_answer(channel, &version).await;
        }
        is_done
    }

    /// Every document that was acknowledged is there, and of what was under way all or none.
    async fn check_documents(&mut self, channel: &Channel) {
        let next = n_stored(channel, "archive", import_batch(self.n_imported)).await;
        assert!([0, IMPORT_DOCUMENTS].contains(&next), "{next} documents of an import");
        self.n_imported += usize::from(next > 0);
        // All are there if they are as many as were acknowledged; some are asked for, and at the end of the run each.
        assert_eq!(n_documents(channel, "archive").await, self.n_imported * IMPORT_DOCUMENTS);
        self.check_imports(channel, [0, self.n_imported / 2, self.n_imported - 1]).await;
        let next = n_stored(channel, "desk", train_batch(self.n_trained)).await;
        assert!([0, TRAIN_DOCUMENTS].contains(&next), "{next} documents of a training");
        self.n_trained += usize::from(next > 0);
        let all = n_stored(channel, "desk", examples(0..self.n_trained * TRAIN_DOCUMENTS)).await;
        assert_eq!(all, self.n_trained * TRAIN_DOCUMENTS);
    }

    async fn check_imports(&self, channel: &Channel, batches: impl IntoIterator<Item = usize>) {
        for batch in batches {
            assert_eq!(n_stored(channel, "archive", import_batch(batch)).await, IMPORT_DOCUMENTS, "import {batch}");
        }
    }

    /// No job runs for ever. Returns the newest one.
    async fn check_jobs(&self, channel: &Channel) -> pb::TrainingJob {
        let classifier = "classifiers/desk".to_owned();
        let list = pb::ListTrainingJobsRequest { classifier, page_size: 100, ..Default::default() };
        let mut models = ModelServiceClient::new(channel.clone());
        let jobs = models.list_training_jobs(list).await.unwrap().into_inner().training_jobs;
        assert!(jobs.iter().all(|job| job.state() != State::Running), "{jobs:?}");
        jobs.into_iter().next().unwrap()
    }

    /// Every version that was ever told is there with the same file.
    async fn check_versions(&mut self, channel: &Channel) {
        let classifier = "classifiers/desk".to_owned();
        let list = pb::ListModelVersionsRequest { classifier, page_size: 100, ..Default::default() };
        let mut models = ModelServiceClient::new(channel.clone());
        let response = models.list_model_versions(list).await.unwrap().into_inner();
        let is_all = response.next_page_token.is_empty();
        let stored = response.model_versions.into_iter().map(|version| (version.name, version.artifact_sha256));
        let stored: BTreeMap<String, String> = stored.collect();
        for (name, sha256) in &self.versions {
            assert!(stored.get(name).map_or(!is_all, |stored| stored == sha256), "{name} is another one, or gone");
        }
        self.versions.extend(stored);
    }

    /// A version answers as it always has.
    async fn check_answer(&mut self, channel: &Channel, model: &str) {
        let request =
            pb::ClassifyRequest { model: model.to_owned(), ..request(document("", "the striker scored near a town")) };
        let answer = ClassifierServiceClient::new(channel.clone()).classify(request).await.unwrap().into_inner();
        let before = self.answers.entry(answer.model_version.clone()).or_insert_with(|| answer.clone());
        assert_eq!(*before, answer);
    }

    fn print(&self) {
        println!("operation   kills  done all the same");
        for (operation, kills) in &self.kills {
            println!("{:10}  {:>5}  {:>17}", format!("{operation:?}"), kills.n, kills.n_done);
        }
    }
}

/// A server with a log of what it acknowledged.
struct Crashes {
    directory: TempDir,
    server: ServerProcess,
    log: Log,
    durations: HashMap<Operation, Duration>,
    random: StdRng,
}

impl Crashes {
    /// Does everything once undisturbed, and some twice for two versions: how long each takes.
    async fn start(seed: u64) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let server = ServerProcess::start(&directory.path().join("data")).await;
        let random = StdRng::seed_from_u64(seed);
        let mut this = Self { directory, server, log: Log::default(), durations: HashMap::new(), random };
        use Operation::{Import, Promote, Rollback, Train};
        for operation in [Import, Train, Train, Promote, Rollback] {
            let begun = Instant::now();
            let promote = model_of("1");
            let n_before = this.log.n_before(operation);
            let acknowledged = call(operation, this.server.channel.clone(), n_before, promote).await;
            this.durations.insert(operation, begun.elapsed());
            this.log.acknowledge(operation, acknowledged.unwrap());
        }
        let begun = Instant::now();
        let mut backup = this.spawn_backup("undisturbed");
        assert!(backup.wait().unwrap().success());
        this.durations.insert(Operation::Backup, begun.elapsed());
        create_first_release(&this.path("first-release"), FIRST_RELEASE_DOCUMENTS).await;
        let data_dir = this.copy_first_release("undisturbed-migration");
        let begun = Instant::now();
        ServerProcess::start(&data_dir).await;
        // Most of a start is something else.
        this.durations.insert(Operation::Migrate, begun.elapsed() / 4);
        this.log.check(&this.server.channel, None).await;
        this
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A moment of an operation, or just after it.
    fn moment(&mut self, operation: Operation) -> Duration {
        self.durations[&operation].mul_f64(self.random.gen_range(0.0..1.1))
    }

    /// How long an operation takes changes with what is stored: where kills come too early or too late, the next ones come
    /// later or earlier.
    fn learn(&mut self, operation: Operation, was_done: bool) {
        let factor = if was_done { 0.9 } else { 1.05 };
        self.durations.entry(operation).and_modify(|duration| *duration = duration.mul_f64(factor));
    }

    /// Kills the server once during an operation, or the process that the operation is.
    async fn kill(&mut self, operation: Operation) {
        match operation {
            Operation::Backup => self.kill_backup().await,
            Operation::Migrate => self.kill_migration().await,
            operation => self.kill_call(operation).await,
        }
    }

    async fn kill_call(&mut self, operation: Operation) {
        let promote = match operation {
            Operation::Rollback => self.log.previous.clone().unwrap(),
            _ => self.log.other_version(),
        };
        let n_before = self.log.n_before(operation);
        let running = tokio::spawn(call(operation, self.server.channel.clone(), n_before, promote.clone()));
        // The runtime's own clock goes by milliseconds, of which a promotion takes two.
        std::thread::sleep(self.moment(operation));
        self.server.kill();
        let acknowledged = tokio::time::timeout(Duration::from_secs(60), running).await.unwrap().unwrap();
        let under_way = match acknowledged {
            Some(stable) => {
                self.log.acknowledge(operation, stable);
                None
            }
            None => Some((operation, promote)),
        };
        let was_hit = under_way.is_some();
        self.server = ServerProcess::start(&self.path("data")).await;
        let is_done = self.log.check(&self.server.channel, under_way).await;
        if was_hit {
            self.log.hit(operation, is_done);
        }
        self.learn(operation, !was_hit || is_done);
    }

    fn spawn_backup(&self, name: &str) -> std::process::Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_topicd"));
        command.args(["backup", "--data-dir", "data", "--out", name]).current_dir(self.directory.path());
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// Kills a backup and, every second time, the server that it reads beside.
    async fn kill_backup(&mut self) {
        let mut backup = self.spawn_backup("killed");
        std::thread::sleep(self.moment(Operation::Backup));
        let with_server = self.random.gen_bool(0.5);
        if with_server {
            self.server.kill();
        }
        backup.kill().unwrap();
        let was_hit = !backup.wait().unwrap().success();
        let is_there = self.path("killed").exists();
        assert!(was_hit || is_there);
        if is_there {
            // Whole, though nobody was told.
            let restored = topicd(self.directory.path(), &["restore", "--from", "killed", "--data-dir", "restored"]);
            assert!(restored.status.success(), "{restored:?}");
            let server = ServerProcess::start(&self.path("restored")).await;
            self.log.check(&server.channel, None).await;
            drop(server);
            std::fs::remove_dir_all(self.path("restored")).unwrap();
            std::fs::remove_file(self.path("killed")).unwrap();
        }
        if with_server {
            self.server = ServerProcess::start(&self.path("data")).await;
        }
        self.log.check(&self.server.channel, None).await;
        if was_hit {
            self.log.hit(Operation::Backup, is_there);
        }
        self.learn(Operation::Backup, is_there);
    }

    fn copy_first_release(&self, name: &str) -> PathBuf {
        std::fs::create_dir(self.path(name)).unwrap();
        std::fs::copy(self.path("first-release/topicd.db"), self.path(name).join("topicd.db")).unwrap();
        self.path(name)
    }

    /// Kills the first start on a directory of the first release, before it says that it listens.
    async fn kill_migration(&mut self) {
        let data_dir = self.copy_first_release("killed-migration");
        let mut starting = serve(&data_dir).stderr(Stdio::null()).spawn().unwrap();
        // Until it has changed something, it was hardly begun.
        while !data_dir.join("topicd.db-wal").exists() {
            assert!(starting.try_wait().unwrap().is_none());
            std::thread::yield_now();
        }
        std::thread::sleep(self.moment(Operation::Migrate));
        starting.kill().unwrap();
        starting.wait().unwrap();
        let is_done = schema_version(&data_dir).await == MIGRATIONS.iter().map(|migration| migration.version).max();
        let server = ServerProcess::start(&data_dir).await;
        let stored = n_stored(&server.channel, "old", examples(0..FIRST_RELEASE_DOCUMENTS)).await;
        assert_eq!(stored, FIRST_RELEASE_DOCUMENTS);
        let job = server.train(train_request("old", Vec::new())).await;
        assert_eq!((job.state(), job.document_count), (State::Succeeded, FIRST_RELEASE_DOCUMENTS as u64), "{job:?}");
        drop(server);
        std::fs::remove_dir_all(&data_dir).unwrap();
        self.log.hit(Operation::Migrate, is_done);
        self.learn(Operation::Migrate, is_done);
    }
}

/// The newest migration of a database that nobody has open.
async fn schema_version(data_dir: &Path) -> Option<i64> {
    let options = SqliteConnectOptions::new().filename(data_dir.join("topicd.db"));
    let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
    let version = sqlx::query_scalar("SELECT MAX(version) FROM _sqlx_migrations").fetch_one(&mut connection).await;
    connection.close().await.unwrap();
    version.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_kill_9() {
    let n_kills: usize = std::env::var("TOPICD_CRASH_KILLS").map_or(OPERATIONS.len(), |n| n.parse().unwrap());
    let now = || std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
    let seed = std::env::var("TOPICD_CRASH_SEED").map_or_else(|_| now(), |seed| seed.parse().unwrap());
    println!("seed {seed}");
    let mut crashes = Crashes::start(seed).await;
    while crashes.log.kills.values().map(|kills| kills.n).sum::<usize>() < n_kills {
        crashes.kill(crashes.log.next_operation()).await;
    }
    crashes.log.check_imports(&crashes.server.channel, 0..crashes.log.n_imported).await;
    crashes.log.print();
}
