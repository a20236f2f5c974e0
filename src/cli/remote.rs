//! What the commands that call a server share: where it is, the way to it, and what its errors say.

use std::error::Error;
use std::io;

use tokio::runtime::Runtime;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

/// The largest answer that is read: a job's or version's evaluation may be long.
pub(super) const MAX_ANSWER_BYTES: usize = 64 << 20;

/// Connects to a server, given as `http://HOST:PORT` or `HOST:PORT`.
pub(super) async fn connect(server: &str) -> Result<Channel, Box<dyn Error>> {
    let url = if server.contains("://") { server.to_owned() } else { format!("http://{server}") };
    if url.starts_with("https://") {
        return Err(format!("{server} asks for TLS, which topicd doesn't speak yet; give http://HOST:PORT").into());
    }
    let endpoint = Endpoint::from_shared(url).map_err(|_| format!("{server} is no address; give http://HOST:PORT"))?;
    let connected = endpoint.tcp_nodelay(true).connect().await;
    Ok(connected.map_err(|error| format!("no topicd server answers at {server}: {}", root_cause(&error)))?)
}

/// What runs the calls.
pub(super) fn runtime() -> io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()
}

/// What a server's refusal says.
pub(super) fn refusal(status: &Status) -> String {
    let message = if status.message().is_empty() { status.code().description() } else { status.message() };
    format!("the server refused: {message}")
}

fn root_cause(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
