//! Parts of a request's target, with errors that are problem documents.

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{self, FromRequestParts};
use http::request::Parts;
use serde::de::DeserializeOwned;

use super::error::ApiError;

/// The parameters of a route.
#[derive(Debug)]
pub(super) struct Path<T>(pub(super) T);

/// The parameters of a query.
#[derive(Debug)]
pub(super) struct Query<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let read = extract::Path::from_request_parts(parts, state).await;
        let malformed = |why: PathRejection| ApiError::malformed(why.body_text());
        read.map(|extract::Path(value)| Self(value))
            .map_err(malformed)
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let read = extract::Query::from_request_parts(parts, state).await;
        let malformed = |why: QueryRejection| ApiError::malformed(why.body_text());
        read.map(|extract::Query(value)| Self(value))
            .map_err(malformed)
    }
}
