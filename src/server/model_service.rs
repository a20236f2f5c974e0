//! `topicd.v1.ModelService`.

use std::sync::Arc;

use futures_util::stream::{self, BoxStream, StreamExt};
use tokio::sync::watch;
use tonic::{Request, Response, Status, Streaming};

use super::caller::{Caller, admitted};
use super::drain::Draining;
use super::inbound::Inbound;
use super::model_files;
use super::status::Refusal;
use crate::api::pb::{self, model_service_server};
use crate::api::{
    comparison_response, model_request, model_response, monitoring_response, response, settings, topic_response,
};
use crate::config::{ConnectionLimits, Limits};
use crate::service::panic::panicked;
use crate::service::{ClassifyService, CompareService, ModelFiles, Models, TrainingJob, TrainingService};

/// The methods of `topicd.v1.ModelService`.
#[derive(Debug)]
pub(super) struct ModelService {
    pub(super) classify: Arc<ClassifyService>,
    pub(super) compare: Arc<CompareService>,
    pub(super) models: Arc<Models>,
    pub(super) model_files: Arc<ModelFiles>,
    pub(super) training: Arc<TrainingService>,
    pub(super) limits: Limits,
    pub(super) connections: ConnectionLimits,
    pub(super) draining: Draining,
}

#[tonic::async_trait]
impl model_service_server::ModelService for ModelService {
    async fn get_server_info(
        &self,
        request: Request<pb::GetServerInfoRequest>,
    ) -> Result<Response<pb::GetServerInfoResponse>, Status> {
        let caller = Caller::of(request.extensions())?;
        admitted(request)?;
        let size = self.models.store_size().await?;
        let mut loaded = self.models.loaded();
        loaded.retain(|version| caller.may_read(&version.name.classifier));
        Ok(Response::new(response::server_info(&self.limits, &self.connections, &loaded, size)))
    }

    async fn list_classifiers(
        &self,
        request: Request<pb::ListClassifiersRequest>,
    ) -> Result<Response<pb::ListClassifiersResponse>, Status> {
        let caller = Caller::of(request.extensions())?;
        admitted(request)?;
        let mut classifiers = self.models.classifiers().await?;
        classifiers.retain(|classifier| caller.may_read(&classifier.name));
        let classifiers = classifiers.iter().map(model_response::classifier).collect::<Result<_, _>>()?;
        Ok(Response::new(pb::ListClassifiersResponse { classifiers }))
    }

    async fn get_classifier(
        &self,
        request: Request<pb::GetClassifierRequest>,
    ) -> Result<Response<pb::GetClassifierResponse>, Status> {
        let name = model_request::classifier(&admitted(request)?.classifier)?;
        let classifier = model_response::classifier(&self.models.classifier(&name).await?)?;
        Ok(Response::new(pb::GetClassifierResponse { classifier: Some(classifier) }))
    }

    async fn update_classifier_settings(
        &self,
        request: Request<pb::UpdateClassifierSettingsRequest>,
    ) -> Result<Response<pb::UpdateClassifierSettingsResponse>, Status> {
        let call = settings::update_settings_call(admitted(request)?)?;
        let classifier = model_response::classifier(&self.models.update_settings(call).await?)?;
        Ok(Response::new(pb::UpdateClassifierSettingsResponse { classifier: Some(classifier) }))
    }

    async fn list_model_versions(
        &self,
        request: Request<pb::ListModelVersionsRequest>,
    ) -> Result<Response<pb::ListModelVersionsResponse>, Status> {
        let pb::ListModelVersionsRequest { classifier, page_size, page_token } = admitted(request)?;
        let page = model_request::page(&classifier, page_size, &page_token)?;
        let mut versions = self.models.versions(&page.classifier, page.below, page.size + 1).await?;
        let next_page_token = cut_page(&mut versions, page.size, |version| version.record.number.get());
        let model_versions = versions.into_iter().map(model_response::listed_version).collect();
        Ok(Response::new(pb::ListModelVersionsResponse { model_versions, next_page_token }))
    }

