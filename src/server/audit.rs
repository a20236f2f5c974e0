//! The audit log: a line for each call that changed something or was denied, with who made it. Its target is `topicd::audit`, so
//! that it can be kept apart from the rest; the call's span, with the request's id, is on it as on all lines.

use tonic::Code;

use super::caller::{Caller, Peer};

/// Logs a call that has ended, if it is one to be told.
pub(super) fn log(caller: Option<&Caller>, peer: Option<&Peer>, method: &str, code: Code) {
    let (is_change, is_denied, subject) = caller.map_or((false, false, ""), Caller::audit);
    let is_denied = is_denied || matches!(code, Code::Unauthenticated | Code::PermissionDenied);
    if !is_change && !is_denied {
        return;
    }
    let principal = caller.map_or("nobody", Caller::name);
    let peer = peer.map(|peer| peer.address.to_string()).unwrap_or_default();
    let what = if is_denied { "denied" } else { "changed" };
    tracing::info!(target: "topicd::audit", principal, peer, method, subject, ?code, "{what}");
}
