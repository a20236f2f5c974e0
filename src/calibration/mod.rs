//! Raw scores → probabilities, fitted on out-of-fold scores.
//!
//! One topic a document: the scores are divided by the temperature that fits best (Guo, Pleiss, Sun & Weinberger, *On
//! Calibration of Modern Neural Networks*, ICML 2017), and a multinomial logistic regression on them, started from the
//! identity ("matrix scaling", matrix_scaling.rs), is taken where it has the smaller log loss on documents it wasn't fitted on. Several
//! topics a document: one logistic curve a topic (Platt 1999) by linfa-logistic, drawn towards the curve of all topics together where a
//! topic has few documents.

mod exponential;
mod matrix_scaling;

use linfa::dataset::Dataset;
use linfa::traits::Fit;
use linfa_logistic::LogisticRegression;
use ndarray::{Array1, Array2, ArrayView1, Axis};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::cancellation::{IsCancelled, never};
use crate::targets::Targets;

/// L2 strength of matrix scaling, per document. Measured on five corpora from 5,485 documents of 8 topics to 52,003 of 10: half of it
/// overfits where topics are alike, twice as much takes rare topics for nothing.
const STRENGTH: f64 = 0.001;
/// How far matrix scaling is drawn back to the identity, from 0 to 1, where that is right more often. What it learns about
/// pairs of topics lowers log loss, and where raw scores rank well already it lowers accuracy too; three quarters of it keep most of
/// the first and spare the second.
const IDENTITY_SHARE: f64 = 0.25;
/// Fewer documents than this, or than this many a topic, can't tell matrix scaling from chance.
const MIN_DOCUMENTS: usize = 100;
const MIN_DOCUMENTS_PER_TOPIC: usize = 5;
/// Documents of a topic at which its own curve and the curve of all topics count the same.
const SHRINKAGE: f64 = 10.0;

/// The largest number of a calibrator; nothing that is divided by or multiplied with scores is smaller than its inverse.
/// With these, no probability is anything but a number from 0 to 1, whoever made the model.
const MAX_MAGNITUDE: f64 = 1e6;

/// Turns a document's raw scores into probabilities.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "snake_case")]
pub enum Calibrator {
    /// Softmax of the scores over a temperature; the probabilities sum to 1.
    Temperature {
        /// What the scores are divided by; above 0.
        temperature: f64,
    },
    /// Softmax of linear combinations of the scores; the probabilities sum to 1.
    Matrix {
        /// What the scores are divided by; above 0.
        temperature: f64,
        /// For each topic: the weight of each topic's score, then the bias.
        rows: Vec<Vec<f64>>,
    },
    /// A logistic curve a topic; topics are independent.
    Sigmoid {
        /// For each topic, slope and bias; slopes are above 0.
        curves: Vec<(f64, f64)>,
    },
}

impl Calibrator {
    /// The probability of each topic, given the raw score of each.
    pub fn probabilities(&self, scores: &[f64], probabilities: &mut Vec<f64>) {
        probabilities.clear();
        match self {
            Self::Temperature { temperature } => {
                probabilities.extend(scores.iter().map(|score| score / temperature));
                softmax(probabilities);
            }
            Self::Matrix { temperature, rows } => {
                probabilities.extend(rows.iter().map(|row| match row.split_last() {
                    Some((bias, weights)) => {
                        let sum = weights.iter().zip(scores).fold(0.0, |sum, (weight, score)| sum + weight * score);
                        bias + sum / temperature
                    }
                    None => 0.0,
                }));
                softmax(probabilities);
            }
            Self::Sigmoid { curves } => probabilities
                .extend(curves.iter().zip(scores).map(|((slope, bias), score)| sigmoid(slope * score + bias))),
        }
    }

    /// The probabilities for each row of scores.
    pub fn probabilities_of_rows(&self, scores: &Array2<f64>) -> Array2<f64> {
        let mut probabilities = Array2::zeros(scores.dim());
        let mut row_probabilities = Vec::new();
        for (scores, mut target) in scores.rows().into_iter().zip(probabilities.rows_mut()) {
            self.probabilities(&scores.to_vec(), &mut row_probabilities);
            target.assign(&ArrayView1::from(&row_probabilities));
        }
        probabilities
    }

