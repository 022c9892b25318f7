//! Putting the parts together.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};
use tracing::info;

use super::bearer::{self, Bearer};
use super::comparing::Comparing;
use super::control::{self, Served};
use super::holding;
use super::listen::{Sockets, worker_count};
use super::mark::StoreMark;
use super::running::{Parts, Running};
use super::shadow::Shadow;
use super::translate::{
    client_auth, event_keys, facts, grant_limits, issuer_keys, pool_limits, server_files,
};
use super::{upkeep, workers};
use crate::access::{Approvals, Explains, People, Requests, Revocations, UsedOnce, Vigil};
use crate::admin::{self, Admin, AdminParts, Face, KeptScores, LatestScores, Transmitter};
use crate::audit::{self, Audit};
use crate::authn::{Authenticator, IssuerKeys};
use crate::base::{Clock, Secret};
use crate::config::{
    Kept, ListenerTls, Reloader, Settings, Sources, Template, Watcher, Webhook, kept_beside,
};
use crate::grants::{Grants, Restored};
use crate::model::{AgentId, DenyReason, EndReason};
use crate::notices::{self, Notifier};
use crate::oauth::{self, OAuth, OAuthFacts, OAuthParts};
use crate::pdp::Memory;
use crate::pep::{Gate, GateParts, Workers};
use crate::store::{DocumentKind, GrantStore, SqliteStore, StoreError};
use crate::telemetry::Metrics;
use crate::tls::Acceptor;
use crate::tokens::{Authority, Dpop, ReplayCache};
use crate::upstream::Credential;

/// Exchanges that can wait for their records to be written, long ones included.
const AUDIT_QUEUE: usize = 65_536;

