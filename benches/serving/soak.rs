//! Minutes of everything at once, at seven tenths of what the server can do: answers are compared with those of the first
//! minute's version, imported documents are counted, and memory and latencies are looked at every minute. Server and clients
//! share the machine.
//!
//!     cargo bench --bench soak            # ten minutes
//!     cargo bench --bench soak -- 2       # two

#![allow(clippy::unwrap_used, missing_docs)]

mod shared;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tonic::Code;
use topicd::api::pb;
use topicd::api::pb::batch_classify_result::Result as BatchResult;
use topicd::api::pb::stream_classify_response::Result as StreamResult;

use shared::ratios::median;
use shared::{DESK, Server, document, labeled, quantile, request, row};

/// What answers all the time; promotions are of later versions.
const FIXED: &str = "classifiers/desk/versions/1";
const N_REQUESTS: usize = 500;
const N_CALLERS: usize = 32;
const LOAD: f64 = 0.7;
/// Which of the calls, in hundredths, aren't Classify: batches and streams of this many documents.
const N_TOGETHER: usize = 32;
const IMPORTED_AT_ONCE: usize = 200;
/// How long the most is measured, before each minute: a machine that is shared is faster in one minute than in another.
const MEASURING: Duration = Duration::from_secs(5);

/// What every caller needs.
struct Soak {
    server: Server,
    expected: Vec<pb::ClassifyResponse>,
    n_answers: AtomicU64,
    n_wrong: AtomicU64,
    n_failed: AtomicU64,
    n_bad_input: AtomicU64,
    n_resets: AtomicU64,
    n_imported: AtomicU64,
    n_trainings: AtomicU64,
    is_over: AtomicBool,
}

