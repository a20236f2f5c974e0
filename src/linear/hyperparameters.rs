//! What the learner can be told, and the check that it makes sense.

use linfa::ParamGuard;
use linfa::dataset::DatasetBase;
use linfa::traits::Fit;

use super::solver::OneVsRestSolver;
use super::weights::LinearWeights;
use crate::cancellation::never;
use crate::features::SparseRows;
use crate::targets::Targets;

/// Why the learner refuses.
#[derive(Debug, thiserror::Error)]
pub enum LinearError {
    /// The regularisation parameter.
    #[error("c is {0}; it must be a finite number above 0")]
    InvalidC(f32),
    /// The stopping tolerance.
    #[error("tolerance is {0}; it must be a finite number above 0")]
    InvalidTolerance(f32),
    /// No pass would ever run.
    #[error("max_passes is 0; it must be at least 1")]
    NoPasses,
    /// Records and targets have different lengths.
    #[error("{n_rows} rows but targets for {n_targets} documents")]
    ShapeMismatch {
        /// Rows given.
        n_rows: usize,
        /// Documents with targets given.
        n_targets: usize,
    },
    /// Weights and rows have different lengths, or a weight makes no sense.
    #[error("{n_weights} weights for {n_rows} rows; each row needs one, a finite number above 0")]
    Weights {
        /// Rows given.
        n_rows: usize,
        /// Weights given.
        n_weights: usize,
    },
    /// linfa's own errors.
    #[error(transparent)]
    Linfa(#[from] linfa::Error),
}

/// How much more a document of a topic counts than one of the others, when the topic has fewer documents:
/// C_positive = C · max(1, (n_negative / n_positive)^γ).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Balance {
    /// γ = 0: all documents count the same.
    None,
    /// γ = ½: between the two; best on average where training and use have the same mix of topics.
    #[default]
    SquareRoot,
    /// γ = 1: each topic counts as much as all others together; best where the mix in use is unknown.
    Full,
}

impl Balance {
    /// C_positive / C for a topic with these numbers of documents.
    pub fn positive_factor(self, n_positive: usize, n_negative: usize) -> f32 {
        let ratio = n_negative as f64 / n_positive.max(1) as f64;
        let factor = match self {
            Self::None => 1.0,
            Self::SquareRoot => ratio.sqrt(),
            Self::Full => ratio,
        };
        factor.max(1.0) as f32
    }
}

/// Hyper-parameters of the learner, not checked yet.
#[derive(Debug, Clone, PartialEq)]
pub struct LinearSvmParams(LinearSvmValidParams);

/// Hyper-parameters of the learner that make sense.
#[derive(Debug, Clone, PartialEq)]
pub struct LinearSvmValidParams {
    pub(super) c: f32,
    pub(super) balance: Balance,
    pub(super) tolerance: f32,
    pub(super) max_passes: usize,
    pub(super) seed: u64,
}

impl Default for LinearSvmParams {
    fn default() -> Self {
        Self(LinearSvmValidParams { c: 0.5, balance: Balance::default(), tolerance: 0.1, max_passes: 1000, seed: 0 })
    }
}

impl LinearSvmParams {
    /// What an error costs against a large weight: the smaller, the smoother the model. Default 0.5.
    #[must_use]
    pub fn c(mut self, c: f32) -> Self {
        self.0.c = c;
        self
    }

    /// How topics of few documents are made up for. Default [`Balance::SquareRoot`].
    #[must_use]
    pub fn balance(mut self, balance: Balance) -> Self {
        self.0.balance = balance;
        self
    }

    /// The largest violation of optimality (projected gradient, as liblinear's `-e`) at which fitting stops. Default 0.1.
    #[must_use]
    pub fn tolerance(mut self, tolerance: f32) -> Self {
        self.0.tolerance = tolerance;
        self
    }

    /// Passes over all documents after which fitting stops all the same; one over a few counts as that much less. Default 1,000.
    #[must_use]
    pub fn max_passes(mut self, max_passes: usize) -> Self {
        self.0.max_passes = max_passes;
        self
    }

    /// Where the order in which documents are visited comes from. Default 0.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.0.seed = seed;
        self
    }
}

impl ParamGuard for LinearSvmParams {
    type Checked = LinearSvmValidParams;
    type Error = LinearError;

    fn check_ref(&self) -> Result<&Self::Checked, LinearError> {
        let params = &self.0;
        if !(params.c.is_finite() && params.c > 0.0) {
            Err(LinearError::InvalidC(params.c))
        } else if !(params.tolerance.is_finite() && params.tolerance > 0.0) {
            Err(LinearError::InvalidTolerance(params.tolerance))
        } else if params.max_passes == 0 {
            Err(LinearError::NoPasses)
        } else {
            Ok(params)
        }
    }

    fn check(self) -> Result<Self::Checked, LinearError> {
        self.check_ref()?;
        Ok(self.0)
    }
}

impl Fit<SparseRows, Targets, LinearError> for LinearSvmValidParams {
    type Object = LinearWeights;

    /// An error on a row costs C times its weight, if the dataset has weights.
    fn fit(&self, dataset: &DatasetBase<SparseRows, Targets>) -> Result<LinearWeights, LinearError> {
        let mut solver = OneVsRestSolver::new(&dataset.records, &dataset.targets, dataset.weights(), self)?;
        solver.solve(self.c, self, &never);
        Ok(solver.weights())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_that_make_no_sense_are_refused() {
        let refused = |params: LinearSvmParams| {
            let error = params.check_ref().unwrap_err().to_string();
            assert_eq!(params.check().unwrap_err().to_string(), error);
            error
        };
        for bad in [0.0, -1.0, f32::NAN, f32::INFINITY] {
            let default = LinearSvmParams::default;
            assert_eq!(refused(default().c(bad)), format!("c is {bad}; it must be a finite number above 0"));
            let expected = format!("tolerance is {bad}; it must be a finite number above 0");
            assert_eq!(refused(default().tolerance(bad)), expected);
        }
        assert_eq!(refused(LinearSvmParams::default().max_passes(0)), "max_passes is 0; it must be at least 1");
        assert!(LinearSvmParams::default().c(1e-4).tolerance(1e-6).max_passes(1).seed(u64::MAX).check().is_ok());
    }

    #[test]
    fn only_topics_of_few_documents_are_made_up_for() {
        let factors = |n_positive, n_negative| {
            [Balance::None, Balance::SquareRoot, Balance::Full].map(|b| b.positive_factor(n_positive, n_negative))
        };
        assert_eq!(factors(10, 90), [1.0, 3.0, 9.0]);
        assert_eq!(factors(90, 10), [1.0; 3]);
        assert_eq!(factors(0, 16), [1.0, 4.0, 16.0]); // a fold's training documents may lack a topic
        assert_eq!(factors(16, 0), [1.0; 3]);
    }
}
