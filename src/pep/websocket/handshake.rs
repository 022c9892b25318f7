//! The client's half of the opening handshake: whether there is one, and whether it is in order.

#[cfg(test)]
mod tests;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Version, header};

use crate::model::{DenyReason, Protocol};
use crate::pep::canonical::Canonical;
use crate::pep::refusal::Refusal;
use crate::wire::{
    WEBSOCKET, WEBSOCKET_VERSION, connection_listed, is_websocket_key, websocket_accept,
};

/// How a client has asked for a WebSocket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::pep) enum Handshake {
    /// With an `Upgrade` (RFC 6455 §4.2.1); holds what answers its key.
    Http1(HeaderValue),
    /// With an extended `CONNECT` (RFC 8441 §5).
    Http2,
}

impl Handshake {
    /// Reads a request for an operation that is spoken in `protocol`. An `Upgrade` where none is meant is
    /// ignored (RFC 9110 §7.8), as it is in HTTP/1.0; one for a WebSocket has to be right.
    pub(in crate::pep) fn read(
        canonical: &Canonical,
        protocol: Protocol,
    ) -> Result<Option<Self>, Refusal> {
        let headers = canonical.headers();
        let is_websocket = protocol == Protocol::Websocket;
        if canonical.is_extended_connect() {
            if !is_websocket {
                return Err(malformed("the operation is no WebSocket"));
            }
            check_version(headers)?;
            return Ok(Some(Self::Http2));
        }
        if !is_websocket
            || canonical.version() != Version::HTTP_11
            || !headers.contains_key(header::UPGRADE)
        {
            return Ok(None);
        }
        let upgrade = only(headers, &header::UPGRADE)
            .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(WEBSOCKET.as_bytes()));
        if !upgrade {
            return Err(malformed("`Upgrade` can only be `websocket` here, once"));
        }
        if !connection_listed(headers).any(|name| name == "upgrade") {
            return Err(malformed("`Connection` does not list `Upgrade`"));
        }
        if *canonical.method() != Method::GET {
            return Err(malformed("a WebSocket is asked for with GET"));
        }
        // CVE-2026-58055: two ideas of where the frames begin.
        let body = canonical.content_length().is_some_and(|length| length > 0);
        if body || headers.contains_key(header::TRANSFER_ENCODING) {
            return Err(malformed("a request for a WebSocket has no body"));
        }
        check_version(headers)?;
        let key = only(headers, &header::SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes);
        let key = key.filter(|key| is_websocket_key(key));
        let key = key.ok_or_else(|| malformed("`Sec-WebSocket-Key` is not sixteen bytes, once"))?;
        let accept = HeaderValue::from_str(&websocket_accept(key));
        let accept = accept.map_err(|_| malformed("`Sec-WebSocket-Key` can't be answered"))?;
        Ok(Some(Self::Http1(accept)))
    }

    /// Says yes in the way of the client's protocol, whatever the upstream's way was.
    pub(in crate::pep) fn accept<B>(self, response: &mut Response<B>) {
        let headers = response.headers_mut();
        headers.remove(header::SEC_WEBSOCKET_ACCEPT);
        match self {
            Self::Http1(accept) => {
                let upgrade = HeaderValue::from_static("Upgrade");
                headers.insert(header::CONNECTION, upgrade);
                let websocket = HeaderValue::from_static(WEBSOCKET);
                headers.insert(header::UPGRADE, websocket);
                headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
                *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            }
            Self::Http2 => *response.status_mut() = StatusCode::OK,
        }
    }
}

fn check_version(headers: &HeaderMap) -> Result<(), Refusal> {
    let version = only(headers, &header::SEC_WEBSOCKET_VERSION);
    if version.is_some_and(|version| version == WEBSOCKET_VERSION) {
        return Ok(());
    }
    Err(malformed("`Sec-WebSocket-Version` can only be `13`").for_websocket_version())
}

/// The value of a header that is there once.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

fn malformed(why: &str) -> Refusal {
    Refusal::new(DenyReason::RequestMalformed, why)
}
