//! Security event tokens (RFC 8417), as Shared Signals transmitters send them.

#[cfg(test)]
mod tests;

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::claims::Members;
use super::jws::{Jws, Origin, check_signature};
use super::key_set::{check_audience, seconds, select};
use super::{Invalid, KeySet, LEEWAY, TokenError};

/// How old a token may be: a receiver that was away for a weekend still has to learn of a revocation.
pub const OLDEST_EVENT: Duration = Duration::from_hours(7 * 24);

/// What has happened: the payload of each event with the URI of its type.
pub type Events = Vec<(String, Map<String, Value>)>;

/// A security event token that is believed.
#[derive(Clone, Debug)]
pub struct SecurityEvent {
    /// Its own name.
    pub jti: String,
    /// When it was made.
    pub iat: Timestamp,
    /// Whom it is about (RFC 9493), where it says so itself rather than in its events.
    pub subject: Option<Map<String, Value>>,
    /// What has happened.
    pub events: Events,
}

impl SecurityEvent {
    /// Verifies a token of `issuer` for `audience` with the issuer's keys.
    ///
    /// # Errors
    ///
    /// When anything about it is not exactly so. It has to say that it is a security event (RFC 8417
    /// §2.3), so that no token of another kind passes for one; and it says neither `sub` nor `exp`, so that
    /// it passes for none of another kind (OpenID Shared Signals Framework 1.0 §4.1).
    pub fn verify(
        token: &str,
        keys: &KeySet,
        (issuer, audience): (&str, &str),
        now: Timestamp,
    ) -> Result<Self, TokenError> {
        let jws = Jws::parse(token, Origin::Outside)?;
        jws.check_type(&[Some("secevent+jwt")])?;
        check_signature(&jws, select(keys.keys(), &jws)?)?;
        let raw = jws.claims()?;
        let claims = Members(&raw);
        if claims.text("iss")?.as_deref() != Some(issuer) {
            return Err(Invalid::Issuer.into());
        }
        check_audience(&claims.audience()?, &[audience])?;
        for name in ["sub", "exp"] {
            if raw.contains_key(name) {
                return Err(Invalid::ClaimForbidden(name).into());
            }
        }
        let jti = claims.text("jti")?.ok_or(Invalid::ClaimMissing("jti"))?;
        let iat = claims.integer("iat")?.ok_or(Invalid::ClaimMissing("iat"))?;
        let second = now.as_second();
        if iat > second.saturating_add(seconds(LEEWAY)) {
            return Err(Invalid::IssuedInFuture.into());
        }
        if iat < second.saturating_sub(seconds(OLDEST_EVENT)) {
            return Err(TokenError::Expired);
        }
        let iat = Timestamp::from_second(iat);
        Ok(Self {
            jti,
            iat: iat.map_err(|_| Invalid::ClaimType("iat".to_owned()))?,
            subject: match raw.get("sub_id") {
                None => None,
                Some(Value::Object(subject)) => Some(subject.clone()),
                Some(_) => return Err(Invalid::ClaimType("sub_id".to_owned()).into()),
            },
            events: events(&raw)?,
        })
    }
}

/// At least one event, each with an object as its payload (RFC 8417 §2.2).
fn events(raw: &Map<String, Value>) -> Result<Events, Invalid> {
    let wrong = || Invalid::ClaimType("events".to_owned());
    let events = raw.get("events").ok_or(Invalid::ClaimMissing("events"))?;
    let events = events.as_object().filter(|events| !events.is_empty());
    let events = events.ok_or_else(wrong)?.iter();
    events
        .map(|(uri, payload)| {
            let payload = payload.as_object().ok_or_else(wrong)?;
            Ok((uri.clone(), payload.clone()))
        })
        .collect()
}
