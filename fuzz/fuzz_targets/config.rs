//! The settings file of `topicd serve` → settings or words about what is wrong; settings that are written are read as they
//! were, and a server can be told them.

#![no_main]

use clap::{Args, Command, FromArgMatches};
use libfuzzer_sys::fuzz_target;
use topicd::cli::{config_file, serve};
use topicd::config::ServeConfig;

const SERVE: &str = "serve";

fuzz_target!(|text: &str| {
    let serve = || serve::Args::augment_args(Command::new(SERVE));
    let command = Command::new("topicd").subcommand(serve());
    let settings = match config_file::parse(text, &command) {
        Ok(settings) => settings,
        Err(problem) => return assert!(!problem.is_empty()),
    };
    let line = |(key, value): &(String, String)| format!("{key} = {}  # a comment\n", config_file::written(value));
    let written: String = settings.iter().map(line).collect();
    assert_eq!(config_file::parse(&written, &command).as_ref(), Ok(&settings), "{written}");

    let matches = config_file::with_settings(serve(), settings.clone()).get_matches_from([SERVE]);
    let args = serve::Args::from_arg_matches(&matches).expect("each setting was checked");
    let config = ServeConfig::from(args);
    let _ = config.limits.check();
    if let Some((_, listen)) = settings.iter().find(|(key, _)| key == "listen") {
        assert_eq!(&config.listen, listen, "a setting takes the default's place");
    }
});
