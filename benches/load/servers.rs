//! The servers that are compared: each a process of its own, killed when it isn't needed any more.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use prost::Message;
use tonic::transport::Channel;
use topicd::api::pb;
use topicd::api::pb::classifier_service_client::ClassifierServiceClient;

use crate::process::start_topicd;

/// A process that serves.
pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) address: String,
    process: Child,
    /// Of a server that needs one of its own.
    _data_dir: Option<tempfile::TempDir>,
}

impl Server {
    /// topicd as it comes, with the bundled model.
    pub(crate) fn topicd() -> Self {
        let data_dir = tempfile::tempdir().unwrap();
        let mut server = Self::topicd_in(data_dir.path());
        server._data_dir = Some(data_dir);
        server
    }

    /// The same in a data directory.
    pub(crate) fn topicd_in(data_dir: &Path) -> Self {
        let (process, [address]) = start_topicd(data_dir, &[], ["listening"]);
        Self { name: "topicd", address: format!("http://{address}"), process, _data_dir: None }
    }

    /// Servers that do nothing, with an answer of topicd's: one with its layers, one with tonic's.
    pub(crate) async fn do_nothing(topicd: &Self, document: pb::Document) -> [Self; 2] {
        let channel = Channel::from_shared(topicd.address.clone()).unwrap().connect().await.unwrap();
        let request = pb::ClassifyRequest { document: Some(document), ..Default::default() };
        let answer = ClassifierServiceClient::new(channel).classify(request).await.unwrap().into_inner();
        [("topicd's layers, doing nothing", "of-topicd"), ("tonic, doing nothing", "of-tonic")].map(|(name, layers)| {
            let dir = tempfile::tempdir().unwrap();
            let file = dir.path().join("answer");
            std::fs::write(&file, answer.encode_to_vec()).unwrap();
            let mut command = Command::new(std::env::current_exe().unwrap());
            command.arg("do-nothing").arg(layers).arg(file).env("MALLOC_ARENA_MAX", "2");
            Self::that_prints(name, command, dir)
        })
    }

    /// A server in Python around a library, which it trains first.
    pub(crate) fn in_python(name: &'static str, library: &str, python: &Path, train: &Path) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new(python);
        let directory = Path::new(env!("CARGO_MANIFEST_DIR"));
        command.arg(directory.join("benches/load/peers/server.py")).arg(library).arg("--train").arg(train);
        command.arg("--proto").arg(directory.join("proto"));
        Self::that_prints(name, command, dir)
    }

    /// A server that prints where it listens.
    fn that_prints(name: &'static str, mut command: Command, data_dir: tempfile::TempDir) -> Self {
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening ").unwrap();
        Self { name, address: format!("http://{address}"), process, _data_dir: Some(data_dir) }
    }

    /// What its memory takes, in 10⁶ bytes.
    pub(crate) fn resident_mb(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        resident.trim().trim_end_matches(" kB").parse::<f64>().unwrap() * 1024.0 / 1e6
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
