//! `topicd token`: a new token, and the hash of it that a server's file of principals has.

use std::fmt::Write as _;
use std::io::{self, Write};

use sha2::{Digest, Sha256};

use super::CommandResult;

/// Random bytes of a token: nobody guesses 256 bits, so that a plain hash hides it well enough.
const N_BYTES: usize = 32;

/// Prints a token, and what a server is to know of it.
///
/// # Errors
/// The operating system has no random numbers, or nobody reads the output.
pub fn run() -> CommandResult {
    let mut random = [0; N_BYTES];
    getrandom::fill(&mut random)?;
    let token = format!("topicd_{}", hex(&random));
    let sha256 = hex(&Sha256::digest(&token));
    let mut out = io::stdout().lock();
    writeln!(out, "token: {token}")?;
    writeln!(out, "token_sha256: {sha256}")?;
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        // Writing to a string doesn't fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
