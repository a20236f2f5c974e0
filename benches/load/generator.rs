//! The load: callers who wait for their answers (closed loop), or calls that come when they are due (open loop), whose time runs
//! from when they were due: a server that stops for a second isn't asked less in that second.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::Request;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;

use crate::encoded::Encoded;
use crate::requests::{Kind, N_TOGETHER, Requests};

const CLASSIFY: PathAndQuery = PathAndQuery::from_static("/topicd.v1.ClassifierService/Classify");
const BATCH_CLASSIFY: PathAndQuery = PathAndQuery::from_static("/topicd.v1.ClassifierService/BatchClassify");
const STREAM_CLASSIFY: PathAndQuery = PathAndQuery::from_static("/topicd.v1.ClassifierService/StreamClassify");

/// When calls begin.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pace {
    /// When the caller has the answer to the one before.
    Closed { n_callers: usize },
    /// So many a second, evenly.
    Open { per_second: f64 },
}

/// Calls for a time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) n_connections: usize,
    pub(crate) pace: Pace,
    pub(crate) duration: Duration,
}

/// What became of it.
pub(crate) struct Outcome {
    pub(crate) documents_per_second: f64,
    /// Of a message, from when it was due.
    pub(crate) latencies: Latencies,
}

impl Outcome {
    fn of(latencies: Latencies, requests: &Requests, begun: Instant) -> Self {
        let n_documents = latencies.0.len() as f64 * requests.n_documents() as f64;
        Self { documents_per_second: n_documents / begun.elapsed().as_secs_f64(), latencies }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p90, p99, p999] = [0.5, 0.9, 0.99, 0.999].map(|quantile| self.latencies.quantile_ms(quantile));
        let most = self.latencies.0.max() as f64 / 1e3;
        write!(
            f,
            "{:.0} documents/s; p50 {p50:.3} ms, p90 {p90:.3} ms, p99 {p99:.3} ms, p99.9 {p999:.3} ms, most {most:.1} ms",
            self.documents_per_second
        )
    }
}

/// How long messages took, in microseconds.
pub(crate) struct Latencies(Histogram<u64>);

impl Default for Latencies {
    fn default() -> Self {
        Self(Histogram::new(3).unwrap())
    }
}

impl Latencies {
    fn record(&mut self, since: Instant) {
        self.0.record(microseconds(since)).unwrap();
    }

    pub(crate) fn add(&mut self, others: &Self) {
        self.0.add(&others.0).unwrap();
    }

    pub(crate) fn quantile_ms(&self, quantile: f64) -> f64 {
        self.0.value_at_quantile(quantile) as f64 / 1e3
    }
}

fn microseconds(since: Instant) -> u64 {
    since.elapsed().as_micros() as u64
}

/// One call with one answer.
async fn call(channel: Channel, requests: &Requests, number: usize) {
    let path = if requests.kind == Kind::Batch { BATCH_CLASSIFY } else { CLASSIFY };
    let mut client = Grpc::new(channel);
    client.ready().await.unwrap();
    client.unary(Request::new(requests.message(number)), path, Encoded).await.unwrap();
}

impl Load {
    /// Puts it on a server.
    ///
    /// # Panics
    /// When a call fails.
    pub(crate) async fn put_on(self, server: &str, requests: &Requests) -> Outcome {
        let mut channels = Vec::new();
        for _ in 0..self.n_connections {
            channels.push(Channel::from_shared(server.to_owned()).unwrap().connect().await.unwrap());
        }
        let requests = Arc::new(Requests { kind: requests.kind, messages: requests.messages.clone() });
        match (self.pace, requests.kind) {
            (Pace::Closed { n_callers }, _) => self.closed(&channels, n_callers, &requests).await,
            (Pace::Open { per_second }, Kind::Unary | Kind::Batch) => self.open(&channels, per_second, &requests).await,
            (Pace::Open { .. }, Kind::Stream) => {
                panic!("documents of a stream come when there is room: leave out --rate")
            }
        }
    }

