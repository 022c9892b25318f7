//! The chunked coding (RFC 9112 §7.1), without extensions.

#[cfg(test)]
mod tests;

use memchr::memchr;

use super::fault::Fault;
use super::field::read_field;

/// As many digits as 64 bits have.
const SIZE_DIGITS: u8 = 16;

/// All trailers together. hyper's own limit is twice that.
const TRAILER_BYTES: usize = 8 * 1024;

const SIZE_LINE: Fault = Fault::Malformed("a chunk's size line does not end in CR LF");

/// Finds the end of one chunked body. It keeps nothing of the data.
#[derive(Debug)]
pub(super) struct Chunks {
    place: Place,
    /// The trailer line that is being read.
    line: Vec<u8>,
    trailer_bytes: usize,
    trailer_lines: usize,
    most_lines: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In the digits of a size.
    Size {
        digits: u8,
        size: u64,
    },
    /// Behind the CR that ends a size.
    SizeLf(u64),
    /// In the data, with so much to come.
    Data(u64),
    /// Right behind the data: the two bytes that CVE-2025-43859 did not look at.
    DataCr,
    DataLf,
    /// Behind the last chunk.
    Trailers,
    Over,
}

impl Chunks {
    /// A body from its first byte, with at most so many trailer lines.
    pub(super) const fn new(most_lines: usize) -> Self {
        Self {
            place: Place::Size { digits: 0, size: 0 },
            line: Vec::new(),
            trailer_bytes: 0,
            trailer_lines: 0,
            most_lines,
        }
    }

    /// Whether the body is over.
    pub(super) fn is_over(&self) -> bool {
        self.place == Place::Over
    }

    /// Reads on, and says how many of `bytes` are the body's: all, unless it is over.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<usize, Fault> {
        let mut rest = bytes;
        while let [first, after @ ..] = rest {
            rest = match self.place {
                Place::Over => break,
                Place::Data(left) => self.skip(left, rest),
                Place::Trailers => self.read_trailers(rest)?,
                place @ (Place::Size { .. } | Place::SizeLf(_) | Place::DataCr | Place::DataLf) => {
                    self.place = step(place, *first)?;
                    after
                }
            };
        }
        Ok(bytes.len() - rest.len())
    }

    fn skip<'a>(&mut self, left: u64, bytes: &'a [u8]) -> &'a [u8] {
        let here = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        let left = left - here as u64;
        self.place = if left == 0 {
            Place::DataCr
        } else {
            Place::Data(left)
        };
        bytes.get(here..).unwrap_or_default()
    }

    /// Trailers are header lines. None of them frames, routes or vouches for anything, because by now
    /// all that has been done.
    fn read_trailers<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], Fault> {
        let end = memchr(b'\n', bytes).map_or(bytes.len(), |end| end + 1);
        let (part, rest) = bytes.split_at_checked(end).unwrap_or((bytes, b""));
        self.trailer_bytes += part.len();
        if self.trailer_bytes > TRAILER_BYTES {
            return Err(Fault::TooLarge);
        }
        self.line.extend_from_slice(part);
        let [line @ .., b'\n'] = self.line.as_slice() else {
            return Ok(rest);
        };
        let [line @ .., b'\r'] = line else {
            return Err(Fault::Malformed("a trailer line ends in CR LF"));
        };
        if line.is_empty() {
            self.place = Place::Over;
        } else {
            self.trailer_lines += 1;
            if self.trailer_lines > self.most_lines {
                return Err(Fault::TooManyLines);
            }
            let field = read_field(line)?;
            if is_forbidden(field.name) {
                return Err(Fault::Malformed(
                    "a trailer has the name of a header that is read before the body",
                ));
            }
        }
        self.line.clear();
        Ok(rest)
    }
}

fn step(place: Place, byte: u8) -> Result<Place, Fault> {
    match (place, byte) {
        (Place::Size { digits, size }, b'\r') if digits > 0 => Ok(Place::SizeLf(size)),
        (Place::Size { digits: 1.., .. }, b';') => {
            // Nobody uses them, and no two parsers agree on where they end (CVE-2026-2332).
            Err(Fault::Malformed("chunk extensions are not taken"))
        }
        (Place::Size { digits: 1.., .. }, b' ' | b'\t') => {
            Err(Fault::Malformed("a blank stands behind a chunk's size"))
        }
        (Place::Size { digits: 0, .. }, b'\r' | b'\n') => {
            Err(Fault::Malformed("a chunk has no size"))
        }
        (Place::Size { .. }, b'\n') => Err(SIZE_LINE),
        (Place::Size { digits, size }, byte) => {
            let digit = char::from(byte).to_digit(16).map(u64::from);
            let digit = digit.ok_or(Fault::Malformed("a chunk's size is no hexadecimal number"))?;
            if digits == SIZE_DIGITS {
                return Err(Fault::Malformed("a chunk's size has more than 16 digits"));
            }
            // INVARIANT: sixteen digits fit into 64 bits.
            let size = size * 16 + digit;
            let digits = digits + 1;
            Ok(Place::Size { digits, size })
        }
        (Place::SizeLf(0), b'\n') => Ok(Place::Trailers),
        (Place::SizeLf(size), b'\n') if i64::try_from(size).is_ok() => Ok(Place::Data(size)),
        (Place::SizeLf(_), b'\n') => Err(Fault::Malformed("a chunk's size is too large")),
        (Place::SizeLf(_), _) => Err(SIZE_LINE),
        (Place::DataCr, b'\r') => Ok(Place::DataLf),
        (Place::DataLf, b'\n') => Ok(Place::Size { digits: 0, size: 0 }),
        _ => Err(Fault::Malformed(
            "a chunk's data is not followed by CR LF where its size ends it",
        )),
    }
}

/// RFC 9110 §6.5.1: what would have to be known before the body.
fn is_forbidden(name: &[u8]) -> bool {
    let names: [&[u8]; 21] = [
        b"age",
        b"authorization",
        b"cache-control",
        b"connection",
        b"content-encoding",
        b"content-length",
        b"content-range",
        b"content-type",
        b"cookie",
        b"dpop",
        b"expect",
        b"forwarded",
        b"host",
        b"keep-alive",
        b"max-forwards",
        b"range",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"via",
    ];
    let prefixes: [&[u8]; 4] = [b"if-", b"portcullis-", b"proxy-", b"x-forwarded-"];
    let starts = |prefix: &&[u8]| {
        let start = name.get(..prefix.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    names.iter().any(|one| name.eq_ignore_ascii_case(one)) || prefixes.iter().any(starts)
}
