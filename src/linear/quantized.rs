//! The weights as they are served: 8 bits each, with one scale a feature.
//!
//! A scale a feature, not a topic: weights of different features differ by factors of hundreds, those of one feature
//! across topics don't, so the rounding error stays below 1/254 of the feature's own largest weight.

use linfa::dataset::Records;
use linfa::traits::PredictInplace;
use ndarray::{Array1, Array2};
use rayon::prelude::*;
use zerocopy::little_endian::F32;

use crate::features::{SparseRow, SparseRows};
use crate::packed::Packed;
use crate::processor::{Processor, Work, dispatch, each_fetched_ahead};

/// Weights of 0 behind the last feature's. Scores are added up for up to 32 topics side by side, eight at a time, which reads up to seven
/// weights behind a feature's; model files have sixteen.
const PADDING: usize = 16;
/// Terms that are added up in 32 bits before the sum goes into 64: keeps rounding below 10⁻⁶ of what was added.
const TERMS_PER_SUM: usize = 32;

/// The largest scale or bias: with it, no score overflows, whoever made the model.
const MAX_MAGNITUDE: f32 = 1e6;

/// A linear model in 8-bit weights; immutable, cheap to clone.
///
/// raw score of a topic = bias + Σ over the row's features of value · (scale · weight).
#[derive(Debug, Clone)]
pub struct QuantizedWeights {
    n_topics: usize,
    /// Feature by feature, `n_topics` each, then [`PADDING`] zeros.
    weights: Packed<i8>,
    scales: Packed<F32>,
    biases: Packed<F32>,
}

impl QuantizedWeights {
    /// Takes stored weights; `None` unless the lengths agree and no number is beyond a million.
    pub fn new(weights: Packed<i8>, scales: Packed<F32>, biases: Packed<F32>) -> Option<Self> {
        let n_topics = biases.len();
        let (values, padding) = weights.split_at_checked(scales.len().checked_mul(n_topics)?)?;
        let valid = padding.len() == PADDING
            && padding.iter().all(|&zero| zero == 0)
            && values.iter().all(|&weight| weight != i8::MIN)
            && scales.iter().all(|scale| (0.0..=MAX_MAGNITUDE).contains(&scale.get()))
            && biases.iter().all(|bias| bias.get().abs() <= MAX_MAGNITUDE);
        valid.then_some(Self { n_topics, weights, scales, biases })
    }

    /// The same with biases of 0.
    pub(crate) fn without_biases(weights: Packed<i8>, scales: Packed<F32>, n_topics: usize) -> Option<Self> {
        Self::new(weights, scales, Packed::from_values(&vec![F32::ZERO; n_topics]))
    }

    /// Takes rounded weights, part after part.
    pub(crate) fn of_rounded(parts: &[RoundedRows], biases: &Array1<f32>) -> Self {
        let (mut weights, mut scales) = (Vec::new(), Vec::new());
        for part in parts {
            weights.extend_from_slice(&part.weights);
            scales.extend_from_slice(&part.scales);
        }
        weights.extend([0; PADDING]);
        let biases: Vec<F32> = biases.iter().map(|&bias| F32::new(bias)).collect();
        Self {
            n_topics: biases.len(),
            weights: Packed::from_values(&weights),
            scales: Packed::from_values(&scales),
            biases: Packed::from_values(&biases),
        }
    }

    /// The number of topics.
    pub fn n_topics(&self) -> usize {
        self.n_topics
    }

    /// The number of features.
    pub fn n_features(&self) -> usize {
        self.scales.len()
    }

    /// A topic's score before any feature is seen.
    pub fn bias(&self, topic: usize) -> f64 {
        f64::from(self.biases[topic].get())
    }

    /// What one unit of a feature's value adds to a topic's score.
    pub fn weight(&self, feature: usize, topic: usize) -> f64 {
        f64::from(self.scales[feature].get()) * f64::from(self.weights[feature * self.n_topics + topic])
    }

    pub(crate) fn weights(&self) -> &Packed<i8> {
        &self.weights
    }

    pub(crate) fn scales(&self) -> &Packed<F32> {
        &self.scales
    }

