//! What runs: the live classifiers and the work that calls ask of them, free of gRPC and protobuf.
//!
//! A call arrives here checked, as a [`ClassifyCall`], [`TrainCall`] and so on that `api` made, and leaves as an answer or
//! an [`Error`]. Reading order: [`model_name`] (what callers name), [`live`] (the versions in memory), [`memory`] (how much
//! they may take), [`models`] (those that there are, and which answer), `loading` (how they get into memory), `readiness` (whether the default one answers), [`settings`] (what classifiers are told once), [`promotion`] (moves of the stable one),
//! [`deletion`], [`model_files`] (their files, out and in), [`workers`] (where long work runs, and how much of it is let in), [`classify`] (the
//! answer itself), [`traffic`] (what is learned from answering), [`monitoring`] (whether what is served is like training), [`topics`] (what a version knows of a topic), [`training`] (jobs
//! that make versions), [`gate`] (whether these answer), [`compare`] (which of two is better), [`evaluate`] (how good one is),
//! [`datasets`] (documents), [`erasure`] (documents that go), [`learned_terms`] (what versions keep of them).

mod built_in;
pub mod classify;
pub mod compare;
pub mod counters;
pub mod datasets;
pub mod deletion;
pub mod erasure;
pub mod error;
pub mod evaluate;
pub mod gate;
pub mod learned_terms;
pub mod live;
mod loading;
pub mod memory;
pub mod model_files;
pub mod model_name;
pub mod models;
pub mod monitoring;
pub mod out_of_fold;
pub mod panic;
pub mod promotion;
mod readiness;
pub mod retention;
pub mod retraining;
pub mod self_test;
pub mod settings;
pub mod topics;
pub mod traffic;
pub mod training;
pub mod version_details;
pub mod workers;

use std::sync::Arc;

use crate::artifact::Artifact;
use crate::config::ServeConfig;
use crate::store::{Store, StoreError};

pub use classify::{AcceptedDocument, Answer, BatchCall, ClassifyCall, ClassifyService, answer};
pub use compare::{CompareCall, CompareService, ComparedVersions, DifferingDocument};
pub use datasets::{DatasetService, ExamplePage, ExamplesCall, ListExamplesCall, RenameCall, Renamed};
pub use deletion::{DeleteCall, DeletedVersion};
pub use erasure::{DeleteExamplesCall, Deleted, erase};
pub use error::{Error, FieldViolation};
pub use evaluate::{EvaluateCall, EvaluatedVersion};
pub use learned_terms::LearnedTerms;
pub use live::{LiveClassifiers, LiveVersion};
pub use model_files::{BegunImport, ExportedVersion, FileImport, ImportCall, ModelFiles};
pub use model_name::{JobName, ModelName, VersionName, VersionSelector};
pub use models::Models;
pub use monitoring::{Monitoring, MonitoringReport, StabilityIndexes};
pub use promotion::{PromoteCall, RollbackCall};
pub use retraining::Retraining;
pub use settings::{
    ClassifierSettings, RetentionPolicy, RetrainingPolicy, ReviewSettings, ShadowSettings, UpdateSettingsCall,
};
pub use topics::{DescribeTopicCall, DescribedTopic};
pub use traffic::{DeleteReviewCall, Observer, ReviewCall, ReviewPage, ReviewPlace, UnknownTermsFound};
pub use training::TrainingService;
pub use training::call::{Scope, TrainCall, Validation};
pub use training::job::TrainingJob;
pub use version_details::{VersionDetails, VersionInfo};

/// Everything that answers calls.
#[derive(Debug, Clone)]
pub struct Services {
    /// Classifies.
    pub classify: Arc<ClassifyService>,
    /// Knows the versions, and which answer.
    pub models: Arc<Models>,
    /// Sends model files, and takes them in.
    pub model_files: Arc<ModelFiles>,
    /// Trains.
    pub training: Arc<TrainingService>,
    /// Compares and evaluates versions.
    pub compare: Arc<CompareService>,
    /// Keeps labelled documents.
    pub datasets: Arc<DatasetService>,
    /// What trains without being asked needs; see [`Self::retraining`].
    store: Store,
}

/// Why the services can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The operating system gives no more threads.
    #[error("the threads that classify and train can't be started")]
    Threads(#[from] rayon::ThreadPoolBuildError),
}

impl Services {
    /// Starts all services on one store; `built_in` is the model that `classifiers/default` begins with.
    ///
    /// # Errors
    /// The store fails, or there are no threads.
    pub async fn start(store: Store, built_in: Artifact, config: &ServeConfig) -> Result<Self, StartError> {
        let models = Arc::new(Models::open(store.clone(), built_in, config.limits.max_model_bytes).await?);
        let limits = &config.limits;
        let classify = ClassifyService::start(Arc::clone(&models), limits.max_documents_in_flight)?;
        let training = TrainingService::start(store.clone(), Arc::clone(&models), config.training_threads, *limits)?;
        let compare = CompareService::new(store.clone(), Arc::clone(&models), training.pool(), limits.max_topics);
        let model_files = Arc::new(ModelFiles::new(store.clone(), Arc::clone(&models), limits.max_artifact_bytes));
        let (classify, training, compare) = (Arc::new(classify), Arc::new(training), Arc::new(compare));
        let datasets = Arc::new(DatasetService::new(store.clone(), Arc::clone(&models), Arc::clone(&training)));
        Ok(Self { classify, models, model_files, training, compare, datasets, store })
    }

    /// What trains when it is due; somebody has to run it.
    pub fn retraining(&self) -> Retraining {
        Retraining::new(self.store.clone(), Arc::clone(&self.models), Arc::clone(&self.training))
    }

    /// What notes each hour what was served; somebody has to run it.
    pub fn monitoring(&self) -> Monitoring {
        Monitoring::new(Arc::clone(&self.models))
    }

    /// What looks at served documents; somebody has to run it.
    pub fn observer(&self) -> Observer {
        Observer::new(Arc::clone(&self.models), self.training.pool())
    }
}
