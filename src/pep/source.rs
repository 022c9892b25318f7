//! Where a request comes from: the connection's address, or what trusted proxies say of it.

#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;

use super::gate::Gate;
use super::refusal::Refusal;
use crate::model::DenyReason;

/// The client's address. Of a chain of forwarders the last that is no trusted proxy counts: whatever
/// stands before it was written by somebody nobody vouches for.
///
/// A trusted proxy that says something else than addresses leaves the client unknown. It is not taken for the
/// client then: its own address is one that conditions trust.
pub(super) fn address(gate: &Gate, peer: IpAddr, headers: &HeaderMap) -> Result<IpAddr, Refusal> {
    let found = find(|address| gate.is_trusted_proxy(address), peer, headers);
    found.map_err(|Unreadable { by }| {
        let detail = format!(
            "the proxy {by} does not say in `X-Forwarded-For` from which address the request comes"
        );
        Refusal::new(DenyReason::RequestMalformed, detail)
    })
}

/// What a trusted proxy says is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Unreadable {
    by: IpAddr,
}

fn find(
    is_trusted: impl Fn(IpAddr) -> bool,
    peer: IpAddr,
    headers: &HeaderMap,
) -> Result<IpAddr, Unreadable> {
    let mut source = peer.to_canonical();
    if !is_trusted(source) {
        return Ok(source);
    }
    let lines: Vec<_> = headers.get_all("x-forwarded-for").iter().collect();
    let lines = lines.iter().rev();
    let hops = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
    // RFC 9110 §5.6.1: a list may have empty members, which say nothing.
    let hops = hops.map(<[u8]>::trim_ascii).filter(|hop| !hop.is_empty());
    for hop in hops {
        source = read(hop).ok_or(Unreadable { by: source })?;
        if !is_trusted(source) {
            break;
        }
    }
    Ok(source)
}

/// An address as proxies write it: bare, or with a port, and in IPv6 with or without brackets.
fn read(hop: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(hop).ok()?;
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    let address = match bare {
        Some(bare) => IpAddr::V6(bare.parse().ok()?),
        None => {
            let with_port = || text.parse::<SocketAddr>().map(|socket| socket.ip());
            text.parse().or_else(|_| with_port()).ok()?
        }
    };
    Some(address.to_canonical())
}
