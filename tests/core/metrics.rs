//! The metrics against scikit-learn's numbers, and by hand where a document has several topics.

use ndarray::{Array2, arr2};
use serde::Deserialize;
use topicd::document::Topic;
use topicd::evaluation::{Evaluation, Predictions};
use topicd::targets::Targets;

#[derive(Deserialize)]
struct Golden {
    probabilities: Vec<Vec<f64>>,
    labels: Vec<u32>,
    accuracy: f64,
    micro_f1: f64,
    macro_f1: f64,
    log_loss: f64,
    expected_calibration_error: f64,
    precision: Vec<f64>,
    recall: Vec<f64>,
    f1: Vec<f64>,
    support: Vec<usize>,
    confusion: Vec<Vec<usize>>,
}

#[track_caller]
fn assert_close(actual: f64, expected: f64) {
    assert!((actual - expected).abs() < 1e-10, "{actual} instead of {expected}");
}

fn topics(n_topics: usize) -> Vec<Topic> {
    (0..n_topics).map(|topic| Topic::new(&format!("topic {topic}")).unwrap()).collect()
}

#[test]
fn metrics_are_those_of_scikit_learn() {
    let golden: Golden = serde_json::from_str(include_str!("../golden/metrics.json")).unwrap();
    let best = |row: &Vec<f64>| (0..5).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap() as u32;
    let predictions = Predictions {
        probabilities: Array2::from_shape_vec((30, 5), golden.probabilities.concat()).unwrap(),
        assigned: Targets::new(5, golden.probabilities.iter().map(|row| [best(row)])),
    };
    let labels = Targets::new(5, golden.labels.iter().map(|&label| [label]));
    let actual = Evaluation::of(&predictions, &labels, &topics(5), true);
    assert_eq!(actual.n_documents, 30);
    assert_close(actual.accuracy, golden.accuracy);
    assert_close(actual.micro_f1, golden.micro_f1);
    assert_close(actual.macro_f1, golden.macro_f1);
    assert_close(actual.log_loss, golden.log_loss);
    assert_close(actual.expected_calibration_error, golden.expected_calibration_error);
    assert_eq!(actual.confusion_matrix, golden.confusion);
    for (number, topic) in actual.topics.iter().enumerate() {
        assert_eq!(topic.topic, format!("topic {number}"));
        assert_close(topic.precision, golden.precision[number]);
        assert_close(topic.recall, golden.recall[number]);
        assert_close(topic.f1, golden.f1[number]);
        assert_eq!(topic.n_documents, golden.support[number]);
        assert_eq!(topic.n_assigned, golden.confusion.iter().map(|row| row[number]).sum::<usize>());
    }
}

/// Four documents, three topics; topic 2 is neither labelled nor assigned.
///
/// | document | labels | assigned | p          |
/// |----------|--------|----------|------------|
/// | 0        | 0, 1   | 0, 1     | .9, .8, .1 |
/// | 1        | 0      | 0, 1     | .7, .6, .2 |
/// | 2        | none   | none     | .1, .2, .1 |
/// | 3        | 1      | none     | .3, .4, .1 |
#[test]
fn metrics_of_several_topics_a_document_are_those_found_by_hand() {
    let probabilities = arr2(&[[0.9, 0.8, 0.1], [0.7, 0.6, 0.2], [0.1, 0.2, 0.1], [0.3, 0.4, 0.1]]);
    let assigned = Targets::new(3, [vec![0, 1], vec![0, 1], vec![], vec![]]);
    let labels = Targets::new(3, [vec![0, 1], vec![0], vec![], vec![1]]);
    let actual = Evaluation::of(&Predictions { probabilities, assigned }, &labels, &topics(3), false);
    assert_close(actual.accuracy, 0.5); // the whole sets of documents 0 and 2
    assert_close(actual.micro_f1, 2.0 * 3.0 / (4.0 + 4.0));
    assert_close(actual.topics[0].f1, 1.0);
    assert_close(actual.topics[1].f1, 2.0 * 1.0 / (2.0 + 2.0));
    assert_close(actual.macro_f1, 0.75); // topic 2 doesn't count
    // What was said about each label that is there, and about each that isn't.
    let right: [f64; 12] = [0.9, 0.8, 0.9, 0.7, 0.4, 0.8, 0.9, 0.8, 0.9, 0.7, 0.4, 0.9];
    assert_close(actual.log_loss, -right.iter().map(|p| p.ln()).sum::<f64>() / 4.0);
    // Of 15 bins, .1 has four (none true), .2 two (none), .3 one (not), .4 one (true), .6 one (not), .7 one (true), .8
    // one (true), .9 one (true).
    let off = 0.4 + 0.4 + 0.3 + 0.6 + 0.6 + 0.3 + 0.2 + 0.1;
    assert_close(actual.expected_calibration_error, off / 12.0);
    assert!(actual.confusion_matrix.is_empty());
}

/// Twenty points would be one a document; documents of the same probability can't be told apart by it.
#[test]
fn the_coverage_curve_answers_the_surest_documents_first() {
    let probabilities = arr2(&[[0.9, 0.1], [0.4, 0.6], [0.8, 0.2], [0.2, 0.8]]);
    let assigned = Targets::new(2, [[0], [1], [0], [1]]);
    let actual = Evaluation::of(
        &Predictions { probabilities, assigned },
        &Targets::new(2, [[0], [0], [1], [1]]),
        &topics(2),
        true,
    );
    let points: Vec<(f64, f64, f64)> =
        actual.coverage.iter().map(|point| (point.coverage, point.min_probability, point.accuracy)).collect();
    assert_eq!(points, [(0.25, 0.9, 1.0), (0.75, 0.8, 2.0 / 3.0), (1.0, 0.6, 0.5)]);
    let bins: Vec<(usize, usize)> =
        actual.reliability.iter().enumerate().filter(|(_, bin)| bin.n > 0).map(|(place, bin)| (place, bin.n)).collect();
    assert_eq!(bins, [(9, 1), (12, 2), (13, 1)]);
    assert_close(actual.reliability[12].mean_probability, 0.8);
    assert_close(actual.reliability[12].share_true, 0.5);
}

#[test]
fn of_several_labels_the_first_counts_where_documents_have_one_topic() {
    let predictions =
        Predictions { probabilities: arr2(&[[0.8, 0.2], [0.3, 0.7]]), assigned: Targets::new(2, [[0], [1]]) };
    let actual = Evaluation::of(&predictions, &Targets::new(2, [vec![0, 1], vec![1]]), &topics(2), true);
    assert_eq!((actual.accuracy, actual.micro_f1, actual.macro_f1), (1.0, 1.0, 1.0));
    assert_eq!(actual.confusion_matrix, [[1, 0], [0, 1]]);
    assert_close(actual.log_loss, -(0.8f64.ln() + 0.7f64.ln()) / 2.0);
}

#[test]
fn one_impossible_answer_doesnt_make_the_log_loss_infinite() {
    let predictions = Predictions { probabilities: arr2(&[[1.0, 0.0]]), assigned: Targets::new(2, [[0]]) };
    for single_label in [true, false] {
        let actual = Evaluation::of(&predictions, &Targets::new(2, [[1]]), &topics(2), single_label);
        assert!(actual.log_loss > 30.0 && actual.log_loss < 100.0, "{}", actual.log_loss);
        assert_close(actual.expected_calibration_error, 1.0);
    }
}
