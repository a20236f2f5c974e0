//! Logs: lines on standard error, for people or as JSON. They say what happened to calls, never what was in them.
//!
//! `RUST_LOG` chooses what is logged, such as `topicd=debug` for a line a call; without it, what is of level `info` and
//! above.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::IsTerminal;
use std::panic::PanicHookInfo;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use super::traces::{self, Exporter};
use crate::config::LogFormat;

/// Why logging can't begin.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// `RUST_LOG` isn't understood.
    #[error("the environment variable RUST_LOG isn't understood; try info, or topicd=debug")]
    Filter(#[from] tracing_subscriber::filter::FromEnvError),
    /// Something else in the process logs already.
    #[error("logging has been set up already")]
    AlreadySet(#[source] tracing_subscriber::util::TryInitError),
}

/// Begins logging, panics included, for the rest of the process; and sending spans, if there is somewhere to send them.
///
/// # Errors
/// `RUST_LOG` isn't understood, or logging has begun already.
pub fn init(format: LogFormat, exporter: Option<&Exporter>) -> Result<(), TelemetryError> {
    let filter = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).from_env()?;
    let stderr = std::io::stderr;
    let lines = tracing_subscriber::fmt::layer().with_writer(stderr).with_ansi(stderr().is_terminal());
    let lines = match format {
        LogFormat::Human => lines.boxed(),
        LogFormat::Json => lines.json().boxed(),
    };
    // Whatever is logged, calls are traced.
    let is_sent = filter_fn(|metadata| metadata.is_span() && metadata.target() == traces::TARGET);
    let spans = exporter.map(|exporter| {
        // Of where a span was made in the source nobody learns anything: it is one place.
        let layer = tracing_opentelemetry::layer().with_location(false).with_threads(false).with_target(false);
        layer.with_tracked_inactivity(false).with_tracer(exporter.tracer()).with_filter(is_sent)
    });
    tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .with(spans)
        .try_init()
        .map_err(TelemetryError::AlreadySet)?;
    std::panic::set_hook(Box::new(log_panic));
    Ok(())
}

/// Logs where a panic was, and what it said if that was written in the source: a message made at run time, such as that
/// of slicing a string in the middle of a character, may hold a document's text.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let location = panic.location().map(ToString::to_string).unwrap_or_default();
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or_default();
    let said = panic.payload().downcast_ref::<&'static str>().copied();
    // Captured only when RUST_BACKTRACE asks for it.
    let backtrace = Backtrace::capture();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| tracing::field::display(backtrace));
    tracing::error!(location, thread, said, backtrace, "panic");
}
