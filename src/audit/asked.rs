//! What the rules were asked: enough of a question to put it again, to these rules or to others.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Deserialize;

use super::line::{self, RecordError, first_key, key, odd};
use super::step::{self, AgreementLine, AskedStep, PartLine, RenewalLine};
use crate::model::{
    Ask, DenyReason, EntitlementId, GrantFacts, GrantId, GroupName, History, InputValue, Inputs,
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
    /// The step that it was about, where that is more than a call or a request.
    pub step: Option<Box<AskedStep>>,
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
            step: None,
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

/// What is kept of a question, as it stands in a line: written when it was asked, and copied then.
#[derive(Clone, PartialEq, Eq)]
pub struct Written(Vec<u8>);

/// So much is written about a question as a rule.
const USUAL: usize = 512;

impl Written {
    /// What to keep of a question; nothing where that would be too much for a line.
    #[must_use]
    pub fn of(question: &Question<'_>, ruled: Option<DenyReason>) -> Option<Self> {
        let mut view = View {
            at: question.now,
            ruled,
            source: None,
            known: question.source.known,
            country: question.source.country.as_deref(),
            risk: question.risk,
            usual: question.usual,
            factors: question.auth.factors,
            proof: question.auth.proof,
            task: question.task.map(|task| TaskView {
                kind: task.kind,
                age_seconds: task.age_seconds,
                depth: task.depth,
                opened_by: task.opened_by,
            }),
            grant: None,
            approved_by: &[],
            content_length: None,
            input: None,
            history: None,
            step: None,
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
                view.grant = *grant;
                view.content_length = http.content_length;
                view.input = Some(input);
                view.history = Some(history);
            }
            Ask::Request { approved_by, .. } => view.approved_by = approved_by,
        }
        let mut out = Vec::with_capacity(USUAL);
        write_view(&mut out, &view, question.auth.methods.iter().copied());
        Some(Self(out))
    }

    /// Reads it back.
    ///
    /// # Errors
    ///
    /// None, for what this version has written.
    pub fn read(&self) -> Result<Asked, RecordError> {
        let object = [b"{", &self.0[..], b"}"].concat();
        read(serde_json::from_slice(&object).map_err(RecordError::Json)?)
    }

    /// The members of the object.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<&Asked> for Written {
    fn from(asked: &Asked) -> Self {
        let mut out = Vec::with_capacity(USUAL);
        write(&mut out, asked);
        Self(out)
    }
}

impl fmt::Debug for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

/// What is written, wherever it is held.
struct View<'a> {
    at: Timestamp,
    ruled: Option<DenyReason>,
    source: Option<IpAddr>,
    known: bool,
    country: Option<&'a str>,
    risk: RiskFacts,
    usual: UsualFacts,
    factors: i64,
    proof: Proof,
    task: Option<TaskView<'a>>,
    grant: Option<GrantFacts<'a>>,
    approved_by: &'a [GroupName],
    content_length: Option<i64>,
    input: Option<&'a Inputs>,
    history: Option<&'a History>,
    step: Option<&'a AskedStep>,
}

struct TaskView<'a> {
    kind: &'a str,
    age_seconds: i64,
    depth: i64,
    opened_by: &'a str,
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
        step,
    } = asked;
    let view = View {
        at: *at,
        ruled: *ruled,
        source: *source,
        known: *known,
        country: country.as_deref(),
        risk: *risk,
        usual: *usual,
        factors: *factors,
        proof: *proof,
        task: task.as_ref().map(|task| TaskView {
            kind: &task.kind,
            age_seconds: task.age_seconds,
            depth: task.depth,
            opened_by: &task.opened_by,
        }),
        grant: grant.as_ref().map(|grant| GrantFacts {
            id: &grant.id,
            entitlement: &grant.entitlement,
            age_seconds: grant.age_seconds,
            calls_left: grant.calls_left,
            bytes_left: grant.bytes_left,
            approved_by: &grant.approved_by,
        }),
        approved_by,
        content_length: *content_length,
        input: Some(input),
        history: Some(history),
        step: step.as_deref(),
    };
    write_view(out, &view, methods.iter().map(AsRef::as_ref));
}