impl Soak {
    async fn start() -> Self {
        let server = Server::start(&[]).await;
        server.train(DESK, 0..800, 60).await;
        let mut expected = Vec::new();
        for number in 0..N_REQUESTS {
            expected.push(server.classifiers().classify(request(FIXED, number)).await.unwrap().into_inner());
        }
        let [n_answers, n_wrong, n_failed, n_bad_input, n_resets, n_imported, n_trainings] = Default::default();
        let is_over = AtomicBool::new(false);
        Self { server, expected, n_answers, n_wrong, n_failed, n_bad_input, n_resets, n_imported, n_trainings, is_over }
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Compares an answer with what it was before all this began.
    fn check(&self, number: usize, answer: Option<&pb::ClassifyResponse>) {
        self.n_answers.fetch_add(1, Ordering::Relaxed);
        if answer != Some(&self.expected[number % N_REQUESTS]) {
            self.n_wrong.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn fail(&self, what: &str, status: &tonic::Status) {
        eprintln!("{what}: {status:?}");
        self.n_failed.fetch_add(1, Ordering::Relaxed);
    }

    async fn classify(&self, number: usize) {
        match self.server.classifiers().classify(request(FIXED, number % N_REQUESTS)).await {
            Ok(answer) => self.check(number, Some(answer.get_ref())),
            Err(status) => self.fail("Classify", &status),
        }
    }

    async fn batch(&self, number: usize) {
        let documents = (number..number + N_TOGETHER).map(|number| document(number % N_REQUESTS)).collect();
        let batch = pb::BatchClassifyRequest { model: FIXED.to_owned(), documents, ..Default::default() };
        match self.server.classifiers().batch_classify(batch).await {
            Ok(answers) => {
                for (place, answer) in answers.into_inner().results.into_iter().enumerate() {
                    let answer = match answer.result {
                        Some(BatchResult::Response(answer)) => Some(answer),
                        _ => None,
                    };
                    self.check(number + place, answer.as_ref());
                }
            }
            Err(status) => self.fail("BatchClassify", &status),
        }
    }

    async fn stream(&self, number: usize) {
        let requests = (number..number + N_TOGETHER).map(|number| pb::StreamClassifyRequest {
            model: FIXED.to_owned(),
            document: Some(document(number % N_REQUESTS)),
            ..Default::default()
        });
        let requests = tokio_stream::iter(requests.collect::<Vec<_>>());
        let mut answers = match self.server.classifiers().stream_classify(requests).await {
            Ok(answers) => answers.into_inner(),
            Err(status) => return self.fail("StreamClassify", &status),
        };
        for place in 0..N_TOGETHER {
            let answer = match answers.message().await {
                Ok(Some(pb::StreamClassifyResponse { result: Some(StreamResult::Response(answer)) })) => Some(answer),
                _ => None,
            };
            self.check(number + place, answer.as_ref());
        }
    }

    async fn bad_input(&self) {
        let wrong = pb::ClassifyRequest { model: "classifiers/NOT A NAME".to_owned(), ..Default::default() };
        match self.server.classifiers().classify(wrong).await {
            Err(status) if status.code() == Code::InvalidArgument => {
                _ = self.n_bad_input.fetch_add(1, Ordering::Relaxed)
            }
            other => panic!("{other:?}"),
        }
    }

    /// Hangs up while the server works on it.
    async fn reset(&self, number: usize) {
        let documents = (number..number + 256).map(document).collect();
        let batch = pb::BatchClassifyRequest { model: FIXED.to_owned(), documents, ..Default::default() };
        let _ = tokio::time::timeout(Duration::from_millis(3), self.server.classifiers().batch_classify(batch)).await;
        self.n_resets.fetch_add(1, Ordering::Relaxed);
    }

    /// One of the calls of a mixture.
    async fn call(&self, number: usize) {
        match number % 200 {
            0 => self.batch(number).await,
            100 => self.stream(number).await,
            50 | 150 => self.bad_input().await,
            75 if (number / 200).is_multiple_of(10) => self.reset(number).await,
            _ => self.classify(number).await,
        }
    }

    /// Imports documents, each once, twice a second.
    async fn import(self: Arc<Self>) {
        let mut tick = tokio::time::interval(Duration::from_millis(500));
        while !self.is_over() {
            tick.tick().await;
            let first = 1_000_000 + self.n_imported.load(Ordering::Relaxed) as usize;
            let message = pb::ImportExamplesRequest {
                classifier: "classifiers/archive".to_owned(),
                examples: (first..first + IMPORTED_AT_ONCE).map(labeled).collect(),
                more_follows: false,
            };
            match self.server.datasets().import_examples(tokio_stream::iter([message])).await {
                Ok(_) => _ = self.n_imported.fetch_add(IMPORTED_AT_ONCE as u64, Ordering::Relaxed),
                Err(status) => self.fail("ImportExamples", &status),
            }
        }
    }

    /// Trains every twenty seconds, on the same documents with some labels changed, and promotes what came of it.
    async fn train(self: Arc<Self>) {
        let mut tick = tokio::time::interval(Duration::from_secs(20));
        let mut round = 0;
        while !self.is_over() {
            tick.tick().await;
            let examples = (0..200).map(|number| pb::LabeledDocument {
                document: Some(document(number)),
                ..labeled(number + usize::from(number % 20 == round % 20))
            });
            let job = self.server.train_on(DESK, examples.collect(), 60).await;
            round += 1;
            let promote =
                pb::PromoteModelVersionRequest { model_version: job.model_version, force: true, etag: String::new() };
            match self.server.models().promote_model_version(promote).await {
                Ok(_) => _ = self.n_trainings.fetch_add(1, Ordering::Relaxed),
                Err(status) => self.fail("PromoteModelVersion", &status),
            }
        }
    }
}

/// Calls of the mixture a second, with as many callers as keep the server busy.
async fn capacity(soak: &Arc<Soak>) -> f64 {
    let (is_over, n_done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut callers = JoinSet::new();
    for caller in 0..N_CALLERS {
        let (soak, is_over, n_done) = (Arc::clone(soak), Arc::clone(&is_over), Arc::clone(&n_done));
        callers.spawn(async move {
            let mut number = caller;
            while !is_over.load(Ordering::Relaxed) {
                soak.call(number).await;
                number += N_CALLERS;
                n_done.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    let begun = Instant::now();
    tokio::time::sleep(MEASURING).await;
    let rate = n_done.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64();
    is_over.store(true, Ordering::Relaxed);
    callers.join_all().await;
    rate
}

/// The processors' time so far, in hundredths of seconds, and what of it other machines on the same hardware had ("steal" in proc(5)).
fn processor_times() -> (f64, f64) {
    let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields = stat.lines().next().unwrap_or_default().split_whitespace().skip(1);
    let times: Vec<f64> = fields.filter_map(|field| field.parse().ok()).collect();
    (times.iter().take(8).sum(), times.get(7).copied().unwrap_or(0.0))
}

/// What a minute was like.
struct Minute {
    n_calls: usize,
    /// The share of the processors' time that other machines had: nothing here can make up for that.
    stolen: f64,
    /// How long calls of one document took, from when they were due; sorted.
    taken: Vec<Duration>,
    /// MiB that were resident, seen every second; sorted.
    resident: Vec<f64>,
}

/// A minute's calls at a rate.
async fn minute(soak: &Arc<Soak>, rate: f64, first: usize) -> Minute {
    let (tell, mut told) = mpsc::unbounded_channel();
    let mut tick = tokio::time::interval(Duration::from_millis(1));
    let (begun, mut n_begun, mut resident) = (Instant::now(), 0, Vec::new());
    let (all_before, stolen_before) = processor_times();
    while begun.elapsed() < Duration::from_secs(60) {
        let due = tick.tick().await.into_std();
        let n_due = (due.saturating_duration_since(begun).as_secs_f64() * rate) as usize;
        for number in first + n_begun..first + n_due {
            let (soak, tell) = (Arc::clone(soak), tell.clone());
            tokio::spawn(async move {
                soak.call(number).await;
                let is_one = !number.is_multiple_of(25);
                let _ = tell.send(is_one.then(|| due.elapsed()));
            });
        }
        n_begun = n_due.max(n_begun);
        if begun.elapsed().as_secs() as usize > resident.len() {
            resident.push(soak.server.resident_mib());
        }
    }
    drop(tell);
    let mut taken = Vec::new();
    while let Some(took) = told.recv().await {
        taken.extend(took);
    }
    taken.sort_unstable();
    let (all, stolen) = processor_times();
    let stolen = (stolen - stolen_before) / (all - all_before).max(1.0);
    resident.sort_by(f64::total_cmp);
    Minute { n_calls: n_begun, stolen, taken, resident }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let n_minutes: usize = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(10);
    let soak = Arc::new(Soak::start().await);
    let (importing, training) = (tokio::spawn(Arc::clone(&soak).import()), tokio::spawn(Arc::clone(&soak).train()));
    println!("| minute | calls a second | p50 | p99 | resident memory | the most of it | stolen |");
    println!("|---:|---:|---:|---:|---:|---:|---:|");
    let (mut first, mut p99s, mut resident) = (0, Vec::new(), Vec::new());
    for number in 1..=n_minutes {
        let rate = LOAD * capacity(&soak).await;
        let minute = minute(&soak, rate, first).await;
        first += minute.n_calls;
        p99s.push(quantile(&minute.taken, 0.99));
        // A training takes memory and gives it back; it runs for a third of the time, or half where the machine is slow.
        resident.push(minute.resident[minute.resident.len() / 4]);
        let (p50, p99, mib) = (quantile(&minute.taken, 0.5), p99s[number - 1], resident[number - 1]);
        let (most, stolen) = (minute.resident[minute.resident.len() - 1], 100.0 * minute.stolen);
        println!("| {number} | {rate:.0} | {p50:.1} ms | {p99:.1} ms | {mib:.0} MiB | {most:.0} MiB | {stolen:.1} % |");
    }
    soak.is_over.store(true, Ordering::Relaxed);
    importing.await.unwrap();
    training.await.unwrap();
    report(&soak, &p99s, &resident).await;
}

async fn report(soak: &Soak, p99s: &[f64], resident: &[f64]) {
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let list = pb::ListClassifiersRequest::default();
    let classifiers = soak.server.models().list_classifiers(list).await.unwrap().into_inner().classifiers;
    assert!(classifiers.iter().any(|classifier| classifier.name == "classifiers/archive"));
    let store = soak.server.models().get_server_info(pb::GetServerInfoRequest {}).await.unwrap().into_inner().store;
    // Besides what was imported: the documents that are trained on.
    let n_stored = store.unwrap().document_count - 800;
    println!("\n| what | required | seen | |\n|---|---|---|---|");
    row(
        &format!(
            "{} answers, {} refusals of bad input, {} calls hung up, {} trainings promoted",
            count(&soak.n_answers),
            count(&soak.n_bad_input),
            count(&soak.n_resets),
            count(&soak.n_trainings)
        ),
        "none is wrong, none fails",
        &format!("{} wrong, {} failed", count(&soak.n_wrong), count(&soak.n_failed)),
        count(&soak.n_wrong) + count(&soak.n_failed) == 0,
    );
    let n_imported = count(&soak.n_imported);
    row(
        &format!("{n_imported} documents imported and acknowledged"),
        "none is lost",
        &format!("{n_stored} stored"),
        n_stored == n_imported,
    );
    // In the first minute everything is done for the first time. What is compared is what isn't a training's.
    let (early, late) = (resident[1.min(resident.len() - 1)], resident[resident.len() - 1]);
    row(
        "resident memory in the last minute (first quartile)",
        "within 10 % of that in the second",
        &format!("{late:.0} MiB, {early:.0} MiB then ({:+.0} %)", 100.0 * (late / early - 1.0)),
        late <= early * 1.1,
    );
    let half = p99s.len() / 2;
    let (early, late) = (median(&p99s[..half.max(1)]), median(&p99s[half..]));
    row(
        "99th percentile in the second half of the minutes",
        "at most 1.5 times that in the first (medians)",
        &format!("{late:.1} ms, {early:.1} ms then"),
        late <= 1.5 * early,
    );
}
