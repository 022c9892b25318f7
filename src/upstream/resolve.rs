//! From a host name to addresses, without those that no service lives at.

#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use super::ConnectError;

type LookUp = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>>>>;

/// What looks up names: the system, unless a test says something else.
#[derive(Clone, Default)]
pub(super) struct Resolver(Option<Arc<Ask>>);

type Ask = dyn Fn(&str, u16) -> LookUp + Send + Sync;

impl Resolver {
    /// Looks up names in what `look_up` knows.
    #[cfg(test)]
    pub(super) fn fixed(
        look_up: impl Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static,
    ) -> Self {
        Self(Some(Arc::new(move |host, port| {
            Box::pin(std::future::ready(look_up(host, port)))
        })))
    }

    async fn look_up(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        match &self.0 {
            Some(look_up) => look_up(host, port).await,
            None => Ok(tokio::net::lookup_host((host, port)).await?.collect()),
        }
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").finish_non_exhaustive()
    }
}

/// Where clouds hand their machines credentials, outside the link-local block.
const METADATA_V4: [Ipv4Addr; 3] = [
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(192, 0, 0, 192),
];
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254);

/// The addresses of `host`, in the resolver's order and never empty. It is each time the address
/// that is judged: a name that is rebound later gains nothing.
pub(super) async fn resolve(
    resolver: &Resolver,
    host: &str,
    port: u16,
) -> Result<Vec<SocketAddr>, ConnectError> {
    let found = resolver.look_up(host, port).await;
    allowed(found.map_err(ConnectError::Resolve)?.into_iter())
}

fn allowed(found: impl Iterator<Item = SocketAddr>) -> Result<Vec<SocketAddr>, ConnectError> {
    let (forbidden, allowed): (Vec<_>, Vec<_>) =
        found.partition(|address| is_forbidden(address.ip()));
    match (allowed.is_empty(), forbidden.first()) {
        (false, _) => Ok(allowed),
        (true, Some(address)) => Err(ConnectError::Forbidden(address.ip())),
        (true, None) => Err(ConnectError::NoAddress),
    }
}

/// Whether an address is link-local or a cloud's metadata service, however it is written.
pub(super) fn is_forbidden(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_forbidden_v4(v4),
        IpAddr::V6(v6) => {
            v6.is_unicast_link_local()
                || v6 == METADATA_V6
                || embedded_v4(v6).is_some_and(is_forbidden_v4)
        }
    }
}

fn is_forbidden_v4(address: Ipv4Addr) -> bool {
    address.is_link_local() || METADATA_V4.contains(&address)
}

/// The IPv4 address that a mapped (`::ffff:…`), compatible (`::…`), NAT64 (`64:ff9b::…`) or 6to4
/// (`2002:…`) address leads to.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, high, low] = address.segments();
    let join = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    match [a, b, c, d, e, f] {
        [0, 0, 0, 0, 0, 0 | 0xffff] | [0x64, 0xff9b, 0, 0, 0, 0] => Some(join(high, low)),
        [0x2002, high, low, ..] => Some(join(high, low)),
        _ => None,
    }
}
