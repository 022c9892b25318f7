//! Binding the sockets, before anything else is made: a port that is taken is found out first.

mod handed_over;
#[cfg(test)]
mod tests;

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};
use thiserror::Error;

use crate::config::Settings;

pub use handed_over::HandedOver;

/// How many connections wait in the kernel to be accepted.
const BACKLOG: i32 = 1024;

/// A socket that can't be bound.
#[derive(Debug, Error)]
pub enum BindError {
    /// A socket was handed over that can't be used.
    #[error("a socket that was handed over can't be used")]
    HandedOver(#[source] io::Error),
    /// A socket was handed over for an address that the settings don't name.
    #[error("a socket for `{0}` was handed over, where the settings have no listener")]
    Unasked(SocketAddr),
    /// Somebody else listens there.
    #[error("`{0}` is taken: stop what listens there, or choose another port")]
    Taken(SocketAddr),
    /// The address can't be bound.
    #[error("can't listen on `{address}`")]
    Unusable {
        /// The address.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// The bound sockets of a gateway.
#[derive(Debug)]
pub struct Sockets {
    /// For each listener of the gateway one socket a worker, all on one port: the kernel spreads the
    /// connections (`SO_REUSEPORT`).
    pub(super) gateway: Vec<Vec<TcpListener>>,
    pub(super) control: TcpListener,
    pub(super) admin: Option<TcpListener>,
    gateway_addresses: Vec<SocketAddr>,
    control_address: SocketAddr,
}

impl Sockets {
    /// Binds every address that `settings` name, for so many workers.
    ///
    /// # Errors
    ///
    /// When an address is taken or can't be bound.
    pub fn bind(settings: &Settings) -> Result<Self, BindError> {
        Self::take_or_bind(settings, HandedOver::default())
    }

    /// As [`bind`](Self::bind), but with the sockets that a service manager or another process has
    /// `handed_over`, where they are for an address that `settings` name.
    ///
    /// # Errors
    ///
    /// As [`bind`](Self::bind), and when a socket was handed over for another address.
    pub fn take_or_bind(
        settings: &Settings,
        mut handed_over: HandedOver,
    ) -> Result<Self, BindError> {
        let workers = worker_count(settings);
        let mut gateway = Vec::new();
        let mut gateway_addresses = Vec::new();
        for listener in &settings.gateway.listeners {
            let (sockets, address) = match handed_over.take(listener.address) {
                Some(socket) => share(&socket, workers, listener.address)?,
                None => bind_shared(listener.address, workers)?,
            };
            gateway.push(sockets);
            gateway_addresses.push(address);
        }
        let mut one = |address| match handed_over.take(address) {
            Some(socket) => Ok(socket),
            None => bind(address, false),
        };
        let control = one(settings.control.listener.address)?;
        let control_address = local_address(&control, settings.control.listener.address)?;
        let admin = settings.admin.as_ref();
        let admin = admin.map(|listener| one(listener.address)).transpose()?;
        handed_over.nothing_left()?;
        Ok(Self {
            gateway,
            admin,
            control,
            gateway_addresses,
            control_address,
        })
    }

    /// Where the gateway listens, in the order of the settings.
    #[must_use]
    pub fn gateway_addresses(&self) -> &[SocketAddr] {
        &self.gateway_addresses
    }

    /// Where the control side listens.
    #[must_use]
    pub const fn control_address(&self) -> SocketAddr {
        self.control_address
    }
}

/// Binds one socket a worker, all on one port.
fn bind_shared(
    address: SocketAddr,
    workers: usize,
) -> Result<(Vec<TcpListener>, SocketAddr), BindError> {
    let address = free_address(address)?;
    let sockets = (0..workers).map(|_| bind(address, true));
    Ok((sockets.collect::<Result<_, _>>()?, address))
}

/// Lets all workers take connections from one socket.
fn share(
    socket: &TcpListener,
    workers: usize,
    address: SocketAddr,
) -> Result<(Vec<TcpListener>, SocketAddr), BindError> {
    let handles = (0..workers).map(|_| socket.try_clone());
    let handles = handles
        .collect::<io::Result<_>>()
        .map_err(|source| BindError::Unusable { address, source })?;
    Ok((handles, local_address(socket, address)?))
}

/// How many threads serve requests. A connection goes to the one that has the fewest.
pub(super) fn worker_count(settings: &Settings) -> usize {
    let configured = settings.gateway.workers.map(std::num::NonZeroUsize::get);
    configured.unwrap_or_else(|| {
        std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get)
    })
}

/// The address with a port that nobody listens on. Shared ports would let two gateways take turns with
/// the connections of one address, so the port is first bound alone.
fn free_address(address: SocketAddr) -> Result<SocketAddr, BindError> {
    let alone = bind(address, false)?;
    local_address(&alone, address)
}

fn local_address(socket: &TcpListener, address: SocketAddr) -> Result<SocketAddr, BindError> {
    let local = socket.local_addr();
    local.map_err(|source| BindError::Unusable { address, source })
}

fn bind(address: SocketAddr, shared: bool) -> Result<TcpListener, BindError> {
    try_bind(address, shared).map_err(|source| {
        if source.kind() == io::ErrorKind::AddrInUse {
            BindError::Taken(address)
        } else {
            BindError::Unusable { address, source }
        }
    })
}

fn try_bind(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    // Connections of a gateway that has just stopped don't keep the port.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
