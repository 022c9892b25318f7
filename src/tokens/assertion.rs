//! How a client authenticates with its key: `private_key_jwt` (RFC 7523 §3).

#[cfg(test)]
mod tests;

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::claims::Members;
use super::jws::{Jws, Origin, check_signature};
use super::key_set::{Times, check_audience, seconds, select};
use super::{Invalid, KeyError, LEEWAY, SigningKey, TokenError, VerifyingKey};
use crate::base::{Secret, random_id};

/// The longest that an assertion is good, from when it was made. Its id is remembered for so long.
pub const LONGEST_ASSERTION: Duration = Duration::from_secs(300);

/// The longest life that an assertion which says when it was made may claim (RFC 7523 §3: an end that is
/// unreasonably far away can be refused).
const LONGEST_CLAIMED: Duration = Duration::from_hours(1);

/// The verification of client assertions.
#[derive(Clone, Copy, Debug)]
pub struct Assertion;

/// What of an assertion is needed after it is believed: once used, never again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssertionClaims {
    /// Its own name, for the replay cache.
    pub jti: String,
    /// When it stops being good here; no leeway is given, so it can be forgotten then.
    pub exp: Timestamp,
}

impl Assertion {
    /// Verifies that the holder of one of `keys` made this assertion about `client`, for one of
    /// `audiences`: the issuer or the token endpoint.
    ///
    /// The caller gives `jti` to the replay cache.
    ///
    /// # Errors
    ///
    /// When anything about it is not exactly so.
    pub fn verify(
        assertion: &str,
        keys: &[VerifyingKey],
        client: &str,
        audiences: &[&str],
        now: Timestamp,
    ) -> Result<AssertionClaims, TokenError> {
        let jws = Jws::parse(assertion, Origin::Outside)?;
        jws.check_type(&[None, Some("JWT"), Some("client-authentication+jwt")])?;
        check_signature(&jws, select(keys, &jws)?)?;
        let claims = jws.claims()?;
        let claims = Members(&claims);
        let iss = claims.text("iss")?.ok_or(Invalid::ClaimMissing("iss"))?;
        let sub = claims.text("sub")?.ok_or(Invalid::ClaimMissing("sub"))?;
        if iss != client || sub != client {
            return Err(Invalid::Client.into());
        }
        check_audience(&claims.audience()?, audiences)?;
        let jti = claims.text("jti")?.ok_or(Invalid::ClaimMissing("jti"))?;
        let exp = claims.integer("exp")?.ok_or(Invalid::ClaimMissing("exp"))?;
        let times = Times {
            exp,
            nbf: claims.integer("nbf")?,
            iat: claims.integer("iat")?,
        };
        times.check(now, Duration::ZERO)?;
        let end = end(&times, now)?;
        let exp = Timestamp::from_second(end).map_err(|_| Invalid::Lifetime)?;
        Ok(AssertionClaims { jti, exp })
    }
}

/// The second at which an assertion stops being good for us: its own end, or an earlier one where it says
/// when it was made. So an assertion of a library that lets them live for an hour is good while it is
/// fresh, and is remembered no longer than others.
fn end(times: &Times, now: Timestamp) -> Result<i64, TokenError> {
    let now = now.as_second();
    let longest = seconds(LONGEST_ASSERTION);
    let (limit, end) = match times.iat {
        None => (longest, times.exp),
        Some(made) => (
            seconds(LONGEST_CLAIMED),
            times.exp.min(made.saturating_add(longest)),
        ),
    };
    if times.exp > now.saturating_add(limit + seconds(LEEWAY)) {
        return Err(Invalid::Lifetime.into());
    }
    if end <= now {
        return Err(TokenError::Expired);
    }
    Ok(end)
}

/// The client that an assertion claims to come from, to find the keys that it has to be verified
/// with.
///
/// Says nothing about who made it.
#[must_use]
pub fn unverified_client(assertion: &str) -> Option<String> {
    let claims = Jws::parse(assertion, Origin::Outside).ok()?.claims().ok()?;
    Some(claims.get("sub")?.as_str()?.to_owned())
}

/// An assertion about `client` for `audience`, good from now for `ttl`.
///
/// # Errors
///
/// When the key can't sign.
pub fn sign_assertion(
    key: &SigningKey,
    client: &str,
    audience: &str,
    now: Timestamp,
    ttl: Duration,
) -> Result<Secret<String>, KeyError> {
    let iat = now.as_second();
    let mut claims = Map::<String, Value>::new();
    claims.insert("iss".to_owned(), client.into());
    claims.insert("sub".to_owned(), client.into());
    claims.insert("aud".to_owned(), audience.into());
    claims.insert("jti".to_owned(), random_id("ast").into());
    claims.insert("iat".to_owned(), iat.into());
    claims.insert("exp".to_owned(), iat.saturating_add(seconds(ttl)).into());
    key.sign("JWT", &claims)
}
