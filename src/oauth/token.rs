//! The token endpoint: client credentials (RFC 6749 §4.4), optionally for a task, optionally asking for
//! entitlements by scope or by `authorization_details` (RFC 9396).

#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tracing::error;

use super::error::OAuthError;
use super::form::Form;
use super::state::OAuth;
use crate::access::{Ask, Asker, Granted, Outcome, Refused};
use crate::audit::{Record, RecordKind, Verdict};
use crate::base::ErrorChain;
use crate::config::{EnrolledAgent, Snapshot};
use crate::grants::LiveTask;
use crate::model::{Proof, TaskId};
use crate::tokens::{Issue, Issued};
use crate::wire::{Peer, parse_json};

/// The one type of authorization details.
const DETAILS_TYPE: &str = "portcullis_grant";

/// Entitlements in one request.
const MOST_ASKS: usize = 16;

/// One entry of `authorization_details`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Details {
    r#type: String,
    task: Option<String>,
    entitlement: String,
    reason: Option<String>,
    duration_seconds: Option<i64>,
    input: Option<Map<String, Value>>,
}

/// What a request asks for: entitlements, and the task that they name.
#[derive(Debug, Default)]
struct Wanted {
    asks: Vec<Ask>,
    task: Option<String>,
    /// The scope as it was sent.
    scope: Option<String>,
    /// Whether it came as authorization details, which are echoed.
    detailed: bool,
}

pub(super) async fn endpoint(
    State(oauth): State<Arc<OAuth>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    match oauth.grant(peer.address.ip(), &headers, &body).await {
        Ok(response) => response,
        Err(error) => error.into_response(),
    }
}

impl OAuth {
    async fn grant(
        &self,
        source: IpAddr,
        headers: &HeaderMap,
        body: &Bytes,
    ) -> Result<Response, OAuthError> {
        let form = Form::read(headers, body)?;
        let snapshot = self.snapshot.current();
        let agent = self.authenticate(&snapshot, &form)?;
        match form.required("grant_type")? {
            "client_credentials" => {}
            other => {
                let description = format!("the grant type `{other}` is not offered here");
                return Err(OAuthError::new("unsupported_grant_type", description));
            }
        }
        let wanted = wanted(&form)?;
        let task = self.task(agent, wanted.task.as_deref())?;
        if let Some(resource) = form.get("resource")
            && resource.trim_end_matches('/') != self.facts.public_url
        {
            let description = "`resource` is not one that this server issues tokens for";
            return Err(OAuthError::new("invalid_target", description));
        }
        let granted = self
            .ask(&snapshot, agent, task.as_ref(), source, wanted.asks.clone())
            .await?;
        self.answer(agent, task.as_deref(), source, &wanted, &granted)
    }

    /// The open task that was named, if it is the agent's own. Unknown, foreign and ended tasks answer
    /// alike.
    fn task(
        &self,
        agent: &EnrolledAgent,
        named: Option<&str>,
    ) -> Result<Option<Arc<LiveTask>>, OAuthError> {
        let Some(named) = named else {
            return Ok(None);
        };
        let now = self.clock.now();
        let task = named.parse::<TaskId>().ok();
        let task = task.and_then(|id| self.grants.task(&id));
        let task = task.filter(|task| task.task().agent == agent.agent.id);
        let task = task.filter(|task| task.ended(now).is_none());
        task.map(Some).ok_or_else(|| {
            OAuthError::invalid_request("`task` is not an open task of this agent: open one")
        })
    }

    async fn ask(
        &self,
        snapshot: &Snapshot,
        agent: &EnrolledAgent,
        task: Option<&Arc<LiveTask>>,
        source: IpAddr,
        asks: Vec<Ask>,
    ) -> Result<Vec<Granted>, OAuthError> {
        if asks.is_empty() {
            return Ok(Vec::new());
        }
        if task.is_none() {
            let description = "a scope is granted for a task: send `task` too";
            return Err(OAuthError::invalid_request(description));
        }
        let asker = Asker {
            snapshot,
            agent,
            task,
            methods: &["private_key_jwt"],
            proof: Proof::Bearer,
            source,
            now: self.clock.now(),
            wall: self.clock.wall(),
        };
        let outcomes = self.requests.submit_all(&asker, asks).await;
        let outcomes = outcomes.map_err(refuse)?;
        outcomes.into_iter().map(granted).collect()
    }

    fn answer(
        &self,
        agent: &EnrolledAgent,
        task: Option<&LiveTask>,
        source: IpAddr,
        wanted: &Wanted,
        granted: &[Granted],
    ) -> Result<Response, OAuthError> {
        let place = self.audit.reserve();
        let place = place.map_err(|why| OAuthError::unavailable(why.to_string()))?;
        let details = wanted.detailed.then(|| echo(granted));
        let task_id = task.map(|task| task.task().id.clone());
        let issued = self.issue(agent, task, wanted, details.clone())?;
        let mut record = Record::new(RecordKind::Token, self.clock.wall());
        record.agent = Some(agent.agent.id.clone());
        record.task.clone_from(&task_id);
        record.verdict = Verdict::Allow;
        record.source = Some(source);
        record.detail = Some(format!("token {}", issued.jti));
        place.write(record);
        self.metrics.tokens_issued.inc();

        let left = issued.expires_at.as_second() - self.clock.wall().as_second();
        let mut answer = json!({
            "access_token": issued.token.expose(),
            "token_type": "Bearer",
            "expires_in": left,
        });
        let mut add = |name: &str, value: Option<Value>| {
            if let (Some(members), Some(value)) = (answer.as_object_mut(), value) {
                members.insert(name.to_owned(), value);
            }
        };
        add("scope", wanted.scope.as_deref().map(Value::from));
        add("authorization_details", details);
        add("task", task_id.map(|id| Value::from(id.as_str())));
        let mut response = Json(answer).into_response();
        let no_store = HeaderValue::from_static("no-store");
        response
            .headers_mut()
            .insert(header::CACHE_CONTROL, no_store);
        Ok(response)
    }

