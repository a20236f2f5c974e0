//! A server of a test's own, a client that counts its connections, and requests.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tonic_types::StatusExt;
use topicd::api::pb;
use topicd::api::pb::classifier_service_client::ClassifierServiceClient;
use topicd::api::pb::dataset_service_client::DatasetServiceClient;
use topicd::api::pb::model_service_client::ModelServiceClient;
use topicd::api::pb::traffic_service_client::TrafficServiceClient;
use topicd::artifact::{self, Artifact};
use topicd::config::ServeConfig;
use topicd::server::security::Security;
use topicd::server::{self, Listeners, ServeError};
use topicd::service::{ClassifyService, ModelFiles, Services};
use topicd::store::{DataDir, Store};

pub(crate) const MIB: usize = 1024 * 1024;

/// For what must happen, and on a slow machine may take long.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// The bundled model, read once for all tests.
static MODEL: LazyLock<Artifact> = LazyLock::new(|| artifact::bundled().unwrap());

pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    /// Where metrics are, over HTTP.
    pub(crate) metrics: SocketAddr,
    /// Where there is nothing but health, in the clear.
    pub(crate) health: SocketAddr,
    /// What the server asks: tests use it to fill the server from inside.
    pub(crate) classify: Arc<ClassifyService>,
    pub(crate) model_files: Arc<ModelFiles>,
    pub(crate) stop: oneshot::Sender<()>,
    pub(crate) running: JoinHandle<Result<(), ServeError>>,
    /// Where the data directory is; removed with the server.
    pub(crate) parent: TempDir,
}

impl TestServer {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// Starts a server whose configuration isn't the default one in all.
    pub(crate) async fn start_with(change: impl FnOnce(&mut ServeConfig)) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), change).await
    }

    /// Starts a server in a directory, on what is in its directory `data`.
    pub(crate) async fn start_in(parent: TempDir, change: impl FnOnce(&mut ServeConfig)) -> Self {
        let mut config = ServeConfig { data_dir: parent.path().join("data"), ..ServeConfig::default() };
        change(&mut config);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let metrics_listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let health_listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, metrics) = (listener.local_addr().unwrap(), metrics_listener.local_addr().unwrap());
        let health = health_listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let services = start_services(&config).await;
        let (classify, model_files) = (Arc::clone(&services.classify), Arc::clone(&services.model_files));
        let listeners = Listeners { grpc: listener, metrics: Some(metrics_listener), health: Some(health_listener) };
        let security = Security::load(&config).unwrap();
        let running = tokio::spawn(async move {
            server::run(listeners, &config, services, security, async { drop(stopped.await) }).await
        });
        Self { address, metrics, health, classify, model_files, stop, running, parent }
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.parent.path().join("data")
    }

    /// Connects, and shows how often that happened: more than once when a call broke the connection.
    pub(crate) async fn connect(&self) -> (Channel, Arc<AtomicUsize>) {
        let connections = Arc::new(AtomicUsize::new(0));
        let (counter, address) = (Arc::clone(&connections), self.address);
        let connector = tower::service_fn(move |_| {
            counter.fetch_add(1, Ordering::Relaxed);
            async move {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                std::io::Result::Ok(TokioIo::new(stream))
            }
        });
        let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
        (endpoint.connect_with_connector(connector).await.unwrap(), connections)
    }

    /// Stops the server and starts another one on the same data.
    pub(crate) async fn restart(self) -> Self {
        self.restart_after(async {}).await
    }

    /// The same, with something done to the data in between.
    pub(crate) async fn restart_after(self, change: impl Future<Output = ()>) -> Self {
        let Self { stop, running, parent, classify, model_files, .. } = self;
        stop.send(()).unwrap();
        running.await.unwrap().unwrap();
        drop((classify, model_files));
        change.await;
        Self::start_in(parent, |_| {}).await
    }

    /// Trains, and waits for the end of the job.
    pub(crate) async fn train(&self, request: pb::TrainRequest) -> pb::TrainingJob {
        self.client().await.train(request).await.unwrap().into_inner().training_job.unwrap()
    }

    pub(crate) async fn models(&self) -> ModelServiceClient<Channel> {
        ModelServiceClient::new(self.connect().await.0)
    }

    pub(crate) async fn datasets(&self) -> DatasetServiceClient<Channel> {
        DatasetServiceClient::new(self.connect().await.0)
    }

    pub(crate) async fn traffic(&self) -> TrafficServiceClient<Channel> {
        TrafficServiceClient::new(self.connect().await.0)
    }

    pub(crate) async fn client(&self) -> ClassifierServiceClient<Channel> {
        ClassifierServiceClient::new(self.connect().await.0)
    }
}

pub(crate) async fn start_services(config: &ServeConfig) -> Services {
    let store = Store::open(DataDir::lock(&config.data_dir).unwrap()).await.unwrap();
    Services::start(store, MODEL.clone(), config).await.unwrap()
}

/// Labelled documents of two topics that a model can tell apart.
pub(crate) fn examples(numbers: std::ops::Range<usize>) -> Vec<pb::LabeledDocument> {
    let example = |i: usize| {
        let (topic, words) = if i.is_multiple_of(2) { ("war", "tanks shelled") } else { ("sport", "striker scored") };
        let document = document(&format!("report {i}"), &format!("{words} near town {}", i % 7));
        labeled(pb::Document { document_id: i.to_string(), ..document }, &[topic])
    };
    numbers.map(example).collect()
}

