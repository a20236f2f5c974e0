//! How a training tells where it is, and is told to stop.

/// The stages of a training, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Tokenizing and counting terms.
    CountingTerms,
    /// Cross-validation: choosing C, and out-of-fold scores.
    CrossValidation,
    /// Fitting probabilities and measuring.
    Calibration,
    /// Fitting on all documents.
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

/// Is told how a training goes on; called from the training's thread.
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
