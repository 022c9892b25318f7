//! What a request may say of its framing, what an answer may, and the shape of a request for HTTP/2.
//!
//! Framing is written here from the body at hand, never copied from the client: a length that is
//! said twice, or that is not the body's, would let one request become two.

#[cfg(test)]
mod tests;

use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE,
    CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, MAX_FORWARDS, SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, SET_COOKIE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::uri::{Authority, Scheme};
use http::{Method, Request, Uri, Version, response};
use http_body::Body as _;
use hyper::ext::Protocol;

use super::Fault;
use super::outgoing::Outgoing;
use crate::wire::{Field, Fields, Outbound, WEBSOCKET, WEBSOCKET_VERSION, connection_listed};

/// The most header lines of an answer; [`HEAD_BYTES`] bounds their size.
pub(super) const HEADER_LINES: usize = 100;

/// The largest head of an answer.
pub(super) const HEAD_BYTES: usize = 64 * 1024;

/// Makes a request that is shaped for HTTP/2 one for a WebSocket (RFC 8441 §5), whatever it says about
/// that itself.
pub(super) fn connect_to_websocket(
    mut request: Request<Outgoing>,
) -> Result<Request<Outgoing>, Fault> {
    *request.method_mut() = Method::CONNECT;
    let protocol = Protocol::from_static(WEBSOCKET);
    request.extensions_mut().insert(protocol);
    let version = HeaderValue::from_str(WEBSOCKET_VERSION).map_err(|_| Fault::Handshake)?;
    let headers = request.headers_mut();
    headers.insert(SEC_WEBSOCKET_VERSION, version);
    for name in [SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_ACCEPT, CONTENT_LENGTH, TE] {
        headers.remove(name);
    }
    Ok(request)
}

/// Judges the head of an answer that switches protocols: to what was asked for, and by somebody who has
/// understood it (RFC 6455 §4.1).
pub(super) fn judge_switch(head: &response::Parts, accept: &HeaderValue) -> Result<(), Fault> {
    let only = |name: HeaderName| {
        let mut lines = head.headers.get_all(name).into_iter();
        lines.next().filter(|_| lines.next().is_none())
    };
    let is_websocket = only(UPGRADE)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(WEBSOCKET.as_bytes()));
    let understood = only(SEC_WEBSOCKET_ACCEPT) == Some(accept);
    let switches = connection_listed(&head.headers).any(|name| name == "upgrade");
    if is_websocket && understood && switches && head.version == Version::HTTP_11 {
        return Ok(());
    }
    Err(Fault::Handshake)
}

/// Shapes a request for HTTP/2: its host in the target, nothing of a connection.
pub(super) fn for_http2(
    request: Outbound<Outgoing>,
    address: &Authority,
    tls: bool,
) -> Result<Request<Outgoing>, Fault> {
    check_method(&request.method)?;
    let said = Said::read(&request.fields);
    let host = Authority::try_from(said.host(address)?).map_err(|_| Fault::RequestHost)?;
    let (length, trailers) = (said.length()?, said.trailers);
    let Outbound {
        method,
        target,
        mut fields,
        mut body,
    } = request;
    strip(&mut fields);
    if trailers {
        fields.push(&TE, &HeaderValue::from_static("trailers"));
    }
    if let Some(length) = length {
        check_length(length, &mut body)?;
    }
    let mut uri = http::uri::Parts::default();
    uri.scheme = Some(if tls { Scheme::HTTPS } else { Scheme::HTTP });
    uri.authority = Some(host);
    uri.path_and_query = Some(target);
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = Uri::from_parts(uri).map_err(|_| Fault::RequestHost)?;
    *request.version_mut() = Version::HTTP_2;
    *request.headers_mut() = fields.into_headers().map_err(|_| Fault::RequestField)?;
    Ok(request)
}

pub(super) fn check_method(method: &Method) -> Result<(), Fault> {
    if method == Method::CONNECT {
        return Err(Fault::Connect);
    }
    Ok(())
}