/// Documents that take long enough to train on to do something meanwhile.
pub(crate) fn many_examples() -> Vec<pb::LabeledDocument> {
    let example = |i: usize| {
        let words: Vec<String> = (0..60).map(|j| format!("w{}", (i * 7919 + j * j * 31) % 5000)).collect();
        labeled(document(&format!("{i}"), &words.join(" ")), &[&format!("topic{}", i % 40)])
    };
    (0..6000).map(example).collect()
}

pub(crate) fn labeled(document: pb::Document, topics: &[&str]) -> pb::LabeledDocument {
    let topics = topics.iter().map(ToString::to_string).collect();
    pb::LabeledDocument { document: Some(document), topics, ..Default::default() }
}

/// A request that waits for the end of the job.
pub(crate) fn train_request(classifier: &str, examples: Vec<pb::LabeledDocument>) -> pb::TrainRequest {
    pb::TrainRequest {
        classifier: format!("classifiers/{classifier}"),
        inline_examples: Some(pb::InlineExamples { examples }),
        wait_timeout: Some(prost_types::Duration { seconds: 60, nanos: 0 }),
        ..Default::default()
    }
}

pub(crate) fn non_zero(number: usize) -> NonZeroU32 {
    u32::try_from(number).ok().and_then(NonZeroU32::new).unwrap()
}

pub(crate) fn document(title: &str, text: &str) -> pb::Document {
    pb::Document { title: title.to_owned(), text: text.to_owned(), ..Default::default() }
}

/// A document that nothing is wrong with.
pub(crate) fn article() -> pb::Document {
    document("Peace talks begin", "Ministers of both countries met for talks about peace, after months of war.")
}

pub(crate) fn request(document: pb::Document) -> pb::ClassifyRequest {
    pb::ClassifyRequest { document: Some(document), ..Default::default() }
}

pub(crate) fn stream_request(document: pb::Document) -> pb::StreamClassifyRequest {
    pb::StreamClassifyRequest { document: Some(document), ..Default::default() }
}

pub(crate) fn batch(documents: Vec<pb::Document>) -> pb::BatchClassifyRequest {
    pb::BatchClassifyRequest { documents, ..Default::default() }
}

/// A text of some bytes, in words.
pub(crate) fn text_of(n_bytes: usize) -> String {
    let mut text = "peace talks and war ".repeat(n_bytes / 20 + 1);
    text.truncate(n_bytes);
    text
}

/// Checks a status's code and the `ErrorInfo` that every error has.
#[track_caller]
pub(crate) fn assert_error(status: &Status, code: Code, reason: &str) {
    assert_eq!(status.code(), code, "{status:?}");
    let info = status.get_details_error_info().unwrap();
    assert_eq!((info.reason.as_str(), info.domain.as_str()), (reason, "topicd"), "{status:?}");
}

/// The fields that a status says are wrong, and why.
pub(crate) fn violations(details: &impl BadRequestDetails) -> Vec<(String, String)> {
    details.violations().into_iter().map(|violation| (violation.field, violation.reason)).collect()
}

/// What a status in a response has in common with the status of a call.
pub(crate) trait BadRequestDetails {
    fn violations(&self) -> Vec<tonic_types::FieldViolation>;
}

impl BadRequestDetails for Status {
    fn violations(&self) -> Vec<tonic_types::FieldViolation> {
        self.get_details_bad_request().map(|details| details.field_violations).unwrap_or_default()
    }
}

impl BadRequestDetails for tonic_types::Status {
    fn violations(&self) -> Vec<tonic_types::FieldViolation> {
        let details = tonic_types::RpcStatusExt::get_details_bad_request(self);
        details.map(|details| details.field_violations).unwrap_or_default()
    }
}

/// Asks again until something is there that comes after callers have their answers.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    let asked = async {
        loop {
            if let Some(found) = ask().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(LONG, asked).await.unwrap_or_else(|_| panic!("{what}"))
}

/// A version of `classifiers/desk`.
pub(crate) fn model_of(version: &str) -> String {
    format!("classifiers/desk/versions/{version}")
}

/// Version 1 is of 40 documents, version 2, which is stable, of these and 20 more; version 3, of the 40 with other topics, was
/// held back.
pub(crate) async fn server_with_three_versions() -> TestServer {
    let server = TestServer::start().await;
    server.train(train_request("desk", examples(0..40))).await;
    server.train(train_request("desk", examples(40..60))).await;
    let mut others = examples(0..40);
    others.iter_mut().for_each(|example| example.topics = vec![format!("other {}", example.topics[0])]);
    let request = train_request("desk", others);
    let job = server.train(pb::TrainRequest { scope: pb::Scope::SourceOnly.into(), ..request }).await;
    assert!(!job.promoted && job.model_version == model_of("3"), "{job:?}");
    server
}

/// The model files in a data directory's database, by their SHA-256, sorted.
pub(crate) async fn stored_artifacts(data_dir: &std::path::Path) -> Vec<String> {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(data_dir.join("topicd.db")).read_only(true);
    let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
    let artifacts = sqlx::query_scalar("SELECT lower(hex(sha256)) FROM artifacts ORDER BY 1").fetch_all(&pool).await;
    pool.close().await;
    artifacts.unwrap()
}

/// Copies the files of a directory into a new one.
pub(crate) fn copy_directory(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir(to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}
