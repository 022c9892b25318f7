//! The token authority: our own issuer.

#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use thiserror::Error;

use super::key_ring::{KeyRing, keys_of};
use super::key_set::seconds;
use super::strict_json::parse_object;
use super::{
    Algorithm, Claims, Confirmation, Invalid, KeyError, LARGEST_TOKEN, Origin, Rotation, Rules,
    TokenError, VerifyingKey,
};
use crate::base::{Clock, Live, Secret, random_id};

/// The longest life of a token.
pub const LONGEST_TTL: Duration = Duration::from_hours(1);

/// What the authority can't do.
#[derive(Debug, Error)]
pub enum AuthorityError {
    /// The directory of the keys can't be used.
    #[error("the key directory `{}` can't be used", path.display())]
    Directory {
        /// Where.
        path: PathBuf,
        /// What the file system says.
        source: io::Error,
    },
    /// A key file can't be used.
    #[error("the signing key `{}` can't be used", path.display())]
    Key {
        /// Where.
        path: PathBuf,
        /// What is wrong.
        source: KeyError,
    },
    /// The keys can't be used together.
    #[error("the signing keys can't be used")]
    Keys(#[source] KeyError),
    /// Too many keys overlap.
    #[error("`{}` has too many keys that still verify", .0.display())]
    TooManyKeys(PathBuf),
    /// The token could not be verified.
    #[error("such a token could not be verified")]
    Unverifiable(#[source] Invalid),
    /// A life that no token may have.
    #[error("a token lives between one second and {LONGEST_TTL:?}, not {0:?}")]
    Ttl(Duration),
}

/// What to issue.
#[derive(Clone, Debug)]
pub struct Issue {
    /// Whom the token is about.
    pub subject: String,
    /// Whom it is for.
    pub audience: Vec<String>,
    /// The client that gets it.
    pub client_id: String,
    /// How long it is good.
    pub ttl: Duration,
    /// Entitlement ids, separated by blanks.
    pub scope: Option<String>,
    /// The task that it serves.
    pub task: Option<String>,
    /// The key that it is bound to.
    pub confirmation: Option<Confirmation>,
    /// What was granted, an array.
    pub authorization_details: Option<Value>,
    /// How the client authenticated (RFC 8176, RFC 9068 §2.2.1).
    pub methods: Vec<&'static str>,
    /// The class of the authentication that it was exchanged for (RFC 9068 §2.2.1).
    pub class: Option<String>,
}

/// What was issued.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The token.
    pub token: Secret<String>,
    /// Its name.
    pub jti: String,
    /// When it stops being good.
    pub expires_at: Timestamp,
}

/// Issues and verifies our own access tokens (RFC 9068).
#[derive(Debug)]
pub struct Authority {
    directory: PathBuf,
    issuer: String,
    algorithm: Algorithm,
    clock: Clock,
    ring: Live<KeyRing>,
    /// Held by whoever replaces the ring; never across an await.
    replacing: Mutex<()>,
}

impl Authority {
    /// Opens the authority whose keys lie in `directory`, one `<kid>.jwk` each. Where none can sign
    /// with `algorithm`, one is made.
    ///
    /// # Errors
    ///
    /// When the directory or one of its keys can't be used.
    pub fn open(
        directory: &Path,
        issuer: String,
        algorithm: Algorithm,
        clock: Clock,
    ) -> Result<Self, AuthorityError> {
        let ring = KeyRing::open(directory, algorithm, clock.wall().as_second())?;
        Ok(Self {
            directory: directory.to_owned(),
            issuer,
            algorithm,
            clock,
            ring: Live::new(ring),
            replacing: Mutex::new(()),
        })
    }

    /// Whether the keys in `directory` can be read. Nothing is made; where there is none yet, one will be.
    ///
    /// # Errors
    ///
    /// When the directory or one of its keys can't be used.
    pub fn check(directory: &Path) -> Result<(), AuthorityError> {
        if !directory.exists() {
            return Ok(());
        }
        keys_of(directory).map(drop)
    }

