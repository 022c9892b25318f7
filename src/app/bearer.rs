//! The bearer tokens of those who send security events: read at the start, and again and again, so that one can
//! be replaced while the gateway runs.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::task::spawn_blocking;
use tracing::{error, info, warn};

use crate::base::{Clock, Digest, ErrorChain, Live};
use crate::config::SsfTransmitter;
use crate::model::CredentialSource;
use crate::upstream::{Credential, UpstreamError};

/// How often they are read again.
const READ_AGAIN: Duration = Duration::from_secs(2);

/// The bearer token of one of them. A clone is another handle to the same.
#[derive(Clone, Debug)]
pub(super) struct Bearer {
    issuer: Arc<str>,
    source: CredentialSource,
    digest: Arc<Live<Digest>>,
    /// Whether what is there now can be used: it is told once that it can't.
    good: bool,
}

impl Bearer {
    /// The one that a transmitter is configured with, if it is with any.
    pub(super) fn of(configured: &SsfTransmitter) -> anyhow::Result<Option<Self>> {
        let Some(source) = &configured.bearer else {
            return Ok(None);
        };
        let issuer = &configured.issuer;
        let digest = read(source);
        let digest =
            digest.with_context(|| format!("the bearer token of `{issuer}` can't be read"))?;
        Ok(Some(Self {
            issuer: issuer.as_str().into(),
            source: source.clone(),
            digest: Arc::new(Live::new(digest)),
            good: true,
        }))
    }

    /// The digest of the token of each moment.
    pub(super) fn digest(&self) -> Arc<Live<Digest>> {
        Arc::clone(&self.digest)
    }

    /// Reads it once. One that can't be used leaves the last good one in place.
    fn look(&mut self) {
        let issuer = &self.issuer;
        match read(&self.source) {
            Ok(digest) if digest != **self.digest.peek() => {
                self.digest.publish(Arc::new(digest));
                self.good = true;
                info!(%issuer, "a transmitter's new bearer token is live");
            }
            Ok(_) => self.good = true,
            Err(error) if self.good => {
                self.good = false;
                let error = ErrorChain(&error);
                warn!(%issuer, %error, "a transmitter's bearer token can't be used; the last good one stays");
            }
            Err(_) => {}
        }
    }
}

/// Reads bearer tokens again and again.
pub(super) async fn reload(mut bearers: Vec<Bearer>, clock: Clock) {
    loop {
        clock.sleep_until(clock.now() + READ_AGAIN).await;
        // A disk may make us wait.
        let looked = spawn_blocking(move || {
            bearers.iter_mut().for_each(Bearer::look);
            bearers
        });
        bearers = match looked.await {
            Ok(bearers) => bearers,
            Err(_) => return error!("the look at the bearer tokens of transmitters has panicked"),
        };
    }
}

fn read(source: &CredentialSource) -> Result<Digest, UpstreamError> {
    Credential::read(source).map(|token| Digest::of(token.expose().as_bytes()))
}
