//! Proof that whoever sends a request holds a key (RFC 9449).
//!
//! A proof is a token of its own kind: it brings its key along, so what it proves is only that the
//! sender holds *that* key. What the key is good for is decided elsewhere, by its thumbprint.
//!
//! A nonce of ours is always demanded. It, and not the sender's clock, bounds how long a proof can be
//! kept for later; so that is also how long a proof has to be remembered to be seen twice.

#[cfg(test)]
mod tests;

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use thiserror::Error;

use super::claims::Members;
use super::jws::{Jws, check_signature, encode};
use super::nonces::Nonces;
use super::{
    Algorithm, Invalid, KeyError, Replay, ReplayCache, SigningKey, TokenError, VerifyingKey,
};
use crate::base::{BootInstant, Clock, Digest, Secret, random_id};
use crate::wire::normal_url;

/// How far the sender's clock may be off. The nonce tells how old a proof is; this only refuses what was
/// made for another day.
const CLOCK_TOLERANCE: Duration = Duration::from_mins(1);

/// How many proofs are remembered at most, each for no more than a minute.
const REMEMBERED: usize = 1 << 19;

/// How many of them may be one agent's.
const REMEMBERED_PER_SCOPE: usize = 1 << 17;

/// Verifies proofs, each once. All doors share one, so that a proof is used at one of them only.
#[derive(Debug)]
pub struct Dpop {
    nonces: Nonces,
    seen: ReplayCache,
    clock: Clock,
}

/// What a proof has to be about.
#[derive(Clone, Copy, Debug)]
pub struct ProofRules<'a> {
    /// The request's method.
    pub method: &'a str,
    /// The URLs by which its target goes, without query and fragment; one of them has to be meant.
    pub urls: &'a [String],
    /// The token that the request presents, where it presents one.
    pub token: Option<&'a str>,
}

/// A proof that is in order. It has to be [accepted](Dpop::accept) before anything is done with it.
#[must_use]
#[derive(Clone, Debug)]
pub struct Proof {
    key: Digest,
    jti: String,
    until: BootInstant,
}

/// Why a proof is not taken.
#[derive(Debug, Error)]
pub enum ProofError {
    /// It was made at another time.
    #[error("`iat` is more than {CLOCK_TOLERANCE:?} away")]
    Age,
    /// It is no token that could be a proof, or not signed by its own key.
    #[error("the proof is not valid")]
    Invalid(#[from] Invalid),
    /// Its key can't be used.
    #[error("the proof's key can't be used")]
    Key(#[source] KeyError),
    /// It is about a request with another method.
    #[error("`htm` is another method")]
    Method,
    /// There is no nonce, or not one that is good now.
    #[error("`nonce` is not one that this server has given out recently")]
    Nonce,
    /// It is about another token.
    #[error("`ath` is not the hash of the token")]
    Token,
    /// It is about a request to another place.
    #[error("`htu` is another URL")]
    Url,
}

impl Dpop {
    /// Remembers nothing yet.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self {
            nonces: Nonces::new(),
            seen: ReplayCache::with_capacity(REMEMBERED, REMEMBERED_PER_SCOPE),
            clock,
        }
    }

    /// The nonce that a proof should have now.
    #[must_use]
    pub fn nonce(&self) -> String {
        self.nonces.current(self.clock.now())
    }

