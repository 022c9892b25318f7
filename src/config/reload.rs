//! Keeps the live snapshot up to date: compiles when files change or somebody asks, publishes whole
//! generations and nothing else.

#[cfg(test)]
mod tests;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::sleep;

use super::compile::{Sources, compile_files};
use super::diagnostics::Diagnostics;
use super::files;
use super::kept::Kept;
use super::snapshot::Snapshot;
use super::watch::Bell;
use super::work::{Look, Work};
use crate::base::{Clock, Digest, Live, aside};
use crate::model::Generation;
use crate::pdp::Memory;

/// How often the file system is asked although no notice came.
const POLL: Duration = Duration::from_secs(5);
/// How many calls of [`Reloader::reload`] may wait for their turn before more of them have to wait
/// for a place; all that wait are answered by one compilation.
const MOST_WAITING: usize = 64;
/// How many problems of refused files are logged; the status has all.
const MOST_LOGGED: usize = 20;

/// Where the configuration stands.
#[derive(Clone, Debug)]
pub struct Status {
    /// The live generation.
    pub generation: Generation,
    /// When it went live.
    pub since: Timestamp,
    /// How many rules it has.
    pub rules: usize,
    /// What is doubtful about it.
    pub warnings: Arc<Diagnostics>,
    /// Why the files as they are now are not live; nothing where they are.
    pub last_refused: Option<Refused>,
    /// Files that could go live and wait for an operator, if the files as they are now do.
    pub held: Option<Held>,
}

/// Files that could be a generation, and are not until an operator lets them.
#[derive(Clone, Debug)]
pub struct Held {
    /// The generation that they would be.
    pub generation: Generation,
    /// When they were looked at.
    pub at: Timestamp,
    /// Why they wait.
    pub reasons: Arc<Vec<String>>,
}

/// Files that did not become a generation.
#[derive(Clone, Debug)]
pub struct Refused {
    /// When they were looked at.
    pub at: Timestamp,
    /// Everything that is wrong with them.
    pub diagnostics: Arc<Diagnostics>,
}

/// What became of a reload.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The files could be a new generation, and wait for an operator.
    Held(Held),
    /// The files are a new generation, and it is live.
    Published(Generation),
    /// The files can't be used; the generation from before keeps serving.
    Refused(Arc<Diagnostics>),
    /// The files are the live generation already.
    Unchanged,
}

/// Nobody compiles any more, because the gateway stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the configuration is no longer reloaded")]
pub struct Stopped;

/// What is called with each new snapshot.
type Listener = Arc<dyn Fn(&Arc<Snapshot>) + Send + Sync>;

/// What says why a new snapshot has to wait: given the live one and the new one, the reasons.
type Judge = Box<dyn Fn(&Arc<Snapshot>, &Arc<Snapshot>) -> Vec<String> + Send + Sync>;

/// A handle on the live snapshot and its renewal. Cheap to clone.
#[derive(Clone)]
pub struct Reloader {
    shared: Arc<Shared>,
    orders: mpsc::Sender<oneshot::Sender<Outcome>>,
}

/// What the handles and the work share.
pub(super) struct Shared {
    pub(super) sources: Sources,
    /// Where what is published is kept for the next start.
    pub(super) kept: Option<Kept>,
    clock: Clock,
    pub(super) live: Arc<Live<Snapshot>>,
    status: watch::Sender<Status>,
    /// The files that are waited for.
    being_written: watch::Sender<Vec<String>>,
    listeners: Mutex<Vec<Listener>>,
    judge: OnceLock<Judge>,
    /// What an operator lets go live, whatever the judge says.
    accepted: Mutex<Option<Generation>>,
}

/// Does the renewal, one compilation at a time, once it [runs](Watcher::run).
pub struct Watcher {
    shared: Arc<Shared>,
    orders: mpsc::Receiver<oneshot::Sender<Outcome>>,
    memory: Memory,
    stamp: Digest,
}

impl Reloader {
    /// Compiles the files of this moment, which become the first live generation. This and all that come
    /// after it are compiled with `memory`.
    ///
    /// # Errors
    ///
    /// Every problem of every file: there is nothing to serve without them.
    pub fn open(
        sources: Sources,
        clock: &Clock,
        memory: Memory,
    ) -> Result<(Self, Watcher), Diagnostics> {
        Self::open_kept(sources, clock, memory, None)
    }

