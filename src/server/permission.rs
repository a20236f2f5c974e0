//! Which role each call needs, and for what: the one table. `tests/integration/authorization.rs` goes through it by the services'
//! descriptors, so that a method without a row here has no answer.

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
    ($($message:ident: $($change:ident)? ($role:ident, $extent:expr $(, $n_documents:expr)?);)*) => {
        $(impl Guarded for pb::$message {
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
    ClassifyRequest: (Reader, |m| classifier_of(&m.model), |_| 1);
    BatchClassifyRequest: (Reader, |m| classifier_of(&m.model), |m| m.documents.len());
    StreamClassifyRequest: (Reader, |m| classifier_of(&m.model), |_| 1);

    // ModelService.
    GetServerInfoRequest: (Reader, |_| Extent::Any);
    ListClassifiersRequest: (Reader, |_| Extent::Any);
    GetClassifierRequest: (Reader, |m| classifier_of(&m.classifier));
    ListModelVersionsRequest: (Reader, |m| classifier_of(&m.classifier));
    GetModelVersionRequest: (Reader, |m| classifier_of(&m.model_version));
    DescribeTopicRequest: (Reader, |m| classifier_of(&m.model));
    GetMonitoringReportRequest: (Reader, |m| classifier_of(&m.model));
    GetTrainingJobRequest: (Trainer, |m| classifier_of(&m.training_job));
    ListTrainingJobsRequest: (Trainer, |m| classifier_of(&m.classifier));
    WatchTrainingJobRequest: (Trainer, |m| classifier_of(&m.training_job));
    CancelTrainingJobRequest: change (Trainer, |m| classifier_of(&m.training_job));
    ExportModelVersionRequest: (Trainer, |m| classifier_of(&m.model_version));
    EvaluateModelVersionRequest: (Trainer, |m| classifier_of(&m.model_version), |m| n_inline(m.inline_examples.as_ref()));
    UpdateClassifierSettingsRequest: change (Admin, |m| classifier_of(&m.classifier));
    PromoteModelVersionRequest: change (Admin, |m| classifier_of(&m.model_version));
    RollbackClassifierRequest: change (Admin, |m| classifier_of(&m.classifier));
    DeleteModelVersionRequest: change (Admin, |m| classifier_of(&m.model_version));
    ImportModelVersionRequest: change (Admin, |m| match &m.part {
        Some(pb::import_model_version_request::Part::File(file)) => classifier_of(&file.classifier),
        _ => Extent::Any,
    });

    // DatasetService.
    ImportExamplesRequest: change (Trainer, |m| classifier_of(&m.classifier));
    SubmitFeedbackRequest: change (Trainer, |m| classifier_of(&m.classifier));
    GetDatasetRequest: (Trainer, |m| classifier_of(&m.classifier));
    ListExamplesRequest: (Trainer, |m| classifier_of(&m.classifier));
    ExportExamplesRequest: (Trainer, |m| classifier_of(&m.classifier));
    RenameTopicRequest: change (Trainer, |m| classifier_of(&m.classifier));
    DeleteExamplesRequest: change (Admin, |m| classifier_of(&m.classifier));
    CompactStorageRequest: change (Admin, |_| Extent::Server);

    // TrafficService: what callers had classified.
    ListReviewCandidatesRequest: (Trainer, |m| classifier_of(&m.classifier));
    DeleteReviewCandidatesRequest: change (Trainer, |m| classifier_of(&m.classifier));
    ListUnknownTermsRequest: (Trainer, |m| classifier_of(&m.classifier));
    GetShadowReportRequest: (Reader, |m| classifier_of(&m.classifier));
}

impl Guarded for ModelReadyRequest {
    fn needs(&self) -> Permission {
        needs(Role::Reader, classifier_called(&self.name))
    }
}

impl Guarded for ServerMetadataRequest {
    fn needs(&self) -> Permission {
        needs(Role::Reader, Extent::Any)
    }
}

impl Guarded for ModelMetadataRequest {
    fn needs(&self) -> Permission {
        needs(Role::Reader, classifier_called(&self.name))
    }
}

impl Guarded for ModelInferRequest {
    fn needs(&self) -> Permission {
        // The first input's first dimension is the documents' number; one that isn't is refused before anything is classified.
        let n_documents = self.inputs.first().and_then(|input| usize::try_from(*input.shape.first()?).ok());
        let n_documents = n_documents.unwrap_or(0).min(Limits::MAX_BATCH_DOCUMENTS.get() as usize);
        needs(Role::Reader, classifier_called(&self.model_name)).documents(n_documents)
    }
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
