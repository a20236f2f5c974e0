//! Where the settings of `topicd serve` come from: flags, else the environment, else a TOML file, else the defaults.
//!
//! A file's keys are the flags' names with `_` for `-`. What it says takes the place of the flags' defaults, so that it is
//! checked as they are, and help and errors are the same wherever a value comes from.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};

use crate::similar_names::similar_names;

/// The subcommand that has settings.
const SERVE: &str = "serve";
/// The flags that aren't settings.
const FILE: &str = "config";
const PRINT: &str = "print_config";

/// Reads the command line; `None` when it asked for the settings to be printed, which was done. Ends the process, as bad usage,
/// when it can't be read, or the file.
pub fn matches(command: Command) -> Option<ArgMatches> {
    // From copies: a command that has read a line takes no other defaults.
    let first = command.clone().get_matches();
    let Some((SERVE, serve)) = first.subcommand() else { return Some(first) };
    let file = serve.get_one::<PathBuf>(FILE).map(|path| {
        SettingsFile::read(path, &command).unwrap_or_else(|problem| {
            command.clone().error(ErrorKind::InvalidValue, format!("{}: {problem}", path.display())).exit()
        })
    });
    let settings = file.as_ref().map_or_else(Vec::new, |file| file.settings.clone());
    let matches = command.clone().mut_subcommand(SERVE, |serve| with_settings(serve, settings)).get_matches();
    match matches.subcommand() {
        Some((SERVE, serve)) if serve.get_flag(PRINT) => {
            let printed = command.find_subcommand(SERVE).map(|command| print(command, serve, file.as_ref()));
            print!("{}", printed.unwrap_or_default());
            None
        }
        _ => Some(matches),
    }
}

/// What a file says.
#[derive(Debug)]
struct SettingsFile {
    path: PathBuf,
    /// Keys with their values, as they would be written as flags.
    settings: Vec<(String, String)>,
}

impl SettingsFile {
    /// Reads a file; the problem otherwise, in words.
    fn read(path: &Path, command: &Command) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
        Ok(Self { path: path.to_owned(), settings: parse(&text, command)? })
    }
}

/// The settings that a file's text has: keys, with their values as flags would give them. `command` has the subcommand `serve`,
/// which knows the keys.
///
/// # Errors
/// What is wrong with the text, in words.
pub fn parse(text: &str, command: &Command) -> Result<Vec<(String, String)>, String> {
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| error.to_string())?;
    let serve = command.find_subcommand(SERVE).into_iter();
    let known: Vec<&str> = serve.flat_map(Command::get_arguments).filter(is_setting).map(id).collect();
    let mut settings = Vec::new();
    for (key, value) in table {
        if !known.contains(&key.as_str()) {
            return Err(unknown_key(&key, &known));
        }
        let value = match value {
            toml::Value::String(text) => text,
            toml::Value::Integer(number) => number.to_string(),
            toml::Value::Float(number) => number.to_string(),
            toml::Value::Boolean(flag) => flag.to_string(),
            _ => return Err(format!("{key} is a list, a table or a date; give one string or number")),
        };
        check(command, &key, &value)?;
        settings.push((key, value));
    }
    Ok(settings)
}

/// Whether a flag would take the value.
fn check(command: &Command, key: &str, value: &str) -> Result<(), String> {
    let flag = format!("--{}={value}", key.replace('_', "-"));
    let refused = command.clone().try_get_matches_from([command.get_name(), SERVE, &flag]).err();
    match refused {
        None => Ok(()),
        // The usage that follows is that of a command line.
        Some(error) => {
            let said = error.to_string();
            let line = said.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
            Err(format!("{key} is wrong: {line}"))
        }
    }
}

fn unknown_key(key: &str, known: &[&str]) -> String {
    match similar_names(known.iter().copied(), key).first() {
        Some(meant) => format!("{key} is no setting; did you mean {meant}?"),
        None => format!("{key} is no setting; these are: {}", known.join(", ")),
    }
}

/// The subcommand with settings in place of its flags' defaults.
pub fn with_settings(serve: Command, settings: Vec<(String, String)>) -> Command {
    settings.into_iter().fold(serve, |serve, (key, value)| serve.mut_arg(key, |arg| arg.default_value(value)))
}

fn is_setting(arg: &&Arg) -> bool {
    ![FILE, PRINT, "help", "version"].contains(&arg.get_id().as_str())
}

fn id(arg: &Arg) -> &str {
    arg.get_id().as_str()
}

/// All settings as a file that says the same, with where each comes from.
fn print(command: &Command, matches: &ArgMatches, file: Option<&SettingsFile>) -> String {
    let mut printed = String::new();
    for arg in command.get_arguments().filter(is_setting) {
        let key = id(arg);
        let value = matches.get_raw(key).and_then(|mut values| values.next());
        let is_in_file = file.is_some_and(|file| file.settings.iter().any(|(in_file, _)| in_file == key));
        let source = match (matches.value_source(key), file) {
            (Some(ValueSource::CommandLine), _) => "the command line".to_owned(),
            (Some(ValueSource::EnvVariable), _) => {
                arg.get_env().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
            }
            (_, Some(file)) if is_in_file => file.path.display().to_string(),
            _ => "default".to_owned(),
        };
        let written = value.map(|value| written(&value.to_string_lossy()));
        // Writing to a string doesn't fail.
        let _ = match written {
            Some(value) => writeln!(printed, "{key} = {value}  # {source}"),
            None => writeln!(printed, "# {key} isn't set"),
        };
    }
    printed
}

/// A value as a file has it, from which [`parse`] reads the same.
pub fn written(value: &str) -> String {
    match value.parse::<i64>() {
        // Not a text that only reads like a number, such as 007, which is another one than 7.
        Ok(number) if number.to_string() == value => value.to_owned(),
        _ if matches!(value, "true" | "false") => value.to_owned(),
        _ => toml::Value::String(value.to_owned()).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use clap::Args;

    use super::super::serve;
    use super::*;

    /// Found by fuzzing: a directory `007` was printed as `data_dir = 7`, so that a server told so by the printed file had another
    /// one than the server that had printed it.
    #[test]
    fn what_is_printed_of_a_setting_is_read_as_it_was() {
        let command = Command::new("topicd").subcommand(serve::Args::augment_args(Command::new(SERVE)));
        for value in ["007", "+7", "-0", "7", "1_000", "0x7", "true", "a \"b\" \\", "'", "two\nlines", "\u{7f}é", " "]
        {
            let settings = parse(&format!("data_dir = {}", written(value)), &command);
            assert_eq!(settings, Ok(vec![("data_dir".to_owned(), value.to_owned())]));
        }
        assert_eq!([written("7"), written("-7"), written("0.5")], ["7", "-7", "\"0.5\""]);
    }
}
