//! TLS: the server's certificate and key, the authorities of clients' certificates, read again when the files change, and what
//! a client's certificate says.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use sha2::{Digest, Sha256};
use tokio_rustls::TlsAcceptor;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::config::{ClientCertificates, TlsFiles};

/// Protocols that are agreed on in the handshake, the best first.
const HTTP2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

/// What files should be.
const CERTIFICATES: &str = "certificates in PEM";
const KEY: &str = "a private key in PEM";

/// Why there is no TLS with these files.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file can't be read, or isn't PEM.
    #[error("{file} can't be read as {what}: {problem}")]
    File {
        /// Which.
        file: String,
        /// What it should be.
        what: &'static str,
        /// Why not.
        problem: String,
    },
    /// They don't go together.
    #[error("the certificate and key can't be used")]
    Rustls(#[from] rustls::Error),
    /// The authorities of clients can't be used.
    #[error("the authorities of clients' certificates can't be used")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
}

/// Takes connections over TLS, with what the files say now.
#[derive(Debug)]
pub struct Tls {
    files: TlsFiles,
    is_http1_spoken: bool,
    current: ArcSwap<Loaded>,
}

#[derive(Debug)]
struct Loaded {
    content_sha256: [u8; 32],
    config: Arc<rustls::ServerConfig>,
    expires_at: Option<SystemTime>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// One can't be read, or they don't go together.
    pub fn load(files: TlsFiles, is_http1_spoken: bool) -> Result<Self, TlsError> {
        let current = ArcSwap::from_pointee(Contents::read(&files)?.load(&files, is_http1_spoken)?);
        Ok(Self { files, is_http1_spoken, current })
    }

    /// Reads the files again; whether they have changed. Connections that are there aren't touched.
    ///
    /// # Errors
    /// One can't be read, or they don't go together: then those before are used on.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let contents = Contents::read(&self.files)?;
        let has_changed = contents.sha256 != self.current.load().content_sha256;
        if has_changed {
            self.current.store(Arc::new(contents.load(&self.files, self.is_http1_spoken)?));
        }
        Ok(has_changed)
    }

    /// What takes the next connection.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.current.load().config))
    }

    /// When the server's certificate expires.
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.current.load().expires_at
    }
}

/// What the files hold.
struct Contents {
    certificates: Vec<u8>,
    key: Vec<u8>,
    authorities: Option<Vec<u8>>,
    sha256: [u8; 32],
}

impl Contents {
    fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        let read = |path: &Path, what| std::fs::read(path).map_err(|error| unreadable(path, what, &error));
        let certificates = read(&files.certificate, CERTIFICATES)?;
        let key = read(&files.key, KEY)?;
        let authorities = files.clients.as_ref().map(|clients| read(&clients.authorities, CERTIFICATES)).transpose()?;
        let mut hasher = Sha256::new();
        for content in [Some(&certificates), Some(&key), authorities.as_ref()].into_iter().flatten() {
            hasher.update((content.len() as u64).to_le_bytes());
            hasher.update(content);
        }
        Ok(Self { certificates, key, authorities, sha256: hasher.finalize().into() })
    }

    fn load(&self, files: &TlsFiles, is_http1_spoken: bool) -> Result<Loaded, TlsError> {
        let certificates = read_certificates(&files.certificate, &self.certificates)?;
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|error| unreadable(&files.key, KEY, &error))?;
        let expires_at = certificates.first().and_then(|certificate| ClientCertificate::read(certificate)?.expires_at);
        let builder = rustls::ServerConfig::builder();
        let builder = match (&files.clients, &self.authorities) {
            (Some(clients), Some(authorities)) => {
                let mut roots = RootCertStore::empty();
                for certificate in read_certificates(&clients.authorities, authorities)? {
                    roots.add(certificate)?;
                }
                let verifier = WebPkiClientVerifier::builder(Arc::new(roots));
                let verifier = match clients.certificates {
                    ClientCertificates::Required => verifier,
                    ClientCertificates::Optional => verifier.allow_unauthenticated(),
                };
                builder.with_client_cert_verifier(verifier.build()?)
            }
            _ => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(certificates, key)?;
        config.alpn_protocols = vec![HTTP2.to_vec()];
        if is_http1_spoken {
            config.alpn_protocols.push(HTTP1.to_vec());
        }
        Ok(Loaded { content_sha256: self.sha256, config: Arc::new(config), expires_at })
    }
}

fn read_certificates(path: &Path, content: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(content).collect();
    let certificates = certificates.map_err(|error| unreadable(path, CERTIFICATES, &error))?;
    if certificates.is_empty() {
        return Err(unreadable(path, CERTIFICATES, &"it has none"));
    }
    Ok(certificates)
}

fn unreadable(path: &Path, what: &'static str, problem: &dyn std::fmt::Display) -> TlsError {
    TlsError::File { file: path.display().to_string(), what, problem: problem.to_string() }
}

/// What a certificate says of whom it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ClientCertificate {
    /// URIs, DNS names and e-mail addresses of the subject's alternative names, or its common names where there are none of
    /// these; each with its kind, as `access::principals::CERTIFICATE_NAMES` has it.
    pub(super) names: Vec<String>,
    /// From when on it isn't valid; `None`: it says a time that no clock can show.
    pub(super) expires_at: Option<SystemTime>,
}

impl ClientCertificate {
    /// Reads a certificate; `None` if it is none.
    pub(super) fn read(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        // One that can't be read, or is there twice, makes the certificate nobody's, not one without alternative names.
        let alternative = certificate.subject_alternative_name().ok()?;
        let mut names = Vec::new();
        match alternative {
            Some(alternative) => {
                for name in &alternative.value.general_names {
                    match name {
                        GeneralName::URI(name) => names.push(format!("uri:{name}")),
                        GeneralName::DNSName(name) => names.push(format!("dns:{name}")),
                        GeneralName::RFC822Name(name) => names.push(format!("email:{name}")),
                        _ => {}
                    }
                }
            }
            // Some authorities look at alternative names and let those who ask choose the common name.
            None => {
                let common_names = certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok());
                names.extend(common_names.map(|name| format!("cn:{name}")));
            }
        }
        let not_after = u64::try_from(certificate.validity().not_after.timestamp()).ok();
        let expires_at = not_after.and_then(|seconds| {
            // The last second counts.
            SystemTime::UNIX_EPOCH.checked_add(std::time::Duration::from_secs(seconds.checked_add(1)?))
        });
        Some(Self { names, expires_at })
    }
}
