//! kill -9 at random moments: what was acknowledged is there after the next start, and nothing is there by half.
//!
//! `TOPICD_CRASH_KILLS=200 cargo test --test integration crash -- --nocapture` kills 200 times, and prints how many kills hit
//! each operation before it was acknowledged, and in how many of these it was nevertheless done; without the variable
//! each is hit once. `TOPICD_CRASH_SEED` repeats the moments of a run.
//!
//! Reading order: [`operations`] (what is killed), [`log`] (what the server is held against), this file (how it is killed).

mod log;
mod operations;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sqlx::Connection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use tempfile::TempDir;
use topicd::api::pb::training_job::State;

use crate::server_process::{MIGRATIONS, ServerProcess, create_first_release, n_stored, serve, topicd};
use crate::support::{examples, model_of, train_request};
use log::Log;
use operations::{Call, OPERATIONS, Operation, ask, deleted_numbers, imported_numbers, train_on_part_of};

const FIRST_RELEASE_DOCUMENTS: usize = 500;

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
        use Operation::{Compact, Delete, Import, Promote, Rollback, Train};
        for operation in [Import, Train, Train, Promote, Rollback, Delete, Compact] {
            let version = model_of("1");
            let n_before = this.log.n_before(operation);
            let call = Call { operation, n_before, version, purge_versions: false };
            let begun = Instant::now();
            this.do_undisturbed(call).await;
            this.durations.insert(operation, begun.elapsed());
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

    async fn do_undisturbed(&mut self, call: Call) {
        let operation = call.operation;
        let acknowledged = ask(call, self.server.channel.clone()).await;
        self.log.acknowledge(operation, acknowledged.unwrap());
    }

    async fn kill_call(&mut self, operation: Operation) {
        let call = self.next_call(operation).await;
        let running = tokio::spawn(ask(call.clone(), self.server.channel.clone()));
        // The runtime's own clock goes by milliseconds, of which a promotion takes two.
        std::thread::sleep(self.moment(operation));
        self.server.kill();
        let acknowledged = tokio::time::timeout(Duration::from_secs(60), running).await.unwrap().unwrap();
        let was_hit = acknowledged.is_none();
        if let Some(stable) = acknowledged {
            self.log.acknowledge(operation, stable);
        }
        // What a compaction does at its end, and nothing else.
        let is_log_empty = std::fs::metadata(self.path("data/topicd.db-wal")).is_ok_and(|log| log.len() == 0);
        self.log.check_files(&self.path("data"));
        self.server = ServerProcess::start(&self.path("data")).await;
        let mut is_done = self.log.check(&self.server.channel, Some(&call).filter(|_| was_hit)).await;
        self.log.check_files(&self.path("data"));
        match operation {
            Operation::Delete => self.check_purge(&call, was_hit, !was_hit || is_done).await,
            Operation::Compact => {
                is_done = is_log_empty;
                // What is erased by then is looked for after every later kill.
                self.do_undisturbed(call).await;
                self.log.check_files(&self.path("data"));
            }
            _ => {}
        }
        if was_hit {
            self.log.hit(operation, is_done);
        }
        self.learn(operation, !was_hit || is_done);
    }

    async fn next_call(&mut self, operation: Operation) -> Call {
        if operation == Operation::Delete {
            self.have_something_to_delete().await;
            if self.log.learned.is_none() && self.random.gen_bool(0.5) {
                self.log.learned = Some(train_on_part_of(&self.server.channel, self.log.n_deleted).await);
            }
        } else if operation == Operation::Compact {
            // So that it has something to erase.
            self.have_something_to_delete().await;
            let call = self.call(Operation::Delete);
            self.do_undisturbed(call.clone()).await;
            self.check_purge(&call, false, true).await;
        }
        self.call(operation)
    }

    fn call(&self, operation: Operation) -> Call {
        let version = match operation {
            Operation::Rollback => self.log.previous.clone().unwrap(),
            _ => self.log.other_version(),
        };
        let purge_versions = operation == Operation::Delete && self.log.learned.is_some();
        Call { operation, n_before: self.log.n_before(operation), version, purge_versions }
    }

    async fn have_something_to_delete(&mut self) {
        if imported_numbers(self.log.n_imported).start < deleted_numbers(self.log.n_deleted).end {
            let call = self.call(Operation::Import);
            self.do_undisturbed(call).await;
        }
    }

    /// Documents and the versions that learned them aren't deleted in one transaction: whoever isn't answered asks again.
    async fn check_purge(&mut self, call: &Call, was_hit: bool, is_done: bool) {
        if call.purge_versions && was_hit && is_done {
            ask(call.clone(), self.server.channel.clone()).await.unwrap();
        }
        self.log.check_purge(&self.server.channel, is_done).await;
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
            self.log.check_restored_files(&self.path("restored"));
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
    let Crashes { log, server, .. } = &crashes;
    log.check_batches(&server.channel, 0..log.n_imported).await;
    log.check_revisions(&server.channel, (1..=log.n_revisions()).step_by(5)).await;
    log.print();
}
