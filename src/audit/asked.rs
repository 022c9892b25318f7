//! What the rules were asked: enough of a question to put it again, to these rules or to others.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Deserialize;

use super::line::{self, RecordError, odd};
use crate::model::{
    Ask, DenyReason, EntitlementId, GrantId, GroupName, History, InputValue, Inputs,
    OperationHistory, Proof, Question, RiskFacts, UsualFacts,
};

/// The most bytes of text that the inputs of a question may have. Beyond it the question is not kept.
const MOST_TEXT: usize = 1024;

/// The most operations whose history is kept. Beyond it the question is not kept.
const MOST_HISTORY: usize = 64;

/// A question, without what its record says already (agent, task, grant, operation, address, method,
/// host and path), and what the rules answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The moment that was decided on; the line keeps microseconds.
    pub at: Timestamp,
    /// Why the rules said no; none where they said yes, whatever became of it then.
    pub ruled: Option<DenyReason>,
    /// The agent's address, where it is not that of the record: people decide from elsewhere.
    pub source: Option<IpAddr>,
    /// Whether the agent had been seen at its address before.
    pub known: bool,
    /// The country of the address.
    pub country: Option<Arc<str>>,
    /// How risky the agent looked.
    pub risk: RiskFacts,
    /// What was usual for it.
    pub usual: UsualFacts,
    /// How it had proved who it is.
    pub methods: Vec<Arc<str>>,
    /// With how many factors.
    pub factors: i64,
    /// How its token was bound.
    pub proof: Proof,
    /// The task, as it was then.
    pub task: Option<AskedTask>,
    /// The grant, as it was then.
    pub grant: Option<AskedGrant>,
    /// The groups in whose name people had agreed to a request.
    pub approved_by: Vec<GroupName>,
    /// The declared length of the body.
    pub content_length: Option<i64>,
    /// The inputs.
    pub input: Inputs,
    /// What the task had called before.
    pub history: History,
}

/// A task, as rules saw it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct AskedTask {
    /// What kind of work it was.
    #[serde(default)]
    pub kind: Arc<str>,
    /// For how long it had been open.
    pub age_seconds: i64,
    /// How many tasks lay above it.
    pub depth: i64,
    /// Who had opened it.
    pub opened_by: Arc<str>,
}

/// A grant, as rules saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedGrant {
    /// The grant.
    pub id: GrantId,
    /// The entitlement that it was a use of.
    pub entitlement: EntitlementId,
    /// For how long it had been in force.
    pub age_seconds: i64,
    /// Calls that were left, where they were limited.
    pub calls_left: Option<i64>,
    /// Bytes that were left, where they were limited.
    pub bytes_left: Option<i64>,
    /// The groups in whose name people had agreed to it.
    pub approved_by: Vec<GroupName>,
}

impl Asked {
    /// What to keep of a question; nothing where that would be too much for a line.
    #[must_use]
    pub fn of(question: &Question<'_>, ruled: Option<DenyReason>) -> Option<Self> {
        let mut asked = Self {
            at: question.now,
            ruled,
            source: None,
            known: question.source.known,
            country: question.source.country.clone(),
            risk: question.risk,
            usual: question.usual,
            methods: question
                .auth
                .methods
                .iter()
                .map(|one| Arc::from(*one))
                .collect(),
            factors: question.auth.factors,
            proof: question.auth.proof,
            task: question.task.map(|task| AskedTask {
                kind: task.kind.into(),
                age_seconds: task.age_seconds,
                depth: task.depth,
                opened_by: task.opened_by.into(),
            }),
            grant: None,
            approved_by: Vec::new(),
            content_length: None,
            input: Inputs::new(),
            history: History::new(),
        };
        match &question.ask {
            Ask::Call {
                grant,
                http,
                input,
                history,
                ..
            } => {
                if text(input) > MOST_TEXT || history.len() > MOST_HISTORY {
                    return None;
                }
                asked.grant = grant.map(|grant| AskedGrant {
                    id: grant.id.clone(),
                    entitlement: grant.entitlement.clone(),
                    age_seconds: grant.age_seconds,
                    calls_left: grant.calls_left,
                    bytes_left: grant.bytes_left,
                    approved_by: grant.approved_by.to_vec(),
                });
                asked.content_length = http.content_length;
                asked.input = (*input).clone();
                asked.history = (*history).clone();
            }
            Ask::Request { approved_by, .. } => asked.approved_by = approved_by.to_vec(),
        }
        Some(asked)
    }
}

