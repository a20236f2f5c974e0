//! What the commands that use a data directory share: which one, whose documents, and the runtime that the store needs.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use tokio::runtime::Runtime;

use crate::document::LabeledDocument;
use crate::names::{ClassifierName, ClassifierNameError};
use crate::store::{self, DataDir, Store, StoreError};

pub(super) const DATA_DIR_VARIABLE: &str = "TOPICD_DATA_DIR";
pub(super) const DEFAULT_DATA_DIR: &str = "./topicd-data";

/// Which data directory a command uses.
#[derive(Debug, clap::Args)]
pub(super) struct DataDirArgs {
    /// The directory that documents are kept in; no server may be using it.
    #[arg(long, env = DATA_DIR_VARIABLE, default_value = DEFAULT_DATA_DIR, value_name = "DIR")]
    data_dir: PathBuf,
}

impl DataDirArgs {
    /// The directory given, or else the one that the environment names, or else the default.
    pub(super) fn or_default(data_dir: Option<PathBuf>) -> Self {
        let named = data_dir.or_else(|| std::env::var_os(DATA_DIR_VARIABLE).map(PathBuf::from));
        Self { data_dir: named.unwrap_or_else(|| DEFAULT_DATA_DIR.into()) }
    }

    /// Opens the store, which may be a new one.
    pub(super) async fn open_or_create(&self) -> Result<Store, Box<dyn Error>> {
        Ok(Store::open(DataDir::lock(&self.data_dir)?).await?)
    }

    /// Opens the store; a directory without one is an error, not a new store.
    pub(super) async fn open_existing(&self) -> Result<Store, Box<dyn Error>> {
        if self.data_dir.join(store::FILE_NAME).try_exists()? {
            self.open_or_create().await
        } else {
            Err(format!("{} holds no datasets; `topicd dataset import` makes one", self.data_dir.display()).into())
        }
    }
}

/// Reads the name of a classifier, bare or as `classifiers/{name}`.
pub(super) fn classifier(name: &str) -> Result<ClassifierName, ClassifierNameError> {
    name.strip_prefix("classifiers/").unwrap_or(name).parse()
}

/// What runs the store's calls.
pub(super) fn runtime() -> io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// All documents of a classifier's revision, in memory; `None`: the newest revision.
pub(super) async fn read_all(
    store: &Store,
    classifier: &ClassifierName,
    revision: Option<u32>,
) -> Result<Vec<LabeledDocument>, StoreError> {
    let mut examples = store.examples(classifier, revision).await?;
    let mut all = Vec::new();
    loop {
        let batch = examples.next_batch().await?;
        if batch.is_empty() {
            return Ok(all);
        }
        all.extend(batch);
    }
}
