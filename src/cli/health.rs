//! `topicd health`: whether a server serves, for whoever starts, restarts or sends calls to it.

use std::error::Error;
use std::io::{self, Write};
use std::num::NonZeroU32;
use std::time::Duration;

use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::remote::CredentialArgs;
use super::{CommandResult, remote};
use crate::config::ServeConfig;

/// What `topicd health` is told.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The server, as HOST:PORT, http://HOST:PORT or https://HOST:PORT. Left out: where a server with this environment answers,
    /// $TOPICD_HEALTH_LISTEN or else $TOPICD_LISTEN.
    #[arg(long, value_name = "ADDRESS")]
    server: Option<String>,

    /// One of its services, such as topicd.v1.ClassifierService. Left out: the server as a whole.
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    service: String,

    /// The most seconds that connecting and the answer may take together.
    #[arg(long, value_name = "SECONDS", default_value = "1")]
    timeout: NonZeroU32,

    #[command(flatten)]
    credentials: CredentialArgs,
}

/// Asks a server for its health, and prints it. Only SERVING is no failure.
///
/// # Errors
/// It isn't serving, doesn't know the service, or doesn't answer in time.
pub fn run(args: &Args) -> CommandResult {
    let server = &args.server.clone().unwrap_or_else(own_server);
    let runtime = remote::runtime()?;
    let timeout = Duration::from_secs(args.timeout.get().into());
    let checked = runtime.block_on(async { tokio::time::timeout(timeout, check(args, server)).await });
    // A host's name may still be looked up, and dropping the runtime would wait for that.
    runtime.shutdown_background();
    let timeout = args.timeout;
    let status = checked.map_err(|_| format!("no answer from {server} within {timeout} s; see --timeout"))??;
    writeln!(io::stdout().lock(), "{}", status.as_str_name())?;
    match status {
        ServingStatus::Serving => Ok(()),
        _ => {
            Err(format!("{server} is starting or stopping, or its classifiers/default can't answer; see its log")
                .into())
        }
    }
}

/// Where a server with this environment answers.
fn own_server() -> String {
    let told = ["TOPICD_HEALTH_LISTEN", "TOPICD_LISTEN"].into_iter().find_map(|name| std::env::var(name).ok());
    told.unwrap_or(ServeConfig::default().listen)
}

async fn check(args: &Args, server: &str) -> Result<ServingStatus, Box<dyn Error>> {
    let channel = args.credentials.connect(server).await?;
    let request = HealthCheckRequest { service: args.service.clone() };
    match HealthClient::new(channel).check(request).await {
        Ok(answer) => Ok(answer.into_inner().status()),
        Err(status) if status.code() == Code::NotFound => {
            Err(format!("{server} has no service {:?}; leave --service out for the server as a whole", args.service)
                .into())
        }
        Err(status) => Err(remote::refusal(&status).into()),
    }
}
