//! What runs: the live classifiers and the work that calls ask of them, free of gRPC and protobuf.
//!
//! A call arrives here checked, as a [`ClassifyCall`] or [`BatchCall`] that `api` made, and leaves as [`Answer`]s or an
//! [`Error`]. Reading order: [`model_name`] (which model a caller means), [`live`] (the models there are),
//! [`workers`] (where long work runs, and how much of it is let in), [`classify`] (the answer itself).

pub mod classify;
pub mod error;
pub mod live;
pub mod model_name;
pub mod panic;
pub mod workers;

pub use classify::{AcceptedDocument, Answer, BatchCall, ClassifyCall, ClassifyService, answer};
pub use error::{Error, FieldViolation};
pub use live::{LiveClassifiers, LiveVersion};
pub use model_name::{ModelName, VersionName, VersionSelector};
