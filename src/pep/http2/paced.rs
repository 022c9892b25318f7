//! The stream that h2 reads and writes, with time and count kept of what the client sends.

#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frames::{Frames, Passed};
use crate::base::{BootInstant, Clock};
use crate::pep::cut::Streams;
use crate::pep::gate::InboundLimits;
use crate::pep::strict::Alarm;
use crate::telemetry::Metrics;

/// So many frames that bring nothing a client may send at once, and so many more each second, so that
/// a hundred streams can be given up in one go. Each piece of a body that it takes brings one back: gRPC
/// clients measure a connection with a ping for every burst of data.
const AT_ONCE: u32 = 1000;
const A_SECOND: u32 = 100;

/// What a client is told that has been quiet (RFC 9113 §7).
const NO_ERROR: u32 = 0;

/// What a client is told that costs more than it brings.
const ENHANCE_YOUR_CALM: u32 = 0xb;

/// What h2 has a stream end with that is dropped, and what the client is told instead: there are clients that take the
/// first for the end of an answer that is whole.
const CANCEL: u8 = 8;
const INTERNAL_ERROR: u8 = 2;

/// Why a connection is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(in crate::pep) enum Unruly {
    #[error("the client sends frames that bring nothing, and does not stop")]
    Flood,
    #[error("the client does not finish what it has begun to send")]
    Slow,
}

/// A connection under time and count.
#[derive(Debug)]
pub(in crate::pep) struct Paced<S> {
    stream: S,
    incoming: Frames,
    outgoing: Frames,
    budget: Budget,
    streams: Rc<Streams>,
    metrics: Arc<Metrics>,
    alarm: Alarm,
    /// Since when the client is to finish what it has begun.
    since: Option<BootInstant>,
    /// When there was a stream the last time.
    active: BootInstant,
    head_patience: Duration,
    idle_patience: Duration,
    stage: Cell<Stage>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Open,
    /// Nothing was asked for too long.
    Idle,
    Unruly(Unruly),
}

impl<S> Paced<S> {
    /// Paces `stream`, on which `streams` run.
    pub(in crate::pep) fn new(
        stream: S,
        clock: &Clock,
        limits: &InboundLimits,
        streams: Rc<Streams>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let now = clock.now();
        Self {
            stream,
            incoming: Frames::of_client(),
            outgoing: Frames::of_server(),
            budget: Budget::new(now),
            streams,
            metrics,
            alarm: Alarm::new(clock),
            // The preface.
            since: Some(now),
            active: now,
            head_patience: limits.header_timeout,
            idle_patience: limits.idle_timeout,
            stage: Cell::new(Stage::Open),
        }
    }

    /// Looks at what the client has sent.
    fn judge(&mut self, passed: Passed) -> Result<(), Unruly> {
        let now = self.alarm.now();
        if passed.opened {
            self.active = now;
        }
        if passed.finished {
            self.since = None;
        }
        if self.incoming.is_begun() {
            self.since.get_or_insert(now);
        } else {
            self.since = None;
        }
        if self.budget.spend(passed.idle, now) {
            Ok(())
        } else {
            Err(Unruly::Flood)
        }
    }

    /// Follows what the client is sent.
    fn sent(&mut self, bytes: &[u8]) {
        let passed = self.outgoing.pass(bytes);
        self.budget.earn(passed.data);
    }

