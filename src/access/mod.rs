//! Who may do what: principals with their credentials, roles and quotas, as a file says, which is read again when it changes.
//!
//! Reading order: [`role`] (what may be allowed), [`principals`] (the file), [`quota`] (how much of it), this file (who a credential
//! belongs to, now). What it doesn't own: which call needs what (`server::permission`), and how credentials come in
//! (`server::caller`).

pub mod principals;
pub mod quota;
pub mod role;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

pub use principals::{Principal, PrincipalsError};
pub use role::{Extent, Role};

use principals::{ParsedPrincipal, parse};

/// Why a credential isn't taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// Nobody has it.
    #[error("the credential isn't one of this server's; it may be mistyped, or was taken back")]
    Unknown,
    /// Its time is over.
    #[error("the credential has expired; ask for a new one")]
    Expired,
    /// What the file says of the principal has changed since the call began.
    #[error("what the principal is allowed has changed; call again")]
    Changed,
}

/// The principals of a file, as it is now.
#[derive(Debug)]
pub struct Access {
    path: PathBuf,
    current: ArcSwap<Principals>,
}

/// What was read at one time.
#[derive(Debug, Default)]
struct Principals {
    content_sha256: [u8; 32],
    all: Vec<Arc<Principal>>,
}

impl Access {
    /// Reads a file.
    ///
    /// # Errors
    /// It can't be read, or says what makes no sense.
    pub fn open(path: &Path) -> Result<Self, PrincipalsError> {
        let access = Self { path: path.to_owned(), current: ArcSwap::default() };
        access.reload()?;
        Ok(access)
    }

    /// Reads the file again; whether it has changed. Principals of whom it says the same as before go on as they are; calls of the others
    /// that last end.
    ///
    /// # Errors
    /// It can't be read, or says what makes no sense: then what it said before holds.
    pub fn reload(&self) -> Result<bool, PrincipalsError> {
        let read = std::fs::read_to_string(&self.path);
        let content = read.map_err(|source| PrincipalsError::Io { path: self.path.clone(), source })?;
        let content_sha256 = Sha256::digest(&content).into();
        let before = self.current.load_full();
        if before.content_sha256 == content_sha256 {
            return Ok(false);
        }
        let all = parse(&content)?.into_iter().map(|parsed| before.kept_or_new(parsed)).collect();
        let now = Arc::new(Principals { content_sha256, all });
        self.current.store(Arc::clone(&now));
        for principal in &before.all {
            if !now.all.iter().any(|kept| Arc::ptr_eq(kept, principal)) {
                principal.end();
            }
        }
        Ok(true)
    }

    /// Whose token it is.
    ///
    /// # Errors
    /// [`CredentialError::Unknown`] or [`CredentialError::Expired`].
    pub fn by_token(&self, token: &[u8]) -> Result<Arc<Principal>, CredentialError> {
        let hash: [u8; 32] = Sha256::digest(token).into();
        let current = self.current.load();
        let mut found = None;
        // All are looked at, each for as long as any other: how long it takes says nothing of what is there.
        for principal in &current.all {
            for known in &principal.parsed().token_sha256 {
                if bool::from(known.ct_eq(&hash)) {
                    found = Some(principal);
                }
            }
        }
        valid(found)
    }

    /// Whose certificate has one of these names; the first name that somebody has counts.
    ///
    /// # Errors
    /// [`CredentialError::Unknown`] or [`CredentialError::Expired`].
    pub fn by_certificate(&self, names: &[String]) -> Result<Arc<Principal>, CredentialError> {
        let current = self.current.load();
        let owner = |name: &String| current.all.iter().find(|principal| principal.parsed().certificate.contains(name));
        valid(names.iter().find_map(owner))
    }
}

fn valid(found: Option<&Arc<Principal>>) -> Result<Arc<Principal>, CredentialError> {
    let principal = found.ok_or(CredentialError::Unknown)?;
    principal.check(SystemTime::now())?;
    Ok(Arc::clone(principal))
}