    /// Whether it takes the scores of `n_topics` topics and all its numbers are usable.
    pub(crate) fn is_valid(&self, n_topics: usize) -> bool {
        let is_scale = |number: f64| (1.0 / MAX_MAGNITUDE..=MAX_MAGNITUDE).contains(&number);
        let is_weight = |number: &f64| number.abs() <= MAX_MAGNITUDE;
        match self {
            Self::Temperature { temperature } => is_scale(*temperature),
            Self::Matrix { temperature, rows } => {
                is_scale(*temperature)
                    && rows.len() == n_topics
                    && rows.iter().all(|row| row.len() == n_topics + 1 && row.iter().all(is_weight))
            }
            Self::Sigmoid { curves } => {
                curves.len() == n_topics && curves.iter().all(|(slope, bias)| is_scale(*slope) && is_weight(bias))
            }
        }
    }

    /// Fits on the out-of-fold scores (documents × topics) of documents with one topic each; of a document with
    /// several, the first counts. Also returns the probabilities of all documents by calibrators of the same kind, each
    /// fitted on the other half of the documents: what can be measured.
    pub fn fit_single_label(scores: &Array2<f64>, targets: &Targets) -> (Self, Array2<f64>) {
        Self::fit_single_label_unless(scores, targets, &never)
    }

    /// The same; told to stop, it returns early, and what it returns means nothing.
    pub fn fit_single_label_unless(
        scores: &Array2<f64>,
        targets: &Targets,
        is_cancelled: IsCancelled<'_>,
    ) -> (Self, Array2<f64>) {
        let labels = first_topics(targets);
        let all: Vec<usize> = (0..labels.len()).collect();
        let halves: [Vec<usize>; 2] = [0, 1].map(|half| all.iter().copied().filter(|d| d % 2 == half).collect());
        // The fit for the documents of the first half is on those of the second.
        let fits = [&all, &halves[1], &halves[0]].map(|documents| Fitting::new(scores, &labels, documents));
        let [whole, halved @ ..] = fits.each_ref().map(|fit| Self::Temperature { temperature: fit.temperature });
        let by_temperature = CrossFit::judge(halved, scores, &labels, &halves);
        let enough = labels.len() >= MIN_DOCUMENTS.max(MIN_DOCUMENTS_PER_TOPIC * scores.ncols());
        let by_matrix = if enough { Self::fit_matrices(&fits, scores, &labels, &halves, is_cancelled) } else { None };
        if let Some((calibrator, cross_fit)) = by_matrix.filter(|(_, cross_fit)| cross_fit.loss < by_temperature.loss) {
            return (calibrator, cross_fit.probabilities);
        }
        (whole, by_temperature.probabilities)
    }