/// How often a store that another process has is tried again. Connections wait for it.
const STORE_POLL: Duration = Duration::from_millis(20);

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
    settings: Settings,
    sockets: Sockets,
    options: StartOptions,
) -> anyhow::Result<Running> {
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
    let mut servers = Vec::new();
    for served in served((control, people_socket), &acceptors, oauth, &admin) {
        let server = control::serve(served, settings.limits.header_timeout, stopping.clone())?;
        servers.push(tokio::spawn(server));
    }
    let workers = Workers::new(gate, worker_count(&settings), pool_limits(&settings.limits));
    let protocols = settings.gateway.listeners.iter().map(|one| one.protocols);
    let ways = acceptors.gateway.iter().cloned().zip(protocols).collect();
    let threads = workers::spawn(&workers, gateway, ways, &stopping, drain)?;
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

/// The parts that the doors share.
struct Core {
    clock: Clock,
    reloader: Reloader,
    grants: Grants,
    audit: Audit,
    metrics: Arc<Metrics>,
    authority: Arc<Authority>,
    issuers: Vec<Arc<IssuerKeys>>,
    /// The keys of those who send security events, in the order of the settings.
    event_issuers: Vec<Arc<IssuerKeys>>,
    /// The bearer tokens that they show besides, in the same order.
    bearers: Vec<Option<Bearer>>,
    authenticator: Arc<Authenticator>,
    dpop: Arc<Dpop>,
    revocations: Revocations,
    requests: Requests,
}

impl Core {
    async fn open(
        settings: &Settings,
        sources: Sources,
        clock: Clock,
        audit: Audit,
        store: Arc<dyn GrantStore>,
    ) -> anyhow::Result<(Self, Watcher)> {
        let metrics = Arc::new(Metrics::new(
            DenyReason::ALL.iter().map(|reason| reason.as_str()),
            EndReason::ALL.iter().map(|reason| reason.as_str()),
        ));
        let memory = Memory::counting(metrics.cedar_questions.clone());
        let kept = kept(settings)?;
        let (reloader, watcher) = Reloader::open_kept(sources, &clock, memory, kept)?;
        metrics.live_generation(reloader.status().generation.as_str());
        let grants = Grants::new(
            clock.clone(),
            store,
            grant_limits(settings),
            Arc::clone(&metrics),
            Handle::current(),
        );
        open_countries(settings, &grants).await?;
        let authority = open_authority(settings, &clock)?;
        let issuers = settings.trusted_issuers.iter().map(issuer_keys);
        let issuers = issuers.collect::<anyhow::Result<Vec<_>>>()?;
        let event_issuers = settings.ssf_transmitters.iter().map(event_keys);
        let event_issuers = event_issuers.collect::<anyhow::Result<Vec<_>>>()?;
        let bearers = settings.ssf_transmitters.iter().map(Bearer::of);
        let bearers = bearers.collect::<anyhow::Result<Vec<_>>>()?;
        let revocations = Revocations::open(Arc::clone(grants.store()), clock.wall()).await;
        let revocations = revocations.context("the revoked tokens can't be read")?;
        let authenticator = Arc::new(Authenticator::new(
            Arc::clone(&authority),
            Arc::clone(revocations.revoked()),
            issuers.clone(),
            clock.clone(),
            Arc::clone(&metrics),
        ));
        let requests = Requests::new(grants.clone(), audit.clone(), clock.clone());
        let core = Self {
            dpop: Arc::new(Dpop::new(clock.clone())),
            clock,
            reloader,
            grants,
            audit,
            metrics,
            authority,
            issuers,
            event_issuers,
            bearers,
            authenticator,
            revocations,
            requests,
        };
        Ok((core, watcher))
    }

    /// Brings back what was live when the last run ended, as far as the live generation knows it.
    async fn restore(&self) -> anyhow::Result<()> {
        let learnt = self.grants.learn_revoked().await;
        learnt.context("which agents are revoked is not known")?;
        let restored = self.grants.restore().await;
        let Restored {
            tasks,
            grants,
            pending,
            ended,
        } = restored.context("what was granted before can't be brought back")?;
        info!(
            tasks,
            grants, pending, ended, "what was granted before is back"
        );
        let live = self.reloader.live().current();
        upkeep::reconcile(&live, &self.grants);
        let is_enrolled = |agent: &AgentId| live.agent(agent.as_str()).is_some();
        let habits = self.grants.restore_habits(is_enrolled).await;
        habits.context("what is usual for agents is not known")?;
        self.grants.signals().score_by(live.risk());
        Ok(())
    }

    fn gate(&self, settings: &Settings) -> Gate {
        Gate::new(GateParts {
            snapshot: self.reloader.live(),
            grants: self.grants.clone(),
            authenticator: Arc::clone(&self.authenticator),
            dpop: Arc::clone(&self.dpop),
            audit: self.audit.clone(),
            metrics: Arc::clone(&self.metrics),
            clock: self.clock.clone(),
            facts: facts(settings),
        })
    }

    /// What was used before and is good once, of a kind.
    async fn used(&self, kind: DocumentKind, memory: ReplayCache) -> anyhow::Result<UsedOnce> {
        let used = UsedOnce::open(Arc::clone(self.grants.store()), kind, memory).await;
        used.context("what was used before and is good once is not known")
    }

    async fn oauth(&self, settings: &Settings) -> anyhow::Result<OAuth> {
        let used = self.used(DocumentKind::UsedAssertion, ReplayCache::new());
        let assertions = used.await?;
        Ok(OAuth::new(OAuthParts {
            assertions,
            authority: Arc::clone(&self.authority),
            authenticator: Arc::clone(&self.authenticator),
            snapshot: self.reloader.live(),
            grants: self.grants.clone(),
            requests: self.requests.clone(),
            dpop: Arc::clone(&self.dpop),
            revocations: self.revocations.clone(),
            audit: self.audit.clone(),
            metrics: Arc::clone(&self.metrics),
            clock: self.clock.clone(),
            facts: OAuthFacts {
                public_url: settings.gateway.public_url.to_string(),
                control_url: settings.control.public_url.to_string(),
                ttl: settings.tokens.ttl,
                client_auth: client_auth(&settings.control.listener),
            },
        }))
    }

    async fn admin(
        &self,
        settings: &Settings,
        people: People,
        (gate, sources, shadow): (&Arc<Gate>, Sources, Arc<Shadow>),
        stopping: watch::Receiver<bool>,
    ) -> anyhow::Result<Admin> {
        let people = Arc::new(people);
        let approvals = Approvals::new(
            self.reloader.live(),
            self.grants.clone(),
            Arc::clone(&people),
            self.audit.clone(),
            self.clock.clone(),
        );
        let used = self.used(DocumentKind::UsedEvent, Transmitter::memory());
        let used_events = used.await?;
        let transmitters = self.transmitters(settings);
        let latest_scores = LatestScores::open(
            Arc::clone(self.grants.store()),
            &transmitters,
            self.grants.signals(),
            &self.clock,
        );
        let latest_scores = latest_scores
            .await
            .context("what transmitters of security events have said last is not known")?;
        let scores = KeptScores::open(
            Arc::clone(self.grants.store()),
            self.grants.signals(),
            &self.clock,
        );
        let scores = scores
            .await
            .context("what was said of agents by `POST /v1/signals` is not known")?;
        let admin = Admin::open(AdminParts {
            reloader: self.reloader.clone(),
            grants: self.grants.clone(),
            requests: self.requests.clone(),
            authenticator: Arc::clone(&self.authenticator),
            authority: Arc::clone(&self.authority),
            dpop: Arc::clone(&self.dpop),
            people,
            approvals,
            explains: Arc::clone(gate) as Arc<dyn Explains>,
            compares: Arc::new(Comparing {
                live: self.reloader.live(),
                grants: self.grants.clone(),
                gate: Arc::clone(gate),
                sources,
                audit: settings.audit.clone(),
            }),
            revocations: self.revocations.clone(),
            transmitters,
            used_events,
            latest_scores,
            scores,
            shadows: shadow,
            audit: self.audit.clone(),
            audit_directory: settings.audit.clone(),
            metrics: Arc::clone(&self.metrics),
            clock: self.clock.clone(),
            public_url: settings.gateway.public_url.to_string(),
            control_url: settings.control.public_url.to_string(),
            stopping,
        });
        admin.await.context("the API's memory can't be read")
    }

    /// Those who send security events.
    fn transmitters(&self, settings: &Settings) -> Vec<Transmitter> {
        let configured = settings.ssf_transmitters.iter();
        let known = configured.zip(self.event_issuers.iter().zip(&self.bearers));
        let transmitters = known.map(|(one, (keys, bearer))| {
            let [low, medium, high] = one.scores;
            let scores = admin::Scores { low, medium, high };
            let (keys, bearer) = (Arc::clone(keys), bearer.as_ref().map(Bearer::digest));
            Transmitter::new(keys, bearer, scores, one.score_life)
        });
        transmitters.collect()
    }

    fn notifier(&self, webhook: &Webhook, settings: &Settings) -> anyhow::Result<Notifier> {
        let secret = Credential::read(&webhook.secret);
        let secret = secret.context("the webhook's secret can't be read")?;
        let receiver = notices::Receiver {
            url: webhook.url.parse()?,
            secret: Secret::new(secret.expose().as_bytes().to_vec()),
            form: match webhook.template {
                Template::Json => notices::Form::Json,
                Template::Slack => notices::Form::Slack,
            },
        };
        let control_url = settings.control.public_url.to_string();
        let notifier = Notifier::new(receiver, &self.grants, self.clock.clone(), control_url);
        notifier.context("the webhook can't be used")
    }

    /// Watches over the grants at rest.
    fn vigil(&self, published: watch::Receiver<()>) -> impl Future<Output = ()> + use<> {
        let vigil = Vigil::new(
            self.reloader.live(),
            self.grants.clone(),
            self.audit.clone(),
            Arc::clone(&self.metrics),
            self.clock.clone(),
        );
        vigil.run(published)
    }

    /// Starts what goes on beside the requests.
    fn upkeep(
        &self,
        settings: &Settings,
        watcher: Watcher,
        acceptors: Vec<Acceptor>,
    ) -> Vec<JoinHandle<()>> {
        let report = upkeep::report_policies(
            self.reloader.clone(),
            self.audit.clone(),
            Arc::clone(&self.metrics),
            self.clock.clone(),
        );
        let rotate = upkeep::rotate_keys(
            Arc::clone(&self.authority),
            settings.tokens.rotate_after,
            self.audit.clone(),
            self.clock.clone(),
        );
        let mut tasks = vec![
            tokio::spawn(rotate),
            tokio::spawn(watcher.run()),
            tokio::spawn(self.grants.clone().run_clockwork()),
            tokio::spawn(self.grants.clone().run_checkpoints()),
            tokio::spawn(self.grants.clone().run_forgetting()),
            tokio::spawn(upkeep::lapse_scores(
                self.grants.clone(),
                self.clock.clone(),
            )),
            tokio::spawn(self.grants.clone().run_habits()),
            tokio::spawn(upkeep::forget_revocations(
                self.revocations.clone(),
                self.clock.clone(),
            )),
            tokio::spawn(upkeep::reload_certificates(acceptors, self.clock.clone())),
            tokio::spawn(upkeep::refresh_upstreams(
                self.reloader.live(),
                self.clock.clone(),
            )),
            tokio::spawn(report),
        ];
        let bearers: Vec<_> = self.bearers.iter().flatten().cloned().collect();
        if !bearers.is_empty() {
            let reload = bearer::reload(bearers, self.clock.clone());
            tasks.push(tokio::spawn(reload));
        }
        if settings.countries.is_some() {
            let refresh = upkeep::refresh_countries(self.grants.clone(), self.clock.clone());
            tasks.push(tokio::spawn(refresh));
        }
        for issuer in self.issuers.iter().chain(&self.event_issuers) {
            let fresh = Arc::clone(issuer).keep_fresh(self.clock.clone());
            tasks.push(tokio::spawn(fresh));
        }
        tasks
    }
}

/// The TLS identities of all listeners; none where a listener speaks plain HTTP.
struct Acceptors {
    gateway: Vec<Option<Acceptor>>,
    control: Option<Acceptor>,
    admin: Option<Acceptor>,
}

impl Acceptors {
    fn open(settings: &Settings, clock: &Clock) -> anyhow::Result<Self> {
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

    fn all(&self) -> Vec<Acceptor> {
        let control = [self.control.clone(), self.admin.clone()];
        let gateway = self.gateway.iter().cloned();
        gateway.chain(control).flatten().collect()
    }
}

/// Where the policies that are live are kept for the next start: where none have to wait, nowhere.
fn kept(settings: &Settings) -> anyhow::Result<Option<Kept>> {
    let kept = kept_beside(&settings.store);
    if !settings.hold.is_empty() {
        return Ok(Some(kept));
    }
    // It would be old by the time that some have to wait again.
    let removed = kept.remove();
    removed.context("the copy of the policies that were live last can't be removed")?;
    Ok(None)
}

async fn open_store(path: PathBuf, options: &StartOptions) -> anyhow::Result<Arc<SqliteStore>> {
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

fn open_audit(directory: &Path, clock: &Clock) -> anyhow::Result<(Audit, audit::Writer)> {
    let mut options = audit::Options::new(directory);
    options.queue = AUDIT_QUEUE;
    audit::open(&options, clock.clone()).context("the audit log can't be used")
}

/// Reads the database of countries, if one is configured. It is large.
async fn open_countries(settings: &Settings, grants: &Grants) -> anyhow::Result<()> {
    let Some(file) = settings.countries.clone() else {
        return Ok(());
    };
    let grants = grants.clone();
    let opened = spawn_blocking(move || grants.signals().open_countries(&file)).await;
    opened.context("the country database can't be waited for")??;
    Ok(())
}

fn open_authority(settings: &Settings, clock: &Clock) -> anyhow::Result<Arc<Authority>> {
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
