//! What may be allowed to whom: three roles, each including the one before, for some classifiers or all.

use std::fmt;

use crate::names::ClassifierName;

/// What a principal may do with a classifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Classify, and see what versions there are and how good they are.
    Reader,
    /// Also work with labelled documents and training jobs, and take model files away.
    Trainer,
    /// Also say which version answers and by which rules, change settings, and delete. `server::permission` has what each message
    /// needs.
    Admin,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reader => "reader",
            Self::Trainer => "trainer",
            Self::Admin => "admin",
        })
    }
}

/// What a role is needed for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Extent {
    /// One classifier.
    Classifier(ClassifierName),
    /// Any one: nothing of a certain one is told or changed, or what is told is only of those that may be read.
    Any,
    /// All of them, those to come included.
    Server,
}

impl fmt::Display for Extent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Classifier(name) => name.fmt(f),
            Self::Any => f.write_str("any classifier"),
            Self::Server => f.write_str("all classifiers (\"*\")"),
        }
    }
}

/// The classifiers that somebody has a role for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Granted {
    /// All, those to come included.
    pub(super) is_all: bool,
    pub(super) classifiers: Vec<ClassifierName>,
}

impl Granted {
    pub(super) fn includes(&self, extent: &Extent) -> bool {
        self.is_all
            || match extent {
                Extent::Classifier(name) => self.classifiers.contains(name),
                Extent::Any => !self.classifiers.is_empty(),
                Extent::Server => false,
            }
    }
}
