//! One reading of a request, or 400. What this makes is what is judged, recorded and forwarded.

#[cfg(test)]
mod tests;

use std::ops::Range;

use http::request::Parts;
use http::uri::{Authority, PathAndQuery};
use http::{Extensions, HeaderMap, HeaderValue, Method, StatusCode, Uri, Version, header};
use hyper::ext::Protocol;

use super::refusal::Refusal;
use super::session::TASK;
use super::trace::TRACEPARENT;
use crate::base::Secret;
use crate::model::DenyReason;
use crate::wire::{GrpcCall, WEBSOCKET, canonical_segment, is_plain_path};

/// The longest token that is looked at.
const LONGEST_TOKEN: usize = 8 * 1024;

/// A shorter credential can stand elsewhere by chance; it is no token of anybody's.
const SHORTEST_TOKEN: usize = 16;

/// What is said of a host that is none.
const ODD_HOST: &str = "Host is not a host and port";

/// A request with one reading.
#[derive(Debug)]
pub(super) struct Canonical {
    method: Method,
    /// Host and port, in lower case.
    authority: Authority,
    /// How many bytes of it are the host: the first ones.
    host_length: usize,
    uri: Uri,
    /// The canonical path, where the client wrote another.
    path: Option<String>,
    headers: HeaderMap,
    token: Option<Token>,
    content_length: Option<u64>,
    present: Present,
    version: Version,
    extended_connect: bool,
}

/// Which headers there are, of those that are asked for with every request: most have none of them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Present {
    pub(super) connection: bool,
    pub(super) task: bool,
    pub(super) traceparent: bool,
}

/// The credential of a request, taken out of its headers.
#[derive(Debug)]
pub(super) struct Token {
    /// Whether it came under the `DPoP` scheme.
    pub(super) dpop: bool,
    /// All that `Authorization` said.
    value: Secret<HeaderValue>,
    /// Where in that the token is.
    place: Range<usize>,
}

impl Token {
    /// Its text, which is ASCII.
    pub(super) fn text(&self) -> Secret<&[u8]> {
        let said = self.value.expose().as_bytes();
        Secret::new(said.get(self.place.clone()).unwrap_or_default())
    }
}

impl Canonical {
    /// Reads a request's head.
    pub(super) fn read(mut parts: Parts, longest_uri: usize) -> Result<Self, Refusal> {
        let reading = read(&mut parts, longest_uri);
        let Parts {
            method,
            uri,
            version,
            headers,
            ..
        } = parts;
        let reading = match reading {
            Ok(reading) => reading,
            Err(refusal) => return Err(refusal.to(GrpcCall::of(&method, version, &headers))),
        };
        Ok(Self {
            method,
            host_length: host_length(reading.authority.as_str()),
            authority: reading.authority,
            uri,
            path: reading.path,
            headers,
            token: reading.token,
            content_length: reading.content_length,
            present: reading.present,
            version,
            extended_connect: reading.extended_connect,
        })
    }

    /// The version of HTTP that the request came in.
    pub(super) const fn version(&self) -> Version {
        self.version
    }

    /// Whether a WebSocket is asked for as HTTP/2 does (RFC 8441).
    pub(super) const fn is_extended_connect(&self) -> bool {
        self.extended_connect
    }

    pub(super) const fn method(&self) -> &Method {
        &self.method
    }

    /// The host, in lower case, without a port.
    pub(super) fn host(&self) -> &str {
        let authority = self.authority.as_str();
        authority.get(..self.host_length).unwrap_or_default()
    }

    /// Host and port as the client wrote them, in lower case.
    pub(super) fn authority(&self) -> &str {
        self.authority.as_str()
    }

    pub(super) fn path(&self) -> &str {
        self.path.as_deref().unwrap_or(self.uri.path())
    }

    pub(super) fn query(&self) -> Option<&str> {
        self.uri.query()
    }

    /// Path and query as the client wrote them, where its path is the canonical one.
    pub(super) fn target(&self) -> Option<&PathAndQuery> {
        self.uri.path_and_query().filter(|_| self.path.is_none())
    }

    /// Which of some headers there are.
    pub(super) const fn present(&self) -> Present {
        self.present
    }

    /// The headers, without the credential.
    pub(super) const fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    pub(super) const fn token(&self) -> Option<&Token> {
        self.token.as_ref()
    }

    pub(super) const fn content_length(&self) -> Option<u64> {
        self.content_length
    }
}

/// What a head says, beside what it is made of.
struct Reading {
    authority: Authority,
    path: Option<String>,
    token: Option<Token>,
    content_length: Option<u64>,
    present: Present,
    extended_connect: bool,
}

