//! `Idempotency-Key`: a creation that is asked for again by the same caller with the same key is answered
//! again, and not done again. A restart does not forget that.
//!
//! Invariant: before a creation with a key begins, the store knows that it has; what was begun by a process
//! that is gone, and never answered, is not begun again.

mod answers;
mod records;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Body;
use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use tracing::warn;

use super::caller::Caller;
use super::error::ApiError;
use super::json::whole;
use super::state::Admin;
use crate::base::{BootInstant, Clock, Digest, ErrorChain};
use crate::store::{Change, DocumentKind, GrantStore, StoreError};
use answers::{Answers, REMEMBERED};

/// The longest key, and the largest body of a creation and of its answer, in bytes.
const LONGEST_KEY: usize = 255;
const LARGEST: usize = 64 * 1024;

/// The answers to creations.
#[derive(Debug)]
pub(super) struct Idempotency {
    store: Arc<dyn GrantStore>,
    clock: Clock,
    answers: Mutex<Answers>,
}

/// Why it is not known what was answered.
#[derive(Debug, thiserror::Error)]
pub enum IdempotencyError {
    /// The store remembers something that can't be understood.
    #[error("the store's answer `{0}` can't be understood")]
    Broken(String),
    /// The store can't be read.
    #[error("the answers to creations can't be read from the store")]
    Store(#[from] StoreError),
}

/// Who asked, under which key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    caller: String,
    key: String,
}

#[derive(Clone, Debug)]
struct Answered {
    /// Method, target and body.
    request: Digest,
    at: BootInstant,
    outcome: Outcome,
    /// Its place among all of them.
    number: u64,
}

/// How a creation came out.
#[derive(Clone, Debug)]
enum Outcome {
    /// It was done.
    Kept(Kept),
    /// A process began it that is gone: it was done, or was not.
    Lost,
    /// It is being done.
    Running,
}

#[derive(Clone, Debug)]
struct Kept {
    status: StatusCode,
    location: Option<HeaderValue>,
    body: Bytes,
}

impl Outcome {
    /// How long the answer is.
    fn bytes(&self) -> usize {
        match self {
            Self::Kept(kept) => {
                let location = kept.location.as_ref();
                kept.body.len() + location.map_or(0, HeaderValue::len)
            }
            Self::Lost | Self::Running => 0,
        }
    }
}

/// What to do with a creation.
#[derive(Debug)]
enum Turn {
    /// Another asks for something else under this key.
    Contradiction,
    /// It may have been done before a restart.
    Lost,
    /// It is being done at this moment.
    Running,
    /// It was done: this was the answer.
    Done(Kept),
    /// It is this one's to do, once the store has made these changes.
    Yours(Vec<Change>),
}

/// Answers creations once per key. Requests without a key pass.
pub(super) async fn once(
    State(admin): State<Arc<Admin>>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let Some(key) = key_of(request.headers())? else {
        return Ok(next.run(request).await);
    };
    if request.method() != Method::POST {
        return Ok(next.run(request).await);
    }
    let (mut parts, body) = request.into_parts();
    let caller = Caller::from_request_parts(&mut parts, &admin).await?;
    let name = caller.name();
    parts.extensions.insert(caller);
    let body = whole(body).await?;
    let target = parts
        .uri
        .path_and_query()
        .map_or("", |target| target.as_str());
    let digest = Digest::of_parts(&[target.as_bytes(), b"\n", &body]);
    let key = Key { caller: name, key };
    match admin.idempotency.turn(&key, digest) {
        Turn::Contradiction => {
            let detail = "this Idempotency-Key was used for another request";
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            Err(ApiError::refused(status, "idempotency_key_reused", detail))
        }
        Turn::Lost => {
            let detail = "the gateway was restarted while it answered the request with this \
                          Idempotency-Key: look whether it was done, and send another key if not";
            let status = StatusCode::CONFLICT;
            Err(ApiError::refused(status, "idempotency_unknown", detail))
        }
        Turn::Running => {
            let detail = "the request with this Idempotency-Key is being answered: come again";
            let error = ApiError::refused(StatusCode::CONFLICT, "idempotency_in_progress", detail);
            Err(error.retry_after(1))
        }
        Turn::Done(kept) => Ok(kept.into_response()),
        Turn::Yours(changes) => {
            let turn = Taken {
                admin: Arc::clone(&admin),
                key: Some(key),
            };
            let request = Request::from_parts(parts, Body::from(body));
            // Seen through also when the client hangs up: what was created has to be known.
            let done = tokio::spawn(turn.done(changes, request, next)).await;
            done.map_err(|_| ApiError::unavailable("overloaded", "the answer broke off"))?
        }
    }
}

/// A turn that was taken. Dropped before the creation began it is free again.
struct Taken {
    admin: Arc<Admin>,
    key: Option<Key>,
}

