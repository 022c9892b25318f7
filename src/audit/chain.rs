//! How each line holds on to the one before it.
//!
//! A line is `{"seq":N,"prev":"<hash of the line before>",…,"hash":"<hash>"}`, and its hash is the
//! SHA-256 of its own bytes before `,"hash":"`. Checking compares bytes as they stand in the file:
//! what is re-serialised before it is hashed can hide a change.

#[cfg(test)]
mod tests;

use memchr::memmem;
use serde::de::IgnoredAny;
use thiserror::Error;

use super::line::digits;
use crate::base::{Digest, extend_hex};

const SEQ: &[u8] = b"{\"seq\":";
const PREV: &[u8] = b",\"prev\":\"";
const HASH: &[u8] = b",\"hash\":\"";
const END: &[u8] = b"\"}";
const HEX: usize = 64;

/// The end of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// How many lines it has.
    pub(super) seq: u64,
    /// The hash of the last.
    pub(super) hash: Digest,
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Fault {
    /// Its content is not what was hashed.
    #[error("its hash is not that of its content")]
    Hash,
    /// It is chained, but no JSON.
    #[error("it is not JSON")]
    Json,
    /// It does not name the hash of the line before it.
    #[error("it does not follow the line before it")]
    Previous,
    /// It does not end in `,"hash":"…"}`.
    #[error("it does not end in a hash")]
    Seal,
    /// It has another line's number.
    #[error("it says that it is number {found}, where number {due} is due")]
    Sequence {
        /// What it says.
        found: u64,
        /// What it should say.
        due: u64,
    },
    /// It does not start with `{"seq":N,"prev":"…"`.
    #[error("it does not start with its number and the hash of the line before it")]
    Start,
    /// It does not end in a line break.
    #[error(
        "it is cut short: a write was interrupted, and the next start of the gateway removes it"
    )]
    Torn,
}

impl Head {
    /// Before the first line.
    pub(super) const NONE: Self = Self {
        seq: 0,
        hash: Digest::ZERO,
    };

    /// Appends the start of the next line, up to where its members follow.
    pub(super) fn start(self, out: &mut Vec<u8>) {
        out.extend_from_slice(SEQ);
        digits(out, self.seq.saturating_add(1));
        out.extend_from_slice(PREV);
        extend_hex(out, self.hash.as_bytes());
        out.push(b'"');
    }

    /// Closes the line that starts at `start` of `out`, and moves on to it.
    pub(super) fn seal(&mut self, out: &mut Vec<u8>, start: usize) {
        self.hash = Digest::of(out.get(start..).unwrap_or_default());
        self.seq = self.seq.saturating_add(1);
        out.extend_from_slice(HASH);
        extend_hex(out, self.hash.as_bytes());
        out.extend_from_slice(END);
        out.push(b'\n');
    }

    /// The head after `line`, which stands without its line break, or what is wrong with it.
    pub(super) fn follow(self, line: &[u8]) -> Result<Self, Fault> {
        let link = Link::read(line)?;
        let due = self.seq.saturating_add(1);
        if link.seq != due {
            return Err(Fault::Sequence {
                found: link.seq,
                due,
            });
        }
        if link.prev != self.hash {
            return Err(Fault::Previous);
        }
        Ok(Self {
            seq: link.seq,
            hash: link.hash,
        })
    }
}

/// One line by itself: whole, and of its own hash.
pub(super) struct Link {
    seq: u64,
    prev: Digest,
    hash: Digest,
}

impl Link {
    /// Takes a line apart, and checks what can be checked without its neighbours.
    pub(super) fn read(line: &[u8]) -> Result<Self, Fault> {
        let (content, hash) = unsealed(line).ok_or(Fault::Seal)?;
        if Digest::of(content) != hash {
            return Err(Fault::Hash);
        }
        let (seq, prev) = started(content).ok_or(Fault::Start)?;
        serde_json::from_slice::<IgnoredAny>(line).map_err(|_| Fault::Json)?;
        Ok(Self { seq, prev, hash })
    }

    /// The head that this line was written after.
    pub(super) const fn before(&self) -> Head {
        Head {
            seq: self.seq.saturating_sub(1),
            hash: self.prev,
        }
    }
}

/// Whether a crash while writing can have left `tail`: a line that stops before its end. Quotes
/// inside text are escaped, so the seal's first bytes stand nowhere but in the seal.
pub(super) fn is_torn(tail: &[u8]) -> bool {
    memmem::find(tail, HASH).is_none_or(|at| tail.len() < at + HASH.len() + HEX + END.len())
}

fn unsealed(line: &[u8]) -> Option<(&[u8], Digest)> {
    let line = line.strip_suffix(END)?;
    let (line, hash) = line.split_at_checked(line.len().checked_sub(HEX)?)?;
    Some((line.strip_suffix(HASH)?, digest(hash)?))
}

fn started(content: &[u8]) -> Option<(u64, Digest)> {
    let rest = content.strip_prefix(SEQ)?;
    let (seq, rest) = rest.split_at_checked(rest.iter().position(|b| !b.is_ascii_digit())?)?;
    let (prev, rest) = rest.strip_prefix(PREV)?.split_at_checked(HEX)?;
    rest.strip_prefix(b"\"")?;
    let seq = str::from_utf8(seq).ok()?.parse().ok()?;
    Some((seq, digest(prev)?))
}

fn digest(hex: &[u8]) -> Option<Digest> {
    Digest::from_hex(str::from_utf8(hex).ok()?)
}
