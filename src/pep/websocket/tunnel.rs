//! Bytes both ways, for as long as what the exchange runs under lasts.
//!
//! Each direction has at most one piece in hand: it is read when the last one has been written, so that a
//! slow side slows the other down and costs no memory. Silent tunnels hold no buffer.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio::task::yield_now;
use tokio::time::{Sleep, sleep};

use super::super::refusal::Refusal;
use super::frames::{CloseCode, Frames, Place, close};
use crate::base::{Clock, IdleTimer};
use crate::model::EndReason;
use crate::pep::cut::{Ends, Slot};
use crate::pep::running::Running;
use crate::pep::worker::{Worker, stopped};
use crate::upstream::Tunnel;

/// A piece.
const PIECE: usize = 8 * 1024;

/// How long one side may go on when the other has said that it sends no more.
const LINGER: Duration = Duration::from_secs(5);

/// So many turns of the worker a last frame has on its way through HTTP/2: from here to what sends for the
/// stream, and from there to the connection.
const LAST_TURNS: usize = 4;

/// An exchange that has become a WebSocket.
pub(in crate::pep) struct Switched {
    upstream: Tunnel,
    running: Rc<Running>,
    slot: Rc<Slot>,
    ends: Ends,
    clock: Clock,
    idle: Option<IdleTimer>,
    leaving: watch::Receiver<bool>,
    /// Ready when the gateway is about to drop what still runs.
    gone: Pin<Box<dyn Future<Output = ()>>>,
    /// Runs once one side has ended.
    linger: Option<Pin<Box<Sleep>>>,
    up: Direction,
    down: Direction,
    /// What the client has been given.
    frames: Frames,
    complete: bool,
}

/// How a tunnel's downstream has to be left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::pep) enum Parting {
    /// At once, in a way that does not look like an end.
    Abrupt,
    /// Both sides have said that they send no more.
    Orderly,
    /// A close frame is on its way; nothing more follows.
    Said,
}

/// Why nothing more passes.
enum Stop {
    /// A side broke off, or lingered too long.
    Broken,
    Cut(EndReason),
    Done,
    Idle,
    /// The gateway stops.
    Leaving,
}

/// One direction.
#[derive(Debug, Default)]
struct Direction {
    /// What was read and is to be written.
    held: BytesMut,
    /// Whether something was written that may not have left.
    unflushed: bool,
    /// Whether its source has ended.
    ended: bool,
}

impl Switched {
    pub(super) fn new(
        upstream: Tunnel,
        running: Rc<Running>,
        slot: Rc<Slot>,
        worker: &Worker,
    ) -> Self {
        let clock = &worker.gate.clock;
        let idle = upstream.idle_timeout();
        let leaving = worker.leaving();
        Self {
            ends: running.ends(),
            idle: idle.map(|timeout| IdleTimer::new(clock, timeout)),
            clock: clock.clone(),
            upstream,
            running,
            slot,
            gone: Box::pin(stopped(leaving.clone())),
            leaving,
            linger: None,
            up: Direction::default(),
            down: Direction::default(),
            frames: Frames::default(),
            complete: false,
        }
    }

    /// Kept, it has the gateway wait for a goodbye when it stops.
    pub(in crate::pep) fn leaving(&self) -> watch::Receiver<bool> {
        self.leaving.clone()
    }

    /// Carries bytes until a side ends or what they pass under does. `held` are the first that the client
    /// has sent.
    pub(in crate::pep) async fn carry<D>(&mut self, downstream: &mut D, held: BytesMut) -> Parting
    where
        D: AsyncRead + AsyncWrite + Unpin,
    {
        let stop = match self.pass_first(held) {
            Ok(()) => poll_fn(|context| self.poll_carry(downstream, context)).await,
            Err(reason) => Stop::Cut(reason),
        };
        match stop {
            Stop::Broken => Parting::Abrupt,
            Stop::Cut(reason) => {
                self.running.cut(reason);
                let refusal = self.running.take_withdrawn();
                let wanted = refusal.as_ref().and_then(Refusal::demands);
                let said = wanted.unwrap_or(reason.as_str());
                self.say(downstream, CloseCode::PolicyViolation, said).await
            }
            Stop::Done => {
                self.complete = true;
                Parting::Orderly
            }
            Stop::Idle => {
                self.note("nothing moved for too long");
                self.say(downstream, CloseCode::GoingAway, "idle").await
            }
            Stop::Leaving => {
                self.note("the gateway stopped");
                let reason = "the gateway stops";
                self.say(downstream, CloseCode::GoingAway, reason).await
            }
        }
    }

