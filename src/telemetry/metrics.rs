//! Metrics for Prometheus, in its text format: counters, gauges and histograms, all there from the start, with labels of few
//! values each.
//!
//! Calls have the names of OpenTelemetry's semantic conventions for RPC (`rpc.server.call.duration`) as Prometheus spells them;
//! what is topicd's own begins with `topicd_`. Units are seconds and bytes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use prometheus::core::Collector;
use prometheus::{
    Counter, Encoder, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
};
use tonic::Code;

use super::connections::{ConnectionCounters, ConnectionEnd};
use crate::abstention::AbstainReason;
use crate::service::StabilityIndexes;
use crate::service::counters::{DocumentCounts, TrainingCounters, TrainingOutcome};
use crate::store::StoreSize;

/// Upper bounds of a call's duration, in seconds: from a short document to a training that is waited for.
const CALL_SECONDS: [f64; 14] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 60.0];
/// What a method is called that isn't ours.
const OTHER_METHOD: &str = "_OTHER";
/// Classifiers that have labels of their own: the first by name.
pub const MAX_CLASSIFIERS: usize = 100;
/// The codes that a call can end with.
const CODES: [(Code, &str); 17] = [
    (Code::Ok, "OK"),
    (Code::Cancelled, "CANCELLED"),
    (Code::Unknown, "UNKNOWN"),
    (Code::InvalidArgument, "INVALID_ARGUMENT"),
    (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"),
    (Code::NotFound, "NOT_FOUND"),
    (Code::AlreadyExists, "ALREADY_EXISTS"),
    (Code::PermissionDenied, "PERMISSION_DENIED"),
    (Code::ResourceExhausted, "RESOURCE_EXHAUSTED"),
    (Code::FailedPrecondition, "FAILED_PRECONDITION"),
    (Code::Aborted, "ABORTED"),
    (Code::OutOfRange, "OUT_OF_RANGE"),
    (Code::Unimplemented, "UNIMPLEMENTED"),
    (Code::Internal, "INTERNAL"),
    (Code::Unavailable, "UNAVAILABLE"),
    (Code::DataLoss, "DATA_LOSS"),
    (Code::Unauthenticated, "UNAUTHENTICATED"),
];

/// All metrics of one server.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    durations: HistogramVec,
    /// By the path of a request, `/{service}/{method}`.
    methods: HashMap<String, Arc<Method>>,
    other: Arc<Method>,
    calls: IntCounterVec,
    /// Set by one reader at a time, so that nothing is added twice.
    gauges: Mutex<Gauges>,
}

/// The metrics of one method's calls; found once a call. Those of answered ones are counted without a lock.
#[derive(Debug)]
pub struct Method {
    name: String,
    answered: Histogram,
    n_answered: IntCounter,
}

