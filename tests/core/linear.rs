//! The linear learner against scikit-learn's numbers, against solutions found by hand, and against another learner.

use linfa::ParamGuard;
use linfa::dataset::{Dataset, DatasetBase};
use linfa::traits::{Fit, Predict, PredictInplace};
use linfa_logistic::MultiLogisticRegression;
use ndarray::{Array1, Array2, Axis};
use rand::Rng;
use serde::Deserialize;
use topicd::features::{SparseRow, SparseRows};
use topicd::linear::{Balance, LinearSvmParams, LinearWeights};
use topicd::targets::Targets;

use crate::corpus::{normal, random, with_threads};

#[derive(Deserialize)]
struct Golden {
    rows: Vec<Vec<f32>>,
    labels: Vec<u32>,
    n_topics: usize,
    cases: Vec<GoldenCase>,
}

#[derive(Deserialize)]
struct GoldenCase {
    weighting: String,
    c: f32,
    positive_factor: Vec<f32>,
    coef: Vec<Vec<f32>>,
    intercept: Vec<f32>,
}

fn sparse(rows: &[Vec<f32>]) -> SparseRows {
    let mut sparse = SparseRows::new(rows[0].len());
    for row in rows {
        let (features, values): (Vec<u32>, Vec<f32>) = (0..).zip(row).filter(|&(_, &value)| value != 0.0).unzip();
        sparse.push(SparseRow { features: &features, values: &values });
    }
    sparse
}

fn single_label(n_topics: usize, labels: &[u32]) -> Targets {
    Targets::new(n_topics, labels.iter().map(|&label| [label]))
}

/// Fits as exactly as 32-bit numbers allow.
fn fit(rows: &[Vec<f32>], targets: &Targets, c: f32, balance: Balance) -> LinearWeights {
    let params = LinearSvmParams::default().c(c).balance(balance).tolerance(1e-5).max_passes(100_000).check().unwrap();
    params.fit(&DatasetBase::new(sparse(rows), targets.clone())).unwrap()
}

#[track_caller]
fn assert_close(actual: f32, expected: f32, tolerance: f32) {
    assert!((actual - expected).abs() <= tolerance, "{actual} instead of {expected}");
}

#[test]
fn weights_are_those_of_scikit_learn() {
    let golden: Golden = serde_json::from_str(include_str!("../golden/linear_svc.json")).unwrap();
    let targets = single_label(golden.n_topics, &golden.labels);
    let n_documents = targets.documents_per_topic();
    for case in golden.cases {
        let balance = match &case.weighting[..] {
            "none" => Balance::None,
            "sqrt" => Balance::SquareRoot,
            "full" => Balance::Full,
            other => panic!("unknown weighting {other}"),
        };
        let fitted = fit(&golden.rows, &targets, case.c, balance);
        for (topic, &n_positive) in n_documents.iter().enumerate() {
            let factor = balance.positive_factor(n_positive, golden.labels.len() - n_positive);
            assert_close(factor, case.positive_factor[topic], 1e-6);
            assert_close(fitted.biases[topic], case.intercept[topic], 1e-4);
            for (&actual, &expected) in fitted.weights.column(topic).iter().zip(&case.coef[topic]) {
                assert_close(actual, expected, 1e-4);
            }
        }
    }
}

/// Two documents, x = 1 with topic 0 and x = -1 with topic 1. Topic 0 minimises
///
/// ½w² + ½b² + C·max(0, 1 - (w + b))² + C·max(0, 1 - (w - b))².
///
/// Swapping the documents' roles turns b into -b and changes nothing else, so b = 0 by strict convexity. What is left,
/// ½w² + 2C(1 - w)², is smallest at w = 4C(1 - w): w = 4C / (1 + 4C), which is below 1, so both hinges are open as
/// assumed. Topic 1 is the same with the sign changed.
#[test]
fn two_opposite_documents_have_the_weights_found_by_hand() {
    for c in [0.25, 1.0, 4.0] {
        let fitted = fit(&[vec![1.0], vec![-1.0]], &single_label(2, &[0, 1]), c, Balance::None);
        let w = 4.0 * c / (1.0 + 4.0 * c);
        assert_close(fitted.weights[(0, 0)], w, 1e-5);
        assert_close(fitted.weights[(0, 1)], -w, 1e-5);
        assert_close(fitted.biases[0], 0.0, 1e-5);
        assert_close(fitted.biases[1], 0.0, 1e-5);
    }
}

/// One document, x = 2, with topic 0: ½w² + ½b² + C·(1 - 2w - b)². With the slack u = 1 - 2w - b, the derivatives say
/// w = 4Cu and b = 2Cu, so u = 1 / (1 + 10C). The bias costs as much as a weight, as liblinear's.
#[test]
fn one_document_has_the_weight_and_the_bias_found_by_hand() {
    for c in [0.25, 1.0, 4.0] {
        let fitted = fit(&[vec![2.0]], &single_label(2, &[0]), c, Balance::None);
        let u = 1.0 / (1.0 + 10.0 * c);
        assert_close(fitted.weights[(0, 0)], 4.0 * c * u, 1e-5);
        assert_close(fitted.biases[0], 2.0 * c * u, 1e-5);
    }
}

