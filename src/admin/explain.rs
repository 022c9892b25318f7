//! What would become of a call: for agents about themselves, for operators about any agent.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json as Answer};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::caller::{AgentCaller, Caller};
use super::error::ApiError;
use super::json::Json;
use super::recorded::Recorded;
use super::risk;
use super::state::Admin;
use crate::access::{Asker, Explanation, SupposedCall, Suspension, holder, risk_of};
use crate::audit::Record;
use crate::base::BootInstant;
use crate::config::{EnrolledAgent, Snapshot};
use crate::grants::LiveTask;
use crate::model::{Circumstances, DenyReason, TaskId};
use crate::pdp::Effect;
use crate::wire::Peer;

/// How an agent is supposed to have proved who it is, where nothing tells.
const ORDINARY_METHOD: &str = "private_key_jwt";

/// A call that is only supposed, or one that was made.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ExplainBody {
    /// The agent; the caller's own if absent, or the task's.
    agent: Option<String>,
    /// The task; the token's if absent.
    task: Option<String>,
    /// The id of a call that was made, as its refusal, its answer's headers and its record name it: what was
    /// decided then, and what would be now. Nothing else is given with it.
    request_id: Option<String>,
    /// The method of the call.
    method: Option<String>,
    /// Its URL, or its path on the gateway.
    url: Option<String>,
    /// Its headers: a text each, or a list of texts.
    #[schema(value_type = Object)]
    headers: Option<BTreeMap<String, Value>>,
    /// Its body: JSON, or a text that is sent as it is.
    #[schema(value_type = Value)]
    body: Option<Value>,
    /// The address that it comes from.
    source_ip: Option<String>,
    /// The moment that rules see; now if absent. Tasks and grants are those of now.
    at: Option<String>,
}

/// Tells what would become of a call. Nothing is spent, renewed, counted or recorded by it.
#[utoipa::path(post, path = "/v1/explain", operation_id = "explain_call", request_body = ExplainBody, responses(
    (status = 200, description = "The decision, the rules that make it and what they read")))]
pub(super) async fn explain(
    State(admin): State<Arc<Admin>>,
    caller: Caller,
    Extension(peer): Extension<Peer>,
    Json(body): Json<ExplainBody>,
) -> Result<Answer<Value>, ApiError> {
    let operator = match &caller {
        Caller::Agent(_) => false,
        Caller::Person(person) if person.is_operator() => true,
        Caller::Person(_) => {
            let detail = "operators explain calls of any agent, agents their own";
            return Err(ApiError::forbidden(detail));
        }
    };
    let recorded = match &body.request_id {
        None => None,
        Some(id) => Some(Recorded::find(&admin, &caller, id).await?),
    };
    let body = match &recorded {
        None => body,
        Some(recorded) => repeated(&body, &recorded.record)?,
    };
    let snapshot = admin.snapshot.current();
    let now = admin.clock.now();
    let standing = match &caller {
        Caller::Agent(agent) => of_agent(&admin, agent, &body, now).await?,
        Caller::Person(_) => of_any(&admin, &snapshot, &body, peer, now)?,
    };
    let mut call = call(&body, standing.disbelieved)?;
    if let Some(asked) = recorded.as_ref().and_then(|one| one.record.asked.as_ref()) {
        call.inputs = Some(asked.input.clone());
    }
    let methods: Vec<&str> = standing.asked.methods.iter().map(AsRef::as_ref).collect();
    let asker = Asker {
        snapshot: &snapshot,
        agent: &standing.agent,
        task: standing.task.as_ref(),
        methods: &methods,
        acr: &standing.acr,
        holder: standing.asked.holder,
        source: source(&body)?.unwrap_or(standing.asked.source),
        risk: risk_of(
            &snapshot,
            admin.grants.signals(),
            &standing.agent,
            standing.task.as_ref(),
        ),
        habits: Some(admin.grants.signals()),
        now,
        wall: moment(&body)?.unwrap_or_else(|| admin.clock.wall()),
        supposed: None,
    };
    let explanation = admin.explains.explain(&asker, call);
    let mut view = view(&snapshot, &explanation, operator);
    if let Some(recorded) = &recorded {
        let told = recorded.view((!operator).then_some(&explanation.signals));
        view.insert("recorded".to_owned(), told);
    }
    if operator {
        let task = asker.task.map(|task| &task.task().id);
        let risk = risk::view(admin.grants.signals(), &asker.agent.agent.id, task);
        view.insert("risk".to_owned(), json!(risk));
    }
    Ok(Answer(Value::Object(view)))
}

