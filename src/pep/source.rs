//! Where a request comes from: the connection's address, or what trusted proxies say of it.

#[cfg(test)]
mod tests;

use std::net::IpAddr;

use http::HeaderMap;

use super::gate::Gate;

/// The client's address. Of a chain of forwarders the last that is no trusted proxy counts: whatever
/// stands before it was written by somebody nobody vouches for.
pub(super) fn address(gate: &Gate, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
    find(|address| gate.is_trusted_proxy(address), peer, headers)
}

fn find(is_trusted: impl Fn(IpAddr) -> bool, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
    let mut source = peer.to_canonical();
    if !is_trusted(source) {
        return source;
    }
    let lines: Vec<_> = headers.get_all("x-forwarded-for").iter().collect();
    let hops = lines
        .iter()
        .rev()
        .flat_map(|line| line.to_str().unwrap_or_default().rsplit(','));
    for hop in hops {
        // A trusted proxy writes addresses; what is none is where its word ends.
        let Ok(address) = hop.trim().parse::<IpAddr>() else {
            break;
        };
        source = address.to_canonical();
        if !is_trusted(source) {
            break;
        }
    }
    source
}
