//! The head of a request, written straight into the bytes that go out.

use std::io::Write as _;

use http::Method;
use http::header::{
    CONNECTION, HOST, HeaderMap, HeaderName, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};
use http::uri::Authority;
use http_body::Body as _;

use crate::upstream::framing::{Said, check_length, check_method};
use crate::upstream::outgoing::Outgoing;
use crate::upstream::{Fault, framing};
use crate::wire::{Fields, Outbound, WEBSOCKET, WEBSOCKET_VERSION};

/// How the other side finds the end of the request (RFC 9112 §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::upstream) enum Framing {
    /// In chunks.
    Chunked,
    /// After so many bytes, of which none may be left.
    Length(u64),
}

/// Writes the head of `request`: origin-form, one `Host`, one statement of the content's length. Framing is
/// written from the content at hand; what the headers say of this connection is not copied. With a
/// `websocket_key` it asks for a WebSocket (RFC 6455 §4.1), whatever it says of that itself.
///
/// The request stays as it is, so one that comes back unsent can go out again.
pub(in crate::upstream) fn write_head(
    out: &mut Vec<u8>,
    request: &mut Outbound<Outgoing>,
    address: &Authority,
    websocket_key: Option<&str>,
) -> Result<Framing, Fault> {
    check_method(&request.method)?;
    let said = Said::read(&request.fields);
    let length = said.length()?;
    if let Some(length) = length {
        check_length(length, &mut request.body)?;
    }
    let host = said.host(address)?;
    out.extend_from_slice(request.method.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(request.target.as_str().as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    line(out, &HOST, host);
    let asks = websocket_key.is_some();
    for field in request.fields.iter() {
        if !(is_written_here(field.name) || asks && is_of_websocket(field.name)) {
            out.extend_from_slice(field.line);
        }
    }
    if let Some(key) = websocket_key {
        line(out, &CONNECTION, b"Upgrade");
        line(out, &UPGRADE, WEBSOCKET.as_bytes());
        line(out, &SEC_WEBSOCKET_KEY, key.as_bytes());
        line(out, &SEC_WEBSOCKET_VERSION, WEBSOCKET_VERSION.as_bytes());
    } else if said.trailers {
        // RFC 9110 §10.1.4: `TE` is of this connection alone, and `Connection` says so.
        line(out, &TE, b"trailers");
        line(out, &CONNECTION, b"te");
    }
    let framing = write_length(out, request, length);
    out.extend_from_slice(b"\r\n");
    Ok(framing)
}

/// Says the content's length in one way, or nothing where there is none and none is expected.
fn write_length(out: &mut Vec<u8>, request: &Outbound<Outgoing>, said: Option<u64>) -> Framing {
    let length = said.or_else(|| request.body.size_hint().exact());
    match length {
        None => {
            line(out, &TRANSFER_ENCODING, b"chunked");
            Framing::Chunked
        }
        Some(length) => {
            if length > 0 || said.is_some() || expects_content(&request.method) {
                // Into memory, which takes it.
                let _written = write!(out, "content-length: {length}\r\n");
            }
            Framing::Length(length)
        }
    }
}

/// RFC 9110 §8.6: for others, no content is not worth saying.
fn expects_content(method: &Method) -> bool {
    matches!(*method, Method::PATCH | Method::POST | Method::PUT)
}

/// Whether a field is about this connection or about the framing, and so is written here or not at all.
fn is_written_here(name: &[u8]) -> bool {
    matches!(
        name,
        b"connection" | b"content-length" | b"host" | b"te" | b"transfer-encoding" | b"upgrade"
    )
}

fn is_of_websocket(name: &[u8]) -> bool {
    matches!(
        name,
        b"sec-websocket-accept" | b"sec-websocket-key" | b"sec-websocket-version"
    )
}

/// The trailers that the request announces.
pub(super) fn announced_trailers(fields: &Fields) -> Vec<HeaderName> {
    let lines = fields.get_all(&TRAILER);
    let names = lines.flat_map(|line| line.split(|byte| *byte == b','));
    names
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .filter(framing::may_be_trailer)
        .collect()
}

/// Writes the end of chunked content: the last chunk, and those trailers that were announced.
pub(super) fn write_trailers(out: &mut Vec<u8>, trailers: &HeaderMap, announced: &[HeaderName]) {
    out.extend_from_slice(b"0\r\n");
    for (name, value) in trailers {
        if announced.contains(name) {
            line(out, name, value.as_bytes());
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes a field line. INVARIANT: no header's name or value holds CR or LF, and no authority does.
fn line(out: &mut Vec<u8>, name: &HeaderName, value: &[u8]) {
    out.extend_from_slice(name.as_str().as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}