    /// The client says nothing. Ready when its time is over.
    fn poll_patience(&mut self, context: &mut Context<'_>) -> Poll<Stage> {
        loop {
            if self.streams.run() {
                self.active = self.alarm.now();
            }
            let (deadline, stage) = match self.since {
                Some(since) => (since + self.head_patience, Stage::Unruly(Unruly::Slow)),
                None => (self.active + self.idle_patience, Stage::Idle),
            };
            ready!(self.alarm.poll(deadline, context));
            if stage == Stage::Idle && self.streams.run() {
                continue;
            }
            return Poll::Ready(stage);
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Paced<S> {
    /// Ends the connection. The client is told, where a frame can follow and is taken at once: one that
    /// does not read can't be told.
    fn leave(&mut self, stage: Stage, context: &mut Context<'_>) {
        self.stage.set(stage);
        let reason = match stage {
            Stage::Idle | Stage::Open => NO_ERROR,
            Stage::Unruly(unruly) => {
                if unruly == Unruly::Flood {
                    self.metrics.refuse_connection("http2_frames");
                }
                ENHANCE_YOUR_CALM
            }
        };
        if !self.outgoing.is_between() {
            return;
        }
        let frame = goaway(self.incoming.last_stream(), reason);
        let written = Pin::new(&mut self.stream).poll_write(context, &frame);
        if let Poll::Ready(Ok(count)) = written {
            self.outgoing.pass(frame.get(..count).unwrap_or_default());
            // It goes out now or with the end of the connection.
            let _ = Pin::new(&mut self.stream).poll_flush(context);
        }
    }

    /// Writes `bytes`, in which no stream is only cancelled.
    ///
    /// A WebSocket that ends beside answers that were cut is told the same: it has heard why before.
    fn poll_write_amended(
        &mut self,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut amended = bytes.to_vec();
        let outgoing = &self.outgoing;
        outgoing.replace_reason(&mut amended, CANCEL, INTERNAL_ERROR);
        let count = ready!(Pin::new(&mut self.stream).poll_write(context, &amended))?;
        self.sent(amended.get(..count).unwrap_or_default());
        Poll::Ready(Ok(count))
    }

    /// How a connection that was ended goes on.
    fn over(&self) -> Option<io::Result<()>> {
        match self.stage.get() {
            Stage::Open => None,
            Stage::Idle => Some(Ok(())),
            Stage::Unruly(unruly) => Some(Err(io::Error::other(unruly))),
        }
    }
}

/// That streams above `last` were not looked at, and why nothing more is.
fn goaway(last: u32, reason: u32) -> Vec<u8> {
    let mut frame = vec![0, 0, 8, 7, 0, 0, 0, 0, 0];
    frame.extend(last.to_be_bytes());
    frame.extend(reason.to_be_bytes());
    frame
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(over) = this.over() {
            return Poll::Ready(over);
        }
        let before = buffer.filled().len();
        let stage = match Pin::new(&mut this.stream).poll_read(context, buffer) {
            Poll::Ready(Ok(())) => {
                let fresh = buffer.filled().get(before..).unwrap_or_default();
                let passed = this.incoming.pass(fresh);
                match this.judge(passed) {
                    Ok(()) => return Poll::Ready(Ok(())),
                    Err(unruly) => {
                        buffer.set_filled(before);
                        Stage::Unruly(unruly)
                    }
                }
            }
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Pending => ready!(this.poll_patience(context)),
        };
        this.leave(stage, context);
        Poll::Ready(this.over().unwrap_or(Ok(())))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if let Some(Err(over)) = this.over() {
            return Poll::Ready(Err(over));
        }
        if this.streams.was_cut() {
            return this.poll_write_amended(context, bytes);
        }
        let count = ready!(Pin::new(&mut this.stream).poll_write(context, bytes))?;
        this.sent(bytes.get(..count).unwrap_or_default());
        Poll::Ready(Ok(count))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if let Some(Err(over)) = this.over() {
            return Poll::Ready(Err(over));
        }
        if this.streams.was_cut() {
            let some = slices.iter().find(|slice| !slice.is_empty());
            return this.poll_write_amended(context, some.map_or(&[], |slice| slice));
        }
        let written = Pin::new(&mut this.stream).poll_write_vectored(context, slices);
        let count = ready!(written)?;
        let mut left = count;
        for slice in slices {
            let here = left.min(slice.len());
            this.sent(slice.get(..here).unwrap_or_default());
            left -= here;
        }
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

/// How many frames that bring nothing are still to be had.
#[derive(Debug)]
struct Budget {
    left: u32,
    /// Up to when it was filled.
    filled: BootInstant,
}

impl Budget {
    const fn new(now: BootInstant) -> Self {
        Self {
            left: AT_ONCE,
            filled: now,
        }
    }

    fn earn(&mut self, count: u32) {
        self.left = self.left.saturating_add(count).min(AT_ONCE);
    }

    /// Takes `count`, if there are as many.
    fn spend(&mut self, count: u32, now: BootInstant) -> bool {
        if count == 0 {
            return true;
        }
        let more = now.saturating_since(self.filled).as_millis() * u128::from(A_SECOND) / 1000;
        if more > 0 {
            let more = u32::try_from(more).unwrap_or(u32::MAX);
            self.left = self.left.saturating_add(more).min(AT_ONCE);
            // Up to the last whole frame: what is left over counts the next time.
            self.filled = self.filled + Duration::from_secs(1) / A_SECOND * more;
        }
        match self.left.checked_sub(count) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }
}
