//! The id of a call: what its logs, its trace, its answer and its error are found by.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};
use tonic::Status;
use tonic_types::StatusExt;

use crate::service::panic::IncidentId;

/// The header, of requests and answers.
pub(super) const NAME: HeaderName = HeaderName::from_static("x-request-id");
/// A caller's id that is longer isn't taken.
const MAX_BYTES: usize = 128;

/// The caller's own id, if it is one; otherwise a new one of 16 hexadecimal digits.
#[derive(Debug, Clone)]
pub(super) struct RequestId(HeaderValue);

impl RequestId {
    /// Reads a call's header. What isn't 1 to 128 visible ASCII characters is replaced: it goes into logs.
    pub(super) fn of_call(headers: &HeaderMap) -> Self {
        let given = headers.get(NAME).filter(|given| {
            (1..=MAX_BYTES).contains(&given.len()) && given.as_bytes().iter().all(u8::is_ascii_graphic)
        });
        let mut id = given.cloned().or_else(|| HeaderValue::try_from(IncidentId::random().to_string()).ok());
        // Each is sent once: HTTP/2 needn't remember it for the next header.
        id.iter_mut().for_each(|id| id.set_sensitive(true));
        Self(id.unwrap_or(HeaderValue::from_static("")))
    }

    /// The id as a header's value.
    pub(super) fn header(&self) -> HeaderValue {
        self.0.clone()
    }

    /// Puts the id into an error's details.
    pub(super) fn add_to(&self, status: &Status) -> Status {
        let mut details = status.get_error_details();
        details.set_request_info(self.to_string(), "");
        let metadata = status.metadata().clone();
        Status::with_error_details_and_metadata(status.code(), status.message(), details, metadata)
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.to_str().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id_of(given: &[u8]) -> String {
        let headers = HeaderMap::from_iter([(NAME, HeaderValue::from_bytes(given).unwrap())]);
        RequestId::of_call(&headers).to_string()
    }

    #[test]
    fn a_callers_id_is_kept_if_a_log_can_hold_it() {
        assert_eq!(id_of(b"order-7/item:3"), "order-7/item:3");
        let longest = "a".repeat(128);
        assert_eq!(id_of(longest.as_bytes()), longest);
        for unfit in ["", "two words", "caf\u{e9}", &"a".repeat(129)] {
            let id = id_of(unfit.as_bytes());
            assert!(id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{unfit:?}: {id}");
        }
    }

    #[test]
    fn calls_without_an_id_get_different_ones() {
        let none = HeaderMap::new();
        assert_ne!(RequestId::of_call(&none).to_string(), RequestId::of_call(&none).to_string());
    }

    #[test]
    fn an_errors_details_keep_what_they_had() {
        let mut details = tonic_types::ErrorDetails::new();
        details.set_error_info("REASON", "topicd", [("limit".to_owned(), "5".to_owned())]);
        details.add_bad_request_violation("document", "is empty");
        let status = Status::with_error_details(tonic::Code::InvalidArgument, "no", details);
        let with_id = RequestId::of_call(&HeaderMap::new()).add_to(&status).get_error_details();
        let (info, violations) = (with_id.error_info().unwrap(), &with_id.bad_request().unwrap().field_violations);
        assert_eq!((&*info.reason, &*info.metadata["limit"]), ("REASON", "5"));
        assert_eq!((&*violations[0].field, &*violations[0].description), ("document", "is empty"));
        assert_eq!(with_id.request_info().unwrap().request_id.len(), 16);
    }
}
