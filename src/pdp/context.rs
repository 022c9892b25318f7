//! From a question to Cedar's `context`: only the facts that are read.

use std::net::IpAddr;
use std::sync::Arc;

use cedar_policy::{
    Context, ContextCreationError, ExpressionConstructionError, RestrictedExpression as Value,
};
use foldhash::fast::RandomState;
use moka::sync::Cache;
use thiserror::Error;

use crate::model::{
    Ask, GrantFacts, History, HttpFacts, InputKind, InputValue, Inputs, OperationHistory, Question,
};

use super::catalogue::{Directory, KnownOperation};
use super::fact::Fact;
use super::history::Group;
use super::reads::{Parts, Reads};

/// How many addresses are remembered as Cedar's values.
const ADDRESSES: u64 = 10_000;

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

/// Addresses as Cedar's values. Making one parses the name of Cedar's function each time, which
/// costs more than all other facts together.
#[derive(Debug)]
pub(super) struct Addresses(Cache<IpAddr, Value, RandomState>);

impl Addresses {
    pub(super) fn new() -> Self {
        let cache = Cache::builder().max_capacity(ADDRESSES);
        Self(cache.build_with_hasher(RandomState::default()))
    }

    fn value(&self, ip: IpAddr) -> Value {
        // A listener for both families shows IPv4 as `::ffff:10.0.0.1`, which no rule on
        // `10.0.0.0/8` would match, and which Cedar can't read.
        let ip = ip.to_canonical();
        self.0.get(&ip).unwrap_or_else(|| {
            let value = Value::new_ip(ip.to_string());
            self.0.insert(ip, value.clone());
            value
        })
    }
}

/// What a context is built from.
#[derive(Clone, Copy)]
pub(super) struct Facts<'a> {
    pub(super) question: &'a Question<'a>,
    pub(super) directory: &'a Directory,
    pub(super) addresses: &'a Addresses,
}

impl Facts<'_> {
    /// The context, as far as it is read.
    pub(super) fn context(&self, reads: &Reads) -> Result<Context, ContextError> {
        let mut pairs = Vec::new();
        for (fact, parts) in reads.iter() {
            let value = self.value(fact, parts)?;
            pairs.extend(value.map(|value| (fact.name().to_owned(), value)));
        }
        Context::from_pairs(pairs).map_err(|error| ContextError::Context(Box::new(error)))
    }

    /// One fact; none where it is absent, or where what is asked for has no such fact.
    fn value(&self, fact: Fact, parts: &Parts) -> Result<Option<Value>, ContextError> {
        let record = Record::of(parts);
        let record = match fact {
            Fact::Auth => self.auth(record),
            Fact::Grant | Fact::History | Fact::Http | Fact::Input => {
                return self.value_of_call(fact, record);
            }
            Fact::Local => self.local(record),
            // Cedar counts milliseconds.
            Fact::Now => {
                let now = format!("{:.3}", self.question.now);
                return Ok(Some(Value::new_datetime(now)));
            }
            Fact::Risk => self.risk(record),
            Fact::Source => self.source(record),
            Fact::Task => return self.task(record),
            Fact::Usual => self.usual(record),
        };
        record.build().map(Some)
    }

    fn value_of_call(&self, fact: Fact, record: Record<'_>) -> Result<Option<Value>, ContextError> {
        let Ask::Call {
            grant: held,
            http: head,
            input,
            history,
            ..
        } = &self.question.ask
        else {
            return Ok(None);
        };
        let record = match fact {
            Fact::Grant => match held {
                Some(held) => grant(held, record),
                None => return Ok(None),
            },
            Fact::Http => http(head, record),
            Fact::Input => inputs(input, record),
            _ => self.history(history, record)?,
        };
        record.build().map(Some)
    }

    fn auth<'r>(&self, record: Record<'r>) -> Record<'r> {
        let auth = &self.question.auth;
        let methods = || {
            let methods = auth.methods.iter();
            Value::new_set(methods.map(|one| Value::new_string((*one).to_owned())))
        };
        record
            .with("methods", methods)
            .long("factors", auth.factors)
            .text("proof", auth.proof.as_str())
    }

    /// What was never called has zeros.
    fn history<'r>(
        &self,
        history: &History,
        mut record: Record<'r>,
    ) -> Result<Record<'r>, ContextError> {
        let groups = self.directory.groups();
        match record.parts {
            Parts::Every => {
                for (id, operation) in self.directory.operations() {
                    let value = of_operation(history.get(id), operation)?;
                    record = record.with(id.as_str(), || value);
                }
                for (name, group) in groups.iter() {
                    let value = of_group(history, group)?;
                    record = record.with(name, || value);
                }
            }
            Parts::Of(some) => {
                for name in some {
                    let value = match self.directory.operation_named(name) {
                        Some((id, operation)) => of_operation(history.get(id), operation)?,
                        None => match groups.get(name) {
                            Some(group) => of_group(history, group)?,
                            None => continue,
                        },
                    };
                    record = record.with(name, || value);
                }
            }
        }
        Ok(record)
    }

    fn local<'r>(&self, record: Record<'r>) -> Record<'r> {
        let local = self.question.time_zone.to_datetime(self.question.now);
        record
            .long("hour", local.hour().into())
            .long("minute", local.minute().into())
            .long("weekday", local.weekday().to_monday_one_offset().into())
            .with("date", || Value::new_string(local.date().to_string()))
    }

    fn risk<'r>(&self, record: Record<'r>) -> Record<'r> {
        let risk = &self.question.risk;
        record
            .long("score", risk.score)
            .long("age_seconds", risk.age_seconds)
            .truth("known", risk.known)
    }

    fn source<'r>(&self, record: Record<'r>) -> Record<'r> {
        let source = &self.question.source;
        let record = record
            .with("ip", || self.addresses.value(source.ip))
            .truth("known", source.known);
        match &source.country {
            Some(country) => record.text("country", country),
            None => record,
        }
    }

    fn task(&self, record: Record<'_>) -> Result<Option<Value>, ContextError> {
        let Some(task) = &self.question.task else {
            return Ok(None);
        };
        let record = record
            .text("id", task.id.as_str())
            .text("kind", task.kind)
            .long("age_seconds", task.age_seconds)
            .long("depth", task.depth)
            .text("opened_by", task.opened_by);
        record.build().map(Some)
    }

    fn usual<'r>(&self, record: Record<'r>) -> Record<'r> {
        let usual = &self.question.usual;
        record
            .truth("network", usual.network)
            .truth("hour", usual.hour)
            .truth("operation", usual.operation)
    }
}

