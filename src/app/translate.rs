//! The settings in the words of the parts that they are for.

use std::sync::Arc;

use anyhow::anyhow;

use crate::authn::{IssuerKeys, KeySource, TrustedIssuer};
use crate::config::{self, ClientAuth, JwksSource, Listener, ListenerTls, Settings};
use crate::grants::{Limits, Retention};
use crate::pep::{Facts, InboundLimits};
use crate::signals::HabitRules;
use crate::tls::{self, ServerFiles};
use crate::upstream::PoolLimits;

/// How a listener treats clients' certificates: without TLS there are none.
pub(super) fn client_auth(listener: &Listener) -> ClientAuth {
    let tls = listener.tls.as_ref();
    tls.map_or(ClientAuth::None, |tls| tls.client_auth.clone())
}

pub(super) fn server_files(tls: &ListenerTls) -> ServerFiles {
    let (client_auth, client_ca) = match &tls.client_auth {
        ClientAuth::Any(ca) => (tls::ClientAuth::Any, ca.clone()),
        ClientAuth::None => (tls::ClientAuth::None, None),
        ClientAuth::Optional(ca) => (tls::ClientAuth::Optional, Some(ca.clone())),
        ClientAuth::Required(ca) => (tls::ClientAuth::Required, Some(ca.clone())),
    };
    ServerFiles {
        certificate: tls.certificate.clone(),
        key: tls.key.clone(),
        client_ca,
        client_auth,
    }
}

pub(super) fn key_source(jwks: &JwksSource) -> anyhow::Result<KeySource> {
    Ok(match jwks {
        JwksSource::File(path) => KeySource::File(path.clone()),
        JwksSource::Url(url) => KeySource::Url {
            url: url.parse().map_err(|_| anyhow!("`{url}` is not a URL"))?,
            ca: None,
        },
    })
}

/// The keys of one who sends security events. The claims that name agents and tasks are not its own to say.
pub(super) fn event_keys(configured: &config::SsfTransmitter) -> anyhow::Result<Arc<IssuerKeys>> {
    Ok(Arc::new(IssuerKeys::new(TrustedIssuer {
        issuer: configured.issuer.clone(),
        keys: key_source(&configured.jwks)?,
        audience: configured.audience.clone(),
        agent_claim: "sub".to_owned(),
        task_claim: None,
        mfa_acr: Arc::default(),
    })))
}

pub(super) fn issuer_keys(configured: &config::TrustedIssuer) -> anyhow::Result<Arc<IssuerKeys>> {
    Ok(Arc::new(IssuerKeys::new(TrustedIssuer {
        issuer: configured.issuer.clone(),
        keys: key_source(&configured.jwks)?,
        audience: configured.audience.clone(),
        agent_claim: configured.agent_claim.clone(),
        task_claim: configured.task_claim.clone(),
        mfa_acr: configured.mfa_acr.clone().into(),
    })))
}

pub(super) fn facts(settings: &Settings) -> Facts {
    let mut listeners = settings.gateway.listeners.iter();
    Facts {
        public_url: settings.gateway.public_url.to_string(),
        control_url: settings.control.public_url.to_string(),
        issuer: settings.tokens.issuer.clone(),
        client_certificates: listeners.any(|one| client_auth(one) != ClientAuth::None),
        trusted_proxies: settings.gateway.trusted_proxies.clone(),
        limits: InboundLimits::of(&settings.limits),
    }
}

pub(super) fn grant_limits(settings: &Settings) -> Limits {
    let limits = &settings.limits;
    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    Limits {
        lease: limits.lease,
        longest_lease: limits.lease_max,
        task_max_age: limits.task_max_age,
        habits: HabitRules {
            days: count(limits.usual_days),
            new_per_day: count(limits.usual_new_per_day),
            frozen_at: count(limits.usual_frozen_at),
        },
        retention: Retention {
            keep: settings.keep_ended,
            most: settings.most_ended,
            tokens: settings.tokens.ttl,
        },
        ..Limits::default()
    }
}

pub(super) fn pool_limits(limits: &config::Limits) -> PoolLimits {
    PoolLimits {
        connect_timeout: limits.connect_timeout,
        response_timeout: limits.response_timeout,
        body_idle_timeout: Some(limits.idle_timeout),
        resolve_interval: limits.dns_refresh,
        ..PoolLimits::default()
    }
}
