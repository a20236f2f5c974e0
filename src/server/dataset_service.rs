//! `topicd.v1.DatasetService`.

use std::sync::Arc;

use futures_util::stream::{self, BoxStream, StreamExt};
use tonic::{Request, Response, Status, Streaming};

use super::caller::{Caller, admitted};
use super::drain::Draining;
use super::inbound::Inbound;
use super::status::Refusal;
use crate::api::dataset_request::MESSAGE_BYTES;
use crate::api::pb::{self, dataset_service_server};
use crate::api::train_request::ImportMessage;
use crate::api::{dataset_request, dataset_response, train_request};
use crate::config::Limits;
use crate::service::datasets::owner;
use crate::service::panic::panicked;
use crate::service::{self, DatasetService as Datasets};
use crate::store::{Examples, Import, ImportOutcome};

/// The most documents of one message of an export.
const MESSAGE_DOCUMENTS: u32 = 1000;

/// The methods of `topicd.v1.DatasetService`.
#[derive(Debug)]
pub(super) struct DatasetService {
    pub(super) datasets: Arc<Datasets>,
    pub(super) limits: Limits,
    pub(super) draining: Draining,
}

#[tonic::async_trait]
impl dataset_service_server::DatasetService for DatasetService {
    async fn import_examples(
        &self,
        request: Request<Streaming<pb::ImportExamplesRequest>>,
    ) -> Result<Response<pb::ImportExamplesResponse>, Status> {
        let messages = Inbound::new("ImportExamples", request, &self.draining)?;
        let (datasets, limits) = (Arc::clone(&self.datasets), self.limits);
        // On a task of its own: when the caller goes, what it has sent is deleted.
        let import = tokio::spawn(async move { import(&datasets, &limits, messages).await });
        let outcome = import.await.unwrap_or_else(|_| Err(panicked().into()))?;
        Ok(Response::new(dataset_response::import_examples(outcome)))
    }

    async fn submit_feedback(
        &self,
        request: Request<pb::SubmitFeedbackRequest>,
    ) -> Result<Response<pb::SubmitFeedbackResponse>, Status> {
        let caller = Caller::of(request.extensions())?;
        let (classifier, examples) = dataset_request::feedback(admitted(request)?, &self.limits)?;
        let outcome = self.datasets.add(classifier, caller.principal().as_deref().map(owner), examples).await?;
        Ok(Response::new(dataset_response::submit_feedback(outcome)))
    }

    async fn get_dataset(
        &self,
        request: Request<pb::GetDatasetRequest>,
    ) -> Result<Response<pb::GetDatasetResponse>, Status> {
        let (classifier, revision) = dataset_request::dataset(admitted(request)?)?;
        Ok(Response::new(dataset_response::dataset(self.datasets.dataset(&classifier, revision).await?)))
    }

    async fn list_examples(
        &self,
        request: Request<pb::ListExamplesRequest>,
    ) -> Result<Response<pb::ListExamplesResponse>, Status> {
        let call = dataset_request::list_call(admitted(request)?)?;
        Ok(Response::new(dataset_response::example_page(&self.datasets.list(call).await?)))
    }

    type ExportExamplesStream = BoxStream<'static, Result<pb::ExportExamplesResponse, Status>>;

    async fn export_examples(
        &self,
        request: Request<pb::ExportExamplesRequest>,
    ) -> Result<Response<Self::ExportExamplesStream>, Status> {
        let caller = Caller::of(request.extensions())?;
        let call = dataset_request::export_call(admitted(request)?)?;
        let examples = self.datasets.export(call).await?;
        let export = examples.map(|examples| Export { examples, draining: self.draining.clone(), caller });
        Ok(Response::new(stream::unfold(export, Export::next).boxed()))
    }

    async fn rename_topic(
        &self,
        request: Request<pb::RenameTopicRequest>,
    ) -> Result<Response<pb::RenameTopicResponse>, Status> {
        let call = dataset_request::rename_call(admitted(request)?)?;
        Ok(Response::new(dataset_response::renamed(self.datasets.rename(call).await?)))
    }

    async fn delete_examples(
        &self,
        request: Request<pb::DeleteExamplesRequest>,
    ) -> Result<Response<pb::DeleteExamplesResponse>, Status> {
        let call = dataset_request::delete_call(admitted(request)?)?;
        Ok(Response::new(dataset_response::deleted(self.datasets.delete(call).await?)))
    }

    async fn compact_storage(
        &self,
        request: Request<pb::CompactStorageRequest>,
    ) -> Result<Response<pb::CompactStorageResponse>, Status> {
        admitted(request)?;
        let (bytes_before, bytes_after) = self.datasets.compact().await?;
        Ok(Response::new(pb::CompactStorageResponse { bytes_before, bytes_after }))
    }
}

/// An `ExportExamples` call in progress.
struct Export {
    examples: Examples,
    draining: Draining,
    caller: Caller,
}

impl Export {
    /// The next documents, and the export unless it has ended.
    async fn next(this: Option<Self>) -> Option<(Result<pb::ExportExamplesResponse, Status>, Option<Self>)> {
        let mut this = this?;
        let batch = tokio::select! {
            biased;
            () = this.draining.clone().begun() => return Some((Err(Refusal::Draining.into()), None)),
            refusal = this.caller.ends() => return Some((Err(refusal.into()), None)),
            batch = this.examples.next_of(MESSAGE_DOCUMENTS, MESSAGE_BYTES) => batch,
        };
        match batch {
            Ok(batch) if batch.is_empty() => None,
            Ok(batch) => Some((Ok(dataset_response::json_lines(&batch)), Some(this))),
            Err(error) => Some((Err(service::Error::from(error).into()), None)),
        }
    }
}

/// Stages the messages' documents as they come, and publishes them at the end of the stream.
async fn import(
    datasets: &Datasets,
    limits: &Limits,
    mut messages: Inbound<pb::ImportExamplesRequest>,
) -> Result<ImportOutcome, Status> {
    // A stream without a message is told what the first one lacks.
    let first = messages.next().await?.unwrap_or_default();
    // Those that follow are for the same classifier, or refused.
    messages.caller().admit(&first)?;
    let ImportMessage { classifier, examples, mut more_follows } =
        train_request::import_message(first, None, 0, limits)?;
    let mut import = datasets.begin(&classifier, messages.caller().principal().as_deref().map(owner)).await?;
    let staged = async {
        let mut n_before = examples.len() as u64;
        datasets.stage(&mut import, &examples).await?;
        while let Some(message) = messages.next().await? {
            let message = train_request::import_message(message, Some(&classifier), n_before, limits)?;
            more_follows = message.more_follows;
            n_before += message.examples.len() as u64;
            datasets.stage(&mut import, &message.examples).await?;
        }
        if more_follows { Err(Status::from(train_request::ended_early())) } else { Ok(()) }
    };
    finish(datasets, staged.await, import).await
}

async fn finish(datasets: &Datasets, staged: Result<(), Status>, import: Import) -> Result<ImportOutcome, Status> {
    match staged {
        Ok(()) => Ok(datasets.publish(import).await?),
        Err(status) => {
            datasets.discard(import).await;
            Err(status)
        }
    }
}
