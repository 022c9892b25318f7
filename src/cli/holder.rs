//! The key that an agent's tokens are bound to (DPoP, RFC 9449), and proofs that it holds it.

#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use http::Method;

use super::client::{Call, Client, ClientError};
use crate::base::{Clock, Secret};
use crate::tokens::{Algorithm, KeyError, SigningKey, sign_proof};
use crate::wire::normal_url;
use serde_json::Value;

/// A key, and the nonce that the gateway gave last.
#[derive(Debug)]
pub(super) struct Holder {
    key: SigningKey,
    nonce: Mutex<Option<String>>,
}

/// A request that a proof is wanted for: `GET https://gate.example/orders`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ProofFor {
    method: Method,
    url: String,
}

impl FromStr for ProofFor {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wanted = "write it as `METHOD URL`, such as `GET https://gate.example:8443/orders`";
        let (method, url) = text.split_once(' ').ok_or(wanted)?;
        let method = Method::from_bytes(method.as_bytes()).map_err(|_| wanted)?;
        let url = normal_url(url.trim()).ok_or(wanted)?;
        Ok(Self { method, url })
    }
}

/// Where the key lies that goes with an agent's key.
pub(super) fn key_beside(agent_key: &Path) -> PathBuf {
    agent_key.with_extension("dpop.jwk")
}

impl Holder {
    /// Reads the key in `file`; makes it, for its owner alone to read, where there is none.
    pub(super) fn open(file: &Path) -> anyhow::Result<Self> {
        let key = match SigningKey::read(file) {
            Err(KeyError::File(error)) if error.kind() == io::ErrorKind::NotFound => {
                let made = SigningKey::generate(Algorithm::Es256);
                made.and_then(|key| key.write(file).map(|()| key))
            }
            read => read,
        };
        let key =
            key.with_context(|| format!("the key for proofs `{}` can't be used", file.display()))?;
        let nonce = Mutex::default();
        Ok(Self { key, nonce })
    }

    /// Makes a call that shows `token`, or asks for one, with a proof; once more where another nonce is
    /// wanted: what was refused for its nonce has done nothing.
    pub(super) async fn send(
        &self,
        client: &Client,
        call: Call<'_>,
        token: Option<&Secret<String>>,
    ) -> anyhow::Result<Value> {
        let known = self.nonce().clone();
        let answered = self.try_send(client, call.clone(), token).await?;
        let fresh = *self.nonce() != known;
        match answered {
            Err(error) if fresh && wants_nonce(&error) => {
                Ok(self.try_send(client, call, token).await??)
            }
            answered => Ok(answered?),
        }
    }

    /// A proof for one request with `token`. It is good for a minute at most.
    pub(super) fn proof(
        &self,
        ProofFor { method, url }: &ProofFor,
        token: &Secret<String>,
    ) -> anyhow::Result<Secret<String>> {
        self.sign((method.as_str(), url), Some(token))
    }

    async fn try_send(
        &self,
        client: &Client,
        call: Call<'_>,
        token: Option<&Secret<String>>,
    ) -> anyhow::Result<Result<Value, ClientError>> {
        let (method, path) = call.target();
        let url = format!("{}{path}", client.address());
        let proof = self.sign((method, &url), token)?;
        let answered = client.send_for_nonce(call.proof(proof)).await?;
        if answered.nonce.is_some() {
            *self.nonce() = answered.nonce;
        }
        Ok(answered.document)
    }

    fn sign(
        &self,
        target: (&str, &str),
        token: Option<&Secret<String>>,
    ) -> anyhow::Result<Secret<String>> {
        let token = token.map(|token| token.expose().as_str());
        let nonce = self.nonce().clone();
        let now = Clock::system().wall();
        let proof = sign_proof(&self.key, target, token, nonce.as_deref(), now);
        proof.context("the key for proofs can't sign")
    }

    fn nonce(&self) -> MutexGuard<'_, Option<String>> {
        // It is replaced whole.
        self.nonce.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the proof was in order but for its nonce: as the token endpoint says it, and as the API does.
fn wants_nonce(error: &ClientError) -> bool {
    let refusal = error.refusal();
    refusal
        .is_some_and(|refusal| matches!(refusal.code.as_str(), "use_dpop_nonce" | "proof_required"))
}
