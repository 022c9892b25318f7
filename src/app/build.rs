//! Putting the parts together.

mod core;
mod opened;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::watch;

use self::core::Core;
use self::opened::{Acceptors, open_audit, open_store};
use super::control::{self, Served};
use super::descriptors;
use super::holding;
use super::listen::{Sockets, worker_count};
use super::mark::StoreMark;
use super::running::{Parts, Running};
use super::shadow::Shadow;
use super::translate::pool_limits;
use super::{upkeep, workers};
use crate::access::People;
use crate::admin::{self, Admin, Face};
use crate::base::Clock;
use crate::config::{Settings, Sources};
use crate::oauth::{self, OAuth};
use crate::pep::Workers;
use crate::store::GrantStore;

/// What is not in the settings.
#[derive(Debug)]
pub struct StartOptions {
    /// The time.
    pub clock: Clock,
    /// Where policies come from: the settings' directory, and overlays.
    pub sources: Sources,
    /// Where the first operator's key is written.
    pub operator_key: PathBuf,
    /// How long running exchanges may go on after the stop.
    pub drain: Duration,
    /// How long to wait for another process to let go of the store; where there is none, its having it
    /// is an error at once. Connections wait in the kernel meanwhile.
    pub store_patience: Option<Duration>,
}

/// Starts a gateway on `sockets`.
///
/// # Errors
///
/// When a part can't be made: the message says which file or address, and why.
pub async fn start(
    mut settings: Settings,
    sockets: Sockets,
    options: StartOptions,
) -> anyhow::Result<Running> {
    let bounds = descriptors::fit(&mut settings.limits);
    // First, so that a second process is told who is there before it touches anything.
    let store = open_store(settings.store.clone(), &options).await?;
    let keeps = Arc::clone(&store) as Arc<dyn GrantStore>;
    let mark = StoreMark::check(Arc::clone(&keeps), &settings.audit).await?;
    let mark = Arc::new(mark);
    let acceptors = Acceptors::open(&settings, &options.clock)?;
    let (audit, writer) = open_audit(&settings.audit, &options.clock)?;
    let StartOptions {
        clock,
        sources,
        operator_key,
        drain,
        ..
    } = options;
    mark.advance().await?;
    let held_for = sources.clone();
    let (core, watcher) = Core::open(&settings, sources, clock, audit, keeps).await?;
    core.restore().await?;
    let kept = Arc::clone(core.grants.store());
    let people = People::open(&operator_key, kept, core.clock.clone()).await?;
    let (stop, stopping) = watch::channel(false);
    let gate = Arc::new(core.gate(&settings));
    let judged = (&core.grants, &gate);
    let with = (&held_for, &core.clock);
    holding::hold_policies(&core.reloader, judged, &settings, with);
    let oauth = Arc::new(core.oauth(&settings).await?);
    let checked = settings.shadow_by_cedar.then(|| core.reloader.live());
    let beside = Shadow::new(&held_for, checked, &core.metrics, &core.clock);
    let (shadow, tap, watching) = beside?;
    let writer = writer.with_tap(tap);
    let parts = (&gate, held_for, shadow);
    let admin = core.admin(&settings, people, parts, stopping.clone());
    let admin = Arc::new(admin.await?);

    let addresses = sockets.gateway_addresses().to_vec();
    let control_address = sockets.control_address();
    let Sockets {
        gateway,
        control,
        admin: people_socket,
        ..
    } = sockets;
    let mut tasks = core.upkeep(&settings, watcher, acceptors.all());
    if let Some(webhook) = &settings.webhook {
        tasks.push(tokio::spawn(core.notifier(webhook, &settings)?.run()));
    }
    tasks.push(tokio::spawn(watching));
    tasks.push(tokio::spawn(Arc::clone(&mark).keep(core.clock.clone())));
    tasks.push(tokio::spawn(core.vigil(upkeep::reconcile_on_publish(
        &core.reloader,
        &core.grants,
        &gate,
    ))));
    let servers = served((control, people_socket), &acceptors, oauth, &admin)
        .map(|served| control::serve(served, bounds, stopping.clone()).map(tokio::spawn))
        .collect::<Result<Vec<_>, _>>()?;
    let workers = Workers::new(gate, worker_count(&settings), pool_limits(&settings.limits));
    let protocols = settings.gateway.listeners.iter().map(|one| one.protocols);
    let ways = acceptors.gateway.iter().cloned().zip(protocols).collect();
    let threads = workers::spawn(&workers, gateway, ways, &stopping, drain).await?;
    let writer = std::thread::Builder::new()
        .name("audit".to_owned())
        .spawn(move || writer.run())
        .context("no thread for the audit log")?;
    Ok(Running::new(Parts {
        addresses,
        control_address,
        reloader: core.reloader,
        grants: core.grants,
        store,
        mark,
        acceptors: acceptors.all(),
        stop,
        tasks,
        servers,
        threads,
        writer,
    }))
}

/// What the control side serves, by socket: agents and people apart, where people have one of their own.
fn served(
    (control, people): (std::net::TcpListener, Option<std::net::TcpListener>),
    acceptors: &Acceptors,
    oauth: Arc<OAuth>,
    admin: &Arc<Admin>,
) -> impl Iterator<Item = Served> + use<> {
    let face = if people.is_some() {
        Face::Agents
    } else {
        Face::Everyone
    };
    let agents = Served {
        socket: control,
        tls: acceptors.control.clone(),
        router: oauth::router(oauth).merge(admin::router(Arc::clone(admin), face)),
    };
    let people = people.map(|socket| Served {
        socket,
        tls: acceptors.admin.clone(),
        router: admin::router(Arc::clone(admin), Face::People),
    });
    std::iter::once(agents).chain(people)
}