impl Taken {
    async fn done(
        mut self,
        begun: Vec<Change>,
        request: Request,
        next: Next,
    ) -> Result<Response, ApiError> {
        let admin = Arc::clone(&self.admin);
        let idempotency = &admin.idempotency;
        let stored = idempotency.store.commit(begun).await;
        stored.map_err(crate::grants::GrantsError::from)?;
        // From here on it may have happened.
        let Some(key) = self.key.take() else {
            return Err(ApiError::unavailable("overloaded", "the turn is over"));
        };
        let response = next.run(request).await;
        if !response.status().is_success() {
            // A refusal has created nothing, and is not remembered.
            idempotency.write(idempotency.free(&key)).await;
            return Ok(response);
        }
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, LARGEST).await;
        let body = body.map_err(|_| ApiError::unavailable("overloaded", "the answer broke off"))?;
        let kept = Kept {
            status: parts.status,
            location: parts.headers.get(header::LOCATION).cloned(),
            body: body.clone(),
        };
        idempotency.write(idempotency.keep(&key, kept)).await;
        Ok(Response::from_parts(parts, Body::from(body)))
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if let Some(key) = &self.key {
            // The store may know of it, and then says after a restart that it does not know more.
            drop(self.admin.idempotency.free(key));
        }
    }
}

impl Idempotency {
    /// What the store remembers, without what is too old.
    ///
    /// # Errors
    ///
    /// When the store can't be read, or holds what nobody wrote: what was done would be done again.
    pub(super) async fn open(
        store: Arc<dyn GrantStore>,
        clock: Clock,
    ) -> Result<Self, IdempotencyError> {
        let (now, wall) = clock.times();
        let mut answers = Answers::default();
        let mut old = Vec::new();
        let mut known: Vec<_> = Vec::new();
        for (id, text) in store.documents(DocumentKind::IdempotentAnswer).await? {
            let read = records::read(&text, now, wall);
            let (key, answered) = read.ok_or_else(|| IdempotencyError::Broken(id.clone()))?;
            if now < answered.at + REMEMBERED {
                known.push((key, answered));
            } else {
                old.push(records::forget(&key));
            }
        }
        known.sort_by_key(|(_, answered)| answered.at);
        for (key, answered) in known {
            old.extend(answers.insert(&key, answered));
        }
        if !old.is_empty() {
            store.commit(old).await?;
        }
        Ok(Self {
            store,
            clock,
            answers: Mutex::new(answers),
        })
    }

    fn turn(&self, key: &Key, request: Digest) -> Turn {
        let (now, wall) = self.clock.times();
        let mut answers = self.answers();
        let known = answers.by_key.get(key);
        if let Some(answered) = known.filter(|known| now < known.at + REMEMBERED) {
            return match &answered.outcome {
                _ if answered.request != request => Turn::Contradiction,
                Outcome::Kept(kept) => Turn::Done(kept.clone()),
                Outcome::Lost => Turn::Lost,
                Outcome::Running => Turn::Running,
            };
        }
        let mut changes = answers.forget_before(now);
        let answered = Answered {
            request,
            at: now,
            outcome: Outcome::Running,
            number: 0,
        };
        changes.push(records::put(key, &answered, wall));
        changes.extend(answers.insert(key, answered));
        Turn::Yours(changes)
    }

    /// Remembers what was created.
    fn keep(&self, key: &Key, kept: Kept) -> Vec<Change> {
        let mut answers = self.answers();
        let Some(answered) = answers.by_key.get_mut(key) else {
            return Vec::new();
        };
        answered.outcome = Outcome::Kept(kept);
        let bytes = answered.outcome.bytes();
        let mut changes = vec![records::put(key, answered, self.clock.wall())];
        answers.count(key, bytes);
        changes.extend(answers.shorten(key));
        changes
    }

    fn free(&self, key: &Key) -> Vec<Change> {
        self.answers().forget(key).into_iter().collect()
    }

    /// Writes what has become of a creation. Where that fails, the store still knows that it began, and
    /// it is not begun again.
    async fn write(&self, changes: Vec<Change>) {
        if let Err(error) = self.store.commit(changes).await {
            let error = ErrorChain(&error);
            warn!(%error, "the answer to a creation is not stored: a restart would forget it");
        }
    }

    fn answers(&self) -> MutexGuard<'_, Answers> {
        // What a poisoned lock holds is at worst forgotten too early or too late.
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key_of(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let mut values = headers.get_all("idempotency-key").iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let key = value.to_str().ok();
    let key = key.filter(|key| !key.trim().is_empty() && key.len() <= LONGEST_KEY);
    match (key, values.next()) {
        (Some(key), None) => Ok(Some(key.to_owned())),
        _ => {
            let detail = format!("Idempotency-Key is one text of at most {LONGEST_KEY} characters");
            Err(ApiError::malformed(detail))
        }
    }
}

impl IntoResponse for Kept {
    fn into_response(self) -> Response {
        let json = HeaderValue::from_static("application/json");
        let mut response = (self.status, self.body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, json);
        if let Some(location) = self.location {
            headers.insert(header::LOCATION, location);
        }
        headers.insert("idempotent-replayed", HeaderValue::from_static("true"));
        response
    }
}
