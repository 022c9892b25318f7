//! Where the frames of a connection begin and end (RFC 9113 §4.1), and which of them bring nothing.

#[cfg(test)]
mod tests;

/// What a client begins with (RFC 9113 §3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The head of a frame.
const HEAD: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

/// Of `DATA` and `HEADERS`; of `SETTINGS` and `PING` the same bit is `ACK`.
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

/// Follows the frames of one direction. It keeps nothing of what they carry.
#[derive(Clone, Debug)]
pub(super) struct Frames {
    /// Bytes of the preface that are still to come.
    preface: usize,
    head: [u8; HEAD],
    /// Bytes of the head that have come.
    known: usize,
    /// Bytes of the payload that are still to come.
    left: usize,
    /// Whether the frame is `DATA`.
    data: bool,
    /// Whether a header block has begun and not ended.
    block: bool,
    last_stream: u32,
}

/// What some bytes came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Passed {
    /// Frames that carry a piece of a body.
    pub(super) data: u32,
    /// Frames that cost work and bring nothing.
    pub(super) idle: u32,
    /// Whether a stream was opened.
    pub(super) opened: bool,
    /// Whether something that had begun came to its end.
    pub(super) finished: bool,
}

impl Frames {
    /// What a client sends.
    pub(super) const fn of_client() -> Self {
        Self {
            preface: PREFACE.len(),
            ..Self::of_server()
        }
    }

    /// What a server sends.
    pub(super) const fn of_server() -> Self {
        Self {
            preface: 0,
            head: [0; HEAD],
            known: 0,
            left: 0,
            data: false,
            block: false,
            last_stream: 0,
        }
    }

    /// Whether a frame of any kind can follow here.
    pub(super) const fn is_between(&self) -> bool {
        self.preface == 0 && self.known == 0 && self.left == 0 && !self.block
    }

    /// Whether something has begun that its sender has to finish. A piece of a body has a time of its own.
    pub(super) const fn is_begun(&self) -> bool {
        let body = self.data && self.left > 0;
        !(self.is_between() || body)
    }

    /// The last stream that was opened; zero for none.
    pub(super) const fn last_stream(&self) -> u32 {
        self.last_stream
    }

    /// Goes on by what has passed.
    pub(super) fn pass(&mut self, mut bytes: &[u8]) -> Passed {
        let mut passed = Passed::default();
        let before = self.preface;
        bytes = take(&mut self.preface, bytes);
        passed.finished |= before > 0 && self.preface == 0;
        while !bytes.is_empty() {
            if self.left > 0 {
                bytes = take(&mut self.left, bytes);
                passed.finished |= self.is_between();
                continue;
            }
            if let ([first, rest @ ..], Some(place)) = (bytes, self.head.get_mut(self.known)) {
                *place = *first;
                self.known += 1;
                bytes = rest;
            }
            if self.known == HEAD {
                self.known = 0;
                self.begin(&mut passed);
                passed.finished |= self.is_between();
            }
        }
        passed
    }

    /// Has the streams that these bytes, which come next, reset for the reason `from` be reset for `to` (RFC 9113
    /// §6.4). Both are below 256.
    pub(super) fn replace_reason(&self, bytes: &mut [u8], from: u8, to: u8) {
        let mut frames = self.clone();
        let mut at = 0;
        while at < bytes.len() {
            let [_, _, _, kind, ..] = frames.head;
            let here = frames.left.clamp(1, bytes.len() - at);
            let last = at + here - 1;
            let ends = kind == RST_STREAM && here == frames.left;
            frames.pass(bytes.get(at..=last).unwrap_or_default());
            // The reason is all that the frame carries, and in its last byte.
            match bytes.get_mut(last) {
                Some(reason) if ends && *reason == from => *reason = to,
                _ => {}
            }
            at = last + 1;
        }
    }

    /// The head of a frame is there.
    fn begin(&mut self, passed: &mut Passed) {
        let [high, middle, low, kind, flags, stream @ ..] = self.head;
        self.left = u32::from_be_bytes([0, high, middle, low]) as usize;
        let stream = u32::from_be_bytes(stream) & (u32::MAX >> 1);
        self.data = kind == DATA;
        let idle = match kind {
            DATA => self.left == 0 && flags & END_STREAM == 0,
            HEADERS => {
                self.block = flags & END_HEADERS == 0;
                passed.opened |= stream > self.last_stream;
                self.last_stream = self.last_stream.max(stream);
                false
            }
            CONTINUATION => {
                self.block = flags & END_HEADERS == 0;
                true
            }
            SETTINGS | PING => flags & ACK == 0,
            // One that gives room is worth an addition, and large answers need many.
            GOAWAY | PUSH_PROMISE | WINDOW_UPDATE => false,
            _ => true,
        };
        passed.idle += u32::from(idle);
        passed.data += u32::from(self.data && self.left > 0);
    }
}

/// Takes `left` bytes of `bytes`, or as many as there are.
fn take<'b>(left: &mut usize, bytes: &'b [u8]) -> &'b [u8] {
    let here = (*left).min(bytes.len());
    *left -= here;
    bytes.get(here..).unwrap_or_default()
}
