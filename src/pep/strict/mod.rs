//! HTTP/1 on its way in, framed before hyper sees it.
//!
//! [`Strict`] stands between the socket (or the TLS session) and hyper. It finds the end of every request
//! itself: a head in which each line has one reading, then exactly the declared bytes or strictly written
//! chunks, then the next head. hyper is handed one request at a time, and of that only what both read
//! alike, so that they agree by construction; a lenient reading of hyper's is never asked for.
//!
//! What has no one reading is refused, not repaired: a bare LF, an empty line before a request, two
//! lengths. hyper is then handed a fixed harmless request and the service a verdict, so that the
//! refusal is answered and recorded in its turn like any other; nothing after it is read.
//!
//! Invariant: of what follows a request, no byte reaches hyper before hyper asks for the next head, which
//! it does once the answer to the last has been written. After a refusal no byte at all does. Where a
//! request asks for another protocol, what follows it is held until that is agreed on, and given back
//! with the stream; where it is refused, it is the next request or none.

mod adapter;
mod alarm;
mod chunks;
mod fault;
mod field;
mod head;

pub(super) use adapter::{Rest, Strict};
pub(super) use alarm::Alarm;
pub(super) use fault::Fault;
