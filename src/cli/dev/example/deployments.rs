//! A release desk: deployments that take some minutes and tell how they go.

use std::collections::VecDeque;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};

use super::log::Log;
use super::{Seen, Shared, lock};
use crate::base::{BootInstant, Clock, random_id};

/// How many deployments are remembered; the oldest are forgotten first.
const REMEMBERED: usize = 64;
/// The longest service name or version, in bytes.
const LONGEST_WORD: usize = 64;
/// How many events a deployment's log has, and how far apart they are: some minutes in all.
const EVENTS: u64 = 600;
const PACE: Duration = Duration::from_millis(500);
/// How long a deployment takes: as long as its log.
const TAKES: Duration = Duration::from_mins(5);

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/deployments", get(list).post(start))
        .route("/deployments/{id}", get(read))
        .route("/deployments/{id}/log", get(log))
}

/// The deployments that are remembered, oldest first.
#[derive(Debug)]
pub(super) struct Deployments(VecDeque<Deployment>);

#[derive(Clone, Debug)]
struct Deployment {
    id: String,
    service: String,
    version: String,
    done_at: BootInstant,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StartBody {
    service: String,
    version: String,
}

impl Deployments {
    /// The deployments that every start begins with: one done, one under way.
    pub(super) fn stocked(clock: &Clock) -> Self {
        let now = clock.now();
        let deployment = |id: &str, service: &str, version: &str, done_at| Deployment {
            id: id.to_owned(),
            service: service.to_owned(),
            version: version.to_owned(),
            done_at,
        };
        Self(VecDeque::from([
            deployment("dep_1", "checkout", "4.1.0", now),
            deployment("dep_2", "search", "2.7.3", now + TAKES),
        ]))
    }

    fn find(&self, id: &str) -> Option<&Deployment> {
        self.0.iter().find(|deployment| deployment.id == id)
    }

    fn start(&mut self, body: StartBody, now: BootInstant) -> Deployment {
        if self.0.len() >= REMEMBERED {
            self.0.pop_front();
        }
        let deployment = Deployment {
            id: random_id("dep"),
            service: body.service,
            version: body.version,
            done_at: now + TAKES,
        };
        self.0.push_back(deployment.clone());
        deployment
    }
}

impl Deployment {
    fn to_json(&self, now: BootInstant) -> Value {
        let left = self.done_at - now;
        json!({
            "id": self.id,
            "service": self.service,
            "version": self.version,
            "state": if left.is_zero() { "done" } else { "rolling_out" },
            "seconds_left": left.as_secs(),
        })
    }
}

async fn list(State(shared): State<Shared>, seen: Seen) -> Response {
    let now = shared.clock.now();
    let deployments = lock(&shared.deployments);
    let items: Vec<_> = deployments.0.iter().map(|one| one.to_json(now)).collect();
    seen.answer(StatusCode::OK, json!({ "deployments": items }))
}

async fn read(State(shared): State<Shared>, seen: Seen, Path(id): Path<String>) -> Response {
    let now = shared.clock.now();
    let found = lock(&shared.deployments)
        .find(&id)
        .map(|one| one.to_json(now));
    match found {
        Some(deployment) => seen.answer(StatusCode::OK, json!({ "deployment": deployment })),
        None => seen.refuse(StatusCode::NOT_FOUND, UNKNOWN),
    }
}

async fn start(State(shared): State<Shared>, seen: Seen, body: Bytes) -> Response {
    let word = |text: &str| !text.is_empty() && text.len() <= LONGEST_WORD;
    let body = serde_json::from_slice::<StartBody>(&body).ok();
    let Some(body) = body.filter(|body| word(&body.service) && word(&body.version)) else {
        let message = "the body is JSON: {\"service\": \"checkout\", \"version\": \"4.2.0\"}";
        return seen.refuse(StatusCode::UNPROCESSABLE_ENTITY, message);
    };
    let now = shared.clock.now();
    let deployment = lock(&shared.deployments).start(body, now);
    let document = json!({ "deployment": deployment.to_json(now) });
    seen.answer(StatusCode::ACCEPTED, document)
}

/// Server-sent events, one each half second, for minutes.
async fn log(State(shared): State<Shared>, seen: Seen, Path(id): Path<String>) -> Response {
    let found = lock(&shared.deployments).find(&id).cloned();
    let Some(deployment) = found else {
        return seen.refuse(StatusCode::NOT_FOUND, UNKNOWN);
    };
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    let log = Log::new(&deployment.service, &deployment.version, PACE, EVENTS);
    (headers, axum::body::Body::new(log)).into_response()
}

const UNKNOWN: &str = "there is no such deployment";
