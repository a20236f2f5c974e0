//! `topicd serve`: the gRPC server, until it is told to stop.

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroU64};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use super::CommandResult;
use super::security_args::SecurityArgs;
use crate::artifact::{self, Artifact};
use crate::config::{ConnectionLimits, Limits, LogFormat, OtlpEndpoint, ServeConfig, TraceShare};
use crate::server::Listeners;
use crate::server::security::Security;
use crate::service::Services;
use crate::store::{DataDir, Store};
use crate::telemetry::traces::Exporter;
use crate::{server, telemetry};

/// What `topicd serve` is told; each also by the environment variable that is named.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A TOML file with settings: the flags' names with _ for -, such as max_document_bytes = 65536. Flags and the environment
    /// take the place of what it says.
    #[arg(long, env = "TOPICD_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,

    /// Print all settings as such a file, with where each comes from, and don't serve.
    #[arg(long)]
    print_config: bool,

    /// Where to listen, HOST:PORT; port 0 is any free one, which the log names.
    #[arg(long, env = "TOPICD_LISTEN", default_value_t = ServeConfig::default().listen)]
    listen: String,

    /// The directory for what the server keeps; created when missing, and used by one server at a time.
    #[arg(long, env = "TOPICD_DATA_DIR", default_value_os_t = ServeConfig::default().data_dir, value_name = "DIR")]
    data_dir: PathBuf,

    /// The model file that classifiers/default begins with; another one than at the last start becomes a new version,
    /// which answers unless a trained one does. Left out: the bundled news model.
    #[arg(long, env = "TOPICD_MODEL", value_name = "FILE")]
    model: Option<PathBuf>,

    /// Where to show metrics for Prometheus, HOST:PORT, at /metrics over HTTP; anyone who reaches it may read them. Left out:
    /// nowhere.
    #[arg(long, env = "TOPICD_METRICS_LISTEN", value_name = "ADDRESS")]
    metrics_listen: Option<String>,

    /// Where to answer questions for health and no others, HOST:PORT, without TLS and credentials: for probes that have neither. Left
    /// out: nowhere.
    #[arg(long, env = "TOPICD_HEALTH_LISTEN", value_name = "ADDRESS")]
    health_listen: Option<String>,

    #[command(flatten)]
    security: SecurityArgs,

    /// How log lines look, on standard error. RUST_LOG chooses what is logged.
    #[arg(long, env = "TOPICD_LOG_FORMAT", value_enum, default_value_t)]
    log_format: LogFormat,

    /// The largest request message, in bytes.
    #[arg(long, env = "TOPICD_MAX_MESSAGE_BYTES", default_value_t = Limits::default().max_message_bytes)]
    max_message_bytes: NonZeroU32,

    /// The most bytes of request messages on their way in at a time, over all calls.
    #[arg(long, env = "TOPICD_MAX_INBOUND_BYTES", default_value_t = Limits::default().max_inbound_bytes)]
    max_inbound_bytes: NonZeroU64,

    /// The largest document, in bytes of title and text.
    #[arg(long, env = "TOPICD_MAX_DOCUMENT_BYTES", default_value_t = Limits::default().max_document_bytes)]
    max_document_bytes: NonZeroU32,

    /// The most documents of one BatchClassify call; at most 256.
    #[arg(long, env = "TOPICD_MAX_BATCH_DOCUMENTS", default_value_t = Limits::default().max_batch_documents)]
    max_batch_documents: NonZeroU32,

    /// The most documents that are worked on or wait at a time, over all calls.
    #[arg(long, env = "TOPICD_MAX_DOCUMENTS_IN_FLIGHT", default_value_t = Limits::default().max_documents_in_flight)]
    max_documents_in_flight: NonZeroU32,

    /// The most labelled documents of one message of Train or ImportExamples.
    #[arg(long, env = "TOPICD_MAX_MESSAGE_EXAMPLES", default_value_t = Limits::default().max_message_examples)]
    max_message_examples: NonZeroU32,

    /// The most training jobs that run or wait at a time.
    #[arg(long, env = "TOPICD_MAX_TRAINING_JOBS", default_value_t = Limits::default().max_training_jobs)]
    max_training_jobs: NonZeroU32,

    /// The most topics that a classifier is trained on.
    #[arg(long, env = "TOPICD_MAX_TOPICS", default_value_t = Limits::default().max_topics)]
    max_topics: NonZeroU32,

    /// The most documents that a classifier is trained on.
    #[arg(long, env = "TOPICD_MAX_TRAINING_DOCUMENTS", default_value_t = Limits::default().max_training_documents)]
    max_training_documents: NonZeroU32,

    /// The most bytes that the titles and texts of a training's documents have together; they are all in memory then.
    #[arg(long, env = "TOPICD_MAX_TRAINING_BYTES", default_value_t = Limits::default().max_training_bytes)]
    max_training_bytes: NonZeroU64,

    /// The largest model file that ImportModelVersion takes, in bytes, at most 943718400; also how many bytes of model files
    /// are in memory at a time on their way in or out.
    #[arg(long, env = "TOPICD_MAX_ARTIFACT_BYTES", default_value_t = Limits::default().max_artifact_bytes)]
    max_artifact_bytes: NonZeroU32,

    /// The most bytes of model files kept in memory, all classifiers together. When a version is asked for that doesn't fit,
    /// those that were asked longest ago are let go of, and loaded again when they are asked for.
    #[arg(long, env = "TOPICD_MAX_MODEL_BYTES", default_value_t = Limits::default().max_model_bytes)]
    max_model_bytes: NonZeroU64,

    /// The most connections at a time; more are closed as they come.
    #[arg(long, env = "TOPICD_MAX_CONNECTIONS", default_value_t = ConnectionLimits::default().max_connections)]
    max_connections: NonZeroU32,

    /// The most calls at a time on one connection; clients wait with more, as HTTP/2 has them.
    #[arg(long, env = "TOPICD_MAX_STREAMS_PER_CONNECTION",
        default_value_t = ConnectionLimits::default().max_streams_per_connection)]
    max_streams_per_connection: NonZeroU32,

    /// The largest header of a call, in bytes: its metadata's names and values, and 32 for each.
    #[arg(long, env = "TOPICD_MAX_HEADER_BYTES", default_value_t = ConnectionLimits::default().max_header_bytes)]
    max_header_bytes: NonZeroU32,

    /// How many seconds a new connection may take to begin HTTP/2.
    #[arg(long, env = "TOPICD_HANDSHAKE_SECONDS", value_name = "SECONDS",
        default_value_t = seconds(ConnectionLimits::default().handshake_timeout))]
    handshake_seconds: NonZeroU32,

    /// How many seconds a connection may have no call, before it is closed; clients open another one when they need it.
    #[arg(long, env = "TOPICD_IDLE_SECONDS", value_name = "SECONDS",
        default_value_t = seconds(ConnectionLimits::default().idle_timeout))]
    idle_seconds: NonZeroU32,

    /// How many seconds a connection takes calls, up to a tenth less, before its client is told to open another one: that
    /// is how calls are spread anew over servers.
    #[arg(long, env = "TOPICD_MAX_CONNECTION_AGE_SECONDS", value_name = "SECONDS",
        default_value_t = seconds(ConnectionLimits::default().max_age))]
    max_connection_age_seconds: NonZeroU32,

    /// How many seconds calls may go on after that.
    #[arg(long, env = "TOPICD_CONNECTION_GRACE_SECONDS", value_name = "SECONDS",
        default_value_t = seconds(ConnectionLimits::default().age_grace))]
    connection_grace_seconds: NonZeroU32,

    /// Where spans of calls are sent, over OTLP's gRPC without TLS, such as http://localhost:4317. Left out: nowhere.
    #[arg(long, env = "TOPICD_OTLP_ENDPOINT", value_name = "URL")]
    otlp_endpoint: Option<OtlpEndpoint>,

    /// The share of calls whose spans are sent, from 0 to 1, where their callers' traceparent header doesn't say.
    #[arg(long, env = "TOPICD_TRACE_SHARE", value_name = "SHARE", default_value_t = TraceShare::default())]
    trace_share: TraceShare,

    /// The threads that train; they give way to those that answer. Left out: one for each processor.
    #[arg(long, env = "TOPICD_TRAINING_THREADS", value_name = "NUMBER")]
    training_threads: Option<NonZeroU32>,

    /// How many seconds calls are still let in after SIGTERM or an interrupt, while health says NOT_SERVING: as long as load
    /// balancers take to notice, which is about their probes' interval times the failures that they wait for.
    #[arg(long, alias = "lame-duck", env = "TOPICD_LAME_DUCK_SECONDS", value_name = "SECONDS",
        default_value_t = ServeConfig::default().lame_duck.as_secs())]
    lame_duck_seconds: u64,

    /// How many seconds calls in flight, and after nine tenths of them the closing of the database, may take after that. A
    /// second signal ends the server at once, at any time.
    #[arg(long, env = "TOPICD_DRAIN_SECONDS", default_value_t = ServeConfig::default().drain_timeout.as_secs())]
    drain_seconds: u64,
}

