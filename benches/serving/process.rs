//! topicd as a process, set up as in `deploy/`.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Starts a server with arguments besides the usual ones, and reads from its log which address it says each of `messages` with, in
/// that order.
pub(crate) fn start_topicd<const N: usize>(
    data_dir: &Path,
    arguments: &[&str],
    messages: [&str; N],
) -> (Child, [String; N]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_topicd"));
    command.args(["serve", "--listen", "127.0.0.1:0", "--log-format", "json", "--data-dir"]).arg(data_dir);
    command.args(arguments).env("MALLOC_ARENA_MAX", "2");
    let mut process = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(process.stderr.take().unwrap()).lines();
    let addresses = messages.map(|message| {
        loop {
            let line: serde_json::Value = serde_json::from_str(&log.next().unwrap().unwrap()).unwrap();
            if line["fields"]["message"] == message {
                break line["fields"]["address"].as_str().unwrap().to_owned();
            }
        }
    });
    // Read to the end, or the pipe fills up and the server waits for us.
    std::thread::spawn(move || log.count());
    (process, addresses)
}