    async fn get_model_version(
        &self,
        request: Request<pb::GetModelVersionRequest>,
    ) -> Result<Response<pb::GetModelVersionResponse>, Status> {
        let name = model_request::model_version(&admitted(request)?.model_version)?;
        let version = model_response::model_version(self.models.version(&name).await?);
        Ok(Response::new(pb::GetModelVersionResponse { model_version: Some(version) }))
    }

    async fn promote_model_version(
        &self,
        request: Request<pb::PromoteModelVersionRequest>,
    ) -> Result<Response<pb::PromoteModelVersionResponse>, Status> {
        let call = model_request::promote_call(admitted(request)?)?;
        let classifier = model_response::classifier(&self.models.promote(call).await?)?;
        Ok(Response::new(pb::PromoteModelVersionResponse { classifier: Some(classifier) }))
    }

    async fn rollback_classifier(
        &self,
        request: Request<pb::RollbackClassifierRequest>,
    ) -> Result<Response<pb::RollbackClassifierResponse>, Status> {
        let call = model_request::rollback_call(admitted(request)?)?;
        let classifier = model_response::classifier(&self.models.rollback(call).await?)?;
        Ok(Response::new(pb::RollbackClassifierResponse { classifier: Some(classifier) }))
    }

    async fn delete_model_version(
        &self,
        request: Request<pb::DeleteModelVersionRequest>,
    ) -> Result<Response<pb::DeleteModelVersionResponse>, Status> {
        let call = model_request::delete_call(admitted(request)?)?;
        Ok(Response::new(model_response::deleted_version(self.models.delete(call).await?)?))
    }

    type ExportModelVersionStream = BoxStream<'static, Result<pb::ExportModelVersionResponse, Status>>;

    async fn export_model_version(
        &self,
        request: Request<pb::ExportModelVersionRequest>,
    ) -> Result<Response<Self::ExportModelVersionStream>, Status> {
        let caller = Caller::of(request.extensions())?;
        let name = model_request::model_version(&admitted(request)?.model_version)?;
        Ok(Response::new(model_files::export(self.model_files.export(&name).await?, caller)))
    }

    async fn import_model_version(
        &self,
        request: Request<Streaming<pb::ImportModelVersionRequest>>,
    ) -> Result<Response<pb::ImportModelVersionResponse>, Status> {
        let messages = Inbound::new("ImportModelVersion", request, &self.draining)?;
        let (files, limits) = (Arc::clone(&self.model_files), self.limits);
        // On a task of its own: a version that is stored is taken into memory also when its caller is gone by then.
        let import = tokio::spawn(async move { model_files::import(&files, &limits, messages).await });
        let version = model_response::model_version(import.await.unwrap_or_else(|_| Err(panicked().into()))?);
        Ok(Response::new(pb::ImportModelVersionResponse { model_version: Some(version) }))
    }

    async fn evaluate_model_version(
        &self,
        request: Request<pb::EvaluateModelVersionRequest>,
    ) -> Result<Response<pb::EvaluateModelVersionResponse>, Status> {
        let call = model_request::evaluate_call(admitted(request)?, &self.limits)?;
        Ok(Response::new(comparison_response::evaluated_version(self.compare.evaluate(call).await?)))
    }

    async fn compare_model_versions(
        &self,
        request: Request<pb::CompareModelVersionsRequest>,
    ) -> Result<Response<pb::CompareModelVersionsResponse>, Status> {
        let call = model_request::compare_call(admitted(request)?, &self.limits)?;
        let compared = self.compare.compare(call).await?;
        Ok(Response::new(comparison_response::compared_versions(compared)))
    }

    async fn describe_topic(
        &self,
        request: Request<pb::DescribeTopicRequest>,
    ) -> Result<Response<pb::DescribeTopicResponse>, Status> {
        let call = model_request::describe_topic_call(admitted(request)?)?;
        let described = self.classify.describe_topic(call).await?;
        Ok(Response::new(topic_response::described_topic(described)))
    }

