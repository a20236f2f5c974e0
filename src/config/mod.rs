//! Every number and path that `topicd serve` obeys.

mod security;

use std::fmt;
use std::num::{NonZeroU32, NonZeroU64};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

pub use security::{ClientCertificates, Exposed, SecurityConfig, TlsClients, TlsFiles};

/// What a server is told; the defaults are the command line's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServeConfig {
    /// Where it listens, such as `127.0.0.1:50051` or `localhost:50051`. Port 0: a free one, which the log names.
    pub listen: String,
    /// The directory for what it keeps; created when missing, and its own as long as it lives.
    pub data_dir: PathBuf,
    /// The model file of `classifiers/default`; `None`: the bundled news model.
    pub model: Option<PathBuf>,
    /// Where it shows metrics over HTTP, such as `127.0.0.1:9464`; `None`: nowhere.
    pub metrics_listen: Option<String>,
    /// Where it answers questions for its health, and no others, without TLS and credentials; `None`: nowhere.
    pub health_listen: Option<String>,
    /// Who is let in, and over what.
    pub security: SecurityConfig,
    /// Whether browsers may call, and from which pages; `None`: they may not.
    pub grpc_web: Option<GrpcWebConfig>,
    /// How it logs, to standard error.
    pub log_format: LogFormat,
    /// What callers are held to.
    pub limits: Limits,
    /// What connections are held to.
    pub connections: ConnectionLimits,
    /// Where spans of calls are sent, over OTLP's gRPC, such as `http://localhost:4317`; `None`: nowhere.
    pub otlp_endpoint: Option<OtlpEndpoint>,
    /// The share of calls whose spans are sent, from 0 to 1, where their callers don't say.
    pub trace_share: TraceShare,
    /// The threads that train; `None`: one for each processor. They give way to those that answer.
    pub training_threads: Option<NonZeroU32>,
    /// How long the server goes on letting calls in after it was told to stop, while health says NOT_SERVING.
    pub lame_duck: Duration,
    /// How long calls in flight may go on after that.
    pub drain_timeout: Duration,
}

impl Default for ServeConfig {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:50051".to_owned(),
            data_dir: PathBuf::from("./topicd-data"),
            model: None,
            metrics_listen: None,
            health_listen: None,
            security: SecurityConfig::default(),
            grpc_web: None,
            log_format: LogFormat::Human,
            limits: Limits::default(),
            connections: ConnectionLimits::default(),
            otlp_endpoint: None,
            trace_share: TraceShare::default(),
            training_threads: None,
            lame_duck: Duration::ZERO,
            drain_timeout: Duration::from_secs(10),
        }
    }
}

/// What browsers may do, over gRPC-Web.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GrpcWebConfig {
    /// The origins of pages that may call, such as `https://desk.example.org`, or all; a page of this server's own origin needs no
    /// permission.
    pub origins: Vec<CorsOrigin>,
}

/// The origin of pages that may call, or `*` for all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CorsOrigin {
    /// Any page's.
    Any,
    /// A scheme, host and port, as browsers send it.
    One(http::HeaderValue),
}

impl FromStr for CorsOrigin {
    type Err = String;

    fn from_str(origin: &str) -> Result<Self, String> {
        if origin == "*" {
            return Ok(Self::Any);
        }
        let wrong = || "an origin is https://HOST, with :PORT if it isn't the usual one, or *".to_owned();
        let uri: http::Uri = origin.parse().map_err(|_| wrong())?;
        let is_origin = matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some();
        // Browsers send no slash behind it, so with one it would never be what they send.
        if !is_origin || origin.ends_with('/') || uri.path() != "/" || uri.query().is_some() {
            return Err(wrong());
        }
        http::HeaderValue::from_str(origin).map(Self::One).map_err(|_| wrong())
    }
}

/// Several, with commas between them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CorsOrigins(pub Vec<CorsOrigin>);

impl FromStr for CorsOrigins {
    type Err = String;

