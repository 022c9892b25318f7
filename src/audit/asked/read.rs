//! A question read back from its line.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use serde::Deserialize;

use super::{Asked, AskedGrant, AskedTask};
use crate::audit::line::{RecordError, odd};
use crate::audit::step::{self, AgreementLine, PartLine, RenewalLine};
use crate::model::{
    DenyReason, GroupName, InputValue, OperationHistory, Proof, RiskFacts, UsualFacts,
};

/// What the object looks like to serde.
#[derive(Deserialize)]
pub(in crate::audit) struct AskedLine {
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
    #[serde(default)]
    approved_mfa: bool,
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
    #[serde(default)]
    approved_mfa: bool,
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
pub(in crate::audit) fn read(asked: AskedLine) -> Result<Asked, RecordError> {
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
            approved_mfa: grant.approved_mfa,
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
        approved_mfa: asked.approved_mfa,
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