/// Features of few documents have no weights while fitting (see `linear/rows.rs`). Reflecting all rows in a plane
/// spreads each feature over all documents, so none is rare any more, and the optimum is only reflected with them.
#[test]
fn rare_features_get_the_weights_that_they_get_as_common_ones() {
    let (mut random, n_features) = (random(5), 48);
    let row = |_: usize| {
        // Features 0 to 3 are in about half the documents, the others in 0 to 4 of them.
        let value = |feature: usize| if feature < 4 { random.gen_bool(0.5) } else { random.gen_bool(0.06) };
        let holds: Vec<bool> = (0..n_features).map(value).collect();
        holds.into_iter().map(|holds| if holds { random.gen_range(0.1..1.0) } else { 0.0 }).collect::<Vec<f32>>()
    };
    let rows: Vec<Vec<f32>> = (0..30).map(row).collect();
    let n_holders = |feature: usize| rows.iter().filter(|row| row[feature] > 0.0).count();
    for n in 0..=4 {
        assert!((0..n_features).any(|feature| n_holders(feature) == n), "no feature is in {n} documents");
    }
    let targets =
        Targets::new(3, (0..30).map(|document| if document % 7 == 0 { vec![0, 2] } else { vec![document % 3] }));

    let normal: Vec<f32> = (0..n_features).map(|_| random.gen_range(0.5..1.0)).collect();
    let squared_norm: f32 = normal.iter().map(|v| v * v).sum();
    let reflect = |row: &[f32]| -> Vec<f32> {
        let scale = 2.0 * row.iter().zip(&normal).map(|(a, b)| a * b).sum::<f32>() / squared_norm;
        row.iter().zip(&normal).map(|(a, b)| a - scale * b).collect()
    };
    let reflected: Vec<Vec<f32>> = rows.iter().map(|row| reflect(row)).collect();

    for c in [0.5, 4.0] {
        let fitted = fit(&rows, &targets, c, Balance::SquareRoot);
        let expected = fit(&reflected, &targets, c, Balance::SquareRoot);
        for topic in 0..3 {
            assert_close(fitted.biases[topic], expected.biases[topic], 1e-4);
            let expected = reflect(&expected.weights.column(topic).to_vec());
            for (&actual, expected) in fitted.weights.column(topic).iter().zip(expected) {
                assert_close(actual, expected, 1e-4);
            }
        }
    }
}

/// Documents around one centre a topic.
fn clouds(n_documents: usize, n_topics: usize, n_features: usize, seed: u64) -> (Vec<Vec<f32>>, Vec<u32>) {
    let mut random = random(seed);
    let centres: Vec<Vec<f64>> =
        (0..n_topics).map(|_| (0..n_features).map(|_| 2.0 * normal(&mut random)).collect()).collect();
    let document = |index: usize| {
        let centre = &centres[index % n_topics];
        (centre.iter().map(|x| (x + normal(&mut random)) as f32).collect(), (index % n_topics) as u32)
    };
    (0..n_documents).map(document).unzip()
}

#[test]
fn the_answers_are_those_of_linfa_logistic() {
    let (rows, labels) = clouds(600, 3, 6, 3);
    let ((rows, held_out), labels) = (rows.split_at(300), &labels[..300]);
    let fitted = fit(rows, &single_label(3, labels), 1.0, Balance::None);
    let held_out_rows = sparse(held_out);
    let mut scores = fitted.default_target(&held_out_rows);
    fitted.predict_inplace(&held_out_rows, &mut scores);

    let dense = |rows: &[Vec<f32>]| {
        Array2::from_shape_vec((rows.len(), 6), rows.iter().flatten().map(|&x| f64::from(x)).collect()).unwrap()
    };
    let labels: Array1<usize> = labels.iter().map(|&label| label as usize).collect();
    let oracle = MultiLogisticRegression::default().fit(&Dataset::new(dense(rows), labels)).unwrap();
    let expected: Array1<usize> = oracle.predict(&dense(held_out));

    let best = |row: ndarray::ArrayView1<'_, f32>| (0..3).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap();
    let n_same = scores.axis_iter(Axis(0)).zip(&expected).filter(|(row, expected)| best(*row) == **expected).count();
    assert!(n_same >= 285, "the same answer to {n_same} of 300 documents");
    assert!((0..3).all(|topic| expected.iter().any(|&answer| answer == topic)));
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let (rows, labels) = clouds(200, 20, 30, 9);
    let targets = single_label(20, &labels);
    let params = LinearSvmParams::default().c(1.0).check().unwrap();
    let dataset = DatasetBase::new(sparse(&rows), targets);
    let [one, two] = [1, 2].map(|n_threads| with_threads(n_threads, || params.fit(&dataset).unwrap()));
    let bits = |fitted: &LinearWeights| -> Vec<u32> {
        fitted.weights.iter().chain(&fitted.biases).map(|weight| weight.to_bits()).collect()
    };
    assert!(bits(&one) == bits(&two));
}

