//! Errors of the API, as problem documents.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, Method, StatusCode, Uri, header};
use serde_json::Value;
use tracing::error;

use crate::access::{NextStep, Refused};
use crate::base::ErrorChain;
use crate::grants::GrantsError;
use crate::model::{DenyReason, Proof};
use crate::wire::{Challenge, DPOP_ALGORITHMS, PROBLEM_JSON, Problem};

/// An error of the API.
#[derive(Clone, Debug)]
pub(super) struct ApiError {
    status: StatusCode,
    code: &'static str,
    title: &'static str,
    detail: String,
    rule: Option<String>,
    /// What would change the answer.
    next: Option<Value>,
    /// What to come with instead.
    challenge: Option<Challenge>,
    /// The error of a DPoP challenge, and the nonce that goes with it.
    proof: Option<(Option<&'static str>, String)>,
    /// In how many seconds to come again.
    retry_after: Option<u64>,
}

impl ApiError {
    fn new(
        status: StatusCode,
        code: &'static str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            status,
            code,
            title,
            detail: detail.into(),
            rule: None,
            next: None,
            challenge: None,
            proof: None,
            retry_after: None,
        }
    }

    /// A refusal with a code of its own.
    pub(super) fn refused(
        status: StatusCode,
        code: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        let title = match status {
            StatusCode::CONFLICT => "It contradicts what there is",
            StatusCode::TOO_MANY_REQUESTS => "Too many tries",
            StatusCode::UNPROCESSABLE_ENTITY => "It contradicts what came before",
            _ => "Not for you",
        };
        Self::new(status, code, title, detail)
    }

    /// Says when to come again.
    pub(super) const fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// Whoever asks has too much going on already.
    pub(super) fn rate_limited(detail: impl Into<String>) -> Self {
        let (status, title) = (StatusCode::TOO_MANY_REQUESTS, "Too many requests");
        Self::new(status, DenyReason::RateLimited.as_str(), title, detail)
    }

    /// The request itself is wrong.
    pub(super) fn malformed(detail: impl Into<String>) -> Self {
        let title = "The request can't be read";
        Self::new(StatusCode::BAD_REQUEST, "request_malformed", title, detail)
    }

    /// The body has not come in time.
    pub(super) fn too_slow(limit: Duration) -> Self {
        let title = "The request took too long";
        let detail = format!("a body has to be there within {limit:?}");
        Self::new(StatusCode::REQUEST_TIMEOUT, "timeout", title, detail)
    }

    /// The body is too large.
    pub(super) fn too_large(detail: impl Into<String>) -> Self {
        let title = "The request is too large";
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", title, detail)
    }

    /// Nobody is asking, or nobody who is believed.
    pub(super) fn unauthenticated(reason: DenyReason, detail: impl Into<String>) -> Self {
        let title = "A token or an access key is needed";
        Self::new(StatusCode::UNAUTHORIZED, reason.as_str(), title, detail)
    }

    /// What is missing is a DPoP proof in order (RFC 9449 §7.1).
    pub(super) fn with_nonce(mut self, error: Option<&'static str>, nonce: String) -> Self {
        self.proof = Some((error, nonce));
        self
    }

    /// Says what would change the answer, as the refusal of a call does: by a challenge where another token or a
    /// proof is what is missing.
    fn leading_to(mut self, step: Option<NextStep>) -> Self {
        let challenge = match step {
            None => return self,
            Some(NextStep::Ask(requests)) => {
                self.next = Some(requests);
                return self;
            }
            Some(NextStep::Proof(Proof::Dpop)) => Challenge::dpop().with("algs", DPOP_ALGORITHMS),
            Some(NextStep::Proof(Proof::Bearer | Proof::Mtls)) => Challenge::bearer()
                .with("error", "invalid_token")
                .with("error_description", &self.detail),
            Some(NextStep::StepUp(step_up)) => step_up.challenge(Challenge::bearer(), &self.detail),
        };
        self.status = StatusCode::UNAUTHORIZED;
        self.challenge = Some(challenge);
        self
    }