    /// The same, where the files of each generation are kept before it goes live. Where such are kept, and
    /// others than those of this moment, they become the first live generation, and those of this moment
    /// are a change like any other, once the [`Watcher`] runs.
    ///
    /// # Errors
    ///
    /// As [`Reloader::open`]; and when what is kept can't be used, or can't be written.
    pub fn open_kept(
        sources: Sources,
        clock: &Clock,
        mut memory: Memory,
        kept: Option<Kept>,
    ) -> Result<(Self, Watcher), Diagnostics> {
        let mut stamp = files::stamp(&sources.directories);
        let (mut files, mut problems) = files::gather(&sources.directories);
        let last = kept.as_ref().map(|kept| {
            let loaded = kept.load(&sources.directories);
            loaded.map_err(|error| kept.unusable(&error))
        });
        let last = last.transpose()?.flatten();
        let last = last.filter(|last| !problems.is_empty() || last.generation != files.generation);
        let is_kept = last.is_some();
        if let Some(last) = last {
            let generation = &last.generation;
            tracing::info!(%generation, "the files have changed since; what was live last is live again first");
            (files, problems) = (last, Diagnostics::default());
            // What lies there is still to be looked at.
            stamp = Digest::ZERO;
        }
        let copy = kept
            .as_ref()
            .filter(|_| !is_kept)
            .map(|kept| (kept, files.clone()));
        let compiled = compile_files(files, problems, &sources, &mut memory);
        let (snapshot, warnings) = compiled.map_err(|problems| match &kept {
            Some(kept) if is_kept => kept.unfit(problems),
            _ => problems,
        })?;
        if let Some((kept, files)) = copy {
            kept.save(&files).map_err(|error| kept.unwritten(&error))?;
        }
        let status = Status {
            generation: snapshot.generation().clone(),
            since: clock.wall(),
            rules: snapshot.policies().rules().len(),
            warnings: Arc::new(warnings),
            last_refused: None,
            held: None,
        };
        let shared = Arc::new(Shared {
            sources,
            kept,
            clock: clock.clone(),
            live: Arc::new(Live::new(snapshot)),
            status: watch::Sender::new(status),
            being_written: watch::Sender::default(),
            listeners: Mutex::default(),
            judge: OnceLock::new(),
            accepted: Mutex::default(),
        });
        let (sender, receiver) = mpsc::channel(MOST_WAITING);
        let watcher = Watcher {
            shared: Arc::clone(&shared),
            orders: receiver,
            memory,
            stamp,
        };
        let reloader = Self {
            shared,
            orders: sender,
        };
        Ok((reloader, watcher))
    }

    /// The live snapshot, for all who read it.
    #[must_use]
    pub fn live(&self) -> Arc<Live<Snapshot>> {
        Arc::clone(&self.shared.live)
    }

    /// Where the configuration stands.
    #[must_use]
    pub fn status(&self) -> Status {
        self.shared.status.borrow().clone()
    }

    /// Tells of every change of the status; a late look still sees the last one.
    #[must_use]
    pub fn watch_status(&self) -> watch::Receiver<Status> {
        self.shared.status.subscribe()
    }

    /// The files that were changed and are still open for writing, by name: nothing is read before they
    /// are closed, unless by [`reload`](Self::reload). A late look still sees the last change.
    #[must_use]
    pub fn being_written(&self) -> watch::Receiver<Vec<String>> {
        self.shared.being_written.subscribe()
    }

    /// Calls `listener` with every snapshot that goes live from now on, after it has: on a thread
    /// that may block, one at a time, and before [`reload`](Self::reload) answers.
    pub fn on_publish(&self, listener: impl Fn(&Arc<Snapshot>) + Send + Sync + 'static) {
        self.shared.listeners().push(Arc::new(listener));
    }

    /// From now on a new snapshot for which `judge` has reasons waits for an operator; given are the live
    /// one and the new one. It is asked on a thread that may block. The first judge stays.
    pub fn hold_for(
        &self,
        judge: impl Fn(&Arc<Snapshot>, &Arc<Snapshot>) -> Vec<String> + Send + Sync + 'static,
    ) {
        // There is one already, and it stays.
        let _ = self.shared.judge.set(Box::new(judge));
    }

    /// Looks at the files now, and lets them go live, without asking why they should wait, where they
    /// are `generation`.
    ///
    /// # Errors
    ///
    /// As [`Reloader::reload`].
    pub async fn accept(&self, generation: Generation) -> Result<Outcome, Stopped> {
        *self.shared.accepted() = Some(generation);
        self.reload().await
    }

    /// Looks at the files now. If this is dropped, the files are looked at all the same.
    ///
    /// # Errors
    ///
    /// When the [`Watcher`] does not run any more.
    pub async fn reload(&self) -> Result<Outcome, Stopped> {
        let (sender, receiver) = oneshot::channel();
        self.orders.send(sender).await.map_err(|_| Stopped)?;
        receiver.await.map_err(|_| Stopped)
    }
}

impl Watcher {
    fn into_parts(self, bell: &Arc<Bell>) -> (Work, mpsc::Receiver<oneshot::Sender<Outcome>>) {
        let work = Work::new(self.shared, self.memory, self.stamp, bell);
        (work, self.orders)
    }

    #[cfg(test)]
    pub(super) fn into_work(self, bell: &Arc<Bell>) -> Work {
        self.into_parts(bell).0
    }

