//! OAuth errors (RFC 6749 §5.2) as answers.

#[cfg(test)]
mod tests;

use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde_json::{Map, Value};

use crate::wire::Challenge;

/// The header that carries the nonce for the next proof (RFC 9449 §8).
pub(super) const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");

/// An error of an endpoint.
#[derive(Clone, Debug)]
pub(super) struct OAuthError {
    pub(super) code: &'static str,
    pub(super) description: String,
    status: Option<StatusCode>,
    /// The scheme by which the client tried to authenticate.
    scheme: Option<&'static str>,
    nonce: Option<String>,
    members: Map<String, Value>,
}

impl OAuthError {
    pub(super) fn new(code: &'static str, description: impl Into<String>) -> Self {
        Self {
            code,
            description: description.into(),
            status: None,
            scheme: None,
            nonce: None,
            members: Map::new(),
        }
    }

    /// The request is malformed, or contradicts what there is.
    pub(super) fn invalid_request(description: impl Into<String>) -> Self {
        Self::new("invalid_request", description)
    }

    /// The client is not who it says. One description for all causes: the log has them.
    pub(super) fn invalid_client() -> Self {
        let description = "the client authentication is not one that this server believes";
        Self::new("invalid_client", description)
    }

    /// The body is too large.
    pub(super) fn too_large(limit: usize) -> Self {
        let error = Self::invalid_request(format!("a body has at most {limit} bytes"));
        error.with_status(StatusCode::PAYLOAD_TOO_LARGE)
    }

    /// The body does not come.
    pub(super) fn too_slow(limit: Duration) -> Self {
        let error = Self::invalid_request(format!("a body has to be there within {limit:?}"));
        error.with_status(StatusCode::REQUEST_TIMEOUT)
    }

    /// Nothing can be decided at this moment.
    pub(super) fn unavailable(description: impl Into<String>) -> Self {
        Self::new("temporarily_unavailable", description)
    }

    /// Something here does not work.
    pub(super) fn server(description: impl Into<String>) -> Self {
        Self::new("server_error", description)
    }

    /// Names the scheme of the `Authorization` header that the client sent.
    pub(super) const fn with_scheme(mut self, scheme: &'static str) -> Self {
        self.scheme = Some(scheme);
        self
    }

    /// Gives the nonce for the client's next proof.
    pub(super) fn with_nonce(mut self, nonce: String) -> Self {
        self.nonce = Some(nonce);
        self
    }

    /// Answers with another status than usual.
    pub(super) const fn with_status(mut self, status: StatusCode) -> Self {
        self.status = Some(status);
        self
    }

    /// Adds a member to the body.
    pub(super) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.members.insert(name.to_owned(), value.into());
        self
    }

    fn status(&self) -> StatusCode {
        self.status.unwrap_or(match self.code {
            "invalid_client" => StatusCode::UNAUTHORIZED,
            "temporarily_unavailable" => StatusCode::SERVICE_UNAVAILABLE,
            "server_error" => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_REQUEST,
        })
    }
}

impl IntoResponse for OAuthError {
    fn into_response(self) -> Response {
        let status = self.status();
        let mut body = self.members;
        body.insert("error".to_owned(), self.code.into());
        let description = printable(&self.description);
        body.insert("error_description".to_owned(), description.into());
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        keep_out_of_caches(headers);
        if status == StatusCode::UNAUTHORIZED {
            // With the scheme that the client used (RFC 6749 §5.2), or else with the one that all
            // know, because a 401 has a challenge (RFC 9110 §15.5.2).
            let challenge = match self.scheme {
                Some("Basic") => Challenge::basic().with("realm", "portcullis"),
                Some("DPoP") => Challenge::dpop().with("error", self.code),
                _ => Challenge::bearer().with("error", self.code),
            };
            headers.insert(header::WWW_AUTHENTICATE, challenge.into_header());
        }
        if let Some(nonce) = self.nonce
            && let Ok(nonce) = HeaderValue::from_str(&nonce)
        {
            headers.insert(DPOP_NONCE, nonce);
        }
        response
    }
}

/// Answers about credentials are for nobody's cache (RFC 6749 §5.1).
pub(super) const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// Keeps an answer out of caches, by both headers that RFC 6749 §5.1 wants in one with a token.
pub(super) fn keep_out_of_caches(headers: &mut HeaderMap) {
    headers.insert(header::CACHE_CONTROL, NO_STORE);
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
}

/// RFC 6749 §5.2 allows printable ASCII without quote and backslash in a description.
fn printable(description: &str) -> String {
    let plain = description.chars().map(|c| match c {
        '"' | '\\' => '\'',
        ' '..='~' => c,
        _ => '?',
    });
    plain.collect()
}
