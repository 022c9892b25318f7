//! A refusal in gRPC's words, beside HTTP's: its clients show a status and a message, and most of them nothing of
//! a body. What is told is what the body tells, in short.
//!
//! The head says it, which keeps clients from making a status of HTTP's (gRPC's `http-grpc-status-mapping`). What is
//! written in C, and Python and Ruby above it, takes the end from the last head alone: behind a body it is said
//! again.

#[cfg(test)]
mod tests;

use http::{HeaderMap, Response};
use serde_json::Value;

use super::Refusal;
use crate::model::DenyReason;
use crate::wire::{Body, GrpcCall, grpc_status};

/// The codes of gRPC that refusals have.
const INVALID_ARGUMENT: u8 = 3;
const DEADLINE_EXCEEDED: u8 = 4;
const PERMISSION_DENIED: u8 = 7;
const RESOURCE_EXHAUSTED: u8 = 8;
const UNIMPLEMENTED: u8 = 12;
const UNAVAILABLE: u8 = 14;
const UNAUTHENTICATED: u8 = 16;

impl Refusal {
    /// Has the response to a `call` say in gRPC's words what it says in HTTP's.
    pub(super) fn tell(&self, call: GrpcCall, response: &mut Response<Body>) {
        let status = grpc_status(code(self.reason), &self.message());
        response.headers_mut().extend(status.clone());
        if call == GrpcCall::Trailers {
            let body = std::mem::replace(response.body_mut(), Body::empty());
            *response.body_mut() = body.with_trailers(HeaderMap::from_iter(status));
        }
    }

    fn message(&self) -> String {
        let mut message = format!("{}: {}", self.reason, self.detail);
        if let Some(rule) = self.rules.first() {
            message.push_str(&format!(" (rule `{rule}`)"));
        }
        if let Some(next) = self.in_short() {
            message.push_str("; next: ");
            message.push_str(&next);
        }
        message
    }

    /// The next step, where there is one.
    fn in_short(&self) -> Option<String> {
        if let Some(seconds) = self.retry_after {
            return Some(format!("come again in {seconds} s"));
        }
        if self.reason == DenyReason::ProofRequired && self.rules.is_empty() {
            // No rule wants another token: what is missing beside this one, the detail says.
            return None;
        }
        let step = self.least_step()?;
        let said = |place: &str| step.pointer(place).and_then(Value::as_str);
        if let Some(proof) = said("/proof") {
            return Some(format!("a token bound by {proof}"));
        }
        if let Some(values) = said("/acr_values") {
            return Some(format!("a token whose `acr` is one of `{values}`"));
        }
        let entitlement = said("/authorization_details/0/entitlement")?;
        let mut next = String::new();
        if let (Some(tasks), Some(tokens)) = (said("/task_url"), said("/token_url")) {
            next.push_str(&format!("a task at {tasks}, a token for it at {tokens}, "));
        }
        let requests = said("/request_url")?;
        next.push_str(&format!("the entitlement `{entitlement}` at {requests}"));
        if step.pointer("/approval").and_then(Value::as_bool) == Some(true) {
            next.push_str(", for people to approve");
        }
        Some(next)
    }
}

/// The code of each reason.
const fn code(reason: DenyReason) -> u8 {
    use DenyReason as R;
    match reason {
        R::ApprovalRequired
        | R::ConditionDenied
        | R::GrantRequired
        | R::MfaRequired
        | R::NotEntitled => PERMISSION_DENIED,
        R::AuditUnavailable | R::Overloaded | R::Stale | R::UpstreamUnreachable => UNAVAILABLE,
        R::BudgetExhausted | R::RateLimited | R::TooLarge => RESOURCE_EXHAUSTED,
        R::InputInvalid | R::PathAmbiguous | R::RequestMalformed => INVALID_ARGUMENT,
        R::OperationUnknown => UNIMPLEMENTED,
        R::ProofInvalid
        | R::ProofRequired
        | R::TaskEnded
        | R::TokenExpired
        | R::TokenInvalid
        | R::TokenMissing => UNAUTHENTICATED,
        R::Timeout | R::UpstreamTimeout => DEADLINE_EXCEEDED,
    }
}
