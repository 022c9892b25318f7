//! The example service that `dev` puts behind the gateway: a shop's orders and a release desk's
//! deployments, in memory.
//!
//! The entry point is [`start`]. Each JSON answer repeats under `seen` what the gateway told the
//! service about the call, so that a newcomer sees what an upstream gets.
//!
//! Invariant: the service trusts its one client, the gateway, and checks nothing but the shape of
//! what it is sent. It answers 400 to an `Authorization` header, which must never get this far.

mod deployments;
mod log;
mod orders;
mod serve;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRequestParts, Request};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::request::Parts;
use http::{HeaderMap, StatusCode, header};
use serde_json::{Value, json};
use tokio::net::TcpListener;

pub(in crate::cli) use self::serve::serve;
use crate::base::Clock;

/// The largest request body, in bytes.
const LARGEST_BODY: usize = 64 << 10;

/// Binds the example service to `address` (port 0 for any that is free) and returns where it
/// listens, and the service itself: it runs while the future is polled, and stops with it.
///
/// # Errors
///
/// When the address can't be bound.
pub async fn start(
    address: SocketAddr,
    clock: Clock,
) -> anyhow::Result<(SocketAddr, impl Future<Output = ()> + Send + 'static)> {
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("the example service can't listen on `{address}`"))?;
    let address = listener.local_addr()?;
    Ok((address, serve(listener, router(clock))))
}

fn router(clock: Clock) -> Router {
    let shared = Shared {
        orders: Arc::new(Mutex::new(orders::Orders::stocked())),
        deployments: Arc::new(Mutex::new(deployments::Deployments::stocked(&clock))),
        clock,
    };
    Router::new()
        .route(
            "/healthz",
            get(async || json_answer(StatusCode::OK, json!({"status": "ok"}))),
        )
        .route("/status", get(status))
        .merge(orders::routes())
        .merge(deployments::routes())
        .fallback(async |seen: Seen| seen.refuse(StatusCode::NOT_FOUND, "there is nothing here"))
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .layer(middleware::from_fn(turn_credentials_away))
        .with_state(shared)
}

/// What all handlers share.
#[derive(Clone, Debug)]
struct Shared {
    orders: Arc<Mutex<orders::Orders>>,
    deployments: Arc<Mutex<deployments::Deployments>>,
    clock: Clock,
}

/// The state behind a lock, also where a handler panicked with it: each change is complete in itself.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An agent's token is for the gateway alone.
async fn turn_credentials_away(seen: Seen, request: Request, next: Next) -> Response {
    if request.headers().contains_key(header::AUTHORIZATION) {
        let message = "an `Authorization` header got through the gateway";
        return seen.refuse(StatusCode::BAD_REQUEST, message);
    }
    next.run(request).await
}

async fn status(seen: Seen) -> Response {
    seen.answer(
        StatusCode::OK,
        json!({ "service": "example", "status": "open" }),
    )
}

/// What the gateway told the service about a call.
#[derive(Clone, Debug)]
struct Seen(Value);

impl<S: Sync> FromRequestParts<S> for Seen {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Self::Rejection> {
        Ok(Self::read(&parts.headers))
    }
}

impl Seen {
    fn read(headers: &HeaderMap) -> Self {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        Self(json!({
            "agent": text("portcullis-agent"),
            "task": text("portcullis-task"),
            "grant": text("portcullis-grant"),
            "request_id": text("portcullis-request-id"),
        }))
    }

    /// `document` with what was seen beside it.
    fn answer(self, status: StatusCode, mut document: Value) -> Response {
        if let Some(members) = document.as_object_mut() {
            members.insert("seen".to_owned(), self.0);
        }
        json_answer(status, document)
    }

    /// A refusal of the service's own.
    fn refuse(self, status: StatusCode, message: &str) -> Response {
        self.answer(status, json!({ "error": message }))
    }
}

fn json_answer(status: StatusCode, document: Value) -> Response {
    (status, axum::Json(document)).into_response()
}
