//! The control side as one caller sees it: every call carries the caller's own credential.

#[cfg(test)]
mod tests;

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use super::client::{Call, Client, ClientError, ORDINARY};
use super::identity::Identity;
use crate::base::Secret;
use crate::model::TaskId;

/// How many items of a list are fetched at most.
const LONGEST_LIST: usize = 10_000;

/// Who calls.
#[derive(Debug)]
pub(super) enum Caller {
    /// An agent; it fetches a token for each call.
    Agent(Box<Identity>),
    /// A person with a personal key.
    Person { client: Client, key: Secret<String> },
}

/// The control side, as one caller sees it.
#[derive(Debug)]
pub(super) struct Control {
    caller: Caller,
}

/// For which task an agent's token is bound.
#[derive(Clone, Copy, Debug)]
pub(super) enum Binding<'a> {
    /// None: identity alone.
    None,
    /// This task, which has to be open.
    Task(&'a TaskId),
    /// This task, or none where it is over: what has ended can still be looked at.
    TaskIfOpen(&'a TaskId),
}

impl Control {
    pub(super) const fn new(caller: Caller) -> Self {
        Self { caller }
    }

    /// Reads a resource.
    pub(super) async fn get(&self, binding: Binding<'_>, path: &str) -> anyhow::Result<Value> {
        self.get_within(binding, path, ORDINARY).await
    }

    /// Reads a resource that may take up to `within` to answer.
    pub(super) async fn get_within(
        &self,
        binding: Binding<'_>,
        path: &str,
        within: Duration,
    ) -> anyhow::Result<Value> {
        self.call(binding, Method::GET, path, None, within).await
    }

    /// Does something.
    pub(super) async fn post(
        &self,
        binding: Binding<'_>,
        path: &str,
        document: Option<&Value>,
    ) -> anyhow::Result<Value> {
        self.call(binding, Method::POST, path, document, ORDINARY)
            .await
    }

    /// Removes something.
    pub(super) async fn delete(&self, path: &str) -> anyhow::Result<Value> {
        self.call(Binding::None, Method::DELETE, path, None, ORDINARY)
            .await
    }

    /// Reads a whole list, page after page, as `{items, next}`; `next` is null unless the list is
    /// longer than [`LONGEST_LIST`].
    pub(super) async fn list(&self, binding: Binding<'_>, path: &str) -> anyhow::Result<Value> {
        let mut items = Vec::new();
        let mut next = Value::Null;
        loop {
            let page = match next.as_str() {
                None => path.to_owned(),
                Some(cursor) => format!("{path}?cursor={}", super::client::form_encode(cursor)),
            };
            let mut document = self.get(binding, &page).await?;
            let Some(Value::Array(more)) = document.get_mut("items").map(Value::take) else {
                anyhow::bail!("`{path}` did not answer with a list: is this the control side?");
            };
            let last = more.is_empty();
            items.extend(more);
            next = document.get("next").cloned().unwrap_or_default();
            if last || !next.is_string() || items.len() >= LONGEST_LIST {
                return Ok(json!({ "items": items, "next": next }));
            }
        }
    }

    async fn call(
        &self,
        binding: Binding<'_>,
        method: Method,
        path: &str,
        document: Option<&Value>,
        within: Duration,
    ) -> anyhow::Result<Value> {
        let mut call = Call::of(method, path).within(within);
        if let Some(document) = document {
            call = call.json(document);
        }
        match &self.caller {
            Caller::Agent(identity) => {
                let token = token(identity, binding).await?;
                identity.call(call, &token).await
            }
            Caller::Person { client, key } => Ok(client.send(call.bearer(key)).await?),
        }
    }
}

async fn token(identity: &Identity, binding: Binding<'_>) -> anyhow::Result<Secret<String>> {
    let (task, or_none) = match binding {
        Binding::None => (None, false),
        Binding::Task(task) => (Some(task), false),
        Binding::TaskIfOpen(task) => (Some(task), true),
    };
    let answer = match identity.token(task, &[]).await {
        Err(error) if or_none && refused_for_its_task(&error) => identity.token(None, &[]).await?,
        other => other?,
    };
    Ok(answer.token)
}

/// Whether the token was refused for a reason that can lie in the task. A wrong key is another.
fn refused_for_its_task(error: &anyhow::Error) -> bool {
    let refusal = error.downcast_ref().and_then(ClientError::refusal);
    refusal.is_some_and(|refusal| {
        refusal.status.is_client_error() && !matches!(refusal.code.as_str(), "invalid_client" | "")
    })
}
