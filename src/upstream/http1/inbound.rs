//! What comes in on a connection, without the connection: bytes go in, heads and frames come out.

#[cfg(test)]
mod tests;

use std::mem;

use bytes::{Bytes, BytesMut};
use http::{StatusCode, response};
use http_body::{Frame, SizeHint};
use memchr::memchr;

use super::Http1Error;
use super::chunked::Chunk;
use super::response::{Content, read_head};
use crate::upstream::Fault;
use crate::upstream::framing::{HEAD_BYTES, HEADER_LINES};

/// How much is read at once, unless it proves too little.
const PIECE: usize = 8 * 1024;

/// How much is read at once at most; also what one stalled download may hold.
const LARGEST_PIECE: usize = HEAD_BYTES;

/// The most interim answers to one request. RFC 9110 §15.2 sets no limit, so this is far beyond use.
const INTERIM_ANSWERS: u32 = 100;

/// The bytes that have come and what they mean, for one exchange after the other.
#[derive(Debug)]
pub(super) struct Inbound {
    bytes: BytesMut,
    /// How much is read at once.
    piece: usize,
    head: Section,
    interim: u32,
    content: Content,
    /// What was found behind the data that has been handed out.
    broken: Option<Http1Error>,
}

/// What there is of an answer's content.
#[derive(Debug)]
pub(super) enum Step {
    End,
    Frame(Frame<Bytes>),
    /// More bytes are needed.
    More,
}

/// A final answer's head, and whether its connection serves again as far as that says.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) parts: response::Parts,
    pub(super) persists: bool,
}

impl Inbound {
    pub(super) fn new() -> Self {
        Self {
            bytes: BytesMut::new(),
            piece: PIECE,
            head: Section::head(),
            interim: 0,
            content: Content::Over,
            broken: None,
        }
    }

    /// Where to put more bytes: there is room for some.
    pub(super) fn room(&mut self) -> &mut BytesMut {
        let room = self.bytes.capacity() - self.bytes.len();
        if room < self.piece / 4 {
            self.bytes.reserve(self.piece);
        }
        &mut self.bytes
    }

    /// Notes that so many bytes have come into so much room.
    pub(super) fn filled(&mut self, read: usize, room: usize) {
        if read == room {
            self.piece = (self.piece * 2).min(LARGEST_PIECE);
        }
    }

    /// Whether nothing has come that was not asked for.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Whether the content has been handed out to its end.
    pub(super) fn is_over(&self) -> bool {
        match &self.content {
            Content::Over => true,
            Content::Chunked(chunked) => chunked.is_over(),
            Content::Length(_) | Content::UntilClose => false,
        }
    }