    /// Verifies a proof (RFC 9449 §4.3) in everything but whether it was used before: that is asked last,
    /// when it is known who sent it, so that strangers can't fill the memory.
    ///
    /// # Errors
    ///
    /// When anything about it is not exactly so. That only its nonce is missing is told only of a proof
    /// that is otherwise in order.
    pub fn verify(&self, proof: &str, rules: &ProofRules<'_>) -> Result<Proof, ProofError> {
        let (jws, jwk) = Jws::parse_proof(proof)?;
        jws.check_type(&[Some("dpop+jwt")])?;
        let key = embedded_key(jwk, jws.algorithm).map_err(ProofError::Key)?;
        check_signature(&jws, &key).map_err(|error| match error {
            TokenError::Invalid(invalid) => invalid,
            TokenError::Expired => Invalid::Signature,
        })?;
        let claims = jws.claims()?;
        let claims = Members(&claims);
        let needed = |name: &'static str| claims.text(name)?.ok_or(Invalid::ClaimMissing(name));
        let jti = needed("jti")?;
        if needed("htm")? != rules.method {
            return Err(ProofError::Method);
        }
        let url = normal_url(&needed("htu")?).ok_or(ProofError::Url)?;
        let mut targets = rules.urls.iter().filter_map(|target| normal_url(target));
        if !targets.any(|target| target == url) {
            return Err(ProofError::Url);
        }
        if let Some(token) = rules.token {
            let hash = encode(Digest::of(token.as_bytes()).as_bytes());
            if claims.text("ath")?.as_deref() != Some(hash.as_str()) {
                return Err(ProofError::Token);
            }
        }
        let iat = claims.integer("iat")?.ok_or(Invalid::ClaimMissing("iat"))?;
        if iat.abs_diff(self.clock.wall().as_second()) > CLOCK_TOLERANCE.as_secs() {
            return Err(ProofError::Age);
        }
        let nonce = claims.text("nonce")?.ok_or(ProofError::Nonce)?;
        let until = self.nonces.end(&nonce, self.clock.now());
        Ok(Proof {
            key: key.thumbprint(),
            jti,
            until: until.ok_or(ProofError::Nonce)?,
        })
    }

    /// Accepts a proof of `sender`, once.
    ///
    /// # Errors
    ///
    /// When it has been used, or can't be remembered.
    pub fn accept(&self, proof: &Proof, sender: &str) -> Result<(), Replay> {
        let id = format!("{} {}", proof.key, proof.jti);
        let (until, now) = (on_boot_clock(proof.until), on_boot_clock(self.clock.now()));
        self.seen.accept(sender, &id, until, now)
    }
}

impl Proof {
    /// The thumbprint of its key (RFC 7638): the `jkt` of a token that is bound to it.
    #[must_use]
    pub const fn key(&self) -> Digest {
        self.key
    }
}

/// A proof by `key` about a request, with `nonce` where the server has given one.
///
/// # Errors
///
/// When the key can't sign.
pub fn sign_proof(
    key: &SigningKey,
    (method, url): (&str, &str),
    token: Option<&str>,
    nonce: Option<&str>,
    now: Timestamp,
) -> Result<Secret<String>, KeyError> {
    let public = key.verifying_key();
    let members = public.numbers().members();
    let jwk: Map<String, Value> = members
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.into()))
        .collect();
    let header = json!({ "typ": "dpop+jwt", "alg": public.algorithm().name(), "jwk": jwk });
    let mut claims = json!({
        "jti": random_id("prf"),
        "htm": method,
        "htu": url,
        "iat": now.as_second(),
    });
    if let Some(claims) = claims.as_object_mut() {
        if let Some(token) = token {
            let hash = encode(Digest::of(token.as_bytes()).as_bytes());
            claims.insert("ath".to_owned(), hash.into());
        }
        if let Some(nonce) = nonce {
            claims.insert("nonce".to_owned(), nonce.into());
        }
    }
    key.sign_texts(&header.to_string(), &claims.to_string())
}

/// The key that a proof brings along. An RSA key need not say what it is for: whoever chooses the key
/// here chooses the algorithm too, and nothing is believed that the key does not itself prove.
fn embedded_key(
    mut jwk: Map<String, Value>,
    algorithm: Algorithm,
) -> Result<VerifyingKey, KeyError> {
    let name = algorithm.name();
    jwk.entry("alg").or_insert_with(|| name.into());
    VerifyingKey::from_jwk(&Value::Object(jwk))
}

/// The replay memory reckons with timestamps. Those of the boot clock, which nobody can set back.
fn on_boot_clock(instant: BootInstant) -> Timestamp {
    let nanos = i128::from(instant.as_nanos());
    Timestamp::from_nanosecond(nanos).unwrap_or(Timestamp::MAX)
}
