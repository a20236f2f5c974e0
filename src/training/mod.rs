//! Labelled documents → a classifier and how good it is.

mod error;
mod findings;
mod inference;
mod learning;
mod out_of_fold;
mod part;
mod progress;
mod reference;
mod train;
mod verify;

pub use error::TrainError;
pub use findings::{Findings, train_and_look_through};
pub use progress::{Progress, Silent, Stage, fraction_of_training};
pub use train::{Trained, train};
pub use verify::{Difference, verify};