    fn from_str(origins: &str) -> Result<Self, String> {
        origins.split(',').map(|origin| origin.trim().parse()).collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for CorsOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::One(origin) => f.write_str(origin.to_str().unwrap_or_default()),
        }
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

/// Room for what a request holds besides the document's title and text: its id, the model's name, options.
const MESSAGE_OVERHEAD_BYTES: u32 = 4096;

const MIB: u32 = 1024 * 1024;

/// The limits that callers are held to; `GetServerInfo` tells them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The largest request message, in bytes.
    pub max_message_bytes: NonZeroU32,
    /// The most bytes of messages on their way in at a time, over all calls; from a message's first byte until it has been read. A
    /// compressed one counts as [`Self::max_message_bytes`].
    pub max_inbound_bytes: NonZeroU64,
    /// The largest document, in bytes of title and text.
    pub max_document_bytes: NonZeroU32,
    /// The most documents of a batch; at most [`Limits::MAX_BATCH_DOCUMENTS`].
    pub max_batch_documents: NonZeroU32,
    /// The most documents that are worked on or wait at a time, over all calls.
    pub max_documents_in_flight: NonZeroU32,
    /// The most labelled documents of one message.
    pub max_message_examples: NonZeroU32,
    /// The most training jobs that run or wait at a time.
    pub max_training_jobs: NonZeroU32,
    /// The most topics that a classifier is trained on: memory and time of training grow with documents × topics.
    pub max_topics: NonZeroU32,
    /// The most documents that a classifier is trained on.
    pub max_training_documents: NonZeroU32,
    /// The most bytes that these documents' titles and texts have together: training has them all in memory.
    pub max_training_bytes: NonZeroU64,
    /// The largest model file that is imported, and how many bytes of model files are in memory on their way in or out; at
    /// most [`Limits::MAX_ARTIFACT_BYTES`].
    pub max_artifact_bytes: NonZeroU32,
    /// The most bytes of model files that are kept in memory, all classifiers together.
    pub max_model_bytes: NonZeroU64,
}

impl Limits {
    /// The most documents that the contract allows in a batch.
    pub const MAX_BATCH_DOCUMENTS: NonZeroU32 = not_zero(256);

    /// The longest model file that can be stored: SQLite's rows have at most 10⁹ bytes.
    pub const MAX_ARTIFACT_BYTES: NonZeroU32 = not_zero(900 * MIB);

    /// Whether the limits go together: none may make another one a lie.
    ///
    /// # Errors
    /// The first pair that doesn't.
    pub fn check(&self) -> Result<(), LimitsError> {
        let Self { max_message_bytes, max_document_bytes, max_batch_documents, max_documents_in_flight, .. } = *self;
        if max_batch_documents > Self::MAX_BATCH_DOCUMENTS {
            Err(LimitsError::LargeBatch(max_batch_documents))
        } else if max_batch_documents > max_documents_in_flight {
            Err(LimitsError::BatchNeverAdmitted { max_batch_documents, max_documents_in_flight })
        } else if max_document_bytes.get().saturating_add(MESSAGE_OVERHEAD_BYTES) > max_message_bytes.get() {
            Err(LimitsError::DocumentFitsNoMessage { max_document_bytes, max_message_bytes })
        } else if u64::from(max_message_bytes.get()) > self.max_inbound_bytes.get() {
            Err(LimitsError::MessageNeverLetIn { max_message_bytes, max_inbound_bytes: self.max_inbound_bytes })
        } else if self.max_artifact_bytes > Self::MAX_ARTIFACT_BYTES {
            Err(LimitsError::LargeArtifact(self.max_artifact_bytes))
        } else {
            Ok(())
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_message_bytes: const { not_zero(16 * MIB) },
            max_inbound_bytes: const { NonZeroU64::MIN.saturating_add(1024 * MIB as u64 - 1) },
            max_document_bytes: const { not_zero(MIB) },
            max_batch_documents: Self::MAX_BATCH_DOCUMENTS,
            max_documents_in_flight: const { not_zero(4096) },
            max_message_examples: const { not_zero(50_000) },
            max_training_jobs: const { not_zero(16) },
            max_topics: const { not_zero(1000) },
            max_training_documents: const { not_zero(2_000_000) },
            max_training_bytes: const { NonZeroU64::MIN.saturating_add(4096 * MIB as u64 - 1) },
            max_artifact_bytes: const { not_zero(512 * MIB) },
            max_model_bytes: const { NonZeroU64::MIN.saturating_add(1024 * MIB as u64 - 1) },
        }
    }
}

/// The limits that connections are held to; `GetServerInfo` tells them. What has no limit is told a large number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// The most connections at a time; more are closed as they come.
    pub max_connections: NonZeroU32,
    /// The most calls at a time on one connection; HTTP/2 has clients wait with more.
    pub max_streams_per_connection: NonZeroU32,
    /// The largest header of a call, in bytes as HTTP/2 counts them (RFC 9113, section 6.5.2): names and values, and 32 for each.
    pub max_header_bytes: NonZeroU32,
    /// How long it may take from a connection to the first bytes of HTTP/2 on it.
    pub handshake_timeout: Duration,
    /// How long a connection may have no call, before it is closed.
    pub idle_timeout: Duration,
    /// How long a connection may take calls; up to a tenth less, so that not all end at once.
    pub max_age: Duration,
    /// How long calls may go on when their connection takes no more.
    pub age_grace: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            max_connections: const { not_zero(1000) },
            max_streams_per_connection: const { not_zero(200) },
            max_header_bytes: const { not_zero(16 * 1024) },
            handshake_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(600),
            max_age: Duration::from_secs(3600),
            age_grace: Duration::from_secs(600),
        }
    }
}

