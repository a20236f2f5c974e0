//! The `topicd` program: a table of contents of its commands.

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use topicd::cli::{
    self, about, backup, classify, compare, dataset, evaluate, health, models, restore, serve, token, topic, train,
    verify,
};

/// Sorts news and other documents into topics: as a gRPC service, and on the command line.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 110)]
struct Topicd {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gRPC server.
    Serve(serve::Args),
    /// Tell whether a server serves; only then the exit code is 0.
    Health(health::Args),
    /// Sort documents from files into topics.
    Classify(classify::Args),
    /// Train a model on labelled documents.
    // In a box, because it is several times as large as the others.
    Train(Box<train::Args>),
    /// Keep labelled documents for good, and see which are kept.
    Dataset(dataset::Args),
    /// Look at the versions of classifiers, and say which of them answers.
    Models(models::Args),
    /// Copy a data directory into one file, also while a server uses it.
    Backup(backup::Args),
    /// Make a data directory of a backup.
    Restore(restore::Args),
    /// Measure a model on labelled documents.
    Evaluate(evaluate::Args),
    /// Compare two models on labelled documents, and tell whether one is better.
    Compare(compare::Args),
    /// Train again as a model was trained, and tell whether that gives the same bytes.
    Verify(verify::Args),
    /// Make a token for a caller, and the hash of it for the server's file of principals.
    Token,
    /// Tell what a model knows about one of its topics.
    Topic(topic::Args),
    /// Tell the version, what a model is and knows, and whose texts and words are in it.
    About(about::Args),
}

fn main() -> ExitCode {
    let Some(matches) = cli::config_file::matches(Topicd::command()) else { return ExitCode::SUCCESS };
    let topicd = Topicd::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    cli::exit(match topicd.command {
        Command::Serve(args) => serve::run(args),
        Command::Health(args) => health::run(&args),
        Command::Classify(args) => classify::run(&args),
        Command::Train(args) => train::run(&args),
        Command::Dataset(args) => dataset::run(&args),
        Command::Models(args) => models::run(&args),
        Command::Backup(args) => backup::run(&args),
        Command::Restore(args) => restore::run(&args),
        Command::Evaluate(args) => evaluate::run(&args),
        Command::Compare(args) => compare::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Token => token::run(),
        Command::Topic(args) => topic::run(&args),
        Command::About(args) => about::run(&args),
    })
}
