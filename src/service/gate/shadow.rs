//! A candidate beside the stable version on served documents: what it would have answered. Found out only after it was made, so
//! a version whose policy asks for it begins as the candidate.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use super::{Check, ROUNDING};
use crate::decision::Probability;
use crate::service::traffic::shadow_report::ShadowReport;

/// Served documents that are compared where a policy doesn't say how many.
pub const DEFAULT_SHADOW_DOCUMENTS: NonZeroU32 = NonZeroU32::new(1000).unwrap();

/// The check of how many documents were compared.
const DOCUMENTS: &str = "shadow_documents";
/// The check of how many of them get the same topics.
const AGREEMENT: &str = "shadow_agreement";

/// How much a candidate must agree with the stable version.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ShadowRule {
    /// The least share of served documents that both assign the same topics to.
    pub min_agreement: Probability,
    /// The least number of them.
    pub min_documents: NonZeroU32,
}

/// The checks of a version that nothing was served beside yet.
pub(super) fn checks(rule: ShadowRule) -> [Check; 2] {
    let check = |name: &str, required: f64| {
        with_report(
            &Check { name: name.to_owned(), passed: false, observed: 0.0, required, description: String::new() },
            None,
        )
    };
    [check(DOCUMENTS, f64::from(rule.min_documents.get())), check(AGREEMENT, rule.min_agreement.get())]
}

/// The same where there is no stable version to be compared with.
pub(super) fn checks_without_stable(rule: ShadowRule) -> [Check; 2] {
    let description = "there is no stable version that answers, to be compared with on served documents";
    checks(rule).map(|check| Check { passed: true, description: description.to_owned(), ..check })
}

/// The checks of a version as they are now, given what was served since it is the candidate.
pub fn with_shadow(checks: &[Check], report: Option<&ShadowReport>) -> Vec<Check> {
    checks.iter().map(|check| if is_of_shadow(check) { with_report(check, report) } else { check.clone() }).collect()
}

/// Whether a version only has to be compared on served documents yet to pass.
pub fn awaits_shadow(checks: &[Check]) -> bool {
    let mut failed = checks.iter().filter(|check| !check.passed).peekable();
    failed.peek().is_some() && failed.all(is_of_shadow)
}

/// How many served documents a version's checks ask for.
pub fn shadow_documents(checks: &[Check]) -> Option<u64> {
    checks.iter().find(|check| check.name == DOCUMENTS).map(|check| check.required as u64)
}

/// Whether a version was compared on as many served documents as its checks ask for.
pub fn has_enough_shadow(checks: &[Check]) -> bool {
    checks.iter().filter(|check| check.name == DOCUMENTS).all(|check| check.passed)
}

fn is_of_shadow(check: &Check) -> bool {
    [DOCUMENTS, AGREEMENT].contains(&check.name.as_str())
}

fn with_report(check: &Check, report: Option<&ShadowReport>) -> Check {
    let n_documents = report.map_or(0, |report| report.n_documents);
    let agreement = report.and_then(ShadowReport::agreement);
    let required = check.required;
    let (observed, description) = if check.name == DOCUMENTS {
        let asked = "the candidate was compared with the stable version on";
        let hint = if n_documents == 0 { "; shadow.share of the classifier's settings says how many are" } else { "" };
        (n_documents as f64, format!("{asked} {n_documents} served documents; {required} are required{hint}"))
    } else {
        let observed = agreement.unwrap_or(0.0);
        let seen = agreement.map_or("isn't known yet".to_owned(), |agreement| format!("is {agreement:.4}"));
        let of = "the share of served documents that the stable version assigns the same topics to";
        (observed, format!("{of} {seen}; at least {required:.4} is required"))
    };
    Check { passed: observed >= required - ROUNDING, observed, description, ..check.clone() }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn report(n_agreed: usize, n_other: usize) -> ShadowReport {
        let mut report = ShadowReport::new(NonZeroU32::MIN, NonZeroU32::MAX);
        let topics = |name: &str| vec![name.to_owned()];
        for n in 0..n_agreed + n_other {
            let of_candidate = topics(if n < n_agreed { "war" } else { "sport" });
            report.add(&[topics("war"), of_candidate], [Duration::from_micros(1); 2]);
        }
        report
    }

    #[test]
    fn both_numbers_and_agreement_are_required() {
        let min_agreement = Probability::new(0.9).unwrap();
        let before = checks(ShadowRule { min_agreement, min_documents: NonZeroU32::new(10).unwrap() });
        assert!(before.iter().all(|check| !check.passed && check.observed == 0.0), "{before:?}");
        assert!(before[0].description.contains("shadow.share"), "{before:?}");
        assert!(awaits_shadow(&before) && shadow_documents(&before) == Some(10));
        let passed = |n_agreed, n_other| {
            let now = with_shadow(&before, Some(&report(n_agreed, n_other)));
            now.iter().map(|check| check.passed).collect::<Vec<_>>()
        };
        assert_eq!(passed(9, 0), [false, true]);
        assert_eq!(passed(9, 1), [true, true]);
        assert_eq!(passed(8, 2), [true, false]);
        let now = with_shadow(&before, Some(&report(8, 2)));
        assert_eq!((now[0].observed, now[1].observed, now[1].required), (10.0, 0.8, 0.9));
        assert!(checks_without_stable(ShadowRule { min_agreement, min_documents: NonZeroU32::MIN })[0].passed);
    }

    #[test]
    fn a_version_that_failed_something_else_awaits_nothing() {
        let rule = ShadowRule { min_agreement: Probability::default(), min_documents: NonZeroU32::MIN };
        let other = Check {
            name: "macro_f1".to_owned(),
            passed: false,
            observed: 0.0,
            required: 1.0,
            description: String::new(),
        };
        let failed: Vec<Check> = checks(rule).into_iter().chain([other.clone()]).collect();
        assert!(!awaits_shadow(&failed) && !awaits_shadow(&[]));
        assert!(!awaits_shadow(&[Check { passed: true, ..other }]));
        assert_eq!(with_shadow(&failed, None)[2], failed[2]);
    }
}
