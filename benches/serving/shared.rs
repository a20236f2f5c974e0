//! A server as a process, documents that are made up, and what is told of them: what the commands here share.

#![allow(clippy::unwrap_used, dead_code, missing_docs)]

#[path = "process.rs"]
mod process;
#[path = "../load/ratios.rs"]
pub(crate) mod ratios;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Child;
use std::time::Duration;

use tonic::transport::Channel;
use topicd::api::pb;
use topicd::api::pb::classifier_service_client::ClassifierServiceClient;
use topicd::api::pb::dataset_service_client::DatasetServiceClient;
use topicd::api::pb::model_service_client::ModelServiceClient;

use process::start_topicd;

pub(crate) const DESK: &str = "classifiers/desk";
const N_TOPICS: usize = 8;
/// Words of a document: about 1.7 kB.
const N_WORDS: usize = 250;

const SERVERS_CORE: usize = 0;
pub(crate) const CALLERS_CORE: usize = 1;

/// Has this thread, and the processes that it starts, run on one core; where there is no such core, nothing changes.
pub(crate) fn run_on(core: usize) {
    let mut cores = rustix::thread::CpuSet::new();
    cores.set(core);
    let _ = rustix::thread::sched_setaffinity(None, &cores);
}

pub(crate) struct Server {
    process: Child,
    address: String,
    /// Where metrics are, over HTTP.
    metrics: String,
    pub(crate) channel: Channel,
    _data_dir: tempfile::TempDir,
}

impl Server {
    /// Starts a server on a core of its own, where the machine has another one for who calls this.
    pub(crate) async fn start_alone(arguments: &[&str]) -> Self {
        run_on(SERVERS_CORE);
        let server = Self::start(arguments).await;
        run_on(CALLERS_CORE);
        server
    }

    /// Starts a server with arguments besides the usual ones.
    pub(crate) async fn start(arguments: &[&str]) -> Self {
        let data_dir = tempfile::tempdir().unwrap();
        let arguments = [&["--metrics-listen", "127.0.0.1:0"], arguments].concat();
        let (process, [metrics, address]) =
            start_topicd(data_dir.path(), &arguments, ["metrics at /metrics", "listening"]);
        let channel = connect(&address).await;
        Self { process, address, metrics, channel, _data_dir: data_dir }
    }

    /// Another connection.
    pub(crate) async fn connect(&self) -> Channel {
        connect(&self.address).await
    }

    /// One of the server's metrics.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let mut stream = TcpStream::connect(&self.metrics).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).unwrap();
        let line = page.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' '))).unwrap();
        line.rsplit_once(' ').unwrap().1.parse().unwrap()
    }

    /// What the server's memory takes, in MiB.
    pub(crate) fn resident_mib(&self) -> f64 {
        self.metric("process_resident_memory_bytes") / 1024.0 / 1024.0
    }

    /// The processor time that the server has used, in seconds; counted in hundredths.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).unwrap();
        // The name before the last bracket may have spaces; user and system time are the 12th and 13th fields behind it.
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
    }

    pub(crate) fn classifiers(&self) -> ClassifierServiceClient<Channel> {
        ClassifierServiceClient::new(self.channel.clone())
    }

    pub(crate) fn datasets(&self) -> DatasetServiceClient<Channel> {
        DatasetServiceClient::new(self.channel.clone())
    }

    pub(crate) fn models(&self) -> ModelServiceClient<Channel> {
        ModelServiceClient::new(self.channel.clone())
    }

    pub(crate) async fn train(
        &self,
        classifier: &str,
        documents: std::ops::Range<usize>,
        wait_s: i64,
    ) -> pb::TrainingJob {
        self.train_on(classifier, documents.map(labeled).collect(), wait_s).await
    }

    pub(crate) async fn train_on(
        &self,
        classifier: &str,
        examples: Vec<pb::LabeledDocument>,
        wait_s: i64,
    ) -> pb::TrainingJob {
        let request = pb::TrainRequest {
            classifier: classifier.to_owned(),
            inline_examples: Some(pb::InlineExamples { examples }),
            wait_timeout: Some(prost_types::Duration { seconds: wait_s, nanos: 0 }),
            ..Default::default()
        };
        self.classifiers().train(request).await.unwrap().into_inner().training_job.unwrap()
    }

    pub(crate) async fn set(&self, settings: pb::ClassifierSettings) {
        let request = pb::UpdateClassifierSettingsRequest {
            classifier: DESK.to_owned(),
            settings: Some(settings),
            ..Default::default()
        };
        self.models().update_classifier_settings(request).await.unwrap();
    }
}

async fn connect(address: &str) -> Channel {
    Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap()
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The same document for the same number: words that all topics have, and some of its own topic's, rare ones less often.
pub(crate) fn document(number: usize) -> pb::Document {
    let mut state = number as u64 ^ 0x9E37_79B9_7F4A_7C15;
    let mut next = |n: u64| {
        // SplitMix64 (Steele, Lea & Flood 2014).
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (bits ^ (bits >> 31)) % n
    };
    let words: Vec<String> = (0..N_WORDS)
        .map(|place| {
            let rank = next(200) * next(200) / 4;
            if place % 10 == 0 { format!("own{}x{rank}", number % N_TOPICS) } else { format!("word{rank}") }
        })
        .collect();
    pb::Document { text: words.join(" "), document_id: number.to_string(), ..Default::default() }
}

pub(crate) fn labeled(number: usize) -> pb::LabeledDocument {
    let topics = vec![format!("topic {}", number % N_TOPICS)];
    pb::LabeledDocument { document: Some(document(number)), topics, ..Default::default() }
}

pub(crate) fn request(model: &str, number: usize) -> pb::ClassifyRequest {
    pb::ClassifyRequest { model: model.to_owned(), document: Some(document(number)), ..Default::default() }
}

pub(crate) fn quantile(sorted: &[Duration], share: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3
}

pub(crate) fn row(what: &str, required: &str, seen: &str, holds: bool) {
    println!("| {what} | {required} | {seen} | {} |", if holds { "holds" } else { "DOESN'T HOLD" });
}