    async fn closed(self, channels: &[Channel], n_callers: usize, requests: &Arc<Requests>) -> Outcome {
        let is_over = Arc::new(AtomicBool::new(false));
        let mut callers = JoinSet::new();
        for caller in 0..n_callers {
            let (channel, requests, is_over) =
                (channels[caller % channels.len()].clone(), Arc::clone(requests), Arc::clone(&is_over));
            match requests.kind {
                Kind::Stream => callers.spawn(stream(channel, requests, is_over)),
                Kind::Unary | Kind::Batch => callers.spawn(call_again(channel, requests, is_over, 7 * caller)),
            };
        }
        let begun = Instant::now();
        tokio::time::sleep(self.duration).await;
        is_over.store(true, Ordering::Relaxed);
        let mut latencies = Latencies::default();
        while let Some(of_caller) = callers.join_next().await {
            latencies.add(&of_caller.unwrap());
        }
        Outcome::of(latencies, requests, begun)
    }

    async fn open(self, channels: &[Channel], per_second: f64, requests: &Arc<Requests>) -> Outcome {
        let (due, mut dues) = mpsc::unbounded_channel();
        let duration = self.duration;
        // A thread of its own: the runtime's clock counts milliseconds.
        let pacing = std::thread::spawn(move || {
            let begun = Instant::now();
            for number in 0.. {
                let next = Duration::from_secs_f64(f64::from(number) / per_second);
                if next > duration {
                    break;
                }
                std::thread::sleep(next.saturating_sub(begun.elapsed()));
                if due.send(begun + next).is_err() {
                    break;
                }
            }
        });
        let (tell, mut told) = mpsc::unbounded_channel();
        let begun = Instant::now();
        let mut number = 0;
        while let Some(due) = dues.recv().await {
            let (channel, requests, tell) =
                (channels[number % channels.len()].clone(), Arc::clone(requests), tell.clone());
            tokio::spawn(async move {
                call(channel, &requests, number).await;
                let _ = tell.send(microseconds(due));
            });
            number += 1;
        }
        drop(tell);
        pacing.join().unwrap();
        let mut latencies = Latencies::default();
        while let Some(took) = told.recv().await {
            latencies.0.record(took).unwrap();
        }
        assert_eq!(latencies.0.len(), number as u64, "calls failed");
        Outcome::of(latencies, requests, begun)
    }
}

/// Calls again and again until it is over, from a message on.
async fn call_again(
    channel: Channel,
    requests: Arc<Requests>,
    is_over: Arc<AtomicBool>,
    mut number: usize,
) -> Latencies {
    let mut latencies = Latencies::default();
    while !is_over.load(Ordering::Relaxed) {
        let begun = Instant::now();
        call(channel.clone(), &requests, number).await;
        latencies.record(begun);
        number += 1;
    }
    latencies
}

/// Keeps a stream full until it is over; how long documents took isn't known of each, as they wait for those before.
async fn stream(channel: Channel, requests: Arc<Requests>, is_over: Arc<AtomicBool>) -> Latencies {
    let mut client = Grpc::new(channel);
    client.ready().await.unwrap();
    let (send, receive) = mpsc::unbounded_channel();
    let room = Arc::new(Semaphore::new(N_TOGETHER));
    let of_sender = Arc::clone(&room);
    let sending = tokio::spawn(async move {
        let mut n_sent = 0;
        while !is_over.load(Ordering::Relaxed) {
            of_sender.acquire().await.unwrap().forget();
            send.send(requests.message(n_sent)).unwrap();
            n_sent += 1;
        }
        n_sent as u64
    });
    let messages = UnboundedReceiverStream::new(receive);
    let mut answers = client.streaming(Request::new(messages), STREAM_CLASSIFY, Encoded).await.unwrap().into_inner();
    let mut latencies = Latencies::default();
    let mut last = Instant::now();
    while answers.message().await.unwrap().is_some() {
        room.add_permits(1);
        latencies.record(last);
        last = Instant::now();
    }
    assert_eq!(latencies.0.len(), sending.await.unwrap(), "documents without an answer");
    latencies
}
