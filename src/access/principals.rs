//! The file of principals: TOML, a table `[[principal]]` for each. It has hashes of tokens, never tokens.

use std::collections::HashSet;
use std::io;
use std::num::{NonZeroU32, NonZeroU64};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::watch;

use super::CredentialError;
use super::quota::{Quotas, Usage};
use super::role::{Extent, Granted, Role};
use crate::hexadecimal::parse_sha256;
use crate::names::ClassifierName;

/// The longest name of a principal, in bytes.
const MAX_NAME_BYTES: usize = 64;

/// The kinds of names in certificates: those of the subject's alternative names, and the common name of one that has none.
pub const CERTIFICATE_NAMES: [&str; 4] = ["uri:", "dns:", "email:", "cn:"];

/// Why a file of principals can't be used.
#[derive(Debug, thiserror::Error)]
pub enum PrincipalsError {
    /// It can't be read.
    #[error("the file of principals, {}, can't be read: {source}", path.display())]
    Io {
        /// Where it should be.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It is no TOML, or has keys that nothing is known of. What the line says isn't told: it may be a token.
    #[error("line {line} of the file of principals isn't understood: {problem}")]
    Toml {
        /// Where.
        line: usize,
        /// Why not.
        problem: String,
    },
    /// A principal makes no sense.
    #[error("principal {name:?} in the file of principals {problem}")]
    Principal {
        /// Which.
        name: String,
        /// What is wrong; completes the sentence.
        problem: String,
    },
}

/// Somebody who calls.
#[derive(Debug)]
pub struct Principal {
    parsed: ParsedPrincipal,
    usage: Arc<Usage>,
    ended: watch::Sender<bool>,
}

impl Principal {
    pub(super) fn new(parsed: ParsedPrincipal, usage: Arc<Usage>) -> Self {
        Self { parsed, usage, ended: watch::Sender::new(false) }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.parsed.name
    }

    pub(super) fn parsed(&self) -> &ParsedPrincipal {
        &self.parsed
    }

    /// How much it may use.
    pub fn quotas(&self) -> &Quotas {
        &self.parsed.quotas
    }

    /// What it has used.
    pub fn usage(&self) -> &Arc<Usage> {
        &self.usage
    }

    /// Whether it has a role, or a higher one, for something.
    pub fn may(&self, role: Role, extent: &Extent) -> bool {
        let ParsedPrincipal { reader, trainer, admin, .. } = &self.parsed;
        let granted = [(Role::Reader, reader), (Role::Trainer, trainer), (Role::Admin, admin)];
        granted.into_iter().any(|(granted, classifiers)| granted >= role && classifiers.includes(extent))
    }

    /// Whether it is still what it was when a call began.
    ///
    /// # Errors
    /// [`CredentialError::Expired`] or [`CredentialError::Changed`].
    pub fn check(&self, now: SystemTime) -> Result<(), CredentialError> {
        if *self.ended.borrow() {
            Err(CredentialError::Changed)
        } else if self.parsed.expires_at.is_some_and(|expires_at| expires_at <= now) {
            Err(CredentialError::Expired)
        } else {
            Ok(())
        }
    }

    /// Returns when it is no more what it was, with what to say then.
    pub async fn ends(&self) -> CredentialError {
        let expires = async {
            match self.parsed.expires_at {
                Some(at) => tokio::time::sleep(at.duration_since(SystemTime::now()).unwrap_or_default()).await,
                None => std::future::pending().await,
            }
        };
        let mut ended = self.ended.subscribe();
        tokio::select! {
            () = expires => CredentialError::Expired,
            _ = ended.wait_for(|ended| *ended) => CredentialError::Changed,
        }
    }

    pub(super) fn end(&self) {
        self.ended.send_replace(true);
    }
}

/// What the file says of a principal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ParsedPrincipal {
    pub(super) name: String,
    pub(super) token_sha256: Vec<[u8; 32]>,
    /// Names in certificates, each with its kind.
    pub(super) certificate: Vec<String>,
    expires_at: Option<SystemTime>,
    reader: Granted,
    trainer: Granted,
    admin: Granted,
    quotas: Quotas,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    principal: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    #[serde(default)]
    token_sha256: Vec<String>,
    #[serde(default)]
    certificate: Vec<String>,
    expires: Option<toml::value::Datetime>,
    #[serde(default)]
    reader: Vec<String>,
    #[serde(default)]
    trainer: Vec<String>,
    #[serde(default)]
    admin: Vec<String>,
    documents_per_second: Option<NonZeroU32>,
    stored_documents: Option<NonZeroU64>,
    training_jobs: Option<NonZeroU32>,
}

/// Reads what a file says.
pub(super) fn parse(content: &str) -> Result<Vec<ParsedPrincipal>, PrincipalsError> {
    let file: File = toml::from_str(content).map_err(|error| {
        let begin = error.span().map_or(0, |span| span.start);
        let line = content.bytes().take(begin).filter(|&byte| byte == b'\n').count() + 1;
        PrincipalsError::Toml { line, problem: error.message().to_owned() }
    })?;
    let (mut names, mut credentials) = (HashSet::new(), HashSet::new());
    let mut principals = Vec::new();
    for entry in file.principal {
        let name = entry.name.clone();
        let wrong = |problem: String| PrincipalsError::Principal { name: name.clone(), problem };
        let parsed = parse_entry(entry).map_err(wrong)?;
        if !names.insert(parsed.name.clone()) {
            return Err(wrong("is there twice; give a principal all its tokens and roles in one place".to_owned()));
        }
        let tokens = parsed.token_sha256.iter().map(|hash| format!("{hash:02x?}"));
        for credential in tokens.chain(parsed.certificate.iter().cloned()) {
            if !credentials.insert(credential) {
                return Err(wrong("has a token or certificate that is there before; each belongs to one".to_owned()));
            }
        }
        principals.push(parsed);
    }
    Ok(principals)
}

