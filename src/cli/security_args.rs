//! The flags of `topicd serve` that say who is let in, and over what.

use std::path::PathBuf;

use clap::ArgAction;

use crate::config::{ClientCertificates, CorsOrigins, GrpcWebConfig, SecurityConfig, TlsClients, TlsFiles};

/// Who is let in, and over what.
#[derive(Debug, clap::Args)]
pub struct SecurityArgs {
    /// The server's certificate in PEM, with those between it and its authority's. With it, connections are over TLS; it is read
    /// again when it changes.
    #[arg(long, env = "TOPICD_TLS_CERT", value_name = "FILE")]
    tls_cert: Option<PathBuf>,

    /// The certificate's private key in PEM.
    #[arg(long, env = "TOPICD_TLS_KEY", value_name = "FILE")]
    tls_key: Option<PathBuf>,

    /// The certificates, in PEM, of the authorities that sign clients' certificates. With it, clients may or must have one.
    #[arg(long, env = "TOPICD_TLS_CLIENT_CA", value_name = "FILE")]
    tls_client_ca: Option<PathBuf>,

    /// Whether a client must have a certificate, where --tls-client-ca says of whom.
    #[arg(long, env = "TOPICD_TLS_CLIENT_CERTIFICATES", value_enum, value_name = "WHETHER", default_value_t)]
    tls_client_certificates: ClientCertificates,

    /// The file of principals, in TOML: who may call, with which tokens or certificates, and what they may do. It is read again
    /// when it changes. Left out: anyone who reaches the server may do anything.
    #[arg(long, env = "TOPICD_PRINCIPALS", value_name = "FILE")]
    principals: Option<PathBuf>,

    /// Whether health may be asked for without a credential.
    #[arg(long, env = "TOPICD_OPEN_HEALTH", value_name = "BOOL", action = ArgAction::Set,
        default_value_t = SecurityConfig::default().is_health_open)]
    open_health: bool,

    /// Whether reflection may be asked for without a credential.
    #[arg(long, env = "TOPICD_OPEN_REFLECTION", value_name = "BOOL", action = ArgAction::Set,
        default_value_t = SecurityConfig::default().is_reflection_open)]
    open_reflection: bool,

    /// Whether to listen beyond this machine though there is no TLS, or anyone may call.
    #[arg(long, env = "TOPICD_INSECURE", value_name = "BOOL", action = ArgAction::Set, num_args = 0..=1,
        require_equals = true, default_missing_value = "true",
        default_value_t = SecurityConfig::default().is_insecure_allowed)]
    insecure: bool,

    /// Whether browsers may call, over gRPC-Web on the same address.
    #[arg(long, env = "TOPICD_GRPC_WEB", value_name = "BOOL", action = ArgAction::Set, num_args = 0..=1,
        require_equals = true, default_missing_value = "true", default_value_t = false)]
    grpc_web: bool,

    /// The origins of the pages that may call then, with commas between them, such as https://HOST:PORT, or * for all. Left out: only
    /// pages from where the server is.
    #[arg(long, env = "TOPICD_CORS_ORIGINS", value_name = "ORIGINS")]
    cors_origins: Option<CorsOrigins>,
}

impl SecurityArgs {
    /// The two parts of a configuration that these make.
    ///
    /// # Errors
    /// One says something that makes no sense without another, in words.
    pub(super) fn into_config(self) -> Result<(SecurityConfig, Option<GrpcWebConfig>), String> {
        let clients = self
            .tls_client_ca
            .map(|authorities| TlsClients { authorities, certificates: self.tls_client_certificates });
        let tls = match (self.tls_cert, self.tls_key) {
            (Some(certificate), Some(key)) => Some(TlsFiles { certificate, key, clients }),
            (None, None) if clients.is_some() => {
                return Err("tls_client_ca says whose certificates are taken, but there is no tls_cert".to_owned());
            }
            (None, None) => None,
            (Some(_), None) => return Err("there is a tls_cert, but no tls_key".to_owned()),
            (None, Some(_)) => return Err("there is a tls_key, but no tls_cert".to_owned()),
        };
        let security = SecurityConfig {
            tls,
            principals: self.principals,
            is_health_open: self.open_health,
            is_reflection_open: self.open_reflection,
            is_insecure_allowed: self.insecure,
        };
        let grpc_web = match (self.grpc_web, self.cors_origins) {
            (true, origins) => Some(GrpcWebConfig { origins: origins.unwrap_or_default().0 }),
            (false, Some(_)) => return Err("cors_origins are of pages that call, but grpc_web isn't true".to_owned()),
            (false, None) => None,
        };
        Ok((security, grpc_web))
    }
}
