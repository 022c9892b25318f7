//! The files that the settings name, read as the start reads them, but changing nothing: what stops a start
//! can be known before it.

use std::path::Path;

use anyhow::Context as _;

use super::bearer::Bearer;
use super::translate::{key_source, server_files};
use crate::base::Clock;
use crate::config::{Diagnostics, JwksSource, Settings};
use crate::signals::check_countries;
use crate::tls::Acceptor;
use crate::tokens::Authority;
use crate::upstream::Credential;

/// What is wrong with the files that `settings`, read from `file`, name beside the policies. No socket is
/// bound, and neither the store nor the audit log is opened.
#[must_use]
pub fn check_files(settings: &Settings, file: &Path, clock: &Clock) -> Diagnostics {
    let mut problems = Diagnostics::default();
    let checks = identities(settings, clock).chain(others(settings));
    for error in checks.filter_map(Result::err) {
        problems.unusable(file, format!("{error:#}"));
    }
    let issuers = settings.trusted_issuers.iter();
    let issuers = issuers.map(|one| (&one.issuer, &one.jwks));
    let transmitters = settings.ssf_transmitters.iter();
    let transmitters = transmitters.map(|one| (&one.issuer, &one.jwks));
    for (issuer, jwks) in issuers.chain(transmitters) {
        match keys(jwks) {
            Ok(()) => {}
            // It is looked for again every few seconds, so that it can come later.
            Err(error) => problems.not_yet(
                file,
                format!(
                    "nothing of `{issuer}` is believed as long as its keys can't be read: {error:#}"
                ),
            ),
        }
    }
    problems
}

/// The TLS identities of the listeners, neighbours that share one once.
fn identities<'s>(
    settings: &'s Settings,
    clock: &'s Clock,
) -> impl Iterator<Item = anyhow::Result<()>> + 's {
    let listeners = settings.gateway.listeners.iter();
    let listeners = listeners.chain([&settings.control.listener]);
    let listeners = listeners.chain(&settings.admin);
    let mut identities: Vec<_> = listeners.filter_map(|one| one.tls.as_ref()).collect();
    identities.dedup();
    identities.into_iter().map(|tls| {
        let acceptor = Acceptor::open(server_files(tls), clock.clone());
        acceptor.map(drop).context("a TLS identity can't be used")
    })
}

/// Keys, databases and secrets.
fn others(settings: &Settings) -> impl Iterator<Item = anyhow::Result<()>> + '_ {
    let keys = std::iter::once_with(|| {
        let keys = Authority::check(&settings.tokens.signing_keys);
        keys.context("the token signing keys can't be used")
    });
    let countries = settings.countries.iter();
    let countries = countries.map(|file| Ok(check_countries(file)?));
    let secrets = settings.webhook.iter().map(|webhook| {
        let secret = Credential::read(&webhook.secret).map(drop);
        secret.context("the webhook's secret can't be read")
    });
    let bearers = settings.ssf_transmitters.iter();
    let bearers = bearers.map(|one| Bearer::of(one).map(drop));
    keys.chain(countries).chain(secrets).chain(bearers)
}

fn keys(jwks: &JwksSource) -> anyhow::Result<()> {
    Ok(key_source(jwks)?.check()?)
}