fn text(input: &Inputs) -> usize {
    let texts = input.values().map(|value| match value {
        InputValue::Bool(_) | InputValue::Long(_) => 0,
        InputValue::String(text) => text.len(),
    });
    texts.sum()
}

/// Appends the members of the object, the first without a comma before it.
pub(super) fn write(out: &mut Vec<u8>, asked: &Asked) {
    // Without `..`, so that a new field can't be forgotten here.
    let Asked {
        at,
        ruled,
        source,
        known,
        country,
        risk,
        usual,
        methods,
        factors,
        proof,
        task,
        grant,
        approved_by,
        content_length,
        input,
        history,
    } = asked;
    let ruled = ruled.map_or("allow", DenyReason::as_str);
    out.extend_from_slice(b"\"ruled\":");
    line::quoted(out, ruled);
    line::moment(out, "at", *at);
    let source = source.map(|address| address.to_string());
    line::text(out, "source", source.as_deref());
    line::truth(out, "known", *known);
    line::text(out, "country", country.as_deref());
    if risk.known {
        line::signed(out, "risk", Some(risk.score));
        line::signed(out, "risk_age_seconds", Some(risk.age_seconds));
    }
    let usual = [
        ("network", usual.network),
        ("hour", usual.hour),
        ("operation", usual.operation),
    ];
    let usual = usual.iter().filter(|(_, is)| *is).map(|(name, _)| *name);
    line::list(out, "usual", usual);
    line::list(out, "methods", methods.iter().map(AsRef::as_ref));
    line::signed(out, "factors", Some(*factors));
    line::text(out, "proof", Some(proof.as_str()));
    if let Some(task) = task {
        line::object(out, "task", |out| {
            line::first_text(out, "kind", &task.kind);
            line::signed(out, "age_seconds", Some(task.age_seconds));
            line::signed(out, "depth", Some(task.depth));
            line::text(out, "opened_by", Some(&task.opened_by));
        });
    }
    write_grant(out, grant.as_ref());
    line::list(
        out,
        "approved_by",
        approved_by.iter().map(GroupName::as_str),
    );
    line::signed(out, "content_length", *content_length);
    if !input.is_empty() {
        line::object(out, "input", |out| {
            line::members(out, input, |out, value| match value {
                InputValue::Bool(value) => out.extend_from_slice(value.to_string().as_bytes()),
                InputValue::Long(value) => out.extend_from_slice(value.to_string().as_bytes()),
                InputValue::String(text) => line::quoted(out, text),
            });
        });
    }
    if !history.is_empty() {
        line::object(out, "history", |out| {
            let history = history.iter().map(|(id, of)| (id.as_str(), of));
            line::members(out, history, write_history);
        });
    }
}

fn write_grant(out: &mut Vec<u8>, grant: Option<&AskedGrant>) {
    if let Some(grant) = grant {
        line::object(out, "grant", |out| {
            line::first_text(out, "id", grant.id.as_str());
            line::text(out, "entitlement", Some(grant.entitlement.as_str()));
            line::signed(out, "age_seconds", Some(grant.age_seconds));
            line::signed(out, "calls_left", grant.calls_left);
            line::signed(out, "bytes_left", grant.bytes_left);
            line::list(
                out,
                "approved_by",
                grant.approved_by.iter().map(GroupName::as_str),
            );
        });
    }
}

fn write_history(out: &mut Vec<u8>, of: &OperationHistory) {
    out.push(b'{');
    line::first_signed(out, "calls", of.calls);
    line::signed(out, "succeeded", Some(of.succeeded));
    line::signed(out, "last_age_seconds", of.last_age_seconds);
    if !of.sum.is_empty() {
        line::object(out, "sum", |out| {
            line::members(out, &of.sum, |out, sum| {
                out.extend_from_slice(sum.to_string().as_bytes());
            });
        });
    }
    out.push(b'}');
}

