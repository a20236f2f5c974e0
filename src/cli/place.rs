//! Where documents and versions are kept: in a data directory, or by a server.

use std::error::Error;
use std::path::PathBuf;

use super::remote::{CredentialArgs, Remote};
use super::stored::DataDirArgs;
use crate::store::Store;

/// Which place a command uses.
#[derive(Debug, clap::Args)]
pub(super) struct PlaceArgs {
    /// The directory that documents and versions are kept in; no server may be using it. Left out: $TOPICD_DATA_DIR, or ./topicd-data.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,

    /// Instead of a directory: the server that keeps them, as http://HOST:PORT or https://HOST:PORT.
    #[arg(long, value_name = "URL", conflicts_with = "data_dir")]
    server: Option<String>,

    #[command(flatten)]
    credentials: CredentialArgs,
}

/// A place, open.
pub(super) enum Place {
    Store(Store),
    Server(Remote),
}

impl PlaceArgs {
    /// A place for documents; a directory may be a new one.
    pub(super) async fn open_or_create(&self) -> Result<Place, Box<dyn Error>> {
        match &self.server {
            Some(server) => Ok(Place::Server(self.credentials.connect(server).await?)),
            None => Ok(Place::Store(DataDirArgs::or_default(self.data_dir.clone()).open_or_create().await?)),
        }
    }

    /// A place that has documents.
    pub(super) async fn open(&self) -> Result<Place, Box<dyn Error>> {
        match &self.server {
            Some(server) => Ok(Place::Server(self.credentials.connect(server).await?)),
            None => Ok(Place::Store(DataDirArgs::or_default(self.data_dir.clone()).open_existing().await?)),
        }
    }
}
