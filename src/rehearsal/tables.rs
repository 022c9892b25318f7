//! Decision tables, put to a snapshot.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

use super::world::{self, Called, Holding, Working, World};
use crate::access::{Explanation, SupposedCall, SupposedSignals};
use crate::config::{Case, CaseAsk, CaseGrant, CaseRisk, EnrolledAgent, Expected, Place, Snapshot};
use crate::grants::LiveGrant;
use crate::model::{
    Agreed, GrantId, GroupName, InputKind, InputValue, Inputs, RiskFacts, TaskId, UsualFacts,
};
use crate::pdp::Rule;
use crate::pep::Facts;

/// What became of one case.
#[derive(Debug)]
pub struct Outcome {
    /// What it is called.
    pub name: String,
    /// Where it stands.
    pub place: Place,
    /// What was expected.
    pub expected: &'static str,
    /// The rule that was expected to decide, where one was.
    pub rule: Option<String>,
    /// What came of it.
    pub got: &'static str,
    /// The rules that decided.
    pub rules: Vec<Arc<str>>,
    /// What a refused agent is told, and what went wrong on our side.
    pub detail: Option<String>,
    /// Whether it came as expected.
    pub passed: bool,
}

/// What became of all of them.
#[derive(Debug)]
pub struct Report {
    /// Each case.
    pub outcomes: Vec<Outcome>,
    /// The rules that decided nothing in any of them.
    pub unexercised: Vec<Rule>,
    /// How many rules there are.
    pub rules: usize,
}

impl Report {
    /// Whether every case came as expected.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.outcomes.iter().all(|outcome| outcome.passed)
    }
}

/// Puts cases to a snapshot.
#[must_use]
pub fn run_tables(snapshot: &Snapshot, cases: &[Case]) -> Report {
    let facts = Facts::supposed();
    let mut exercised: BTreeSet<Arc<str>> = BTreeSet::new();
    let mut outcomes = Vec::with_capacity(cases.len());
    for case in cases {
        let outcome = run(snapshot, &facts, case);
        exercised.extend(outcome.rules.iter().cloned());
        outcomes.push(outcome);
    }
    let rules = snapshot.policies().rules();
    let unexercised = rules.iter().filter(|rule| !exercised.contains(&rule.id));
    Report {
        outcomes,
        unexercised: unexercised.cloned().collect(),
        rules: rules.len(),
    }
}

fn run(snapshot: &Snapshot, facts: &Facts, case: &Case) -> Outcome {
    let mut outcome = Outcome {
        name: case.name.clone(),
        place: case.place.clone(),
        expected: case.expect.as_str(),
        rule: case.rule.clone(),
        got: "nothing",
        rules: Vec::new(),
        detail: None,
        passed: false,
    };
    let (got, explanation) = match answer(snapshot, facts, case) {
        Ok(answer) => answer,
        Err(why) => {
            outcome.detail = Some(why);
            return outcome;
        }
    };
    let decides = |rule: &String| explanation.rules.iter().any(|one| **one == **rule);
    outcome.passed = got == case.expect && case.rule.as_ref().is_none_or(decides);
    outcome.got = got.as_str();
    outcome.rules = explanation.rules;
    outcome.detail = explanation.internal.or(explanation.detail);
    outcome
}

fn answer(
    snapshot: &Snapshot,
    facts: &Facts,
    case: &Case,
) -> Result<(Expected, Explanation), String> {
    if let Some(rule) = &case.rule
        && !snapshot
            .policies()
            .rules()
            .iter()
            .any(|one| *one.id == **rule)
    {
        return Err(format!("there is no rule `{rule}`"));
    }
    let world = world_of(snapshot, case)?;
    match &case.ask {
        CaseAsk::Call {
            method,
            url,
            headers,
            body,
        } => {
            let call = call(method, url, headers, body.as_ref())?;
            let explanation = world.ask(snapshot, |asker| facts.rehearse(asker, call));
            let got = explanation.code.map_or(Expected::Allow, Expected::Deny);
            Ok((got, explanation))
        }
        CaseAsk::Request {
            entitlement,
            approved_by,
            approved_mfa,
        } => {
            let unknown = || format!("there is no entitlement `{entitlement}`");
            let entitlement = snapshot.entitlement(entitlement).ok_or_else(unknown)?;
            let groups = approved_by.as_ref().map(|groups| {
                let groups = groups.iter().map(|group| group.parse());
                groups.collect::<Result<Vec<GroupName>, _>>()
            });
            let groups = groups.transpose().map_err(|error| error.to_string())?;
            let explanation = world.ask(snapshot, |asker| {
                let agreed = groups.as_deref().map(|groups| Agreed {
                    groups,
                    mfa: *approved_mfa,
                });
                asker.explain_request(entitlement, agreed)
            });
            let waits = explanation.approval.is_some() && groups.is_none();
            let got = match explanation.code {
                Some(code) => Expected::Deny(code),
                None if waits => Expected::Pending,
                None => Expected::Allow,
            };
            Ok((got, explanation))
        }
    }
}

