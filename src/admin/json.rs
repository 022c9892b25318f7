//! JSON bodies with one reading, and errors that say what is wrong with them.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use http::header;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::error::ApiError;
use crate::wire::parse_json;

/// The largest body.
const LARGEST: usize = 64 * 1024;

/// How long a body may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// The deepest nesting.
const DEEPEST: usize = 16;

/// A whole body, if it is not too large and comes in time.
pub(super) async fn whole(body: Body) -> Result<Bytes, ApiError> {
    let bytes = timeout(PATIENCE, axum::body::to_bytes(body, LARGEST)).await;
    let bytes = bytes.map_err(|_| ApiError::too_slow(PATIENCE))?;
    bytes.map_err(|_| ApiError::too_large(format!("a body has at most {LARGEST} bytes")))
}

/// A body of type `application/json`. An empty one reads as `{}`, for requests without parameters.
#[derive(Debug)]
pub(super) struct Json<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let content_type = request.headers().get(header::CONTENT_TYPE);
        let json = content_type
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split(';').next())
            .is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"));
        let mut bytes = whole(request.into_body()).await?;
        if bytes.is_empty() {
            bytes = Bytes::from_static(b"{}");
        } else if !json {
            let detail = "send the body as `Content-Type: application/json`";
            return Err(ApiError::malformed(detail));
        }
        let value = parse_json(&bytes, DEEPEST);
        let value = value.map_err(|fault| ApiError::malformed(format!("the body is {fault}")))?;
        if !value.is_object() {
            return Err(ApiError::malformed("the body is no JSON object"));
        }
        let body = serde_json::from_value(value);
        body.map(Self)
            .map_err(|error| ApiError::malformed(format!("the body: {error}")))
    }
}
