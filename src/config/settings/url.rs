//! URLs of the gateway and of issuers.

#[cfg(test)]
mod tests;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::Uri;
use thiserror::Error;

/// A URL that can't be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum UrlError {
    /// Not a URL, or one of another kind.
    #[error("`{0}` is not a URL that starts with https:// or http://")]
    Form(String),
    /// Keys that anybody on the way could replace.
    #[error("`{0}` must start with https://, because its content is believed")]
    Insecure(String),
    /// A path, query or fragment where only an origin can be.
    #[error("`{0}` has something behind the host and port")]
    Path(String),
    /// A query or fragment where none can be.
    #[error("`{0}` has a query or a fragment")]
    Query(String),
    /// A user name or password.
    #[error("a URL has no user name or password here")]
    Userinfo,
}

/// How a listener of the gateway is reached: scheme, host and port, without a slash at the end.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicUrl(Arc<str>);

impl PublicUrl {
    /// Reads `https://gate.example:8443`.
    ///
    /// # Errors
    ///
    /// See [`UrlError`].
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let uri = parse(text)?;
        let authority = uri.authority().map_or("", |a| a.as_str());
        let scheme = uri.scheme_str().unwrap_or_default();
        let origin = format!("{scheme}://{authority}").to_ascii_lowercase();
        let written = text.strip_suffix('/').unwrap_or(text);
        if !written.eq_ignore_ascii_case(&origin) {
            return Err(UrlError::Path(text.to_owned()));
        }
        Ok(Self(origin.into()))
    }

    /// The URL of a listener at `address`, as seen from its own machine where it listens everywhere.
    #[must_use]
    pub fn of_listener(address: SocketAddr, tls: bool) -> Self {
        let scheme = if tls { "https" } else { "http" };
        let port = address.port();
        let url = match address.ip() {
            ip if ip.is_unspecified() => format!("{scheme}://localhost:{port}"),
            IpAddr::V4(ip) => format!("{scheme}://{ip}:{port}"),
            IpAddr::V6(ip) => format!("{scheme}://[{ip}]:{port}"),
        };
        Self(url.into())
    }

    /// The URL as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicUrl({})", self.0)
    }
}

/// Reads an issuer's name (RFC 8414 §2): a URL without query and fragment, kept as it is written,
/// because it is compared letter by letter.
pub(super) fn issuer(text: &str) -> Result<String, UrlError> {
    parse(text)?;
    if text.contains(['?', '#']) {
        return Err(UrlError::Query(text.to_owned()));
    }
    Ok(text.to_owned())
}

/// Reads the URL of a key set: whoever can change the answer can make tokens, so only this machine
/// may be asked without TLS.
pub(super) fn jwks(text: &str) -> Result<String, UrlError> {
    let uri = parse(text)?;
    let host = uri.host().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    let local = host == "localhost" || address.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
    if uri.scheme_str() != Some("https") && !local {
        return Err(UrlError::Insecure(text.to_owned()));
    }
    if text.contains('#') {
        return Err(UrlError::Query(text.to_owned()));
    }
    Ok(text.to_owned())
}

fn parse(text: &str) -> Result<Uri, UrlError> {
    let form = || UrlError::Form(text.to_owned());
    let uri: Uri = text.parse().map_err(|_| form())?;
    if uri.authority().is_some_and(|a| a.as_str().contains('@')) {
        return Err(UrlError::Userinfo);
    }
    let known = matches!(uri.scheme_str(), Some("http" | "https"));
    let host = uri.host().filter(|host| !host.is_empty());
    if !known || host.is_none() {
        return Err(form());
    }
    Ok(uri)
}