impl TryFrom<Args> for ServeConfig {
    type Error = String;

    fn try_from(args: Args) -> Result<Self, String> {
        let (security, grpc_web) = args.security.into_config()?;
        Ok(Self {
            listen: args.listen,
            data_dir: args.data_dir,
            model: args.model,
            metrics_listen: args.metrics_listen,
            health_listen: args.health_listen,
            security,
            grpc_web,
            log_format: args.log_format,
            limits: Limits {
                max_message_bytes: args.max_message_bytes,
                max_inbound_bytes: args.max_inbound_bytes,
                max_document_bytes: args.max_document_bytes,
                max_batch_documents: args.max_batch_documents,
                max_documents_in_flight: args.max_documents_in_flight,
                max_message_examples: args.max_message_examples,
                max_training_jobs: args.max_training_jobs,
                max_topics: args.max_topics,
                max_training_documents: args.max_training_documents,
                max_training_bytes: args.max_training_bytes,
                max_artifact_bytes: args.max_artifact_bytes,
                max_model_bytes: args.max_model_bytes,
            },
            connections: ConnectionLimits {
                max_connections: args.max_connections,
                max_streams_per_connection: args.max_streams_per_connection,
                max_header_bytes: args.max_header_bytes,
                handshake_timeout: duration(args.handshake_seconds),
                idle_timeout: duration(args.idle_seconds),
                max_age: duration(args.max_connection_age_seconds),
                age_grace: duration(args.connection_grace_seconds),
            },
            otlp_endpoint: args.otlp_endpoint,
            trace_share: args.trace_share,
            training_threads: args.training_threads,
            lame_duck: Duration::from_secs(args.lame_duck_seconds),
            drain_timeout: Duration::from_secs(args.drain_seconds),
        })
    }
}