/// Reads a head, whose credential is taken out of it.
fn read(parts: &mut Parts, longest_uri: usize) -> Result<Reading, Refusal> {
    let extended_connect = is_extended_connect(&parts.method, &parts.extensions)?;
    if extended_connect {
        // What HTTP/1.1 asks for with GET (RFC 8441 §5): it is the same operation.
        parts.method = Method::GET;
    }
    if matches!(parts.method, Method::CONNECT | Method::TRACE) {
        return Err(malformed("the gateway forwards no CONNECT and no TRACE"));
    }
    let uri = &parts.uri;
    let target = uri.path_and_query().map_or("", |target| target.as_str());
    if target.len() > longest_uri {
        return Err(Refusal::too_large(
            StatusCode::URI_TOO_LONG,
            format!("a request target has at most {longest_uri} bytes"),
        ));
    }
    let said = Said::read(&parts.headers);
    let authority = authority(uri.authority(), &said, parts.version)?;
    let path = canonical_path(uri.path())?;
    uri.query().map(check_query).transpose()?;
    let content_length = content_length(&said)?;
    let (authorizations, present) = (said.authorizations, said.present);
    let token = take_token(authorizations, &mut parts.headers)?;
    if let Some(token) = &token {
        let path = path.as_deref().unwrap_or(uri.path());
        refuse_token_elsewhere(token, path, uri.query(), &parts.headers)?;
    }
    Ok(Reading {
        authority,
        path,
        token,
        content_length,
        present,
        extended_connect,
    })
}

/// What the headers say that this reading turns on, found in one walk through them.
#[derive(Default)]
struct Said<'a> {
    host: Option<&'a HeaderValue>,
    hosts: usize,
    authorizations: usize,
    length: Option<&'a HeaderValue>,
    lengths: usize,
    present: Present,
}

impl<'a> Said<'a> {
    fn read(headers: &'a HeaderMap) -> Self {
        let mut said = Self::default();
        for (name, value) in headers {
            match *name {
                header::AUTHORIZATION => said.authorizations += 1,
                header::CONNECTION => said.present.connection = true,
                header::CONTENT_LENGTH => {
                    said.length = Some(value);
                    said.lengths += 1;
                }
                header::HOST => {
                    said.host = Some(value);
                    said.hosts += 1;
                }
                _ if *name == TASK => said.present.task = true,
                _ if *name == TRACEPARENT => said.present.traceparent = true,
                _ => {}
            }
        }
        said
    }
}

/// Over HTTP/1 more lines are not even read; HTTP/2's engine counts bytes alone.
pub(super) fn check_lines(headers: &HeaderMap, most: usize) -> Result<(), Refusal> {
    if headers.len() > most {
        return Err(Refusal::too_large(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            format!("a request has at most {most} header lines"),
        ));
    }
    Ok(())
}

/// Whether this asks for a WebSocket over HTTP/2. Other protocols are not spoken.
fn is_extended_connect(method: &Method, extensions: &Extensions) -> Result<bool, Refusal> {
    match extensions.get::<Protocol>() {
        Some(protocol) if *method == Method::CONNECT && protocol.as_str() == WEBSOCKET => Ok(true),
        Some(_) => Err(malformed("the gateway takes CONNECT for WebSockets only")),
        None => Ok(false),
    }
}

/// In lower case. A target in absolute form (RFC 9112 §3.2.2) or an `:authority` has to agree with `Host`, and there
/// has to be exactly one of them at least.
fn authority(
    target: Option<&Authority>,
    said: &Said<'_>,
    version: Version,
) -> Result<Authority, Refusal> {
    let host = said.host.map(parse_host).transpose()?;
    if said.hosts > 1 {
        return Err(malformed("the request has more than one Host"));
    }
    let authority = match (target, host) {
        (Some(target), Some(host)) if !target.as_str().eq_ignore_ascii_case(host.as_str()) => {
            return Err(malformed("the request's target and Host name two hosts"));
        }
        (Some(target), _) => target.clone(),
        (None, Some(host)) => host,
        (None, None) if version == Version::HTTP_10 => {
            return Err(malformed("the gateway needs a Host, from HTTP/1.0 too"));
        }
        (None, None) => return Err(malformed("the request names no host")),
    };
    if authority.as_str().contains('@') {
        return Err(malformed("a host has no user name"));
    }
    let port = authority.as_str().get(host_length(authority.as_str())..);
    if !port.is_some_and(is_port) {
        return Err(malformed(ODD_HOST));
    }
    if authority
        .as_str()
        .bytes()
        .any(|byte| byte.is_ascii_uppercase())
    {
        let lower = authority.as_str().to_ascii_lowercase();
        return Authority::try_from(lower).map_err(|_| malformed(ODD_HOST));
    }
    Ok(authority)
}

/// How many of the first bytes of an authority without a user name are the host (RFC 3986 §3.2.2).
fn host_length(authority: &str) -> usize {
    let bytes = authority.as_bytes();
    let end = match bytes.first() {
        Some(b'[') => memchr::memchr(b']', bytes).map(|bracket| bracket + 1),
        _ => memchr::memchr(b':', bytes),
    };
    end.unwrap_or(bytes.len())
}

/// Whether this is what may stand behind a host: nothing, or a colon and a port, which may be left out
/// (RFC 3986 §3.2.3).
fn is_port(text: &str) -> bool {
    match text.strip_prefix(':') {
        None => text.is_empty(),
        Some("") => true,
        Some(port) => port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok(),
    }
}

