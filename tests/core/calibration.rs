//! Calibration on scores whose true probabilities are known, because the labels were drawn from them.

use ndarray::{Array2, ArrayView1};
use proptest::prelude::*;
use rand::Rng;
use topicd::calibration::Calibrator;
use topicd::targets::Targets;

use crate::corpus::{normal, random};

/// Scores, a label for each document drawn from softmax(score / temperature + bias), and the mean of -ln p(label).
fn drawn(n_documents: usize, temperature: f64, biases: &[f64], seed: u64) -> (Array2<f64>, Targets, f64) {
    let mut random = random(seed);
    let scores = Array2::from_shape_simple_fn((n_documents, biases.len()), || normal(&mut random));
    let (mut labels, mut loss) = (Vec::new(), 0.0);
    for row in scores.rows() {
        let odds: Vec<f64> = row.iter().zip(biases).map(|(score, bias)| (score / temperature + bias).exp()).collect();
        let sum: f64 = odds.iter().sum();
        let mut left = random.gen_range(0.0..sum);
        let is_drawn = |odds: &f64| {
            left -= odds;
            left < 0.0
        };
        let label = odds.iter().position(is_drawn).unwrap_or(0);
        labels.push([label as u32]);
        loss -= (odds[label] / sum).ln() / n_documents as f64;
    }
    (scores, Targets::new(biases.len(), labels), loss)
}

/// The mean of -ln p(label).
fn log_loss(probabilities: &Array2<f64>, labels: &Targets) -> f64 {
    let loss = |(document, row): (usize, ArrayView1<'_, f64>)| -row[labels.of(document)[0] as usize].ln();
    probabilities.rows().into_iter().enumerate().map(loss).sum::<f64>() / labels.n_documents() as f64
}

#[test]
fn the_temperature_that_labels_were_drawn_with_is_found() {
    for (temperature, seed) in [(0.2, 1), (0.5, 2), (1.5, 3)] {
        let (scores, labels, true_loss) = drawn(4000, temperature, &[0.0; 4], seed);
        let (calibrator, probabilities) = Calibrator::fit_single_label(&scores, &labels);
        let Calibrator::Temperature { temperature: found } = calibrator else { panic!("{calibrator:?}") };
        assert!((found / temperature - 1.0).abs() < 0.1, "{found} instead of {temperature}");
        // What is measured comes from the other half's calibrator each: as good, and not the same.
        let in_sample = calibrator.probabilities_of_rows(&scores);
        assert!((log_loss(&probabilities, &labels) - true_loss).abs() < 0.005);
        assert_ne!(probabilities, in_sample);
    }
}

#[test]
fn matrix_scaling_is_taken_where_topics_have_biases() {
    let (scores, labels, true_loss) = drawn(2000, 0.5, &[1.5, 0.0, -1.5], 4);
    let (calibrator, probabilities) = Calibrator::fit_single_label(&scores, &labels);
    assert!(matches!(calibrator, Calibrator::Matrix { .. }), "{calibrator:?}");
    // Out of sample it is better than any temperature can be, even one that has seen all labels.
    let by_temperature = (1..100).map(|tenths| {
        let calibrator = Calibrator::Temperature { temperature: f64::from(tenths) / 10.0 };
        log_loss(&calibrator.probabilities_of_rows(&scores), &labels)
    });
    let best = by_temperature.fold(f64::INFINITY, f64::min);
    let loss = log_loss(&probabilities, &labels);
    assert!(loss < best - 0.1, "{loss}; the best temperature's is {best}");
    assert!((loss - true_loss).abs() < 0.01, "{loss} instead of {true_loss}");
    assert!((log_loss(&calibrator.probabilities_of_rows(&scores), &labels) - true_loss).abs() < 0.01);
}

/// Half of the documents know nothing of one topic, or of any but one.
#[test]
fn a_topic_may_be_missing_in_one_half() {
    let (scores, labels, _) = drawn(600, 0.5, &[1.5, 0.0, -1.5], 6);
    let of = |document: usize| labels.of(document)[0];
    let without_last =
        (0..600).map(|document: usize| [if document.is_multiple_of(2) { of(document) } else { of(document).min(1) }]);
    let only_first = (0..600).map(|document: usize| [if document.is_multiple_of(2) { of(document) } else { 0 }]);
    for labels in [Targets::new(3, without_last), Targets::new(3, only_first)] {
        let (calibrator, cross_fitted) = Calibrator::fit_single_label(&scores, &labels);
        for probabilities in [cross_fitted, calibrator.probabilities_of_rows(&scores)] {
            assert!(probabilities.rows().into_iter().all(|row| (row.sum() - 1.0).abs() < 1e-9), "{calibrator:?}");
        }
    }
}

#[test]
fn few_documents_get_a_temperature() {
    let few = |n_documents, biases: &[f64]| {
        let (scores, labels, _) = drawn(n_documents, 0.5, biases, 5);
        matches!(Calibrator::fit_single_label(&scores, &labels).0, Calibrator::Temperature { .. })
    };
    assert!(few(2, &[3.0, -3.0]));
    assert!(few(99, &[1.5, -1.5]));
    assert!(!few(100, &[1.5, -1.5]), "100 are enough, and what makes the difference");
    assert!(few(100, &[3.0, -3.0]), "all of one half have the same topic");
    assert!(few(149, &[3.0; 30])); // 5 a topic are asked for
}

fn matrix() -> Calibrator {
    let rows = vec![vec![1.0, 0.2, -0.3, 2.0], vec![0.1, 0.9, 0.0, -1.0], vec![-0.2, 0.4, 1.3, 0.5]];
    Calibrator::Matrix { temperature: 0.3, rows }
}

fn any_scores() -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec(prop_oneof![-5.0..5.0, -1e6..1e6, Just(1e6), Just(-1e6), Just(0.0)], 3)
}

