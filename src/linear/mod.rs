//! Rows → raw scores: one-vs-rest linear support vector machines with squared hinge loss, as a linfa algorithm on
//! sparse rows.
//!
//! [`LinearSvmParams`] → `check` → [`LinearSvmValidParams`] → `fit` → [`LinearWeights`] (32-bit, as fitted) →
//! [`QuantizedWeights`] (8-bit, as served). Both kinds of weights are linfa models (`PredictInplace`).

mod dense;
mod hyperparameters;
mod quantized;
mod rows;
mod solver;
mod weights;

pub(crate) use dense::DenseRows;
pub use hyperparameters::{Balance, LinearError, LinearSvmParams, LinearSvmValidParams};
pub use quantized::QuantizedWeights;
pub(crate) use quantized::RoundedRows;
pub(crate) use solver::OneVsRestSolver;
pub use weights::LinearWeights;
