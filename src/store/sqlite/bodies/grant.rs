//! A grant, on disk.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::super::failure::Failure;
use super::super::row::{decode, parse};
use super::task::reason;
use super::{Span, duration, span};
use crate::base::Digest;
use crate::model::{
    Approval, ApprovalRule, Budget, Circumstances, Grant, GrantId, GrantRequest, GrantState,
    Holder, InputValue, Proof, Right, Shared, Term,
};

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct GrantBody {
    id: String,
    grant: String,
    agent: String,
    task: String,
    entitlement: String,
    operations: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    input: BTreeMap<String, InputBody>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    duration: Span,
    budget: BudgetBody,
    proof: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    approval: Option<RuleBody>,
    requested_at: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parent: Option<String>,
    asked: AskedBody,
    state: StateBody,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AskedBody {
    source: String,
    methods: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    holder: Option<HolderBody>,
}

/// What a grant's token was bound to, as SHA-256 in hexadecimal.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum HolderBody {
    Certificate(String),
    DpopKey(String),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum InputBody {
    Bool(bool),
    Long(i64),
    String(String),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BudgetBody {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    calls: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    concurrent: Option<u32>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleBody {
    group: String,
    quorum: u32,
    mfa: bool,
    expires: Span,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum StateBody {
    Requested,
    Pending {
        until: String,
        approvals: Vec<ApprovalBody>,
    },
    Active(TermBody),
    Suspended(TermBody),
    Ended {
        reason: String,
        at: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        term: Option<TermBody>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    },
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TermBody {
    starts_at: String,
    expires_at: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    approvals: Vec<ApprovalBody>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ApprovalBody {
    person: String,
    at: String,
    mfa: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at_most: Option<Span>,
}

impl From<&Grant> for GrantBody {
    fn from(grant: &Grant) -> Self {
        let GrantRequest {
            id,
            grant: grant_id,
            agent,
            task,
            right,
            input,
            reason,
            duration,
            requested_at,
            parent,
            asked,
        } = &*grant.request;
        let Right {
            entitlement,
            operations,
            budget,
            proof,
            approval,
        } = &**right;
        let Budget {
            calls,
            bytes,
            concurrent,
        } = *budget;
        Self {
            id: id.to_string(),
            grant: grant_id.to_string(),
            agent: agent.to_string(),
            task: task.to_string(),
            entitlement: entitlement.to_string(),
            operations: operations.iter().map(ToString::to_string).collect(),
            input: input
                .iter()
                .map(|(name, value)| (name.to_string(), value.into()))
                .collect(),
            reason: reason.as_deref().map(ToOwned::to_owned),
            duration: span(*duration),
            budget: BudgetBody {
                calls,
                bytes,
                concurrent,
            },
            proof: proof.as_str().to_owned(),
            approval: approval.as_deref().map(Into::into),
            requested_at: requested_at.to_string(),
            parent: parent.as_deref().map(ToString::to_string),
            asked: (&**asked).into(),
            state: (&grant.state).into(),
        }
    }
}

impl GrantBody {
    pub(in super::super) fn into_model(self) -> Result<Grant, Failure> {
        let operations = self.operations.iter().map(|id| parse(id, "operation id"));
        let input = self.input.into_iter();
        let input = input.map(|(name, value)| (Arc::from(name), value.into()));
        let parent = self.parent.map(|parent| parse(&parent, "grant id"));
        let approval = self.approval.map(RuleBody::into_model);
        let right = Right {
            entitlement: parse(&self.entitlement, "entitlement id")?,
            operations: operations.collect::<Result<_, Failure>>()?,
            budget: Budget {
                calls: self.budget.calls,
                bytes: self.budget.bytes,
                concurrent: self.budget.concurrent,
            },
            proof: proof(&self.proof)?,
            approval: approval.transpose()?.map(Into::into),
        };
        let request = GrantRequest {
            id: parse(&self.id, "request id")?,
            grant: parse(&self.grant, "grant id")?,
            agent: parse(&self.agent, "agent id")?,
            task: parse(&self.task, "task id")?,
            right: right.into(),
            input: Shared::of(input.collect()),
            reason: self.reason.map(String::into_boxed_str),
            duration: duration(self.duration),
            requested_at: parse(&self.requested_at, "time")?,
            parent: parent.transpose()?.map(|parent: GrantId| parent.into()),
            asked: self.asked.into_model()?.into(),
        };
        Ok(Grant {
            request: Arc::new(request),
            state: self.state.into_model()?,
        })
    }
}

impl From<&InputValue> for InputBody {
    fn from(value: &InputValue) -> Self {
        match value {
            InputValue::Bool(value) => Self::Bool(*value),
            InputValue::Long(value) => Self::Long(*value),
            InputValue::String(value) => Self::String(value.to_string()),
        }
    }
}

impl From<InputBody> for InputValue {
    fn from(value: InputBody) -> Self {
        match value {
            InputBody::Bool(value) => Self::Bool(value),
            InputBody::Long(value) => Self::Long(value),
            InputBody::String(value) => Self::String(value.into()),
        }
    }
}

impl From<&Circumstances> for AskedBody {
    fn from(asked: &Circumstances) -> Self {
        let Circumstances {
            source,
            methods,
            holder,
        } = asked;
        Self {
            source: source.to_string(),
            methods: methods.iter().map(ToString::to_string).collect(),
            holder: holder.map(Into::into),
        }
    }
}

impl AskedBody {
    fn into_model(self) -> Result<Circumstances, Failure> {
        Ok(Circumstances {
            source: parse(&self.source, "address")?,
            methods: self.methods.into_iter().map(Arc::from).collect(),
            holder: self.holder.map(HolderBody::into_model).transpose()?,
        })
    }
}

impl From<Holder> for HolderBody {
    fn from(holder: Holder) -> Self {
        match holder {
            Holder::Certificate(digest) => Self::Certificate(digest.to_string()),
            Holder::DpopKey(digest) => Self::DpopKey(digest.to_string()),
        }
    }
}

impl HolderBody {
    fn into_model(self) -> Result<Holder, Failure> {
        let digest = |hex: &str| decode(Digest::from_hex(hex), hex, "digest");
        Ok(match self {
            Self::Certificate(hex) => Holder::Certificate(digest(&hex)?),
            Self::DpopKey(hex) => Holder::DpopKey(digest(&hex)?),
        })
    }
}

fn proof(code: &str) -> Result<Proof, Failure> {
    let all = [Proof::Bearer, Proof::Dpop, Proof::Mtls];
    let found = all.into_iter().find(|one| one.as_str() == code);
    decode(found, code, "proof")
}

impl From<&ApprovalRule> for RuleBody {
    fn from(rule: &ApprovalRule) -> Self {
        let ApprovalRule {
            group,
            quorum,
            mfa,
            expires,
        } = rule;
        Self {
            group: group.to_string(),
            quorum: *quorum,
            mfa: *mfa,
            expires: span(*expires),
        }
    }
}

impl RuleBody {
    fn into_model(self) -> Result<ApprovalRule, Failure> {
        Ok(ApprovalRule {
            group: parse(&self.group, "group")?,
            quorum: self.quorum,
            mfa: self.mfa,
            expires: duration(self.expires),
        })
    }
}

impl From<&GrantState> for StateBody {
    fn from(state: &GrantState) -> Self {
        match state {
            GrantState::Requested => Self::Requested,
            GrantState::Pending { until, approvals } => Self::Pending {
                until: until.to_string(),
                approvals: approvals.iter().map(Into::into).collect(),
            },
            GrantState::Active(term) => Self::Active(term.into()),
            GrantState::Suspended(term) => Self::Suspended(term.into()),
            GrantState::Ended {
                reason,
                at,
                term,
                note,
            } => Self::Ended {
                reason: reason.as_str().to_owned(),
                at: at.to_string(),
                term: term.as_deref().map(Into::into),
                note: note.as_ref().map(ToString::to_string),
            },
        }
    }
}

impl StateBody {
    fn into_model(self) -> Result<GrantState, Failure> {
        Ok(match self {
            Self::Requested => GrantState::Requested,
            Self::Pending { until, approvals } => GrantState::Pending {
                until: parse(&until, "time")?,
                approvals: models(approvals)?,
            },
            Self::Active(term) => GrantState::Active(term.into_model()?),
            Self::Suspended(term) => GrantState::Suspended(term.into_model()?),
            Self::Ended {
                reason: code,
                at,
                term,
                note,
            } => GrantState::Ended {
                reason: reason(&code)?,
                at: parse(&at, "time")?,
                term: term.map(TermBody::into_model).transpose()?.map(Box::new),
                note: note.map(Arc::from),
            },
        })
    }
}

impl From<&Term> for TermBody {
    fn from(term: &Term) -> Self {
        let Term {
            starts_at,
            expires_at,
            approvals,
        } = term;
        Self {
            starts_at: starts_at.to_string(),
            expires_at: expires_at.to_string(),
            approvals: approvals.iter().map(Into::into).collect(),
        }
    }
}

impl TermBody {
    fn into_model(self) -> Result<Term, Failure> {
        Ok(Term {
            starts_at: parse(&self.starts_at, "time")?,
            expires_at: parse(&self.expires_at, "time")?,
            approvals: Shared::approvals(models(self.approvals)?),
        })
    }
}

impl From<&Approval> for ApprovalBody {
    fn from(approval: &Approval) -> Self {
        let Approval {
            person,
            at,
            mfa,
            at_most,
        } = approval;
        Self {
            person: person.to_string(),
            at: at.to_string(),
            mfa: *mfa,
            at_most: at_most.map(span),
        }
    }
}

fn models(approvals: Vec<ApprovalBody>) -> Result<Vec<Approval>, Failure> {
    let approvals = approvals.into_iter().map(|approval| {
        Ok(Approval {
            person: parse(&approval.person, "person id")?,
            at: parse(&approval.at, "time")?,
            mfa: approval.mfa,
            at_most: approval.at_most.map(duration),
        })
    });
    approvals.collect()
}
