//! Who is let in, and over what: TLS, principals, and what is open to all.

use std::net::SocketAddr;
use std::path::PathBuf;

/// How connections are protected and callers found out. By default they aren't, which is refused beyond this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecurityConfig {
    /// The files for TLS; `None`: without.
    pub tls: Option<TlsFiles>,
    /// The file of principals; `None`: anyone who reaches the server may do anything.
    pub principals: Option<PathBuf>,
    /// Whether health needs no credential.
    pub is_health_open: bool,
    /// Whether reflection needs none.
    pub is_reflection_open: bool,
    /// Whether to listen beyond this machine without TLS or without knowing who calls.
    pub is_insecure_allowed: bool,
}

impl Default for SecurityConfig {
    fn default() -> Self {
        Self {
            tls: None,
            principals: None,
            is_health_open: true,
            is_reflection_open: false,
            is_insecure_allowed: false,
        }
    }
}

/// The files of TLS, all in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate, and those between it and its authority's.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Which certificates of clients are taken; `None`: they aren't asked for one.
    pub clients: Option<TlsClients>,
}

/// What is asked of clients in TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsClients {
    /// The certificates of the authorities that sign clients' certificates.
    pub authorities: PathBuf,
    /// Whether a client must have one.
    pub certificates: ClientCertificates,
}

/// Whether a client must have a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum ClientCertificates {
    /// Who has none gets no connection.
    #[default]
    Required,
    /// Who has none may have a token.
    Optional,
}

/// Why a server doesn't listen somewhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{address} can be reached from other machines, but {lacking}; give --tls-cert, --tls-key and --principals, listen on \
     127.0.0.1, or say --insecure if something else keeps strangers out"
)]
pub struct Exposed {
    address: SocketAddr,
    lacking: &'static str,
}

impl SecurityConfig {
    /// Whether it is safe enough to listen on an address: on this machine's own any way is.
    ///
    /// # Errors
    /// It can be reached from elsewhere, there is no TLS or it isn't known who calls, and that isn't allowed.
    pub fn check_listening(&self, address: SocketAddr) -> Result<(), Exposed> {
        if address.ip().to_canonical().is_loopback() || self.is_insecure_allowed {
            return Ok(());
        }
        let clients = self.tls.as_ref().and_then(|tls| tls.clients.as_ref());
        let knows_callers = self.principals.is_some()
            || clients.is_some_and(|clients| clients.certificates == ClientCertificates::Required);
        match (&self.tls, knows_callers) {
            (Some(_), true) => Ok(()),
            (Some(_), false) => Err(Exposed { address, lacking: "anyone could call" }),
            (None, true) => Err(Exposed { address, lacking: "tokens and documents would travel in the clear" }),
            (None, false) => {
                Err(Exposed { address, lacking: "anyone could call, and documents would travel in the clear" })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_this_machine_there_must_be_tls_and_callers_with_names() {
        let open = SecurityConfig::default();
        let files = |clients| TlsFiles { certificate: "c".into(), key: "k".into(), clients };
        let with = |certificates| Some(TlsClients { authorities: "a".into(), certificates });
        let tls = SecurityConfig { tls: Some(files(None)), ..open.clone() };
        let principals = SecurityConfig { principals: Some("p".into()), ..open.clone() };
        let both = SecurityConfig { principals: Some("p".into()), ..tls.clone() };
        let required = SecurityConfig { tls: Some(files(with(ClientCertificates::Required))), ..open.clone() };
        let optional = SecurityConfig { tls: Some(files(with(ClientCertificates::Optional))), ..open.clone() };
        let allowed = SecurityConfig { is_insecure_allowed: true, ..open.clone() };
        for elsewhere in ["0.0.0.0:1", "192.0.2.1:1", "[::]:1", "[2001:db8::1]:1", "[::ffff:192.0.2.1]:1"] {
            let elsewhere = elsewhere.parse().unwrap();
            for refused in [&open, &tls, &principals, &optional] {
                assert!(refused.check_listening(elsewhere).is_err(), "{elsewhere} {refused:?}");
            }
            for taken in [&both, &required, &allowed] {
                assert_eq!(taken.check_listening(elsewhere), Ok(()), "{elsewhere} {taken:?}");
            }
        }
        for here in ["127.0.0.1:1", "127.8.0.1:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            assert_eq!(open.check_listening(here.parse().unwrap()), Ok(()), "{here}");
        }
    }
}