    /// The `iss` of what it issues.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Issues a token.
    ///
    /// # Errors
    ///
    /// When its life is not permitted, or the token would be larger or deeper than we accept.
    pub fn issue(&self, issue: &Issue) -> Result<Issued, AuthorityError> {
        if issue.ttl < Duration::from_secs(1) || issue.ttl > LONGEST_TTL {
            return Err(AuthorityError::Ttl(issue.ttl));
        }
        let now = self.clock.wall().as_second();
        let exp = now.saturating_add(seconds(issue.ttl));
        let expires_at = Timestamp::from_second(exp).map_err(|_| AuthorityError::Ttl(issue.ttl))?;
        let jti = random_id("tok");
        let claims = self.claims(issue, now, exp, &jti);
        check_readable(&claims)?;
        let token = self.ring().signing.sign("at+jwt", &claims);
        let token = token.map_err(AuthorityError::Keys)?;
        if token.expose().len() > LARGEST_TOKEN {
            return Err(AuthorityError::Unverifiable(Invalid::Size));
        }
        Ok(Issued {
            token,
            jti,
            expires_at,
        })
    }

    /// Verifies a token that this authority issued for one of `audiences`.
    ///
    /// # Errors
    ///
    /// When it did not, or the token has expired.
    pub fn verify(&self, token: &str, audiences: &[&str]) -> Result<Claims, TokenError> {
        let rules = Rules {
            issuer: &self.issuer,
            audiences,
            origin: Origin::Own,
            now: self.clock.wall(),
        };
        Ok(self.ring().verifying.verify(token, &rules)?.claims)
    }

    /// The published JWK Set: every key that verifies now.
    #[must_use]
    pub fn jwks(&self) -> Value {
        let ring = self.ring();
        let keys: Vec<_> = ring
            .verifying
            .keys()
            .iter()
            .map(VerifyingKey::to_jwk)
            .collect();
        json!({ "keys": keys })
    }

    /// Makes a new key that signs from now on. The others verify until their overlap is over.
    ///
    /// # Errors
    ///
    /// When the key can't be written, or too many overlap; everything is then as before.
    pub fn rotate(&self) -> Result<Rotation, AuthorityError> {
        let _alone = self
            .replacing
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.wall().as_second();
        let current = self.ring.current();
        let (ring, rotation) = current.rotate(&self.directory, self.algorithm, now)?;
        self.ring.publish(Arc::new(ring));
        Ok(rotation)
    }

    /// When the key that signs was made, if it says so.
    #[must_use]
    pub fn signing_since(&self) -> Option<Timestamp> {
        let made_at = self.ring().signing.made_at()?;
        Timestamp::from_second(made_at).ok()
    }

    /// Changes whenever a key is removed, so that a cache of verified tokens can tell.
    #[must_use]
    pub fn key_version(&self) -> u64 {
        self.ring().version
    }

    /// The keys of this moment.
    fn ring(&self) -> Arc<KeyRing> {
        let ring = self.ring.current();
        let now = self.clock.wall().as_second();
        if !ring.is_outdated(now) {
            return ring;
        }
        let _alone = self
            .replacing
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let (ring, _) = self.ring.current().without_retired(&self.directory, now);
        let ring = Arc::new(ring);
        self.ring.publish(Arc::clone(&ring));
        ring
    }

    fn claims(&self, issue: &Issue, now: i64, exp: i64, jti: &str) -> Map<String, Value> {
        let mut claims = Map::new();
        let mut set = |name: &str, value: Value| claims.insert(name.to_owned(), value);
        set("iss", self.issuer.as_str().into());
        set("sub", issue.subject.as_str().into());
        match issue.audience.as_slice() {
            [one] => set("aud", one.as_str().into()),
            several => set("aud", several.into()),
        };
        set("exp", exp.into());
        set("nbf", now.into());
        set("iat", now.into());
        set("jti", jti.into());
        set("client_id", issue.client_id.as_str().into());
        if let Some(scope) = &issue.scope {
            set("scope", scope.as_str().into());
        }
        if let Some(task) = &issue.task {
            set("task", task.as_str().into());
        }
        if let Some(confirmation) = issue.confirmation {
            set("cnf", confirmation.to_json());
        }
        if let Some(details) = &issue.authorization_details {
            set("authorization_details", details.clone());
        }
        if !issue.methods.is_empty() {
            set("amr", issue.methods.as_slice().into());
        }
        if let Some(class) = &issue.class {
            set("acr", class.as_str().into());
        }
        claims
    }
}

/// What we issue we must be able to read: its parts came from outside.
fn check_readable(claims: &Map<String, Value>) -> Result<(), AuthorityError> {
    let text = Value::Object(claims.clone()).to_string();
    let parsed = parse_object(text.as_bytes()).map_err(|source| Invalid::Json {
        part: "claims",
        source,
    });
    match parsed.and_then(Claims::parse) {
        Ok(_) => Ok(()),
        Err(reason) => Err(AuthorityError::Unverifiable(reason)),
    }
}
