//! `topicd models`: the versions of classifiers, in a data directory or of a server.

mod compare;
mod drift;
mod files;
mod list;
mod moves;
mod show;
mod versions;

use super::{CommandResult, remote};

/// What `topicd models` is told.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: ModelsCommand,
}

#[derive(Debug, clap::Subcommand)]
enum ModelsCommand {
    /// List classifiers and their versions, newest first.
    List(list::Args),
    /// Tell what is known of a version: where it comes from, how good it is, what it was checked for.
    Show(show::Args),
    /// Tell which of two versions is better on the stored documents of their classifier, and where they differ.
    Compare(compare::Args),
    /// Tell whether what a server is asked about is still like what its version was trained on.
    Drift(drift::Args),
    /// Make a version the stable one, which answers when none is named.
    Promote(moves::PromoteArgs),
    /// Make the previous version the stable one again.
    Rollback(moves::RollbackArgs),
    /// Delete a version that has no alias.
    Delete(moves::DeleteArgs),
    /// Write a version's model file.
    Export(files::ExportArgs),
    /// Make a model file a version, which answers once it is promoted.
    Import(files::ImportArgs),
}

/// Does what it is told.
///
/// # Errors
/// No such place or version, files that can't be read or written, and what the place refuses.
pub fn run(args: &Args) -> CommandResult {
    remote::runtime()?.block_on(async {
        match &args.command {
            ModelsCommand::List(args) => list::run(args).await,
            ModelsCommand::Show(args) => show::run(args).await,
            ModelsCommand::Compare(args) => compare::run(args).await,
            ModelsCommand::Drift(args) => drift::run(args).await,
            ModelsCommand::Promote(args) => moves::promote(args).await,
            ModelsCommand::Rollback(args) => moves::rollback(args).await,
            ModelsCommand::Delete(args) => moves::delete(args).await,
            ModelsCommand::Export(args) => files::export(args).await,
            ModelsCommand::Import(args) => files::import(args).await,
        }
    })
}

/// `desk`, `desk/3` and `desk/stable` are short for `classifiers/desk/versions/stable`, `…/3` and `…/stable`.
fn version_name(given: &str) -> Result<String, String> {
    let name = match given.strip_prefix("classifiers/") {
        Some(_) => given.to_owned(),
        None => match given.split_once('/') {
            None => format!("classifiers/{given}"),
            Some((classifier, version)) => format!("classifiers/{classifier}/versions/{version}"),
        },
    };
    let parsed = name.parse::<crate::service::ModelName>().map_err(|error| error.to_string())?;
    Ok(parsed.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_may_be_short() {
        for (given, name) in [
            ("desk", "classifiers/desk/versions/stable"),
            ("desk/3", "classifiers/desk/versions/3"),
            ("desk/candidate", "classifiers/desk/versions/candidate"),
            ("classifiers/desk", "classifiers/desk/versions/stable"),
            ("classifiers/desk/versions/latest", "classifiers/desk/versions/latest"),
        ] {
            assert_eq!(version_name(given).as_deref(), Ok(name));
        }
        for wrong in ["Desk", "desk/", "desk/0", "desk/newest", "a/b/c"] {
            assert!(version_name(wrong).is_err(), "{wrong}");
        }
    }
}
