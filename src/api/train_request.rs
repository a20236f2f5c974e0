//! Requests that bring labelled documents → calls.

use std::num::NonZeroUsize;
use std::time::Duration;

use super::pb;
use super::violations::Violations;
use crate::config::Limits;
use crate::dataset::LabelKind;
use crate::document::LabeledDocument;
use crate::linear::Balance;
use crate::names::ClassifierName;
use crate::service::{Error, Scope, TrainCall};
use crate::training_config::{ConfigError, DEFAULT_SELECTIVE_ACCURACY, MAX_HELD_OUT_SHARE, TrainingConfig};
use crate::words;

/// Checks a request for a training.
///
/// # Errors
/// [`Error::InvalidRequest`] with every field that is wrong.
pub fn train_call(request: pb::TrainRequest, limits: &Limits) -> Result<TrainCall, Error> {
    let mut violations = Violations::default();
    // What is asked is everything but how long to wait.
    let asked = pb::TrainRequest { wait_timeout: None, ..request.clone() };
    let request_id = violations.check_request_id("request_id", &request.request_id, &asked);
    let pb::TrainRequest {
        classifier,
        inline_examples,
        scope,
        config,
        wait_timeout,
        promotion_policy,
        dataset_revision,
        ..
    } = request;
    let revision = (dataset_revision > 0).then_some(dataset_revision);
    let classifier = violations.check_classifier("classifier", &classifier);
    let scope = violations.check_scope(scope);
    let config = violations.check_config(config.unwrap_or_default());
    let wait = violations.check_wait(wait_timeout);
    let promotion_policy = promotion_policy.map(|policy| violations.check_promotion_policy("promotion_policy", policy));
    let inline = inline_examples.unwrap_or_default().examples;
    if inline.is_empty() && scope == Scope::SourceOnly {
        let description = "is empty, and SCOPE_SOURCE_ONLY trains on nothing else; give labelled documents".to_owned();
        violations.add("inline_examples.examples", "REQUIRED", description);
    }
    if revision.is_some() && !(inline.is_empty() && scope == Scope::Stored) {
        let description = format!(
            "is {dataset_revision}, and the call brings documents of its own; leave one of the two out: documents that are \
             brought make a new revision"
        );
        violations.add("dataset_revision", "CONFLICT", description);
    }
    let examples = violations.check_examples("inline_examples.examples", 0, inline, limits);
    match classifier {
        Some(classifier) if violations.is_empty() => Ok(TrainCall {
            classifier,
            examples,
            scope,
            revision,
            config,
            promotion_policy,
            wait,
            request: request_id,
            automatic: false,
            requester: None,
        }),
        _ => Err(violations.into_error()),
    }
}

/// A checked message of an import.
#[derive(Debug, Clone)]
pub struct ImportMessage {
    /// Whose dataset it is for.
    pub classifier: ClassifierName,
    /// Its documents.
    pub examples: Vec<LabeledDocument>,
    /// Whether the stream must not end after it.
    pub more_follows: bool,
}

/// What an import is told whose stream has ended too early.
pub fn ended_early() -> Error {
    let mut violations = Violations::default();
    let description = "was set in the last message: the stream ended too early, and nothing was imported".to_owned();
    violations.add("more_follows", "ENDED_EARLY", description);
    violations.into_error()
}

/// Checks a message of an import. `classifier` is the one that an earlier message named; documents are counted from
/// `n_before`, over all messages.
///
/// # Errors
/// [`Error::InvalidRequest`] with every field that is wrong.
pub fn import_message(
    message: pb::ImportExamplesRequest,
    classifier: Option<&ClassifierName>,
    n_before: u64,
    limits: &Limits,
) -> Result<ImportMessage, Error> {
    let mut violations = Violations::default();
    let classifier = match classifier {
        Some(named) if message.classifier.is_empty() => Some(named.clone()),
        named => {
            let here = violations.check_classifier("classifier", &message.classifier);
            if let (Some(named), Some(here)) = (named, &here)
                && named != here
            {
                let description =
                    format!("is {here}, but {named} in an earlier message; import them one after the other");
                violations.add("classifier", "CHANGED", description);
            }
            here
        }
    };
    let examples = violations.check_examples("examples", n_before, message.examples, limits);
    match classifier {
        Some(classifier) if violations.is_empty() => {
            Ok(ImportMessage { classifier, examples, more_follows: message.more_follows })
        }
        _ => Err(violations.into_error()),
    }
}

impl Violations {
    pub(super) fn check_examples(
        &mut self,
        path: &str,
        n_before: u64,
        examples: Vec<pb::LabeledDocument>,
        limits: &Limits,
    ) -> Vec<LabeledDocument> {
        let (n_examples, limit) = (examples.len(), limits.max_message_examples.get());
        if n_examples > limit as usize {
            let description = format!(
                "has {n_examples} documents; the limit max_message_examples is {limit}; send them in several messages of \
                 ImportExamples"
            );
            self.add(path, "TOO_MANY", description);
            return Vec::new();
        }
        let numbered = (n_before..).zip(examples);
        numbered.filter_map(|(n, example)| self.check_example(format_args!("{path}[{n}]"), example, limits)).collect()
    }

