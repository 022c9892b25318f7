//! The thread that writes.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use super::changes;
use super::failure::Failure;
use super::forgetting::{self, Due, Removed};
use crate::store::{Change, StoreError};

/// Batches that wait. Whoever comes later waits for a place.
const QUEUE: usize = 1024;

/// Batches in one transaction. More would make the first wait for the last.
const GROUP: usize = 256;

enum Order {
    /// Write what was asked for before, and nothing after.
    Close(oneshot::Sender<()>),
    /// Remove some of what is due.
    Forget(Due, oneshot::Sender<Result<Removed, StoreError>>),
    Write(Ticket),
}

struct Ticket {
    batch: Vec<Change>,
    done: oneshot::Sender<Result<(), StoreError>>,
}

/// The way to the thread that writes. Dropping it waits until what was queued is written.
#[derive(Debug)]
pub(super) struct Writer {
    path: Arc<Path>,
    queue: Option<mpsc::Sender<Order>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(db: Connection, path: &Arc<Path>) -> io::Result<Self> {
        let (queue, orders) = mpsc::channel(QUEUE);
        let file = identity(path)?;
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn({
                let path = Arc::clone(path);
                move || run(db, orders, (&path, file))
            })?;
        Ok(Self {
            path: Arc::clone(path),
            queue: Some(queue),
            thread: Some(thread),
        })
    }

    /// Removes some of what is `due`, behind what was asked for before.
    pub(super) async fn forget(&self, due: Due) -> Result<Removed, StoreError> {
        let (done, outcome) = oneshot::channel();
        let queue = self.queue.as_ref().ok_or_else(|| self.stopped())?;
        let sent = queue.send(Order::Forget(due, done)).await;
        sent.map_err(|_| self.stopped())?;
        outcome.await.map_err(|_| self.stopped())?
    }

    fn stopped(&self) -> StoreError {
        StoreError::Unavailable {
            path: self.path.to_path_buf(),
            detail: "its writer has stopped".to_owned(),
        }
    }

    /// Resolves when the batch is durable. Dropped after its first poll, the batch may be written all
    /// the same.
    pub(super) async fn commit(&self, batch: Vec<Change>) -> Result<(), StoreError> {
        let (done, outcome) = oneshot::channel();
        let queue = self.queue.as_ref().ok_or_else(|| self.stopped())?;
        let sent = queue.send(Order::Write(Ticket { batch, done })).await;
        sent.map_err(|_| self.stopped())?;
        outcome.await.map_err(|_| self.stopped())?
    }

    /// Resolves when all that was queued is written and the write-ahead log is a part of the file.
    pub(super) async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if let Some(queue) = &self.queue
            && queue.send(Order::Close(done)).await.is_ok()
        {
            // It is over also where the thread has panicked.
            let _ = closed.await;
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // It ends once the queue is empty; a panic of it was seen by whoever waited for it.
            let _ = thread.join();
        }
    }
}

/// A file as the kernel knows it: an open one is this, whatever its name leads to.
type Identity = (u64, u64);

fn identity(path: &Path) -> io::Result<Identity> {
    let metadata = fs::metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

fn run(mut db: Connection, mut orders: mpsc::Receiver<Order>, (path, file): (&Path, Identity)) {
    let mut closing = None;
    while closing.is_none()
        && let Some(first) = orders.blocking_recv()
    {
        let mut group = Vec::new();
        let mut forgetting = None;
        let mut next = Some(first);
        while let Some(order) = next {
            match order {
                Order::Write(ticket) => group.push(ticket),
                Order::Forget(due, done) => {
                    forgetting = Some((due, done));
                    break;
                }
                Order::Close(done) => {
                    closing = Some(done);
                    break;
                }
            }
            next = (group.len() < GROUP)
                .then(|| orders.try_recv().ok())
                .flatten();
        }
        write_and_tell(&mut db, group, (path, file));
        if let Some((due, done)) = forgetting {
            let removed = forgetting::step(&mut db, &due);
            // Whoever no longer waits does not need the answer.
            let _ = done.send(removed.map_err(|failure| failure.at(path)));
        }
    }
    // From here on nobody is told that something was written.
    drop(orders);
    // Where this fails, the next start does it.
    let _ = db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    drop(db);
    if let Some(done) = closing {
        let _ = done.send(());
    }
}

fn write_and_tell(db: &mut Connection, group: Vec<Ticket>, (path, file): (&Path, Identity)) {
    if group.is_empty() {
        return;
    }
    // What is written to a file that is not there any more is lost with this process.
    let written = if identity(path).is_ok_and(|there| there == file) {
        write(db, &group, path)
    } else {
        let why = "it was moved or removed: bring it back, or restart";
        Err(Failure::Unusable(why.to_owned()))
    };
    // Whoever no longer waits does not need the answer.
    match written {
        Ok(outcomes) => {
            for (ticket, outcome) in group.into_iter().zip(outcomes) {
                let _ = ticket.done.send(outcome);
            }
        }
        Err(failure) => {
            let error = failure.at(path);
            for ticket in group {
                let _ = ticket.done.send(Err(error.clone()));
            }
        }
    }
}

/// Writes a group in one transaction: each batch whole or not at all. On an error nothing of the group
/// is kept, and the next starts afresh: nothing that failed to sync is ever taken for written.
fn write(
    db: &mut Connection,
    group: &[Ticket],
    path: &Path,
) -> Result<Vec<Result<(), StoreError>>, Failure> {
    let mut whole = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut outcomes = Vec::with_capacity(group.len());
    for ticket in group {
        let part = whole.savepoint()?;
        match changes::apply(&part, &ticket.batch) {
            Ok(()) => {
                part.commit()?;
                outcomes.push(Ok(()));
            }
            // The savepoint is rolled back where it is dropped.
            Err(refused @ Failure::TaskIdUsed(_)) => outcomes.push(Err(refused.at(path))),
            Err(failure) => return Err(failure),
        }
    }
    whole.commit()?;
    Ok(outcomes)
}
