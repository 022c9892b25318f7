//! What every test stands on: a real gateway on free ports, an upstream that records what reaches it,
//! clients that say exactly what they are told to say, and a clock that the test moves.
//!
//! Entry points: [`run`] for the test itself, [`Plan`] for its gateway. Each test has its own; nothing is
//! shared. What could hang is awaited through [`within`], so that a hang is a failure with a name.

mod agent;
mod answer;
mod body;
mod client;
mod gateway;
mod http2;
mod jwt;
mod plan;
mod process;
mod raw;
mod socket;
mod stub;
mod upstream;

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::time::{Instant, sleep, timeout};

pub(crate) use agent::{Agent, Work};
pub(crate) use answer::Answer;
pub(crate) use body::{Feed, TestBody, full, pipe};
pub(crate) use client::{Call, Client, Opened, http2_reset};
pub(crate) use gateway::Gateway;
pub(crate) use http2::{
    Asked, Http2Service, Http2Stream, end_of, extended_client, http2_client,
    http2_client_of_control,
};
pub(crate) use jwt::{Es256, base64url, hs256, now_seconds, unsigned};
pub(crate) use plan::Plan;
pub(crate) use process::{DevDirectories, Process, program, serve};
pub(crate) use raw::{End, Raw};
pub(crate) use socket::{Socket, masked, server};
pub(crate) use stub::{Peer, Stub};
pub(crate) use upstream::{HELLO, Recorded, Upstream};

/// Longer than anything takes that works.
const PATIENCE: Duration = Duration::from_secs(15);

/// Runs a test. The control side runs on the test's own runtime, as in production on the main one.
pub(crate) fn run(test: impl Future<Output = ()>) {
    run_for(4 * PATIENCE, test);
}

/// As [`run`], for a test that may take so long.
pub(crate) fn run_for(longest: Duration, test: impl Future<Output = ()>) {
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let ended = runtime.block_on(async { timeout(longest, test).await });
    runtime.shutdown_background();
    ended.expect("the test hangs");
}

/// Awaits what has to come soon.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let Ok(output) = timeout(PATIENCE, future).await else {
        panic!("{what}: nothing for {PATIENCE:?}");
    };
    output
}

/// Awaits all at once, and returns what they return in their order.
pub(crate) async fn join_all<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut pending: Vec<_> = futures.into_iter().map(Box::pin).map(Some).collect();
    let mut outputs: Vec<_> = pending.iter().map(|_| None).collect();
    let joined = poll_fn(|context| {
        for (slot, output) in pending.iter_mut().zip(&mut outputs) {
            let Some(future) = slot else { continue };
            if let Poll::Ready(ready) = future.as_mut().poll(context) {
                *output = Some(ready);
                *slot = None;
            }
        }
        if pending.iter().all(Option::is_none) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    });
    within("all of them end", joined).await;
    outputs.into_iter().flatten().collect()
}

/// Looks again and again for what nobody announces, such as a line in a file.
pub(crate) async fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(
            Instant::now() < deadline,
            "{what}: nothing for {PATIENCE:?}"
        );
        sleep(Duration::from_millis(5)).await;
    }
}
