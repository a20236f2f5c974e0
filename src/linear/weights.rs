//! The weights as they come out of fitting.

use linfa::traits::PredictInplace;
use ndarray::{Array1, Array2};

use super::quantized::{QuantizedWeights, RoundedRows};
use crate::features::SparseRows;
use linfa::dataset::Records;

/// A fitted linear model in 32-bit floating point: what tests compare with other solvers. What is served, and what
/// training measures, is its 8-bit form.
#[derive(Debug, Clone, PartialEq)]
pub struct LinearWeights {
    /// Features × topics.
    pub weights: Array2<f32>,
    /// One a topic.
    pub biases: Array1<f32>,
}

impl LinearWeights {
    /// Rounds the weights of the given features, in the order given, to 8 bits; the others are dropped.
    pub fn quantize(&self, features: &[u32]) -> QuantizedWeights {
        let mut rounded = RoundedRows::default();
        features.iter().for_each(|&feature| rounded.push(self.weights.row(feature as usize).iter().copied()));
        QuantizedWeights::of_rounded(&[rounded], &self.biases)
    }
}

impl PredictInplace<SparseRows, Array2<f32>> for LinearWeights {
    fn predict_inplace<'a>(&'a self, rows: &'a SparseRows, scores: &mut Array2<f32>) {
        for (row, mut scores) in rows.iter().zip(scores.rows_mut()) {
            scores.assign(&self.biases);
            for (feature, value) in row.iter() {
                scores.scaled_add(value, &self.weights.row(feature));
            }
        }
    }

    fn default_target(&self, rows: &SparseRows) -> Array2<f32> {
        Array2::zeros((rows.nsamples(), self.biases.len()))
    }
}
