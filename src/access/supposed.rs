//! Calls that are only supposed: would this pass? The answer comes from the code that serves; what is
//! here is the question and the shape of the answer.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method};
use jiff::tz::TimeZone;

use super::Asker;
use super::again::explained;
use super::requests::{denied, judge};
use crate::audit::Asked;
use crate::config::Diagnostics;
use crate::model::{
    Agreed, Ask, DenyReason, Entitlement, EntitlementId, GrantId, GroupName, Inputs, OperationId,
    Question, RiskFacts, UsualFacts,
};
use crate::pdp::{Decision, Seen};

/// Signals that take the place of the measured ones. What is `None` stays as it is measured.
#[derive(Clone, Debug, Default)]
pub struct SupposedSignals {
    /// Whether the agent has been seen at its address before.
    pub known: Option<bool>,
    /// The country of its address.
    pub country: Option<Arc<str>>,
    /// How risky it looks.
    pub risk: Option<RiskFacts>,
    /// What is usual for it.
    pub usual: Option<UsualFacts>,
    /// How many factors it has shown.
    pub factors: Option<i64>,
    /// Whether Cedar's own authorizer judges what the rules say, whatever is compiled.
    pub by_cedar: bool,
}

impl SupposedSignals {
    pub(super) fn replace(&self, question: &mut Question<'_>) {
        if let Some(known) = self.known {
            question.source.known = known;
        }
        if let Some(country) = &self.country {
            question.source.country = Some(Arc::clone(country));
        }
        if let Some(risk) = self.risk {
            question.risk = risk;
        }
        if let Some(usual) = self.usual {
            question.usual = usual;
        }
        if let Some(factors) = self.factors {
            question.auth.factors = factors;
        }
    }
}

/// A call that nobody makes.
#[derive(Clone, Debug)]
pub struct SupposedCall {
    /// Its method.
    pub method: Method,
    /// A URL, or a path for the gateway's own host.
    pub url: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body; none counts as an empty one.
    pub body: Option<Bytes>,
    /// Its inputs, where they are known and its body is not.
    pub inputs: Option<Inputs>,
    /// Why its token would not be believed, where it would not.
    pub disbelieved: Option<(DenyReason, &'static str)>,
}

/// A grant that is suspended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Suspension {
    /// The rule that suspended it, where that is known and the agent's own.
    pub rule: Option<Arc<str>>,
    /// What the rule tells.
    pub message: Option<Arc<str>>,
    /// What would have to be otherwise, all of it, for the rule to let it go.
    pub needs: Vec<String>,
}

/// What would become of a call.
#[derive(Clone, Debug, Default)]
pub struct Explanation {
    /// Why it would be refused; none where it would pass.
    pub code: Option<DenyReason>,
    /// What the agent would be told.
    pub detail: Option<String>,
    /// The rules that decide, by id.
    pub rules: Vec<Arc<str>>,
    /// What these rules, and the others that could apply, were given to read.
    pub signals: Seen,
    /// What of the signals would have to be otherwise, all of it, for the rules not to stand in the way.
    pub needs: Vec<String>,
    /// The suspension that the grant is under.
    pub suspended: Option<Suspension>,
    /// The least step that would help, as the refusal would tell it.
    pub next: Option<serde_json::Value>,
    /// The operation that it calls.
    pub operation: Option<OperationId>,
    /// The grant that it would pass under, or that came closest.
    pub grant: Option<GrantId>,
    /// The entitlement of that grant.
    pub entitlement: Option<EntitlementId>,
    /// Whose people are asked first, where a request would wait for them.
    pub approval: Option<GroupName>,
    /// What went wrong on our side, for operators alone.
    pub internal: Option<String>,
}

impl Explanation {
    /// A refusal before any rule is asked.
    #[must_use]
    pub fn refused(code: DenyReason, detail: impl Into<String>) -> Self {
        Self {
            code: Some(code),
            detail: Some(detail.into()),
            ..Self::default()
        }
    }
}

impl Asker<'_> {
    /// Tells what would become of asking for `entitlement`. With `approved_by` people have
    /// agreed already.
    #[must_use]
    pub fn explain_request(
        &self,
        entitlement: &Entitlement,
        approved_by: Option<Agreed<'_>>,
    ) -> Explanation {
        let judged = match approved_by {
            None => judge(self, entitlement)
                .map(|(permit, rule)| (permit, rule.map(|r| r.group.clone()))),
            Some(agreed) => match self.decide_request(entitlement, agreed) {
                Decision::Allow(permit) => Ok((permit, None)),
                Decision::Deny(denial) => Err(denied(entitlement, denial)),
            },
        };
        match judged {
            Ok((permit, approval)) => Explanation {
                rules: permit.rules().to_vec(),
                approval,
                ..Explanation::default()
            },
            Err(refused) => explained(refused),
        }
    }

    /// What the rules are asked about whoever asks, for the record. `ruled` is what they said.
    #[must_use]
    pub fn asked(
        &self,
        entitlement: &EntitlementId,
        approved_by: Agreed<'_>,
        ruled: Option<DenyReason>,
    ) -> Option<Box<Asked>> {
        let ask = Ask::Request {
            entitlement,
            approved_by,
        };
        let utc = TimeZone::UTC;
        Asked::of(&self.question(ask, &utc), ruled).map(Box::new)
    }
}

/// Whoever can tell what would become of a call.
pub trait Explains: Send + Sync + fmt::Debug {
    /// Tells what would become of a call, and does nothing: no budget, no lease, no history, no record.
    fn explain(&self, asker: &Asker<'_>, call: SupposedCall) -> Explanation;
}

/// What an operator wants of the candidate that is asked beside the live policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShadowWish {
    /// Ask the one in this directory of the gateway's machine.
    Directory(std::path::PathBuf),
    /// Ask none.
    Stop,
}

/// Whoever asks a candidate beside the live policies.
pub trait Shadows: Send + Sync + fmt::Debug {
    /// Looks at the candidate's files now, at others where a wish says so. What is returned ends when that
    /// is done.
    ///
    /// # Errors
    ///
    /// Why there can be no candidate in that directory.
    fn wish(&self, wish: Option<ShadowWish>) -> Result<tokio::sync::oneshot::Receiver<()>, String>;

    /// Where it stands, as JSON; `null` where there is no candidate.
    fn view(&self) -> serde_json::Value;

    /// How the live policies fare beside Cedar's own authorizer, as JSON; `null` where it is not asked.
    fn checks(&self) -> serde_json::Value;
}

/// Whoever can tell what the policy files as they are now would change.
pub trait Compares: Send + Sync + fmt::Debug {
    /// Compares the candidate with the live policies, as JSON: what agents may ask for, the grants that
    /// would end, and the decisions of late. It takes its time, and blocks.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with the candidate.
    fn compare(&self) -> Result<serde_json::Value, Diagnostics>;
}
