//! What lies on disks and is opened before anything else: identities, the store, the log, keys.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::task::spawn_blocking;
use tracing::info;

use super::StartOptions;
use crate::app::translate::server_files;
use crate::audit::{self, Audit};
use crate::base::Clock;
use crate::config::{Kept, ListenerTls, Settings, kept_beside};
use crate::grants::Grants;
use crate::store::{SqliteStore, StoreError};
use crate::tls::Acceptor;
use crate::tokens::Authority;

/// Exchanges that can wait for their records to be written, long ones included.
const AUDIT_QUEUE: usize = 65_536;

/// How often a store that another process has is tried again. Connections wait for it.
const STORE_POLL: Duration = Duration::from_millis(20);

/// The TLS identities of all listeners; none where a listener speaks plain HTTP.
pub(super) struct Acceptors {
    pub(super) gateway: Vec<Option<Acceptor>>,
    pub(super) control: Option<Acceptor>,
    pub(super) admin: Option<Acceptor>,
}

impl Acceptors {
    pub(super) fn open(settings: &Settings, clock: &Clock) -> anyhow::Result<Self> {
        let open = |tls: &Option<ListenerTls>| {
            let files = tls.as_ref().map(server_files);
            let acceptor = files.map(|files| Acceptor::open(files, clock.clone()));
            acceptor.transpose().context("a TLS identity can't be used")
        };
        let gateway = settings.gateway.listeners.iter().map(|one| open(&one.tls));
        let admin = settings.admin.as_ref().map(|one| open(&one.tls));
        Ok(Self {
            gateway: gateway.collect::<anyhow::Result<_>>()?,
            control: open(&settings.control.listener.tls)?,
            admin: admin.transpose()?.flatten(),
        })
    }

    pub(super) fn all(&self) -> Vec<Acceptor> {
        let control = [self.control.clone(), self.admin.clone()];
        let gateway = self.gateway.iter().cloned();
        gateway.chain(control).flatten().collect()
    }
}

/// Where the policies that are live are kept for the next start: where none have to wait, nowhere.
pub(super) fn kept(settings: &Settings) -> anyhow::Result<Option<Kept>> {
    let kept = kept_beside(&settings.store);
    if !settings.hold.is_empty() {
        return Ok(Some(kept));
    }
    // It would be old by the time that some have to wait again.
    let removed = kept.remove();
    removed.context("the copy of the policies that were live last can't be removed")?;
    Ok(None)
}

pub(super) async fn open_store(
    path: PathBuf,
    options: &StartOptions,
) -> anyhow::Result<Arc<SqliteStore>> {
    let clock = &options.clock;
    let deadline = options
        .store_patience
        .map(|patience| clock.now() + patience);
    let mut told = false;
    loop {
        let path = path.clone();
        let opened = spawn_blocking(move || SqliteStore::open(&path)).await;
        match opened.context("the store can't be waited for")? {
            Err(locked @ StoreError::Locked { .. })
                if deadline.is_some_and(|at| clock.now() < at) =>
            {
                if !told {
                    info!(%locked, "waiting for the gateway before this one to stop");
                    told = true;
                }
                clock.sleep_until(clock.now() + STORE_POLL).await;
            }
            opened => return Ok(Arc::new(opened?)),
        }
    }
}

pub(super) fn open_audit(
    directory: &Path,
    clock: &Clock,
) -> anyhow::Result<(Audit, audit::Writer)> {
    let mut options = audit::Options::new(directory);
    options.queue = AUDIT_QUEUE;
    audit::open(&options, clock.clone()).context("the audit log can't be used")
}

/// Reads the database of countries, if one is configured. It is large.
pub(super) async fn open_countries(settings: &Settings, grants: &Grants) -> anyhow::Result<()> {
    let Some(file) = settings.countries.clone() else {
        return Ok(());
    };
    let grants = grants.clone();
    let opened = spawn_blocking(move || grants.signals().open_countries(&file)).await;
    opened.context("the country database can't be waited for")??;
    Ok(())
}

pub(super) fn open_authority(settings: &Settings, clock: &Clock) -> anyhow::Result<Arc<Authority>> {
    let tokens = &settings.tokens;
    let authority = Authority::open(
        &tokens.signing_keys,
        tokens.issuer.clone(),
        tokens.algorithm,
        clock.clone(),
    );
    let authority = authority.context("the token signing keys can't be used")?;
    Ok(Arc::new(authority))
}
