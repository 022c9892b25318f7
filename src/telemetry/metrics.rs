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

/// Every metric of the gateway. Handles are made once, so that counting on the request path is one
/// atomic addition.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Requests that were let through to an upstream.
    pub allowed: Counter,
    refused: BTreeMap<&'static str, Counter>,
    cut: BTreeMap<&'static str, Counter>,
    /// Time from an end in memory to the last exchange gone.
    pub cut_delay: Histogram,
    /// Time from the request head to the end of the exchange.
    pub duration: Histogram,
    /// Open downstream connections.
    pub connections: Gauge,
    /// Grants in force.
    pub live_grants: Gauge,
    /// Open tasks.
    pub live_tasks: Gauge,
    /// Tokens issued.
    pub tokens_issued: Counter,
    /// Verifications of tokens that were not remembered.
    pub tokens_verified: Counter,
    reloads: Family<Label, Counter>,
    generation: Family<Label, Gauge>,
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
            cut: family(&mut registry, "streams_cut", "Exchanges cut", "cause", ends),
            cut_delay: seconds(),
            duration: seconds(),
            connections: Gauge::default(),
            live_grants: Gauge::default(),
            live_tasks: Gauge::default(),
            tokens_issued: Counter::default(),
            tokens_verified: Counter::default(),
            reloads: Family::default(),
            generation: Family::default(),
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
        to.register("live_grants", "Grants in force", self.live_grants.clone());
        to.register("live_tasks", "Open tasks", self.live_tasks.clone());
        let issued = self.tokens_issued.clone();
        to.register("tokens_issued", "Tokens issued", issued);
        let verified = self.tokens_verified.clone();
        to.register("tokens_verified", "Tokens verified anew", verified);
        let reloads = self.reloads.clone();
        to.register("policy_reloads", "Policy reloads by outcome", reloads);
        let generation = self.generation.clone();
        to.register("policy_generation", "1 for the live generation", generation);
    }

    /// Counts a refusal by its code.
    pub fn refuse(&self, code: &'static str) {
        if let Some(counter) = self.refused.get(code) {
            counter.inc();
        }
    }

    /// Counts a cut exchange by its cause.
    pub fn cut(&self, cause: &'static str) {
        if let Some(counter) = self.cut.get(cause) {
            counter.inc();
        }
    }

    /// Observes the length of an exchange.
    pub fn finish(&self, duration: Duration) {
        self.duration.observe(duration.as_secs_f64());
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