    /// Watches the files until every [`Reloader`] is gone. Dropping it stops the watching; a
    /// compilation that runs then still finishes, and may still publish.
    pub async fn run(self) {
        let bell = Arc::new(Bell::default());
        let (mut work, mut orders) = self.into_parts(&bell);
        // What changed between the first look and the start of the watch had no one to notice it.
        let mut next = Some(Cause::Poll);
        while let Some(cause) = next {
            let (look, waiting) = match cause {
                Cause::Notice => (Look::IfChanged, Vec::new()),
                Cause::Order(first) => {
                    let others = std::iter::from_fn(|| orders.try_recv().ok());
                    (Look::Always, std::iter::once(first).chain(others).collect())
                }
                Cause::Poll => (Look::IfTouched, Vec::new()),
            };
            let done = aside("policies", move || {
                let outcome = work.look_unharmed(look);
                (work, outcome)
            });
            let Some((returned, outcome)) = done.await else {
                // Whatever it was that panicked, it was not the look, which tells of that itself.
                return;
            };
            work = returned;
            for order in waiting {
                // Whoever hung up does not want to know.
                let _ = order.send(outcome.clone());
            }
            next = wait(&bell, &mut orders).await;
        }
    }
}

/// Why files are looked at.
enum Cause {
    Notice,
    Order(oneshot::Sender<Outcome>),
    Poll,
}

async fn wait(bell: &Bell, orders: &mut mpsc::Receiver<oneshot::Sender<Outcome>>) -> Option<Cause> {
    tokio::select! {
        order = orders.recv() => return order.map(Cause::Order),
        () = sleep(POLL) => return Some(Cause::Poll),
        () = bell.rung() => {}
    }
    tokio::select! {
        order = orders.recv() => order.map(Cause::Order),
        () = bell.quiet() => Some(Cause::Notice),
    }
}

impl Shared {
    pub(super) fn publish(&self, snapshot: &Arc<Snapshot>, warnings: Diagnostics) -> Outcome {
        let generation = snapshot.generation().clone();
        let rules = snapshot.policies().rules().len();
        self.live.publish(Arc::clone(snapshot));
        tracing::info!(%generation, rules, "new policies are live");
        self.status.send_replace(Status {
            generation: generation.clone(),
            since: self.clock.wall(),
            rules,
            warnings: Arc::new(warnings),
            last_refused: None,
            held: None,
        });
        *self.accepted() = None;
        let listeners = self.listeners().clone();
        for listener in listeners {
            // One that fails must not keep the news from the others.
            if catch_unwind(AssertUnwindSafe(|| listener(snapshot))).is_err() {
                tracing::error!(%generation, "a part of the gateway failed to follow new policies");
            }
        }
        Outcome::Published(generation)
    }

    pub(super) fn refuse(&self, problems: Diagnostics) -> Outcome {
        let generation = self.live.peek().generation().clone();
        let count = problems.len();
        tracing::error!(%generation, count, "new policies are refused, the last good ones keep serving");
        for problem in problems.iter().take(MOST_LOGGED) {
            tracing::error!("{problem}");
        }
        let diagnostics = Arc::new(problems);
        let refused = Refused {
            at: self.clock.wall(),
            diagnostics: Arc::clone(&diagnostics),
        };
        self.status.send_modify(|status| {
            status.last_refused = Some(refused);
            status.held = None;
        });
        Outcome::Refused(diagnostics)
    }

    pub(super) fn tell_being_written(&self, files: Vec<String>) {
        self.being_written.send_if_modified(|known| {
            let news = *known != files;
            *known = files;
            news
        });
    }

    /// The files are the live generation, whatever they were in between.
    pub(super) fn accept(&self) {
        self.status.send_if_modified(|status| {
            let held = status.held.take().is_some();
            status.last_refused.take().is_some() || held
        });
    }

    /// Whether `snapshot` has to wait, and is then seen to.
    pub(super) fn hold(&self, snapshot: &Arc<Snapshot>) -> Option<Held> {
        let judge = self.judge.get()?;
        let generation = snapshot.generation();
        if self.accepted().as_ref() == Some(generation) {
            return None;
        }
        let reasons = judge(&self.live.current(), snapshot);
        if reasons.is_empty() {
            return None;
        }
        let held = Held {
            generation: generation.clone(),
            at: self.clock.wall(),
            reasons: Arc::new(reasons),
        };
        tracing::warn!(%generation, reasons = held.reasons.join("; "), "new policies wait for an operator");
        self.status.send_modify(|status| {
            status.held = Some(held.clone());
            status.last_refused = None;
        });
        Some(held)
    }

    fn accepted(&self) -> MutexGuard<'_, Option<Generation>> {
        // The value is replaced whole.
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn listeners(&self) -> MutexGuard<'_, Vec<Listener>> {
        // The list is whole even if a listener panicked.
        self.listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Reloader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reloader")
            .field("status", &*self.shared.status.borrow())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watcher").finish_non_exhaustive()
    }
}
