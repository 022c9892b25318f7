//! What a client is told when the answer is no: status, challenge, and the next step where there is
//! one. Two messages always: a public one that helps an honest agent and teaches an attacker nothing,
//! and an internal one that lets the operator act.

mod grpc;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use serde_json::Value;

use super::request_id::RequestId;
use crate::access::{NextStep, StepUp};
use crate::audit::Written;
use crate::model::{DenyReason, Proof};
use crate::pdp::Requirement;
use crate::wire::{
    Body, Challenge, DPOP_ALGORITHMS, GrpcCall, PROBLEM_JSON, Problem, WEBSOCKET_VERSION,
};

/// The header that carries the nonce for the next proof (RFC 9449 §8.1).
pub(super) const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");

/// The header that carries the id to quote when asking about a request.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("portcullis-request-id");

/// A refusal on its way out.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    reason: DenyReason,
    /// Where it is not the reason's own.
    status: Option<StatusCode>,
    detail: String,
    rules: Vec<Arc<str>>,
    next: Option<Value>,
    /// The entitlement that would help.
    scope: Option<String>,
    /// All that the rule demands that would permit the call.
    demands: Vec<Requirement>,
    /// What `acr` has to say in another token, where its issuer can say so.
    step_up: Option<Box<StepUp>>,
    /// A certificate is missing rather than a DPoP proof.
    certificate: bool,
    /// The server's nonce is missing in a proof that is otherwise in order.
    nonce: bool,
    retry_after: Option<u64>,
    close: bool,
    /// The version of WebSockets is the wrong one.
    websocket_version: bool,
    /// The call of gRPC that it answers, if that is one.
    call: Option<GrpcCall>,
    /// For the log alone.
    internal: Option<String>,
    /// What the rules were asked, where they were.
    asked: Option<Written>,
}

impl Refusal {
    pub(super) fn new(reason: DenyReason, detail: impl Into<String>) -> Self {
        Self {
            reason,
            status: None,
            detail: detail.into(),
            rules: Vec::new(),
            next: None,
            scope: None,
            demands: Vec::new(),
            step_up: None,
            certificate: false,
            nonce: false,
            retry_after: None,
            close: false,
            websocket_version: false,
            call: None,
            internal: None,
            asked: None,
        }
    }

    /// A part of the request is over its limit: 413, 414 or 431. The rest of it is not read.
    pub(super) fn too_large(status: StatusCode, detail: impl Into<String>) -> Self {
        let mut refusal = Self::new(DenyReason::TooLarge, detail);
        refusal.status = Some(status);
        refusal.close = true;
        refusal
    }

    /// Names the rules that decided.
    pub(super) fn with_rules(mut self, rules: &[Arc<str>]) -> Self {
        self.rules = rules.to_vec();
        self
    }

    /// Says what would change the answer.
    pub(super) fn with_next(mut self, next: Value) -> Self {
        self.next = Some(next);
        self
    }

    /// Names the entitlement that would help.
    pub(super) fn with_scope(mut self, entitlement: &str) -> Self {
        self.scope = Some(entitlement.to_owned());
        self
    }

    /// Keeps what the rule demands.
    pub(super) fn with_demands(mut self, demands: Vec<Requirement>) -> Self {
        self.demands = demands;
        self
    }

    pub(super) fn demanded(&self) -> &[Requirement] {
        &self.demands
    }

    /// Another token is what is missing.
    pub(super) fn for_step_up(mut self, step_up: StepUp) -> Self {
        self.status = Some(StatusCode::UNAUTHORIZED);
        self.step_up = Some(Box::new(step_up));
        self
    }

    /// A client certificate is what is missing.
    pub(super) fn for_certificate(mut self) -> Self {
        self.certificate = true;
        self
    }

    /// The server's nonce is what is missing.
    pub(super) fn for_nonce(mut self) -> Self {
        self.nonce = true;
        self
    }

    /// Whether the challenge is one for a DPoP proof, which the server's nonce goes with.
    pub(super) fn wants_proof(&self) -> bool {
        let proof = matches!(
            self.reason,
            DenyReason::ProofInvalid | DenyReason::ProofRequired
        );
        proof && !self.certificate
    }