/// A call that was made, as one that would be made now.
fn repeated(body: &ExplainBody, record: &Record) -> Result<ExplainBody, ApiError> {
    let ExplainBody {
        agent,
        task,
        request_id: _,
        method,
        url,
        headers,
        body,
        source_ip,
        at,
    } = body;
    let texts = [agent, task, method, url, source_ip, at];
    let headers = headers.as_ref().filter(|headers| !headers.is_empty());
    if texts.iter().any(|one| one.is_some()) || headers.is_some() || body.is_some() {
        let detail = "a `request_id` says which call: name nothing else of it";
        return Err(ApiError::malformed(detail));
    }
    let (Some(method), Some(path)) = (&record.method, &record.path) else {
        let detail = "this call could not be read as one that may be asked about";
        return Err(ApiError::malformed(detail));
    };
    let host = record.host.as_ref();
    Ok(ExplainBody {
        agent: record.agent.as_ref().map(ToString::to_string),
        task: record.task.as_ref().map(ToString::to_string),
        method: Some(method.clone()),
        url: Some(path.clone()),
        headers: host.map(|host| [("host".to_owned(), Value::from(host.as_str()))].into()),
        source_ip: record.source.map(|source| source.to_string()),
        ..ExplainBody::default()
    })
}

/// Who is supposed to call.
struct Standing {
    agent: Arc<EnrolledAgent>,
    task: Option<Arc<LiveTask>>,
    asked: Circumstances,
    /// See [`Asker::acr`].
    acr: Vec<String>,
    disbelieved: Option<(DenyReason, &'static str)>,
}

/// There is no such open task of the agent: whether it ended, never was or is another's looks alike.
const NO_TASK: (DenyReason, &str) = (
    DenyReason::TaskEnded,
    "there is no such open task of this agent",
);

async fn of_agent(
    admin: &Admin,
    caller: &AgentCaller,
    body: &ExplainBody,
    now: BootInstant,
) -> Result<Standing, ApiError> {
    if body
        .agent
        .as_ref()
        .is_some_and(|name| name != caller.id().as_str())
    {
        return Err(ApiError::forbidden("an agent explains its own calls only"));
    }
    let (task, disbelieved) = match &body.task {
        Some(name) => match open_task(admin, name, now) {
            Some(task)
                if task.task().agent == *caller.id()
                    && caller.is_within(admin, &task.task().id).await? =>
            {
                (Some(task), None)
            }
            _ => (None, Some(NO_TASK)),
        },
        None if caller.names_task() => match caller.identity(admin, now) {
            Ok(identity) => (identity.task, None),
            Err(_) => (None, Some(NO_TASK)),
        },
        None => (None, None),
    };
    let authenticated = caller.authenticated();
    let methods = authenticated.methods().iter().map(|one| Arc::from(*one));
    Ok(Standing {
        agent: Arc::clone(&caller.agent),
        task,
        asked: Circumstances {
            source: caller.source,
            methods: methods.collect(),
            holder: authenticated.confirmation().map(holder),
        },
        acr: authenticated.acr().to_vec(),
        disbelieved,
    })
}

fn of_any(
    admin: &Admin,
    snapshot: &Snapshot,
    body: &ExplainBody,
    peer: Peer,
    now: BootInstant,
) -> Result<Standing, ApiError> {
    let task = body.task.as_ref().map(|name| open_task(admin, name, now));
    let named = body.agent.as_deref();
    let owner = task.as_ref().and_then(Option::as_ref);
    let owner = owner.map(|task| task.task().agent.as_str().to_owned());
    let Some(name) = named.or(owner.as_deref()) else {
        let detail = "say who calls: name an `agent`, or a `task` that is open";
        return Err(ApiError::malformed(detail));
    };
    let agent = snapshot.agent(name);
    let agent = agent.ok_or_else(|| ApiError::not_found(format!("no agent `{name}`")))?;
    let foreign = |task: &Arc<LiveTask>| task.task().agent != agent.agent.id;
    let (task, disbelieved) = match task {
        None => (None, None),
        Some(Some(task)) if !foreign(&task) => (Some(task), None),
        Some(_) => (None, Some(NO_TASK)),
    };
    let revoked = admin.grants.is_revoked(&agent.agent.id);
    let revoked = revoked.then_some((DenyReason::TokenInvalid, "the agent is revoked"));
    // As it stood when it last asked for something, which is how it will call.
    let grants = task.as_ref().map(|task| task.grants());
    let asked = grants.and_then(|grants| Some(grants.first()?.request().asked.clone()));
    Ok(Standing {
        agent: Arc::clone(agent),
        task,
        asked: asked
            .map(|asked| (*asked).clone())
            .unwrap_or_else(|| Circumstances {
                source: peer.address.ip().to_canonical(),
                methods: vec![ORDINARY_METHOD.into()],
                holder: None,
            }),
        acr: Vec::new(),
        disbelieved: revoked.or(disbelieved),
    })
}

fn open_task(admin: &Admin, name: &str, now: BootInstant) -> Option<Arc<LiveTask>> {
    let id: TaskId = name.parse().ok()?;
    let task = admin.grants.task(&id)?;
    task.ended(now).is_none().then_some(task)
}

fn source(body: &ExplainBody) -> Result<Option<IpAddr>, ApiError> {
    let parse = |text: &String| {
        let address: IpAddr = text
            .parse()
            .map_err(|_| ApiError::malformed("`source_ip` is not an address"))?;
        Ok(address.to_canonical())
    };
    body.source_ip.as_ref().map(parse).transpose()
}

fn moment(body: &ExplainBody) -> Result<Option<Timestamp>, ApiError> {
    let parse = |text: &String| {
        let detail = "`at` is a moment like 2026-11-27T22:30:00Z";
        text.parse().map_err(|_| ApiError::malformed(detail))
    };
    body.at.as_ref().map(parse).transpose()
}

fn call(
    body: &ExplainBody,
    disbelieved: Option<(DenyReason, &'static str)>,
) -> Result<SupposedCall, ApiError> {
    let missing = || ApiError::malformed("say which call: `method` and `url`, or a `request_id`");
    let (method, url) = (body.method.as_ref(), body.url.as_ref());
    let (method, url) = method.zip(url).ok_or_else(missing)?;
    let method = Method::from_bytes(method.as_bytes());
    let method = method.map_err(|_| ApiError::malformed("`method` is not a method"))?;
    let mut headers = headers(body.headers.as_ref())?;
    let bytes = body.body.as_ref().map(|value| match value {
        Value::String(text) => Bytes::from(text.clone()),
        other => {
            let json = HeaderValue::from_static("application/json");
            headers.entry(header::CONTENT_TYPE).or_insert(json);
            Bytes::from(other.to_string())
        }
    });
    Ok(SupposedCall {
        method,
        url: url.clone(),
        headers,
        body: bytes,
        inputs: None,
        disbelieved,
    })
}

fn headers(given: Option<&BTreeMap<String, Value>>) -> Result<HeaderMap, ApiError> {
    let malformed = |name: &str| ApiError::malformed(format!("the header `{name}` can't be sent"));
    let mut headers = HeaderMap::new();
    for (name, value) in given.into_iter().flatten() {
        let values = match value {
            Value::Array(values) => values.as_slice(),
            one => std::slice::from_ref(one),
        };
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| malformed(name))?;
        // The caller's own token says who calls.
        if key == header::AUTHORIZATION {
            continue;
        }
        for value in values {
            let text = value.as_str().ok_or_else(|| malformed(name))?;
            let value = HeaderValue::from_str(text).map_err(|_| malformed(name))?;
            headers.append(key.clone(), value);
        }
    }
    Ok(headers)
}

/// What is told: to agents the rules' ids and messages, to operators also where they stand.
fn view(snapshot: &Snapshot, explanation: &Explanation, operator: bool) -> Map<String, Value> {
    let mut view = Map::new();
    let decision = match explanation.code {
        None => "allow",
        Some(_) => "deny",
    };
    view.insert("decision".to_owned(), decision.into());
    if let Some(code) = explanation.code {
        view.insert("code".to_owned(), code.as_str().into());
    }
    if let Some(detail) = &explanation.detail {
        view.insert("detail".to_owned(), detail.as_str().into());
    }
    let rules: Vec<&str> = explanation.rules.iter().map(AsRef::as_ref).collect();
    view.insert("rules".to_owned(), json!(rules));
    let signals = Value::Object(explanation.signals.clone());
    view.insert("signals".to_owned(), signals);
    let texts = [
        (
            "operation",
            explanation.operation.as_ref().map(|id| id.as_str()),
        ),
        ("grant", explanation.grant.as_ref().map(|id| id.as_str())),
        (
            "entitlement",
            explanation.entitlement.as_ref().map(|id| id.as_str()),
        ),
    ];
    for (name, text) in texts {
        if let Some(text) = text {
            view.insert(name.to_owned(), text.into());
        }
    }
    if let Some(suspension) = &explanation.suspended {
        view.insert("suspended".to_owned(), suspended(suspension, operator));
    }
    if let Some(next) = &explanation.next {
        view.insert("next".to_owned(), next.clone());
    }
    if operator {
        let generation = snapshot.generation().as_str();
        view.insert("generation".to_owned(), generation.into());
        view.insert("sources".to_owned(), sources(snapshot, explanation));
        if !explanation.needs.is_empty() {
            view.insert("needs".to_owned(), json!(explanation.needs));
        }
        if let Some(internal) = &explanation.internal {
            view.insert("internal".to_owned(), internal.as_str().into());
        }
    }
    view
}

fn suspended(suspension: &Suspension, operator: bool) -> Value {
    let mut told = Map::new();
    let texts = [("rule", &suspension.rule), ("message", &suspension.message)];
    for (name, text) in texts {
        if let Some(text) = text {
            told.insert(name.to_owned(), Value::from(&**text));
        }
    }
    if operator && !suspension.needs.is_empty() {
        told.insert("needs".to_owned(), json!(suspension.needs));
    }
    told.into()
}

fn sources(snapshot: &Snapshot, explanation: &Explanation) -> Value {
    let rules = snapshot.policies().rules().iter();
    let deciding = rules.filter(|rule| explanation.rules.contains(&rule.id));
    let sources = deciding.map(|rule| {
        let effect = match rule.effect {
            Effect::Forbid => "forbid",
            Effect::Permit => "permit",
        };
        json!({
            "rule": *rule.id,
            "effect": effect,
            "file": *rule.file,
            "line": rule.line,
            "message": rule.message.as_deref(),
        })
    });
    sources.collect()
}
