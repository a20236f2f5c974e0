//! `topicd.v1.DatasetService`.

use std::sync::Arc;

use tonic::{Request, Response, Status, Streaming};

use super::drain::Draining;
use super::inbound::Inbound;
use super::status::Refusal;
use crate::api::pb::{self, dataset_service_server};
use crate::api::train_request::ImportMessage;
use crate::api::{model_response, train_request};
use crate::config::Limits;
use crate::service::DatasetService as Datasets;
use crate::service::panic::panicked;
use crate::store::{Import, ImportOutcome};

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
        let messages = Inbound::new("ImportExamples", request, &self.draining);
        let (datasets, limits) = (Arc::clone(&self.datasets), self.limits);
        // On a task of its own: when the caller goes, what it has sent is deleted.
        let import = tokio::spawn(async move { import(&datasets, &limits, messages).await });
        let outcome = import.await.unwrap_or_else(|_| Err(panicked().into()))?;
        Ok(Response::new(model_response::import_examples(outcome)))
    }
}

/// Stages the messages' documents as they come, and publishes them at the end of the stream.
async fn import(
    datasets: &Datasets,
    limits: &Limits,
    mut messages: Inbound<pb::ImportExamplesRequest>,
) -> Result<ImportOutcome, Refusal> {
    // A stream without a message is told what the first one lacks.
    let first = messages.next().await?.unwrap_or_default();
    let ImportMessage { classifier, examples, mut more_follows } =
        train_request::import_message(first, None, 0, limits)?;
    let mut import = datasets.begin(&classifier).await?;
    let staged = async {
        let mut n_before = examples.len() as u64;
        datasets.stage(&mut import, &examples).await?;
        while let Some(message) = messages.next().await? {
            let message = train_request::import_message(message, Some(&classifier), n_before, limits)?;
            more_follows = message.more_follows;
            n_before += message.examples.len() as u64;
            datasets.stage(&mut import, &message.examples).await?;
        }
        if more_follows { Err(train_request::ended_early().into()) } else { Ok(()) }
    };
    finish(datasets, staged.await, import).await
}

async fn finish(datasets: &Datasets, staged: Result<(), Refusal>, import: Import) -> Result<ImportOutcome, Refusal> {
    match staged {
        Ok(()) => Ok(datasets.publish(import).await?),
        Err(refusal) => {
            datasets.discard(import).await;
            Err(refusal)
        }
    }
}
