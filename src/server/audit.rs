//! The audit log: a line for each call that changed something or failed to, or was denied, with who made it. Its target is
//! `topicd::audit`, so that it can be kept apart from the rest; the call's span, target `topicd::call`, is on it as on all lines, with the request's id.

use tonic::Code;

use super::caller::{Caller, Peer};

/// Logs a call that has ended, if it is one to be told. `caller`: `None` if nobody knows who called.
pub(super) fn log(caller: Option<&Caller>, peer: Option<&Peer>, method: &str, code: Code) {
    let line = match caller {
        None if code == Code::Unauthenticated => Some(("denied", "", code)),
        None => None,
        Some(caller) => match caller.denied() {
            // Of a stream, the first message that was.
            Some((subject, code)) => Some(("denied", subject, code)),
            None if caller.is_change() && code == Code::Ok => Some(("changed", caller.subject(), code)),
            None if caller.is_change() => Some(("failed", caller.subject(), code)),
            None => None,
        },
    };
    let Some((what, subject, code)) = line else { return };
    let principal = caller.map_or("nobody", Caller::name);
    let peer = peer.map(|peer| peer.address.to_string()).unwrap_or_default();
    tracing::info!(target: "topicd::audit", principal, peer, method, subject, ?code, "{what}");
}
