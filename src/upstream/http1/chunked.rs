//! The chunked coding of an answer (RFC 9112 §7.1). Extensions are passed over, as the RFC demands, but only
//! so many bytes of them.

#[cfg(test)]
mod tests;

use bytes::{Buf as _, Bytes, BytesMut};
use http::HeaderMap;

use super::Http1Error;
use super::inbound::Section;
use super::response::read_trailers;

/// As many digits as 64 bits have.
const SIZE_DIGITS: u8 = 16;

/// All extensions of one answer together. They are read by nobody.
const EXTENSION_BYTES: u32 = 16 * 1024;

/// Takes the chunks of one answer apart.
#[derive(Debug)]
pub(super) struct Chunked {
    place: Place,
    extension_bytes: u32,
    section: Section,
    trailers: Option<HeaderMap>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In the digits of a size.
    Size {
        digits: u8,
        size: u64,
    },
    /// In the blanks behind a size, where only an extension may come.
    Blank(u64),
    /// In an extension.
    Extension(u64),
    /// Behind the CR that ends a size.
    SizeLf(u64),
    /// In the data, with so much to come.
    Data(u64),
    /// Right behind the data.
    DataCr,
    DataLf,
    /// Behind the last chunk.
    Trailers,
    Over,
}

/// What the next bytes come to.
#[derive(Debug)]
pub(super) enum Chunk {
    Data(Bytes),
    End,
    /// More bytes are needed.
    More,
    Trailers(HeaderMap),
}

impl Chunked {
    /// An answer from its first byte.
    pub(super) const fn new() -> Self {
        Self {
            place: Place::Size { digits: 0, size: 0 },
            extension_bytes: 0,
            section: Section::trailers(),
            trailers: None,
        }
    }

    /// Whether the end has been read, and everything before it handed out.
    pub(super) fn is_over(&self) -> bool {
        self.place == Place::Over && self.trailers.is_none()
    }

    /// What comes next; it is taken from `bytes`.
    pub(super) fn next(&mut self, bytes: &mut BytesMut) -> Result<Chunk, Http1Error> {
        self.skip_framing(bytes)?;
        match self.place {
            Place::Data(left) if !bytes.is_empty() => {
                let here = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                let data = bytes.split_to(here).freeze();
                self.place = match left - here as u64 {
                    0 => Place::DataCr,
                    left => Place::Data(left),
                };
                Ok(Chunk::Data(data))
            }
            Place::Over => Ok(self.trailers.take().map_or(Chunk::End, Chunk::Trailers)),
            _ => Ok(Chunk::More),
        }
    }

    /// Reads what stands between the data, up to the data or the end.
    pub(super) fn skip_framing(&mut self, bytes: &mut BytesMut) -> Result<(), Http1Error> {
        let mut read = 0;
        for byte in bytes.iter() {
            if matches!(self.place, Place::Data(_) | Place::Trailers | Place::Over) {
                break;
            }
            self.place = self.step(*byte)?;
            read += 1;
        }
        bytes.advance(read);
        if self.place == Place::Trailers
            && let Some(end) = self.section.end(bytes)?
        {
            let lines = bytes.split_to(end);
            self.trailers = read_trailers(&lines.freeze())?;
            self.place = Place::Over;
        }
        Ok(())
    }

    fn step(&mut self, byte: u8) -> Result<Place, Http1Error> {
        match (self.place, byte) {
            (Place::Size { digits, size }, b'\r') if digits > 0 => Ok(Place::SizeLf(size)),
            (Place::Size { digits, size }, b';') if digits > 0 => {
                self.extend(Place::Extension(size))
            }
            (Place::Size { digits, size }, b' ' | b'\t') if digits > 0 => {
                self.extend(Place::Blank(size))
            }
            (Place::Size { digits, size }, byte) => {
                let digit = char::from(byte).to_digit(16).map(u64::from);
                let digit = digit.ok_or(Http1Error::Malformed("a chunk's size is not a number"))?;
                if digits == SIZE_DIGITS {
                    return Err(Http1Error::Malformed("a chunk's size is too long"));
                }
                // INVARIANT: sixteen digits fit into 64 bits.
                let size = size * 16 + digit;
                let digits = digits + 1;
                Ok(Place::Size { digits, size })
            }
            (Place::Blank(size), b' ' | b'\t') => self.extend(Place::Blank(size)),
            (Place::Blank(size), b';') => self.extend(Place::Extension(size)),
            (Place::Blank(_), _) => Err(Http1Error::Malformed("a chunk's size ends in a blank")),
            (Place::Extension(size), b'\r') => Ok(Place::SizeLf(size)),
            // No line end and no other control character, quoted or not.
            (Place::Extension(size), b'\t' | b' '..=b'~' | 0x80..) => {
                self.extend(Place::Extension(size))
            }
            (Place::Extension(_), _) => Err(Http1Error::Malformed(
                "a chunk's extension has a control character",
            )),
            (Place::SizeLf(0), b'\n') => Ok(Place::Trailers),
            (Place::SizeLf(size), b'\n') => Ok(Place::Data(size)),
            (Place::DataCr, b'\r') => Ok(Place::DataLf),
            (Place::DataLf, b'\n') => Ok(Place::Size { digits: 0, size: 0 }),
            _ => Err(Http1Error::Malformed("a chunk ends in CR LF")),
        }
    }

    fn extend(&mut self, place: Place) -> Result<Place, Http1Error> {
        self.extension_bytes += 1;
        if self.extension_bytes > EXTENSION_BYTES {
            return Err(Http1Error::Malformed(
                "the chunks' extensions are too large",
            ));
        }
        Ok(place)
    }
}