impl Principals {
    /// The principal that there was, if the file says the same of it; what it has used counts on in any case.
    fn kept_or_new(&self, parsed: ParsedPrincipal) -> Arc<Principal> {
        match self.all.iter().find(|principal| principal.parsed().name == parsed.name) {
            Some(before) if *before.parsed() == parsed => Arc::clone(before),
            Some(before) => Arc::new(Principal::new(parsed, Arc::clone(before.usage()))),
            None => Arc::new(Principal::new(parsed, Arc::default())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::ClassifierName;

    fn sha256_of(token: &str) -> String {
        crate::hexadecimal::encode(&Sha256::digest(token))
    }

    fn entry(name: &str, token: &str, more: &str) -> String {
        format!("[[principal]]\nname = \"{name}\"\ntoken_sha256 = [\"{}\"]\n{more}\n", sha256_of(token))
    }

    fn opened(content: &str) -> (tempfile::TempDir, Access) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("principals.toml");
        std::fs::write(&path, content).unwrap();
        let access = Access::open(&path).unwrap();
        (directory, access)
    }

    #[test]
    fn a_token_is_its_principals_until_it_expires() {
        let content = entry("desk", "one", "reader = [\"*\"]") + &entry("old", "two", "expires = 2020-01-01T00:00:00Z");
        let (_directory, access) = opened(&content);
        assert_eq!(access.by_token(b"one").unwrap().name(), "desk");
        assert_eq!(access.by_token(b"two").unwrap_err(), CredentialError::Expired);
        for wrong in ["", "One", "one ", "on"] {
            assert_eq!(access.by_token(wrong.as_bytes()).unwrap_err(), CredentialError::Unknown);
        }
    }

    #[test]
    fn a_certificate_is_found_by_any_of_its_names() {
        let content = "[[principal]]\nname = \"probe\"\ncertificate = [\"uri:spiffe://news/probe\"]\n";
        let (_directory, access) = opened(content);
        let names = ["other".to_owned(), "uri:spiffe://news/probe".to_owned()];
        assert_eq!(access.by_certificate(&names).unwrap().name(), "probe");
        assert_eq!(access.by_certificate(&names[..1]).unwrap_err(), CredentialError::Unknown);
    }

    #[test]
    fn what_changes_ends_and_what_stays_goes_on() {
        let (stays, changes) = (entry("stays", "one", "reader = [\"*\"]"), entry("changes", "two", "reader = [\"*\"]"));
        let (directory, access) = opened(&(stays.clone() + &changes));
        let (before, changed) = (access.by_token(b"one").unwrap(), access.by_token(b"two").unwrap());
        assert!(!access.reload().unwrap());

        let path = directory.path().join("principals.toml");
        std::fs::write(&path, stays.clone() + &entry("changes", "two", "reader = [\"desk\"]")).unwrap();
        assert!(access.reload().unwrap());
        assert!(Arc::ptr_eq(&before, &access.by_token(b"one").unwrap()));
        assert_eq!(changed.check(SystemTime::now()), Err(CredentialError::Changed));
        let desk: ClassifierName = "desk".parse().unwrap();
        let after = access.by_token(b"two").unwrap();
        assert!(after.may(Role::Reader, &Extent::Classifier(desk)) && !after.may(Role::Reader, &Extent::Server));
        assert!(Arc::ptr_eq(changed.usage(), after.usage()), "a quota isn't filled by a change of the file");

        // What makes no sense changes nothing.
        std::fs::write(&path, stays + "[[principal]]\nnmae = \"typo\"\n").unwrap();
        assert!(access.reload().unwrap_err().to_string().contains("nmae"));
        assert!(access.by_token(b"two").is_ok());
        std::fs::write(&path, "").unwrap();
        assert!(access.reload().unwrap());
        assert_eq!(access.by_token(b"one").unwrap_err(), CredentialError::Unknown);
        assert_eq!(before.check(SystemTime::now()), Err(CredentialError::Changed));
    }
}
