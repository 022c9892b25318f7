//! The head of a request: where it ends, and how its body is framed.
//!
//! A head is read line by line as it comes. What is wrong is found at the same byte however the bytes
//! were cut into packets.

#[cfg(test)]
mod tests;

use http::Uri;
use memchr::memchr;

use super::fault::Fault;
use super::field::{Field, is_token, is_token_byte, read_field};
use crate::pep::gate::InboundLimits;

/// hyper's own limit is two bytes further; it is not to be met, because it would answer by itself.
const LONGEST_TARGET: usize = 65_532;

/// More than this and the map of headers would have no room.
const MOST_LINES: usize = 16_384;

/// As many digits as the largest length has.
const LENGTH_DIGITS: usize = 19;

/// The limits on a head.
#[derive(Clone, Copy, Debug)]
pub(in crate::pep) struct HeadLimits {
    /// From the request line to the empty line.
    pub(super) bytes: usize,
    /// Header lines; of trailers as well.
    pub(super) lines: usize,
    /// The request target.
    pub(super) target: usize,
}

impl HeadLimits {
    pub(in crate::pep) fn new(limits: &InboundLimits) -> Self {
        Self {
            bytes: limits.header_bytes,
            lines: limits.header_count.min(MOST_LINES),
            target: limits.uri_bytes.min(LONGEST_TARGET),
        }
    }
}

/// A head with one reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Its bytes, with the empty line.
    pub(super) length: usize,
    pub(super) framing: Framing,
}

/// How a body is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Chunked,
    Length(u64),
    /// There is no body.
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    Http10,
    Http11,
}

/// Reads one head.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct HeadReader {
    /// Where the line begins that is being read.
    line: usize,
    /// Up to here that line has no end.
    seen: usize,
    lines: usize,
    /// Known once the request line is there.
    version: Option<Version>,
    host: bool,
    length: Option<u64>,
    chunked: bool,
    expect: bool,
}

impl HeadReader {
    /// Reads on; `bytes` are all that there are so far, from the first byte of the head on.
    pub(super) fn read(
        &mut self,
        bytes: &[u8],
        limits: &HeadLimits,
    ) -> Result<Option<Head>, Fault> {
        let bytes = bytes.get(..limits.bytes).unwrap_or(bytes);
        if bytes.first().is_some_and(|first| !is_token_byte(*first)) {
            // Told at the first byte, so that a TLS or HTTP/2 client need not wait for the deadline.
            return Err(Fault::Malformed("a request begins with its method"));
        }
        while let Some(at) = memchr(b'\n', bytes.get(self.seen..).unwrap_or_default()) {
            let end = self.seen + at;
            let line = bytes.get(self.line..end).unwrap_or_default();
            let [line @ .., b'\r'] = line else {
                return Err(Fault::Malformed("a line of a request ends in CR LF"));
            };
            self.line = end + 1;
            self.seen = self.line;
            if self.version.is_none() {
                self.version = Some(read_request_line(line, limits)?);
            } else if line.is_empty() {
                let framing = self.framing()?;
                let length = self.line;
                return Ok(Some(Head { length, framing }));
            } else {
                self.take(line, limits)?;
            }
        }
        self.seen = bytes.len();
        if self.version.is_none() {
            refuse_long_target(bytes, limits)?;
        }
        if bytes.len() >= limits.bytes {
            return Err(Fault::TooLarge);
        }
        Ok(None)
    }

    fn take(&mut self, line: &[u8], limits: &HeadLimits) -> Result<(), Fault> {
        self.lines += 1;
        if self.lines > limits.lines {
            return Err(Fault::TooManyLines);
        }
        let Field { name, value } = read_field(line)?;
        let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
        match name.len() {
            4 if is(b"host") => once(&mut self.host, "the request has more than one Host"),
            6 if is(b"expect") => {
                once(&mut self.expect, "the request has more than one Expect")?;
                if value.eq_ignore_ascii_case(b"100-continue") {
                    return Ok(());
                }
                Err(Fault::Malformed("Expect can only be `100-continue`"))
            }
            14 if is(b"content-length") => {
                if self.length.is_some() {
                    return Err(Fault::Malformed("the request has more than one length"));
                }
                self.length = Some(read_length(value)?);
                Ok(())
            }
            17 if is(b"transfer-encoding") => {
                let twice = "the request has more than one Transfer-Encoding";
                once(&mut self.chunked, twice)?;
                if value.eq_ignore_ascii_case(b"chunked") {
                    return Ok(());
                }
                Err(Fault::Malformed("Transfer-Encoding can only be `chunked`"))
            }
            _ => Ok(()),
        }
    }

