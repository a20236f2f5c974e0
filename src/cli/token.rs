//! `topicd token`: a new token, and the hash of it that a server's file of principals has.

use std::io::{self, Write};

use sha2::{Digest, Sha256};

use super::CommandResult;
use crate::hexadecimal;

/// Random bytes of a token: nobody guesses 256 bits, so that a plain hash hides it well enough.
const N_BYTES: usize = 32;

/// Prints a token, and what a server is to know of it.
///
/// # Errors
/// The operating system has no random numbers, or nobody reads the output.
pub fn run() -> CommandResult {
    let mut random = [0; N_BYTES];
    getrandom::fill(&mut random)?;
    let token = format!("topicd_{}", hexadecimal::encode(&random));
    let sha256 = hexadecimal::encode(&Sha256::digest(&token));
    let mut out = io::stdout().lock();
    writeln!(out, "token: {token}")?;
    writeln!(out, "token_sha256: {sha256}")?;
    Ok(())
}
