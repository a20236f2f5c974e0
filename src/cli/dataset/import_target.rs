//! Where `topicd dataset import` brings documents: into a data directory, or to a server.

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Response, Status};

use crate::api::dataset_response::labeled_document;
use crate::api::pb;
use crate::api::pb::dataset_service_client::DatasetServiceClient;
use crate::cli::remote::{self, Remote};
use crate::document::LabeledDocument;
use crate::names::ClassifierName;
use crate::store::{Import, ImportOutcome, StoreError};

/// Messages that wait to be sent.
const MESSAGES_AHEAD: usize = 4;

/// Why documents don't arrive.
#[derive(Debug, thiserror::Error)]
pub(super) enum TargetError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{0}")]
    Server(String),
}

/// An import that goes on.
pub(super) enum ImportTarget {
    Store(Import),
    Server(ServerImport),
}

/// A call of `ImportExamples`. All messages but the last say that another follows: without it, nothing is imported.
pub(super) struct ServerImport {
    messages: mpsc::Sender<pb::ImportExamplesRequest>,
    call: JoinHandle<Result<Response<pb::ImportExamplesResponse>, Status>>,
}

impl ImportTarget {
    /// Begins an import on a server.
    pub(super) async fn on_server(channel: Remote, classifier: &ClassifierName) -> Result<Self, TargetError> {
        let (messages, waiting) = mpsc::channel(MESSAGES_AHEAD);
        let mut client = DatasetServiceClient::new(channel);
        let call = tokio::spawn(async move { client.import_examples(ReceiverStream::new(waiting)).await });
        let mut import = ServerImport { messages, call };
        let first = pb::ImportExamplesRequest { classifier: classifier.to_string(), ..Default::default() };
        import.send(pb::ImportExamplesRequest { more_follows: true, ..first }).await?;
        Ok(Self::Server(import))
    }

    /// Brings some documents, of at most some MiB together unless it is one.
    pub(super) async fn stage(&mut self, examples: &[LabeledDocument]) -> Result<(), TargetError> {
        match self {
            Self::Store(import) => Ok(import.stage(examples).await?),
            Self::Server(import) => {
                let examples = examples.iter().map(labeled_document).collect();
                let message = pb::ImportExamplesRequest { examples, more_follows: true, ..Default::default() };
                import.send(message).await
            }
        }
    }

    /// Makes them a revision.
    pub(super) async fn publish(self) -> Result<ImportOutcome, TargetError> {
        match self {
            Self::Store(import) => Ok(import.publish().await?),
            Self::Server(mut import) => {
                import.send(pb::ImportExamplesRequest::default()).await?;
                let ServerImport { messages, call } = import;
                drop(messages);
                let response = answer(call).await?;
                let intake = response.intake.unwrap_or_default();
                Ok(ImportOutcome {
                    revision: response.dataset_revision,
                    n_given: intake.given_count,
                    n_added: intake.added_count,
                    n_relabelled: intake.relabeled_count,
                    n_unchanged: intake.unchanged_count,
                })
            }
        }
    }

    /// Forgets them.
    pub(super) async fn discard(self) -> Result<(), TargetError> {
        match self {
            Self::Store(import) => Ok(import.discard().await?),
            // What was sent last says that more follows.
            Self::Server(_) => Ok(()),
        }
    }
}

impl ServerImport {
    async fn send(&mut self, message: pb::ImportExamplesRequest) -> Result<(), TargetError> {
        if self.messages.send(message).await.is_ok() {
            return Ok(());
        }
        // The call has ended before its messages have.
        let answered = answer(std::mem::replace(&mut self.call, tokio::spawn(std::future::pending()))).await;
        Err(answered.err().unwrap_or_else(|| TargetError::Server("the server ended the import early".to_owned())))
    }
}

async fn answer(
    call: JoinHandle<Result<Response<pb::ImportExamplesResponse>, Status>>,
) -> Result<pb::ImportExamplesResponse, TargetError> {
    match call.await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(TargetError::Server(remote::refusal(&status))),
        Err(_) => Err(TargetError::Server("the call was broken off".to_owned())),
    }
}
