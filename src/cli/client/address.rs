//! The address of a control side: an origin, read once.

use std::fmt;
use std::str::FromStr;

use http::Uri;
use thiserror::Error;

/// Where a control side is: `https://host:port`, nothing behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Address {
    text: String,
    /// Whether it is spoken to through TLS.
    pub(super) tls: bool,
    /// Without the brackets of an IPv6 address.
    pub(super) host: String,
    pub(super) port: u16,
    /// As the `Host` header has it.
    pub(super) authority: String,
}

/// A text that is no control address.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{text}` can't be a control address: {why}; it looks like `https://gate.example:8444`")]
pub(in crate::cli) struct AddressError {
    text: String,
    why: &'static str,
}

impl Address {
    /// The address as it was written, without a slash at its end: the issuer's name (RFC 8414 §2).
    pub(in crate::cli) fn as_str(&self) -> &str {
        &self.text
    }

    /// The path of `url`, where that lies on this very origin.
    pub(in crate::cli) fn path_of(&self, url: &str) -> Option<String> {
        let path = url.strip_prefix(&self.text)?;
        let bare = path.starts_with('/') && path.bytes().all(|b| b.is_ascii_graphic());
        (bare && !path.contains('#')).then(|| path.to_owned())
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let text = text.trim();
        let wrong = |why| AddressError {
            text: text.to_owned(),
            why,
        };
        let uri: Uri = text.parse().map_err(|_| wrong("it is not a URL"))?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(wrong("it does not start with `https://` or `http://`")),
        };
        let authority = uri.authority().ok_or_else(|| wrong("it names no host"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("it holds a user name"));
        }
        if uri.path().len() > 1 || uri.query().is_some() {
            return Err(wrong("it has a path"));
        }
        let host = authority.host();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        if bare.is_empty() {
            return Err(wrong("it names no host"));
        }
        let port = match authority.as_str().strip_prefix(host) {
            Some("") if tls => 443,
            Some("") => 80,
            // `http` takes any digits for a port, and tells only here that they are none.
            _ => authority
                .port_u16()
                .filter(|port| *port != 0)
                .ok_or_else(|| wrong("its port is none"))?,
        };
        Ok(Self {
            tls,
            host: bare.to_owned(),
            port,
            authority: authority.as_str().to_owned(),
            text: text.trim_end_matches('/').to_owned(),
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
