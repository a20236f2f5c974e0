//! What the commands that call a server share: where it is, the way to it, by what it knows the caller, and what its errors say.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use tokio::runtime::Runtime;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Request, Status};

/// The largest answer that is read: a job's or version's evaluation may be long.
pub(super) const MAX_ANSWER_BYTES: usize = 64 << 20;

/// The way to a server.
pub(super) type Remote = InterceptedService<Channel, Bearer>;

/// By what a server knows the caller, and the caller the server.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Credentials for a server")]
pub(super) struct CredentialArgs {
    /// A file with the token that the server knows the caller by; white space around it doesn't count.
    #[arg(long, env = "TOPICD_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,

    /// The certificates, in PEM, of the authorities that may have signed an https server's. Left out: those that this machine
    /// trusts.
    #[arg(long, env = "TOPICD_CA", value_name = "FILE")]
    ca: Option<PathBuf>,

    /// The caller's own certificate in PEM, for a server that asks for one.
    #[arg(long, env = "TOPICD_CLIENT_CERT", value_name = "FILE", requires = "client_key")]
    client_cert: Option<PathBuf>,

    /// That certificate's private key in PEM.
    #[arg(long, env = "TOPICD_CLIENT_KEY", value_name = "FILE", requires = "client_cert")]
    client_key: Option<PathBuf>,
}

impl CredentialArgs {
    /// Connects to a server, given as `https://HOST:PORT`, `http://HOST:PORT` or `HOST:PORT`.
    pub(super) async fn connect(&self, server: &str) -> Result<Remote, Box<dyn Error>> {
        let url = if server.contains("://") { server.to_owned() } else { format!("http://{server}") };
        let is_tls = url.starts_with("https://");
        if !is_tls && (self.ca.is_some() || self.client_cert.is_some()) {
            return Err(format!("certificates are for https, and {server} isn't; give https://HOST:PORT").into());
        }
        let is_here = |endpoint: &Endpoint| matches!(endpoint.uri().host(), Some("localhost" | "127.0.0.1" | "[::1]"));
        let endpoint = Endpoint::from_shared(url);
        let mut endpoint = endpoint.map_err(|_| format!("{server} is no address; give https://HOST:PORT"))?;
        if !is_tls && self.token_file.is_some() && !is_here(&endpoint) {
            let problem =
                format!("{server} isn't https, and the token would travel in the clear; give https://HOST:PORT");
            return Err(problem.into());
        }
        if is_tls {
            endpoint = endpoint.tls_config(self.tls()?)?;
        }
        let connected = endpoint.tcp_nodelay(true).connect().await;
        let channel =
            connected.map_err(|error| format!("no topicd server answers at {server}: {}", root_cause(&error)))?;
        Ok(InterceptedService::new(channel, self.bearer()?))
    }

    fn tls(&self) -> Result<ClientTlsConfig, Box<dyn Error>> {
        let tls = match &self.ca {
            Some(ca) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read(ca)?)),
            None => ClientTlsConfig::new().with_native_roots(),
        };
        Ok(match (&self.client_cert, &self.client_key) {
            (Some(certificate), Some(key)) => tls.identity(Identity::from_pem(read(certificate)?, read(key)?)),
            _ => tls,
        })
    }

    fn bearer(&self) -> Result<Bearer, Box<dyn Error>> {
        let Some(file) = &self.token_file else { return Ok(Bearer(None)) };
        let content = read(file)?;
        let token = String::from_utf8_lossy(&content);
        let mut credential: MetadataValue<Ascii> = format!("Bearer {}", token.trim())
            .parse()
            .map_err(|_| format!("{} has no token in it: it isn't a line of ASCII characters", file.display()))?;
        credential.set_sensitive(true);
        Ok(Bearer(Some(credential)))
    }
}

fn read(file: &PathBuf) -> Result<Vec<u8>, String> {
    std::fs::read(file).map_err(|error| format!("{} can't be read: {error}", file.display()))
}

/// Gives calls the caller's token.
#[derive(Debug, Clone)]
pub(super) struct Bearer(Option<MetadataValue<Ascii>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Bearer(Some(credential)) = self {
            request.metadata_mut().insert("authorization", credential.clone());
        }
        Ok(request)
    }
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
