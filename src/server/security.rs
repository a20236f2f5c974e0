//! TLS and principals, as their files say: read before anything listens, and again when they change or somebody says so.

use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use super::caller::Identification;
use super::tls::{Tls, TlsError};
use crate::access::{Access, PrincipalsError};
use crate::config::{SecurityConfig, ServeConfig};

/// How often the files are looked at.
const INTERVAL: Duration = Duration::from_secs(1);

/// Why the files can't be used.
#[derive(Debug, thiserror::Error)]
pub enum SecurityError {
    /// Those of TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// That of principals.
    #[error(transparent)]
    Principals(#[from] PrincipalsError),
}

/// What protects a server.
#[derive(Debug, Default)]
pub struct Security {
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) identification: Identification,
    n_failed_reloads: AtomicU64,
    /// One reads at a time, so that what was read last holds.
    reloading: Mutex<()>,
}

impl Security {
    /// Reads the files that a configuration names.
    ///
    /// # Errors
    /// One can't be read, or makes no sense.
    pub fn load(config: &ServeConfig) -> Result<Arc<Self>, SecurityError> {
        let SecurityConfig { tls, principals, is_health_open, is_reflection_open, .. } = &config.security;
        let tls = tls.clone().map(|files| Tls::load(files, config.grpc_web.is_some())).transpose()?;
        let access = principals.as_deref().map(Access::open).transpose()?;
        Ok(Arc::new(Self {
            tls: tls.map(Arc::new),
            identification: Identification {
                access: access.map(Arc::new),
                is_health_open: *is_health_open,
                is_reflection_open: *is_reflection_open,
            },
            n_failed_reloads: AtomicU64::new(0),
            reloading: Mutex::new(()),
        }))
    }

    /// Reads the files again, and logs what has changed. What can't be used changes nothing.
    pub fn reload(&self) {
        let _one_at_a_time = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tls) = &self.tls {
            self.tell("certificates", tls.reload());
        }
        if let Some(access) = &self.identification.access {
            self.tell("principals", access.reload());
        }
    }

    fn tell(&self, what: &str, reloaded: Result<bool, impl std::error::Error>) {
        match reloaded {
            Ok(true) => tracing::info!("{what} were read again"),
            Ok(false) => {}
            Err(error) => {
                // It may last; the files are looked at each second.
                let n_failed = self.n_failed_reloads.fetch_add(1, Ordering::Relaxed) + 1;
                if n_failed.is_power_of_two() {
                    let cause = error.source().map(ToString::to_string).unwrap_or_default();
                    tracing::error!(%error, cause, n_failed, "{what} have changed and can't be used; those before hold");
                }
            }
        }
    }

    /// Looks at the files again and again.
    pub(super) async fn watch(self: Arc<Self>) -> Infallible {
        loop {
            tokio::time::sleep(INTERVAL).await;
            let this = Arc::clone(&self);
            // A panic in it is logged, and tried again.
            let _ = tokio::task::spawn_blocking(move || this.reload()).await;
        }
    }

    /// Whether there are files to look at.
    pub(super) fn has_files(&self) -> bool {
        self.tls.is_some() || self.identification.access.is_some()
    }

    /// When the server's certificate expires.
    pub(super) fn certificate_expires_at(&self) -> Option<SystemTime> {
        self.tls.as_ref().and_then(|tls| tls.expires_at())
    }

    /// How often files couldn't be used since the start.
    pub(super) fn n_failed_reloads(&self) -> u64 {
        self.n_failed_reloads.load(Ordering::Relaxed)
    }
}
