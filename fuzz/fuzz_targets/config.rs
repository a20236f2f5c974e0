//! The files of `topicd serve`. Settings, or words about what is wrong; settings that are written are read as they were, and a server can
//! be told them. Principals, or words; who has a role has those that it includes.

#![no_main]

use std::fs;

use clap::{Args, Command, FromArgMatches};
use libfuzzer_sys::fuzz_target;
use topicd::access::Access;
use topicd::access::role::{Extent, Role};
use topicd::cli::{config_file, serve};
use topicd::config::ServeConfig;

const SERVE: &str = "serve";

fuzz_target!(|text: &str| {
    check_settings(text);
    check_principals(text);
});

fn check_settings(text: &str) {
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
    let config = match ServeConfig::try_from(args) {
        Ok(config) => config,
        Err(problem) => return assert!(!problem.is_empty()),
    };
    let _ = config.limits.check();
    if let Some((_, listen)) = settings.iter().find(|(key, _)| key == "listen") {
        assert_eq!(&config.listen, listen, "a setting takes the default's place");
    }
}

/// Tokens whose hashes are in the seeds.
const TOKENS: [&[u8]; 2] = [b"desk", b"wire"];

fn check_principals(text: &str) {
    let path = std::env::temp_dir().join(format!("topicd-fuzz-principals-{}", std::process::id()));
    fs::write(&path, text).expect("there is room for a small file");
    let access = match Access::open(&path) {
        Ok(access) => access,
        Err(problem) => return assert!(!problem.to_string().is_empty()),
    };
    assert!(!access.reload().expect("what was read is read again"), "nothing has changed");
    let certificate = ["desk.example.org".to_owned()];
    let found = TOKENS.into_iter().map(|token| access.by_token(token)).chain([access.by_certificate(&certificate)]);
    for principal in found.flatten() {
        assert!((1..=64).contains(&principal.name().len()));
        let desk = Extent::Classifier("desk".parse().expect("a name"));
        for extent in [desk, Extent::Any, Extent::Server] {
            let may = [Role::Reader, Role::Trainer, Role::Admin].map(|role| principal.may(role, &extent));
            assert!(may.is_sorted_by(|lower, higher| lower >= higher), "{may:?} of {extent}");
        }
    }
}
