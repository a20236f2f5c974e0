//! The page that Prometheus reads, over HTTP on an address of its own.

use std::num::NonZeroU32;
use std::sync::{Arc, Weak};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;

use super::security::Security;
use crate::service::Services;
use crate::store::ClassifierRecord;
use crate::telemetry::connections::ConnectionCounters;
use crate::telemetry::metrics::{ClassifierSnapshot, Metrics, Snapshot};

/// Counts of connections, and the most of them at a time.
pub(super) type Connections = (Arc<ConnectionCounters>, NonZeroU32);

/// What the page is made of.
type Shown = (Arc<Metrics>, Connections, Arc<Security>, Weak<Services>);

/// Serves `/metrics` until it is dropped.
pub(super) async fn serve(
    listener: TcpListener,
    metrics: Arc<Metrics>,
    connections: Connections,
    security: Arc<Security>,
    services: Services,
) {
    let services = Arc::new(services);
    let state = (metrics, connections, security, Arc::downgrade(&services));
    let page = Router::new().route("/metrics", get(show)).with_state(state);
    if let Err(error) = axum::serve(listener, page).await {
        tracing::error!(%error, "metrics aren't served any more");
    }
}

/// Connections last as long as whoever reads likes; they don't hold the services, and with them the data directory.
async fn show(State((metrics, connections, security, services)): State<Shown>) -> Response {
    let Some(services) = services.upgrade() else { return StatusCode::SERVICE_UNAVAILABLE.into_response() };
    match metrics.render(&snapshot(&services, &connections, &security).await) {
        Ok(text) => ([(CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "the metrics can't be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// What the services say now; what the store can't tell is left as it was.
async fn snapshot<'a>(
    services: &'a Services,
    (connections, max_connections): &'a Connections,
    security: &Security,
) -> Snapshot<'a> {
    let Services { classify, models, training, .. } = services;
    let (n_documents_in_flight, max_documents_in_flight) = classify.workers().load();
    let loaded = models.loaded();
    let classifiers = models.classifiers().await.ok();
    let stability_indexes = models.stability_indexes();
    let classifier = |record: ClassifierRecord| ClassifierSnapshot {
        stable_version: record.aliases.stable.map(|number| number.get()),
        dataset_revision: record.dataset_revision,
        stability_indexes: stability_indexes.get(&record.name).copied().unwrap_or_default(),
        name: record.name.as_str().to_owned(),
    };
    Snapshot {
        documents: classify.documents().counts(),
        n_documents_in_flight,
        max_documents_in_flight,
        connections: (connections, max_connections.get()),
        training: training.ended(),
        n_active_jobs: training.n_active(),
        classifiers: classifiers.map(|records| records.into_iter().map(classifier).collect()),
        loaded: (loaded.len(), loaded.iter().map(|version| version.n_bytes).sum()),
        store: models.store_size().await.ok(),
        certificate_expires_at: security.certificate_expires_at(),
        n_failed_reloads: security.n_failed_reloads(),
    }
}
