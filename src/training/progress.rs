//! How a training tells where it is, and is told to stop.

/// The stages of a training, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Tokenizing and counting terms.
    CountingTerms,
    /// Cross-validation: choosing C, and out-of-fold scores.
    CrossValidation,
    /// Fitting probabilities, while the fit on all documents begins.
    Calibration,
    /// Fitting on all documents, and measuring.
    FinalFit,
}

impl Stage {
    /// For people, in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::CountingTerms => "counting terms",
            Self::CrossValidation => "cross-validation",
            Self::Calibration => "calibration",
            Self::FinalFit => "final fit",
        }
    }
}

/// How much of a whole training is done when a stage is `fraction` done, from 0 to 1: by what the stages take on the
/// corpora that the recipe was measured on.
pub fn fraction_of_training(stage: Stage, fraction: f64) -> f64 {
    let (start, end) = match stage {
        Stage::CountingTerms => (0.0, 0.25),
        Stage::CrossValidation => (0.25, 0.7),
        Stage::Calibration => (0.7, 0.8),
        Stage::FinalFit => (0.8, 1.0),
    };
    start + (end - start) * fraction
}

/// Is told how a training goes on; called from the training's threads, by one at a time.
pub trait Progress: Sync {
    /// A stage is `fraction` (0 to 1) done.
    fn report(&self, stage: Stage, fraction: f64);

    /// Whether the training should stop; asked between steps.
    fn is_cancelled(&self) -> bool {
        false
    }
}

/// Tells nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn report(&self, _: Stage, _: f64) {}
}
