//! An agent as its own machine knows it: a name and a private key, good for tokens.
//!
//! Discovery by RFC 8414, client authentication by `private_key_jwt` (RFC 7523).

#[cfg(test)]
mod tests;

use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::Value;
use tokio::sync::OnceCell;

use super::client::{Call, Client};
use super::holder::Holder;
use crate::base::{Clock, Secret};
use crate::model::{AgentId, EntitlementId, TaskId};
use crate::tokens::{SigningKey, sign_assertion};

const METADATA: &str = "/.well-known/oauth-authorization-server";
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// An assertion is used at once.
const ASSERTION_LIFE: Duration = Duration::from_secs(60);

/// An agent with its key.
#[derive(Debug)]
pub(super) struct Identity {
    client: Client,
    agent: AgentId,
    key: SigningKey,
    /// Where its tokens are bound to a key.
    holder: Option<Holder>,
    /// The token endpoint's path, once it has been discovered.
    token_path: OnceCell<String>,
}

/// A token response (RFC 6749 §5.1).
#[derive(Debug)]
pub(super) struct TokenAnswer {
    pub(super) token: Secret<String>,
    pub(super) document: Value,
}

impl Identity {
    /// The agent `agent`, known to the control side by `key`.
    pub(super) const fn new(client: Client, agent: AgentId, key: SigningKey) -> Self {
        Self {
            client,
            agent,
            key,
            holder: None,
            token_path: OnceCell::const_new(),
        }
    }

    /// The same, with tokens that are bound to the holder's key.
    pub(super) fn bound_to(mut self, holder: Option<Holder>) -> Self {
        self.holder = holder;
        self
    }

    /// Whom its tokens are bound to.
    pub(super) const fn holder(&self) -> Option<&Holder> {
        self.holder.as_ref()
    }

    /// Makes a call that shows `token`.
    pub(super) async fn call(
        &self,
        call: Call<'_>,
        token: &Secret<String>,
    ) -> anyhow::Result<Value> {
        match &self.holder {
            Some(holder) => {
                holder
                    .send(&self.client, call.bearer(token), Some(token))
                    .await
            }
            None => Ok(self.client.send(call.bearer(token)).await?),
        }
    }

    /// Fetches a token, bound to `task` where there is one, and asks for the entitlements `scope`.
    pub(super) async fn token(
        &self,
        task: Option<&TaskId>,
        scope: &[EntitlementId],
    ) -> anyhow::Result<TokenAnswer> {
        let path = self.token_path.get_or_try_init(|| self.discover()).await?;
        let issuer = self.client.address().as_str();
        let now = Clock::system().wall();
        let agent = self.agent.as_str();
        let assertion = sign_assertion(&self.key, agent, issuer, now, ASSERTION_LIFE)
            .context("the agent's key can't sign")?;
        let scope = scope.iter().map(EntitlementId::as_str);
        let scope = scope.collect::<Vec<_>>().join(" ");
        let mut form = vec![
            ("grant_type", "client_credentials"),
            ("client_assertion_type", JWT_BEARER),
            ("client_assertion", assertion.expose().as_str()),
        ];
        form.extend(task.map(|task| ("task", task.as_str())));
        if !scope.is_empty() {
            form.push(("scope", &scope));
        }
        let call = Call::post(path).form(&form);
        read_token(match &self.holder {
            Some(holder) => holder.send(&self.client, call, None).await?,
            None => self.client.send(call).await?,
        })
    }

    /// Where tokens are issued. The metadata has to be the asked issuer's own (RFC 8414 §3.3), or
    /// an assertion made for one gateway could be shown to another.
    async fn discover(&self) -> anyhow::Result<String> {
        let address = self.client.address();
        let metadata = self.client.send(Call::get(METADATA)).await?;
        let text = |name: &str| metadata.get(name).and_then(Value::as_str);
        match text("issuer") {
            Some(issuer) if issuer == address.as_str() => {}
            Some(issuer) => bail!(
                "the control side at `{address}` calls itself `{}`: use that name with --control",
                super::output::clean(issuer)
            ),
            None => bail!("`{address}{METADATA}` names no issuer: is this the control side?"),
        }
        let endpoint = text("token_endpoint")
            .with_context(|| format!("`{address}{METADATA}` names no token endpoint"))?;
        address.path_of(endpoint).with_context(|| {
            format!(
                "the token endpoint `{}` is not at `{address}`: a key is not shown elsewhere",
                super::output::clean(endpoint)
            )
        })
    }
}

fn read_token(document: Value) -> anyhow::Result<TokenAnswer> {
    let token = document.get("access_token").and_then(Value::as_str);
    // It goes to terminals and into shell variables: one word, nothing else.
    let token = token.filter(|t| !t.is_empty() && t.bytes().all(|b| b.is_ascii_graphic()));
    let token = token.context("the token response holds no token")?;
    Ok(TokenAnswer {
        token: Secret::new(token.to_owned()),
        document,
    })
}