impl Method {
    /// Such as `topicd.v1.ClassifierService/Classify`, or `_OTHER`.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// What is read when somebody asks.
#[derive(Debug)]
struct Gauges {
    documents: IntCounterVec,
    document_bytes: IntCounterVec,
    tokens: IntCounterVec,
    documents_in_flight: IntGauge,
    max_documents_in_flight: IntGauge,
    connections: IntGauge,
    max_connections: IntGauge,
    ended_connections: IntCounterVec,
    training_jobs: IntCounterVec,
    training_seconds: Counter,
    active_training_jobs: IntGauge,
    stable_version: IntGaugeVec,
    dataset_revision: IntGaugeVec,
    model_bytes: IntGauge,
    loaded_models: IntGauge,
    store_bytes: IntGaugeVec,
    stored: IntGaugeVec,
    drift: GaugeVec,
    certificate_expires_at: IntGauge,
    failed_reloads: IntCounterVec,
}

/// What [`Metrics::render`] is told of a server.
#[derive(Debug)]
pub struct Snapshot<'a> {
    /// Documents since the start.
    pub documents: DocumentCounts,
    /// Documents that are worked on or wait.
    pub n_documents_in_flight: u64,
    /// The most of them.
    pub max_documents_in_flight: u64,
    /// Connections, and the most of them at a time.
    pub connections: (&'a ConnectionCounters, u32),
    /// Jobs since the start.
    pub training: &'a TrainingCounters,
    /// Jobs that run or wait.
    pub n_active_jobs: usize,
    /// All classifiers, by name; `None` when the store can't tell.
    pub classifiers: Option<Vec<ClassifierSnapshot>>,
    /// Models in memory, and the bytes of their files.
    pub loaded: (usize, u64),
    /// What is stored; `None` when the store can't tell.
    pub store: Option<StoreSize>,
    /// When the server's certificate for TLS expires; `None` without.
    pub certificate_expires_at: Option<SystemTime>,
    /// How often changed certificates or principals couldn't be used since the start.
    pub n_failed_reloads: u64,
}

/// What [`Metrics::render`] is told of a classifier.
#[derive(Debug)]
pub struct ClassifierSnapshot {
    /// Its name, without `classifiers/`.
    pub name: String,
    /// The stable version's number.
    pub stable_version: Option<u32>,
    /// The newest revision of its documents; 0 without any.
    pub dataset_revision: u32,
    /// How far what the stable version answered in the last day is from its training; none if it isn't in memory.
    pub stability_indexes: StabilityIndexes,
}

impl Metrics {
    /// Makes the metrics of a server with these methods, such as `topicd.v1.ClassifierService/Classify`, each at zero.
    ///
    /// # Errors
    /// Never with the names that are here: Prometheus refuses malformed ones and doubles.
    pub fn new(methods: &[String]) -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let durations = HistogramVec::new(
            HistogramOpts::new("rpc_server_call_duration_seconds", "How long calls took, streams to their end")
                .buckets(CALL_SECONDS.to_vec()),
            &["rpc_method", "rpc_response_status_code"],
        )?;
        let calls = IntCounterVec::new(
            Opts::new("rpc_server_calls_total", "Calls that have ended"),
            &["rpc_method", "rpc_response_status_code"],
        )?;
        register(&registry, &durations)?;
        register(&registry, &calls)?;
        let method = |name: &str| {
            for (_, code) in CODES {
                calls.with_label_values(&[name, code]);
            }
            let labels = [name, code_name(Code::Ok)];
            let (answered, n_answered) = (durations.with_label_values(&labels), calls.with_label_values(&labels));
            Arc::new(Method { name: name.to_owned(), answered, n_answered })
        };
        let other = method(OTHER_METHOD);
        let methods = methods.iter().map(|name| (format!("/{name}"), method(name))).collect();
        let gauges = Mutex::new(Gauges::new(&registry)?);
        #[cfg(target_os = "linux")]
        registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        Ok(Self { registry, durations, methods, other, calls, gauges })
    }

    /// The method of a request's path; `_OTHER` if it isn't known.
    pub fn method(&self, path: &str) -> &Arc<Method> {
        self.methods.get(path).unwrap_or(&self.other)
    }

    /// Counts a call that has ended.
    pub fn ended(&self, method: &Method, code: Code, took: Duration) {
        let seconds = took.as_secs_f64();
        if code == Code::Ok {
            method.n_answered.inc();
            method.answered.observe(seconds);
        } else {
            let labels = [method.name(), code_name(code)];
            self.calls.with_label_values(&labels).inc();
            self.durations.with_label_values(&labels).observe(seconds);
        }
    }

