//! gRPC: the services of `topicd.v1`, health and reflection on one port.
//!
//! One file a service; a method extracts the call from the message, has the service answer it, and converts the answer.
//! What holds for all calls is in `edge`, and which error has which status is in `status`. Metrics are on a port of their own.

mod audit;
mod caller;
mod classifier_service;
mod connections;
mod dataset_service;
mod deadline;
mod drain;
mod edge;
mod inbound;
mod inference_service;
mod measured;
mod message_budget;
mod metrics_page;
mod model_files;
mod model_service;
mod permission;
mod request_id;
pub mod security;
mod status;
pub mod tls;
mod traffic_service;
mod web;
mod whole_body;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use prost::Message;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tonic::codec::CompressionEncoding;
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::server::{HealthReporter, HealthService};
use tower::Layer;

use crate::api::DESCRIPTORS;
use crate::api::inference_pb::grpc_inference_service_server::GrpcInferenceServiceServer;
use crate::api::pb::classifier_service_server::ClassifierServiceServer;
use crate::api::pb::dataset_service_server::DatasetServiceServer;
use crate::api::pb::model_service_server::ModelServiceServer;
use crate::api::pb::traffic_service_server::TrafficServiceServer;
use crate::config::{Limits, LimitsError, ServeConfig};
use crate::service::Services;
use crate::telemetry::connections::ConnectionCounters;
use crate::telemetry::metrics::Metrics;
use caller::Identification;
use classifier_service::ClassifierService;
use connections::Protocols;
use dataset_service::DatasetService;
use drain::Draining;
use edge::{CheckRoom, EdgeLayer};
use inference_service::InferenceService;
use message_budget::MessageBudget;
use model_service::ModelService;
use security::Security;
use traffic_service::TrafficService;

/// The services that are ours, by the names that health and reflection know them by.
const OUR_SERVICES: [&str; 5] = [
    ClassifierServiceServer::<ClassifierService>::NAME,
    DatasetServiceServer::<DatasetService>::NAME,
    GrpcInferenceServiceServer::<InferenceService>::NAME,
    ModelServiceServer::<ModelService>::NAME,
    TrafficServiceServer::<TrafficService>::NAME,
];

