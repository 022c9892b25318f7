//! How bytes are written does not matter to what passes: raw sockets in front of the gateway, an upstream
//! behind it that writes down every request it is sent.
//!
//! A case is bytes, the answers that they get, and the whole requests that the upstream sees. Where the
//! connection has to end, a further good request is sent behind the bytes, which nobody may ever see.

mod case;
mod client;
mod frames;
mod harness;
mod upstream;

mod calm;
mod chunks;
mod framing;
mod headers;
mod heads;
mod http2;
mod limits;
mod limits_in_time;
mod mutations;
mod pipelining;
mod targets;
mod timing;
