//! `topicd dataset export`: documents as JSON lines.

use std::error::Error;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::client;
use crate::api::pb;
use crate::cli::place::{Place, PlaceArgs};
use crate::cli::{CommandResult, remote, say, stored};
use crate::document::Topic;
use crate::formats;
use crate::names::ClassifierName;
use crate::new_file::NewFile;

/// What `topicd dataset export` is told.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Whose dataset.
    #[arg(long, default_value_t, value_name = "NAME", value_parser = stored::classifier)]
    classifier: ClassifierName,

    /// Which revision. Left out: the newest.
    #[arg(long, value_name = "NUMBER")]
    revision: Option<u32>,

    /// Only documents that have this topic.
    #[arg(long, value_name = "TOPIC", value_parser = Topic::new)]
    topic: Option<Topic>,

    /// Where they go; a file that is there is replaced when all are written. Left out: standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    #[command(flatten)]
    place: PlaceArgs,
}

/// Exports.
///
/// # Errors
/// No such place, dataset or revision, or a file that can't be written.
pub(super) async fn run(args: &Args) -> CommandResult {
    let place = args.place.open().await?;
    let n_documents = match &args.out {
        None => {
            let out = &mut BufWriter::new(io::stdout().lock());
            let n_documents = write(args, place, out).await?;
            out.flush()?;
            n_documents
        }
        Some(path) => to_file(args, place, path).await?,
    };
    say(format_args!("{n_documents} documents"));
    Ok(())
}

async fn to_file(args: &Args, place: Place, path: &Path) -> Result<u64, Box<dyn Error>> {
    let error = |error: io::Error| format!("can't write {}: {error}", path.display());
    let file = NewFile::create(path).map_err(error)?;
    let mut out = BufWriter::new(&file.unfinished);
    let n_documents = write(args, place, &mut out).await?;
    out.flush().map_err(error)?;
    drop(out);
    file.keep().map_err(error)?;
    Ok(n_documents)
}

async fn write(args: &Args, place: Place, out: &mut impl Write) -> Result<u64, Box<dyn Error>> {
    let mut n_documents = 0;
    match place {
        Place::Store(store) => {
            let mut examples = store.examples(&args.classifier, args.revision).await?.with_topic(args.topic.clone());
            loop {
                let batch = examples.next_batch().await?;
                if batch.is_empty() {
                    return Ok(n_documents);
                }
                n_documents += batch.len() as u64;
                let mut lines = Vec::new();
                batch.iter().for_each(|example| formats::write_json_line(example, &mut lines));
                out.write_all(&lines)?;
            }
        }
        Place::Server(channel) => {
            let request = pb::ExportExamplesRequest {
                classifier: args.classifier.to_string(),
                dataset_revision: args.revision.unwrap_or(0),
                topic: args.topic.as_ref().map(ToString::to_string).unwrap_or_default(),
            };
            let refusal = |status| remote::refusal(&status);
            let mut messages = client(channel).export_examples(request).await.map_err(refusal)?.into_inner();
            while let Some(message) = messages.message().await.map_err(refusal)? {
                n_documents += message.document_count;
                out.write_all(&message.json_lines)?;
            }
            Ok(n_documents)
        }
    }
}
