//! What becomes of callers when they want three times what the server can do, and of the server when a thousand of them hang
//! up. The server has one core and its callers another: three times as many calls cost callers three times as much, which on the same
//! cores the server would lack.
//!
//!     cargo bench --bench overload

#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../../tests/integration/encoded.rs"]
mod encoded;
mod shared;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use prost::Message;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Code, Status};
use topicd::api::pb;

use encoded::Encoded;
use shared::{CALLERS_CORE, DESK, Server, document, quantile, row, run_on};

async fn batch_classify(channel: Channel, message: Bytes) -> Result<(), Status> {
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.map_err(|error| Status::unknown(error.to_string()))?;
    let path = PathAndQuery::from_static("/topicd.v1.ClassifierService/BatchClassify");
    client.unary(tonic::Request::new(message), path, Encoded).await.map(|_| ())
}

/// Documents of a batch.
const N_DOCUMENTS: usize = 64;
const N_CONNECTIONS: usize = 4;
const MEASURING: Duration = Duration::from_secs(8);
const OVERLOAD: Duration = Duration::from_secs(60);
const TIMES: f64 = 3.0;
const N_CANCELLED: usize = 1000;

fn batches(n: usize, n_documents: usize) -> Arc<Vec<Bytes>> {
    let batch = |number: usize| pb::BatchClassifyRequest {
        model: DESK.to_owned(),
        documents: (number * n_documents..(number + 1) * n_documents).map(document).collect(),
        ..Default::default()
    };
    Arc::new((0..n).map(|number| batch(number).encode_to_vec().into()).collect())
}

async fn clients(server: &Server, n: usize) -> Vec<Channel> {
    let mut clients = Vec::new();
    for _ in 0..n {
        clients.push(server.connect().await);
    }
    clients
}