    pub(crate) fn biases(&self) -> &Packed<F32> {
        &self.biases
    }

    /// The raw score of each topic for a row; sums run in the order of the row, so the same row gives the same
    /// bits wherever it is scored.
    pub fn score(&self, row: SparseRow<'_>, scores: &mut Vec<f64>) {
        // With AVX2 where the processor has it; the arithmetic, and so the score, is the same without.
        dispatch(Scoring { weights: self, row, scores });
    }

    #[inline(always)]
    fn add_up(&self, processor: impl Processor, row: SparseRow<'_>, scores: &mut Vec<f64>) {
        scores.clear();
        while scores.len() < self.n_topics {
            match (self.n_topics - scores.len()).div_ceil(8) {
                1 => self.add_up_lanes::<8>(processor, row, scores),
                2 => self.add_up_lanes::<16>(processor, row, scores),
                3 => self.add_up_lanes::<24>(processor, row, scores),
                _ => self.add_up_lanes::<32>(processor, row, scores),
            }
        }
    }

    /// Adds the scores of the next topics.
    #[inline(always)]
    fn add_up_lanes<const N: usize>(&self, processor: impl Processor, row: SparseRow<'_>, scores: &mut Vec<f64>) {
        let (weights, scales, first_topic) = (&*self.weights, &*self.scales, scores.len());
        // The padding makes this whole for the last feature too; lanes beyond the topics are ignored.
        let lanes_of = |feature: u32| {
            let start = feature as usize * self.n_topics + first_topic;
            &weights[start..start + N]
        };
        let fetch = |feature: u32| {
            let lanes = lanes_of(feature);
            processor.prefetch(&scales[feature as usize]);
            processor.prefetch(&lanes[0]);
            processor.prefetch(&lanes[N - 1]);
        };
        let (mut sums, mut partial) = ([0.0f64; N], [0.0f32; N]);
        each_fetched_ahead(row.features, fetch, |place, feature| {
            let value = row.values[place] * scales[feature as usize].get();
            let lanes = lanes_of(feature);
            for lane in 0..N {
                partial[lane] += value * f32::from(lanes[lane]);
            }
            if (place + 1).is_multiple_of(TERMS_PER_SUM) {
                (0..N).for_each(|lane| sums[lane] += f64::from(partial[lane]));
                partial = [0.0; N];
            }
        });
        (0..N).for_each(|lane| sums[lane] += f64::from(partial[lane]));
        let topics = first_topic..self.n_topics.min(first_topic + N);
        scores.extend(topics.zip(sums).map(|(topic, sum)| self.bias(topic) + sum));
    }
}

/// Weights in 8 bits of some features: each feature's are rounded to multiples of 1/127 of the largest.
#[derive(Default)]
pub(crate) struct RoundedRows {
    weights: Vec<i8>,
    scales: Vec<F32>,
}

impl RoundedRows {
    /// Adds the next feature's weights, one a topic.
    pub(crate) fn push(&mut self, row: impl Iterator<Item = f32> + Clone) {
        let largest = row.clone().fold(0.0f32, |largest, weight| largest.max(weight.abs()));
        let scale = largest / 127.0;
        self.scales.push(F32::new(scale));
        // To the nearest, from -127 to 127; `round` would be a call of a library for each.
        let rounded = |number: f32| ((number + 0.5f32.copysign(number)) as i8).max(-127);
        self.weights.extend(row.map(|weight| if scale > 0.0 { rounded(weight / scale) } else { 0 }));
    }
}

/// The scoring of a row.
struct Scoring<'a> {
    weights: &'a QuantizedWeights,
    row: SparseRow<'a>,
    scores: &'a mut Vec<f64>,
}

impl Work for Scoring<'_> {
    type Output = ();

    #[inline(always)]
    fn on(self, processor: impl Processor) {
        self.weights.add_up(processor, self.row, self.scores);
    }
}

