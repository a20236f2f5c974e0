//! A request's stream of messages, up to its end, the call's deadline or the server's drain.

use std::pin::Pin;

use tonic::{Request, Status, Streaming};

use super::deadline::Deadline;
use super::drain::Draining;
use super::status::{Refusal, with_details};

/// The messages of a call to `method` that are still to come.
pub(super) struct Inbound<T> {
    method: &'static str,
    messages: Streaming<T>,
    stop: Pin<Box<dyn Future<Output = Refusal> + Send>>,
}

impl<T> Inbound<T> {
    pub(super) fn new(method: &'static str, request: Request<Streaming<T>>, draining: &Draining) -> Self {
        let deadline = request.extensions().get::<Deadline>().copied().unwrap_or_default();
        let draining = draining.clone();
        let stop = Box::pin(async move {
            tokio::select! {
                () = draining.begun() => Refusal::Draining,
                () = deadline.passed() => Refusal::DeadlineExceeded,
            }
        });
        Self { method, messages: request.into_inner(), stop }
    }

    /// The next message; `None` when there are no more. After an error nothing may be asked for.
    pub(super) async fn next(&mut self) -> Result<Option<T>, Status> {
        tokio::select! {
            biased;
            refusal = &mut self.stop => Err(refusal.into()),
            message = self.messages.message() => message.map_err(|status| with_details(status, self.method)),
        }
    }
}