    /// RFC 9112 §6.3, without its ways out.
    fn framing(&self) -> Result<Framing, Fault> {
        let old = self.version == Some(Version::Http10);
        if !self.host && !old {
            return Err(Fault::Malformed("the request has no Host"));
        }
        match (self.chunked, self.length) {
            (true, Some(_)) => Err(Fault::Malformed(
                "the request has both Content-Length and Transfer-Encoding",
            )),
            (true, None) if old => Err(Fault::Malformed("HTTP/1.0 knows no Transfer-Encoding")),
            (true, None) => Ok(Framing::Chunked),
            (false, None | Some(0)) => Ok(Framing::None),
            (false, Some(length)) => Ok(Framing::Length(length)),
        }
    }
}

fn once(seen: &mut bool, twice: &'static str) -> Result<(), Fault> {
    if std::mem::replace(seen, true) {
        return Err(Fault::Malformed(twice));
    }
    Ok(())
}

fn read_length(value: &[u8]) -> Result<u64, Fault> {
    let fault = Fault::Malformed("Content-Length is not one whole number");
    if value.is_empty() || value.len() > LENGTH_DIGITS {
        return Err(fault);
    }
    let mut length = 0_u64;
    for byte in value {
        if !byte.is_ascii_digit() {
            return Err(fault);
        }
        // INVARIANT: 19 digits are less than 2^64.
        length = length * 10 + u64::from(byte - b'0');
    }
    i64::try_from(length).map_err(|_| fault)?;
    Ok(length)
}

fn read_request_line(line: &[u8], limits: &HeadLimits) -> Result<Version, Fault> {
    let (method, rest) = split_at_blank(line).unwrap_or((line, b""));
    if !is_token(method) {
        return Err(Fault::Malformed("the request's method is not a token"));
    }
    let (target, version) = split_at_blank(rest).unwrap_or((rest, b""));
    if target.len() > limits.target {
        return Err(Fault::TargetTooLong);
    }
    let version = match version {
        b"HTTP/1.1" => Version::Http11,
        b"HTTP/1.0" => Version::Http10,
        _ => {
            return Err(Fault::Malformed(
                "a request line is a method, a target and `HTTP/1.1` or `HTTP/1.0`",
            ));
        }
    };
    if method == b"CONNECT" {
        return Err(Fault::Malformed("the gateway makes no tunnels"));
    }
    check_target(target)?;
    Ok(version)
}

/// Of a request line that is not all there: its target may be too long already.
fn refuse_long_target(line: &[u8], limits: &HeadLimits) -> Result<(), Fault> {
    let Some((method, rest)) = split_at_blank(line) else {
        return Ok(());
    };
    let (target, _) = split_at_blank(rest).unwrap_or((rest, b""));
    if is_token(method) && target.len() > limits.target {
        return Err(Fault::TargetTooLong);
    }
    Ok(())
}

fn split_at_blank(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    match bytes.split_at_checked(memchr(b' ', bytes)?)? {
        (before, [_blank, after @ ..]) => Some((before, after)),
        (_, []) => None,
    }
}

/// Origin-form or absolute-form. `#` is refused here because who parses URIs drops what follows it
/// (CVE-2023-45539); what else is odd has a path or query of one reading to fail at later.
fn check_target(target: &[u8]) -> Result<(), Fault> {
    let fault = Fault::Malformed("the request's target is not a path or an HTTP URL");
    if !target
        .iter()
        .all(|byte| byte.is_ascii_graphic() && *byte != b'#')
    {
        return Err(fault);
    }
    if target.first() == Some(&b'/') && target.iter().copied().all(is_uri_byte) {
        return Ok(());
    }
    // hyper will read it so, and has to succeed: it would answer a failure by itself, unrecorded.
    let read = Uri::try_from(target).map_err(|_| fault)?;
    let origin = target.first() == Some(&b'/');
    let absolute =
        read.authority().is_some() && matches!(read.scheme_str(), Some("http" | "https"));
    if origin || absolute {
        return Ok(());
    }
    Err(fault)
}

/// What may stand in a path or a query as it is (RFC 3986 §3.3 and §3.4), and `%`.
const fn is_uri_byte(byte: u8) -> bool {
    matches!(byte,
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9'
        | b'-' | b'.' | b'_' | b'~' | b'%' | b'/' | b'?' | b':' | b'@'
        | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=')
}