    /// Matrix scaling on all documents, and on each half.
    fn fit_matrices(
        fits: &[Fitting<'_>; 3],
        scores: &Array2<f64>,
        labels: &[usize],
        halves: &[Vec<usize>; 2],
        is_cancelled: IsCancelled<'_>,
    ) -> Option<(Self, CrossFit)> {
        let fitted: Vec<Option<Self>> = fits.par_iter().map(|fit| fit.matrix(is_cancelled)).collect();
        let [whole, first, second] = <[Option<Self>; 3]>::try_from(fitted).ok()?;
        let (whole, halved) = (whole?, [first?, second?]);
        let drawn = halved.clone().map(Self::drawn_to_identity);
        let [fitted, drawn] = [halved, drawn].map(|halved| CrossFit::judge(halved, scores, labels, halves));
        Some(if drawn.n_right > fitted.n_right { (whole.drawn_to_identity(), drawn) } else { (whole, fitted) })
    }

    fn drawn_to_identity(mut self) -> Self {
        if let Self::Matrix { rows, .. } = &mut self {
            for (topic, row) in rows.iter_mut().enumerate() {
                row.iter_mut().for_each(|weight| *weight *= 1.0 - IDENTITY_SHARE);
                row[topic] += IDENTITY_SHARE;
            }
        }
        self
    }

    /// Fits on the out-of-fold scores (documents × topics) of documents with any number of topics.
    pub fn fit_multi_label(scores: &Array2<f64>, targets: &Targets) -> Self {
        let positives = |topic: usize| (0..scores.nrows()).map(move |document| targets.has(document, topic));
        let all_scores: Vec<f64> = scores.columns().into_iter().flatten().copied().collect();
        let all_positives: Vec<bool> = (0..scores.ncols()).flat_map(positives).collect();
        let (pooled_slope, pooled_bias) = fit_curve(&all_scores, &all_positives).unwrap_or((1.0, 0.0));
        let curve = |(topic, n_documents): (usize, usize)| {
            let own = fit_curve(&scores.column(topic).to_vec(), &positives(topic).collect::<Vec<_>>());
            let (slope, bias) = own.unwrap_or((pooled_slope, pooled_bias));
            let trust = n_documents as f64 / (n_documents as f64 + SHRINKAGE);
            (trust * slope + (1.0 - trust) * pooled_slope, trust * bias + (1.0 - trust) * pooled_bias)
        };
        Self::Sigmoid { curves: targets.documents_per_topic().into_par_iter().enumerate().map(curve).collect() }
    }
}

/// Each document's first topic.
fn first_topics(targets: &Targets) -> Vec<usize> {
    (0..targets.n_documents()).map(|document| targets.of(document).first().map_or(0, |&topic| topic as usize)).collect()
}

/// What two calibrators, each fitted on one half of the documents, say about the other half.
struct CrossFit {
    probabilities: Array2<f64>,
    /// Summed log loss.
    loss: f64,
    /// Documents whose topic is the most probable one.
    n_right: usize,
}

impl CrossFit {
    /// The first calibrator is for the documents of the first half, which it wasn't fitted on.
    fn judge(calibrators: [Calibrator; 2], scores: &Array2<f64>, labels: &[usize], halves: &[Vec<usize>; 2]) -> Self {
        let (mut probabilities, mut row) = (Array2::zeros(scores.dim()), Vec::new());
        let (mut loss, mut n_right) = (0.0, 0);
        for (calibrator, half) in calibrators.iter().zip(halves) {
            for &document in half {
                calibrator.probabilities(&scores.row(document).to_vec(), &mut row);
                let p = row[labels[document]];
                loss -= p.max(f64::MIN_POSITIVE).ln();
                n_right += usize::from(row.iter().enumerate().all(|(topic, &q)| topic == labels[document] || q < p));
                probabilities.row_mut(document).assign(&ArrayView1::from(&row));
            }
        }
        Self { probabilities, loss, n_right }
    }
}

/// The temperature with the smallest log loss on some documents, by golden-section search over its logarithm. A share of
/// 1 / (n + 2) of each document counts for all topics alike, as Platt (1999) smooths his targets: where n documents are
/// all told apart, that much doubt remains.
fn fit_temperature(scores: &Array2<f64>, labels: &[usize], documents: &[usize]) -> f64 {
    fit_temperature_and_loss(scores, labels, documents).0
}

/// The mean log loss of documents with these labels at the temperature that is best for them, smoothed as [`fit_temperature`] does.
pub(crate) fn smallest_log_loss(scores: &Array2<f64>, labels: &[usize]) -> f64 {
    let documents: Vec<usize> = (0..labels.len()).collect();
    fit_temperature_and_loss(scores, labels, &documents).1 / documents.len().max(1) as f64
}

fn fit_temperature_and_loss(scores: &Array2<f64>, labels: &[usize], documents: &[usize]) -> (f64, f64) {
    let doubt = 1.0 / (documents.len() as f64 + 2.0);
    let loss = |log_temperature: f64| {
        let temperature = log_temperature.exp();
        let document_loss = |&document: &usize| {
            let row = scores.row(document);
            let largest = row.fold(f64::NEG_INFINITY, |largest, &score| largest.max(score));
            let sum: f64 = row.iter().map(|score| ((score - largest) / temperature).exp()).sum();
            let target = (1.0 - doubt) * row[labels[document]] + doubt * row.mean().unwrap_or_default();
            sum.ln() - (target - largest) / temperature
        };
        let chunks = documents.par_chunks(1024).map(|chunk| chunk.iter().map(document_loss).sum::<f64>());
        // Summed in order, so that threads don't change the bits.
        chunks.collect::<Vec<f64>>().iter().sum::<f64>()
    };
    let ratio = (5f64.sqrt() - 1.0) / 2.0;
    let (mut low, mut high) = (0.01f64.ln(), 10f64.ln());
    let (mut left, mut right) = (high - ratio * (high - low), low + ratio * (high - low));
    let (mut left_loss, mut right_loss) = (loss(left), loss(right));
    while high - low > 1e-3 {
        if left_loss <= right_loss {
            (high, right, right_loss) = (right, left, left_loss);
            left = high - ratio * (high - low);
            left_loss = loss(left);
        } else {
            (low, left, left_loss) = (left, right, right_loss);
            right = low + ratio * (high - low);
            right_loss = loss(right);
        }
    }
    ((0.5 * (low + high)).exp(), left_loss.min(right_loss))
}

/// What a calibrator of one-topic documents is fitted on.
struct Fitting<'a> {
    scores: &'a Array2<f64>,
    labels: &'a [usize],
    documents: &'a [usize],
    temperature: f64,
}