    /// All metrics in Prometheus' text format, version 0.0.4.
    ///
    /// # Errors
    /// Never with metrics that were registered.
    pub fn render(&self, snapshot: &Snapshot<'_>) -> Result<String, prometheus::Error> {
        let gauges = self.gauges.lock().unwrap_or_else(PoisonError::into_inner);
        gauges.set(snapshot);
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

impl Gauges {
    fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counters = |name: &str, help: &str, labels: &[&str]| {
            let counters = IntCounterVec::new(Opts::new(name, help), labels)?;
            register(registry, &counters)?;
            Ok::<_, prometheus::Error>(counters)
        };
        let gauge = |name: &str, help: &str| {
            let gauge = IntGauge::new(name, help)?;
            register(registry, &gauge)?;
            Ok::<_, prometheus::Error>(gauge)
        };
        let gauges = |name: &str, help: &str, label: &str| {
            let gauges = IntGaugeVec::new(Opts::new(name, help), &[label])?;
            register(registry, &gauges)?;
            Ok::<_, prometheus::Error>(gauges)
        };
        let training_seconds = Counter::new(
            "topicd_training_seconds_total",
            "How long the training jobs that have ended since the start took together",
        )?;
        register(registry, &training_seconds)?;
        let build = GaugeVec::new(Opts::new("topicd_build_info", "Which topicd this is; always 1"), &["version"])?;
        register(registry, &build)?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1.0);
        let drift = Opts::new(
            "topicd_drift_psi",
            "How far what each classifier's stable version answered in the last day is from its training, as population \
             stability index; NaN where that can't be told",
        );
        let drift = GaugeVec::new(drift, &["classifier", "feature"])?;
        register(registry, &drift)?;
        Ok(Self {
            documents: counters("topicd_documents_total", "Documents that were classified, by outcome", &["outcome"])?,
            document_bytes: counters("topicd_document_bytes_total", "Bytes of their titles and texts", &[])?,
            tokens: counters("topicd_tokens_total", "Their tokens, by whether the vocabulary has them", &["known"])?,
            documents_in_flight: gauge("topicd_documents_in_flight", "Documents that are worked on or wait")?,
            max_documents_in_flight: gauge(
                "topicd_documents_in_flight_limit",
                "How many documents may be worked on or wait before calls are refused",
            )?,
            connections: gauge("topicd_connections", "Connections that are open")?,
            max_connections: gauge("topicd_connections_limit", "How many may be open before others are refused")?,
            ended_connections: counters(
                "topicd_connections_ended_total",
                "Connections that have ended since the start, by reason",
                &["reason"],
            )?,
            training_jobs: counters(
                "topicd_training_jobs_total",
                "Training jobs that have ended since the start, by outcome",
                &["outcome"],
            )?,
            training_seconds,
            active_training_jobs: gauge("topicd_training_jobs_active", "Training jobs that run or wait")?,
            stable_version: gauges(
                "topicd_stable_version",
                "The number of each classifier's stable version; 0 without one",
                "classifier",
            )?,
            dataset_revision: gauges(
                "topicd_dataset_revision",
                "The newest revision of each classifier's documents; 0 without any",
                "classifier",
            )?,
            model_bytes: gauge("topicd_loaded_model_bytes", "Bytes of the model files in memory")?,
            loaded_models: gauge("topicd_loaded_models", "Model versions in memory")?,
            store_bytes: gauges(
                "topicd_store_bytes",
                "Bytes on the disk: the database, and the model files in it",
                "kind",
            )?,
            stored: gauges("topicd_stored", "Documents and versions that are stored", "kind")?,
            drift,
            certificate_expires_at: gauge(
                "topicd_certificate_expiry_timestamp_seconds",
                "When the server's certificate for TLS expires, in seconds since 1970; 0 without one",
            )?,
            failed_reloads: counters(
                "topicd_reload_failures_total",
                "How often changed certificates or principals couldn't be used since the start; those before hold",
                &[],
            )?,
        })
    }

