//! What every worker of the enforcement point shares.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use tokio::sync::{broadcast, watch};

use super::probe::Probe;
use super::session::Sessions;
use super::strangers::Strangers;
use crate::audit::Audit;
use crate::authn::Authenticator;
use crate::base::{Clock, Live};
use crate::config::{Limits, Snapshot};
use crate::grants::Grants;
use crate::telemetry::Metrics;
use crate::tokens::Dpop;

/// Questions to the workers that may wait for the slowest of them.
const PROBES: usize = 4;

/// The shared parts of the data plane.
pub struct Gate {
    pub(super) snapshot: Arc<Live<Snapshot>>,
    pub(super) grants: Grants,
    pub(super) authenticator: Arc<Authenticator>,
    pub(super) dpop: Arc<Dpop>,
    pub(super) sessions: Sessions,
    pub(super) strangers: Strangers,
    pub(super) audit: Audit,
    pub(super) metrics: Arc<Metrics>,
    pub(super) clock: Clock,
    pub(super) facts: Facts,
    published: watch::Sender<()>,
    probes: broadcast::Sender<Probe>,
}

/// What a gate is made of.
#[derive(Debug)]
pub struct GateParts {
    /// The live configuration.
    pub snapshot: Arc<Live<Snapshot>>,
    /// Tasks and grants.
    pub grants: Grants,
    /// Verifies tokens.
    pub authenticator: Arc<Authenticator>,
    /// Verifies proofs of possession.
    pub dpop: Arc<Dpop>,
    /// Where decisions are recorded.
    pub audit: Audit,
    /// Where they are counted.
    pub metrics: Arc<Metrics>,
    /// The time.
    pub clock: Clock,
    /// What does not change while the gateway runs.
    pub facts: Facts,
}

/// What does not change while the gateway runs.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The gateway's own URL, without a slash at its end: the audience of its tokens.
    pub public_url: String,
    /// The control side's URL, without a slash at its end.
    pub control_url: String,
    /// The token authority's issuer name.
    pub issuer: String,
    /// Whether a listener takes clients' certificates.
    pub client_certificates: bool,
    /// Who may speak for a client's address.
    pub trusted_proxies: Vec<IpNet>,
    /// The limits on what comes in.
    pub limits: InboundLimits,
}

/// The limits on what comes in.
#[derive(Clone, Copy, Debug)]
pub struct InboundLimits {
    /// A request head, in bytes.
    pub header_bytes: usize,
    /// Header lines of a request.
    pub header_count: usize,
    /// A request target, in bytes.
    pub uri_bytes: usize,
    /// From the first to the last byte of a request head.
    pub header_timeout: Duration,
    /// Between two requests of a connection, and before the first.
    pub idle_timeout: Duration,
    /// Between two pieces of a request body.
    pub body_idle_timeout: Duration,
    /// From the head to the last byte of a request body.
    pub request_timeout: Duration,
    /// Open connections in all.
    pub connections: usize,
    /// Open connections of one address.
    pub connections_per_source: usize,
    /// Streams of one HTTP/2 connection.
    pub streams_per_connection: u32,
    /// Bad tokens of one address in a second.
    pub bad_tokens_per_source: u32,
    /// A body that is read before it passes.
    pub body_peek_bytes: usize,
}

impl InboundLimits {
    /// Those of the settings that are about what comes in.
    #[must_use]
    pub fn of(limits: &Limits) -> Self {
        let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        Self {
            header_bytes: size(limits.header_bytes),
            header_count: limits.header_count,
            uri_bytes: size(limits.uri_bytes),
            header_timeout: limits.header_timeout,
            idle_timeout: limits.idle_timeout,
            body_idle_timeout: limits.body_idle_timeout,
            request_timeout: limits.request_timeout,
            connections: limits.connections,
            connections_per_source: limits.connections_per_source,
            streams_per_connection: count(limits.streams_per_connection),
            bad_tokens_per_source: count(limits.bad_tokens_per_source),
            body_peek_bytes: size(limits.body_peek_bytes),
        }
    }
}

impl Facts {
    /// Those of a gateway that is only supposed: the limits are as they are unless somebody changes them.
    #[must_use]
    pub fn supposed() -> Self {
        let limits = Limits::default();
        Self {
            public_url: "https://localhost:8443".to_owned(),
            control_url: "https://localhost:8444".to_owned(),
            issuer: "https://localhost:8444".to_owned(),
            client_certificates: true,
            trusted_proxies: Vec::new(),
            limits: InboundLimits::of(&limits),
        }
    }
}

impl Gate {
    /// A gate that lets nothing through but what `parts` allow.
    #[must_use]
    pub fn new(parts: GateParts) -> Self {
        let GateParts {
            snapshot,
            grants,
            authenticator,
            dpop,
            audit,
            metrics,
            clock,
            facts,
        } = parts;
        Self {
            snapshot,
            grants,
            authenticator,
            dpop,
            sessions: Sessions::new(),
            strangers: Strangers::new(facts.limits.bad_tokens_per_source),
            audit,
            metrics,
            clock,
            facts,
            published: watch::Sender::new(()),
            probes: broadcast::Sender::new(PROBES),
        }
    }

    /// A new generation went live: running exchanges are asked about again.
    pub fn recheck(&self) {
        self.published.send_replace(());
    }

    pub(super) fn published(&self) -> watch::Receiver<()> {
        self.published.subscribe()
    }

    /// Asks every worker; tells how many will answer.
    pub(super) fn ask_workers(&self, probe: Probe) -> usize {
        self.probes.send(probe).unwrap_or(0)
    }

    /// How many workers can be asked.
    pub(super) fn workers(&self) -> usize {
        self.probes.receiver_count()
    }

    pub(super) fn probes(&self) -> broadcast::Receiver<Probe> {
        self.probes.subscribe()
    }

    pub(super) fn is_trusted_proxy(&self, address: IpAddr) -> bool {
        let mut proxies = self.facts.trusted_proxies.iter();
        proxies.any(|network| network.contains(&address))
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate")
            .field("facts", &self.facts)
            .finish_non_exhaustive()
    }
}
