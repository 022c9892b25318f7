//! The other end of a connection.

use std::net::SocketAddr;

use crate::base::Digest;

/// Who a connection came from, as far as the connection itself tells.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// The address.
    pub address: SocketAddr,
    /// The SHA-256 of the client's certificate, where it showed one that is believed.
    pub certificate: Option<Digest>,
}
