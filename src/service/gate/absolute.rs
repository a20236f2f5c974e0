//! What a version must be by itself, whatever is stable: its evaluation, and the documents of its topics.

use std::num::NonZeroU32;

use super::{Check, PromotionPolicy, ROUNDING};
use crate::dataset::Dataset;
use crate::decision::Probability;
use crate::document::Topic;
use crate::evaluation::{Evaluation, EvaluationSource};

/// Topics that a check names; the others are counted.
const MAX_NAMED_TOPICS: usize = 10;

/// One check for each rule that the policy has.
pub(super) fn check(policy: &PromotionPolicy, evaluation: &Evaluation, dataset: &Dataset) -> Vec<Check> {
    let documents = match evaluation.source {
        EvaluationSource::HeldOut => format!("{} held-out documents", evaluation.n_documents),
        EvaluationSource::OutOfFold => {
            format!("{} documents, each as predicted by models that never saw it", evaluation.n_documents)
        }
    };
    let at_least = |name: &str, metric: &str, observed: f64, required: Option<Probability>| {
        required.map(Probability::get).map(|required| Check {
            name: name.to_owned(),
            passed: observed >= required - ROUNDING,
            observed,
            required,
            description: format!("{metric} is {observed:.4} on {documents}; at least {required:.4} is required"),
        })
    };
    let at_most = |name: &str, metric: &str, observed: f64, required: Option<f64>| {
        required.map(|required| Check {
            name: name.to_owned(),
            passed: observed <= required + ROUNDING,
            observed,
            required,
            description: format!("{metric} is {observed:.4} on {documents}; at most {required:.4} is allowed"),
        })
    };
    let calibration_error = policy.max_expected_calibration_error.map(Probability::get);
    let checks = [
        at_least("min_accuracy", "accuracy", evaluation.accuracy, policy.min_accuracy),
        at_least("min_micro_f1", "micro-F1", evaluation.micro_f1, policy.min_micro_f1),
        at_least("min_macro_f1", "macro-F1", evaluation.macro_f1, policy.min_macro_f1),
        at_most("max_log_loss", "log loss", evaluation.log_loss, policy.max_log_loss),
        at_most(
            "max_expected_calibration_error",
            "expected calibration error",
            evaluation.expected_calibration_error,
            calibration_error,
        ),
        policy
            .min_documents_per_topic
            .map(|least| check_documents_per_topic(dataset.topics(), &dataset.targets().documents_per_topic(), least)),
    ];
    checks.into_iter().flatten().collect()
}

fn check_documents_per_topic(topics: &[Topic], n_documents: &[usize], least: NonZeroU32) -> Check {
    let observed = n_documents.iter().min().copied().unwrap_or(0);
    let fewer = topics.iter().zip(n_documents).filter(|(_, n)| **n < least.get() as usize);
    let fewer: Vec<String> = fewer.map(|(topic, n)| format!("{topic} ({n})")).collect();
    let description = if fewer.is_empty() {
        format!("each topic has at least {observed} training documents; {least} are required")
    } else {
        format!("these topics have fewer than {least} training documents: {}", some_of(&fewer))
    };
    let (name, passed) = ("min_documents_per_topic".to_owned(), fewer.is_empty());
    Check { name, passed, observed: observed as f64, required: f64::from(least.get()), description }
}

/// The first names of a list, and how many more there are.
pub(super) fn some_of<T: std::borrow::Borrow<str>>(names: &[T]) -> String {
    let (named, n_more) = (names.len().min(MAX_NAMED_TOPICS), names.len().saturating_sub(MAX_NAMED_TOPICS));
    let more = if n_more > 0 { format!(" and {n_more} more") } else { String::new() };
    format!("{}{more}", names[..named].join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{Document, LabeledDocument};
    use crate::evaluation::Predictions;

    fn dataset() -> Dataset {
        let example = |text: &str, topic: &str| {
            LabeledDocument::new(Document::new("", text).unwrap(), vec![Topic::new(topic).unwrap()])
        };
        Dataset::new([example("a", "x"), example("b", "x"), example("c", "x"), example("d", "y")]).unwrap()
    }

    /// Three of four documents right, one of them with too little confidence.
    fn evaluation(dataset: &Dataset) -> Evaluation {
        let labels = dataset.targets();
        let assigned = labels.clone();
        let mut probabilities = ndarray::Array2::zeros((4, 2));
        for document in 0..4 {
            probabilities[(document, labels.of(document)[0] as usize)] = 1.0;
        }
        let predictions = Predictions { probabilities, assigned };
        let perfect = Evaluation::of(&predictions, labels, dataset.topics(), true);
        Evaluation { accuracy: 0.75, micro_f1: 0.7, macro_f1: 0.6, log_loss: 0.5, ..perfect }
    }

    #[test]
    fn a_policy_without_rules_asks_nothing_of_a_version_by_itself() {
        let dataset = dataset();
        assert_eq!(check(&PromotionPolicy::default(), &evaluation(&dataset), &dataset), []);
    }

    #[test]
    fn each_rule_is_one_check_in_the_order_of_the_fields() {
        let dataset = dataset();
        let evaluation = Evaluation { expected_calibration_error: 0.2, ..evaluation(&dataset) };
        let share = Probability::new;
        let policy = PromotionPolicy {
            min_accuracy: share(0.75),
            min_micro_f1: share(0.71),
            min_macro_f1: share(0.5),
            max_log_loss: Some(0.4),
            max_expected_calibration_error: share(0.2),
            min_documents_per_topic: NonZeroU32::new(2),
            ..PromotionPolicy::default()
        };
        let checks = check(&policy, &evaluation, &dataset);
        let seen: Vec<_> = checks.iter().map(|check| (&*check.name, check.passed, check.observed)).collect();
        let expected = [
            ("min_accuracy", true, 0.75),
            ("min_micro_f1", false, 0.7),
            ("min_macro_f1", true, 0.6),
            ("max_log_loss", false, 0.5),
            ("max_expected_calibration_error", true, 0.2),
            ("min_documents_per_topic", false, 1.0),
        ];
        assert_eq!(seen, expected);
        assert_eq!(checks[5].description, "these topics have fewer than 2 training documents: y (1)");
        assert!(checks[1].description.contains("is 0.7000") && checks[1].description.contains("0.7100 is required"));
    }

    #[test]
    fn long_lists_are_named_in_part() {
        let names: Vec<String> = (0..12).map(|n| n.to_string()).collect();
        assert_eq!(some_of(&names), "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more");
    }
}