/// A row of the weight 3 is three rows; with a small one it is next to none.
#[test]
fn a_weight_counts_as_so_many_copies_of_a_row() {
    let (rows, labels) = clouds(60, 3, 5, 4);
    let params = LinearSvmParams::default().balance(Balance::None).tolerance(1e-5).max_passes(100_000).check().unwrap();
    let fit = |numbers: &[usize], weights: Vec<f32>| {
        let records = sparse(&numbers.iter().map(|&number| rows[number].clone()).collect::<Vec<_>>());
        let targets = single_label(3, &numbers.iter().map(|&number| labels[number]).collect::<Vec<_>>());
        params.fit(&DatasetBase::new(records, targets).with_weights(weights.into())).unwrap()
    };
    let all: Vec<usize> = (0..60).collect();
    let copied: Vec<usize> =
        all.iter().flat_map(|&number| vec![number; if number.is_multiple_of(4) { 3 } else { 1 }]).collect();
    let weight = |number: usize| if number.is_multiple_of(4) { 3.0 } else { 1.0 };
    let weighted = fit(&all, all.iter().map(|&number| weight(number)).collect());
    let copied = fit(&copied, vec![1.0; copied.len()]);
    let plain = fit(&all, vec![1.0; 60]);
    let distance = |a: &LinearWeights, b: &LinearWeights| (&a.weights - &b.weights).fold(0.0f32, |d, w| d.max(w.abs()));
    assert!(distance(&weighted, &copied) < 1e-3, "{}", distance(&weighted, &copied));
    assert!(distance(&weighted, &plain) > 0.02, "{}", distance(&weighted, &plain));

    let refused = |weights: Vec<f32>| {
        let dataset = DatasetBase::new(sparse(&rows), single_label(3, &labels)).with_weights(weights.into());
        params.fit(&dataset).unwrap_err().to_string()
    };
    let expected = |n: usize| format!("{n} weights for 60 rows; each row needs one, a finite number above 0");
    assert_eq!(refused(vec![1.0; 59]), expected(59));
    for bad in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        assert_eq!(refused([vec![1.0; 59], vec![bad]].concat()), expected(60));
    }
}

#[test]
fn a_dataset_with_too_few_targets_is_refused() {
    let params = LinearSvmParams::default().check().unwrap();
    let dataset = DatasetBase::new(sparse(&[vec![1.0], vec![-1.0]]), single_label(2, &[0]));
    assert_eq!(params.fit(&dataset).unwrap_err().to_string(), "2 rows but targets for 1 documents");
}

/// Rounding moves a weight by at most half a step, 1/254 of the feature's largest weight.
#[test]
fn eight_bits_move_scores_within_the_bound() {
    let (mut random, n_features, n_topics) = (random(21), 60, 20); // more topics than are added up side by side
    let mut weights = Array2::zeros((n_features, n_topics));
    for mut row in weights.rows_mut() {
        let size = 10f64.powf(random.gen_range(-4.0..1.0));
        row.mapv_inplace(|_: f32| (size * normal(&mut random)) as f32);
    }
    weights.row_mut(7).fill(0.0);
    let biases = (0..n_topics).map(|_| normal(&mut random) as f32).collect();
    let exact = LinearWeights { weights, biases };
    let all: Vec<u32> = (0..n_features as u32).collect();
    let rounded = exact.quantize(&all);
    assert_eq!((rounded.n_features(), rounded.n_topics()), (n_features, n_topics));

    let mut value = |share: f64| if random.gen_bool(share) { random.gen_range(0.0..1.0) } else { 0.0 };
    let rows = [0.05, 0.5, 1.0, 0.0].map(|share| (0..n_features).map(|_| value(share)).collect::<Vec<f32>>());
    let rows = sparse(&rows);
    let (mut expected, mut actual) = (exact.default_target(&rows), rounded.default_target(&rows));
    exact.predict_inplace(&rows, &mut expected);
    rounded.predict_inplace(&rows, &mut actual);
    for ((document, topic), &score) in actual.indexed_iter() {
        let (mut bound, mut by_hand) = (1e-5, rounded.bias(topic));
        for (feature, value) in rows.row(document).iter() {
            let largest = exact.weights.row(feature).fold(0.0f32, |largest, weight| largest.max(weight.abs()));
            bound += f64::from(value * largest) / 254.0;
            by_hand += f64::from(value) * rounded.weight(feature, topic);
        }
        assert!((score - f64::from(expected[(document, topic)])).abs() <= bound);
        assert!((score - by_hand).abs() <= 1e-5, "{score} instead of {by_hand}");
    }
    assert!(actual.row(3).iter().zip(&exact.biases).all(|(&score, &bias)| score == f64::from(bias)));

    let some = exact.quantize(&[0, 7, 59]);
    assert_eq!(some.n_features(), 3);
    assert!((0..n_topics).all(|topic| some.weight(2, topic) == rounded.weight(59, topic)));
}
