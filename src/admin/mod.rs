//! The JSON API under `/v1`, health and metrics: tasks, requests and grants for agents; grants, policies
//! and the gateway's state for people.
//!
//! [`router`] serves it. Agents come with the bearer token that they use at the gateway, people with an
//! access key (`pk_…`). Errors are problem documents (RFC 9457).
//!
//! Invariant: an agent sees and touches only what is its own, and what is another's looks like what is
//! not there. Nothing here decides: rules are asked in `access`, state is changed in `grants`.

mod agents;
mod audit;
mod caller;
mod decisions;
mod error;
mod events;
mod explain;
mod extract;
mod grants;
mod health;
mod idempotency;
mod json;
mod keys;
mod lifecycle;
mod openapi;
mod people;
mod policies;
mod readers;
mod recorded;
mod requests;
mod risk;
mod signals;
mod ssf;
mod state;
mod tasks;
mod usual;
mod views;
mod wait;

use std::sync::Arc;

use axum::middleware::from_fn_with_state;
use axum::routing::{delete, get, post};
use axum::{Extension, Router};

pub use idempotency::IdempotencyError;
pub use signals::{KeptError, KeptScores};
pub use ssf::{LatestError, LatestScores, Scores, Transmitter};
pub use state::{Admin, AdminParts};

/// Whom an address serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Face {
    /// Agents alone: people have an address of their own.
    Agents,
    /// Everyone.
    Everyone,
    /// People alone.
    People,
}

/// The routes of the API, as `face` has them.
pub fn router(admin: Arc<Admin>, face: Face) -> Router {
    let once = from_fn_with_state(Arc::clone(&admin), idempotency::once);
    let everyone = Router::new()
        .route("/v1/tasks", post(tasks::open).layer(once.clone()))
        .route("/v1/tasks/{id}", get(tasks::show))
        .route("/v1/tasks/{id}/heartbeat", post(tasks::heartbeat))
        .route("/v1/tasks/{id}/complete", post(tasks::complete))
        .route("/v1/tasks/{id}/fail", post(tasks::fail))
        .route("/v1/tasks/{id}/cancel", post(tasks::cancel))
        .route(
            "/v1/requests",
            post(requests::create)
                .layer(once.clone())
                .get(requests::list),
        )
        .route("/v1/requests/{id}", get(requests::show))
        .route("/v1/requests/{id}/approve", post(decisions::approve))
        .route("/v1/requests/{id}/deny", post(decisions::deny))
        .route("/v1/requests/{id}/withdraw", post(decisions::withdraw))
        .route("/v1/grants", get(grants::list))
        .route("/v1/grants/{id}", get(grants::show))
        .route("/v1/grants/{id}/revoke", post(grants::revoke))
        .route("/v1/grants/{id}/renew", post(lifecycle::renew))
        .route(
            "/v1/grants/{id}/delegate",
            post(lifecycle::delegate).layer(once),
        )
        .route("/v1/explain", post(explain::explain))
        .route("/v1/events", get(events::follow))
        .route("/v1/openapi.json", get(openapi::document))
        .route("/livez", get(health::live))
        .route("/readyz", get(health::ready));
    let people = Router::new()
        .route("/v1/agents/{id}/revoke", post(agents::revoke))
        .route("/v1/agents/{id}/restore", post(agents::restore))
        .route("/v1/agents/{id}/risk", get(risk::show))
        .route("/v1/agents/{id}/usual", get(usual::show))
        .route("/v1/agents/{id}/usual/reset", post(usual::reset))
        .route("/v1/agents/{id}/usual/pin", post(usual::pin))
        .route("/v1/agents/{id}/usual/unpin", post(usual::unpin))
        .route("/v1/people/{id}", get(people::show))
        .route("/v1/people/{id}/keys", post(people::make_key))
        .route("/v1/people/{id}/keys/{key}", delete(people::remove_key))
        .route("/v1/people/{id}/totp", post(people::enrol))
        .route("/v1/people/{id}/totp/confirm", post(people::confirm))
        .route("/v1/people/{id}/reset", post(people::reset))
        .route("/v1/people/{id}/reset/confirm", post(people::confirm_reset))
        .route("/v1/signals", post(signals::push))
        .route("/v1/keys/rotate", post(keys::rotate))
        .route("/v1/audit", get(audit::list))
        .route("/v1/policies", get(policies::status))
        .route("/v1/policies/reload", post(policies::reload))
        .route("/v1/policies/diff", post(policies::diff))
        .route("/v1/policies/shadow", post(policies::shadow))
        .route("/metrics", get(health::metrics));
    // Whoever sends events is no person.
    let transmitters = match face {
        Face::Agents | Face::Everyone => Router::new().route("/ssf/events", post(ssf::events)),
        Face::People => Router::new(),
    };
    let routes = match face {
        Face::Agents => everyone,
        Face::Everyone | Face::People => everyone.merge(people),
    };
    let routes = routes.merge(transmitters);
    routes
        .fallback(error::no_such_route)
        .method_not_allowed_fallback(error::no_such_method)
        .layer(Extension(face))
        .with_state(admin)
}