    /// What a rule demands, in a word, where one would permit the call with more shown.
    pub(super) const fn demands(&self) -> Option<&'static str> {
        match self.reason {
            reason @ (DenyReason::ApprovalRequired
            | DenyReason::MfaRequired
            | DenyReason::ProofRequired) => Some(reason.as_str()),
            _ => None,
        }
    }

    /// Says in how many seconds to come again.
    pub(super) fn with_retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// Says which version of WebSockets is spoken (RFC 6455 §4.4).
    pub(super) fn for_websocket_version(mut self) -> Self {
        self.websocket_version = true;
        self
    }

    /// It answers a call of gRPC, where that is one, and is told in its words too.
    pub(super) fn to(mut self, call: Option<GrpcCall>) -> Self {
        self.call = call;
        self
    }

    /// The connection can't be used again.
    pub(super) fn closing(mut self) -> Self {
        self.close = true;
        self
    }

    /// Adds what only the operator may know.
    pub(super) fn with_internal(mut self, internal: impl Into<String>) -> Self {
        self.internal = Some(internal.into());
        self
    }

    /// Adds what the rules were asked.
    pub(super) fn with_asked(mut self, asked: Option<Written>) -> Self {
        self.asked = asked;
        self
    }

    pub(super) const fn asked(&self) -> Option<&Written> {
        self.asked.as_ref()
    }

    pub(super) fn detail(&self) -> &str {
        &self.detail
    }

    /// What would help: what the refusal says of it, and how to show what is missing where only its challenge says
    /// that.
    pub(super) fn least_step(&self) -> Option<Value> {
        if self.next.is_some() {
            return self.next.clone();
        }
        match self.reason {
            DenyReason::MfaRequired => Some(self.step_up.as_ref()?.to_json()),
            DenyReason::ProofRequired => {
                let proof = if self.certificate {
                    Proof::Mtls
                } else {
                    Proof::Dpop
                };
                Some(NextStep::Proof(proof).to_json())
            }
            _ => None,
        }
    }

    pub(super) const fn reason(&self) -> DenyReason {
        self.reason
    }

    pub(super) fn rules(&self) -> &[Arc<str>] {
        &self.rules
    }

    pub(super) fn internal(&self) -> Option<&str> {
        self.internal.as_deref()
    }

    pub(super) fn status(&self) -> StatusCode {
        self.status.unwrap_or_else(|| self.kind().0)
    }

    /// The response. `metadata` is the URL of the protected-resource metadata (RFC 9728) that a
    /// challenge points to.
    pub(super) fn respond(&self, metadata: &str, request_id: &RequestId) -> Response<Body> {
        let status = self.status();
        let code = self.reason.as_str();
        let mut problem = Problem::new(status, code, self.kind().1, self.detail.as_str());
        problem.request_id = Some(request_id.to_string());
        problem.rule = self.rules.first().map(ToString::to_string);
        problem.next.clone_from(&self.next);
        let mut response = Response::new(Body::full(problem.to_json()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        let problem_json = HeaderValue::from_static(PROBLEM_JSON);
        headers.insert(header::CONTENT_TYPE, problem_json);
        // A refusal is about this moment: the next one may be answered otherwise.
        let no_store = HeaderValue::from_static("no-store");
        headers.insert(header::CACHE_CONTROL, no_store);
        headers.insert(REQUEST_ID, request_id.to_header());
        if let Some(challenge) = self.challenge(metadata) {
            headers.insert(header::WWW_AUTHENTICATE, challenge.into_header());
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.websocket_version {
            let version = HeaderValue::from_static(WEBSOCKET_VERSION);
            headers.insert(header::SEC_WEBSOCKET_VERSION, version);
        }
        if self.close {
            let close = HeaderValue::from_static("close");
            headers.insert(header::CONNECTION, close);
        }
        if let Some(call) = self.call {
            self.tell(call, &mut response);
        }
        response
    }

    /// Status and title of each reason.
    const fn kind(&self) -> (StatusCode, &'static str) {
        use DenyReason as R;
        use StatusCode as S;
        match self.reason {
            R::ApprovalRequired => (S::FORBIDDEN, "A person has to approve this"),
            R::AuditUnavailable => (S::SERVICE_UNAVAILABLE, "The decision can't be recorded"),
            R::BudgetExhausted => (S::FORBIDDEN, "The grant's budget is used up"),
            R::ConditionDenied => (S::FORBIDDEN, "A rule does not allow this now"),
            R::GrantRequired => (S::FORBIDDEN, "A grant is needed"),
            R::InputInvalid => (S::BAD_REQUEST, "An input is missing or malformed"),
            R::MfaRequired => (S::FORBIDDEN, "A second factor is needed"),
            R::NotEntitled => (S::FORBIDDEN, "Not for this agent"),
            R::OperationUnknown => (S::NOT_FOUND, "No such operation"),
            R::Overloaded => (S::SERVICE_UNAVAILABLE, "The gateway is at its limit"),
            R::PathAmbiguous => (S::BAD_REQUEST, "The path can be read in two ways"),
            R::ProofInvalid => (S::UNAUTHORIZED, "The proof of possession is wrong"),
            R::ProofRequired => (S::UNAUTHORIZED, "A proof of possession is needed"),
            R::RateLimited => (S::TOO_MANY_REQUESTS, "Too many requests"),
            R::RequestMalformed => (S::BAD_REQUEST, "The request can't be read in one way"),
            R::Stale => (S::SERVICE_UNAVAILABLE, "What the gateway knows is too old"),
            R::TaskEnded => (S::UNAUTHORIZED, "The task has ended"),
            R::Timeout => (S::REQUEST_TIMEOUT, "The request took too long"),
            R::TokenExpired => (S::UNAUTHORIZED, "The token has expired"),
            R::TokenInvalid => (S::UNAUTHORIZED, "The token is not valid"),
            R::TokenMissing => (S::UNAUTHORIZED, "A token is needed"),
            R::TooLarge => (S::PAYLOAD_TOO_LARGE, "A part of the request is too large"),
            R::UpstreamTimeout => (S::GATEWAY_TIMEOUT, "The service took too long"),
            R::UpstreamUnreachable => (S::BAD_GATEWAY, "The service can't be reached"),
        }
    }

    fn challenge(&self, metadata: &str) -> Option<Challenge> {
        use DenyReason as R;
        let bearer = || Challenge::bearer().with("resource_metadata", metadata);
        let because = |error: &str| {
            let described = bearer().with("error", error);
            described.with("error_description", &self.detail)
        };
        match self.reason {
            R::TokenMissing => Some(bearer()),
            R::TokenExpired | R::TokenInvalid | R::TaskEnded => Some(because("invalid_token")),
            R::ProofInvalid | R::ProofRequired if self.certificate => {
                Some(because("invalid_token"))
            }
            R::ProofRequired if self.nonce => Some(
                Challenge::dpop()
                    .with("algs", DPOP_ALGORITHMS)
                    .with("error", "use_dpop_nonce"),
            ),
            R::ProofRequired => Some(Challenge::dpop().with("algs", DPOP_ALGORITHMS)),
            R::ProofInvalid => Some(
                Challenge::dpop()
                    .with("algs", DPOP_ALGORITHMS)
                    .with("error", "invalid_dpop_proof"),
            ),
            R::GrantRequired => {
                let challenge = Challenge::bearer().with("error", "insufficient_scope");
                // Where what a call ran under has ended, and nothing can be asked for instead.
                let challenge = match &self.scope {
                    Some(scope) => challenge.with("scope", scope),
                    None => challenge,
                };
                Some(challenge.with("resource_metadata", metadata))
            }
            R::MfaRequired => {
                let step_up = self.step_up.as_deref()?;
                Some(step_up.challenge(bearer(), &self.detail))
            }
            R::ApprovalRequired
            | R::AuditUnavailable
            | R::BudgetExhausted
            | R::ConditionDenied
            | R::InputInvalid
            | R::NotEntitled
            | R::OperationUnknown
            | R::Overloaded
            | R::PathAmbiguous
            | R::RateLimited
            | R::RequestMalformed
            | R::Stale
            | R::Timeout
            | R::TooLarge
            | R::UpstreamTimeout
            | R::UpstreamUnreachable => None,
        }
    }
}
