//! Versions wherever they are: the same questions to a server, and to the services on a data directory's store.

use std::error::Error;
use std::sync::Arc;

use tonic::{Response, Status};

use crate::api::pb::model_service_client::ModelServiceClient;
use crate::api::{comparison_response, model_request, model_response, pb};
use crate::cli::place::{Place, PlaceArgs};
use crate::cli::remote::{self, Remote};
use crate::config::Limits;
use crate::service::{CompareService, Models};
use crate::store::Store;

/// Versions of one page.
const PAGE: u32 = 100;

/// Where the versions are.
pub(super) enum Versions {
    Here { store: Store, models: Arc<Models> },
    Server(ModelServiceClient<Remote>),
}

type Result<T> = std::result::Result<T, Box<dyn Error>>;

impl Versions {
    pub(super) async fn open(place: &PlaceArgs) -> Result<Self> {
        match place.open().await? {
            Place::Server(channel) => {
                let client = ModelServiceClient::new(channel);
                Ok(Self::Server(client.max_decoding_message_size(remote::MAX_ANSWER_BYTES)))
            }
            Place::Store(store) => {
                let models = Arc::new(Models::of_store(store.clone()).await?);
                Ok(Self::Here { store, models })
            }
        }
    }

    pub(super) async fn classifiers(&mut self) -> Result<Vec<pb::Classifier>> {
        match self {
            Self::Server(client) => Ok(said(client.list_classifiers(pb::ListClassifiersRequest {}).await)?.classifiers),
            Self::Here { models, .. } => {
                let records = models.classifiers().await?;
                Ok(records.iter().map(model_response::classifier).collect::<std::result::Result<_, _>>()?)
            }
        }
    }

    /// All versions of a classifier, newest first, without what is large.
    pub(super) async fn of(&mut self, classifier: &str) -> Result<Vec<pb::ModelVersion>> {
        let mut versions = Vec::new();
        match self {
            Self::Server(client) => {
                let mut page_token = String::new();
                loop {
                    let request =
                        pb::ListModelVersionsRequest { classifier: classifier.to_owned(), page_size: PAGE, page_token };
                    let page = said(client.list_model_versions(request).await)?;
                    versions.extend(page.model_versions);
                    page_token = page.next_page_token;
                    if page_token.is_empty() {
                        return Ok(versions);
                    }
                }
            }
            Self::Here { models, .. } => {
                let (name, mut below) = (model_request::classifier(classifier)?, None);
                loop {
                    let page = models.versions(&name, below, PAGE).await?;
                    let Some(last) = page.last() else { return Ok(versions) };
                    below = Some(last.record.number.get());
                    versions.extend(page.into_iter().map(model_response::listed_version));
                }
            }
        }
    }

    pub(super) async fn version(&mut self, name: &str) -> Result<pb::ModelVersion> {
        match self {
            Self::Server(client) => {
                let request = pb::GetModelVersionRequest { model_version: name.to_owned() };
                Ok(said(client.get_model_version(request).await)?.model_version.unwrap_or_default())
            }
            Self::Here { models, .. } => {
                Ok(model_response::model_version(models.version(&model_request::model_version(name)?).await?))
            }
        }
    }

    /// Two versions of one classifier, on all of its stored documents.
    pub(super) async fn compare(&mut self, first: &str, second: &str) -> Result<pb::CompareModelVersionsResponse> {
        let request = pb::CompareModelVersionsRequest {
            model_version_a: first.to_owned(),
            model_version_b: second.to_owned(),
            inline_examples: None,
        };
        match self {
            Self::Server(client) => said(client.compare_model_versions(request).await),
            Self::Here { store, models } => {
                let limits = Limits::default();
                let call = model_request::compare_call(request, &limits)?;
                let pool = Arc::new(rayon::ThreadPoolBuilder::new().build()?);
                let service = CompareService::new(store.clone(), Arc::clone(models), pool, limits.max_topics);
                Ok(comparison_response::compared_versions(service.compare(call).await?))
            }
        }
    }

    pub(super) async fn promote(&mut self, name: &str, force: bool) -> Result<pb::Classifier> {
        let request = pb::PromoteModelVersionRequest { model_version: name.to_owned(), force, ..Default::default() };
        match self {
            Self::Server(client) => {
                Ok(said(client.promote_model_version(request).await)?.classifier.unwrap_or_default())
            }
            Self::Here { models, .. } => {
                Ok(model_response::classifier(&models.promote(model_request::promote_call(request)?).await?)?)
            }
        }
    }

    pub(super) async fn roll_back(&mut self, classifier: String) -> Result<pb::Classifier> {
        let request = pb::RollbackClassifierRequest { classifier, ..Default::default() };
        match self {
            Self::Server(client) => Ok(said(client.rollback_classifier(request).await)?.classifier.unwrap_or_default()),
            Self::Here { models, .. } => {
                Ok(model_response::classifier(&models.rollback(model_request::rollback_call(request)?).await?)?)
            }
        }
    }

    pub(super) async fn delete(&mut self, name: &str) -> Result<pb::DeleteModelVersionResponse> {
        let request = pb::DeleteModelVersionRequest { model_version: name.to_owned(), ..Default::default() };
        match self {
            Self::Server(client) => said(client.delete_model_version(request).await),
            Self::Here { models, .. } => {
                Ok(model_response::deleted_version(models.delete(model_request::delete_call(request)?).await?)?)
            }
        }
    }
}

/// A server's answer, or its refusal in words.
pub(super) fn said<T>(answer: std::result::Result<Response<T>, Status>) -> Result<T> {
    Ok(answer.map_err(|status| remote::refusal(&status))?.into_inner())
}
