//! Long work on a thread of its own that gives way to all others: requests wait for no compiler.

#[cfg(test)]
mod tests;

use std::sync::mpsc::sync_channel;
use std::thread;

use rustix::process::nice;
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use tracing::warn;

use super::ErrorChain;

/// How far it steps back. Of a processor that others could use up alone it still has about a tenth.
const NICER: i32 = 10;

/// Runs `work` on a thread called `name`; nothing where it panics. It goes on where nobody waits for it any
/// more.
pub async fn aside<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (done, waits) = oneshot::channel();
    let job = move || {
        // Whoever asked for it may have gone.
        let _ = done.send(work());
    };
    // Handed over once there is a thread, so that without one it is not lost.
    let (give, take) = sync_channel(1);
    let thread = thread::Builder::new().name(name.to_owned());
    let spawned = thread.spawn(move || {
        step_back();
        if let Ok(job) = take.recv() {
            run(job);
        }
    });
    let left = match spawned {
        Ok(_) => give.send(job).err().map(|unsent| unsent.0),
        Err(error) => {
            warn!(error = %ErrorChain(&error), "there is no thread to step back with");
            Some(job)
        }
    };
    if let Some(job) = left {
        // Its end is told by the job itself.
        drop(spawn_blocking(job));
    }
    waits.await.ok()
}

/// Lets the calling thread, and no other of the process, have less of a processor that others want.
pub fn step_back() {
    // On Linux a thread has a nice value of its own (sched(7)).
    if let Err(error) = nice(NICER) {
        warn!(error = %ErrorChain(&error), "a thread can't step back");
    }
}

fn run(job: impl FnOnce()) {
    job();
}
