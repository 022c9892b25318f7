//! The keys of one issuer, and the verification of its tokens.

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::jws::{Jws, Origin, check_signature};
use super::strict_json::parse_object;
use super::{Claims, Invalid, KeyError, TokenError, VerifyingKey};
use crate::base::Digest;

/// How far another machine's clock may be off. Our own tokens get none of it for their end.
pub const LEEWAY: Duration = Duration::from_secs(5);

/// The largest key set, in bytes.
pub(super) const LARGEST_SET: usize = 256 * 1024;

/// The most keys in a set.
pub(super) const MOST_KEYS: usize = 64;

/// What a token has to say.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// The one issuer.
    pub issuer: &'a str,
    /// Whom it may be for; one of them has to be in `aud`.
    pub audiences: &'a [&'a str],
    /// Whose token it is.
    pub origin: Origin,
    /// This moment on the wall clock.
    pub now: Timestamp,
}

/// A token that is believed.
#[derive(Clone, Debug)]
pub struct Verified {
    /// What it says.
    pub claims: Claims,
    /// The thumbprint of the key that it was verified with.
    pub key: Digest,
}

/// The verifying keys of one issuer.
#[derive(Clone, Debug, Default)]
pub struct KeySet {
    keys: Vec<VerifyingKey>,
    skipped: usize,
}

impl KeySet {
    /// A set of these keys.
    ///
    /// # Errors
    ///
    /// When two have one name, or there are too many.
    pub fn new(keys: Vec<VerifyingKey>) -> Result<Self, KeyError> {
        Self::build(keys, 0)
    }

    /// Reads a JWK Set (RFC 7517 §5). Keys that we can't use are skipped and counted: an issuer may
    /// have keys for other purposes.
    ///
    /// # Errors
    ///
    /// When it is no such set, is too large, or two of its keys have one name.
    pub fn from_jwks(bytes: &[u8]) -> Result<Self, KeyError> {
        if bytes.len() > LARGEST_SET {
            return Err(KeyError::Set);
        }
        let set = parse_object(bytes)?;
        let Some(Value::Array(items)) = set.get("keys") else {
            return Err(KeyError::Set);
        };
        if items.len() > MOST_KEYS {
            return Err(KeyError::Set);
        }
        let keys: Vec<_> = items
            .iter()
            .filter_map(|jwk| VerifyingKey::from_jwk(jwk).ok())
            .collect();
        let skipped = items.len() - keys.len();
        Self::build(keys, skipped)
    }

    fn build(keys: Vec<VerifyingKey>, skipped: usize) -> Result<Self, KeyError> {
        if keys.len() > MOST_KEYS {
            return Err(KeyError::Set);
        }
        let mut names = HashSet::new();
        for name in keys.iter().map(VerifyingKey::name) {
            if let Some(twice) = names.replace(name) {
                return Err(KeyError::DuplicateKid(twice));
            }
        }
        Ok(Self { keys, skipped })
    }

    /// This set without the keys whose thumbprint is `unwanted`.
    pub(super) fn without(&self, unwanted: impl Fn(Digest) -> bool) -> Self {
        let keys = self.keys.iter().filter(|key| !unwanted(key.thumbprint()));
        Self {
            keys: keys.cloned().collect(),
            skipped: self.skipped,
        }
    }

    /// The keys that can be used.
    #[must_use]
    pub fn keys(&self) -> &[VerifyingKey] {
        &self.keys
    }

    /// How many keys of the set can't be used.
    #[must_use]
    pub const fn skipped(&self) -> usize {
        self.skipped
    }

    /// Verifies a token of this issuer.
    ///
    /// # Errors
    ///
    /// When anything about the token is not exactly as `rules` and this room's invariants want it.
    pub fn verify(&self, token: &str, rules: &Rules<'_>) -> Result<Verified, TokenError> {
        let jws = Jws::parse(token, rules.origin)?;
        match rules.origin {
            Origin::Outside => jws.check_type(&[Some("at+jwt"), Some("JWT"), None])?,
            Origin::Own => jws.check_type(&[Some("at+jwt")])?,
        }
        if rules.origin == Origin::Own && jws.kid.is_none() {
            return Err(Invalid::KeyMissing.into());
        }
        let key = select(&self.keys, &jws)?;
        check_signature(&jws, key)?;
        let claims = Claims::parse(jws.claims()?)?;
        check_claims(&claims, rules)?;
        Ok(Verified {
            claims,
            key: key.thumbprint(),
        })
    }
}

/// The key that a token means: the one it names, or the only one of its algorithm.
pub(super) fn select<'a>(
    keys: &'a [VerifyingKey],
    jws: &Jws<'_>,
) -> Result<&'a VerifyingKey, Invalid> {
    let means = |key: &&VerifyingKey| match &jws.kid {
        Some(kid) => key.is_named(kid),
        None => key.algorithm() == jws.algorithm,
    };
    let mut candidates = keys.iter().filter(means);
    let key = candidates.next().ok_or(Invalid::KeyUnknown)?;
    match candidates.next() {
        None => Ok(key),
        Some(_) => Err(Invalid::KeyAmbiguous),
    }
}

fn check_claims(claims: &Claims, rules: &Rules<'_>) -> Result<(), TokenError> {
    if claims.iss != rules.issuer {
        return Err(Invalid::Issuer.into());
    }
    check_audience(&claims.aud, rules.audiences)?;
    if rules.origin == Origin::Own {
        // Every token of ours has them (RFC 9068 §2.2).
        claims.nbf.ok_or(Invalid::ClaimMissing("nbf"))?;
        claims.jti.as_ref().ok_or(Invalid::ClaimMissing("jti"))?;
        let client_id = claims.client_id.as_ref();
        client_id.ok_or(Invalid::ClaimMissing("client_id"))?;
    }
    let times = Times {
        exp: claims.exp,
        nbf: claims.nbf,
        iat: Some(claims.iat),
    };
    let leeway = match rules.origin {
        Origin::Outside => LEEWAY,
        Origin::Own => Duration::ZERO,
    };
    times.check(rules.now, leeway)
}

pub(super) fn check_audience(named: &[String], accepted: &[&str]) -> Result<(), Invalid> {
    if named.iter().any(|name| accepted.contains(&name.as_str())) {
        Ok(())
    } else {
        Err(Invalid::Audience)
    }
}

/// The times of a token, in seconds.
pub(super) struct Times {
    pub(super) exp: i64,
    pub(super) nbf: Option<i64>,
    pub(super) iat: Option<i64>,
}

impl Times {
    /// `end_leeway` is how long after its end a token is still taken.
    pub(super) fn check(&self, now: Timestamp, end_leeway: Duration) -> Result<(), TokenError> {
        // Rounded down, `exp` is compared exactly: a token is good as long as its second has not come.
        let now = now.as_second();
        let soon = now.saturating_add(seconds(LEEWAY));
        if self.iat.is_some_and(|iat| iat > soon) {
            return Err(Invalid::IssuedInFuture.into());
        }
        if self.nbf.is_some_and(|nbf| nbf > soon) {
            return Err(Invalid::NotYetValid.into());
        }
        if self.iat.is_some_and(|iat| self.exp <= iat) {
            return Err(Invalid::Lifetime.into());
        }
        if self.exp.saturating_add(seconds(end_leeway)) <= now {
            return Err(TokenError::Expired);
        }
        Ok(())
    }
}

pub(super) fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}
