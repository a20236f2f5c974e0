//! Labelled documents → a classifier and how good it is.

mod out_of_fold;
mod progress;
mod train;

pub use progress::{Progress, Silent, Stage};
pub use train::{TrainError, train};
