//! Connections: how many there are, how long they may take to begin, lie idle and live, and how they end.
//!
//! It takes the place of tonic's own server, which knows no limit on connections, handshakes and idleness, and whose clock
//! for deadlines answers CANCELLED. What is said on a connection is HTTP/2, which is hyper's and h2's: they hold the
//! streams to their number, and answer floods of resets, pings and settings (CVE-2023-44487, CVE-2019-9512) by closing. Browsers
//! may also speak HTTP/1.1, where they may call at all.

mod activity;
mod gathered;

use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tonic::body::Body;
use tower::{Service, ServiceExt};

use self::activity::Watched;
use self::gathered::Gathered;
use super::caller::Peer;
use super::drain::{self, Draining};
use super::tls::{ClientCertificate, Tls};
use crate::config::ConnectionLimits;
use crate::telemetry::connections::{ConnectionCounters, ConnectionEnd};

pub(super) use self::activity::{Activity, OpenCall};

/// How often a connection on which nothing comes is asked whether somebody is there, and how long the answer may take.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// What is on its way when a connection is told to take no more arrives in this time.
const FAREWELL: Duration = Duration::from_secs(1);
/// How long no connection is taken when the operating system has no more of them.
const PAUSE_WITHOUT_FILES: Duration = Duration::from_millis(50);
/// What HTTP/2 is told of the largest header, in times of the limit: what is between has an answer that says more.
const HEADER_ROOM: u32 = 2;
/// A batch's message is 100 kB and more: in HTTP/2's least frames of 16 KiB it takes four times as many reads. Larger ones than these gain nothing.
const MAX_FRAME_BYTES: u32 = 64 * 1024;
/// hyper wants at least as much for HTTP/1.1.
const MIN_HTTP1_BUFFER: usize = 8192;

/// How connections are taken.
#[derive(Debug, Clone)]
pub(super) struct Protocols {
    pub(super) limits: ConnectionLimits,
    /// `None`: in the clear.
    pub(super) tls: Option<Arc<Tls>>,
    /// Whether HTTP/1.1 is spoken too, which gRPC-Web needs.
    pub(super) is_http1_spoken: bool,
}

/// Serves a listener's connections until the drain begins, and then those that are there until they end. Dropped, it cuts
/// them off.
pub(super) async fn serve<S>(
    listener: TcpListener,
    service: S,
    protocols: Protocols,
    counters: Arc<ConnectionCounters>,
    draining: Draining,
) where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let Protocols { limits, tls, is_http1_spoken } = protocols;
    let places = Arc::new(Semaphore::new(limits.max_connections.get() as usize));
    let (close, closing) = drain::signal();
    let server = Server { service, http: http_server(&limits, is_http1_spoken), limits, tls, counters, closing };
    let mut connections = JoinSet::new();
    let mut begun = pin!(draining.begun());
    let mut n_failed = 0;
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut begun => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match (accepted, Arc::clone(&places).try_acquire_owned()) {
            (Ok((stream, address)), Ok(place)) => {
                drop(connections.spawn(server.clone().connection(stream, address, place)));
            }
            // Closed at once: its caller learns that now, and can go elsewhere.
            (Ok(_), Err(_)) => server.counters.refused(limits.max_connections),
            (Err(error), _) => {
                n_failed += 1_u64;
                // It may go on for long: told once, and then each time that there are twice as many.
                if n_failed.is_power_of_two() {
                    tracing::warn!(%error, n_failed, "a connection couldn't be taken");
                }
                tokio::time::sleep(PAUSE_WITHOUT_FILES).await;
            }
        }
    }
    // In this order: who is told to connect anew is told by the operating system that nobody listens here.
    drop(listener);
    close.send_replace(true);
    while connections.join_next().await.is_some() {}
}

fn http_server(limits: &ConnectionLimits, is_http1_spoken: bool) -> auto::Builder<TokioExecutor> {
    let mut http = auto::Builder::new(TokioExecutor::new());
    if !is_http1_spoken {
        http = http.http2_only();
    }
    let header_room = limits.max_header_bytes.get().saturating_mul(HEADER_ROOM);
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.handshake_timeout)
        .max_buf_size((header_room as usize).max(MIN_HTTP1_BUFFER));
    http.http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.max_streams_per_connection.get())
        .max_header_list_size(header_room)
        .max_frame_size(MAX_FRAME_BYTES)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    http
}

