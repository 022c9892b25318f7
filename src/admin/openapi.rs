//! The API's description (OpenAPI 3.1), generated from the handlers.

use axum::Json;
use utoipa::OpenApi;

use super::{
    agents, audit, decisions, events, explain, grants, keys, lifecycle, people, policies, requests,
    risk, signals, ssf, tasks, usual, views,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Portcullis control API",
        description = "Tasks, requests and grants for agents; grants, policies and state for people."
    ),
    paths(
        tasks::open,
        tasks::show,
        tasks::heartbeat,
        tasks::complete,
        tasks::fail,
        tasks::cancel,
        requests::create,
        requests::list,
        requests::show,
        decisions::approve,
        decisions::deny,
        decisions::withdraw,
        grants::list,
        grants::show,
        grants::revoke,
        lifecycle::renew,
        lifecycle::delegate,
        agents::revoke,
        agents::restore,
        risk::show,
        usual::show,
        usual::reset,
        usual::pin,
        usual::unpin,
        audit::list,
        events::follow,
        explain::explain,
        people::show,
        people::make_key,
        people::remove_key,
        people::enrol,
        people::confirm,
        people::reset,
        people::confirm_reset,
        keys::rotate,
        signals::push,
        ssf::events,
        policies::status,
        policies::reload,
        policies::diff,
        policies::shadow,
    ),
    components(schemas(
        tasks::OpenBody,
        requests::CreateBody,
        explain::ExplainBody,
        decisions::ApproveBody,
        decisions::DenyBody,
        lifecycle::RenewBody,
        lifecycle::DelegateBody,
        signals::SignalBody,
        risk::RiskView,
        usual::UsualView,
        people::CodeBody,
        policies::ReloadBody,
        policies::ShadowBody,
        people::ResetBody,
        views::TaskView,
        views::ReceiptView,
        views::ClosedGrantView,
        views::GrantView,
        views::RequestView,
        views::ApprovalView,
    ))
)]
struct Description;

/// The description.
pub(super) async fn document() -> Json<utoipa::openapi::OpenApi> {
    Json(Description::openapi())
}
