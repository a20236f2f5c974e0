//! Being told to stop: the lame-duck time, the drain, and a second signal.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use topicd::api::pb;
use topicd::api::pb::classifier_service_client::ClassifierServiceClient;

use crate::health::{check, next, watch};
use crate::server_process::{ServerProcess, serve};
use crate::support::{LONG, TestServer, article, document, examples, request, text_of, train_request};

#[tokio::test]
async fn a_lame_duck_lets_calls_in_and_says_not_serving() {
    let server = TestServer::start_with(|config| config.lame_duck = LONG).await;
    let (before, _) = server.connect().await;
    let mut news = watch(&before, "").await;
    assert_eq!(next(&mut news).await, ServingStatus::Serving);
    let (stop, running) = (server.stop, server.running);
    stop.send(()).unwrap();
    assert_eq!(next(&mut news).await, ServingStatus::NotServing);

    // A connection from before, and a new one.
    let after = Channel::from_shared(format!("http://{}", server.address)).unwrap().connect().await.unwrap();
    for channel in [before, after] {
        let mut client = ClassifierServiceClient::new(channel.clone());
        assert!(!client.classify(request(article())).await.unwrap().into_inner().topics.is_empty());
        assert_eq!(check(&channel, "topicd.v1.ClassifierService").await.unwrap(), ServingStatus::NotServing);
        assert_eq!(next(&mut watch(&channel, "").await).await, ServingStatus::NotServing);
        // A training that is done in time is as good as any other.
        let job = client.train(train_request("desk", examples(0..40))).await.unwrap().into_inner().training_job;
        assert_eq!(job.unwrap().state(), pb::training_job::State::Succeeded);
    }
    assert!(!running.is_finished());
    running.abort();
}

const LAME_DUCK: Duration = Duration::from_secs(1);
const DRAIN: Duration = Duration::from_secs(30);

fn serve_with(data_dir: &std::path::Path, lame_duck: Duration, drain: Duration) -> Command {
    let mut command = serve(data_dir);
    command.args(["--lame-duck-seconds", &lame_duck.as_secs().to_string()]);
    command.args(["--drain-seconds", &drain.as_secs().to_string()]);
    command
}

/// One that calls until nobody lets it in.
struct Caller {
    client: ClassifierServiceClient<Channel>,
    document: pb::Document,
    address: String,
    n_answered: Arc<AtomicUsize>,
}

impl Caller {
    /// What the last call is told. No call may fail before the server has closed its port.
    async fn run(mut self) -> Status {
        loop {
            match self.client.classify(request(self.document.clone())).await {
                Ok(answer) => {
                    assert!(!answer.into_inner().topics.is_empty());
                    self.n_answered.fetch_add(1, Ordering::Relaxed);
                }
                Err(status) => {
                    let connected = TcpStream::connect(&self.address).await;
                    assert!(connected.is_err(), "failed while the port was open: {status:?}");
                    if !is_unsent(&status) {
                        return status;
                    }
                }
            }
        }
    }
}

/// Whether tonic's client had a call in hand, and hadn't sent it, when the connection closed or was told to take no more.
pub(crate) fn is_unsent(status: &Status) -> bool {
    let is_closed = (status.code(), status.message()) == (Code::Cancelled, "operation was canceled");
    is_closed || format!("{status:?}").contains(r#"GoAway(b"", NO_ERROR, Remote)"#)
}

/// Calls that had reached the server were refused when the drain began, and one that was on its way could be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_is_lost_when_the_server_stops_under_load() {
    let parent = tempfile::tempdir().unwrap();
    let mut command = serve_with(&parent.path().join("data"), LAME_DUCK, DRAIN);
    command.env("RUST_LOG", "topicd=debug");
    let server = ServerProcess::spawn(command).await;
    let url = format!("http://{}", server.address);
    let n_answered = Arc::new(AtomicUsize::new(0));
    let mut callers = Vec::new();
    for connection in 0..4 {
        let channel = Endpoint::from_shared(url.clone()).unwrap().connect().await.unwrap();
        for caller in 0..8 {
            let client = ClassifierServiceClient::new(channel.clone());
            // Short ones, which are answered where they arrive, and long ones for the workers.
            let document = if caller == connection { document("", &text_of(100_000)) } else { article() };
            let (address, n_answered) = (server.address.clone(), Arc::clone(&n_answered));
            callers.push(tokio::spawn(Caller { client, document, address, n_answered }.run()));
        }
    }
    let mut news = watch(&server.channel, "").await;
    assert_eq!(next(&mut news).await, ServingStatus::Serving);
    let more_answers = async |n: usize| {
        let enough = n_answered.load(Ordering::Relaxed) + n;
        while n_answered.load(Ordering::Relaxed) < enough {
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, more_answers(200)).await.unwrap();

    server.signal(Signal::TERM);
    let begun = Instant::now();
    assert_eq!(next(&mut news).await, ServingStatus::NotServing);
    timeout(LONG, more_answers(200)).await.unwrap();
    let newcomer = Endpoint::from_shared(url).unwrap().connect().await.unwrap();
    ClassifierServiceClient::new(newcomer.clone()).classify(request(article())).await.unwrap();
    assert_eq!(check(&newcomer, "").await.unwrap(), ServingStatus::NotServing);
    drop(newcomer);

    for caller in callers {
        let status = timeout(LONG, caller).await.unwrap().unwrap();
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    }
    let (status, log) = timeout(LONG, server.wait()).await.unwrap();
    assert!(status.success() && (LAME_DUCK..LAME_DUCK + DRAIN).contains(&begun.elapsed()), "{status}");
    // Each call that the server took was answered, and each answer arrived.
    let codes: Vec<String> = log.iter().filter_map(|line| classified(line)).collect();
    assert_eq!(codes.iter().filter(|code| *code != "Ok").collect::<Vec<_>>(), Vec::<&String>::new());
    assert_eq!(codes.len(), n_answered.load(Ordering::Relaxed) + 1);
    assert!(log.last().unwrap().contains("stopped") && !log.iter().any(|line| line.contains("cut off")));
}

/// The code that a line of the log says a Classify call was answered with.
fn classified(line: &str) -> Option<String> {
    let line = serde_json::from_str::<serde_json::Value>(line).ok()?;
    let (fields, span) = (&line["fields"], &line["span"]);
    let is_call = fields["message"] == "call" && span["method"] == "topicd.v1.ClassifierService/Classify";
    is_call.then(|| fields["code"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn a_second_signal_stops_at_once() {
    for (first, second) in [(Signal::TERM, Signal::TERM), (Signal::INT, Signal::TERM)] {
        let parent = tempfile::tempdir().unwrap();
        let data_dir = parent.path().join("data");
        let server = ServerProcess::spawn(serve_with(&data_dir, 60 * LONG, 60 * LONG)).await;
        let mut news = watch(&server.channel, "").await;
        assert_eq!(next(&mut news).await, ServingStatus::Serving);
        server.signal(first);
        assert_eq!(next(&mut news).await, ServingStatus::NotServing);
        server.signal(second);
        let (status, log) = timeout(LONG, server.wait()).await.unwrap();
        assert_eq!(status.code(), Some(1), "{log:#?}");
        let said = "topicd: stopped at once by a second signal; calls in flight were cut off";
        assert_eq!(log.last().unwrap(), said, "{log:#?}");
        assert!(news.message().await.is_err());
        // Nothing is left that a start would mind.
        ServerProcess::start(&data_dir).await.stop().await;
    }
}
