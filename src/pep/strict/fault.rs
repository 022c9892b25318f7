//! What can be wrong with the bytes of a request.

use std::error::Error as StdError;
use std::io;

use http::StatusCode;
use thiserror::Error;

use super::head::HeadLimits;
use crate::model::DenyReason;
use crate::pep::refusal::Refusal;

/// Why a request can't be taken as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(in crate::pep) enum Fault {
    /// It has more than one reading, or none.
    #[error("{0}")]
    Malformed(&'static str),
    /// Its head is not there in time.
    #[error("the request's head did not come in time")]
    Slow,
    /// Its target is over the limit.
    #[error("the request's target is too long")]
    TargetTooLong,
    /// Its head, or its trailers, are over the limit.
    #[error("the request's head, or its trailers, are too large")]
    TooLarge,
    /// It has too many lines of headers or trailers.
    #[error("the request has too many lines of headers or trailers")]
    TooManyLines,
}

impl Fault {
    /// The refusal of a request whose body broke off. Where its own bytes were at fault, it says how.
    pub(in crate::pep) fn broken_off(error: &(dyn StdError + 'static)) -> Refusal {
        let detail = Self::within(error).map_or_else(
            || "the request's body broke off".to_owned(),
            |fault| format!("the request's body can't be read: {fault}"),
        );
        Refusal::new(DenyReason::RequestMalformed, detail).closing()
    }

    /// The fault that lies below an error: hyper hands on what the stream has told it.
    fn within(error: &(dyn StdError + 'static)) -> Option<Self> {
        let mut below = Some(error);
        while let Some(error) = below {
            let of_stream = error.downcast_ref().and_then(io::Error::get_ref);
            if let Some(fault) = of_stream.and_then(|error| error.downcast_ref()) {
                return Some(*fault);
            }
            below = error.source();
        }
        None
    }

    /// The refusal that the client gets. Where the request ends is not known, so the connection does.
    pub(in crate::pep) fn refusal(self, limits: &HeadLimits) -> Refusal {
        let HeadLimits {
            bytes,
            lines,
            target,
        } = limits;
        let fields_too_large = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        match self {
            Self::Malformed(why) => Refusal::new(DenyReason::RequestMalformed, why).closing(),
            Self::Slow => Refusal::new(DenyReason::Timeout, self.to_string()).closing(),
            Self::TargetTooLong => Refusal::too_large(
                StatusCode::URI_TOO_LONG,
                format!("a request target has at most {target} bytes"),
            ),
            Self::TooLarge => Refusal::too_large(
                fields_too_large,
                format!("a request head has at most {bytes} bytes"),
            ),
            Self::TooManyLines => Refusal::too_large(
                fields_too_large,
                format!("a request has at most {lines} header lines"),
            ),
        }
    }
}
