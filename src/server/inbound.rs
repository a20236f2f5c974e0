//! A request's stream of messages, up to its end, the call's deadline, the end of the caller's credential, or the server's drain.

use std::pin::Pin;

use tonic::{Request, Status, Streaming};

use super::caller::Caller;
use super::deadline::Deadline;
use super::drain::Draining;
use super::status::{Refusal, with_details};

/// The messages of a call to `method` that are still to come.
pub(super) struct Inbound<T> {
    method: &'static str,
    caller: Caller,
    messages: Streaming<T>,
    stop: Pin<Box<dyn Future<Output = Refusal> + Send>>,
}

impl<T> Inbound<T> {
    /// # Errors
    /// Nobody knows who calls.
    pub(super) fn new(
        method: &'static str,
        request: Request<Streaming<T>>,
        draining: &Draining,
    ) -> Result<Self, Status> {
        let caller = Caller::of(request.extensions())?;
        let deadline = request.extensions().get::<Deadline>().copied().unwrap_or_default();
        let (draining, credential) = (draining.clone(), caller.clone());
        let stop = Box::pin(async move {
            tokio::select! {
                () = draining.begun() => Refusal::Draining,
                () = deadline.passed() => Refusal::DeadlineExceeded,
                refusal = credential.ends() => refusal,
            }
        });
        Ok(Self { method, caller, messages: request.into_inner(), stop })
    }

    /// Who sends them. What each message needs, whoever reads it has to ask.
    pub(super) fn caller(&self) -> &Caller {
        &self.caller
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