fn grant<'r>(grant: &GrantFacts<'_>, record: Record<'r>) -> Record<'r> {
    record
        .text("id", grant.id.as_str())
        .text("entitlement", grant.entitlement.as_str())
        .long("age_seconds", grant.age_seconds)
        .long_if("calls_left", grant.calls_left)
        .long_if("bytes_left", grant.bytes_left)
}

fn http<'r>(http: &HttpFacts<'_>, record: Record<'r>) -> Record<'r> {
    record
        .text("method", http.method)
        .text("host", http.host)
        .text("path", http.path)
        .long_if("content_length", http.content_length)
}

fn inputs<'r>(inputs: &Inputs, record: Record<'r>) -> Record<'r> {
    inputs
        .iter()
        .fold(record, |record, (name, value)| match value {
            InputValue::Bool(value) => record.truth(name, *value),
            InputValue::Long(value) => record.long(name, *value),
            InputValue::String(value) => record.text(name, value),
        })
}

fn of_operation(
    history: Option<&OperationHistory>,
    operation: &KnownOperation,
) -> Result<Value, ContextError> {
    let numeric = operation.inputs.iter();
    let numeric = numeric.filter(|(_, kind)| **kind == InputKind::Long);
    counters(history, numeric.map(|(name, _)| name))
}

fn of_group(history: &History, group: &Group) -> Result<Value, ContextError> {
    counters(Some(&group.of(history)), group.numeric())
}

fn counters<'n>(
    history: Option<&OperationHistory>,
    numeric: impl Iterator<Item = &'n Arc<str>>,
) -> Result<Value, ContextError> {
    let sum = numeric.fold(Record::of(&Parts::Every), |record, name| {
        let sum = history.and_then(|one| one.sum.get(name));
        record.long(name, sum.copied().unwrap_or(0))
    });
    let sum = sum.build()?;
    Record::of(&Parts::Every)
        .long("calls", history.map_or(0, |one| one.calls))
        .long("succeeded", history.map_or(0, |one| one.succeeded))
        .long_if(
            "last_age_seconds",
            history.and_then(|one| one.last_age_seconds),
        )
        .with("sum", || sum)
        .build()
}

/// A record that takes only the parts that are read.
struct Record<'r> {
    parts: &'r Parts,
    pairs: Vec<(String, Value)>,
}

impl<'r> Record<'r> {
    const fn of(parts: &'r Parts) -> Self {
        let pairs = Vec::new();
        Self { parts, pairs }
    }

    fn with(mut self, name: &str, value: impl FnOnce() -> Value) -> Self {
        if self.parts.holds(name) {
            self.pairs.push((name.to_owned(), value()));
        }
        self
    }

    fn long(self, name: &str, value: i64) -> Self {
        self.with(name, || Value::new_long(value))
    }

    fn long_if(self, name: &str, value: Option<i64>) -> Self {
        match value {
            Some(value) => self.long(name, value),
            None => self,
        }
    }

    fn text(self, name: &str, value: &str) -> Self {
        self.with(name, || Value::new_string(value.to_owned()))
    }

    fn truth(self, name: &str, value: bool) -> Self {
        self.with(name, || Value::new_bool(value))
    }

    fn build(self) -> Result<Value, ContextError> {
        Value::new_record(self.pairs).map_err(|error| ContextError::Record(Box::new(error)))
    }
}
