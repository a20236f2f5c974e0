//! How many documents a second topicd answers over the wire, and how soon, beside servers that bound and rival it.
//!
//!     cargo bench --bench load                                        # topicd and servers that do nothing
//!     cargo bench --bench load -- compare --documents wikinews.jsonl.gz --train train.jsonl.gz --python .venv/bin/python
//!     cargo bench --bench load -- start
//!     cargo bench --bench load -- run http://127.0.0.1:50051 --kind batch --callers 4
//!     cargo bench --bench load -- run http://127.0.0.1:50051 --rate 5000
//!
//! `README.md` beside this file says what is measured and how.

#![allow(clippy::unwrap_used, missing_docs)]

mod compare;
mod do_nothing;
#[path = "../../tests/integration/encoded.rs"]
mod encoded;
mod generator;
#[path = "../serving/process.rs"]
mod process;
mod ratios;
mod requests;
mod servers;
mod start;

use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use generator::{Load, Pace};
use requests::{Documents, Kind, Requests};

#[derive(Debug, Parser)]
struct Bench {
    #[command(subcommand)]
    command: Option<Command>,
    /// What cargo adds.
    #[arg(long, hide = true, global = true)]
    bench: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure topicd and its rivals in turn, and print a table of ratios.
    Compare(compare::Options),
    /// Measure how soon topicd serves, and its memory.
    Start,
    /// Call one server.
    Run(Run),
    /// Be a server that does nothing.
    #[command(hide = true)]
    DoNothing { layers: do_nothing::Layers, answer: std::path::PathBuf },
}

#[derive(Debug, Args)]
struct Run {
    /// `http://HOST:PORT`.
    server: String,
    #[command(flatten)]
    documents: Documents,
    #[arg(long, value_enum, default_value_t = Kind::Unary)]
    kind: Kind,
    /// Calls a second, whatever becomes of those before; without it, each caller calls again when it has its answer.
    #[arg(long)]
    rate: Option<f64>,
    /// Calls, or streams, that are open at a time.
    #[arg(long, default_value_t = 16)]
    callers: usize,
    #[arg(long, default_value_t = 4)]
    connections: usize,
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
}

fn main() {
    let bench = Bench::parse();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    // Servers have a thread a processor, as topicd has; the load comes from two.
    if !matches!(bench.command, Some(Command::DoNothing { .. })) {
        runtime.worker_threads(2);
    }
    runtime.enable_all().build().unwrap().block_on(run(bench));
}

async fn run(bench: Bench) {
    match bench.command.unwrap_or_else(|| Command::Compare(compare::Options::default())) {
        Command::Compare(options) => compare::run(&options).await,
        Command::Start => start::run().await,
        Command::DoNothing { layers, answer } => do_nothing::serve(&answer, layers).await,
        Command::Run(run) => {
            let Run { server, documents, kind, rate, callers, connections, seconds } = run;
            let requests = Requests::new(kind, &documents.read());
            let pace = rate.map_or(Pace::Closed { n_callers: callers }, |per_second| Pace::Open { per_second });
            let load = Load { n_connections: connections, pace, duration: Duration::from_secs_f64(seconds) };
            let outcome = load.put_on(&server, &requests).await;
            println!("{outcome}");
        }
    }
}
