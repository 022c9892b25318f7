//! HTTP/1.1 as a client speaks it (RFC 9112), for the pool alone: one exchange at a time on one connection,
//! driven by whoever waits for it. There is no task of a connection's own.
//!
//! It is strict: what has more than one reading is refused, never repaired. [`Connection`] moves the bytes;
//! what they mean is told by [`inbound`] without a socket in sight.
//!
//! Invariant: a connection calls itself reusable only if the request was sent whole before the answer
//! began, the answer's end was told by its own framing and reached, and no byte has come behind it.

mod chunked;
mod connection;
mod error;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod inbound;
mod request;
mod response;
#[cfg(test)]
mod tests;
mod upload;

pub(super) use connection::{Connection, Failure};
pub use error::Http1Error;
#[cfg(test)]
pub(super) use request::{Framing, write_head};