/// Why a server doesn't run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The limits contradict each other.
    #[error(transparent)]
    Limits(#[from] LimitsError),
    /// The listener has no address.
    #[error("the listening socket can't be used")]
    Listener(#[from] io::Error),
    /// The built-in descriptors are broken.
    #[error("the built-in descriptor set can't be served")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// The built-in descriptors are broken.
    #[error("the built-in descriptor set can't be read")]
    Descriptors(#[from] prost::DecodeError),
    /// The metrics contradict each other.
    #[error("the metrics can't be made")]
    Metrics(#[from] prometheus::Error),
}

/// Where a server listens.
#[derive(Debug)]
pub struct Listeners {
    /// For gRPC.
    pub grpc: TcpListener,
    /// For whoever reads metrics over HTTP.
    pub metrics: Option<TcpListener>,
    /// For whoever asks for health and nothing else, in the clear.
    pub health: Option<TcpListener>,
}

impl From<TcpListener> for Listeners {
    fn from(grpc: TcpListener) -> Self {
        Self { grpc, metrics: None, health: None }
    }
}

/// Serves on the listeners until `shutdown` completes, and for `config.lame_duck` more, in which health says NOT_SERVING. Then
/// nobody is let in any more, training jobs that run end as interrupted, calls in flight are finished, and the database
/// is closed; what isn't done when `config.drain_timeout` has passed is cut off. Who can't wait drops the future.
///
/// The caller owns port and signal: tests listen on port 0. When calls can be answered it logs `listening` with the
/// `address`. Health is NOT_SERVING until `classifiers/default` has taken its self-test.
///
/// # Errors
/// The configuration can't be obeyed, or the transport fails.
pub async fn run(
    listeners: impl Into<Listeners>,
    config: &ServeConfig,
    services: Services,
    security: Arc<Security>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    config.limits.check()?;
    let Listeners { grpc: listener, metrics: metrics_listener, health: health_listener } = listeners.into();
    let address = listener.local_addr()?;
    let health = HealthReporter::new();
    set_health(&health, ServingStatus::NotServing).await;
    let (drain, draining) = drain::signal();
    let routes = routes(config, &services, &health, &draining)?;
    let metrics = Arc::new(Metrics::new(&methods()?)?);
    let classify = Arc::clone(&services.classify);
    let check_room: CheckRoom = Arc::new(move || classify.workers().check_room());
    let edge = edge(config, check_room, security.identification.clone(), &metrics, &draining);
    let connections = Arc::new(ConnectionCounters::default());
    let service = web::layer(config.grpc_web.as_ref()).layer(edge.clone().layer(routes.prepare()));
    let protocols =
        Protocols { limits: config.connections, tls: security.tls.clone(), is_http1_spoken: config.grpc_web.is_some() };
    let mut background = background(&services, &security);
    if let Some(listener) = health_listener {
        tracing::info!(address = %listener.local_addr()?, "health in the clear");
        let edge = EdgeLayer { identification: Identification::default(), ..edge };
        let health = edge.layer(Routes::new(health_service(&health)).prepare());
        let protocols = Protocols { tls: None, is_http1_spoken: false, ..protocols.clone() };
        // Dropped with the rest of the background when the drain begins: nobody is told anything after that.
        background.spawn(connections::serve(listener, health, protocols, Arc::default(), draining.clone()));
    }
    let mut serving = Box::pin(connections::serve(listener, service, protocols, Arc::clone(&connections), draining));
    if let Some(listener) = metrics_listener {
        tracing::info!(address = %listener.local_addr()?, "metrics at /metrics");
        let connections = (connections, config.connections.max_connections);
        background.spawn(metrics_page::serve(listener, metrics, connections, security, services.clone()));
    }
    let ready = async {
        services.models.wait_for_default().await;
        set_health(&health, ServingStatus::Serving).await;
        std::future::pending::<()>().await;
    };
    tracing::info!(%address, "listening");
    // Asked in this order, so that a model which is in memory has taken its test before anybody asks for health.
    tokio::select! {
        biased;
        () = ready => {}
        () = &mut serving => {}
        () = shutdown => {}
    }

    tracing::info!(lame_duck = ?config.lame_duck, "stopping");
    // First the news, then the signal: it ends the streams that carry the news.
    set_health(&health, ServingStatus::NotServing).await;
    tokio::select! {
        biased;
        () = &mut serving => {}
        () = tokio::time::sleep(config.lame_duck) => {}
    }
    drain.send_replace(true);
    background.shutdown().await;
    drained(serving, config.drain_timeout, &services).await;
    tracing::info!("stopped");
    Ok(())
}

/// Serves these routes and nothing else, in the clear and to anybody, whatever the configuration says of TLS and callers, until it is dropped:
/// behind all that calls of topicd pass, over connections like its own. For measuring what that costs.
///
/// # Errors
/// The configuration can't be obeyed.
#[doc(hidden)]
pub async fn run_alone(listener: TcpListener, config: &ServeConfig, routes: Routes) -> Result<(), ServeError> {
    config.limits.check()?;
    let (_drain, draining) = drain::signal();
    let metrics = Arc::new(Metrics::new(&methods()?)?);
    let edge = edge(config, Arc::new(|| Ok(())), Identification::default(), &metrics, &draining);
    let service = web::layer(config.grpc_web.as_ref()).layer(edge.layer(routes.prepare()));
    let protocols = Protocols { limits: config.connections, tls: None, is_http1_spoken: config.grpc_web.is_some() };
    connections::serve(listener, service, protocols, Arc::default(), draining).await;
    Ok(())
}

/// What every call passes.
fn edge(
    config: &ServeConfig,
    check_room: CheckRoom,
    identification: Identification,
    metrics: &Arc<Metrics>,
    draining: &Draining,
) -> EdgeLayer {
    let Limits { max_inbound_bytes, max_message_bytes, .. } = config.limits;
    EdgeLayer {
        draining: draining.clone(),
        metrics: Arc::clone(metrics),
        max_header_bytes: config.connections.max_header_bytes,
        messages: MessageBudget::new(max_inbound_bytes.get(), max_message_bytes.get().into()),
        is_traced: config.otlp_endpoint.is_some(),
        check_room,
        identification,
    }
}

/// What runs beside the calls, until it is dropped.
fn background(services: &Services, security: &Arc<Security>) -> JoinSet<()> {
    let mut background = JoinSet::new();
    background.spawn(services.retraining().run());
    background.spawn(services.observer().run());
    background.spawn(services.monitoring().run());
    if security.has_files() {
        let watching = Arc::clone(security).watch();
        background.spawn(async { match watching.await {} });
    }
    background
}

/// Waits for calls in flight, the end of training jobs and the closing of the database, all together for `drain_timeout`, of
/// which a tenth is for the last.
async fn drained(serving: impl Future<Output = ()>, drain_timeout: Duration, services: &Services) {
    let begun = Instant::now();
    let for_calls = drain_timeout.mul_f64(0.9);
    // When that is over, the connections are gone, and with them whoever used the database for a call.
    let (served, ()) = tokio::join!(tokio::time::timeout(for_calls, serving), services.training.stop(for_calls));
    if served.is_err() {
        tracing::warn!(timeout = ?for_calls, "calls still in flight are cut off");
    }
    let left = drain_timeout.saturating_sub(begun.elapsed());
    if tokio::time::timeout(left, services.datasets.close()).await.is_err() {
        tracing::warn!("the database couldn't be closed in time; the next start reads what is in its log");
    }
}

/// The methods of our services and of health, such as `topicd.v1.ClassifierService/Classify`.
fn methods() -> Result<Vec<String>, prost::DecodeError> {
    let mut methods = Vec::new();
    for descriptors in [DESCRIPTORS, tonic_health::pb::FILE_DESCRIPTOR_SET] {
        for file in prost_types::FileDescriptorSet::decode(descriptors)?.file {
            for service in &file.service {
                let names = service.method.iter().map(prost_types::MethodDescriptorProto::name);
                methods.extend(names.map(|name| format!("{}.{}/{name}", file.package(), service.name())));
            }
        }
    }
    Ok(methods)
}

/// Our services, health and reflection.
fn routes(
    config: &ServeConfig,
    services: &Services,
    health: &HealthReporter,
    draining: &Draining,
) -> Result<Routes, tonic_reflection::server::Error> {
    let limits = config.limits;
    let max_message_bytes = limits.max_message_bytes.get() as usize;
    let (models, training) = (Arc::clone(&services.models), Arc::clone(&services.training));
    let classifier_service = ClassifierService {
        classify: Arc::clone(&services.classify),
        training: Arc::clone(&training),
        limits,
        draining: draining.clone(),
    };
    let traffic_service = TrafficService { models: Arc::clone(&models) };
    let inference_service = InferenceService {
        classify: Arc::clone(&services.classify),
        models: Arc::clone(&models),
        health: HealthService::from_health_reporter(health.clone()),
        limits,
    };
    let model_service = ModelService {
        classify: Arc::clone(&services.classify),
        compare: Arc::clone(&services.compare),
        models,
        model_files: Arc::clone(&services.model_files),
        training,
        limits,
        connections: config.connections,
        draining: draining.clone(),
    };
    let dataset_service =
        DatasetService { datasets: Arc::clone(&services.datasets), limits, draining: draining.clone() };
    // Messages may come and go compressed; the limit is of what they are then.
    macro_rules! with_messages {
        ($service:expr) => {
            $service
                .max_decoding_message_size(max_message_bytes)
                .accept_compressed(CompressionEncoding::Gzip)
                .accept_compressed(CompressionEncoding::Zstd)
                .send_compressed(CompressionEncoding::Gzip)
                .send_compressed(CompressionEncoding::Zstd)
        };
    }
    Ok(Routes::new(with_messages!(ClassifierServiceServer::new(classifier_service)))
        .add_service(with_messages!(ModelServiceServer::new(model_service)))
        .add_service(with_messages!(DatasetServiceServer::new(dataset_service)))
        .add_service(with_messages!(TrafficServiceServer::new(traffic_service)))
        .add_service(with_messages!(GrpcInferenceServiceServer::new(inference_service)))
        .add_service(health_service(health))
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?))
}

fn health_service(health: &HealthReporter) -> HealthServer<impl Health> {
    HealthServer::new(HealthService::from_health_reporter(health.clone()))
}

/// Describes what is mounted, comments included.
fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}

/// Sets the health of the server, which has the empty name, and of each of our services.
async fn set_health(health: &HealthReporter, status: ServingStatus) {
    for name in OUR_SERVICES.into_iter().chain([""]) {
        health.set_service_status(name, status).await;
    }
}