impl PredictInplace<SparseRows, Array2<f64>> for QuantizedWeights {
    fn predict_inplace<'a>(&'a self, rows: &'a SparseRows, scores: &mut Array2<f64>) {
        let mut targets: Vec<_> = scores.rows_mut().into_iter().collect();
        targets.par_iter_mut().enumerate().for_each_init(Vec::new, |row_scores, (row, target)| {
            self.score(rows.row(row), row_scores);
            target.iter_mut().zip(row_scores.iter()).for_each(|(target, &score)| *target = score);
        });
    }

    fn default_target(&self, rows: &SparseRows) -> Array2<f64> {
        Array2::zeros((rows.nsamples(), self.n_topics))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two features, three topics.
    fn stored(weights: &[i8], scales: &[f32], biases: &[f32]) -> Option<QuantizedWeights> {
        let numbers = |numbers: &[f32]| Packed::from_values(&numbers.iter().copied().map(F32::new).collect::<Vec<_>>());
        QuantizedWeights::new(Packed::from_values(weights), numbers(scales), numbers(biases))
    }

    #[test]
    fn stored_weights_are_checked() {
        let padded = |values: &[i8]| [values, &[0; PADDING]].concat();
        let good = padded(&[1, 2, 3, -127, 0, 127]);
        let (scales, biases) = ([0.5, 0.0], [0.1, -0.2, 0.3]);
        let weights = stored(&good, &scales, &biases).unwrap();
        assert_eq!((weights.n_features(), weights.n_topics()), (2, 3));
        assert_eq!((weights.weight(0, 2), weights.weight(1, 2)), (1.5, 0.0));
        assert_eq!(weights.bias(1), f64::from(-0.2f32));

        assert!(stored(&good[1..], &scales, &biases).is_none());
        assert!(stored(&padded(&good), &scales, &biases).is_none());
        assert!(stored(&good[..6], &scales, &biases).is_none());
        assert!(stored(&[&good[..], &[1]].concat(), &scales, &biases).is_none());
        let mut unclean = good.clone();
        unclean[6] = 1;
        assert!(stored(&unclean, &scales, &biases).is_none());
        assert!(stored(&padded(&[1, 2, 3, -128, 0, 127]), &scales, &biases).is_none());
        for bad in [f32::NAN, f32::INFINITY, 1.1e6, -1.1e6] {
            assert!(stored(&good, &[0.5, bad], &biases).is_none(), "{bad}");
            assert!(stored(&good, &scales, &[0.1, bad, 0.3]).is_none(), "{bad}");
        }
        assert!(stored(&good, &[0.5, -0.5], &biases).is_none());
        assert!(stored(&padded(&[]), &[], &biases).is_some(), "a model without features still has biases");
    }

    /// With each number of lanes, of blocks of them and of terms.
    #[test]
    fn scores_are_the_sums_of_what_each_feature_adds() {
        for n_topics in [2, 7, 8, 9, 16, 17, 24, 25, 32, 33, 40, 41, 90] {
            let n_features = 70;
            let of = |place: usize| ((place * 37) % 255) as i8;
            let values: Vec<i8> =
                (0..n_features * n_topics).map(|place| of(place).max(-127)).chain([0; PADDING]).collect();
            let scales: Vec<f32> = (0..n_features).map(|feature| 0.01 * (feature % 5) as f32).collect();
            let biases: Vec<f32> = (0..n_topics).map(|topic| 0.1 * topic as f32).collect();
            let weights = stored(&values, &scales, &biases).unwrap();
            for features in [vec![], vec![69], (0..70).collect::<Vec<u32>>()] {
                let row_values = vec![0.5; features.len()];
                let row = SparseRow { features: &features, values: &row_values };
                let (mut scores, mut of_any) = (vec![7.0], Vec::new());
                weights.score(row, &mut scores);
                weights.add_up(crate::processor::Any, row, &mut of_any);
                assert_eq!(scores, of_any);
                for (topic, score) in scores.iter().enumerate() {
                    let added = features.iter().map(|&feature| 0.5 * weights.weight(feature as usize, topic));
                    let expected = weights.bias(topic) + added.sum::<f64>();
                    assert!((score - expected).abs() < 1e-4, "{score} instead of {expected}");
                }
                assert_eq!(scores.len(), n_topics);
            }
        }
    }
}
