//! Where the frames of a WebSocket begin and end (RFC 6455 §5.2), for as little as that takes: between two
//! of them the gateway can say goodbye, within one it can't.

#[cfg(test)]
mod tests;

/// The longest head: two bytes, eight of length, four of a mask.
const LONGEST_HEAD: usize = 14;

const OPCODE: u8 = 0x0f;
const CLOSE: u8 = 0x08;
const MASKED: u8 = 0x80;
const LENGTH: u8 = 0x7f;

/// The first byte of a close frame that is not fragmented.
const WHOLE_CLOSE: u8 = 0x88;

/// The longest payload of a control frame (RFC 6455 §5.5), less the code.
const LONGEST_REASON: usize = 123;

/// Why the gateway closes (RFC 6455 §7.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CloseCode {
    /// Nothing moved for too long, or the gateway stops.
    GoingAway = 1001,
    /// What it ran under is over.
    PolicyViolation = 1008,
}

/// Where in its frames one direction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Between two frames.
    Between,
    /// Behind the close frame, after which nothing more is sent (RFC 6455 §5.5.1).
    Closed,
    /// Within a frame.
    Within,
}

/// Follows the frames of one direction. It keeps nothing of what they carry.
#[derive(Debug, Default)]
pub(super) struct Frames {
    head: Vec<u8>,
    /// Bytes that the payload is still to have.
    left: u64,
    closing: bool,
    closed: bool,
}

impl Frames {
    pub(super) const fn place(&self) -> Place {
        if self.closed {
            Place::Closed
        } else if self.left == 0 && self.head.is_empty() {
            Place::Between
        } else {
            Place::Within
        }
    }

    /// Goes on by what has passed.
    pub(super) fn pass(&mut self, mut bytes: &[u8]) {
        while let [first, rest @ ..] = bytes {
            if self.left > 0 {
                let here = usize::try_from(self.left)
                    .unwrap_or(usize::MAX)
                    .min(bytes.len());
                self.left -= here as u64;
                bytes = bytes.get(here..).unwrap_or_default();
                self.settle();
                continue;
            }
            self.head.push(*first);
            bytes = rest;
            if let Some(length) = payload(&self.head) {
                self.closing = self
                    .head
                    .first()
                    .is_some_and(|first| first & OPCODE == CLOSE);
                self.head.clear();
                self.left = length;
                self.settle();
            }
        }
    }

    fn settle(&mut self) {
        if self.left == 0 && self.closing {
            self.closed = true;
        }
    }
}

/// The length of the payload behind a head, as soon as that is whole.
fn payload(head: &[u8]) -> Option<u64> {
    let [_, second, rest @ ..] = head else {
        return None;
    };
    let mask = if second & MASKED == 0 { 0 } else { 4 };
    let (digits, short) = match second & LENGTH {
        126 => (2, None),
        127 => (8, None),
        length => (0, Some(u64::from(length))),
    };
    if rest.len() < digits + mask || head.len() > LONGEST_HEAD {
        return None;
    }
    let read = |digits: &[u8]| {
        digits
            .iter()
            .fold(0, |sum, digit| sum << 8 | u64::from(*digit))
    };
    Some(short.unwrap_or_else(|| read(rest.get(..digits).unwrap_or_default())))
}

/// A close frame as a server sends it.
pub(super) fn close(code: CloseCode, reason: &str) -> Vec<u8> {
    let reason = reason
        .get(..reason.len().min(LONGEST_REASON))
        .unwrap_or_default();
    // INVARIANT: with the code it is at most 125 bytes.
    let length = u8::try_from(reason.len() + 2).unwrap_or(2);
    let mut frame = vec![WHOLE_CLOSE, length];
    frame.extend((code as u16).to_be_bytes());
    frame.extend(reason.as_bytes());
    frame
}
