//! Cutting what runs: the connection's task watches the end of the grants that its exchanges run under,
//! and drops them. A body error alone would not do: a body is asked for its next piece only when the
//! last one has left, and a stalled reader never lets it leave.
//!
//! HTTP/1 runs one exchange at a time, so its connection is dropped and reset. HTTP/2 gives each stream
//! a task of its own, so that task is dropped, and the protocol engine discards what is queued and
//! resets the stream; its siblings go on. A tunnel watches its ends itself, because it has something to
//! say before it goes (see `websocket`).

#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use smallvec::SmallVec;
use tokio::task::{AbortHandle, spawn_local};

use crate::base::Clock;
use crate::grants::EndSignal;
use crate::model::EndReason;

/// The ends of everything that an exchange runs under, a grant's and a task's as a rule; the first one
/// counts.
#[derive(Clone, Debug, Default)]
pub(super) struct Ends(SmallVec<[EndSignal; 2]>);

impl Ends {
    pub(super) fn new(signals: impl IntoIterator<Item = EndSignal>) -> Self {
        Self(signals.into_iter().collect())
    }

    /// Whether these are the same ends as `others`.
    fn are(&self, others: &Self) -> bool {
        self.0.len() == others.0.len()
            && self
                .0
                .iter()
                .zip(&others.0)
                .all(|(one, other)| one.is_of(other))
    }

    /// Why the exchange has to end, if it has to by now.
    pub(super) fn get(&self) -> Option<EndReason> {
        self.0.iter().find_map(EndSignal::get)
    }
}

impl Future for Ends {
    type Output = EndReason;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<EndReason> {
        for signal in &mut self.0 {
            if let Poll::Ready(reason) = Pin::new(signal).poll(context) {
                return Poll::Ready(reason);
            }
        }
        Poll::Pending
    }
}

/// Holds what ends one running exchange: whoever waits for the answer looks at it until that has begun, and
/// then the task that owns the slot.
#[derive(Debug, Default)]
pub(super) struct Slot {
    /// The ends of what the exchange runs under, or of what the last one ran under: the next one on its
    /// connection waits for the same ones as a rule, and finds them registered.
    ends: RefCell<Ends>,
    /// Whether an exchange runs under them.
    armed: Cell<bool>,
    /// Whether the answer has begun: before, there is nothing to cut.
    begun: Cell<bool>,
    /// Set by this worker alone, when what runs is no longer allowed.
    withdrawn: Cell<Option<EndReason>>,
    waker: RefCell<Option<Waker>>,
    /// The task that an HTTP/2 stream has left behind to send for it, once it became a tunnel.
    sender: RefCell<Option<AbortHandle>>,
}

impl Slot {
    /// From now on what runs in the slot is over with the first of `ends`.
    pub(super) fn arm(&self, ends: &Ends) {
        let mut last = self.ends.borrow_mut();
        if !last.are(ends) {
            *last = ends.clone();
        }
        self.armed.set(true);
    }

    /// The answer begins: from now on what runs in the slot is cut.
    pub(super) fn begin(&self) {
        self.begun.set(true);
    }

    /// What runs in the slot is over and can't be cut any more.
    pub(super) fn disarm(&self) {
        self.armed.set(false);
        self.begun.set(false);
        self.withdrawn.take();
    }

    /// Forgets what the last exchange ran under, where none runs.
    pub(super) fn forget(&self) {
        if !self.armed.get() {
            self.ends.take();
            self.waker.take();
        }
    }

