//! The stream that hyper reads: one validated request, then the next when hyper asks for it.
//!
//! hyper asks for bytes in two places only: for a body that its reader wants, and for a head once the last
//! answer is written (with `half_close` set, it never looks ahead). That is what makes "the next request"
//! a thing that can be withheld.

mod stream;
#[cfg(test)]
mod tests;
mod verdict;

use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use tokio::io::ReadBuf;
pub(in crate::pep) use verdict::Verdict;

use super::alarm::Alarm;
use super::chunks::Chunks;
use super::fault::Fault;
use super::head::{Framing, Head, HeadLimits, HeadReader};
use crate::base::{BootInstant, Clock};
use crate::pep::gate::InboundLimits;

/// What hyper is handed in the place of a request that is refused: something that it can't refuse by
/// itself, and that ends the connection.
const HARMLESS: &[u8] = b"GET / HTTP/1.1\r\nhost: refused\r\nconnection: close\r\n\r\n";

/// After so long between two requests a connection is [quiet](Verdict::is_quiet).
const QUIET: Duration = Duration::from_secs(1);

/// A connection whose requests have one reading.
#[derive(Debug)]
pub(in crate::pep) struct Strict<S> {
    stream: S,
    stage: Stage,
    /// Bytes that were received and not yet handed over; none for as long as nothing is out of step.
    held: BytesMut,
    /// So many of them are the current request's and may be handed over.
    passed: usize,
    /// Whether a request was handed over whose answer may still be on its way.
    answering: bool,
    /// Whether the client has said that it sends no more.
    ended: bool,
    /// Whether what was to be written last has not been yet.
    blocked: bool,
    /// Since when the client is waited for.
    since: Option<BootInstant>,
    alarm: Alarm,
    head_patience: Duration,
    idle_patience: Duration,
    verdict: Verdict,
}

/// Where in its requests a connection is.
#[derive(Debug)]
enum Stage {
    /// At, or in, a head.
    Head(HeadReader),
    /// In a body, with so many bytes to come.
    Length(u64),
    Chunked(Chunks),
    /// In a body that went wrong.
    Broken(Fault),
    /// Nothing more is read.
    Over,
}

/// What is left when a connection is over.
#[derive(Debug)]
pub(in crate::pep) struct Rest<S> {
    pub(in crate::pep) stream: S,
    /// Whether the client may have sent something that nobody has read: closing at once would then
    /// reset the connection, and the last answer be lost with it.
    pub(in crate::pep) unread: bool,
    /// What came behind the last request and was held back: where that asked for another protocol, and
    /// got it, these are its first bytes.
    pub(in crate::pep) held: BytesMut,
}

impl<S> Strict<S> {
    pub(in crate::pep) fn new(stream: S, clock: &Clock, limits: &InboundLimits) -> Self {
        Self {
            stream,
            stage: Stage::Head(HeadReader::default()),
            held: BytesMut::new(),
            passed: 0,
            answering: false,
            ended: false,
            blocked: false,
            since: None,
            alarm: Alarm::new(clock),
            head_patience: limits.header_timeout,
            idle_patience: limits.idle_timeout,
            verdict: Verdict {
                said: Rc::default(),
                limits: HeadLimits::new(limits),
            },
        }
    }

    /// Where the service finds the refusals.
    pub(in crate::pep) fn verdict(&self) -> Verdict {
        self.verdict.clone()
    }

    pub(in crate::pep) fn into_rest(self) -> Rest<S> {
        let between = matches!(self.stage, Stage::Head(_)) && self.held.is_empty();
        Rest {
            unread: !between && !self.ended,
            stream: self.stream,
            held: self.held,
        }
    }

    /// Says how many of the bytes behind a head, or behind a part of a body, are the request's.
    fn frame(&mut self, bytes: &[u8]) -> usize {
        let (own, over) = match &mut self.stage {
            Stage::Length(left) => {
                let own = usize::try_from(*left)
                    .unwrap_or(usize::MAX)
                    .min(bytes.len());
                *left -= own as u64;
                (own, *left == 0)
            }
            Stage::Chunked(chunks) => match chunks.read(bytes) {
                Ok(own) => (own, chunks.is_over()),
                Err(fault) => {
                    // Not even the good bytes before it: the request can't become whole any more.
                    self.stage = Stage::Broken(fault);
                    return 0;
                }
            },
            Stage::Head(_) | Stage::Broken(_) | Stage::Over => return 0,
        };
        if over {
            self.stage = Stage::Head(HeadReader::default());
            self.verdict.said.incomplete.set(false);
        }
        own
    }

