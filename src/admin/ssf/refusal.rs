//! Why a security event token is not taken, as its transmitter is told (RFC 8935 §2.3, §2.4).

use std::fmt;
use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::json;

use crate::tokens::{Invalid, TokenError};

/// A registered code, and words.
#[derive(Debug)]
pub(in crate::admin) struct Refusal {
    status: StatusCode,
    code: &'static str,
    description: String,
}

impl Refusal {
    fn new(code: &'static str, description: impl Into<String>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            code,
            description: description.into(),
        }
    }

    /// It is no such token, or not an event as its definition says.
    pub(super) fn request(description: impl Into<String>) -> Self {
        Self::new("invalid_request", description)
    }

    /// It is from nobody who is believed.
    pub(super) fn issuer(description: impl Into<String>) -> Self {
        Self::new("invalid_issuer", description)
    }

    /// It does not come.
    pub(super) fn too_slow(limit: Duration) -> Self {
        let description = format!("the token has to be there within {limit:?}");
        Self {
            status: StatusCode::REQUEST_TIMEOUT,
            ..Self::request(description)
        }
    }

    /// The transmitter has not shown its credential for this endpoint, or nobody is one.
    pub(super) fn unauthenticated(description: &str) -> Self {
        Self {
            status: StatusCode::UNAUTHORIZED,
            ..Self::new("authentication_failed", description)
        }
    }

    /// It would be taken, and can't be at this moment.
    pub(super) fn unavailable() -> Self {
        Self {
            status: StatusCode::SERVICE_UNAVAILABLE,
            ..Self::new(
                "temporarily_unavailable",
                "what it asks for can't be done at this moment: send it again",
            )
        }
    }
}

impl From<TokenError> for Refusal {
    fn from(error: TokenError) -> Self {
        let code = match &error {
            TokenError::Invalid(Invalid::Issuer) => "invalid_issuer",
            TokenError::Invalid(Invalid::Audience) => "invalid_audience",
            TokenError::Invalid(
                Invalid::Algorithm
                | Invalid::KeyAmbiguous
                | Invalid::KeyMissing
                | Invalid::KeyUnknown
                | Invalid::Signature,
            ) => "invalid_key",
            TokenError::Expired | TokenError::Invalid(_) => "invalid_request",
        };
        let description = match &error {
            TokenError::Expired => "the token is too old".to_owned(),
            TokenError::Invalid(invalid) => invalid.to_string(),
        };
        Self::new(code, description)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.description)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = json!({ "err": self.code, "description": self.description });
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_LANGUAGE, HeaderValue::from_static("en"));
        match self.status {
            StatusCode::UNAUTHORIZED => {
                let bearer = HeaderValue::from_static("Bearer");
                headers.insert(header::WWW_AUTHENTICATE, bearer);
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        response
    }
}
