//! Every key of `portcullis.toml` in one table: what the reference in the README is made from, and
//! what environment variables are matched against.

#[cfg(test)]
mod tests;

use std::fmt::Write;

use super::limits::LIMITS;

/// A key of `portcullis.toml`.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Where it stands, such as `gateway.public_url`; `[]` marks lists of tables.
    pub path: &'static str,
    /// What holds where it is absent, in the form in which it is written.
    pub default: &'static str,
    /// What it means.
    pub about: &'static str,
    /// Whether an environment variable can set it.
    pub environment: bool,
}

impl Key {
    pub(super) const fn scalar(
        path: &'static str,
        default: &'static str,
        about: &'static str,
    ) -> Self {
        Self {
            path,
            default,
            about,
            environment: true,
        }
    }

    const fn list(path: &'static str, default: &'static str, about: &'static str) -> Self {
        Self {
            path,
            default,
            about,
            environment: false,
        }
    }

    /// The environment variable that overrides it: the path in capitals, joined by `_`.
    #[must_use]
    pub fn variable(&self) -> Option<String> {
        self.environment
            .then(|| format!("PORTCULLIS_{}", self.path.replace('.', "_").to_uppercase()))
    }
}

/// Every key, in the order of the reference.
pub fn keys() -> impl Iterator<Item = &'static Key> {
    KEYS.iter().chain(LIMITS)
}

/// The reference as a Markdown table.
#[must_use]
pub fn reference() -> String {
    let mut out = String::from("| key | default | meaning |\n|---|---|---|\n");
    for key in keys() {
        let default = match key.default {
            "" => "–".to_owned(),
            default if default.contains(' ') => default.to_owned(),
            default => format!("`{default}`"),
        };
        // Writing to a string does not fail.
        let _ = writeln!(out, "| `{}` | {default} | {} |", key.path, key.about);
    }
    out
}

