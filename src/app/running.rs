//! A gateway that runs, and how it stops.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::{JoinHandle as Task, spawn_blocking};
use tracing::{info, warn};

use super::mark::StoreMark;
use super::upkeep;
use crate::audit::AuditError;
use crate::base::ErrorChain;
use crate::config::Reloader;
use crate::grants::Grants;
use crate::store::SqliteStore;
use crate::tls::Acceptor;

/// A gateway that runs.
pub struct Running(Parts);

/// The signals that a gateway obeys. They are caught from the moment that this is made: make it before
/// anybody is told that the gateway runs, or one who is quick to stop it kills it.
#[derive(Debug)]
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Signals {
    /// Catches signals.
    ///
    /// # Errors
    ///
    /// When the system does not let us.
    pub fn catch() -> anyhow::Result<Self> {
        let caught = |kind| signal(kind).context("signals can't be caught");
        Ok(Self {
            interrupt: caught(SignalKind::interrupt())?,
            terminate: caught(SignalKind::terminate())?,
            hang_up: caught(SignalKind::hangup())?,
        })
    }

    /// Resolves at SIGINT or SIGTERM. When dropped, none is lost.
    pub async fn stop(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// What a running gateway consists of.
pub(super) struct Parts {
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) control_address: SocketAddr,
    pub(super) reloader: Reloader,
    pub(super) grants: Grants,
    pub(super) store: Arc<SqliteStore>,
    pub(super) mark: Arc<StoreMark>,
    pub(super) acceptors: Vec<Acceptor>,
    pub(super) stop: watch::Sender<bool>,
    pub(super) tasks: Vec<Task<()>>,
    /// The control side's; they end by themselves after the stop.
    pub(super) servers: Vec<Task<()>>,
    pub(super) threads: Vec<JoinHandle<()>>,
    pub(super) writer: JoinHandle<Result<(), AuditError>>,
}

impl Running {
    pub(super) const fn new(parts: Parts) -> Self {
        Self(parts)
    }

    /// Where the gateway listens.
    #[must_use]
    pub fn gateway_addresses(&self) -> &[SocketAddr] {
        &self.0.addresses
    }

    /// Where the control side listens.
    #[must_use]
    pub const fn control_address(&self) -> SocketAddr {
        self.0.control_address
    }

    /// The live configuration's renewal.
    #[must_use]
    pub const fn reloader(&self) -> &Reloader {
        &self.0.reloader
    }

    /// Runs until SIGINT or SIGTERM, then stops; SIGHUP looks at all files now.
    ///
    /// # Errors
    ///
    /// When the stop is not clean.
    pub async fn until_signal(self, mut signals: Signals) -> anyhow::Result<()> {
        loop {
            tokio::select! {
                _ = signals.interrupt.recv() => break,
                _ = signals.terminate.recv() => break,
                _ = signals.hang_up.recv() => self.look_at_files().await,
            }
        }
        info!("stopping");
        self.stop().await
    }

    async fn look_at_files(&self) {
        upkeep::reload_all(&self.0.acceptors);
        let live = self.0.reloader.live().current();
        // Whoever orders it wants to know all that is wrong.
        let _ = upkeep::look_at_upstreams(live, BTreeMap::new()).await;
        // The outcome is reported where every reload's is.
        if let Err(stopped) = self.0.reloader.reload().await {
            warn!(error = %ErrorChain(&stopped), "the files are not looked at");
        }
    }

    /// Stops: not ready, no new connections, running exchanges end or are dropped after the drain time,
    /// and the audit log is closed behind the last record.
    ///
    /// # Errors
    ///
    /// When a thread has panicked, or store or audit log could not be closed in order.
    pub async fn stop(self) -> anyhow::Result<()> {
        let Parts {
            stop,
            tasks,
            servers,
            threads,
            writer,
            reloader,
            grants,
            store,
            mark,
            acceptors,
            ..
        } = self.0;
        stop.send_replace(true);
        let joined =
            spawn_blocking(move || threads.into_iter().map(JoinHandle::join).all(|r| r.is_ok()));
        let clean = joined.await.context("the workers can't be waited for")?;
        for server in servers {
            server.await.context("a control server has panicked")?;
        }
        drop((reloader, acceptors));
        for task in tasks {
            task.abort();
            // Ends by the abort, or has ended before.
            let _ = task.await;
        }
        let closed = grants.close().await;
        let marked = mark.advance().await;
        store.close().await;
        let written = spawn_blocking(move || writer.join()).await;
        let written = written.context("the audit log can't be waited for")?;
        match written {
            Ok(written) => written.context("the audit log could not be closed")?,
            Err(_) => anyhow::bail!("the audit writer has panicked"),
        }
        closed.context("the store could not be closed in order")?;
        marked.context("the store could not be marked as the newest")?;
        anyhow::ensure!(clean, "a worker has panicked");
        Ok(())
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running")
            .field("addresses", &self.0.addresses)
            .field("control_address", &self.0.control_address)
            .finish_non_exhaustive()
    }
}
