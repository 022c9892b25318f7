//! The parts that the doors share, and the doors made of them.

use std::sync::Arc;

use anyhow::Context as _;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::info;

use super::opened::{kept, open_authority, open_countries};
use crate::access::{Approvals, Explains, People, Requests, Revocations, UsedOnce, Vigil};
use crate::admin::{self, Admin, AdminParts, KeptScores, LatestScores, Transmitter};
use crate::app::bearer::{self, Bearer};
use crate::app::comparing::Comparing;
use crate::app::shadow::Shadow;
use crate::app::translate::{client_auth, event_keys, facts, grant_limits, issuer_keys};
use crate::app::upkeep;
use crate::audit::Audit;
use crate::authn::{Authenticator, IssuerKeys};
use crate::base::{Clock, Secret};
use crate::config::{Reloader, Settings, Sources, Template, Watcher, Webhook};
use crate::grants::{Grants, Restored};
use crate::model::{AgentId, DenyReason, EndReason};
use crate::notices::{self, Notifier};
use crate::oauth::{OAuth, OAuthFacts, OAuthParts};
use crate::pdp::Memory;
use crate::pep::{Gate, GateParts};
use crate::store::{DocumentKind, GrantStore};
use crate::telemetry::Metrics;
use crate::tls::Acceptor;
use crate::tokens::{Authority, Dpop, ReplayCache};
use crate::upstream::Credential;

/// The parts that the doors share.
pub(super) struct Core {
    pub(super) clock: Clock,
    pub(super) reloader: Reloader,
    pub(super) grants: Grants,
    audit: Audit,
    pub(super) metrics: Arc<Metrics>,
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
    pub(super) async fn open(
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
        let control_url = settings.control.public_url.to_string().into();
        let requests = Requests::new(grants.clone(), audit.clone(), clock.clone(), control_url);
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
    pub(super) async fn restore(&self) -> anyhow::Result<()> {
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

    pub(super) fn gate(&self, settings: &Settings) -> Gate {
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

    pub(super) async fn oauth(&self, settings: &Settings) -> anyhow::Result<OAuth> {
        let used = self.used(DocumentKind::UsedAssertion, ReplayCache::new());
        let assertions = used.await?;
        let redeemed = self.used(DocumentKind::RedeemedRequest, ReplayCache::new());
        let redeemed = redeemed.await?;
        Ok(OAuth::new(OAuthParts {
            assertions,
            redeemed,
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

    pub(super) async fn admin(
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

    pub(super) fn notifier(
        &self,
        webhook: &Webhook,
        settings: &Settings,
    ) -> anyhow::Result<Notifier> {
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
    pub(super) fn vigil(&self, published: watch::Receiver<()>) -> impl Future<Output = ()> + use<> {
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
    pub(super) fn upkeep(
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