fn world_of(snapshot: &Snapshot, case: &Case) -> Result<World, String> {
    let agent = snapshot.agent(&case.agent);
    let agent = agent.ok_or_else(|| {
        let name = &case.agent;
        format!("there is no agent `{name}`: a [[agent]] in the file of the case makes one")
    })?;
    let mut task = None;
    if let Some(working) = &case.task {
        let id = match &working.id {
            Some(id) => id
                .parse()
                .map_err(|error| format!("the task's id: {error}"))?,
            None => TaskId::random(),
        };
        let grants = case
            .grants
            .iter()
            .map(|grant| holds(snapshot, agent, &id, grant));
        let grants = grants.collect::<Result<Vec<_>, _>>()?;
        let called = called(snapshot, case)?;
        let working = Working {
            id,
            kind: working.kind.clone(),
            age: working.age,
            depth: working.depth,
            opened_by: match &working.opened_by {
                Some(opener) => opener.clone(),
                None => case.agent.clone(),
            },
        };
        task = Some(world::task(agent, working, grants, called));
    } else if !case.grants.is_empty() || !case.history.is_empty() {
        return Err("grants and a history belong to a task, and this case has none".to_owned());
    }
    let usual = |name: &str| case.usual.iter().any(|one| one == name);
    Ok(World {
        agent: Arc::clone(agent),
        task,
        methods: case.methods.clone(),
        proof: case.proof,
        source: case.source,
        wall: case.at,
        signals: SupposedSignals {
            known: Some(case.known.unwrap_or(false)),
            country: case.country.as_deref().map(Arc::from),
            risk: Some(risk_of(snapshot, case)),
            usual: Some(UsualFacts {
                network: usual("network"),
                hour: usual("hour"),
                operation: usual("operation"),
            }),
            factors: case.factors,
            by_cedar: false,
        },
    })
}

/// The risk that a case says; where it says none, what a gateway would know of an agent of whom nothing odd was
/// seen and nothing was pushed.
fn risk_of(snapshot: &Snapshot, case: &Case) -> RiskFacts {
    let known = |score, age: Duration| RiskFacts {
        score,
        age_seconds: i64::try_from(age.as_secs()).unwrap_or(i64::MAX),
        known: true,
    };
    match case.risk {
        Some(CaseRisk::Known { score, age }) => known(score, age),
        None if snapshot.risk().is_some() => known(0, Duration::ZERO),
        Some(CaseRisk::Unknown) | None => RiskFacts::UNKNOWN,
    }
}

fn holds(
    snapshot: &Snapshot,
    agent: &EnrolledAgent,
    task: &TaskId,
    grant: &CaseGrant,
) -> Result<Arc<LiveGrant>, String> {
    let entitlement = snapshot.entitlement(&grant.entitlement);
    let entitlement =
        entitlement.ok_or_else(|| format!("there is no entitlement `{}`", grant.entitlement))?;
    let approved_by = match &grant.approved_by {
        Some(group) => Some(
            group
                .parse()
                .map_err(|error| format!("`approved_by`: {error}"))?,
        ),
        None => entitlement.approval.as_ref().map(|rule| rule.group.clone()),
    };
    let own_mfa = || entitlement.approval.as_ref().is_some_and(|rule| rule.mfa);
    let approved_mfa = grant.approved_mfa.unwrap_or_else(own_mfa);
    let mut input = Inputs::new();
    for (name, value) in &grant.input {
        let declared = entitlement.operations.iter().find_map(|operation| {
            let endpoint = snapshot.operation(operation.as_str())?;
            endpoint.operation.inputs.get(name.as_str())
        });
        let kind = declared.map(|declared| declared.kind);
        let value = match (kind, value) {
            (Some(InputKind::Bool), serde_json::Value::Bool(value)) => InputValue::Bool(*value),
            (Some(InputKind::Long), value) if value.is_i64() => {
                InputValue::Long(value.as_i64().unwrap_or_default())
            }
            (Some(InputKind::String), serde_json::Value::String(text)) => {
                InputValue::String(text.as_str().into())
            }
            _ => return Err(format!("`{name}` is no input of `{}`", entitlement.id)),
        };
        input.insert(name.as_str().into(), value);
    }
    let holding = Holding {
        id: GrantId::random(),
        operations: (*entitlement.operations).clone(),
        age: grant.age,
        calls_left: grant.calls_left.or(entitlement.max_calls),
        bytes_left: grant.bytes_left.or(entitlement.max_bytes),
        approved_by,
        approved_mfa,
        input,
        proof: entitlement.proof,
        suspended: grant.suspended,
    };
    Ok(world::grant(agent, task, entitlement, holding))
}

fn called(snapshot: &Snapshot, case: &Case) -> Result<Vec<Called>, String> {
    let called = case.history.iter().map(|(operation, of)| {
        let endpoint = snapshot.operation(operation);
        let endpoint = endpoint.ok_or_else(|| {
            if snapshot.policies().has_group(operation) {
                return format!(
                    "`{operation}` is a group: its history is that of its operations, so say what was called of those"
                );
            }
            format!("there is no operation `{operation}`")
        })?;
        Ok(Called {
            operation: endpoint.operation.id.clone(),
            calls: of.calls,
            succeeded: of.succeeded.unwrap_or(of.calls),
            sum: of
                .sum
                .iter()
                .map(|(name, sum)| (name.as_str().into(), *sum))
                .collect(),
            last: of.last,
        })
    });
    called.collect()
}

fn call(
    method: &str,
    url: &str,
    given: &[(String, String)],
    body: Option<&(String, bool)>,
) -> Result<SupposedCall, String> {
    let odd = |what: &str| format!("`{what}` can't be sent");
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        let value = HeaderValue::from_str(value).map_err(|_| odd(value))?;
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| odd(name))?;
        headers.append(name, value);
    }
    if body.is_some_and(|(_, json)| *json) && !headers.contains_key(header::CONTENT_TYPE) {
        let json = HeaderValue::from_static("application/json");
        headers.insert(header::CONTENT_TYPE, json);
    }
    Ok(SupposedCall {
        method: Method::from_bytes(method.as_bytes()).map_err(|_| odd(method))?,
        url: url.to_owned(),
        headers,
        body: body.map(|(text, _)| Bytes::from(text.clone())),
        disbelieved: None,
        inputs: None,
    })
}
