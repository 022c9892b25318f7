//! Host names and addresses of upstreams.

#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Component, Path};

use http::Uri;
use http::uri::Authority;
use thiserror::Error;

use crate::model::UpstreamAddress;

/// An address that can't be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(super) enum AddressError {
    /// Nobody runs a service there, but clouds hand out credentials there.
    #[error("`{0}` is not an address that a service can have")]
    Forbidden(String),
    /// Not `http://host:port`.
    #[error(
        "`{0}` is not the address of an upstream: write it like http://10.0.0.5:9000 or unix:/run/app.sock"
    )]
    Form(String),
    /// Not a host name.
    #[error("`{0}` is not a host name")]
    Host(String),
    /// Some resolvers read this as an address.
    #[error("`{0}` is a number that some resolvers take for an address: write all four parts")]
    Number(String),
    /// A path, query or fragment behind the address.
    #[error("`{0}` has something behind the host and port: routes decide on paths")]
    Path(String),
    /// A path that no socket can have.
    #[error("`{0}` is not the path of a socket: write it from the root and without `..`")]
    Socket(String),
    /// A user name or password.
    #[error("the address of an upstream has no user name or password")]
    Userinfo,
}

/// Reads `http://host[:port]`, `https://host[:port]` or `unix:/path`.
pub(super) fn upstream(text: &str) -> Result<UpstreamAddress, AddressError> {
    if let Some(path) = text.strip_prefix("unix:") {
        return socket(path);
    }
    let form = || AddressError::Form(text.to_owned());
    // A password must not come back in the message; `@` has no other place in such an address.
    if text.contains('@') {
        return Err(AddressError::Userinfo);
    }
    let uri: Uri = text.parse().map_err(|_| form())?;
    let (tls, port) = match uri.scheme_str() {
        Some("http") => (false, 80),
        Some("https") => (true, 443),
        _ => return Err(form()),
    };
    let authority = uri.authority().ok_or_else(form)?;
    let (_, behind) = text.split_once("://").ok_or_else(form)?;
    if behind.contains(['/', '?', '#']) && behind.strip_suffix('/') != Some(authority.as_str()) {
        return Err(AddressError::Path(text.to_owned()));
    }
    let host = host(authority.host())?;
    let port = match authority.as_str().strip_prefix(authority.host()) {
        Some("") => port,
        _ => authority.port_u16().filter(|p| *p > 0).ok_or_else(form)?,
    };
    let authority: Authority = format!("{host}:{port}").parse().map_err(|_| form())?;
    Ok(UpstreamAddress {
        tls,
        authority,
        socket: None,
    })
}

fn socket(text: &str) -> Result<UpstreamAddress, AddressError> {
    let path = Path::new(text);
    let plain = |part| matches!(part, Component::RootDir | Component::Normal(_));
    let named = path.file_name().is_some() && !text.ends_with('/');
    if !path.is_absolute() || !path.components().all(plain) || !named {
        return Err(AddressError::Socket(text.to_owned()));
    }
    Ok(UpstreamAddress {
        tls: false,
        authority: Authority::from_static("localhost"),
        socket: Some(path.to_owned()),
    })
}

/// Reads a host name or address as it stands in a URL, and spells it in lower case.
pub(super) fn host(text: &str) -> Result<String, AddressError> {
    let odd = || AddressError::Host(text.to_owned());
    let host = text.to_ascii_lowercase();
    if let Some(inner) = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        let address: Ipv6Addr = inner.parse().map_err(|_| odd())?;
        refuse_forbidden(address.to_canonical(), text)?;
        return Ok(format!("[{address}]"));
    }
    let last = host.rsplit('.').next().unwrap_or_default();
    let all_digits = !last.is_empty() && last.bytes().all(|b| b.is_ascii_digit());
    if all_digits || last.starts_with("0x") {
        let number = |_| AddressError::Number(text.to_owned());
        let address: Ipv4Addr = host.parse().map_err(number)?;
        refuse_forbidden(IpAddr::V4(address), text)?;
        return Ok(host);
    }
    let label = |label: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        !label.is_empty()
            && label.len() <= 63
            && label.chars().all(plain)
            && !label.starts_with('-')
    };
    if host.len() > 253 || !host.split('.').all(label) {
        return Err(odd());
    }
    Ok(host)
}

fn refuse_forbidden(address: IpAddr, text: &str) -> Result<(), AddressError> {
    let forbidden = match address {
        IpAddr::V4(v4) => {
            v4.is_link_local() || v4.is_unspecified() || v4.is_multicast() || v4.is_broadcast()
        }
        IpAddr::V6(v6) => {
            v6.is_unicast_link_local()
                || v6.is_unspecified()
                || v6.is_multicast()
                // The metadata address of one cloud; not link-local by its form.
                || v6 == Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)
        }
    };
    if forbidden {
        return Err(AddressError::Forbidden(text.to_owned()));
    }
    Ok(())
}