const KEYS: &[Key] = &[
    Key::list(
        "gateway.listen[].address",
        "",
        "Where agents connect, such as `0.0.0.0:8443`. At least one listener is needed.",
    ),
    Key::list(
        "gateway.listen[].protocols",
        "[\"http/1.1\"]",
        "What is spoken without `tls`: `http/1.1`, `h2` (unasked, h2c), or both by what the client begins with. Over TLS both are offered.",
    ),
    Key::list(
        "gateway.listen[].tls.certificate",
        "",
        "The certificate chain, PEM. Without `tls` the listener speaks plain HTTP.",
    ),
    Key::list(
        "gateway.listen[].tls.key",
        "",
        "The certificate's private key, PEM.",
    ),
    Key::list(
        "gateway.listen[].tls.client_ca",
        "",
        "The authorities of agents' client certificates, PEM.",
    ),
    Key::list(
        "gateway.listen[].tls.client_auth",
        "optional with client_ca",
        "`none`, `optional`, `required`, or `any`: optional, and issued by anybody, as for agents with certificates of their own making.",
    ),
    Key::scalar(
        "gateway.public_url",
        "from the first listener",
        "How agents reach the gateway; the default audience of tokens.",
    ),
    Key::list(
        "gateway.trusted_proxies",
        "[]",
        "The networks whose `X-Forwarded-*` headers are believed; an `X-Forwarded-For` of theirs that can't be read is a refusal.",
    ),
    Key::scalar(
        "gateway.workers",
        "one per core",
        "How many threads serve requests. A connection goes to the one that has the fewest.",
    ),
    Key::scalar(
        "control.listen",
        "",
        "Where tokens, tasks, requests and people's calls go. Needed.",
    ),
    Key::scalar("control.tls.certificate", "", "As for the gateway."),
    Key::scalar("control.tls.key", "", "As for the gateway."),
    Key::scalar("control.tls.client_ca", "", "As for the gateway."),
    Key::scalar(
        "control.tls.client_auth",
        "optional with client_ca",
        "As for the gateway.",
    ),
    Key::scalar(
        "control.public_url",
        "from the listener",
        "How the control address is reached.",
    ),
    Key::scalar(
        "admin.listen",
        "",
        "Takes people's routes, console and metrics off the control address.",
    ),
    Key::scalar("admin.tls.certificate", "", "As for the gateway."),
    Key::scalar("admin.tls.key", "", "As for the gateway."),
    Key::scalar("admin.tls.client_ca", "", "As for the gateway."),
    Key::scalar(
        "admin.tls.client_auth",
        "optional with client_ca",
        "As for the gateway.",
    ),
    Key::scalar(
        "policies.directory",
        "policies",
        "The policy files; watched.",
    ),
    Key::list(
        "policies.hold",
        "[]",
        "What keeps new policies from going live until an operator lets them: `tests` that fail, live `grants` that would end, running `exchanges` that would be cut, decisions of late that come otherwise in a `replay`, agents that would gain `access`.",
    ),
    Key::scalar(
        "policies.hold_above",
        "0",
        "How many live grants, running exchanges or replayed decisions a change may touch without a wait.",
    ),
    Key::scalar(
        "policies.replay_window",
        "15m",
        "From when on recorded decisions are put to new policies, the newest 10,000 at most.",
    ),
    Key::scalar(
        "policies.shadow",
        "",
        "`cedar`: decisions are checked after the fact by Cedar's own authorizer, as many as there is time for; what comes otherwise is counted, logged and kept.",
    ),
    Key::scalar("store.path", "data/portcullis.db", "The grant store."),
    Key::scalar(
        "store.keep_ended",
        "24h",
        "How long ended tasks, grants and requests can be looked at; at least `tokens.ttl`. After that, the audit log alone knows them.",
    ),
    Key::scalar(
        "store.most_ended",
        "100000",
        "How many ended tasks, and how many ended grants and requests, are kept; past it, the oldest go before their time, though not within `tokens.ttl` of their end.",
    ),
    Key::scalar("audit.directory", "data/audit", "The audit records."),
    Key::scalar(
        "tokens.issuer",
        "the control public_url",
        "The issuer of the gateway's own tokens.",
    ),
    Key::scalar(
        "tokens.ttl",
        "5m",
        "How long a token lives; at most an hour.",
    ),
    Key::scalar(
        "tokens.algorithm",
        "ES256",
        "What signs tokens: `ES256` or `EdDSA`.",
    ),
    Key::scalar(
        "tokens.rotate_after",
        "30d",
        "The age at which a signing key is replaced; the old one verifies for as long as its tokens live.",
    ),
    Key::scalar(
        "tokens.signing_key_directory",
        "data/keys",
        "The keys that sign tokens.",
    ),
    Key::list(
        "credentials.allow",
        "[]",
        "The credentials that services may be given, such as `env:ORDERS_*` or `file:/etc/portcullis/secrets/*`.",
    ),
    Key::list(
        "trusted_issuer[].issuer",
        "",
        "The `iss` of tokens that are believed beside the gateway's own.",
    ),
    Key::list(
        "trusted_issuer[].jwks_url",
        "",
        "Where its keys are; or `jwks_file`.",
    ),
    Key::list(
        "trusted_issuer[].jwks_file",
        "",
        "A file with its keys; or `jwks_url`.",
    ),
    Key::list(
        "trusted_issuer[].audience",
        "the gateway public_url",
        "The `aud` that its tokens must have.",
    ),
    Key::list(
        "trusted_issuer[].agent_claim",
        "sub",
        "The claim that names the agent.",
    ),
    Key::list(
        "trusted_issuer[].task_claim",
        "",
        "The claim that names the task; else the header `Portcullis-Task` does.",
    ),
    Key::list(
        "trusted_issuer[].mfa_acr",
        "",
        "The `acr` values that tell of several factors, such as `[\"phr\"]`: what `mfa_required` asks for.",
    ),
    Key::list(
        "ssf_transmitter[].issuer",
        "",
        "The `iss` of security event tokens that are taken at `/ssf/events`.",
    ),
    Key::list(
        "ssf_transmitter[].jwks_url",
        "",
        "Where its keys are; or `jwks_file`.",
    ),
    Key::list(
        "ssf_transmitter[].jwks_file",
        "",
        "A file with its keys; or `jwks_url`.",
    ),
    Key::list(
        "ssf_transmitter[].audience",
        "the control public_url",
        "The `aud` that its tokens must have.",
    ),
    Key::list(
        "ssf_transmitter[].bearer_from",
        "",
        "The bearer token that it shows besides: `env:NAME` or `file:/path`; a file is read again when it changes.",
    ),
    Key::list(
        "ssf_transmitter[].scores",
        "10, 50 and 90",
        "The risk of `low`, `medium` and `high`.",
    ),
    Key::list(
        "ssf_transmitter[].score_life",
        "7d",
        "How long such a score counts; at most 30 days.",
    ),
    Key::scalar(
        "signals.country_database",
        "",
        "A file in the MaxMind format that says which country an address is in (`context.source.country`); read again when it changes.",
    ),
    Key::scalar(
        "notify.webhook.url",
        "",
        "Who is told when a request waits for people, and what became of it; https, or on this machine.",
    ),
    Key::scalar(
        "notify.webhook.secret_from",
        "",
        "What signs it (`Portcullis-Signature`): `env:NAME` or `file:/path`.",
    ),
    Key::scalar(
        "notify.webhook.template",
        "json",
        "`json` for programs, or `slack` for a line of text.",
    ),
];