/// Batches a second, with as many callers as keep the server busy.
async fn capacity(server: &Server, batches: &Arc<Vec<Bytes>>) -> f64 {
    let (is_over, n_answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut callers = JoinSet::new();
    for (caller, client) in clients(server, N_CONNECTIONS).await.into_iter().enumerate() {
        let (batches, is_over, n_answered) = (Arc::clone(batches), Arc::clone(&is_over), Arc::clone(&n_answered));
        callers.spawn(async move {
            for batch in batches.iter().cycle().skip(caller * 7) {
                if is_over.load(Ordering::Relaxed) {
                    break;
                }
                batch_classify(client.clone(), batch.clone()).await.unwrap();
                n_answered.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    let begun = Instant::now();
    tokio::time::sleep(MEASURING).await;
    let rate = n_answered.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64();
    is_over.store(true, Ordering::Relaxed);
    callers.join_all().await;
    rate
}

/// How long callers waited whose calls came at a rate, whatever became of those before.
#[derive(Default)]
struct Outcome {
    accepted: Vec<Duration>,
    refused: Vec<Duration>,
    resident_mib: f64,
    duration: Duration,
}

async fn overload(server: &Server, batches: &Arc<Vec<Bytes>>, rate: f64) -> Outcome {
    let clients = clients(server, N_CONNECTIONS).await;
    let (tell, mut told) = mpsc::unbounded_channel();
    let begun = Instant::now();
    let mut tick = tokio::time::interval(Duration::from_millis(1));
    let (mut n_begun, mut outcome) = (0, Outcome::default());
    let mut next_look = Duration::ZERO;
    while begun.elapsed() < OVERLOAD {
        tick.tick().await;
        let n_due = (begun.elapsed().as_secs_f64() * rate) as usize;
        for number in n_begun..n_due {
            let (client, batches, tell) = (clients[number % N_CONNECTIONS].clone(), Arc::clone(batches), tell.clone());
            tokio::spawn(async move {
                let sent = Instant::now();
                let answer = batch_classify(client, batches[number % batches.len()].clone()).await;
                let _ = tell.send((answer.map_err(|status| status.code()), sent.elapsed()));
            });
        }
        n_begun = n_due.max(n_begun);
        if begun.elapsed() > next_look {
            next_look += Duration::from_secs(1);
            outcome.resident_mib = outcome.resident_mib.max(server.resident_mib());
        }
    }
    outcome.duration = begun.elapsed();
    drop(tell);
    while let Some((answer, took)) = told.recv().await {
        match answer {
            Ok(()) => outcome.accepted.push(took),
            Err(Code::ResourceExhausted) => outcome.refused.push(took),
            Err(code) => panic!("a call ended with {code:?}"),
        }
    }
    outcome.accepted.sort_unstable();
    outcome.refused.sort_unstable();
    outcome
}

async fn three_times_too_much(server: &Server) {
    let batches = batches(200, N_DOCUMENTS);
    let most = capacity(server, &batches).await;
    let before_mib = server.resident_mib();
    let Outcome { accepted, refused, resident_mib, duration } = overload(server, &batches, TIMES * most).await;
    // The machine's speed changes within minutes.
    let most = (most + capacity(server, &batches).await) / 2.0;
    let goodput = accepted.len() as f64 / duration.as_secs_f64();
    let documents = |rate: f64| format!("{:.0} documents a second", rate * N_DOCUMENTS as f64);
    row(
        &format!(
            "answered at {TIMES:.0} times the most (of before; mean of before and after {}) for {} s",
            documents(most),
            OVERLOAD.as_secs()
        ),
        "at least 80 % of the most",
        &format!("{}, {:.0} %; {} batches refused", documents(goodput), 100.0 * goodput / most, refused.len()),
        goodput >= 0.8 * most,
    );
    // What is let in is 4,096 documents, and no caller's batch waits for more than these.
    let bound_ms = 2.0 * 4096.0 / (most * N_DOCUMENTS as f64) * 1e3 + 100.0;
    let p99 = quantile(&accepted, 0.99);
    row(
        "99th percentile of those let in",
        &format!("{bound_ms:.0} ms: twice what 4,096 documents take, and 100 ms"),
        &format!("{p99:.0} ms"),
        p99 <= bound_ms,
    );
    let p99 = quantile(&refused, 0.99);
    row("99th percentile of the refused", "50 ms", &format!("{p99:.1} ms"), p99 <= 50.0);
    row(
        "resident memory meanwhile",
        &format!("at most 256 MiB more than at the most, {before_mib:.0} MiB"),
        &format!("{resident_mib:.0} MiB"),
        resident_mib <= before_mib + 256.0,
    );
}

async fn a_thousand_hang_up() {
    let server = Server::start_alone(&["--max-documents-in-flight", "300000"]).await;
    server.train(DESK, 0..400, 60).await;
    let batches = batches(4, 256);
    let clients = clients(&server, 8).await;
    let mut calls = JoinSet::new();
    for number in 0..N_CANCELLED {
        let (client, message) = (clients[number % clients.len()].clone(), batches[number % batches.len()].clone());
        calls.spawn(batch_classify(client, message));
    }
    let in_flight = || server.metric("topicd_documents_in_flight");
    while in_flight() < 100_000.0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let waiting = in_flight();
    calls.abort_all();
    while calls.join_next().await.is_some() {}
    let hung_up = Instant::now();
    let (mut idle_after, mut empty_after) = (Duration::ZERO, None);
    let mut before = server.cpu_seconds();
    while hung_up.elapsed() < Duration::from_secs(3) {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let now = server.cpu_seconds();
        // A hundredth of a second is the least that is counted, and being asked for metrics takes some.
        if now - before > 0.011 {
            idle_after = hung_up.elapsed();
        }
        before = now;
        if empty_after.is_none() && in_flight() == 0.0 {
            empty_after = Some(hung_up.elapsed());
        }
    }
    let empty_ms = empty_after.map_or(f64::INFINITY, |after| after.as_secs_f64() * 1e3);
    row(
        &format!("{N_CANCELLED} batches of 256 documents are cancelled, {waiting:.0} documents in flight"),
        "processor idle within 200 ms, none in flight",
        &format!("idle after {:.0} ms, none in flight after {empty_ms:.0} ms", idle_after.as_secs_f64() * 1e3),
        idle_after <= Duration::from_millis(200) && empty_ms <= 200.0,
    );
}

fn main() {
    run_on(CALLERS_CORE);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        println!("| what | required | seen | |\n|---|---|---|---|");
        let server = Server::start_alone(&[]).await;
        server.train(DESK, 0..400, 60).await;
        three_times_too_much(&server).await;
        drop(server);
        a_thousand_hang_up().await;
    });
}
