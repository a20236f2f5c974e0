//! A disk without room: what can't be stored is told so, nothing that was acknowledged is lost, answering goes on, and when
//! there is room everything works as before.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use tonic::Code;
use topicd::api::pb;
use topicd::api::pb::job_failure::Reason;
use topicd::api::pb::training_job::State;

use crate::server_process::{ServerProcess, import, n_stored, serve};
use crate::support::{assert_error, document, examples, model_of, request, train_request};

const IMPORT_DOCUMENTS: usize = 1_000;

/// A file system of some MiB that only processes started through it see: a tmpfs in a namespace of its own, which Linux gives
/// to everybody unless that is forbidden.
struct SmallDisk {
    holder: Child,
    _output: BufReader<ChildStdout>,
    path: PathBuf,
}

impl SmallDisk {
    /// `None`, said on standard error, where there can be none.
    fn mount(path: &Path, n_mib: u32) -> Option<Self> {
        let script = format!("mount -t tmpfs -o size={n_mib}m tmpfs \"$1\" && echo mounted && read line");
        let mut unshare = Command::new("unshare");
        unshare.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script, "sh"]).arg(path);
        let mut holder = match unshare.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn() {
            Ok(holder) => holder,
            Err(error) => {
                eprintln!("skipped: there is no unshare, to make a small disk with: {error}");
                return None;
            }
        };
        let mut output = BufReader::new(holder.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        if line.is_empty() {
            eprintln!("skipped: no file system can be mounted in a user namespace here");
            holder.wait().unwrap();
            return None;
        }
        Some(Self { holder, _output: output, path: path.to_owned() })
    }

    /// The same command, on the small disk.
    fn command(&self, command: &Command) -> Command {
        let mut inside = Command::new("nsenter");
        inside.args(["--preserve-credentials", "--user", "--mount", "--target", &self.holder.id().to_string()]);
        inside.arg(command.get_program()).args(command.get_args());
        inside
    }

    fn run(&self, program: &str, args: &[&str]) {
        let mut command = Command::new(program);
        command.args(args);
        assert!(self.command(&command).status().unwrap().success(), "{program} {args:?}");
    }

    fn take_room(&self, n_mib: u32) {
        let filler = self.path.join("filler");
        self.run("fallocate", &["-l", &format!("{n_mib}MiB"), filler.to_str().unwrap()]);
    }

    fn give_room(&self) {
        self.run("rm", &[self.path.join("filler").to_str().unwrap()]);
    }

    async fn serve(&self) -> ServerProcess {
        ServerProcess::spawn(self.command(&serve(&self.path.join("data")))).await
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Its script ends, and with it and the servers the file system.
        let _ = self.holder.stdin.take().map(|mut stdin| stdin.write_all(b"\n"));
        let _ = self.holder.wait();
    }
}

fn batch(number: usize) -> Vec<pb::LabeledDocument> {
    examples(number * IMPORT_DOCUMENTS..(number + 1) * IMPORT_DOCUMENTS)
}

async fn answer(server: &ServerProcess) -> pb::ClassifyResponse {
    let request = pb::ClassifyRequest { model: model_of("1"), ..request(document("", "the striker scored")) };
    server.classifiers().classify(request).await.unwrap().into_inner()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_told_and_loses_nothing() {
    let mount_point = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(mount_point.path(), 64) else { return };
    disk.take_room(40);
    let server = disk.serve().await;
    let job = server.train(train_request("desk", examples(0..40))).await;
    assert_eq!(job.state(), State::Succeeded);
    let before = answer(&server).await;

    let mut n_imported = 0;
    let refusal = loop {
        match import(&server.channel, "archive", &batch(n_imported)).await {
            Ok(_) => n_imported += 1,
            Err(refusal) => break refusal,
        }
    };
    assert_error(&refusal, Code::ResourceExhausted, "STORAGE_FULL");
    assert!(refusal.message().contains("full"), "{refusal:?}");
    // A training finds no room either: for its documents, or for what it has made.
    for round in 0..3 {
        let request = train_request("desk", examples(1_000_000 + round * 500..1_000_500 + round * 500));
        match server.classifiers().train(request).await {
            Err(refusal) => assert_error(&refusal, Code::ResourceExhausted, "STORAGE_FULL"),
            Ok(response) => {
                let job = response.into_inner().training_job.unwrap();
                let reason = job.failure.as_ref().map(|failure| failure.reason());
                assert!(job.state() == State::Succeeded || reason == Some(Reason::StorageFull), "{job:?}");
                let get = pb::GetTrainingJobRequest { training_job: job.name.clone() };
                let told = server.models().get_training_job(get).await.unwrap().into_inner().training_job.unwrap();
                assert_eq!(told.state(), job.state());
            }
        }
    }
    // Answering needs no room.
    assert_eq!(answer(&server).await, before);
    for number in 0..n_imported {
        assert_eq!(n_stored(&server.channel, "archive", batch(number)).await, IMPORT_DOCUMENTS, "import {number}");
    }
    assert_eq!(n_stored(&server.channel, "archive", batch(n_imported)).await, 0, "a refused import was stored");

    disk.give_room();
    import(&server.channel, "archive", &batch(n_imported)).await.unwrap();
    let job = server.train(train_request("desk", examples(40..60))).await;
    assert_eq!(job.state(), State::Succeeded, "{job:?}");
    drop(server);
    let server = disk.serve().await;
    for number in 0..=n_imported {
        assert_eq!(n_stored(&server.channel, "archive", batch(number)).await, IMPORT_DOCUMENTS, "import {number}");
    }
    assert_eq!(answer(&server).await, before);
}