fn parse_host(value: &HeaderValue) -> Result<Authority, Refusal> {
    let host = Authority::try_from(value.as_bytes());
    host.map_err(|_| malformed(ODD_HOST))
}

/// The path with each segment in its one spelling; none where it is so already.
fn canonical_path(path: &str) -> Result<Option<String>, Refusal> {
    if is_plain_path(path) {
        return Ok(None);
    }
    spell(path).map(Some)
}

fn spell(path: &str) -> Result<String, Refusal> {
    let ambiguous = |why: String| Refusal::new(DenyReason::PathAmbiguous, why);
    let Some(rest) = path.strip_prefix('/') else {
        return Err(malformed("the request target is not a path"));
    };
    let mut canonical = String::with_capacity(path.len());
    let mut segments = rest.split('/').peekable();
    while let Some(segment) = segments.next() {
        if segment.is_empty() && (segments.peek().is_some() || canonical.ends_with('/')) {
            return Err(ambiguous("a path has no empty segments".to_owned()));
        }
        canonical.push('/');
        let spelt = canonical_segment(segment).map_err(|error| ambiguous(error.to_string()))?;
        canonical.push_str(&spelt);
    }
    Ok(canonical)
}

/// The query passes as it came, once it is certain that it has one reading: no control characters, no
/// fragment, nothing outside ASCII.
fn check_query(query: &str) -> Result<(), Refusal> {
    let odd =
        |byte: u8| !byte.is_ascii_graphic() || matches!(byte, b'#' | b'\\' | b'"' | b'<' | b'>');
    if !query.bytes().any(odd) {
        return Ok(());
    }
    let odd = |c: &char| u8::try_from(*c).map_or(true, odd);
    if let Some(character) = query.chars().find(odd) {
        let shown = character.escape_debug();
        return Err(malformed(format!("`{shown}` can't stand in a query")));
    }
    Ok(())
}

/// Takes the credential out of the headers; two are one too many (RFC 6750 §2).
fn take_token(said: usize, headers: &mut HeaderMap) -> Result<Option<Token>, Refusal> {
    if said > 1 {
        return Err(malformed("the request has more than one Authorization"));
    }
    let Some(value) = headers.remove(header::AUTHORIZATION) else {
        return Ok(None);
    };
    let invalid = |why: &str| Refusal::new(DenyReason::TokenInvalid, why);
    let text = value.as_bytes();
    // A field's value has no control characters, so that this is all there is to look for.
    if !text.is_ascii() {
        return Err(invalid("the credential has characters outside ASCII"));
    }
    let Some((scheme, rest)) = text
        .iter()
        .position(|byte| *byte == b' ')
        .map(|end| text.split_at(end))
    else {
        return Ok(None);
    };
    let dpop = scheme.eq_ignore_ascii_case(b"DPoP");
    if !dpop && !scheme.eq_ignore_ascii_case(b"Bearer") {
        return Ok(None);
    }
    let spaces = |bytes: &[u8]| bytes.iter().take_while(|byte| **byte == b' ').count();
    let start = scheme.len() + spaces(rest);
    let behind = rest.iter().rev().take_while(|byte| **byte == b' ').count();
    let place = start..text.len() - behind;
    if place.is_empty() {
        return Ok(None);
    }
    if place.len() > LONGEST_TOKEN {
        return Err(invalid("the token is longer than 8 KiB"));
    }
    let value = Secret::new(value);
    Ok(Some(Token { dpop, value, place }))
}

/// The upstream must never see the token, so a second copy of it anywhere is refused.
fn refuse_token_elsewhere(
    token: &Token,
    path: &str,
    query: Option<&str>,
    headers: &HeaderMap,
) -> Result<(), Refusal> {
    let text = token.text();
    let text = *text.expose();
    if text.len() < SHORTEST_TOKEN {
        return Ok(());
    }
    let in_target = [Some(path), query].into_iter().flatten();
    let found = in_target
        .map(str::as_bytes)
        .chain(headers.values().map(HeaderValue::as_bytes))
        // Hardly anything else is as long as a token.
        .filter(|bytes| bytes.len() >= text.len())
        .any(|bytes| memchr::memmem::find(bytes, text).is_some());
    if found {
        return Err(malformed("the token stands outside Authorization too"));
    }
    Ok(())
}

fn content_length(said: &Said<'_>) -> Result<Option<u64>, Refusal> {
    let Some(value) = said.length else {
        return Ok(None);
    };
    let digits = value.as_bytes();
    let length = std::str::from_utf8(digits)
        .ok()
        .filter(|_| !digits.is_empty() && digits.iter().all(u8::is_ascii_digit))
        .and_then(|text| text.parse().ok());
    if said.lengths > 1 || length.is_none() {
        return Err(malformed("Content-Length is not one whole number"));
    }
    Ok(length)
}

fn malformed(why: impl Into<String>) -> Refusal {
    Refusal::new(DenyReason::RequestMalformed, why)
}