fn parse_entry(entry: Entry) -> Result<ParsedPrincipal, String> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.@".contains(&byte);
    if !(1..=MAX_NAME_BYTES).contains(&entry.name.len()) || !entry.name.bytes().all(is_allowed) {
        return Err(format!("can't be called that; a name has 1 to {MAX_NAME_BYTES} letters, digits, - _ . or @"));
    }
    let is_named = |name: &&String| {
        CERTIFICATE_NAMES.iter().any(|kind| name.strip_prefix(kind).is_some_and(|name| !name.is_empty()))
    };
    if let Some(wrong) = entry.certificate.iter().find(|name| !is_named(name)) {
        return Err(format!(
            "has the certificate {wrong:?}; write uri:, dns:, email: or cn: and the name of that kind"
        ));
    }
    Ok(ParsedPrincipal {
        name: entry.name,
        token_sha256: entry.token_sha256.iter().map(|hash| sha256(hash)).collect::<Result<_, _>>()?,
        certificate: entry.certificate,
        expires_at: entry.expires.map(expires_at).transpose()?,
        reader: granted(&entry.reader)?,
        trainer: granted(&entry.trainer)?,
        admin: granted(&entry.admin)?,
        quotas: Quotas {
            documents_per_second: entry.documents_per_second,
            stored_documents: entry.stored_documents,
            training_jobs: entry.training_jobs,
        },
    })
}

fn sha256(digits: &str) -> Result<[u8; 32], String> {
    let wrong = || "has a token_sha256 that isn't 64 hexadecimal digits; topicd token prints one".to_owned();
    parse_sha256(digits).ok_or_else(wrong)
}

fn expires_at(moment: toml::value::Datetime) -> Result<SystemTime, String> {
    OffsetDateTime::parse(&moment.to_string(), &Rfc3339)
        .map(SystemTime::from)
        .map_err(|_| format!("expires at {moment}, which isn't a time with a zone, such as 2027-01-31T00:00:00Z"))
}

fn granted(names: &[String]) -> Result<Granted, String> {
    let (all, some): (Vec<_>, Vec<_>) = names.iter().partition(|name| *name == "*");
    let classifier = |name: &&String| {
        let bare = name.strip_prefix("classifiers/").unwrap_or(name);
        bare.parse::<ClassifierName>().map_err(|error| format!("has a role for what is no classifier: {error}"))
    };
    let classifiers = some.iter().map(classifier).collect::<Result<_, _>>()?;
    Ok(Granted { is_all: !all.is_empty(), classifiers })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_include_the_lower_ones_and_only_for_their_classifiers() {
        let content = "[[principal]]\nname = \"p\"\nreader = [\"*\"]\ntrainer = [\"desk\", \"classifiers/other\"]\n";
        let principal = Principal::new(parse(content).unwrap().remove(0), Arc::default());
        let on = |name: &str| Extent::Classifier(name.parse().unwrap());
        assert!(principal.may(Role::Reader, &on("third")) && principal.may(Role::Reader, &Extent::Server));
        assert!(principal.may(Role::Trainer, &on("desk")) && principal.may(Role::Trainer, &on("other")));
        assert!(principal.may(Role::Trainer, &Extent::Any));
        assert!(!principal.may(Role::Trainer, &on("third")) && !principal.may(Role::Trainer, &Extent::Server));
        assert!(!principal.may(Role::Admin, &on("desk")) && !principal.may(Role::Admin, &Extent::Any));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_the_name() {
        let hash = "ab".repeat(32);
        let twice = format!("[[principal]]\nname = \"a\"\ntoken_sha256 = [\"{hash}\"]\n");
        for (content, said) in [
            ("[[principal]]\nname = \"a b\"".to_owned(), "\"a b\""),
            ("[[principal]]\nname = \"a\"\ntoken_sha256 = [\"secret\"]".to_owned(), "64 hexadecimal digits"),
            (format!("[[principal]]\nname = \"a\"\ntoken_sha256 = [\"+{}\"]", &hash[1..]), "64 hexadecimal digits"),
            ("[[principal]]\nname = \"a\"\nreader = [\"No Name\"]".to_owned(), "no classifier"),
            ("[[principal]]\nname = \"a\"\nexpires = 2027-01-31".to_owned(), "2027-01-31T00:00:00Z"),
            ("[[principal]]\nname = \"a\"\ncertificate = [\"desk\"]".to_owned(), "uri:"),
            (format!("{twice}{twice}"), "twice"),
            (twice.clone() + &twice.replace("\"a\"", "\"b\""), "belongs to one"),
            ("[[principals]]\nname = \"a\"".to_owned(), "principals"),
            ("[[principal]]\nname = \"a\"\ntraining_jobs = 0".to_owned(), "nonzero"),
        ] {
            let error = parse(&content).unwrap_err().to_string();
            assert!(error.contains(said), "{content}: {error}");
        }
    }
}