/// Files that are open besides connections: the database's, listeners, the log.
const OTHER_FILES: u32 = 100;

/// Has the operating system let the process open as many files as it needs, or says that it doesn't.
fn make_room_for(max_connections: NonZeroU32, n_listeners: u32) {
    let wanted = u64::from(max_connections.get().saturating_mul(n_listeners).saturating_add(OTHER_FILES));
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let Some(current) = current.filter(|current| *current < wanted) else { return };
    let raised = maximum.map_or(wanted, |maximum| maximum.min(wanted));
    let is_raised = setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum }).is_ok();
    let n_files = if is_raised { raised } else { current };
    if n_files < wanted {
        tracing::warn!(
            max_connections,
            n_files,
            "this process may open fewer files than connections need; raise its limit (ulimit -n), or lower --max-connections"
        );
    }
}

fn duration(seconds: NonZeroU32) -> Duration {
    Duration::from_secs(seconds.get().into())
}

/// The whole seconds of a default.
fn seconds(duration: Duration) -> NonZeroU32 {
    u32::try_from(duration.as_secs()).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN)
}

/// Serves until SIGTERM or an interrupt; a second one is a failure, which cuts off what the first one let go on.
///
/// # Errors
/// The model can't be loaded, the address or data directory not be had, or serving fails.
pub fn run(args: Args) -> CommandResult {
    let config = ServeConfig::try_from(args)?;
    config.limits.check()?;
    let security = Security::load(&config)?;
    let model = config.model.as_deref().map_or_else(artifact::bundled, artifact::load)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let exporter = {
        let _runtime = runtime.enter();
        let start = |endpoint: &OtlpEndpoint| Exporter::start(endpoint, config.trace_share);
        config.otlp_endpoint.as_ref().map(start).transpose()?
    };
    telemetry::logs::init(config.log_format, exporter.as_ref())?;
    let n_listeners = 1 + u32::from(config.health_listen.is_some());
    make_room_for(config.connections.max_connections, n_listeners);
    let result = runtime.block_on(serve(&config, security, model, exporter));
    // What still runs has had its time: dropping the runtime would wait for it.
    runtime.shutdown_background();
    result
}

