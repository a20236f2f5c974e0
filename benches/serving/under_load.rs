//! What callers notice of promotions, of a training, and of settings that have their documents looked at, while the server
//! has as much to do as it can or half of that. Server and clients share the machine.
//!
//!     cargo bench --bench under_load

#![allow(clippy::unwrap_used, missing_docs)]

mod shared;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use topicd::api::pb;
use topicd::api::pb::training_job::State;

use shared::ratios::median;
use shared::{DESK, Server, labeled, quantile, request, row};

/// What is trained while the other one answers.
const OTHER: &str = "classifiers/other";
const N_TRAINING: usize = 20_000;
/// Calls that wait for an answer at a time, when the server shall have as much to do as it can.
const N_CALLERS: usize = 32;
const N_MOVES: usize = 20;
const N_ROUNDS: usize = 3;
const ROUND: Duration = Duration::from_secs(8);

/// An answer, and when its call began and ended.
struct Answered {
    began: Instant,
    ended: Instant,
    response: pb::ClassifyResponse,
}

/// Calls without a pause, as many at a time as [`N_CALLERS`].
struct Load {
    stop: Arc<AtomicBool>,
    n_answered: Arc<AtomicU64>,
    callers: Vec<JoinHandle<Vec<Answered>>>,
}

impl Load {
    /// `keep` keeps the answers; otherwise they are only counted.
    fn start(server: &Server, requests: &Arc<Vec<pb::ClassifyRequest>>, keep: bool) -> Self {
        let (stop, n_answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let callers = (0..N_CALLERS).map(|caller| {
            let (mut client, requests) = (server.classifiers(), Arc::clone(requests));
            let (stop, n_answered) = (Arc::clone(&stop), Arc::clone(&n_answered));
            tokio::spawn(async move {
                let mut answered = Vec::new();
                for request in requests.iter().cycle().skip(caller) {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let began = Instant::now();
                    let response = client.classify(request.clone()).await.unwrap().into_inner();
                    n_answered.fetch_add(1, Ordering::Relaxed);
                    if keep {
                        answered.push(Answered { began, ended: Instant::now(), response });
                    }
                }
                answered
            })
        });
        let callers = callers.collect();
        Self { stop, n_answered, callers }
    }

    async fn end(self) -> Vec<Answered> {
        self.stop.store(true, Ordering::Relaxed);
        let mut answered = Vec::new();
        for caller in self.callers {
            answered.extend(caller.await.unwrap());
        }
        answered
    }
}

/// Answers a second.
async fn throughput(server: &Server, requests: &Arc<Vec<pb::ClassifyRequest>>, duration: Duration) -> f64 {
    let load = Load::start(server, requests, false);
    let before = (Instant::now(), load.n_answered.load(Ordering::Relaxed));
    tokio::time::sleep(duration).await;
    let n_answered = load.n_answered.load(Ordering::Relaxed) - before.1;
    let rate = n_answered as f64 / before.0.elapsed().as_secs_f64();
    load.end().await;
    rate
}

/// How long calls take that come at a rate, whatever became of those before: from when each is due to its answer.
async fn latencies(
    server: &Server,
    requests: &Arc<Vec<pb::ClassifyRequest>>,
    rate: f64,
    duration: Duration,
) -> Vec<Duration> {
    let taken = Arc::new(Mutex::new(Vec::new()));
    let mut tick = tokio::time::interval(Duration::from_millis(1));
    let begun = Instant::now();
    let (mut n_begun, mut calls) = (0, tokio::task::JoinSet::new());
    while begun.elapsed() < duration {
        let due = tick.tick().await.into_std();
        let n_due = (due.saturating_duration_since(begun).as_secs_f64() * rate) as usize;
        for number in n_begun..n_due {
            let (mut client, requests, taken) = (server.classifiers(), Arc::clone(requests), Arc::clone(&taken));
            calls.spawn(async move {
                client.classify(requests[number % requests.len()].clone()).await.unwrap();
                taken.lock().await.push(due.elapsed());
            });
        }
        n_begun = n_due.max(n_begun);
    }
    calls.join_all().await;
    let mut taken = std::mem::take(&mut *taken.lock().await);
    taken.sort_unstable();
    taken
}

/// Promotes one version after the other, and goes back, while the server has as much to do as it can.
async fn move_under_load(server: &Server) {
    let mut expected = HashMap::new();
    let versions = ["classifiers/desk/versions/1", "classifiers/desk/versions/2"];
    let requests: Arc<Vec<pb::ClassifyRequest>> = Arc::new((0..200).map(|n| request(DESK, n)).collect());
    for version in versions {
        for number in 0..requests.len() {
            let answer = server.classifiers().classify(request(version, number)).await.unwrap().into_inner();
            expected.insert((version.to_owned(), answer.document_id.clone()), answer);
        }
    }
    let load = Load::start(server, &requests, true);
    let mut moves = Vec::new();
    for n in 0..N_MOVES {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let began = Instant::now();
        let classifier = if n % 2 == 0 {
            let model_version = versions[n / 2 % 2].to_owned();
            let request = pb::PromoteModelVersionRequest { model_version, force: true, etag: String::new() };
            server.models().promote_model_version(request).await.unwrap().into_inner().classifier
        } else {
            let request = pb::RollbackClassifierRequest { classifier: DESK.to_owned(), etag: String::new() };
            server.models().rollback_classifier(request).await.unwrap().into_inner().classifier
        };
        moves.push((began, Instant::now(), classifier.unwrap().stable_version));
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    let answered = load.end().await;
    let is_wrong = |answered: &&Answered| {
        let Answered { response, .. } = answered;
        expected.get(&(response.model_version.clone(), response.document_id.clone())) != Some(response)
    };
    let n_wrong = answered.iter().filter(is_wrong).count();
    // Begun after a move was acknowledged, and answered before the next one was asked for.
    let is_late = |answered: &&Answered| {
        let last = moves.iter().rposition(|(_, acknowledged, _)| *acknowledged <= answered.began);
        last.is_some_and(|n| {
            let is_before_next = moves.get(n + 1).is_none_or(|(began, ..)| answered.ended < *began);
            is_before_next && answered.response.model_version != moves[n].2
        })
    };
    let n_late = answered.iter().filter(is_late).count();
    let mut names: Vec<&str> = answered.iter().map(|answered| answered.response.model_version.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    row(
        &format!("{N_MOVES} promotions and rollbacks during {} Classify calls, {N_CALLERS} at a time", answered.len()),
        "none fails; each answer is exactly that of the version it names, which is the last one acknowledged",
        &format!("0 failed, {n_wrong} differ, {n_late} of an earlier version"),
        n_wrong + n_late == 0 && names.len() == 2,
    );
}

/// Calls at half of what the server can answer, with and without trainings.
async fn train_under_load(server: &Server, requests: &Arc<Vec<pb::ClassifyRequest>>) {
    let messages = (0..N_TRAINING / 1000).map(|n| pb::ImportExamplesRequest {
        classifier: OTHER.to_owned(),
        examples: (n * 1000..(n + 1) * 1000).map(labeled).collect(),
        more_follows: (n + 1) * 1000 < N_TRAINING,
    });
    let messages = tokio_stream::iter(messages.collect::<Vec<_>>());
    server.datasets().import_examples(messages).await.unwrap();
    let most = throughput(server, requests, ROUND).await;
    let (mut alone, mut meanwhile, mut ratios, mut n_trainings) = (Vec::new(), Vec::new(), Vec::new(), 0);
    for _ in 0..N_ROUNDS {
        let quiet = quantile(&latencies(server, requests, most / 2.0, ROUND).await, 0.99);
        let mut trainings = Trainings::start(server).await;
        let busy = quantile(&latencies(server, requests, most / 2.0, ROUND).await, 0.99);
        n_trainings += trainings.end().await;
        alone.push(quiet);
        meanwhile.push(busy);
        ratios.push(busy / quiet);
    }
    let (alone, meanwhile, ratio) = (median(&alone), median(&meanwhile), median(&ratios));
    row(
        &format!(
            "Classify's 99th percentile at {:.0} calls a second, half of the most, during {n_trainings} trainings of \
             {N_TRAINING} documents",
            most / 2.0
        ),
        "at most 3 times that without one",
        &format!("{meanwhile:.1} ms instead of {alone:.1} ms, {ratio:.1} times (medians of {N_ROUNDS})"),
        ratio <= 3.0,
    );
}

/// Trainings, one after the other.
struct Trainings {
    is_over: Arc<AtomicBool>,
    running: JoinHandle<usize>,
}

impl Trainings {
    async fn start(server: &Server) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let (mut classifiers, mut models, over) = (server.classifiers(), server.models(), Arc::clone(&is_over));
        let running = tokio::spawn(async move {
            let mut n_begun = 0;
            while !over.load(Ordering::Relaxed) {
                let request = pb::TrainRequest { classifier: OTHER.to_owned(), ..Default::default() };
                let job = classifiers.train(request).await.unwrap().into_inner().training_job.unwrap();
                n_begun += 1;
                let watch = pb::WatchTrainingJobRequest { training_job: job.name.clone() };
                let mut updates = models.watch_training_job(watch).await.unwrap().into_inner();
                let mut ended = job;
                while let Some(update) = updates.message().await.unwrap() {
                    ended = update.training_job.unwrap();
                    if over.load(Ordering::Relaxed) {
                        let cancel = pb::CancelTrainingJobRequest { training_job: ended.name.clone() };
                        models.cancel_training_job(cancel).await.unwrap();
                    }
                }
                assert!([State::Succeeded, State::Cancelled].contains(&ended.state()), "{ended:?}");
            }
            n_begun
        });
        Self { is_over, running }
    }

    /// Ends them; how many were begun.
    async fn end(&mut self) -> usize {
        self.is_over.store(true, Ordering::Relaxed);
        (&mut self.running).await.unwrap()
    }
}

/// What it costs callers that their documents are looked at.
async fn watch_under_load(server: &Server, requests: &Arc<Vec<pb::ClassifyRequest>>) {
    let watching = pb::ClassifierSettings {
        review: Some(pb::ReviewSettings { max_documents: 1000 }),
        shadow: Some(pb::ShadowSettings { share: 0.01 }),
        ..Default::default()
    };
    let manual = pb::PromotionPolicy { mode: pb::promotion_policy::Mode::Manual.into(), ..Default::default() };
    server.set(pb::ClassifierSettings { promotion_policy: Some(manual), ..Default::default() }).await;
    let candidate = server.train(DESK, 0..1200, 60).await;
    assert!(candidate.state() == State::Succeeded && !candidate.promoted, "{candidate:?}");
    let mut shares = Vec::new();
    for _ in 0..N_ROUNDS {
        server.set(pb::ClassifierSettings::default()).await;
        let before = throughput(server, requests, ROUND / 2).await;
        server.set(watching.clone()).await;
        shares.push(throughput(server, requests, ROUND / 2).await / before);
    }
    server.set(pb::ClassifierSettings::default()).await;
    let share = median(&shares);
    row(
        "calls a second with a review queue of 1,000 and a shadow of 1 %",
        "at least 0.8 of those without",
        &format!("{share:.2} (median of {N_ROUNDS})"),
        share >= 0.8,
    );
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let server = Server::start(&[]).await;
    for n in 1..=2 {
        let job = server.train(DESK, 0..n * 400, 60).await;
        assert!(job.promoted, "{job:?}");
    }
    println!("| what | required | seen | |\n|---|---|---|---|");
    move_under_load(&server).await;
    let requests: Arc<Vec<pb::ClassifyRequest>> = Arc::new((0..2000).map(|n| request(DESK, n)).collect());
    train_under_load(&server, &requests).await;
    watch_under_load(&server, &requests).await;
}