    /// Goes on with a head that has just been read, and what is behind it. Says how many of `bytes` are
    /// the request's.
    fn begin(&mut self, head: Head, bytes: &[u8]) -> usize {
        self.since = None;
        self.answering = true;
        self.verdict.said.quiet.set(false);
        let bodiless = head.framing == Framing::None;
        self.verdict.said.incomplete.set(!bodiless);
        self.stage = match head.framing {
            Framing::None => Stage::Head(HeadReader::default()),
            Framing::Length(length) => Stage::Length(length),
            Framing::Chunked => Stage::Chunked(Chunks::new(self.verdict.limits.lines)),
        };
        head.length + self.frame(bytes.get(head.length..).unwrap_or_default())
    }

    fn refuse(&mut self, fault: Fault) {
        self.verdict.said.fault.set(Some(fault));
        self.held = BytesMut::from(HARMLESS);
        self.passed = HARMLESS.len();
        self.stage = Stage::Over;
    }

    /// Hands over what may be handed over, as far as it fits.
    fn hand_over(&mut self, buffer: &mut ReadBuf<'_>) {
        let count = self.passed.min(buffer.remaining());
        if let Some(bytes) = self.held.get(..count) {
            buffer.put_slice(bytes);
            self.held.advance(count);
        }
        self.passed -= count;
        if self.held.is_empty() {
            // An idle connection keeps no buffer.
            self.held = BytesMut::new();
        }
    }

    /// Looks at what is held; says whether that led anywhere.
    fn read_held(&mut self) -> bool {
        if self.held.is_empty() {
            return false;
        }
        let held = std::mem::take(&mut self.held);
        self.passed = match &mut self.stage {
            Stage::Head(reader) => match reader.read(&held, &self.verdict.limits) {
                Ok(Some(head)) => self.begin(head, &held),
                Ok(None) => {
                    self.held = held;
                    return false;
                }
                Err(fault) => {
                    self.refuse(fault);
                    return true;
                }
            },
            Stage::Length(_) | Stage::Chunked(_) => self.frame(&held),
            Stage::Broken(_) | Stage::Over => 0,
        };
        self.held = held;
        true
    }

    /// Looks at what has just come, where it lies. What is not the current request's is held back.
    fn read_fresh(&mut self, before: usize, buffer: &mut ReadBuf<'_>) {
        let fresh = buffer.filled().get(before..).unwrap_or_default();
        let own = match &mut self.stage {
            Stage::Head(reader) if self.held.is_empty() => {
                match reader.read(fresh, &self.verdict.limits) {
                    Ok(Some(head)) => self.begin(head, fresh),
                    Ok(None) => {
                        self.since = Some(self.alarm.now());
                        0
                    }
                    Err(fault) => {
                        self.refuse(fault);
                        buffer.set_filled(before);
                        return;
                    }
                }
            }
            Stage::Length(_) | Stage::Chunked(_) => self.frame(fresh),
            Stage::Head(_) | Stage::Broken(_) | Stage::Over => 0,
        };
        self.held
            .extend_from_slice(fresh.get(own..).unwrap_or_default());
        buffer.set_filled(before + own);
    }

    /// The client says nothing. Ready when its time is over.
    fn poll_patience(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if !matches!(self.stage, Stage::Head(_)) {
            // A body's pauses are watched by who reads it.
            return Poll::Pending;
        }
        let since = *self.since.get_or_insert_with(|| self.alarm.now());
        let idle = self.held.is_empty();
        let quiet = &self.verdict.said.quiet;
        if idle && !self.blocked && !quiet.get() && QUIET < self.idle_patience {
            ready!(self.alarm.poll(since + QUIET, context));
            quiet.set(true);
        }
        let patience = if idle {
            self.idle_patience
        } else {
            self.head_patience
        };
        ready!(self.alarm.poll(since + patience, context));
        if idle {
            self.stage = Stage::Over;
        } else {
            self.refuse(Fault::Slow);
        }
        Poll::Ready(())
    }

    /// The client sends no more.
    fn end(&mut self) {
        self.ended = true;
        if matches!(self.stage, Stage::Head(_)) && !self.held.is_empty() {
            self.refuse(Fault::Malformed("the request breaks off in its head"));
        } else {
            self.stage = Stage::Over;
        }
    }
}