/// A collector's address, `http://HOST:PORT`: spans are sent without TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtlpEndpoint(String);

impl OtlpEndpoint {
    /// The URL.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for OtlpEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for OtlpEndpoint {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        match url.parse::<http::Uri>() {
            Ok(uri) if uri.scheme_str() == Some("http") && uri.host().is_some() => Ok(Self(url.to_owned())),
            _ => Err("an endpoint is a URL such as http://localhost:4317; there is no TLS to it".to_owned()),
        }
    }
}

/// A share of calls, from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TraceShare(f64);

impl TraceShare {
    /// The number, from 0 to 1.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl Eq for TraceShare {}

impl Default for TraceShare {
    fn default() -> Self {
        Self(1.0)
    }
}

impl fmt::Display for TraceShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for TraceShare {
    type Err = String;

    fn from_str(share: &str) -> Result<Self, String> {
        match share.parse() {
            Ok(number) if (0.0..=1.0).contains(&number) => Ok(Self(number)),
            _ => Err("a share is a number from 0 to 1".to_owned()),
        }
    }
}

/// A constant that isn't zero; zero doesn't compile.
const fn not_zero(number: u32) -> NonZeroU32 {
    match NonZeroU32::new(number) {
        Some(number) => number,
        None => panic!("zero"),
    }
}

/// Why limits don't go together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LimitsError {
    /// A batch is promised to have at most 256 documents.
    #[error("max_batch_documents is {0}; the most is {max}", max = Limits::MAX_BATCH_DOCUMENTS)]
    LargeBatch(NonZeroU32),
    /// A longer file could be sent, but not stored.
    #[error("max_artifact_bytes is {0}; the most is {max}", max = Limits::MAX_ARTIFACT_BYTES)]
    LargeArtifact(NonZeroU32),
    /// A full batch would be refused however often it is tried.
    #[error(
        "max_batch_documents ({max_batch_documents}) is more than max_documents_in_flight \
         ({max_documents_in_flight}), so that a full batch would always be refused"
    )]
    BatchNeverAdmitted {
        /// The one limit.
        max_batch_documents: NonZeroU32,
        /// The other.
        max_documents_in_flight: NonZeroU32,
    },
    /// The largest message would be refused however often it is tried.
    #[error(
        "max_message_bytes ({max_message_bytes}) is more than max_inbound_bytes ({max_inbound_bytes}), so that the largest \
         messages would always be refused"
    )]
    MessageNeverLetIn {
        /// The one limit.
        max_message_bytes: NonZeroU32,
        /// The other.
        max_inbound_bytes: NonZeroU64,
    },
    /// The largest document would be refused with its message.
    #[error(
        "max_document_bytes ({max_document_bytes}) and {MESSAGE_OVERHEAD_BYTES} bytes for the rest of a request are more \
         than max_message_bytes ({max_message_bytes}), so that the largest documents would always be refused"
    )]
    DocumentFitsNoMessage {
        /// The one limit.
        max_document_bytes: NonZeroU32,
        /// The other.
        max_message_bytes: NonZeroU32,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_that_contradict_each_other_are_refused() {
        let limits = Limits::default();
        assert_eq!(limits.check(), Ok(()));
        let few = NonZeroU32::new(8).unwrap();
        assert!(matches!(
            Limits { max_documents_in_flight: few, ..limits }.check(),
            Err(LimitsError::BatchNeverAdmitted { .. })
        ));
        assert!(matches!(
            Limits { max_message_bytes: few, ..limits }.check(),
            Err(LimitsError::DocumentFitsNoMessage { .. })
        ));
        let little = NonZeroU64::new(1000).unwrap();
        assert!(matches!(
            Limits { max_inbound_bytes: little, ..limits }.check(),
            Err(LimitsError::MessageNeverLetIn { .. })
        ));
        let many = NonZeroU32::new(257).unwrap();
        let long = NonZeroU32::new(900 * MIB + 1).unwrap();
        assert_eq!(Limits { max_artifact_bytes: long, ..limits }.check(), Err(LimitsError::LargeArtifact(long)));
        assert_eq!(Limits { max_batch_documents: many, ..limits }.check(), Err(LimitsError::LargeBatch(many)));
    }
}
