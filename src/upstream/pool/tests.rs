//! The pool against upstreams that say exactly what a test tells them to.

mod addresses;
mod bodies;
mod faults;
mod http2;
mod retry;
mod reuse;
mod stub;
mod timeouts;
mod tls;
mod unprocessed;