proptest! {
    #[test]
    fn probabilities_are_probabilities_whatever_the_scores(scores in any_scores()) {
        let curves = vec![(0.5, 0.0), (1e3, -5.0), (1e-3, 7.0)];
        let temperatures = [0.01, 1.0, 10.0].map(|temperature| Calibrator::Temperature { temperature });
        let mut probabilities = vec![9.0; 7]; // what an earlier document left
        for calibrator in [matrix(), Calibrator::Sigmoid { curves }].iter().chain(&temperatures) {
            calibrator.probabilities(&scores, &mut probabilities);
            prop_assert_eq!(probabilities.len(), 3);
            prop_assert!(probabilities.iter().all(|p| (0.0..=1.0).contains(p)), "{:?}: {:?}", calibrator, probabilities);
            if !matches!(calibrator, Calibrator::Sigmoid { .. }) {
                prop_assert!((probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-12, "{:?}", probabilities);
            }
        }
    }
}

/// Topics of 400, 100, 2, 1 and 0 documents.
#[test]
fn curves_rise_even_for_topics_of_few_documents() {
    let mut random = random(8);
    let n_positive = [400, 100, 2, 1, 0];
    let has = |document: usize, topic: usize| (document * 7919) % 1000 < n_positive[topic];
    let targets = Targets::new(5, (0..1000).map(|d| (0..5).filter(|&t| has(d, t as usize)).collect::<Vec<u32>>()));
    assert_eq!(targets.documents_per_topic(), n_positive);
    let scores = Array2::from_shape_fn((1000, 5), |(document, topic)| {
        normal(&mut random) + if has(document, topic) { 1.0 } else { -1.0 }
    });
    let calibrator = Calibrator::fit_multi_label(&scores, &targets);
    let Calibrator::Sigmoid { curves } = &calibrator else { panic!("{calibrator:?}") };
    assert!(curves.iter().all(|&(slope, bias)| slope.is_finite() && slope > 0.0 && bias.is_finite()), "{curves:?}");
    // Two normal distributions of variance 1, two apart: the true slope is 2, the bias the logarithm of the odds.
    for (topic, n) in [(0, 400.0f64), (1, 100.0)] {
        assert!((curves[topic].0 - 2.0).abs() < 0.3, "{curves:?}");
        assert!((curves[topic].1 - (n / (1000.0 - n)).ln()).abs() < 0.5, "{curves:?}");
    }
    // One document says little: its topic's curve is nearly that of all topics, which one without documents gets.
    assert!((curves[3].1 - curves[4].1).abs() < 1.0 && (curves[0].1 - curves[4].1).abs() > 1.0, "{curves:?}");
    let probabilities = calibrator.probabilities_of_rows(&scores);
    for (topic, n) in [(0, 400.0), (1, 100.0)] {
        let sum = probabilities.column(topic).sum();
        assert!((sum / n - 1.0).abs() < 0.1, "{sum} documents expected of topic {topic}");
    }
}

/// Documents that are all told apart: their number alone leaves some doubt. Without it the temperature went to its
/// lower bound, and every unseen document got probability 1.
#[test]
fn perfect_separation_of_few_documents_leaves_doubt() {
    let n_documents = 90;
    let score = |(document, topic): (usize, usize)| if document % 3 == topic { 0.5 } else { -0.5 };
    let scores = Array2::from_shape_fn((n_documents, 3), score);
    let targets = Targets::new(3, (0..n_documents as u32).map(|document| [document % 3]));
    let (calibrator, _) = Calibrator::fit_single_label(&scores, &targets);
    let mut probabilities = Vec::new();
    calibrator.probabilities(&[0.5, -0.5, -0.5], &mut probabilities);
    assert!((0.95..0.999).contains(&probabilities[0]), "{probabilities:?} by {calibrator:?}");
    calibrator.probabilities(&[-0.10, -0.14, -0.5], &mut probabilities);
    assert!(probabilities[0] < 0.7, "{probabilities:?} by {calibrator:?}");
}
