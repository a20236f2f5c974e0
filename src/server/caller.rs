//! Who calls: found out from a token in the call's header or the connection's certificate before the call is read, and asked
//! again when something is to be allowed.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Instant, SystemTime};

use http::header::AUTHORIZATION;
use http::{Extensions, HeaderMap, Request};
use tonic::Code;
use tonic::body::Body;

use super::permission::{Guarded, Permission};
use super::status::Refusal;
use super::tls::ClientCertificate;
use crate::access::{Access, CredentialError, Extent, Principal, Role};
use crate::names::ClassifierName;

/// Who is called by a server without principals.
const ANYONE: &str = "anyone";

/// What tells of the server's health, in the Open Inference Protocol.
const HEALTH_OF_INFERENCE: [&str; 2] =
    ["/inference.GRPCInferenceService/ServerLive", "/inference.GRPCInferenceService/ServerReady"];

/// Whether a method tells of the server's health.
pub(super) fn is_health(path: &str) -> bool {
    path.starts_with("/grpc.health.v1.Health/") || HEALTH_OF_INFERENCE.contains(&path)
}

/// Where a connection comes from, and with what certificate.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    pub(super) certificate: Option<Arc<ClientCertificate>>,
}

/// How callers are found out.
#[derive(Debug, Clone, Default)]
pub(super) struct Identification {
    /// `None`: anyone may do anything.
    pub(super) access: Option<Arc<Access>>,
    /// Whether health needs no credential.
    pub(super) is_health_open: bool,
    /// Whether reflection needs none.
    pub(super) is_reflection_open: bool,
}

impl Identification {
    /// Who makes a call.
    ///
    /// # Errors
    /// It has no credential, or one that isn't taken.
    pub(super) fn caller(&self, request: &Request<Body>) -> Result<Caller, Refusal> {
        let Some(access) = self.access.as_ref().filter(|_| !self.is_open(request.uri().path())) else {
            return Ok(Caller::new(None));
        };
        Ok(match bearer_token(request.headers())? {
            Some(token) => Caller::new(Some(access.by_token(token)?)),
            None => by_certificate(access, request.extensions())?,
        })
    }

    fn is_open(&self, path: &str) -> bool {
        self.is_health_open && is_health(path) || self.is_reflection_open && path.starts_with("/grpc.reflection.")
    }
}

/// The token of a call's header, if it has one.
fn bearer_token(headers: &HeaderMap) -> Result<Option<&[u8]>, Refusal> {
    let mut credentials = headers.get_all(AUTHORIZATION).iter();
    let Some(credential) = credentials.next() else { return Ok(None) };
    // The scheme's name has no case (RFC 9110, section 11.1).
    let token = credential.as_bytes().split_at_checked(7).filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"bearer "));
    match (token, credentials.next()) {
        (Some((_, token)), None) => Ok(Some(token.trim_ascii())),
        _ => Err(Refusal::MalformedCredential),
    }
}

fn by_certificate(access: &Access, extensions: &Extensions) -> Result<Caller, Refusal> {
    let peer = extensions.get::<Peer>().and_then(|peer| peer.certificate.as_deref());
    let certificate = peer.ok_or(Refusal::NoCredential)?;
    // It was valid when the connection began.
    if certificate.expires_at.is_none_or(|at| at <= SystemTime::now()) {
        return Err(CredentialError::Expired.into());
    }
    let principal = access.by_certificate(&certificate.names)?;
    Ok(Caller { certificate_expires_at: certificate.expires_at, ..Caller::new(Some(principal)) })
}

/// The message of a call, if its caller is allowed it.
///
/// # Errors
/// As [`Caller::admit`]'s.
pub(super) fn admitted<T: Guarded>(request: tonic::Request<T>) -> Result<T, Refusal> {
    let caller = Caller::of(request.extensions())?;
    let message = request.into_inner();
    caller.admit(&message)?;
    Ok(message)
}

/// Who makes a call, and what is to be said of it in the audit log.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    principal: Option<Arc<Principal>>,
    /// Where that is what it is known by.
    certificate_expires_at: Option<SystemTime>,
    record: Arc<Record>,
}

