//! `topicd.v1.TrafficService`.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::caller::admitted;
use crate::api::pb::{self, traffic_service_server};
use crate::api::{model_request, traffic_request, traffic_response};
use crate::service::Models;

/// The methods of `topicd.v1.TrafficService`.
#[derive(Debug)]
pub(super) struct TrafficService {
    pub(super) models: Arc<Models>,
}

#[tonic::async_trait]
impl traffic_service_server::TrafficService for TrafficService {
    async fn list_review_candidates(
        &self,
        request: Request<pb::ListReviewCandidatesRequest>,
    ) -> Result<Response<pb::ListReviewCandidatesResponse>, Status> {
        let call = traffic_request::review_call(admitted(request)?)?;
        Ok(Response::new(traffic_response::review_page(self.models.review_candidates(call).await?)))
    }

    async fn delete_review_candidates(
        &self,
        request: Request<pb::DeleteReviewCandidatesRequest>,
    ) -> Result<Response<pb::DeleteReviewCandidatesResponse>, Status> {
        let call = traffic_request::delete_review_call(admitted(request)?)?;
        let deleted_count = self.models.delete_review_candidates(call).await? as u32;
        Ok(Response::new(pb::DeleteReviewCandidatesResponse { deleted_count }))
    }

    async fn list_unknown_terms(
        &self,
        request: Request<pb::ListUnknownTermsRequest>,
    ) -> Result<Response<pb::ListUnknownTermsResponse>, Status> {
        let (classifier, max_terms) = traffic_request::unknown_terms(&admitted(request)?)?;
        Ok(Response::new(traffic_response::unknown_terms(self.models.unknown_terms(classifier, max_terms).await?)))
    }

    async fn get_shadow_report(
        &self,
        request: Request<pb::GetShadowReportRequest>,
    ) -> Result<Response<pb::GetShadowReportResponse>, Status> {
        let classifier = model_request::classifier(&admitted(request)?.classifier)?;
        let report = self.models.shadow_report(&classifier).await?;
        let report = report.map(|report| traffic_response::shadow_report(&classifier, report));
        Ok(Response::new(pb::GetShadowReportResponse { report }))
    }
}
