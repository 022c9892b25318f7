//! From a question to Cedar's `context`: only the facts that are read.

use cedar_policy::{
    Context, ContextCreationError, ExpressionConstructionError, RestrictedExpression as Value,
};
use thiserror::Error;

use crate::model::{
    Ask, GrantFacts, History, HttpFacts, InputKind, InputValue, Inputs, OperationHistory, Question,
};

use super::catalogue::{Directory, KnownOperation};
use super::fact::Fact;
use super::reads::Reads;

/// Why no context could be built.
#[derive(Debug, Error)]
pub(super) enum ContextError {
    /// Cedar refused a value.
    #[error("a fact is no value that rules can compare")]
    Context(#[source] Box<ContextCreationError>),
    /// Cedar refused a record.
    #[error("facts are named alike")]
    Record(#[source] Box<ExpressionConstructionError>),
}

type Pair = (String, Value);

/// The context of a question, as far as it is read.
pub(super) fn context(
    question: &Question<'_>,
    directory: &Directory,
    reads: &Reads,
) -> Result<Context, ContextError> {
    let mut pairs: Vec<Pair> = Vec::with_capacity(Fact::ALL.len());
    for fact in Fact::ALL {
        if reads.contains(fact) {
            let value = value(fact, question, directory, reads)?;
            pairs.extend(value.map(|value| (fact.name().to_owned(), value)));
        }
    }
    Context::from_pairs(pairs).map_err(|error| ContextError::Context(Box::new(error)))
}

/// One fact; none where it is absent, or where what is asked for has no such fact.
fn value(
    fact: Fact,
    question: &Question<'_>,
    directory: &Directory,
    reads: &Reads,
) -> Result<Option<Value>, ContextError> {
    let call = match &question.ask {
        Ask::Call {
            grant,
            http,
            input,
            history,
            ..
        } => Some((grant, http, *input, *history)),
        Ask::Request { .. } => None,
    };
    Ok(match (fact, call) {
        (Fact::Auth, _) => Some(auth(question)?),
        (Fact::Grant, Some((Some(grant), ..))) => Some(self::grant(grant)?),
        (Fact::Http, Some((_, http, ..))) => Some(self::http(http)?),
        (Fact::Input, Some((_, _, input, _))) => Some(inputs(input)?),
        (Fact::History, Some((.., history))) => Some(self::history(history, directory, reads)?),
        (Fact::Grant | Fact::Http | Fact::Input | Fact::History, _) => None,
        (Fact::Local, _) => Some(local(question)?),
        // Cedar counts milliseconds.
        (Fact::Now, _) => Some(Value::new_datetime(format!("{:.3}", question.now))),
        (Fact::Risk, _) => Some(risk(question)?),
        (Fact::Source, _) => Some(source(question)?),
        (Fact::Task, _) => task(question)?,
        (Fact::Usual, _) => Some(usual(question)?),
    })
}

fn auth(question: &Question<'_>) -> Result<Value, ContextError> {
    let auth = &question.auth;
    let methods = auth
        .methods
        .iter()
        .map(|one| Value::new_string((*one).to_owned()));
    record([
        ("methods", Value::new_set(methods)),
        ("factors", Value::new_long(auth.factors)),
        ("proof", text(auth.proof.as_str())),
    ])
}

fn grant(grant: &GrantFacts<'_>) -> Result<Value, ContextError> {
    let always = [
        ("id", text(grant.id.as_str())),
        ("entitlement", text(grant.entitlement.as_str())),
        ("age_seconds", Value::new_long(grant.age_seconds)),
    ];
    let calls = grant
        .calls_left
        .map(|left| ("calls_left", Value::new_long(left)));
    let bytes = grant
        .bytes_left
        .map(|left| ("bytes_left", Value::new_long(left)));
    record(always.into_iter().chain(calls).chain(bytes))
}

fn http(http: &HttpFacts<'_>) -> Result<Value, ContextError> {
    let always = [
        ("method", text(http.method)),
        ("host", text(http.host)),
        ("path", text(http.path)),
    ];
    let length = http
        .content_length
        .map(|length| ("content_length", Value::new_long(length)));
    record(always.into_iter().chain(length))
}

fn inputs(inputs: &Inputs) -> Result<Value, ContextError> {
    record(inputs.iter().map(|(name, value)| {
        let value = match value {
            InputValue::Bool(value) => Value::new_bool(*value),
            InputValue::Long(value) => Value::new_long(*value),
            InputValue::String(value) => text(value),
        };
        (&**name, value)
    }))
}

/// The history of the operations that are read; what was never called has zeros.
fn history(history: &History, directory: &Directory, reads: &Reads) -> Result<Value, ContextError> {
    let mut pairs: Vec<(&str, Value)> = Vec::new();
    match reads.histories() {
        Some(names) => {
            for name in names {
                if let Some((id, operation)) = directory.operation_named(name) {
                    pairs.push((name, one_history(history.get(id), operation)?));
                }
            }
        }
        None => {
            for (id, operation) in directory.operations() {
                pairs.push((id.as_str(), one_history(history.get(id), operation)?));
            }
        }
    }
    record(pairs)
}

fn one_history(
    history: Option<&OperationHistory>,
    operation: &KnownOperation,
) -> Result<Value, ContextError> {
    let numeric = operation
        .inputs
        .iter()
        .filter(|(_, kind)| **kind == InputKind::Long);
    let sum = record(numeric.map(|(name, _)| {
        let sum = history.and_then(|one| one.sum.get(name));
        (&**name, Value::new_long(sum.copied().unwrap_or(0)))
    }))?;
    let count = |of: fn(&OperationHistory) -> i64| Value::new_long(history.map_or(0, of));
    let always = [
        ("calls", count(|one| one.calls)),
        ("succeeded", count(|one| one.succeeded)),
        ("sum", sum),
    ];
    let last = history.and_then(|one| one.last_age_seconds);
    let last = last.map(|age| ("last_age_seconds", Value::new_long(age)));
    record(always.into_iter().chain(last))
}

fn local(question: &Question<'_>) -> Result<Value, ContextError> {
    let local = question.time_zone.to_datetime(question.now);
    record([
        ("hour", Value::new_long(local.hour().into())),
        ("minute", Value::new_long(local.minute().into())),
        (
            "weekday",
            Value::new_long(local.weekday().to_monday_one_offset().into()),
        ),
        ("date", Value::new_string(local.date().to_string())),
    ])
}

fn risk(question: &Question<'_>) -> Result<Value, ContextError> {
    record([
        ("score", Value::new_long(question.risk.score)),
        ("age_seconds", Value::new_long(question.risk.age_seconds)),
        ("known", Value::new_bool(question.risk.known)),
    ])
}

fn source(question: &Question<'_>) -> Result<Value, ContextError> {
    let source = &question.source;
    // A listener for both families shows IPv4 as `::ffff:10.0.0.1`, which no rule on `10.0.0.0/8`
    // would match, and which Cedar can't read.
    let ip = source.ip.to_canonical().to_string();
    let always = [
        ("ip", Value::new_ip(ip)),
        ("known", Value::new_bool(source.known)),
    ];
    let country = source.country.as_deref().map(|one| ("country", text(one)));
    record(always.into_iter().chain(country))
}

fn task(question: &Question<'_>) -> Result<Option<Value>, ContextError> {
    let Some(task) = &question.task else {
        return Ok(None);
    };
    let task = record([
        ("id", text(task.id.as_str())),
        ("kind", text(task.kind)),
        ("age_seconds", Value::new_long(task.age_seconds)),
        ("depth", Value::new_long(task.depth)),
        ("opened_by", text(task.opened_by)),
    ])?;
    Ok(Some(task))
}

fn usual(question: &Question<'_>) -> Result<Value, ContextError> {
    record([
        ("network", Value::new_bool(question.usual.network)),
        ("hour", Value::new_bool(question.usual.hour)),
        ("operation", Value::new_bool(question.usual.operation)),
    ])
}

fn text(value: &str) -> Value {
    Value::new_string(value.to_owned())
}

fn record<'a>(pairs: impl IntoIterator<Item = (&'a str, Value)>) -> Result<Value, ContextError> {
    let pairs = pairs
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value));
    Value::new_record(pairs).map_err(|error| ContextError::Record(Box::new(error)))
}