impl<'a> Fitting<'a> {
    fn new(scores: &'a Array2<f64>, labels: &'a [usize], documents: &'a [usize]) -> Self {
        Self { scores, labels, documents, temperature: fit_temperature(scores, labels, documents) }
    }

    /// Matrix scaling; `None` where all documents have one topic, or where it leaves numbers that can't be used.
    fn matrix(&self, is_cancelled: IsCancelled<'_>) -> Option<Calibrator> {
        let (n_topics, temperature) = (self.scores.ncols(), self.temperature);
        let scores = self.scores.select(Axis(0), self.documents) / temperature;
        // A topic that none of the documents has is no class: its score stays as it is.
        let mut topics: Vec<usize> = self.documents.iter().map(|&document| self.labels[document]).collect();
        let mut class_topics = topics.clone();
        class_topics.sort_unstable();
        class_topics.dedup();
        if class_topics.len() < 2 {
            return None;
        }
        topics.iter_mut().for_each(|topic| *topic = class_topics.partition_point(|class_topic| class_topic < topic));
        let mut identity = Array2::zeros((n_topics + 1, class_topics.len()));
        class_topics.iter().enumerate().for_each(|(class, &topic)| identity[(topic, class)] = 1.0);
        let fitted = matrix_scaling::fit(scores, &topics, STRENGTH, identity, is_cancelled)?;
        let mut rows: Vec<Vec<f64>> =
            (0..n_topics).map(|topic| (0..=n_topics).map(|score| f64::from(score == topic)).collect()).collect();
        for (column, topic) in fitted.columns().into_iter().zip(class_topics) {
            rows[topic] = column.to_vec();
        }
        let calibrator = Calibrator::Matrix { temperature, rows };
        calibrator.is_valid(n_topics).then_some(calibrator)
    }
}

/// Slope and bias of the logistic curve from scores to being positive; `None` where there is no rising one.
fn fit_curve(scores: &[f64], positives: &[bool]) -> Option<(f64, f64)> {
    let records = Array2::from_shape_vec((scores.len(), 1), scores.to_vec()).ok()?;
    let dataset = Dataset::new(records, Array1::from(positives.to_vec()));
    let fitted = LogisticRegression::default().alpha(1e-3).fit(&dataset).ok()?;
    // linfa-logistic models the class that it found more often.
    let sign = if fitted.labels().pos.class { 1.0 } else { -1.0 };
    let (slope, bias) = (sign * fitted.params()[0], sign * fitted.intercept());
    let usable = Calibrator::Sigmoid { curves: vec![(slope, bias)] }.is_valid(1);
    usable.then_some((slope, bias))
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn softmax(values: &mut [f64]) {
    let largest = values.iter().fold(f64::NEG_INFINITY, |largest, &value| largest.max(value));
    let mut sum = 0.0;
    for value in values.iter_mut() {
        *value = (*value - largest).exp();
        sum += *value;
    }
    values.iter_mut().for_each(|value| *value /= sum);
}
