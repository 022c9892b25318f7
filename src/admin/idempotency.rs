//! `Idempotency-Key`: a creation that is asked for again by the same caller with the same key is answered
//! again, and not done again.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use super::caller::Caller;
use super::error::ApiError;
use super::state::Admin;
use crate::base::{BootInstant, Digest};

/// How long an answer is remembered.
const REMEMBERED: Duration = Duration::from_hours(24);

/// How many answers are remembered for one caller, and in all; the oldest are forgotten first.
const MOST_PER_CALLER: usize = 256;
const MOST: usize = 16_384;

/// The longest key, and the largest body of a creation and of its answer, in bytes.
const LONGEST_KEY: usize = 255;
const LARGEST: usize = 64 * 1024;

/// The answers to creations.
#[derive(Debug, Default)]
pub(super) struct Idempotency(Mutex<Answers>);

#[derive(Debug, Default)]
struct Answers {
    by_key: HashMap<Key, Answered>,
    /// The keys of each caller, oldest first.
    of_caller: HashMap<String, VecDeque<String>>,
    /// All keys, oldest first. One that is forgotten already is passed over.
    oldest: VecDeque<Key>,
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
    /// Nothing while it is being answered.
    answer: Option<Kept>,
}

#[derive(Clone, Debug)]
struct Kept {
    status: StatusCode,
    location: Option<HeaderValue>,
    body: Bytes,
}

/// What to do with a creation.
#[derive(Debug)]
enum Turn {
    /// Another asks for something else under this key.
    Contradiction,
    /// It is being done at this moment.
    Running,
    /// It was done: this was the answer.
    Done(Kept),
    /// It is this one's to do.
    Yours,
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
    let caller = match Caller::from_request_parts(&mut parts, &admin).await {
        Ok(Caller::Agent(agent)) => format!("agent {}", agent.id()),
        Ok(Caller::Person(known)) => format!("person {}", known.id()),
        Err(error) => return Err(error),
    };
    let too_large = |_| ApiError::too_large(format!("a body has at most {LARGEST} bytes"));
    let body = axum::body::to_bytes(body, LARGEST)
        .await
        .map_err(too_large)?;
    let target = parts
        .uri
        .path_and_query()
        .map_or("", |target| target.as_str());
    let digest = Digest::of_parts(&[target.as_bytes(), b"\n", &body]);
    let key = Key { caller, key };
    match admin.idempotency.turn(&key, digest, admin.clock.now()) {
        Turn::Contradiction => {
            let detail = "this Idempotency-Key was used for another request";
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            Err(ApiError::refused(status, "idempotency_key_reused", detail))
        }
        Turn::Running => {
            let detail = "the request with this Idempotency-Key is being answered: come again";
            let error = ApiError::refused(StatusCode::CONFLICT, "idempotency_in_progress", detail);
            Err(error.retry_after(1))
        }
        Turn::Done(kept) => Ok(kept.into_response()),
        Turn::Yours => {
            let turn = Taken {
                admin: &admin,
                key: Some(key),
            };
            let response = next.run(Request::from_parts(parts, Body::from(body))).await;
            turn.settle(response).await
        }
    }
}

/// A turn that was taken. Dropped without an answer, as when the client hangs up, it is free again.
struct Taken<'a> {
    admin: &'a Admin,
    key: Option<Key>,
}

impl Taken<'_> {
    /// Remembers what was created. A refusal has created nothing, and is not remembered.
    async fn settle(mut self, response: Response) -> Result<Response, ApiError> {
        if !response.status().is_success() {
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
        if let Some(key) = self.key.take() {
            self.admin.idempotency.keep(&key, kept);
        }
        Ok(Response::from_parts(parts, Body::from(body)))
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if let Some(key) = &self.key {
            self.admin.idempotency.free(key);
        }
    }
}

impl Idempotency {
    fn turn(&self, key: &Key, request: Digest, now: BootInstant) -> Turn {
        let mut answers = self.answers();
        answers.forget_before(now);
        if let Some(answered) = answers.by_key.get(key) {
            return match &answered.answer {
                _ if answered.request != request => Turn::Contradiction,
                None => Turn::Running,
                Some(kept) => Turn::Done(kept.clone()),
            };
        }
        answers.make_room(&key.caller);
        let answered = Answered {
            request,
            at: now,
            answer: None,
        };
        answers.by_key.insert(key.clone(), answered);
        answers.oldest.push_back(key.clone());
        let of_caller = answers.of_caller.entry(key.caller.clone());
        of_caller.or_default().push_back(key.key.clone());
        Turn::Yours
    }

    fn keep(&self, key: &Key, kept: Kept) {
        if let Some(answered) = self.answers().by_key.get_mut(key) {
            answered.answer = Some(kept);
        }
    }

    fn free(&self, key: &Key) {
        self.answers().forget(key);
    }

    fn answers(&self) -> MutexGuard<'_, Answers> {
        // What a poisoned lock holds is at worst forgotten too early or too late.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Answers {
    fn forget_before(&mut self, now: BootInstant) {
        while let Some(key) = self.oldest.front().cloned() {
            let kept = self.by_key.get(&key);
            if kept.is_some_and(|kept| now < kept.at + REMEMBERED) {
                return;
            }
            self.oldest.pop_front();
            self.forget(&key);
        }
    }

    fn make_room(&mut self, caller: &str) {
        let of_caller = self.of_caller.get(caller);
        if let Some(oldest) = of_caller.filter(|keys| keys.len() >= MOST_PER_CALLER)
            && let Some(key) = oldest.front().cloned()
        {
            let caller = caller.to_owned();
            self.forget(&Key { caller, key });
        }
        while self.oldest.len() >= MOST
            && let Some(key) = self.oldest.pop_front()
        {
            self.forget(&key);
        }
    }

    fn forget(&mut self, key: &Key) {
        if self.by_key.remove(key).is_none() {
            return;
        }
        if let Some(of_caller) = self.of_caller.get_mut(&key.caller) {
            of_caller.retain(|other| *other != key.key);
            if of_caller.is_empty() {
                self.of_caller.remove(&key.caller);
            }
        }
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
