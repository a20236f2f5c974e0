//! Which role each message needs, and for what: the one table. `tests/integration/authorization.rs` has what it should be of each
//! method, and goes through all that the services' descriptors name.

use crate::access::{Extent, Role};
use crate::api::inference_pb::{ModelInferRequest, ModelMetadataRequest, ModelReadyRequest, ServerMetadataRequest};
use crate::api::pb;
use crate::config::Limits;
use crate::names::ClassifierName;

/// What is needed for a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Permission {
    pub(super) role: Role,
    pub(super) extent: Extent,
    /// What it is needed for besides.
    pub(super) other: Option<Extent>,
    /// Whether something is another way after it; the audit log has such calls.
    pub(super) is_change: bool,
    /// Documents that are classified for it.
    pub(super) n_documents: usize,
}

/// A message that somebody has to be allowed to send.
pub(super) trait Guarded {
    /// What it needs.
    fn needs(&self) -> Permission;
}

fn needs(role: Role, extent: Extent) -> Permission {
    Permission { role, extent, other: None, is_change: false, n_documents: 0 }
}

impl Permission {
    fn change(self) -> Self {
        Self { is_change: true, ..self }
    }

    fn documents(self, n_documents: usize) -> Self {
        Self { n_documents, ..self }
    }
}

/// The classifier of a resource's name such as `classifiers/desk/versions/3`. A name that can't be read is nobody's: who has the role
/// for any classifier is told what is wrong with it, and nobody else.
fn classifier_of(resource: &str) -> Extent {
    if resource.is_empty() {
        return Extent::Classifier(ClassifierName::default());
    }
    let name = resource.strip_prefix("classifiers/").and_then(|rest| rest.split('/').next()?.parse().ok());
    name.map_or(Extent::Any, Extent::Classifier)
}

/// The classifier of a bare name, as the Open Inference Protocol has it.
fn classifier_called(name: &str) -> Extent {
    name.parse().map_or(Extent::Any, Extent::Classifier)
}

/// Rows of the table: the message, `change` if it is one, the role, what for, and the documents that it has classified.
macro_rules! table {
    ($($message:ty: $($change:ident)? ($role:ident, $extent:expr $(, $n_documents:expr)?);)*) => {
        $(impl Guarded for $message {
            fn needs(&self) -> Permission {
                let extent: fn(&Self) -> Extent = $extent;
                needs(Role::$role, extent(self))$(.$change())?$(.documents({
                    let n_documents: fn(&Self) -> usize = $n_documents;
                    n_documents(self)
                }))?
            }
        })*
    };
}

