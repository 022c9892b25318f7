//! The threads of the data plane.

use std::io;
use std::net::TcpListener;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;
use tokio::runtime::Builder;
use tokio::sync::{mpsc, watch};
use tokio::task::{LocalSet, spawn_local};
use tracing::error;

use crate::config::Protocols;
use crate::pep::{Listener, Workers};
use crate::tls::Acceptor;

/// Starts one thread a worker; each gets its own socket of every listener. Resolves once all take connections: a
/// gateway without one of them would be ready and leave some of its connections alone, or all.
pub(super) async fn spawn(
    workers: &Workers,
    sockets: Vec<Vec<TcpListener>>,
    ways: Vec<(Option<Acceptor>, Protocols)>,
    stop: &watch::Receiver<bool>,
    drain: Duration,
) -> anyhow::Result<Vec<JoinHandle<()>>> {
    let mut by_worker: Vec<Vec<Listener>> = Vec::new();
    for (listener, (acceptor, protocols)) in sockets.into_iter().zip(ways) {
        for (worker, socket) in listener.into_iter().enumerate() {
            if by_worker.len() <= worker {
                by_worker.push(Vec::new());
            }
            if let Some(own) = by_worker.get_mut(worker) {
                own.push(Listener {
                    socket,
                    tls: acceptor.clone(),
                    protocols,
                });
            }
        }
    }
    let mut threads = Vec::new();
    let (tell, mut told) = mpsc::channel(by_worker.len().max(1));
    for (number, listeners) in by_worker.into_iter().enumerate() {
        let (workers, stop, tell) = (workers.clone(), stop.clone(), tell.clone());
        let thread = std::thread::Builder::new()
            .name(format!("worker-{number}"))
            .spawn(move || {
                let is_up = tell.clone();
                // There is room for one word of each.
                let up = move || drop(is_up.try_send(Ok(())));
                if let Err(failure) = run(workers, number, listeners, (stop, drain), up) {
                    error!(error = %failure, "a worker can't run");
                    // Where it was up before, nobody listens any more.
                    let _ = tell.try_send(Err(failure));
                }
            });
        threads.push(thread.context("no thread for a worker")?);
    }
    drop(tell);
    for _ in &threads {
        let up = told.recv().await.context("a worker has panicked")?;
        up.context("a worker can't run")?;
    }
    Ok(threads)
}

fn run(
    workers: Workers,
    number: usize,
    listeners: Vec<Listener>,
    (stop, drain): (watch::Receiver<bool>, Duration),
    up: impl FnOnce() + 'static,
) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        // A task of its own: the set asks what it waits for at every turn, and this is cheap to ask.
        let worker = spawn_local(workers.run(number, listeners, stop, drain, up));
        worker.await?
    })
}
