//! The way to the protected services: what a service's addresses and TLS files come to
//! ([`Target`]), the connections that one worker keeps to them ([`Pool`]), and the credential that
//! the gateway adds ([`Credential`]).
//!
//! A pool belongs to one thread, and nothing in it is locked. [`Pool::send`] takes one request to one
//! target and gives back the answer's head; bodies stream both ways. HTTP/1.1 is spoken here, HTTP/2
//! by hyper. A [`Received`] body holds the connection and decides what becomes of it. Addresses that
//! fail are left out for a while; what workers share, health checks among it, is [`Common`].
//!
//! Invariant: a connection serves a second request only if the first exchange ended cleanly, that
//! is, the request was sent whole before the answer began, the answer was read to its end, and
//! nothing followed it. A request is sent twice only if no byte of it left the first time. No
//! redirect is followed, no protocol is switched to but a WebSocket by [`Pool::websocket`], and no
//! client's credential is known here.

mod alone;
mod checks;
mod common;
mod connect;
mod credential;
mod endpoint;
mod error;
mod framing;
mod group;
mod health;
mod http1;
mod lane;
mod lease;
mod limits;
mod live_tls;
mod outgoing;
mod pool;
mod received;
mod resolve;
mod socket;
mod target;
#[cfg(test)]
mod testing;
mod tunnel;

pub use common::Common;
pub use credential::{Credential, Injected};
pub use error::{BreakError, ConnectError, Fault, Phase, Place, SendError, UpstreamError};
pub use http1::Http1Error;
#[cfg(any(test, fuzzing))]
pub use http1::fuzzing;
pub use limits::PoolLimits;
pub use outgoing::{OutgoingError, Prepared};
pub use pool::Pool;
pub use received::Received;
pub use target::Target;
pub use tunnel::{Tunnel, WebSocket};
