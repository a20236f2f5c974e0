//! The gate: whether a version that was just trained may take the place of the stable one.
//!
//! Both are judged on the training dataset's documents, each by an answer from a model that never saw it: the new version
//! by its out-of-fold predictions; the stable one by its own for what it was trained on too, and by its answers for the
//! rest. So no labelled document has to be kept from training, and neither version is asked what it learned by heart.

use serde::{Deserialize, Serialize};

use super::live::LiveVersion;
use super::out_of_fold::{OutOfFold, UnlearnedAnswers};
use crate::cancellation::never;
use crate::classifier::Classifier;
use crate::dataset::Dataset;
use crate::document::{ContentHash, Document, Topic};
use crate::evaluation::macro_f1;
use crate::targets::{Targets, all_topics};

/// The new version's macro-F1 may be this much below the stable one's where documents are many, and where they are few.
pub const MACRO_F1_MARGINS: (f64, f64) = (0.02, 0.1);

/// Lost topics that a check names; the others are counted.
const MAX_NAMED_TOPICS: usize = 10;

/// One thing that was checked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// Its name, such as `macro_f1`.
    pub name: String,
    /// Whether what was observed meets what is required.
    pub passed: bool,
    /// What was observed.
    pub observed: f64,
    /// What is required.
    pub required: f64,
    /// The same in words.
    pub description: String,
}

/// Checks that the version, loaded from its file, says what it said when it was trained.
pub fn check_self_test((n_right, n_asked): (usize, usize)) -> Check {
    Check {
        name: "self_test".to_owned(),
        passed: n_right == n_asked,
        observed: n_right as f64,
        required: n_asked as f64,
        description: format!("loaded from its file, {n_right} of {n_asked} documents are answered as after training"),
    }
}

/// Compares a trained version with the stable one.
pub fn compare(
    dataset: &Dataset,
    assigned: &Targets,
    stable: &LiveVersion,
    stable_out_of_fold: &OutOfFold,
) -> Vec<Check> {
    vec![
        check_topics(dataset.topics(), stable.classifier.topics()),
        check_macro_f1(dataset, assigned, &stable.classifier, stable_out_of_fold),
    ]
}

fn check_topics(topics: &[Topic], stable: &[Topic]) -> Check {
    let lost: Vec<&str> = stable.iter().filter(|topic| !topics.contains(topic)).map(Topic::as_str).collect();
    let description = if lost.is_empty() {
        "it has every topic of the stable version".to_owned()
    } else {
        let (named, n_more) = (lost.len().min(MAX_NAMED_TOPICS), lost.len().saturating_sub(MAX_NAMED_TOPICS));
        let more = if n_more > 0 { format!(" and {n_more} more") } else { String::new() };
        format!("these topics of the stable version have no documents: {}{more}", lost[..named].join(", "))
    };
    Check {
        name: "topics_lost".to_owned(),
        passed: lost.is_empty(),
        observed: lost.len() as f64,
        required: 0.0,
        description,
    }
}

fn check_macro_f1(dataset: &Dataset, assigned: &Targets, stable: &Classifier, stable_out_of_fold: &OutOfFold) -> Check {
    let topics = all_topics(dataset.topics().iter().chain(stable.topics()));
    let places = |topic: &Topic| topics.binary_search(topic).ok().map(|place| place as u32);
    let stable_places: Vec<u32> = stable.topics().iter().filter_map(places).collect();
    let labels = dataset.targets().among(dataset.topics(), &topics);
    let observed = macro_f1(&assigned.among(dataset.topics(), &topics), &labels, &stable_places);
    let documents: Vec<(&Document, ContentHash)> =
        dataset.documents().into_iter().zip(dataset.content_hashes()).collect();
    let UnlearnedAnswers { assigned: of_stable, n_new } = stable_out_of_fold.answers(stable, &documents, &never);
    let of_stable = macro_f1(&of_stable.among(stable.topics(), &topics), &labels, &stable_places);
    let n_documents = labels.n_documents();
    let margin = margin(n_documents);
    Check {
        name: "macro_f1".to_owned(),
        passed: observed >= of_stable - margin,
        observed,
        required: (of_stable - margin).max(0.0),
        description: format!(
            "macro-F1 of the stable version's topics on {n_documents} documents, each as predicted by models that never saw it, is {observed:.4}; the \
             stable version's is {of_stable:.4} ({n_new} of the documents are new to it), and {margin:.4} less is \
             allowed"
        ),
    }
}

/// How far macro-F1 may fall. Chance alone moves it by about one over the root of the number of documents.
fn margin(n_documents: usize) -> f64 {
    let (many, few) = MACRO_F1_MARGINS;
    (1.0 / (n_documents.max(1) as f64).sqrt()).clamp(many, few)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_topic_is_named() {
        let topics = |names: &[&str]| names.iter().map(|name| Topic::new(name).unwrap()).collect::<Vec<_>>();
        let check = check_topics(&topics(&["a", "c", "d"]), &topics(&["a", "b", "c"]));
        assert!(!check.passed && check.observed == 1.0 && check.description.ends_with(": b"), "{check:?}");
        assert!(check_topics(&topics(&["a", "b", "d"]), &topics(&["a", "b"])).passed);
    }

    #[test]
    fn chance_is_allowed_for_where_documents_are_few() {
        assert_eq!([4, 100, 400, 1_000_000].map(margin), [0.1, 0.1, 0.05, 0.02]);
    }
}