    fn issue(
        &self,
        agent: &EnrolledAgent,
        task: Option<&LiveTask>,
        wanted: &Wanted,
        details: Option<Value>,
    ) -> Result<Issued, OAuthError> {
        let left = task.map(|task| task.oldest() - self.clock.now());
        let ttl = left.map_or(self.facts.ttl, |left| left.min(self.facts.ttl));
        let issued = self.authority.issue(&Issue {
            subject: agent.agent.id.to_string(),
            audience: vec![self.facts.public_url.clone()],
            client_id: agent.agent.id.to_string(),
            ttl,
            scope: wanted.scope.clone(),
            task: task.map(|task| task.task().id.to_string()),
            confirmation: None,
            authorization_details: details,
        });
        issued.map_err(|failure| {
            error!(error = %ErrorChain(&failure), "a token can't be issued");
            OAuthError::new("server_error", "the token can't be signed at this moment")
        })
    }
}

/// The grant, where people need not be asked first.
fn granted(outcome: Outcome) -> Result<Granted, OAuthError> {
    match outcome {
        Outcome::Granted(granted) => Ok(granted),
        Outcome::Pending { request, .. } => {
            let id = &request.request().id;
            let description = format!("the request {id} waits for a person's approval");
            Err(OAuthError::new("authorization_pending", description))
        }
    }
}

fn wanted(form: &Form) -> Result<Wanted, OAuthError> {
    let mut wanted = Wanted {
        task: form.get("task").map(str::to_owned),
        scope: form.get("scope").map(str::to_owned),
        ..Wanted::default()
    };
    let scope = form.get("scope").unwrap_or_default();
    wanted.asks = scope
        .split(' ')
        .filter(|name| !name.is_empty())
        .map(|name| Ask {
            entitlement: name.to_owned(),
            ..Ask::default()
        })
        .collect();
    if let Some(text) = form.get("authorization_details") {
        wanted.detailed = true;
        for details in details(text)? {
            let named = details.task.as_deref();
            if let (Some(named), Some(task)) = (named, wanted.task.as_deref())
                && named != task
            {
                let description = "`task` and `authorization_details` name two tasks";
                return Err(OAuthError::invalid_request(description));
            }
            wanted.task = wanted.task.or(details.task);
            wanted.asks.push(Ask {
                entitlement: details.entitlement,
                reason: details.reason,
                duration_seconds: details.duration_seconds,
                input: details.input,
            });
        }
    }
    if wanted.asks.len() > MOST_ASKS {
        let description = format!("at most {MOST_ASKS} entitlements can be asked for at once");
        return Err(OAuthError::invalid_request(description));
    }
    Ok(wanted)
}

fn details(text: &str) -> Result<Vec<Details>, OAuthError> {
    let invalid = |why: String| OAuthError::new("invalid_authorization_details", why);
    let value = parse_json(text.as_bytes(), 8);
    let value = value.map_err(|fault| invalid(format!("it is {fault}")))?;
    let details: Vec<Details> =
        serde_json::from_value(value).map_err(|error| invalid(error.to_string()))?;
    match details.iter().find(|one| one.r#type != DETAILS_TYPE) {
        None => Ok(details),
        Some(other) => Err(invalid(format!(
            "the type `{}` is not known here, only `{DETAILS_TYPE}`",
            other.r#type
        ))),
    }
}

/// The granted details, as RFC 9396 §7 wants them echoed.
fn echo(granted: &[Granted]) -> Value {
    let details = granted.iter().map(|one| {
        let request = one.grant.request();
        json!({
            "type": DETAILS_TYPE,
            "task": request.task.as_str(),
            "entitlement": request.entitlement.as_str(),
            "grant": request.grant.as_str(),
            "reason": request.reason,
            "duration_seconds": request.duration.as_secs(),
        })
    });
    details.collect()
}

fn refuse(refused: Refused) -> OAuthError {
    match refused {
        Refused::Malformed(why) => OAuthError::invalid_request(why),
        Refused::No { detail, rules, .. } => {
            let rule = rules.first();
            let rule = rule
                .map(|rule| format!(" (rule {rule})"))
                .unwrap_or_default();
            OAuthError::new("access_denied", format!("{detail}{rule}"))
        }
        Refused::NotKept(error) => OAuthError::invalid_request(ErrorChain(&error).to_string()),
        Refused::Unrecorded(why) => OAuthError::unavailable(why),
    }
}