fn write_view<'a>(out: &mut Vec<u8>, view: &View<'a>, methods: impl Iterator<Item = &'a str>) {
    let View {
        at,
        ruled,
        source,
        known,
        country,
        risk,
        usual,
        factors,
        proof,
        task,
        grant,
        approved_by,
        content_length,
        input,
        history,
        step,
    } = view;
    out.extend_from_slice(first_key!("ruled").as_bytes());
    line::quoted(out, ruled.map_or("allow", DenyReason::as_str));
    line::moment(out, key!("at"), *at);
    line::address(out, key!("source"), *source);
    line::truth(out, key!("known"), *known);
    line::text(out, key!("country"), *country);
    if risk.known {
        line::signed(out, key!("risk"), Some(risk.score));
        line::signed(out, key!("risk_age_seconds"), Some(risk.age_seconds));
    }
    let usual = [
        ("network", usual.network),
        ("hour", usual.hour),
        ("operation", usual.operation),
    ];
    let usual = usual.iter().filter(|(_, is)| *is).map(|(name, _)| *name);
    line::list(out, key!("usual"), usual);
    line::list(out, key!("methods"), methods);
    line::signed(out, key!("factors"), Some(*factors));
    line::text(out, key!("proof"), Some(proof.as_str()));
    if let Some(task) = task {
        line::object(out, key!("task"), |out| {
            line::text(out, first_key!("kind"), Some(task.kind));
            line::signed(out, key!("age_seconds"), Some(task.age_seconds));
            line::signed(out, key!("depth"), Some(task.depth));
            line::text(out, key!("opened_by"), Some(task.opened_by));
        });
    }
    write_grant(out, grant.as_ref());
    let groups = approved_by.iter().map(GroupName::as_str);
    line::list(out, key!("approved_by"), groups);
    line::signed(out, key!("content_length"), *content_length);
    if let Some(input) = input.filter(|input| !input.is_empty()) {
        line::object(out, key!("input"), |out| {
            line::members(out, input, |out, value| match value {
                InputValue::Bool(value) => {
                    out.extend_from_slice(if *value { b"true" } else { b"false" });
                }
                InputValue::Long(value) => line::integer(out, *value),
                InputValue::String(text) => line::quoted(out, text),
            });
        });
    }
    if let Some(history) = history.filter(|history| !history.is_empty()) {
        line::object(out, key!("history"), |out| {
            let history = history.iter().map(|(id, of)| (id.as_str(), of));
            line::members(out, history, write_history);
        });
    }
    if let Some(step) = step {
        step::write(out, step);
    }
}

fn write_grant(out: &mut Vec<u8>, grant: Option<&GrantFacts<'_>>) {
    if let Some(grant) = grant {
        line::object(out, key!("grant"), |out| {
            line::text(out, first_key!("id"), Some(grant.id.as_str()));
            line::text(out, key!("entitlement"), Some(grant.entitlement.as_str()));
            line::signed(out, key!("age_seconds"), Some(grant.age_seconds));
            line::signed(out, key!("calls_left"), grant.calls_left);
            line::signed(out, key!("bytes_left"), grant.bytes_left);
            let groups = grant.approved_by.iter().map(GroupName::as_str);
            line::list(out, key!("approved_by"), groups);
        });
    }
}

fn write_history(out: &mut Vec<u8>, of: &OperationHistory) {
    out.push(b'{');
    line::signed(out, first_key!("calls"), Some(of.calls));
    line::signed(out, key!("succeeded"), Some(of.succeeded));
    line::signed(out, key!("last_age_seconds"), of.last_age_seconds);
    if !of.sum.is_empty() {
        line::object(out, key!("sum"), |out| {
            line::members(out, &of.sum, |out, sum| line::integer(out, *sum));
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
    agreement: Option<AgreementLine>,
    part: Option<PartLine>,
    renewal: Option<RenewalLine>,
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
        step: step::read(asked.agreement, asked.part, asked.renewal)?,
    })
}
