//! An answer's head, and its trailers: what RFC 9112 §4 and §5 allow, and nothing beside it.

#[cfg(test)]
mod tests;

use std::mem::MaybeUninit;

use bytes::Bytes;
use http::header::CONNECTION;
use http::response::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Version};
use httparse::{EMPTY_HEADER, Header, ParserConfig, Status};
use hyper::ext::ReasonPhrase;

use super::Http1Error;
use super::chunked::Chunked;
use crate::upstream::Fault;
use crate::upstream::framing::{HEADER_LINES, Length, judge, may_be_trailer};

/// An answer's head, and what follows from it for the connection.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) parts: Parts,
    pub(super) content: Content,
    /// Whether the connection serves again after this answer, as far as the head says.
    pub(super) persists: bool,
}

/// What is still to come of an answer's content (RFC 9112 §6.3).
#[derive(Debug)]
pub(super) enum Content {
    Chunked(Chunked),
    /// So many bytes, at least one.
    Length(u64),
    Over,
    /// Whatever comes before the connection ends.
    UntilClose,
}

/// Reads a head that ends with its empty line, to a request whose method is or is not `HEAD`.
pub(super) fn read_head(section: &Bytes, to_head: bool) -> Result<Head, Http1Error> {
    let mut lines = [const { MaybeUninit::uninit() }; HEADER_LINES];
    let mut parsed = httparse::Response::new(&mut []);
    let read = ParserConfig::default().parse_response_with_uninit_headers(
        &mut parsed,
        section,
        &mut lines,
    );
    if !matches!(read.map_err(malformed)?, Status::Complete(end) if end == section.len()) {
        return Err(Http1Error::Malformed("its head ends where none may"));
    }
    let (Some(version), Some(code)) = (parsed.version, parsed.code) else {
        return Err(Http1Error::Malformed("it has no status"));
    };
    let status =
        StatusCode::from_u16(code).map_err(|_| Http1Error::Malformed("there is no such status"))?;
    let headers = read_fields(section, parsed.headers)?;
    let version = match version {
        0 => Version::HTTP_10,
        _ => Version::HTTP_11,
    };
    let length = judge(&headers)?;
    if version == Version::HTTP_10 && length == Length::Chunked {
        // RFC 9112 §6.1: this framing is faulty.
        return Err(Fault::AnswerLength.into());
    }
    if status.is_informational() && !matches!(length, Length::Unsaid | Length::Known(0)) {
        return Err(Fault::AnswerLength.into());
    }
    let (content, framed) = content(status, to_head, length);
    let (mut parts, ()) = Response::new(()).into_parts();
    parts.status = status;
    parts.version = version;
    if parsed.reason != status.canonical_reason()
        && let Some(Ok(reason)) = parsed
            .reason
            .map(|text| ReasonPhrase::try_from(text.as_bytes()))
    {
        // hyper's server says it to the client as it was said here.
        parts.extensions.insert(reason);
    }
    // An HTTP/1.0 server would have to be asked to persist, which nobody does here.
    let persists = framed && version == Version::HTTP_11 && !closes(&headers);
    parts.headers = headers;
    Ok(Head {
        parts,
        content,
        persists,
    })
}

/// What comes behind such a head, and whether it is beyond doubt where that ends.
fn content(status: StatusCode, to_head: bool, length: Length) -> (Content, bool) {
    if to_head || status == StatusCode::NOT_MODIFIED {
        return (Content::Over, true);
    }
    match length {
        // What it says is not to be believed; the next bytes may be of what it meant.
        length if status == StatusCode::NO_CONTENT => {
            let framed = matches!(length, Length::Unsaid | Length::Known(0));
            (Content::Over, framed)
        }
        _ if status.is_informational() => (Content::Over, true),
        Length::Chunked => (Content::Chunked(Chunked::new()), true),
        Length::Known(0) => (Content::Over, true),
        Length::Known(length) => (Content::Length(length), true),
        Length::Unsaid => (Content::UntilClose, false),
    }
}

fn closes(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(CONNECTION).into_iter();
    let mut options = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"))
}

/// Reads trailers that end with their empty line; `None` where there are none that may be.
pub(super) fn read_trailers(section: &Bytes) -> Result<Option<HeaderMap>, Http1Error> {
    if section.as_ref() == b"\r\n" {
        return Ok(None);
    }
    let mut lines = [EMPTY_HEADER; HEADER_LINES];
    let Status::Complete((end, lines)) =
        httparse::parse_headers(section, &mut lines).map_err(malformed)?
    else {
        return Err(Http1Error::Malformed("its trailers end where none may"));
    };
    if end != section.len() {
        return Err(Http1Error::Malformed("its trailers end where none may"));
    }
    let mut trailers = read_fields(section, lines)?;
    let never: Vec<_> = trailers
        .keys()
        .filter(|name| !may_be_trailer(name))
        .cloned()
        .collect();
    for name in never {
        trailers.remove(name);
    }
    Ok((!trailers.is_empty()).then_some(trailers))
}

/// How many fields whoever passes an answer on may say beside its own, without a new table.
const MORE: usize = 2;

/// The fields, whose values stay where they were read.
fn read_fields(section: &Bytes, lines: &[Header<'_>]) -> Result<HeaderMap, Http1Error> {
    let mut fields = HeaderMap::with_capacity(lines.len() + MORE);
    for line in lines {
        let name = HeaderName::from_bytes(line.name.as_bytes());
        let value = HeaderValue::from_maybe_shared(section.slice_ref(line.value));
        let (Ok(name), Ok(value)) = (name, value) else {
            return Err(Http1Error::Malformed("a header line is none"));
        };
        fields.append(name, value);
    }
    Ok(fields)
}

fn malformed(error: httparse::Error) -> Http1Error {
    match error {
        httparse::Error::TooManyHeaders => Fault::AnswerTooManyHeaders.into(),
        httparse::Error::HeaderName => Http1Error::Malformed("a header's name is none"),
        httparse::Error::HeaderValue => Http1Error::Malformed("a header's value is none"),
        httparse::Error::Status => Http1Error::Malformed("its status is none"),
        httparse::Error::Version => Http1Error::Malformed("its version is none"),
        httparse::Error::NewLine | httparse::Error::Token => {
            Http1Error::Malformed("its head is none")
        }
    }
}