    /// How much content is still to be handed out.
    pub(super) fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Over => SizeHint::with_exact(0),
            Content::Length(left) => SizeHint::with_exact(*left),
            Content::Chunked(_) | Content::UntilClose => SizeHint::default(),
        }
    }

    /// Between two exchanges: does not keep more memory than one that is idle needs.
    pub(super) fn rest(&mut self) {
        // What came unasked is evidence, and stays.
        if self.piece > PIECE && self.bytes.is_empty() {
            self.bytes = BytesMut::new();
            self.piece = PIECE;
        }
    }

    /// The head of the final answer, once it is there, to a request whose method is or is not `HEAD`.
    pub(super) fn head(&mut self, to_head: bool) -> Result<Option<Answer>, Http1Error> {
        while let Some(end) = self.head.end(&self.bytes)? {
            let section = self.bytes.split_to(end).freeze();
            let head = read_head(&section, to_head)?;
            let status = head.parts.status;
            // RFC 9110 §15.2.2: what follows a switch is another protocol's.
            if status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS {
                self.interim += 1;
                if self.interim > INTERIM_ANSWERS {
                    return Err(Fault::InterimAnswers.into());
                }
                continue;
            }
            self.interim = 0;
            self.content = head.content;
            return Ok(Some(Answer {
                parts: head.parts,
                persists: head.persists,
            }));
        }
        Ok(None)
    }

    /// What comes next of the content.
    pub(super) fn next(&mut self) -> Result<Step, Http1Error> {
        if let Some(error) = self.broken.take() {
            return Err(error);
        }
        match &mut self.content {
            Content::Over => Ok(Step::End),
            Content::Length(_) | Content::UntilClose if self.bytes.is_empty() => Ok(Step::More),
            Content::UntilClose => Ok(data(self.bytes.split().freeze())),
            Content::Length(left) => {
                let here = usize::try_from(*left).unwrap_or(usize::MAX);
                let here = here.min(self.bytes.len());
                *left -= here as u64;
                if *left == 0 {
                    self.content = Content::Over;
                }
                Ok(data(self.bytes.split_to(here).freeze()))
            }
            Content::Chunked(chunked) => match chunked.next(&mut self.bytes)? {
                Chunk::Data(bytes) => {
                    // Whoever serves this asks no more if it hears now that the end is there.
                    self.broken = chunked.skip_framing(&mut self.bytes).err();
                    Ok(data(bytes))
                }
                Chunk::End => Ok(Step::End),
                Chunk::More => Ok(Step::More),
                Chunk::Trailers(trailers) => Ok(Step::Frame(Frame::trailers(trailers))),
            },
        }
    }

    /// The other side says no more: fine only where that is the end.
    pub(super) fn end(&mut self) -> Result<(), Http1Error> {
        match mem::replace(&mut self.content, Content::Over) {
            Content::UntilClose | Content::Over => Ok(()),
            cut @ (Content::Chunked(_) | Content::Length(_)) => {
                self.content = cut;
                Err(Http1Error::Truncated)
            }
        }
    }

    /// What has come and was not read.
    pub(super) fn into_bytes(self) -> Bytes {
        self.bytes.freeze()
    }

    #[cfg(test)]
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.room().extend_from_slice(bytes);
    }
}

fn data(bytes: Bytes) -> Step {
    Step::Frame(Frame::data(bytes))
}

/// Finds the empty line that ends a head or trailers, and looks at no byte twice.
#[derive(Debug)]
pub(super) struct Section {
    /// Where the line begins that is being looked at.
    line: usize,
    /// How far has been looked.
    seen: usize,
    /// How many lines there have been.
    lines: usize,
    /// How many of them are no fields.
    start_lines: usize,
}

impl Section {
    /// A head, which begins with a status line.
    pub(super) const fn head() -> Self {
        Self::new(1)
    }

    /// Trailers.
    pub(super) const fn trailers() -> Self {
        Self::new(0)
    }

    const fn new(start_lines: usize) -> Self {
        Self {
            line: 0,
            seen: 0,
            lines: 0,
            start_lines,
        }
    }

    /// Where the section at the front of `bytes` ends, once that is there.
    pub(super) fn end(&mut self, bytes: &[u8]) -> Result<Option<usize>, Http1Error> {
        while let Some(found) = memchr(b'\n', bytes.get(self.seen..).unwrap_or_default()) {
            let end = self.seen + found + 1;
            let line = bytes.get(self.line..end).unwrap_or_default();
            // A lone LF is a line end to some (RFC 9112 §2.2), and a lone CR to others.
            let [line @ .., b'\r', b'\n'] = line else {
                return Err(Http1Error::Malformed("a line ends in CR LF"));
            };
            if end > HEAD_BYTES {
                return Err(Fault::AnswerHeadTooLarge.into());
            }
            if line.is_empty() {
                if self.lines < self.start_lines {
                    return Err(Http1Error::Malformed(
                        "an empty line stands before its status",
                    ));
                }
                *self = Self::new(self.start_lines);
                return Ok(Some(end));
            }
            self.lines += 1;
            if self.lines > self.start_lines + HEADER_LINES {
                return Err(Fault::AnswerTooManyHeaders.into());
            }
            self.line = end;
            self.seen = end;
        }
        self.seen = bytes.len();
        if self.seen > HEAD_BYTES {
            return Err(Fault::AnswerHeadTooLarge.into());
        }
        Ok(None)
    }
}