    fn check_scope(&mut self, scope: i32) -> Scope {
        match pb::Scope::try_from(scope) {
            Ok(pb::Scope::Unspecified | pb::Scope::Stored) => Scope::Stored,
            Ok(pb::Scope::SourceOnly) => Scope::SourceOnly,
            Err(prost::UnknownEnumValue(number)) => {
                let description =
                    format!("is {number}, which means nothing; use SCOPE_STORED (1) or SCOPE_SOURCE_ONLY (2)");
                self.add("scope", "UNKNOWN_VALUE", description);
                Scope::Stored
            }
        }
    }

    fn check_words_languages(&mut self, languages: Vec<String>) -> Vec<String> {
        // The table is looked through when it is asked for first: not on a call that names none.
        let table = if languages.is_empty() { None } else { words::bundled().ok() };
        if let Some(unknown) = table.and_then(|table| table.unknown_language(&languages)) {
            self.add("config.words_languages", "UNKNOWN_LANGUAGE", unknown);
        }
        languages
    }

    fn check_config(&mut self, config: pb::TrainingConfig) -> TrainingConfig {
        let balance = match pb::Balance::try_from(config.balance) {
            Ok(pb::Balance::Unspecified | pb::Balance::SquareRoot) => Balance::SquareRoot,
            Ok(pb::Balance::None) => Balance::None,
            Ok(pb::Balance::Full) => Balance::Full,
            Err(prost::UnknownEnumValue(number)) => {
                let description = format!(
                    "is {number}, which means nothing; use BALANCE_NONE (1), BALANCE_SQUARE_ROOT (2) or BALANCE_FULL (3)"
                );
                self.add("config.balance", "UNKNOWN_VALUE", description);
                Balance::SquareRoot
            }
        };
        let c = (config.c != 0.0).then_some(config.c);
        let max_features = usize::try_from(config.max_features).ok().and_then(NonZeroUsize::new);
        let label_kind = self.check_label_kind(config.label_kind);
        let selective_accuracy = config.selective_accuracy.unwrap_or(DEFAULT_SELECTIVE_ACCURACY);
        let checked = TrainingConfig {
            c,
            balance,
            max_features,
            character_ngrams: config.character_ngrams,
            words: !config.without_words,
            words_kept: usize::try_from(config.words_kept).ok().and_then(NonZeroUsize::new),
            words_languages: self.check_words_languages(config.words_languages),
            seed: config.seed,
            label_kind,
            selective_accuracy,
            held_out_share: config.held_out_share,
        };
        match checked.check() {
            Ok(()) => {}
            Err(ConfigError::C(c)) => {
                let description = format!(
                    "is {c}; give a number from 0.0001 to 10000, or leave it out to have it chosen by cross-validation"
                );
                self.add("config.c", "OUT_OF_RANGE", description);
            }
            Err(ConfigError::SelectiveAccuracy(accuracy)) => {
                let description = format!(
                    "is {accuracy}; give a number from 0 to 1, or leave it out for {DEFAULT_SELECTIVE_ACCURACY}"
                );
                self.add("config.selective_accuracy", "OUT_OF_RANGE", description);
            }
            Err(ConfigError::HeldOutShare(share)) => {
                let description = format!(
                    "is {share}; give a number from 0 to {MAX_HELD_OUT_SHARE}, or leave it out to hold out only documents whose \
                     split says so"
                );
                self.add("config.held_out_share", "OUT_OF_RANGE", description);
            }
        }
        checked
    }

    fn check_label_kind(&mut self, label_kind: i32) -> Option<LabelKind> {
        match pb::LabelKind::try_from(label_kind) {
            Ok(pb::LabelKind::Unspecified) => None,
            Ok(pb::LabelKind::SingleLabel) => Some(LabelKind::SingleLabel),
            Ok(pb::LabelKind::MultiLabel) => Some(LabelKind::MultiLabel),
            Err(prost::UnknownEnumValue(number)) => {
                let description = format!(
                    "is {number}, which means nothing; use LABEL_KIND_SINGLE_LABEL (1) or LABEL_KIND_MULTI_LABEL (2)"
                );
                self.add("config.label_kind", "UNKNOWN_VALUE", description);
                None
            }
        }
    }

    fn check_wait(&mut self, wait: Option<prost_types::Duration>) -> Duration {
        let Some(wait) = wait else { return Duration::ZERO };
        Duration::try_from(wait).unwrap_or_else(|_| {
            self.add("wait_timeout", "OUT_OF_RANGE", "is negative; give 0 or more seconds".to_owned());
            Duration::ZERO
        })
    }
}