/// What the object looks like to serde.
#[derive(Deserialize)]
pub(super) struct AskedLine {
    ruled: String,
    at: String,
    source: Option<IpAddr>,
    known: bool,
    country: Option<String>,
    risk: Option<i64>,
    #[serde(default)]
    risk_age_seconds: i64,
    #[serde(default)]
    usual: Vec<String>,
    #[serde(default)]
    methods: Vec<Arc<str>>,
    factors: i64,
    proof: String,
    task: Option<AskedTask>,
    grant: Option<GrantLine>,
    #[serde(default)]
    approved_by: Vec<String>,
    content_length: Option<i64>,
    #[serde(default)]
    input: BTreeMap<Arc<str>, InputLine>,
    #[serde(default)]
    history: BTreeMap<String, HistoryLine>,
}

#[derive(Deserialize)]
struct GrantLine {
    id: String,
    entitlement: String,
    age_seconds: i64,
    calls_left: Option<i64>,
    bytes_left: Option<i64>,
    #[serde(default)]
    approved_by: Vec<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum InputLine {
    Bool(bool),
    Long(i64),
    String(Arc<str>),
}

#[derive(Deserialize)]
struct HistoryLine {
    calls: i64,
    succeeded: i64,
    last_age_seconds: Option<i64>,
    #[serde(default)]
    sum: BTreeMap<Arc<str>, i64>,
}

/// Reads the object back.
pub(super) fn read(asked: AskedLine) -> Result<Asked, RecordError> {
    let ruled = match asked.ruled.as_str() {
        "allow" => None,
        code => Some(DenyReason::from_code(code).ok_or_else(|| odd("ruled", code))?),
    };
    let groups = |names: Vec<String>| -> Result<Vec<GroupName>, RecordError> {
        let parse = |name: String| name.parse().map_err(|_| odd("approved_by", &name));
        names.into_iter().map(parse).collect()
    };
    let usual = |name: &str| asked.usual.iter().any(|one| one == name);
    let history = asked.history.into_iter().map(|(id, of)| {
        let history = OperationHistory {
            calls: of.calls,
            succeeded: of.succeeded,
            last_age_seconds: of.last_age_seconds,
            sum: of.sum,
        };
        let id = id.parse().map_err(|_| odd("history", &id))?;
        Ok((id, history))
    });
    let grant = asked.grant.map(|grant| {
        Ok(AskedGrant {
            id: grant.id.parse().map_err(|_| odd("grant", &grant.id))?,
            entitlement: grant
                .entitlement
                .parse()
                .map_err(|_| odd("grant", &grant.entitlement))?,
            age_seconds: grant.age_seconds,
            calls_left: grant.calls_left,
            bytes_left: grant.bytes_left,
            approved_by: groups(grant.approved_by)?,
        })
    });
    Ok(Asked {
        at: asked.at.parse().map_err(|_| odd("at", &asked.at))?,
        ruled,
        source: asked.source,
        known: asked.known,
        country: asked.country.map(Arc::from),
        risk: asked.risk.map_or(RiskFacts::UNKNOWN, |score| RiskFacts {
            score,
            age_seconds: asked.risk_age_seconds,
            known: true,
        }),
        usual: UsualFacts {
            network: usual("network"),
            hour: usual("hour"),
            operation: usual("operation"),
        },
        methods: asked.methods,
        factors: asked.factors,
        proof: match asked.proof.as_str() {
            "bearer" => Proof::Bearer,
            "dpop" => Proof::Dpop,
            "mtls" => Proof::Mtls,
            other => return Err(odd("proof", other)),
        },
        task: asked.task,
        grant: grant.transpose()?,
        approved_by: groups(asked.approved_by)?,
        content_length: asked.content_length,
        input: asked
            .input
            .into_iter()
            .map(|(name, value)| {
                let value = match value {
                    InputLine::Bool(value) => InputValue::Bool(value),
                    InputLine::Long(value) => InputValue::Long(value),
                    InputLine::String(text) => InputValue::String(text),
                };
                (name, value)
            })
            .collect(),
        history: history.collect::<Result<_, RecordError>>()?,
    })
}
