//! Sockets that were bound before this process began (sd_listen_fds(3)): by systemd, or by whoever starts
//! gateways one after the other on the same sockets.
//!
//! Such a socket outlives each of its gateways. What connects while one has stopped and the next is not
//! ready yet waits in the kernel, and is not refused.

use std::net::{SocketAddr, TcpListener};

use listenfd::ListenFd;

use super::BindError;

/// Sockets that nobody has taken yet.
#[derive(Debug, Default)]
pub struct HandedOver(Vec<(SocketAddr, TcpListener)>);

impl HandedOver {
    /// The sockets that `LISTEN_FDS` counts, if `LISTEN_PID` says that they are for this process. The
    /// variables are gone afterwards, so that no child takes the sockets for its own.
    ///
    /// # Errors
    ///
    /// When one of them is not a TCP socket that listens.
    pub fn from_environment() -> Result<Self, BindError> {
        let mut descriptors = ListenFd::from_env();
        let mut sockets = Vec::new();
        for index in 0..descriptors.len() {
            let socket = descriptors.take_tcp_listener(index);
            if let Some(socket) = socket.map_err(BindError::HandedOver)? {
                socket
                    .set_nonblocking(true)
                    .map_err(BindError::HandedOver)?;
                let address = socket.local_addr().map_err(BindError::HandedOver)?;
                sockets.push((address, socket));
            }
        }
        Ok(Self(sockets))
    }

    /// The socket for an address of the settings.
    pub(super) fn take(&mut self, address: SocketAddr) -> Option<TcpListener> {
        let mut sockets = self.0.iter();
        let index = sockets.position(|(one, _)| same(*one, address))?;
        Some(self.0.swap_remove(index).1)
    }

    /// A socket that nobody serves would take connections and never answer.
    pub(super) fn nothing_left(&self) -> Result<(), BindError> {
        let first = self.0.first();
        first.map_or(Ok(()), |(address, _)| Err(BindError::Unasked(*address)))
    }
}

/// Whether both mean the same; systemd binds `[::]` where one writes a port alone.
fn same(bound: SocketAddr, wanted: SocketAddr) -> bool {
    let any = bound.ip().is_unspecified() && wanted.ip().is_unspecified();
    bound.port() == wanted.port()
        && (any || bound.ip().to_canonical() == wanted.ip().to_canonical())
}
