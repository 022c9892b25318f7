//! Makes a request fit the connection that it goes out on, and judges the head that comes back.
//!
//! Framing is written here from the body at hand, never copied from the client: a length that is
//! said twice, or that is not the body's, would let one request become two.

#[cfg(test)]
mod tests;

use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, TE, TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts as Head;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Method, Request, StatusCode, Uri, Version, response};
use http_body::Body as _;

use super::Fault;
use super::outgoing::Outgoing;
use crate::wire::{
    WEBSOCKET, WEBSOCKET_VERSION, connection_listed, websocket_accept, websocket_key,
};

/// The most header lines of an answer; [`HEAD_BYTES`] bounds their size.
pub(super) const HEADER_LINES: usize = 100;

/// The largest head of an answer.
pub(super) const HEAD_BYTES: usize = 64 * 1024;

/// Shapes a request for HTTP/1.1: origin-form, one `Host`, one statement of the body's length.
///
/// Shaping twice is shaping once, so a request that comes back unsent can go out again.
pub(super) fn for_http1(
    request: Request<Outgoing>,
    address: &Authority,
) -> Result<Request<Outgoing>, Fault> {
    let (mut head, mut body) = request.into_parts();
    common(&mut head)?;
    let host = host(&head, address)?;
    let trailers = wants_trailers(&head.headers);
    strip(&mut head.headers);
    head.headers.insert(HOST, host);
    if trailers {
        // RFC 9110 §10.1.4: `TE` is of this connection alone, and `Connection` says so.
        head.headers
            .insert(TE, HeaderValue::from_static("trailers"));
        head.headers
            .insert(CONNECTION, HeaderValue::from_static("te"));
    }
    declare_length(&mut head, &mut body)?;
    head.uri = Uri::from(path(&head.uri));
    head.version = Version::HTTP_11;
    Ok(Request::from_parts(head, body))
}

/// Makes a request that is shaped for HTTP/1.1 one for a WebSocket (RFC 6455 §4.1), whatever it says
/// about that itself. Returns what has to come back.
pub(super) fn ask_for_websocket(headers: &mut HeaderMap) -> Result<HeaderValue, Fault> {
    let key = websocket_key();
    let accept = websocket_accept(key.as_bytes());
    let value = |text: &str| HeaderValue::from_str(text).map_err(|_| Fault::Handshake);
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static(WEBSOCKET));
    headers.insert(SEC_WEBSOCKET_KEY, value(&key)?);
    headers.insert(SEC_WEBSOCKET_VERSION, value(WEBSOCKET_VERSION)?);
    headers.remove(SEC_WEBSOCKET_ACCEPT);
    headers.remove(TE);
    value(&accept)
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
    request: Request<Outgoing>,
    address: &Authority,
    tls: bool,
) -> Result<Request<Outgoing>, Fault> {
    let (mut head, mut body) = request.into_parts();
    common(&mut head)?;
    let host = host(&head, address)?;
    let trailers = wants_trailers(&head.headers);
    strip(&mut head.headers);
    if trailers {
        head.headers
            .insert(TE, HeaderValue::from_static("trailers"));
    }
    check_length(&head.headers, &mut body)?;
    let mut uri = http::uri::Parts::default();
    uri.scheme = Some(if tls { Scheme::HTTPS } else { Scheme::HTTP });
    uri.authority = Authority::try_from(host.as_bytes())
        .map(Some)
        .map_err(|_| Fault::RequestHost)?;
    uri.path_and_query = Some(path(&head.uri));
    head.uri = Uri::from_parts(uri).map_err(|_| Fault::RequestHost)?;
    head.version = Version::HTTP_2;
    Ok(Request::from_parts(head, body))
}

fn common(head: &mut Head) -> Result<(), Fault> {
    if head.method == Method::CONNECT {
        return Err(Fault::Connect);
    }
    Ok(())
}

fn path(uri: &Uri) -> PathAndQuery {
    uri.path_and_query()
        .cloned()
        .unwrap_or_else(|| PathAndQuery::from_static("/"))
}