/// What a request's fields say of its host and its framing.
#[derive(Default)]
pub(super) struct Said<'a> {
    hosts: (Option<&'a [u8]>, usize),
    lengths: (Option<&'a [u8]>, usize),
    /// Whether `TE` asks for trailers.
    pub(super) trailers: bool,
}

impl<'a> Said<'a> {
    /// In one walk.
    pub(super) fn read(fields: &'a Fields) -> Self {
        let mut said = Self::default();
        for Field { name, value, .. } in fields.iter() {
            match name {
                b"content-length" => said.lengths = (Some(value), said.lengths.1 + 1),
                b"host" => said.hosts = (Some(value), said.hosts.1 + 1),
                b"te" => said.trailers |= lists_trailers(value),
                _ => {}
            }
        }
        said
    }

    /// The host that the upstream is told: the request's own, else where we connect to.
    pub(super) fn host(&self, address: &'a Authority) -> Result<&'a [u8], Fault> {
        match self.hosts {
            (Some(host), 1) => Ok(host),
            (Some(_), _) => Err(Fault::RequestHost),
            (None, _) => Ok(address.as_str().as_bytes()),
        }
    }

    /// The one length of the content, where one is said.
    pub(super) fn length(&self) -> Result<Option<u64>, Fault> {
        match self.lengths {
            (None, _) => Ok(None),
            (Some(digits), 1) => read_length(digits).map(Some).ok_or(Fault::RequestLength),
            (Some(_), _) => Err(Fault::RequestLength),
        }
    }
}

/// Whether a line of `TE` asks for trailers.
fn lists_trailers(line: &[u8]) -> bool {
    line.split(|byte| *byte == b',')
        .any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}

/// Takes away what this connection says for itself.
fn strip(fields: &mut Fields) {
    for name in [CONNECTION, HOST, TE, TRANSFER_ENCODING, UPGRADE] {
        fields.remove(&name);
    }
}

/// Whether the body can be as long as the request declares, and if so is held to it.
pub(super) fn check_length(length: u64, body: &mut Outgoing) -> Result<(), Fault> {
    let hint = body.size_hint();
    if length < hint.lower() || hint.upper().is_some_and(|upper| length > upper) {
        return Err(Fault::RequestLength);
    }
    body.declare(length);
    Ok(())
}

/// A length (RFC 9110 §8.6): digits alone.
fn read_length(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    str::from_utf8(digits).ok()?.parse().ok()
}

/// Whether a field may stand behind the content: it frames, routes and vouches for nothing, because by now
/// all that has been done (RFC 9110 §6.5.1).
pub(super) fn may_be_trailer(name: &HeaderName) -> bool {
    const NEVER: [HeaderName; 14] = [
        AUTHORIZATION,
        CACHE_CONTROL,
        CONNECTION,
        CONTENT_ENCODING,
        CONTENT_LENGTH,
        CONTENT_RANGE,
        CONTENT_TYPE,
        HOST,
        MAX_FORWARDS,
        SET_COOKIE,
        TE,
        TRAILER,
        TRANSFER_ENCODING,
        UPGRADE,
    ];
    !NEVER.contains(name)
}

/// What an answer's head says about the length of its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    /// It comes in chunks.
    Chunked,
    /// So many bytes.
    Known(u64),
    /// Nothing.
    Unsaid,
}

/// Judges an answer's head: it says the length of its content in one way, or not at all.
pub(super) fn judge(headers: &HeaderMap) -> Result<Length, Fault> {
    if headers.len() > HEADER_LINES {
        return Err(Fault::AnswerTooManyHeaders);
    }
    let mut lengths = headers.get_all(CONTENT_LENGTH).into_iter();
    let length = match (lengths.next(), lengths.next()) {
        (None, _) => None,
        (Some(length), None) => Some(read_length(length.as_bytes()).ok_or(Fault::AnswerLength)?),
        (Some(_), Some(_)) => return Err(Fault::AnswerLength),
    };
    let mut codings = headers.get_all(TRANSFER_ENCODING).into_iter();
    match (codings.next(), codings.next(), length) {
        (None, _, None) => Ok(Length::Unsaid),
        (None, _, Some(length)) => Ok(Length::Known(length)),
        // A coding below `chunked` would reach the client undeclared, and two lengths are two readings.
        (Some(coding), None, None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => {
            Ok(Length::Chunked)
        }
        (Some(_), _, _) => Err(Fault::AnswerLength),
    }
}