    /// What runs in the slot is no longer allowed, whatever it runs under.
    pub(super) fn withdraw(&self, reason: EndReason) {
        self.withdrawn.set(Some(reason));
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Why what runs is no longer allowed, if it was withdrawn.
    pub(super) const fn withdrawn(&self) -> Option<EndReason> {
        self.withdrawn.get()
    }

    /// Stops what sends for a stream that became a tunnel. With its last handle gone the stream is reset,
    /// and what was queued is not sent.
    pub(super) fn stop_sender(&self) {
        if let Some(sender) = self.sender.take() {
            sender.abort();
        }
    }

    /// Ready when what runs in the slot was withdrawn.
    pub(super) fn poll_withdrawn(&self, context: &Context<'_>) -> Poll<EndReason> {
        if let Some(reason) = self.withdrawn.get() {
            return Poll::Ready(reason);
        }
        let mut waker = self.waker.borrow_mut();
        match &mut *waker {
            Some(waker) => waker.clone_from(context.waker()),
            None => *waker = Some(context.waker().clone()),
        }
        Poll::Pending
    }

    /// Ready when one of the ends that the slot was armed with has come.
    pub(super) fn poll_ended(&self, context: &mut Context<'_>) -> Poll<EndReason> {
        if !self.armed.get() {
            return Poll::Pending;
        }
        Pin::new(&mut *self.ends.borrow_mut()).poll(context)
    }

    /// Ready when what runs in the slot has to be cut. Before the response has begun there is nothing
    /// to cut: whoever waits for it answers with a refusal.
    fn poll_cut(&self, context: &mut Context<'_>) -> Poll<EndReason> {
        if !self.begun.get() {
            return Poll::Pending;
        }
        if let Poll::Ready(reason) = self.poll_ended(context) {
            return Poll::Ready(reason);
        }
        self.poll_withdrawn(context)
    }
}

/// How a connection's future came out.
pub(super) enum Ran<T> {
    /// The end of a grant cut it.
    Cut,
    /// It ran to its own end.
    Done(T),
}

/// Polls `future` until it is done or the slot has to be cut. The cut is looked at first, so that
/// nothing more is handed to the kernel once it is due.
pub(super) async fn run_in_slot<F: Future + Unpin>(slot: &Slot, future: &mut F) -> Ran<F::Output> {
    let mut poll = |context: &mut Context<'_>| {
        if slot.poll_cut(context).is_ready() {
            return Poll::Ready(Ran::Cut);
        }
        if let Poll::Ready(output) = Pin::new(&mut *future).poll(context) {
            return Poll::Ready(Ran::Done(output));
        }
        // The future may just have armed the slot: registers for its signals.
        slot.poll_cut(context).map(|_| Ran::Cut)
    };
    poll_fn(|context| Clock::at_one_moment(|| poll(context))).await
}

/// The streams of an HTTP/2 connection.
#[derive(Debug, Default)]
pub(super) struct Streams {
    /// How many run, tunnels among them.
    running: Cell<usize>,
    cut: Cell<bool>,
}

impl Streams {
    /// Whether any runs.
    pub(super) const fn run(&self) -> bool {
        self.running.get() > 0
    }

    /// Whether an answer was cut on any of them.
    pub(super) const fn was_cut(&self) -> bool {
        self.cut.get()
    }

    /// One more runs, for as long as what is returned is kept.
    pub(super) fn begin(self: &Rc<Self>) -> OneStream {
        self.running.set(self.running.get() + 1);
        OneStream(Rc::clone(self))
    }
}

/// A stream that runs.
#[derive(Debug)]
pub(super) struct OneStream(Rc<Streams>);

impl Drop for OneStream {
    fn drop(&mut self) {
        let running = &self.0.running;
        running.set(running.get().saturating_sub(1));
    }
}

/// Runs each HTTP/2 stream in a slot of its own, on this thread.
#[derive(Clone, Debug, Default)]
pub(super) struct StreamExecutor {
    current: Rc<RefCell<Option<Rc<Slot>>>>,
    streams: Rc<Streams>,
}

impl StreamExecutor {
    /// The streams that it runs.
    pub(super) fn streams(&self) -> Rc<Streams> {
        Rc::clone(&self.streams)
    }

    /// The slot of the stream that is being polled right now.
    pub(super) fn current(&self) -> Option<Rc<Slot>> {
        self.current.borrow().clone()
    }
}

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for StreamExecutor {
    fn execute(&self, future: F) {
        if let Some(parent) = self.current() {
            // A stream that became a tunnel leaves this to send for it; the tunnel's own task says when
            // it has to go.
            let sender = spawn_local(future).abort_handle();
            parent.sender.replace(Some(sender));
            return;
        }
        let slot = Rc::new(Slot::default());
        let mut stream = Entered {
            slot: Rc::clone(&slot),
            current: Rc::clone(&self.current),
            stream: Box::pin(future),
        };
        let runs = self.streams.begin();
        spawn_local(async move {
            // A cut drops the stream's future, and with it the stream.
            if let Ran::Cut = run_in_slot(&slot, &mut stream).await {
                runs.0.cut.set(true);
            }
            drop(stream);
            drop(runs);
        });
    }
}

/// Tells the executor which slot is being polled.
struct Entered<F> {
    slot: Rc<Slot>,
    current: Rc<RefCell<Option<Rc<Slot>>>>,
    stream: Pin<Box<F>>,
}

impl<F: Future<Output = ()>> Future for Entered<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let outer = self.current.replace(Some(Rc::clone(&self.slot)));
        let polled = self.stream.as_mut().poll(context);
        self.current.replace(outer);
        polled
    }
}