    /// Whoever asks may not do this.
    pub(super) fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", "Not for you", detail)
    }

    /// There is no such thing, or it is another's.
    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "No such thing", detail)
    }

    /// The route is there, the method is not.
    fn no_such_method(detail: impl Into<String>) -> Self {
        let (status, title) = (StatusCode::METHOD_NOT_ALLOWED, "No such method");
        Self::new(status, "method_not_allowed", title, detail)
    }

    /// What is asked for contradicts what there is.
    pub(super) fn conflict(detail: impl Into<String>) -> Self {
        let title = "It contradicts what there is";
        Self::new(StatusCode::CONFLICT, "conflict", title, detail)
    }

    /// Nothing can be done at this moment.
    pub(super) fn unavailable(code: &'static str, detail: impl Into<String>) -> Self {
        let title = "Not at this moment";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, title, detail)
    }
}

impl From<GrantsError> for ApiError {
    fn from(failure: GrantsError) -> Self {
        let detail = ErrorChain(&failure).to_string();
        match failure {
            GrantsError::GrantUnknown(_)
            | GrantsError::RequestUnknown(_)
            | GrantsError::TaskUnknown(_) => Self::not_found(detail),
            GrantsError::Wider(_) => Self::malformed(detail),
            GrantsError::AgentRevoked(_)
            | GrantsError::NoLonger(_)
            | GrantsError::OutOfPlace(_)
            | GrantsError::TaskEnded(..)
            | GrantsError::TaskIdUsed(_)
            | GrantsError::TooDeep { .. }
            | GrantsError::TooManyGrants { .. }
            | GrantsError::TooManyPending { .. }
            | GrantsError::TooManyTasks { .. } => Self::conflict(detail),
            GrantsError::Stopping => Self::unavailable("stopping", detail),
            GrantsError::Unstored(_) => Self::unavailable("store_unavailable", detail),
            GrantsError::Store(_) => {
                error!(error = detail, "the store failed");
                Self::unavailable("store_unavailable", detail)
            }
        }
    }
}

impl From<Refused> for ApiError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Malformed(why) => Self::malformed(why),
            Refused::No {
                reason,
                detail,
                rules,
                next,
                ..
            } => {
                let title = "The rules do not allow this now";
                let mut error = Self::new(StatusCode::FORBIDDEN, reason.as_str(), title, detail);
                error.rule = rules.first().map(ToString::to_string);
                error.leading_to(next.map(|step| *step))
            }
            Refused::NotKept(failure) => failure.into(),
            Refused::Unrecorded(why) => Self::unavailable("audit_unavailable", why),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut problem = Problem::new(self.status, self.code, self.title, self.detail);
        problem.rule = self.rule;
        problem.next = self.next;
        let mut response = (self.status, problem.to_json()).into_response();
        let headers = response.headers_mut();
        let problem_json = HeaderValue::from_static(PROBLEM_JSON);
        headers.insert(header::CONTENT_TYPE, problem_json);
        // What is not there now may be there at once, and it is for this caller alone.
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if let Some(challenge) = self.challenge {
            headers.insert(header::WWW_AUTHENTICATE, challenge.into_header());
        } else if let Some((error, nonce)) = self.proof {
            let mut challenge = Challenge::dpop().with("algs", DPOP_ALGORITHMS);
            if let Some(error) = error {
                challenge = challenge.with("error", error);
            }
            headers.insert(header::WWW_AUTHENTICATE, challenge.into_header());
            if let Ok(nonce) = HeaderValue::from_str(&nonce) {
                headers.insert("dpop-nonce", nonce);
            }
        } else if self.status == StatusCode::UNAUTHORIZED {
            let mut challenge = Challenge::bearer();
            if self.code != DenyReason::TokenMissing.as_str() {
                challenge = challenge.with("error", "invalid_token");
            }
            headers.insert(header::WWW_AUTHENTICATE, challenge.into_header());
        }
        response
    }
}

pub(super) async fn no_such_route(method: Method, uri: Uri) -> ApiError {
    ApiError::not_found(format!("nothing answers to {method} {}", uri.path()))
}

pub(super) async fn no_such_method(method: Method, uri: Uri) -> ApiError {
    ApiError::no_such_method(format!("`{}` does not take {method}", uri.path()))
}