    async fn get_monitoring_report(
        &self,
        request: Request<pb::GetMonitoringReportRequest>,
    ) -> Result<Response<pb::GetMonitoringReportResponse>, Status> {
        let model = model_request::model(&admitted(request)?.model)?;
        Ok(Response::new(monitoring_response::monitoring_report(self.models.monitoring_report(&model).await?)))
    }

    async fn get_training_job(
        &self,
        request: Request<pb::GetTrainingJobRequest>,
    ) -> Result<Response<pb::GetTrainingJobResponse>, Status> {
        let name = model_request::training_job(&admitted(request)?.training_job)?;
        let job = model_response::training_job(self.training.job(&name).await?);
        Ok(Response::new(pb::GetTrainingJobResponse { training_job: Some(job) }))
    }

    async fn list_training_jobs(
        &self,
        request: Request<pb::ListTrainingJobsRequest>,
    ) -> Result<Response<pb::ListTrainingJobsResponse>, Status> {
        let pb::ListTrainingJobsRequest { classifier, page_size, page_token } = admitted(request)?;
        let page = model_request::page(&classifier, page_size, &page_token)?;
        let mut jobs = self.training.jobs(&page.classifier, page.below, page.size + 1).await?;
        let next_page_token = cut_page(&mut jobs, page.size, |job| job.name.number.get());
        let training_jobs = jobs.into_iter().map(model_response::listed_job).collect();
        Ok(Response::new(pb::ListTrainingJobsResponse { training_jobs, next_page_token }))
    }

    type WatchTrainingJobStream = BoxStream<'static, Result<pb::WatchTrainingJobResponse, Status>>;

    async fn watch_training_job(
        &self,
        request: Request<pb::WatchTrainingJobRequest>,
    ) -> Result<Response<Self::WatchTrainingJobStream>, Status> {
        let caller = Caller::of(request.extensions())?;
        let name = model_request::training_job(&admitted(request)?.training_job)?;
        let job = self.training.watch(&name).await?;
        let job = JobStream { job, is_first: true, draining: self.draining.clone(), caller };
        Ok(Response::new(stream::unfold(Some(job), JobStream::next).boxed()))
    }

    async fn cancel_training_job(
        &self,
        request: Request<pb::CancelTrainingJobRequest>,
    ) -> Result<Response<pb::CancelTrainingJobResponse>, Status> {
        let name = model_request::training_job(&admitted(request)?.training_job)?;
        let job = model_response::training_job(self.training.cancel(&name).await?);
        Ok(Response::new(pb::CancelTrainingJobResponse { training_job: Some(job) }))
    }
}

/// Cuts a page, of which one entry too many was read, to its size, and says where the next one begins.
fn cut_page<T>(entries: &mut Vec<T>, size: u32, number: impl Fn(&T) -> u32) -> String {
    let has_more = entries.len() > size as usize;
    entries.truncate(size as usize);
    entries.last().filter(|_| has_more).map(|last| number(last).to_string()).unwrap_or_default()
}

/// A `WatchTrainingJob` call in progress.
struct JobStream {
    job: watch::Receiver<TrainingJob>,
    is_first: bool,
    draining: Draining,
    caller: Caller,
}

impl JobStream {
    /// The job as it is now or after the next change, and the stream unless the job has ended.
    async fn next(this: Option<Self>) -> Option<(Result<pb::WatchTrainingJobResponse, Status>, Option<Self>)> {
        let mut this = this?;
        if !this.is_first {
            tokio::select! {
                biased;
                // An error says that the job's last state was seen.
                changed = this.job.changed() => changed.ok()?,
                () = this.draining.clone().begun() => return Some((Err(Refusal::Draining.into()), None)),
                refusal = this.caller.ends() => return Some((Err(refusal.into()), None)),
            }
        }
        this.is_first = false;
        let job = this.job.borrow_and_update().clone();
        let has_ended = job.has_ended();
        let response = pb::WatchTrainingJobResponse { training_job: Some(model_response::training_job(job)) };
        Some((Ok(response), (!has_ended).then_some(this)))
    }
}
