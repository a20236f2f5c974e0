//! `topicd.v1.ClassifierService`.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, BoxStream, StreamExt};
use tonic::{Request, Response, Status, Streaming};
use tracing::Span;

use super::caller::{Caller, admitted};
use super::deadline::Deadline;
use super::drain::Draining;
use super::inbound::Inbound;
use super::status::{Refusal, rpc_status};
use crate::api::pb::batch_classify_result::Result as BatchResult;
use crate::api::pb::stream_classify_response::Result as StreamResult;
use crate::api::pb::{self, classifier_service_server};
use crate::api::{model_response, request, response, train_request};
use crate::config::Limits;
use crate::service::panic::catch_async;
use crate::service::{ClassifyService, LiveVersion, TrainingService};
use crate::telemetry::traces::record_answer;

/// What is left of a call's time for the answer of a caller who waits for a training.
const REPLY_TIME: Duration = Duration::from_millis(200);

/// The methods of `topicd.v1.ClassifierService`.
#[derive(Debug, Clone)]
pub(super) struct ClassifierService {
    pub(super) classify: Arc<ClassifyService>,
    pub(super) training: Arc<TrainingService>,
    pub(super) limits: Limits,
    pub(super) draining: Draining,
}

#[tonic::async_trait]
impl classifier_service_server::ClassifierService for ClassifierService {
    async fn classify(&self, request: Request<pb::ClassifyRequest>) -> Result<Response<pb::ClassifyResponse>, Status> {
        let call = request::classify_call(admitted(request)?, &self.limits)?;
        let answer = self.classify.classify(call).await?;
        record_answer(&Span::current(), &answer.version.name, 1);
        Ok(Response::new(response::classify_response(answer)))
    }

    async fn batch_classify(
        &self,
        request: Request<pb::BatchClassifyRequest>,
    ) -> Result<Response<pb::BatchClassifyResponse>, Status> {
        let call = request::batch_call(admitted(request)?, &self.limits)?;
        let answers = self.classify.classify_batch(call).await?;
        if let Some(answer) = answers.iter().flatten().next() {
            record_answer(&Span::current(), &answer.version.name, answers.len());
        }
        let results = answers.into_iter().map(|answer| {
            let result = match answer {
                Ok(answer) => BatchResult::Response(response::classify_response(answer)),
                Err(error) => BatchResult::Error(rpc_status(error)),
            };
            pb::BatchClassifyResult { result: Some(result) }
        });
        Ok(Response::new(pb::BatchClassifyResponse { results: results.collect() }))
    }

    type StreamClassifyStream = BoxStream<'static, Result<pb::StreamClassifyResponse, Status>>;

    async fn stream_classify(
        &self,
        request: Request<Streaming<pb::StreamClassifyRequest>>,
    ) -> Result<Response<Self::StreamClassifyStream>, Status> {
        let inbound = Inbound::new("StreamClassify", request, &self.draining)?;
        let documents =
            DocumentStream { service: self.clone(), inbound, n_answered: 0, version: None, span: Span::current() };
        Ok(Response::new(stream::unfold(Some(documents), DocumentStream::next).boxed()))
    }

    async fn train(&self, request: Request<pb::TrainRequest>) -> Result<Response<pb::TrainResponse>, Status> {
        let deadline = request.extensions().get::<Deadline>().copied().unwrap_or_default();
        let caller = Caller::of(request.extensions())?;
        let request = admitted(request)?;
        let is_validation = request.validate_only;
        let mut call = train_request::train_call(request, &self.limits)?;
        call.requester = caller.principal();
        if is_validation {
            let validation = model_response::validation(self.training.validate(&call).await?);
            return Ok(Response::new(pb::TrainResponse { training_job: None, validation: Some(validation) }));
        }
        // An answer that comes after the deadline is none.
        call.wait = call.wait.min(deadline.remaining().saturating_sub(REPLY_TIME));
        let job = model_response::training_job(self.training.train(call).await?);
        Ok(Response::new(pb::TrainResponse { training_job: Some(job), validation: None }))
    }
}

/// A `StreamClassify` call in progress. It reads a document when the answer to the one before has been taken, so a
/// caller who doesn't read isn't read from.
struct DocumentStream {
    service: ClassifierService,
    inbound: Inbound<pb::StreamClassifyRequest>,
    n_answered: usize,
    /// What answered last.
    version: Option<Arc<LiveVersion>>,
    /// The call's.
    span: Span,
}

impl DocumentStream {
    /// The answer to the next document, and the stream unless that was its end.
    async fn next(this: Option<Self>) -> Option<(Result<pb::StreamClassifyResponse, Status>, Option<Self>)> {
        let mut this = this?;
        match this.inbound.next().await {
            Ok(Some(request)) => Some((Ok(this.answer(request).await), Some(this))),
            Ok(None) => None,
            Err(status) => Some((Err(status), None)),
        }
    }

    /// One document's answer or error, whatever happens.
    async fn answer(&mut self, request: pb::StreamClassifyRequest) -> pb::StreamClassifyResponse {
        // A caller who sends and reads fast keeps this task always ready: let others have the thread at times.
        tokio::task::coop::consume_budget().await;
        self.n_answered += 1;
        let caller = self.inbound.caller().clone();
        let answer = catch_async(async {
            caller.admit(&request)?;
            let call = request::stream_call(request, &self.service.limits)?;
            Ok(self.service.classify.classify(call).await?)
        });
        let result = match answer.await.map_err(Refusal::from).and_then(|answer: Result<_, Refusal>| answer) {
            Ok(answer) => {
                self.version = Some(Arc::clone(&answer.version));
                StreamResult::Response(response::classify_response(answer))
            }
            Err(refusal) => StreamResult::Error(rpc_status(refusal)),
        };
        pb::StreamClassifyResponse { result: Some(result) }
    }
}

impl Drop for DocumentStream {
    fn drop(&mut self) {
        if let Some(version) = &self.version {
            record_answer(&self.span, &version.name, self.n_answered);
        }
        tracing::debug!(n_documents = self.n_answered, "StreamClassify ended");
    }
}