    fn set(&self, snapshot: &Snapshot<'_>) {
        let DocumentCounts { n_assigned, n_abstained, n_failed, n_bytes, n_tokens, n_known_tokens } =
            snapshot.documents;
        set(&self.documents, &["assigned"], n_assigned);
        set(&self.documents, &["failed"], n_failed);
        for (reason, n) in n_abstained {
            set(&self.documents, &[outcome(reason)], n);
        }
        set(&self.document_bytes, &[], n_bytes);
        set(&self.tokens, &["true"], n_known_tokens);
        set(&self.tokens, &["false"], n_tokens.saturating_sub(n_known_tokens));
        self.documents_in_flight.set(signed(snapshot.n_documents_in_flight));
        self.max_documents_in_flight.set(signed(snapshot.max_documents_in_flight));
        let (connections, max_connections) = snapshot.connections;
        self.connections.set(signed(connections.n_open()));
        self.max_connections.set(max_connections.into());
        for end in ConnectionEnd::ALL {
            set(&self.ended_connections, &[connection_end(end)], connections.n_ended(end));
        }
        for ended in TrainingOutcome::ALL {
            set(&self.training_jobs, &[training_outcome(ended)], snapshot.training.n_ended(ended));
        }
        let seconds = snapshot.training.duration().as_secs_f64();
        self.training_seconds.inc_by((seconds - self.training_seconds.get()).max(0.0));
        self.active_training_jobs.set(signed(snapshot.n_active_jobs as u64));
        if snapshot.classifiers.is_some() {
            // Those that aren't among the first any more, too.
            self.stable_version.reset();
            self.dataset_revision.reset();
            self.drift.reset();
        }
        for classifier in snapshot.classifiers.iter().flatten().take(MAX_CLASSIFIERS) {
            let ClassifierSnapshot { name, stable_version, dataset_revision, stability_indexes } = classifier;
            self.stable_version.with_label_values(&[name]).set(stable_version.unwrap_or(0).into());
            self.dataset_revision.with_label_values(&[name]).set((*dataset_revision).into());
            self.set_drift(name, stability_indexes);
        }
        let (n_loaded, n_bytes) = snapshot.loaded;
        self.loaded_models.set(signed(n_loaded as u64));
        self.model_bytes.set(signed(n_bytes));
        if let Some(size) = snapshot.store {
            self.store_bytes.with_label_values(&["database"]).set(signed(size.database_bytes));
            self.store_bytes.with_label_values(&["artifacts"]).set(signed(size.artifact_bytes));
            self.stored.with_label_values(&["documents"]).set(signed(size.n_documents));
            self.stored.with_label_values(&["versions"]).set(signed(size.n_versions));
        }
        let since_1970 = snapshot.certificate_expires_at.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
        self.certificate_expires_at.set(signed(since_1970.unwrap_or_default().as_secs()));
        set(&self.failed_reloads, &[], snapshot.n_failed_reloads);
    }

    /// There from the start, so that an alert is about a series that is known; a comparison with NaN is never true.
    fn set_drift(&self, classifier: &str, indexes: &StabilityIndexes) {
        let StabilityIndexes { topics, confidence, unknown_tokens } = *indexes;
        for (feature, index) in [("topics", topics), ("confidence", confidence), ("unknown_tokens", unknown_tokens)] {
            self.drift.with_label_values(&[classifier, feature]).set(index.unwrap_or(f64::NAN));
        }
    }
}

/// A code's name, such as `NOT_FOUND`.
pub fn code_name(code: Code) -> &'static str {
    CODES.iter().find(|(known, _)| *known == code).map_or("UNKNOWN", |(_, name)| name)
}

/// A counter of ours that counts elsewhere.
fn set(counters: &IntCounterVec, labels: &[&str], value: u64) {
    let counter = counters.with_label_values(labels);
    counter.inc_by(value.saturating_sub(counter.get()));
}

fn register<C: Collector + Clone + 'static>(registry: &Registry, metric: &C) -> Result<(), prometheus::Error> {
    registry.register(Box::new(metric.clone()))
}

fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn outcome(reason: AbstainReason) -> &'static str {
    match reason {
        AbstainReason::LowProbability => "abstained_low_probability",
        AbstainReason::SmallMargin => "abstained_small_margin",
        AbstainReason::FewKnownTokens => "abstained_few_known_tokens",
        AbstainReason::NoTokens => "abstained_no_tokens",
        AbstainReason::OtherLanguage => "abstained_other_language",
    }
}

fn connection_end(end: ConnectionEnd) -> &'static str {
    match end {
        ConnectionEnd::Client => "client",
        ConnectionEnd::Error => "error",
        ConnectionEnd::Refused => "refused",
        ConnectionEnd::HandshakeTimeout => "handshake_timeout",
        ConnectionEnd::Idle => "idle",
        ConnectionEnd::Age => "age",
        ConnectionEnd::Drain => "drain",
    }
}

fn training_outcome(outcome: TrainingOutcome) -> &'static str {
    match outcome {
        TrainingOutcome::Promoted => "promoted",
        TrainingOutcome::Candidate => "candidate",
        TrainingOutcome::Stored => "stored",
        TrainingOutcome::Failed => "failed",
        TrainingOutcome::Cancelled => "cancelled",
    }
}
