//! The keys of one trusted outside issuer, from a file or over HTTPS, kept fresh in the background: no
//! request waits for a key set.

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::Uri;
use tokio::sync::Notify;
use tracing::{info, warn};

use super::fetch::{FetchError, fetch, read};
use crate::base::{Clock, Digest, ErrorChain, Live};
use crate::tokens::KeySet;

/// How often a key set is read again.
const REFRESH_FILE: Duration = Duration::from_secs(5);
const REFRESH_URL: Duration = Duration::from_mins(5);

/// How long after one reading an unknown key may cause the next, whoever sends such keys.
const LEAST_PAUSE: Duration = Duration::from_secs(10);

/// An outside issuer that is believed, as configured.
#[derive(Clone, Debug)]
pub struct TrustedIssuer {
    /// Its name, exactly as in `iss`.
    pub issuer: String,
    /// Where its keys are.
    pub keys: KeySource,
    /// What its tokens must be for.
    pub audience: String,
    /// The claim that names the agent.
    pub agent_claim: String,
    /// The claim that names the task.
    pub task_claim: Option<String>,
    /// The values of `acr` that tell of several factors.
    pub mfa_acr: Arc<[String]>,
}

/// Where a key set is read from. No token can name one.
#[derive(Clone, Debug)]
pub enum KeySource {
    /// A file.
    File(PathBuf),
    /// A URL; `ca` replaces the system's authorities. Redirects are not followed.
    Url {
        /// Where, over HTTPS (plain HTTP to this machine only).
        url: Uri,
        /// The authorities whose certificates are believed.
        ca: Option<PathBuf>,
    },
}

impl KeySource {
    /// Whether there is a key set, where that can be said without asking anybody: in a file.
    ///
    /// # Errors
    ///
    /// When the file can't be read or holds no key set.
    pub fn check(&self) -> Result<(), FetchError> {
        match self {
            Self::File(path) => Ok(KeySet::from_jwks(&read(path)?).map(drop)?),
            Self::Url { .. } => Ok(()),
        }
    }
}

/// The keys of a trusted issuer, as read last.
#[derive(Debug)]
pub struct IssuerKeys {
    trusted: TrustedIssuer,
    keys: Live<KeySet>,
    epoch: AtomicU64,
    wanted: Notify,
}

impl IssuerKeys {
    /// No keys yet: every token of the issuer is refused until the first reading.
    #[must_use]
    pub fn new(trusted: TrustedIssuer) -> Self {
        Self {
            trusted,
            keys: Live::new(KeySet::default()),
            epoch: AtomicU64::new(0),
            wanted: Notify::new(),
        }
    }

    /// The issuer as configured.
    #[must_use]
    pub const fn trusted(&self) -> &TrustedIssuer {
        &self.trusted
    }

    /// Its name.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.trusted.issuer
    }

    /// The keys of this moment.
    #[must_use]
    pub fn keys(&self) -> Arc<KeySet> {
        self.keys.current()
    }

    /// Changes with every new key set.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::SeqCst)
    }

    /// Asks for another reading because a token names an unknown key.
    pub fn refresh_soon(&self) {
        self.wanted.notify_one();
    }

    /// Reads the key set again and again, for as long as it is polled. A reading that fails leaves the
    /// last good set in place.
    pub async fn keep_fresh(self: Arc<Self>, clock: Clock) {
        let mut last = Digest::ZERO;
        loop {
            match self.read_once(&mut last, &clock).await {
                Ok(()) => {}
                Err(error) => {
                    let issuer = self.issuer();
                    let error = ErrorChain(&error);
                    warn!(issuer, %error, "the issuer's key set can't be read; the last one stays");
                }
            }
            let now = clock.now();
            clock.sleep_until(now + LEAST_PAUSE.min(self.pause())).await;
            tokio::select! {
                () = clock.sleep_until(now + self.pause()) => {}
                () = self.wanted.notified() => {}
            }
        }
    }

    /// Reads the key set once; `last` is the digest of the one in place.
    ///
    /// # Errors
    ///
    /// When it can't be read or is no key set.
    pub(super) async fn read_once(
        &self,
        last: &mut Digest,
        clock: &Clock,
    ) -> Result<(), FetchError> {
        let bytes = match &self.trusted.keys {
            KeySource::File(path) => read(path)?,
            KeySource::Url { url, ca } => fetch(url, ca.clone(), clock.clone()).await?,
        };
        let digest = Digest::of(&bytes);
        if digest == *last {
            return Ok(());
        }
        let keys = KeySet::from_jwks(&bytes)?;
        let (usable, skipped) = (keys.keys().len(), keys.skipped());
        self.keys.publish(Arc::new(keys));
        self.epoch.fetch_add(1, Ordering::SeqCst);
        *last = digest;
        let issuer = self.issuer();
        info!(issuer, usable, skipped, "read the issuer's key set");
        Ok(())
    }

    const fn pause(&self) -> Duration {
        match self.trusted.keys {
            KeySource::File(_) => REFRESH_FILE,
            KeySource::Url { .. } => REFRESH_URL,
        }
    }
}
