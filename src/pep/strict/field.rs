//! One header line, or one trailer line: RFC 9112 §5, and nothing beside it.

use memchr::memchr;

use super::fault::Fault;

/// A longer name is an attack on somebody's counters (CVE-2021-40346), and hyper's own limit is near.
const LONGEST_NAME: usize = 1024;

/// A line, taken apart. The value has no blanks around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field<'a> {
    pub(super) name: &'a [u8],
    pub(super) value: &'a [u8],
}

/// Reads a line without its CRLF.
pub(super) fn read_field(line: &[u8]) -> Result<Field<'_>, Fault> {
    if matches!(line.first(), Some(b' ' | b'\t')) {
        return Err(Fault::Malformed("a header line is not continued"));
    }
    let colon = memchr(b':', line).and_then(|colon| line.split_at_checked(colon));
    let Some((name, [_colon, value @ ..])) = colon else {
        return Err(Fault::Malformed("a header line has no colon"));
    };
    if name.len() > LONGEST_NAME {
        return Err(Fault::TooLarge);
    }
    if !is_token(name) {
        return Err(Fault::Malformed(if name.is_empty() {
            "a header line has no name"
        } else {
            "a header's name is not a token right before its colon"
        }));
    }
    let value = without_blanks(value);
    let (mut control, mut high) = (false, 0);
    for byte in value {
        // No early end: this way the compiler looks at many bytes at once.
        control |= (*byte < b' ' && *byte != b'\t') || *byte == 0x7f;
        high |= *byte;
    }
    if control {
        return Err(Fault::Malformed("a header has a control character"));
    }
    if !high.is_ascii() && is_read_here(name) {
        return Err(Fault::Malformed(
            "a header that the gateway reads has characters outside ASCII",
        ));
    }
    Ok(Field { name, value })
}

/// RFC 9110 §5.6.2.
pub(super) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().copied().all(is_token_byte)
}

pub(super) const fn is_token_byte(byte: u8) -> bool {
    matches!(byte,
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9'
        | b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`'
        | b'|' | b'~')
}

fn without_blanks(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = value {
        value = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// Bytes outside ASCII are Latin-1 to some and UTF-8 to others. What frames, names or vouches for a
/// request has one reading; the rest passes as it came (RFC 9110 §5.5).
fn is_read_here(name: &[u8]) -> bool {
    let names: [&[u8]; 13] = [
        b"authorization",
        b"connection",
        b"content-length",
        b"dpop",
        b"expect",
        b"forwarded",
        b"host",
        b"te",
        b"traceparent",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"via",
    ];
    let prefixes: [&[u8]; 3] = [b"portcullis-", b"proxy-", b"x-forwarded-"];
    let starts = |prefix: &&[u8]| {
        let start = name.get(..prefix.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    names.iter().any(|one| name.eq_ignore_ascii_case(one)) || prefixes.iter().any(starts)
}
