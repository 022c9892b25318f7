//! Spreads connections over the workers as they are accepted: the kernel deals them out by a hash of their
//! addresses, and where there are few of them that gives one worker twice as many as another.

#[cfg(test)]
mod tests;

use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;

use super::admission::Admitted;
use super::worker::Ways;

/// How many connections may be on their way to one worker. Whoever finds no room keeps its own.
const ON_THE_WAY: usize = 256;

/// Who has how many connections, and where each worker gets those that others have accepted for it.
#[derive(Debug)]
pub(super) struct Spread {
    desks: Vec<Desk>,
}

#[derive(Debug)]
struct Desk {
    open: AtomicUsize,
    sender: mpsc::Sender<Accepted>,
    receiver: Mutex<Option<mpsc::Receiver<Accepted>>>,
}

/// An accepted connection on its way to the worker that serves it.
#[derive(Debug)]
pub(super) struct Accepted {
    /// The connection, which is not blocking.
    pub(super) stream: TcpStream,
    pub(super) peer: SocketAddr,
    pub(super) ways: Ways,
    pub(super) admitted: Admitted,
    pub(super) counted: Counted,
}

/// One connection among those of a worker, until it is dropped.
#[derive(Debug)]
pub(super) struct Counted {
    spread: Arc<Spread>,
    worker: usize,
}

impl Spread {
    pub(super) fn new(workers: usize) -> Self {
        let desk = |_| {
            let (sender, receiver) = mpsc::channel(ON_THE_WAY);
            Desk {
                open: AtomicUsize::new(0),
                sender,
                receiver: Mutex::new(Some(receiver)),
            }
        };
        Self {
            desks: (0..workers).map(desk).collect(),
        }
    }

    /// Counts one more connection for the worker that should have it: `own`, which has accepted it, unless
    /// that has more than another by an eighth.
    pub(super) fn assign(self: &Arc<Self>, own: usize) -> Counted {
        let open = |desk: &Desk| desk.open.load(Ordering::Relaxed);
        let mine = self.desks.get(own).map_or(usize::MAX, open);
        let least = self.desks.iter().map(open).enumerate();
        let least = least.min_by_key(|(_, open)| *open);
        let other = least.filter(|(_, least)| mine > least + least / 8);
        self.count(other.map_or(own, |(worker, _)| worker))
    }

    /// Counts one more connection for this worker.
    pub(super) fn count(self: &Arc<Self>, worker: usize) -> Counted {
        if let Some(desk) = self.desks.get(worker) {
            desk.open.fetch_add(1, Ordering::Relaxed);
        }
        Counted {
            spread: Arc::clone(self),
            worker,
        }
    }

    /// Sends a connection to the worker that it is counted for; it comes back where that takes none.
    pub(super) fn hand_over(&self, accepted: Accepted) -> Result<(), Accepted> {
        let Some(desk) = self.desks.get(accepted.counted.worker) else {
            return Err(accepted);
        };
        desk.sender
            .try_send(accepted)
            .map_err(mpsc::error::TrySendError::into_inner)
    }

    /// What others accept for this worker. There is one of these for each.
    pub(super) fn desk(&self, worker: usize) -> Option<mpsc::Receiver<Accepted>> {
        let desk = self.desks.get(worker)?;
        let mut receiver = desk.receiver.lock().unwrap_or_else(PoisonError::into_inner);
        receiver.take()
    }
}

impl Counted {
    /// Whose connection it is.
    pub(super) const fn worker(&self) -> usize {
        self.worker
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if let Some(desk) = self.spread.desks.get(self.worker) {
            desk.open.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
