//! What the record of a decision says of it, so that it can be decided again later.

use std::sync::Arc;

use super::NotDecided;
use crate::access::people::Known;
use crate::approvals::definition;
use crate::audit::{AskedAgreement, AskedCode, AskedStep, Record, Verdict};
use crate::base::ErrorChain;
use crate::model::{ApprovalRule, GrantRequest};

/// What is kept of a person's decision about a request, before anything of it is known.
pub(super) fn agreement_of(
    who: &Known,
    request: &GrantRequest,
    rule: &ApprovalRule,
    openers: Vec<Arc<str>>,
) -> AskedAgreement {
    AskedAgreement {
        declines: false,
        definition: definition(request),
        duration: request.duration,
        max_concurrent: request.right.budget.concurrent,
        rule: rule.clone(),
        hands: who.hands.iter().cloned().collect(),
        openers,
        again: false,
        shown: false,
        at_most: None,
        code: AskedCode::None,
        last: false,
        taken: false,
    }
}

/// Says more of a person's decision, where what it was about is kept.
pub(super) fn change_step(record: &mut Record, change: impl FnOnce(&mut AskedAgreement)) {
    let step = record.asked.as_mut().and_then(|asked| asked.step.as_mut());
    if let Some(AskedStep::Agreement(step)) = step.map(|step| &mut **step) {
        change(step);
    }
}

/// Notes which request it is about.
pub(super) fn about(record: &mut Record, request: &GrantRequest) {
    record.agent = Some(request.agent.clone());
    record.task = Some(request.task.clone());
    record.request = Some(request.id.clone());
    record.entitlement = Some(request.right.entitlement.clone());
}

/// Notes that such a step was refused.
pub(super) fn describe_refusal(record: &mut Record, step: &str, error: &NotDecided) {
    record.verdict = Verdict::Deny(error.reason());
    record.detail = Some(format!("{step} refused: {}", ErrorChain(error)));
}