table! {
    // ClassifierService, but for Train.
    pb::ClassifyRequest: (Reader, |m| classifier_of(&m.model), |_| 1);
    pb::BatchClassifyRequest: (Reader, |m| classifier_of(&m.model), |m| m.documents.len());
    pb::StreamClassifyRequest: (Reader, |m| classifier_of(&m.model), |_| 1);

    // ModelService.
    pb::GetServerInfoRequest: (Reader, |_| Extent::Any);
    pb::ListClassifiersRequest: (Reader, |_| Extent::Any);
    pb::GetClassifierRequest: (Reader, |m| classifier_of(&m.classifier));
    pb::ListModelVersionsRequest: (Reader, |m| classifier_of(&m.classifier));
    pb::GetModelVersionRequest: (Reader, |m| classifier_of(&m.model_version));
    pb::DescribeTopicRequest: (Reader, |m| classifier_of(&m.model));
    pb::GetMonitoringReportRequest: (Reader, |m| classifier_of(&m.model));
    pb::GetTrainingJobRequest: (Trainer, |m| classifier_of(&m.training_job));
    pb::ListTrainingJobsRequest: (Trainer, |m| classifier_of(&m.classifier));
    pb::WatchTrainingJobRequest: (Trainer, |m| classifier_of(&m.training_job));
    pb::CancelTrainingJobRequest: change (Trainer, |m| classifier_of(&m.training_job));
    pb::ExportModelVersionRequest: (Trainer, |m| classifier_of(&m.model_version));
    pb::EvaluateModelVersionRequest: (Trainer, |m| classifier_of(&m.model_version), |m| n_inline(m.inline_examples.as_ref()));
    pb::UpdateClassifierSettingsRequest: change (Admin, |m| classifier_of(&m.classifier));
    pb::PromoteModelVersionRequest: change (Admin, |m| classifier_of(&m.model_version));
    pb::RollbackClassifierRequest: change (Admin, |m| classifier_of(&m.classifier));
    pb::DeleteModelVersionRequest: change (Admin, |m| classifier_of(&m.model_version));
    pb::ImportModelVersionRequest: change (Admin, |m| match &m.part {
        Some(pb::import_model_version_request::Part::File(file)) => classifier_of(&file.classifier),
        _ => Extent::Any,
    });

    // DatasetService.
    pb::ImportExamplesRequest: change (Trainer, |m| classifier_of(&m.classifier));
    pb::SubmitFeedbackRequest: change (Trainer, |m| classifier_of(&m.classifier));
    pb::GetDatasetRequest: (Trainer, |m| classifier_of(&m.classifier));
    pb::ListExamplesRequest: (Trainer, |m| classifier_of(&m.classifier));
    pb::ExportExamplesRequest: (Trainer, |m| classifier_of(&m.classifier));
    pb::RenameTopicRequest: change (Trainer, |m| classifier_of(&m.classifier));
    pb::DeleteExamplesRequest: change (Admin, |m| classifier_of(&m.classifier));
    pb::CompactStorageRequest: change (Admin, |_| Extent::Server);

    // TrafficService: what callers had classified.
    pb::ListReviewCandidatesRequest: (Trainer, |m| classifier_of(&m.classifier));
    pb::DeleteReviewCandidatesRequest: change (Trainer, |m| classifier_of(&m.classifier));
    pb::ListUnknownTermsRequest: (Trainer, |m| classifier_of(&m.classifier));
    pb::GetShadowReportRequest: (Reader, |m| classifier_of(&m.classifier));

    // The Open Inference Protocol. Whether the server is live and ready needs nothing.
    ModelReadyRequest: (Reader, |m| classifier_called(&m.name));
    ServerMetadataRequest: (Reader, |_| Extent::Any);
    ModelMetadataRequest: (Reader, |m| classifier_called(&m.name));
    ModelInferRequest: (Reader, |m| classifier_called(&m.model_name), n_inputs);
}

impl Guarded for pb::TrainRequest {
    /// Rules of the caller's own, by which the version is judged when it is trained and when it is promoted, are as good as
    /// promoting it.
    fn needs(&self) -> Permission {
        let role = if self.promotion_policy.is_some() { Role::Admin } else { Role::Trainer };
        Permission { is_change: !self.validate_only, ..needs(role, classifier_of(&self.classifier)) }
    }
}

impl Guarded for pb::CompareModelVersionsRequest {
    /// The two versions may be of two classifiers.
    fn needs(&self) -> Permission {
        let Self { model_version_a, model_version_b, inline_examples } = self;
        let permission =
            needs(Role::Trainer, classifier_of(model_version_a)).documents(n_inline(inline_examples.as_ref()));
        Permission { other: Some(classifier_of(model_version_b)), ..permission }
    }
}

fn n_inline(examples: Option<&pb::InlineExamples>) -> usize {
    examples.map_or(0, |inline| inline.examples.len())
}

/// The first input's first dimension; one that isn't the documents' number is refused before anything is classified.
fn n_inputs(message: &ModelInferRequest) -> usize {
    let n_documents = message.inputs.first().and_then(|input| usize::try_from(*input.shape.first()?).ok());
    n_documents.unwrap_or(0).min(Limits::MAX_BATCH_DOCUMENTS.get() as usize)
}