    fn pass_first(&mut self, held: BytesMut) -> Result<(), EndReason> {
        if held.is_empty() {
            return Ok(());
        }
        let passed = self.running.pass_in(held.len(), self.clock.now());
        passed.map_err(|_| EndReason::Exhausted)?;
        self.up.held = held;
        Ok(())
    }

    fn poll_carry<D>(&mut self, downstream: &mut D, context: &mut Context<'_>) -> Poll<Stop>
    where
        D: AsyncRead + AsyncWrite + Unpin,
    {
        if let Poll::Ready(reason) = self.poll_over(context) {
            return Poll::Ready(Stop::Cut(reason));
        }
        if self.gone.as_mut().poll(context).is_ready() {
            return Poll::Ready(Stop::Leaving);
        }
        let (running, ends, slot) = (&self.running, &self.ends, &self.slot);
        let over = || match ends.get().or_else(|| slot.withdrawn()) {
            Some(reason) => Err(Stop::Cut(reason)),
            None => Ok(()),
        };
        let exhausted = |_| Stop::Cut(EndReason::Exhausted);
        let idle = RefCell::new(self.idle.as_mut());
        // Before anybody sees what has moved.
        let moved = || {
            if let Some(idle) = idle.borrow_mut().as_mut() {
                idle.moved();
            }
        };
        let up = {
            let pass = |bytes: &[u8]| {
                over()?;
                moved();
                let passed = running.pass_in(bytes.len(), self.clock.now());
                passed.map_err(exhausted)
            };
            copy(
                context,
                &mut self.up,
                downstream,
                &mut self.upstream,
                pass,
                |_| {},
            )
        };
        let frames = &mut self.frames;
        let down = {
            let pass = |bytes: &[u8]| {
                over()?;
                moved();
                running.pass_out(bytes.len()).map_err(exhausted)
            };
            let wrote = |bytes: &[u8]| frames.pass(bytes);
            copy(
                context,
                &mut self.down,
                &mut self.upstream,
                downstream,
                pass,
                wrote,
            )
        };
        self.judge(context, up, down, downstream)
    }

    /// What the state of both directions comes to.
    fn judge<D>(
        &mut self,
        context: &mut Context<'_>,
        up: Poll<Result<(), Stop>>,
        down: Poll<Result<(), Stop>>,
        downstream: &mut D,
    ) -> Poll<Stop>
    where
        D: AsyncWrite + Unpin,
    {
        let (up, down) = match (up, down) {
            (Poll::Ready(Err(stop)), _) => return Poll::Ready(stop),
            (_, Poll::Ready(Err(stop))) => {
                if matches!(stop, Stop::Broken) {
                    self.note("the service broke off");
                }
                return Poll::Ready(stop);
            }
            (up, down) => (up.is_ready(), down.is_ready()),
        };
        if down && self.frames.place() == Place::Within {
            self.note("the service broke off");
            return Poll::Ready(Stop::Broken);
        }
        // What each has said reaches the other before its end does.
        let up = up
            && Pin::new(&mut self.upstream)
                .poll_shutdown(context)
                .is_ready();
        let down = down && Pin::new(&mut *downstream).poll_shutdown(context).is_ready();
        if up && down {
            return Poll::Ready(Stop::Done);
        }
        if up
            && !down
            && matches!(
                Pin::new(downstream).poll_flush(context),
                Poll::Ready(Err(_))
            )
        {
            // Over HTTP/2 a client that resets its stream looks like one that has ended it, save that
            // nothing more can be sent there.
            return Poll::Ready(Stop::Broken);
        }
        if up || down {
            let linger = self.linger.get_or_insert_with(|| {
                // What sends for the stream learns of a reset at the same time: look again behind it.
                context.waker().wake_by_ref();
                Box::pin(sleep(LINGER))
            });
            if linger.as_mut().poll(context).is_ready() {
                return Poll::Ready(Stop::Broken);
            }
        }
        let idle = self.idle.as_mut();
        if idle.is_some_and(|idle| idle.poll_idle(context).is_ready()) {
            return Poll::Ready(Stop::Idle);
        }
        Poll::Pending
    }

    fn poll_over(&mut self, context: &mut Context<'_>) -> Poll<EndReason> {
        if let Poll::Ready(reason) = Pin::new(&mut self.ends).poll(context) {
            return Poll::Ready(reason);
        }
        self.slot.poll_withdrawn(context)
    }

    /// Says why, if that can be said: between two frames, and to a client that takes it at once. One that
    /// keeps us waiting would get it behind all that the kernel still holds for it, so its connection is
    /// reset instead.
    async fn say<D>(&self, downstream: &mut D, code: CloseCode, reason: &str) -> Parting
    where
        D: AsyncWrite + Unpin,
    {
        if !self.down.held.is_empty() {
            return Parting::Abrupt;
        }
        match self.frames.place() {
            Place::Between => {}
            Place::Closed => return Parting::Said,
            Place::Within => return Parting::Abrupt,
        }
        let frame = close(code, reason);
        poll_fn(|context| {
            let mut downstream = Pin::new(&mut *downstream);
            let written = downstream.as_mut().poll_write(context, &frame);
            let whole = matches!(written, Poll::Ready(Ok(count)) if count == frame.len());
            let said = whole && matches!(downstream.poll_flush(context), Poll::Ready(Ok(())));
            let parting = if said { Parting::Said } else { Parting::Abrupt };
            Poll::Ready(parting)
        })
        .await
    }

    fn note(&self, detail: &str) {
        self.running
            .note(|record| record.detail = Some(detail.to_owned()));
    }
}

impl Drop for Switched {
    fn drop(&mut self) {
        let over = self.ends.get().or_else(|| self.slot.withdrawn());
        if let Some(reason) = over
            && !self.complete
        {
            self.running.cut(reason);
        }
        self.slot.disarm();
    }
}

/// Carries one direction until its source ends and all of it is written. `pass` has the say over each
/// piece before it goes; `wrote` learns of what the sink has taken.
fn copy<R, W>(
    context: &mut Context<'_>,
    direction: &mut Direction,
    from: &mut R,
    to: &mut W,
    mut pass: impl FnMut(&[u8]) -> Result<(), Stop>,
    mut wrote: impl FnMut(&[u8]),
) -> Poll<Result<(), Stop>>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let broken = |_: io::Error| Stop::Broken;
    loop {
        while !direction.held.is_empty() {
            let written = Pin::new(&mut *to).poll_write(context, &direction.held);
            let count = ready!(written).map_err(broken)?;
            if count == 0 {
                return Poll::Ready(Err(Stop::Broken));
            }
            wrote(direction.held.get(..count).unwrap_or_default());
            direction.held.advance(count);
            direction.unflushed = true;
        }
        direction.held = BytesMut::new();
        if direction.ended {
            return Poll::Ready(Ok(()));
        }
        let mut space = [MaybeUninit::uninit(); PIECE];
        let mut buffer = ReadBuf::uninit(&mut space);
        match Pin::new(&mut *from).poll_read(context, &mut buffer) {
            Poll::Ready(read) => read.map_err(broken)?,
            Poll::Pending => {
                if direction.unflushed {
                    let flushed = Pin::new(&mut *to).poll_flush(context);
                    ready!(flushed).map_err(broken)?;
                    direction.unflushed = false;
                }
                return Poll::Pending;
            }
        }
        if buffer.filled().is_empty() {
            direction.ended = true;
        } else {
            pass(buffer.filled())?;
            direction.held.extend_from_slice(buffer.filled());
        }
    }
}

/// Runs a WebSocket on the HTTP/2 stream that it was asked for on (RFC 8441 §5). An end of a stream is
/// orderly, a reset is not.
pub(in crate::pep) async fn over_http2(mut switched: Switched, stream: OnUpgrade) {
    // Without it the client has left already.
    let Ok(stream) = stream.await else { return };
    let mut downstream = TokioIo::new(stream);
    let parting = switched.carry(&mut downstream, BytesMut::new()).await;
    if parting == Parting::Said {
        for _ in 0..LAST_TURNS {
            yield_now().await;
        }
    }
    if parting != Parting::Orderly {
        switched.slot.stop_sender();
    }
}
