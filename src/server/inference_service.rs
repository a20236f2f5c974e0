//! `inference.GRPCInferenceService`: classification for clients of the Open Inference Protocol, such as Triton's and KServe's.

use std::sync::Arc;

use tonic::{Request, Response, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::Health;
use tonic_health::server::HealthService;
use tracing::Span;

use super::caller::admitted;
use crate::api::inference_pb::grpc_inference_service_server;
use crate::api::inference_pb::{
    ModelInferRequest, ModelInferResponse, ModelMetadataRequest, ModelMetadataResponse, ModelReadyRequest,
    ModelReadyResponse, ServerLiveRequest, ServerLiveResponse, ServerMetadataRequest, ServerMetadataResponse,
    ServerReadyRequest, ServerReadyResponse,
};
use crate::api::{inference_request, inference_response};
use crate::config::Limits;
use crate::service::{ClassifyService, Models};
use crate::telemetry::traces::record_answer;

/// The methods of `inference.GRPCInferenceService`.
#[derive(Debug)]
pub(super) struct InferenceService {
    pub(super) classify: Arc<ClassifyService>,
    pub(super) models: Arc<Models>,
    pub(super) health: HealthService,
    pub(super) limits: Limits,
}

#[tonic::async_trait]
impl grpc_inference_service_server::GrpcInferenceService for InferenceService {
    async fn server_live(&self, _: Request<ServerLiveRequest>) -> Result<Response<ServerLiveResponse>, Status> {
        Ok(Response::new(ServerLiveResponse { live: true }))
    }

    async fn server_ready(&self, _: Request<ServerReadyRequest>) -> Result<Response<ServerReadyResponse>, Status> {
        let health = self.health.check(Request::new(HealthCheckRequest::default())).await?;
        Ok(Response::new(ServerReadyResponse { ready: health.get_ref().status() == ServingStatus::Serving }))
    }

    async fn model_ready(&self, request: Request<ModelReadyRequest>) -> Result<Response<ModelReadyResponse>, Status> {
        let ModelReadyRequest { name, version } = admitted(request)?;
        let model = inference_request::model_name(&name, &version)?;
        let ready = self.models.resolve(&model).await.is_ok();
        Ok(Response::new(ModelReadyResponse { ready }))
    }

    async fn server_metadata(
        &self,
        request: Request<ServerMetadataRequest>,
    ) -> Result<Response<ServerMetadataResponse>, Status> {
        admitted(request)?;
        Ok(Response::new(inference_response::server_metadata()))
    }

    async fn model_metadata(
        &self,
        request: Request<ModelMetadataRequest>,
    ) -> Result<Response<ModelMetadataResponse>, Status> {
        let ModelMetadataRequest { name, version } = admitted(request)?;
        let model = inference_request::model_name(&name, &version)?;
        let version = self.models.resolve(&model).await?;
        Ok(Response::new(inference_response::model_metadata(&version)))
    }

    async fn model_infer(&self, request: Request<ModelInferRequest>) -> Result<Response<ModelInferResponse>, Status> {
        let call = inference_request::infer_call(admitted(request)?, &self.limits)?;
        let inference_request::InferCall { batch, outputs, is_raw, id } = call;
        let answers = self.classify.classify_batch(batch).await?;
        // A tensor has no place for one document's error.
        let answers = answers.into_iter().collect::<Result<Vec<_>, _>>()?;
        if let Some(answer) = answers.first() {
            record_answer(&Span::current(), &answer.version.name, answers.len());
        }
        Ok(Response::new(inference_response::model_infer(answers, &outputs, is_raw, id)))
    }
}
