//! topicd and its rivals in turn, round by round, and the medians of the ratios: a ratio within a round, because the machine's speed
//! changes between rounds, and the median, because one bad round says little.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::generator::{Latencies, Load, Pace};
use crate::ratios::{median, ratio};
use crate::requests::{Documents, Kind, Requests};
use crate::servers::Server;

const N_CONNECTIONS: usize = 4;
/// Enough that the servers always have something to do.
const UNARY_CALLERS: usize = 32;
const BATCH_CALLERS: usize = 4;
const STREAM_CALLERS: usize = 4;
/// topicd and the servers that do nothing, which come first.
const N_WITH_LATENCIES: usize = 3;
/// Latencies are of so many turns of each: a moment in which the machine is slow is all of theirs.
const N_TURNS: usize = 6;

/// What is compared.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    documents: Documents,
    /// A corpus, `train.jsonl.gz`, that the servers in Python are trained on.
    #[arg(long, requires = "python")]
    train: Option<PathBuf>,
    /// Python with what `peers/requirements.txt` lists: then there are servers in Python too.
    #[arg(long, requires = "train")]
    python: Option<PathBuf>,
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
}

impl Default for Options {
    fn default() -> Self {
        Self { documents: Documents::default(), train: None, python: None, rounds: 5, seconds: 4.0 }
    }
}

/// Documents a second, and latencies at half of topicd's load, round by round.
#[derive(Default)]
struct Measured {
    unary: Vec<f64>,
    batch: Vec<f64>,
    stream: Vec<f64>,
    p50_ms: Vec<f64>,
    p99_ms: Vec<f64>,
}

pub(crate) async fn run(options: &Options) {
    let documents = options.documents.read();
    let requests = [Kind::Unary, Kind::Batch, Kind::Stream].map(|kind| Requests::new(kind, &documents));
    let topicd = Server::topicd();
    let doing_nothing = Server::do_nothing(&topicd, documents[0].clone()).await;
    let mut servers = vec![topicd];
    servers.extend(doing_nothing);
    if let (Some(python), Some(train)) = (&options.python, &options.train) {
        for (name, library) in [("grpcio + scikit-learn", "scikit-learn"), ("grpcio + fastText", "fasttext")] {
            servers.push(Server::in_python(name, library, python, train));
        }
    }
    let mut measured: Vec<Measured> = servers.iter().map(|_| Measured::default()).collect();
    for round in 0..options.rounds {
        // Each goes first in turn.
        let mut order: Vec<usize> = (0..servers.len()).collect();
        order.rotate_left(round % servers.len());
        measure_round(&servers, &order, &requests, options.seconds, &mut measured).await;
        eprintln!("round {} of {}: {:.0} calls/s", round + 1, options.rounds, measured[0].unary[round]);
    }
    print(&servers, &measured, options);
}

/// One measurement of each kind of each server, in this order.
async fn measure_round(
    servers: &[Server],
    order: &[usize],
    requests: &[Requests; 3],
    seconds: f64,
    measured: &mut [Measured],
) {
    let [unary, batches, streams] = requests;
    let closed = |n_callers| Load {
        n_connections: N_CONNECTIONS,
        pace: Pace::Closed { n_callers },
        duration: Duration::from_secs_f64(seconds),
    };
    for &place in order {
        let outcome = closed(UNARY_CALLERS).put_on(&servers[place].address, unary).await;
        measured[place].unary.push(outcome.documents_per_second);
    }
    let with_latencies: Vec<usize> = order.iter().copied().filter(|&place| place < N_WITH_LATENCIES).collect();
    for &place in &with_latencies {
        let address = &servers[place].address;
        let batches = closed(BATCH_CALLERS).put_on(address, batches).await;
        measured[place].batch.push(batches.documents_per_second);
        let streams = closed(STREAM_CALLERS).put_on(address, streams).await;
        measured[place].stream.push(streams.documents_per_second);
    }
    let per_second = measured[0].unary.last().copied().unwrap_or_default() / 2.0;
    let at_half = Load { pace: Pace::Open { per_second }, ..closed(0) };
    let mut latencies: [Latencies; N_WITH_LATENCIES] = Default::default();
    for _ in 0..N_TURNS {
        for &place in &with_latencies {
            let outcome = at_half.put_on(&servers[place].address, unary).await;
            latencies[place].add(&outcome.latencies);
        }
    }
    for (measured, latencies) in measured.iter_mut().zip(&latencies) {
        measured.p50_ms.push(latencies.quantile_ms(0.5));
        measured.p99_ms.push(latencies.quantile_ms(0.99));
    }
}

fn print(servers: &[Server], measured: &[Measured], options: &Options) {
    println!(
        "\nMedians of {} rounds of {} s; p50 and p99 of {N_TURNS} times as long.\n",
        options.rounds, options.seconds
    );
    println!("| server | Classify, calls/s | BatchClassify, documents/s | StreamClassify, documents/s | p50 | p99 |");
    println!("|---|---:|---:|---:|---:|---:|");
    let number = |values: &[f64]| if values.is_empty() { "".to_owned() } else { format!("{:.0}", median(values)) };
    let ms = |values: &[f64]| if values.is_empty() { "".to_owned() } else { format!("{:.3} ms", median(values)) };
    for (server, Measured { unary, batch, stream, p50_ms, p99_ms }) in servers.iter().zip(measured) {
        let [unary, batch, stream] = [unary, batch, stream].map(|values| number(values));
        println!("| {} | {unary} | {batch} | {stream} | {} | {} |", server.name, ms(p50_ms), ms(p99_ms));
    }
    let topicd = &measured[0];
    println!("\n| ratio | median (least to most) |\n|---|---:|");
    for (server, peer) in servers.iter().zip(measured).skip(1) {
        println!("| Classify, calls/s, topicd ÷ {} | {} |", server.name, ratio(&topicd.unary, &peer.unary));
    }
    for (Server { name, .. }, peer) in servers.iter().zip(measured).take(N_WITH_LATENCIES).skip(1) {
        println!("| p50 at half of topicd's load, topicd ÷ {name} | {} |", ratio(&topicd.p50_ms, &peer.p50_ms));
        println!("| p99 at half of topicd's load, topicd ÷ {name} | {} |", ratio(&topicd.p99_ms, &peer.p99_ms));
        println!("| documents/s, BatchClassify, topicd ÷ {name} | {} |", ratio(&topicd.batch, &peer.batch));
    }
    println!("| documents/s, BatchClassify ÷ Classify | {} |", ratio(&topicd.batch, &topicd.unary));
    println!("| documents/s, StreamClassify ÷ Classify | {} |", ratio(&topicd.stream, &topicd.unary));
}