async fn serve(
    config: &ServeConfig,
    security: Arc<Security>,
    model: Artifact,
    exporter: Option<Exporter>,
) -> CommandResult {
    let addresses = resolve(&config.listen).await?;
    addresses.iter().try_for_each(|address| config.security.check_listening(*address))?;
    let store = Store::open(DataDir::lock(&config.data_dir)?).await?;
    let services = Services::start(store, model, config).await?;
    // On those that were looked at.
    let listening = TcpListener::bind(&addresses[..]).await;
    let grpc = listening.map_err(|error| format!("can't listen on {}: {error}", config.listen))?;
    let metrics = listen_if_told(config.metrics_listen.as_ref()).await?;
    let health = listen_if_told(config.health_listen.as_ref()).await?;
    let listeners = Listeners { grpc, metrics, health };
    let mut signals =
        StopSignals { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? };
    tokio::spawn(reload_when_told(signal(SignalKind::hangup())?, Arc::clone(&security)));
    let (stop, stopped) = oneshot::channel::<()>();
    let running = async {
        server::run(listeners, config, services, security, async { drop(stopped.await) }).await?;
        if let Some(exporter) = exporter {
            exporter.stop().await;
        }
        Ok(())
    };
    let mut running = pin!(running);
    tokio::select! {
        result = &mut running => return result,
        () = signals.next() => drop(stop.send(())),
    }
    tokio::select! {
        result = running => result,
        () = signals.next() => Err("stopped at once by a second signal; calls in flight were cut off".into()),
    }
}

/// What tells the process to stop.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Reads certificates and principals again on each hang-up signal.
async fn reload_when_told(mut hang_up: Signal, security: Arc<Security>) {
    while hang_up.recv().await.is_some() {
        let security = Arc::clone(&security);
        // A panic in it is logged.
        let _ = tokio::task::spawn_blocking(move || security.reload()).await;
    }
}

async fn resolve(address: &str) -> Result<Vec<SocketAddr>, String> {
    let resolved = tokio::net::lookup_host(address).await;
    resolved.map(Iterator::collect).map_err(|error| format!("can't listen on {address}: {error}"))
}

async fn listen_if_told(address: Option<&String>) -> Result<Option<TcpListener>, String> {
    match address {
        Some(address) => listen(address).await.map(Some),
        None => Ok(None),
    }
}

async fn listen(address: &str) -> Result<TcpListener, String> {
    TcpListener::bind(address).await.map_err(|error| format!("can't listen on {address}: {error}"))
}
