//! Counters and gauges, and their exposition in the OpenMetrics text format.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

type Label = [(&'static str, String); 1];

/// The limits for which a client's connection is ended.
const CONNECTION_LIMITS: [&str; 3] = ["connections", "connections_per_source", "http2_frames"];

/// Every metric of the gateway. Handles are made once, so that counting on the request path is one
/// atomic addition.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Requests that were let through to an upstream.
    pub allowed: Counter,
    refused: BTreeMap<&'static str, Counter>,
    refused_connections: BTreeMap<&'static str, Counter>,
    cut: BTreeMap<&'static str, Counter>,
    security_events: BTreeMap<&'static str, Counter>,
    /// Time from an end in memory to the last exchange gone.
    pub cut_delay: Histogram,
    /// Time from the request head to the end of the exchange.
    pub duration: Histogram,
    /// Open downstream connections.
    pub connections: Gauge,
    /// Exchanges that run.
    pub exchanges: Gauge,
    /// Grants in force.
    pub live_grants: Gauge,
    /// Grants at rest that the rules were asked about again.
    pub grants_asked_again: Counter,
    /// Open tasks.
    pub live_tasks: Gauge,
    /// Ended grants and requests that are kept.
    pub ended_grants: Gauge,
    /// Ended tasks that are kept.
    pub ended_tasks: Gauge,
    entries: Family<Label, Gauge>,
    /// Tokens issued.
    pub tokens_issued: Counter,
    /// Verifications of tokens that were not remembered.
    pub tokens_verified: Counter,
    /// Calls that habits could not be learnt from, because the queue was full.
    pub unlearnt: Counter,
    workers: Family<Label, Counter>,
    /// Recorded decisions that a candidate was asked about.
    pub shadow_decisions: Counter,
    /// Recorded decisions that were not put to it, or to Cedar where it checks, for want of room or time.
    pub shadow_missed: Counter,
    shadow_differences: BTreeMap<&'static str, Counter>,
    /// Decisions that were checked by Cedar's own authorizer.
    pub cedar_checks: Counter,
    cedar_differences: BTreeMap<&'static str, Counter>,
    /// Questions that only Cedar's own authorizer could answer.
    pub cedar_questions: Counter,
    reloads: Family<Label, Counter>,
    generation: Family<Label, Gauge>,
    upstreams: UpstreamFamilies,
}

/// What is counted for each service, under the names that the configuration gives.
#[derive(Debug, Default)]
struct UpstreamFamilies {
    connections: Family<Label, Counter>,
    connect_failures: Family<Label, Counter>,
    connect_timeouts: Family<Label, Counter>,
    response_timeouts: Family<Label, Counter>,
    ejections: Family<Label, Counter>,
    checks_failed: Family<Label, Counter>,
    lookups_failed: Family<Label, Counter>,
}

/// The counters of one service's upstreams.
#[derive(Clone, Debug, Default)]
pub struct UpstreamMetrics {
    /// Connections that were opened.
    pub connections: Counter,
    /// Connections that could not be.
    pub connect_failures: Counter,
    /// Those of them that were not there in time.
    pub connect_timeouts: Counter,
    /// Requests that were not answered in time.
    pub response_timeouts: Counter,
    /// Addresses that were left out for a while because they failed.
    pub ejections: Counter,
    /// Health checks without a good answer.
    pub checks_failed: Counter,
    /// Look-ups of names that came to nothing.
    pub lookups_failed: Counter,
}

impl Metrics {
    /// All metrics at zero; `refusals` and `ends` are the codes that can be counted.
    #[must_use]
    pub fn new(
        refusals: impl Iterator<Item = &'static str>,
        ends: impl Iterator<Item = &'static str>,
    ) -> Self {
        let mut registry = Registry::with_prefix("portcullis");
        let seconds = || Histogram::new(exponential_buckets(0.000_1, 2.0, 18));
        let mut metrics = Self {
            registry: Registry::default(),
            allowed: Counter::default(),
            refused: family(
                &mut registry,
                "refusals",
                "Requests refused",
                "code",
                refusals,
            ),
            refused_connections: family(
                &mut registry,
                "connections_refused",
                "Connections of clients that were ended for a limit",
                "limit",
                CONNECTION_LIMITS.into_iter(),
            ),
            cut: family(&mut registry, "streams_cut", "Exchanges cut", "cause", ends),
            security_events: family(
                &mut registry,
                "security_events",
                "Security event tokens by what became of them",
                "outcome",
                ["refused", "taken"].into_iter(),
            ),
            cut_delay: seconds(),
            duration: seconds(),
            connections: Gauge::default(),
            exchanges: Gauge::default(),
            live_grants: Gauge::default(),
            grants_asked_again: Counter::default(),
            live_tasks: Gauge::default(),
            ended_grants: Gauge::default(),
            ended_tasks: Gauge::default(),
            entries: Family::default(),
            tokens_issued: Counter::default(),
            tokens_verified: Counter::default(),
            unlearnt: Counter::default(),
            workers: Family::default(),
            shadow_decisions: Counter::default(),
            shadow_missed: Counter::default(),
            shadow_differences: family(
                &mut registry,
                "shadow_differences",
                "Decisions that a candidate would have made otherwise",
                "kind",
                ["gain", "loss", "other"].into_iter(),
            ),
            cedar_checks: Counter::default(),
            cedar_differences: family(
                &mut registry,
                "policy_cedar_differences",
                "Checked decisions that Cedar would have made otherwise",
                "kind",
                ["rules", "verdict"].into_iter(),
            ),
            cedar_questions: Counter::default(),
            reloads: Family::default(),
            generation: Family::default(),
            upstreams: UpstreamFamilies::default(),
        };
        metrics.register(&mut registry);
        metrics.registry = registry;
        metrics
    }

    fn register(&self, to: &mut Registry) {
        to.register("allowed", "Requests let through", self.allowed.clone());
        to.register_with_unit(
            "cut_delay",
            "From the end of a grant to its last exchange gone",
            Unit::Seconds,
            self.cut_delay.clone(),
        );
        to.register_with_unit(
            "exchange_duration",
            "From request head to the end of the exchange",
            Unit::Seconds,
            self.duration.clone(),
        );
        let connections = self.connections.clone();
        to.register("connections", "Open downstream connections", connections);
        to.register("exchanges", "Exchanges that run", self.exchanges.clone());
        to.register("live_grants", "Grants in force", self.live_grants.clone());
        let asked = "Grants at rest that rules were asked about again";
        to.register("grants_asked_again", asked, self.grants_asked_again.clone());
        to.register("live_tasks", "Open tasks", self.live_tasks.clone());
        let ended = self.ended_grants.clone();
        to.register("ended_grants", "Ended grants and requests kept", ended);
        let ended = self.ended_tasks.clone();
        to.register("ended_tasks", "Ended tasks kept", ended);
        let entries = "Entries of the tables in memory";
        to.register("entries", entries, self.entries.clone());
        let issued = self.tokens_issued.clone();
        to.register("tokens_issued", "Tokens issued", issued);
        let verified = self.tokens_verified.clone();
        to.register("tokens_verified", "Tokens verified anew", verified);
        let unlearnt = "Calls that nothing was learnt from, for want of room";
        to.register("calls_unlearnt", unlearnt, self.unlearnt.clone());
        let workers = "Requests by the worker that served them";
        to.register("worker_requests", workers, self.workers.clone());
        let decisions = "Decisions that a candidate was asked about";
        to.register("shadow_decisions", decisions, self.shadow_decisions.clone());
        let missed =
            "Decisions that no candidate or Cedar was asked about, for want of room or time";
        to.register("shadow_missed", missed, self.shadow_missed.clone());
        let (checks, counter) = ("Decisions checked by Cedar", self.cedar_checks.clone());
        to.register("policy_cedar_checks", checks, counter);
        let questions = "Questions left to Cedar because a rule is not compiled";
        let counter = self.cedar_questions.clone();
        to.register("policy_cedar_questions", questions, counter);
        let reloads = self.reloads.clone();
        to.register("policy_reloads", "Policy reloads by outcome", reloads);
        let generation = self.generation.clone();
        to.register("policy_generation", "1 for the live generation", generation);
        self.upstreams.register(to);
    }

    /// The counters of a service's upstreams.
    #[must_use]
    pub fn upstream(&self, service: &str) -> UpstreamMetrics {
        let label = [("service", service.to_owned())];
        let of = |family: &Family<Label, Counter>| family.get_or_create_owned(&label);
        UpstreamMetrics {
            connections: of(&self.upstreams.connections),
            connect_failures: of(&self.upstreams.connect_failures),
            connect_timeouts: of(&self.upstreams.connect_timeouts),
            response_timeouts: of(&self.upstreams.response_timeouts),
            ejections: of(&self.upstreams.ejections),
            checks_failed: of(&self.upstreams.checks_failed),
            lookups_failed: of(&self.upstreams.lookups_failed),
        }
    }

    /// The counter of the requests that a worker serves.
    #[must_use]
    pub fn worker(&self, number: usize) -> Counter {
        let label = [("worker", number.to_string())];
        self.workers.get_or_create_owned(&label)
    }

    /// Counts a refusal by its code.
    pub fn refuse(&self, code: &'static str) {
        if let Some(counter) = self.refused.get(code) {
            counter.inc();
        }
    }

    /// Counts a connection that was ended for a limit; `limit` is one of a few fixed words.
    pub fn refuse_connection(&self, limit: &'static str) {
        if let Some(counter) = self.refused_connections.get(limit) {
            counter.inc();
        }
    }

    /// Counts a cut exchange by its cause.
    pub fn cut(&self, cause: &'static str) {
        if let Some(counter) = self.cut.get(cause) {
            counter.inc();
        }
    }

    /// Counts a security event token that was `taken` or `refused`.
    pub fn security_event(&self, outcome: &'static str) {
        if let Some(counter) = self.security_events.get(outcome) {
            counter.inc();
        }
    }

    /// Says how many entries a table in memory has; `table` is one of a few fixed words.
    pub fn entries(&self, table: &'static str, count: usize) {
        let label = [("table", table.to_owned())];
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.entries.get_or_create(&label).set(count);
    }

    /// Observes the length of an exchange.
    pub fn finish(&self, duration: Duration) {
        self.duration.observe(duration.as_secs_f64());
    }

    /// Counts a difference between a candidate and the live policies, by one of a few fixed words.
    pub fn shadow_difference(&self, kind: &'static str) {
        if let Some(counter) = self.shadow_differences.get(kind) {
            counter.inc();
        }
    }

    /// Counts a checked decision that Cedar would have made otherwise, by one of a few fixed words.
    pub fn cedar_difference(&self, kind: &'static str) {
        if let Some(counter) = self.cedar_differences.get(kind) {
            counter.inc();
        }
    }

    /// Counts a reload; `outcome` is one of a few fixed words.
    pub fn reload(&self, outcome: &'static str) {
        let label = [("outcome", outcome.to_owned())];
        self.reloads.get_or_create(&label).inc();
    }

    /// Names the live generation.
    pub fn live_generation(&self, generation: &str) {
        self.generation.clear();
        let label = [("generation", generation.to_owned())];
        self.generation.get_or_create(&label).set(1);
    }

    /// The exposition, in the OpenMetrics text format.
    #[must_use]
    pub fn expose(&self) -> String {
        let mut text = String::new();
        // Writing to a String can't fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

impl UpstreamFamilies {
    fn register(&self, to: &mut Registry) {
        let counters = [
            (
                "connections",
                "Connections opened to upstreams",
                &self.connections,
            ),
            (
                "connect_failures",
                "Connections to upstreams that could not be opened",
                &self.connect_failures,
            ),
            (
                "connect_timeouts",
                "Connections to upstreams that were not there in time",
                &self.connect_timeouts,
            ),
            (
                "response_timeouts",
                "Requests that upstreams did not answer in time",
                &self.response_timeouts,
            ),
            (
                "ejections",
                "Addresses of upstreams left out for a while",
                &self.ejections,
            ),
            (
                "checks_failed",
                "Health checks of upstreams without a good answer",
                &self.checks_failed,
            ),
            (
                "lookups_failed",
                "Look-ups of upstreams' names that came to nothing",
                &self.lookups_failed,
            ),
        ];
        for (name, help, family) in counters {
            to.register(format!("upstream_{name}"), help, family.clone());
        }
    }
}

fn family(
    registry: &mut Registry,
    name: &str,
    help: &str,
    label: &'static str,
    values: impl Iterator<Item = &'static str>,
) -> BTreeMap<&'static str, Counter> {
    let family = Family::<Label, Counter>::default();
    registry.register(name, help, family.clone());
    values
        .map(|value| {
            let counter = family.get_or_create_owned(&[(label, value.to_owned())]);
            (value, counter)
        })
        .collect()
}