/// What each connection needs.
#[derive(Clone)]
struct Server<S> {
    service: S,
    http: auto::Builder<TokioExecutor>,
    limits: ConnectionLimits,
    tls: Option<Arc<Tls>>,
    counters: Arc<ConnectionCounters>,
    closing: Draining,
}

impl<S> Server<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    /// Serves one connection to its end.
    async fn connection(self, stream: TcpStream, address: SocketAddr, _place: OwnedSemaphorePermit) {
        let counted = self.counters.begin();
        // An answer is sent when it is there, not when there is more.
        let _ = stream.set_nodelay(true);
        let end = match self.tls.clone() {
            None => self.serve_stream(stream, Peer { address, certificate: None }).await,
            Some(tls) => self.serve_over_tls(&tls, stream, address).await,
        };
        counted.end(end);
    }

    async fn serve_over_tls(self, tls: &Tls, stream: TcpStream, address: SocketAddr) -> ConnectionEnd {
        let accepted = tokio::select! {
            accepted = tls.acceptor().accept(stream) => accepted,
            () = tokio::time::sleep(self.limits.handshake_timeout) => return ConnectionEnd::HandshakeTimeout,
            () = self.closing.clone().begun() => return ConnectionEnd::Drain,
        };
        match accepted {
            Ok(stream) => {
                let certificates = stream.get_ref().1.peer_certificates();
                let certificate = certificates.and_then(<[_]>::first).and_then(|first| ClientCertificate::read(first));
                self.serve_stream(stream, Peer { address, certificate: certificate.map(Arc::new) }).await
            }
            Err(error) => {
                tracing::debug!(%error, %address, "TLS wasn't agreed on");
                ConnectionEnd::Error
            }
        }
    }

    async fn serve_stream<IO>(self, stream: IO, peer: Peer) -> ConnectionEnd
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self { service, http, limits, closing, .. } = self;
        let activity = Activity::default();
        let stream = Gathered::new(Watched::new(stream, activity.clone()));
        let of_calls = activity.clone();
        let service = service.map_request(move |request: Request<Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(of_calls.clone());
            request.extensions_mut().insert(peer.clone());
            request
        });
        let mut connection = pin!(http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)));
        let end = tokio::select! {
            result = &mut connection => return how_it_ended(result),
            () = activity.begins_late(limits.handshake_timeout) => return ConnectionEnd::HandshakeTimeout,
            () = activity.is_idle(limits.idle_timeout) => ConnectionEnd::Idle,
            () = tokio::time::sleep(spread(limits.max_age, &activity)) => ConnectionEnd::Age,
            () = closing.begun() => ConnectionEnd::Drain,
        };
        if !activity.has_begun() {
            return end;
        }
        // Tells the caller to make its next call elsewhere, and ends with the last call that is open. A caller who doesn't
        // answer that isn't waited for when it has no call.
        connection.as_mut().graceful_shutdown();
        let is_quiet = async {
            tokio::time::sleep(FAREWELL).await;
            activity.is_idle(FAREWELL).await;
        };
        let grace = async {
            match end {
                // The drain has a time of its own.
                ConnectionEnd::Drain => std::future::pending().await,
                _ => tokio::time::sleep(limits.age_grace).await,
            }
        };
        tokio::select! {
            _ = connection => {}
            () = is_quiet => {}
            () = grace => {}
        }
        end
    }
}

fn how_it_ended(result: Result<(), Box<dyn Error + Send + Sync>>) -> ConnectionEnd {
    match result {
        Ok(()) => ConnectionEnd::Client,
        Err(error) => {
            let cause = error.source().map(ToString::to_string).unwrap_or_default();
            tracing::debug!(%error, cause, "a connection failed");
            ConnectionEnd::Error
        }
    }
}

/// The age, up to a tenth less: clients that came together, after a start, don't all come again together.
fn spread(max_age: Duration, activity: &Activity) -> Duration {
    max_age.mul_f64(1.0 - f64::from(activity.number() % 64) / 640.0)
}
