//! A question written down, as it stands in a line.

use std::fmt;
use std::net::IpAddr;

use jiff::Timestamp;

use super::Asked;
use super::read::read;
use crate::audit::line::{self, RecordError, first_key, key};
use crate::audit::step::{self, AskedStep};
use crate::model::{
    Agreed, Ask, DenyReason, GrantFacts, GroupName, History, InputValue, Inputs, OperationHistory,
    Proof, Question, RiskFacts, UsualFacts,
};

/// The most bytes of text that the inputs of a question may have. Beyond it the question is not kept.
pub(super) const MOST_TEXT: usize = 1024;

/// The most operations whose history is kept. Beyond it the question is not kept.
pub(super) const MOST_HISTORY: usize = 64;

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
            approved_by: Agreed::default(),
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
            Ask::Request { approved_by, .. } => view.approved_by = *approved_by,
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
    pub(in crate::audit) fn as_bytes(&self) -> &[u8] {
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

fn text(input: &Inputs) -> usize {
    let texts = input.values().map(|value| match value {
        InputValue::Bool(_) | InputValue::Long(_) => 0,
        InputValue::String(text) => text.len(),
    });
    texts.sum()
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
    approved_by: Agreed<'a>,
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
pub(in crate::audit) fn write(out: &mut Vec<u8>, asked: &Asked) {
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
        approved_mfa,
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
            approved_by: Agreed {
                groups: &grant.approved_by,
                mfa: grant.approved_mfa,
            },
        }),
        approved_by: Agreed {
            groups: approved_by,
            mfa: *approved_mfa,
        },
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
    let ruled = ruled.map_or("allow", DenyReason::as_str);
    line::code(out, first_key!("ruled"), Some(ruled));
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
    line::code(out, key!("proof"), Some(proof.as_str()));
    if let Some(task) = task {
        line::object(out, key!("task"), |out| {
            line::text(out, first_key!("kind"), Some(task.kind));
            line::signed(out, key!("age_seconds"), Some(task.age_seconds));
            line::signed(out, key!("depth"), Some(task.depth));
            line::text(out, key!("opened_by"), Some(task.opened_by));
        });
    }
    write_grant(out, grant.as_ref());
    write_agreed(out, approved_by);
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
            line::plain(out, first_key!("id"), Some(grant.id.as_bytes()));
            line::plain(out, key!("entitlement"), Some(grant.entitlement.as_bytes()));
            line::signed(out, key!("age_seconds"), Some(grant.age_seconds));
            line::signed(out, key!("calls_left"), grant.calls_left);
            line::signed(out, key!("bytes_left"), grant.bytes_left);
            write_agreed(out, &grant.approved_by);
        });
    }
}

fn write_agreed(out: &mut Vec<u8>, agreed: &Agreed<'_>) {
    let groups = agreed.groups.iter().map(GroupName::as_str);
    line::list(out, key!("approved_by"), groups);
    if agreed.mfa {
        line::truth(out, key!("approved_mfa"), true);
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
