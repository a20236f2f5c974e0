//! `topicd.v1.ModelService`.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use crate::api::pb::{self, model_service_server};
use crate::api::response;
use crate::config::Limits;
use crate::service::ClassifyService;

/// The methods of `topicd.v1.ModelService`.
#[derive(Debug)]
pub(super) struct ModelService {
    pub(super) classify: Arc<ClassifyService>,
    pub(super) limits: Limits,
}

#[tonic::async_trait]
impl model_service_server::ModelService for ModelService {
    async fn get_server_info(
        &self,
        _: Request<pb::GetServerInfoRequest>,
    ) -> Result<Response<pb::GetServerInfoResponse>, Status> {
        Ok(Response::new(response::server_info(&self.limits, self.classify.live().versions())))
    }
}