/// What has been found out about a call while it was answered.
#[derive(Debug, Default)]
struct Record {
    is_change: AtomicBool,
    /// What the first message that would change something is about.
    subject: OnceLock<String>,
    /// What the first message that wasn't allowed is about, and why it wasn't.
    denied: OnceLock<(String, Code)>,
}

impl Caller {
    fn new(principal: Option<Arc<Principal>>) -> Self {
        Self { principal, certificate_expires_at: None, record: Arc::default() }
    }

    /// The one that the edge has found out.
    ///
    /// # Errors
    /// It hasn't, which no call meets: who nobody knows is let in nowhere.
    pub(super) fn of(extensions: &Extensions) -> Result<Self, Refusal> {
        extensions.get::<Self>().cloned().ok_or(Refusal::NoCredential)
    }

    /// The principal's name, for logs.
    pub(super) fn name(&self) -> &str {
        self.principal.as_ref().map_or(ANYONE, |principal| principal.name())
    }

    /// The principal; `None` on a server without them.
    pub(super) fn principal(&self) -> Option<Arc<Principal>> {
        self.principal.clone()
    }

    /// Allows a message, and counts its documents against the principal's quota.
    ///
    /// # Errors
    /// The principal lacks the role, its credential isn't valid any more, or it has classified too much.
    pub(super) fn admit(&self, message: &impl Guarded) -> Result<(), Refusal> {
        let Permission { role, extent, other, is_change, n_documents } = message.needs();
        self.record.is_change.fetch_or(is_change, Ordering::Relaxed);
        if is_change {
            self.record.subject.get_or_init(|| extent.to_string());
        }
        let Some(principal) = &self.principal else { return Ok(()) };
        for extent in [Some(&extent), other.as_ref()].into_iter().flatten() {
            if let Err(refusal) = self.check().and_then(|()| check_role(principal, role, extent)) {
                self.record.denied.get_or_init(|| (extent.to_string(), refusal.code()));
                return Err(refusal);
            }
        }
        take_documents(principal, n_documents)
    }

    /// Whether the principal may read of a classifier.
    pub(super) fn may_read(&self, classifier: &ClassifierName) -> bool {
        let extent = Extent::Classifier(classifier.clone());
        self.principal.as_ref().is_none_or(|principal| principal.may(Role::Reader, &extent))
    }

    /// Whether the credential is valid still.
    pub(super) fn check(&self) -> Result<(), Refusal> {
        let now = SystemTime::now();
        if self.certificate_expires_at.is_some_and(|at| at <= now) {
            return Err(CredentialError::Expired.into());
        }
        self.principal.as_ref().map_or(Ok(()), |principal| Ok(principal.check(now)?))
    }

    /// Returns, with what to say, when the credential isn't valid any more.
    pub(super) async fn ends(&self) -> Refusal {
        let Some(principal) = &self.principal else { return std::future::pending().await };
        let certificate = async {
            match self.certificate_expires_at {
                Some(at) => tokio::time::sleep(at.duration_since(SystemTime::now()).unwrap_or_default()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            error = principal.ends() => error.into(),
            () = certificate => CredentialError::Expired.into(),
        }
    }

    /// Whether the call would change something.
    pub(super) fn is_change(&self) -> bool {
        self.record.is_change.load(Ordering::Relaxed)
    }

    /// What the call would change, as its first message says.
    pub(super) fn subject(&self) -> &str {
        self.record.subject.get().map_or("", String::as_str)
    }

    /// What was denied first, and with which code.
    pub(super) fn denied(&self) -> Option<(&str, Code)> {
        self.record.denied.get().map(|(subject, code)| (subject.as_str(), *code))
    }
}

fn check_role(principal: &Principal, role: Role, extent: &Extent) -> Result<(), Refusal> {
    if !principal.may(role, extent) {
        let (principal, extent) = (principal.name().to_owned(), extent.clone());
        return Err(Refusal::RoleMissing { principal, role, extent });
    }
    Ok(())
}

fn take_documents(principal: &Principal, n_documents: usize) -> Result<(), Refusal> {
    match principal.quotas().documents_per_second {
        Some(per_second) if n_documents > 0 => {
            let taken = principal.usage().take_documents(n_documents, per_second, Instant::now());
            taken.map_err(|retry_after| Refusal::TooManyDocuments {
                principal: principal.name().to_owned(),
                per_second,
                retry_after,
            })
        }
        _ => Ok(()),
    }
}
