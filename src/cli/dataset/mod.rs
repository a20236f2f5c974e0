//! `topicd dataset`: labelled documents that are kept for good, in a data directory or by a server.

mod edit;
mod export;
mod import;
mod import_target;
mod list;

use super::remote::Remote;
use super::{CommandResult, remote};
use crate::api::pb::dataset_service_client::DatasetServiceClient;

/// What `topicd dataset` is told.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: DatasetCommand,
}

#[derive(Debug, clap::Subcommand)]
enum DatasetCommand {
    /// Add labelled documents to a classifier's dataset: all of them, or none when anything fails.
    Import(import::Args),
    /// List the datasets: classifier, revision, documents, topics.
    List(list::Args),
    /// Write a dataset's documents as JSON lines, which `import` reads again.
    Export(export::Args),
    /// Give a topic another name in all documents of a dataset.
    Rename(edit::RenameArgs),
    /// Erase documents from a dataset, its earlier revisions included.
    Delete(edit::DeleteArgs),
    /// Write the whole database anew: nothing of what was deleted is left in its files, and the space is free.
    Compact(edit::CompactArgs),
}

/// Does what it is told.
///
/// # Errors
/// Nowhere to find or keep documents, files that can't be read or written, and what the place refuses.
pub fn run(args: &Args) -> CommandResult {
    remote::runtime()?.block_on(async {
        match &args.command {
            DatasetCommand::Import(args) => import::run(args).await,
            DatasetCommand::List(args) => list::run(args).await,
            DatasetCommand::Export(args) => export::run(args).await,
            DatasetCommand::Rename(args) => edit::rename(args).await,
            DatasetCommand::Delete(args) => edit::delete(args).await,
            DatasetCommand::Compact(args) => edit::compact(args).await,
        }
    })
}

/// A client for a server's documents.
pub(super) fn client(channel: Remote) -> DatasetServiceClient<Remote> {
    DatasetServiceClient::new(channel).max_decoding_message_size(remote::MAX_ANSWER_BYTES)
}