/// The host that the upstream is told: the request's own, else where we connect to.
fn host(head: &Head, address: &Authority) -> Result<HeaderValue, Fault> {
    let mut lines = head.headers.get_all(HOST).into_iter();
    match (lines.next(), lines.next()) {
        (Some(host), None) => Ok(host.clone()),
        (Some(_), Some(_)) => Err(Fault::RequestHost),
        (None, _) => {
            let authority = head.uri.authority().unwrap_or(address);
            HeaderValue::from_str(authority.as_str()).map_err(|_| Fault::RequestHost)
        }
    }
}

fn wants_trailers(headers: &HeaderMap) -> bool {
    headers
        .get_all(TE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .any(|coding| coding.trim().eq_ignore_ascii_case("trailers"))
}

/// Takes away what this connection says for itself.
fn strip(headers: &mut HeaderMap) {
    for name in [CONNECTION, HOST, TE, TRANSFER_ENCODING, UPGRADE] {
        headers.remove(name);
    }
}

/// Says the body's length in one way. hyper would do this too, but drops the body of a `GET` whose
/// length it does not know.
fn declare_length(head: &mut Head, body: &mut Outgoing) -> Result<(), Fault> {
    if check_length(&head.headers, body)?.is_some() {
        return Ok(());
    }
    match body.size_hint().exact() {
        Some(0) if !expects_body(&head.method) => {}
        Some(length) => {
            head.headers.insert(CONTENT_LENGTH, length.into());
        }
        None => {
            let chunked = HeaderValue::from_static("chunked");
            head.headers.insert(TRANSFER_ENCODING, chunked);
        }
    }
    Ok(())
}

/// RFC 9110 §8.6: for these, no content is worth saying.
fn expects_body(method: &Method) -> bool {
    matches!(*method, Method::PATCH | Method::POST | Method::PUT)
}

/// The length that the request declares, which must be one that its body can have.
fn check_length(headers: &HeaderMap, body: &mut Outgoing) -> Result<Option<u64>, Fault> {
    let Some(length) = only_length(headers).map_err(|()| Fault::RequestLength)? else {
        return Ok(None);
    };
    let hint = body.size_hint();
    if length < hint.lower() || hint.upper().is_some_and(|upper| length > upper) {
        return Err(Fault::RequestLength);
    }
    body.declare(length);
    Ok(Some(length))
}

/// The one `Content-Length`, or an error where there are several or it is no plain number.
fn only_length(headers: &HeaderMap) -> Result<Option<u64>, ()> {
    let mut lines = headers.get_all(CONTENT_LENGTH).into_iter();
    let (first, second) = (lines.next(), lines.next());
    let Some(line) = first else { return Ok(None) };
    let digits = line.as_bytes();
    if second.is_some() || digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(());
    }
    let digits = line.to_str().map_err(|_| ())?;
    digits.parse().map(Some).map_err(|_| ())
}

/// Judges an answer's head, and whether its connection may serve again as far as the head says.
pub(super) fn judge(head: &response::Parts) -> Result<bool, Fault> {
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(Fault::Upgrade);
    }
    if head.headers.len() > HEADER_LINES {
        return Err(Fault::AnswerTooManyHeaders);
    }
    let length = only_length(&head.headers).map_err(|()| Fault::AnswerLength)?;
    let mut codings = head.headers.get_all(TRANSFER_ENCODING).into_iter();
    match (codings.next(), codings.next()) {
        (None, _) => {}
        // A coding below `chunked` would reach the client undeclared, and two lengths are two readings.
        (Some(coding), None)
            if length.is_none() && coding.as_bytes().eq_ignore_ascii_case(b"chunked") => {}
        (Some(_), _) => return Err(Fault::AnswerLength),
    }
    // To an HTTP/1.0 server hyper would send the next request as HTTP/1.0, and drop a body whose
    // length it does not know.
    Ok(head.version != Version::HTTP_10)
}
