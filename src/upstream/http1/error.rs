//! How an exchange over HTTP/1.1 fails.

use std::io;

use thiserror::Error;

use crate::upstream::{Fault, OutgoingError};

/// How an exchange over HTTP/1.1 fails. No message holds what the other side said.
#[derive(Debug, Error)]
pub enum Http1Error {
    /// It has more than one reading, or is more than is read.
    #[error("{0}")]
    Fault(Fault),
    /// The network failed.
    #[error("the network failed")]
    Io(#[source] io::Error),
    /// It is not HTTP/1.1.
    #[error("what came is not HTTP/1.1: {0}")]
    Malformed(&'static str),
    /// The content of the request broke off.
    #[error("the request was not sent whole")]
    Request(#[source] OutgoingError),
    /// The connection ended in the middle of the answer.
    #[error("the connection ended before the answer was complete")]
    Truncated,
    /// The connection ended where the answer would begin.
    #[error("the connection ended without an answer")]
    Unanswered,
}

impl From<Fault> for Http1Error {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}
