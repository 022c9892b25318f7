//! Decisions about requests that wait: people approve and deny, agents withdraw.

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json as Answer};
use http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use super::caller::Caller;
use super::error::ApiError;
use super::extract::Path;
use super::json::Json;
use super::requests::find;
use super::state::Admin;
use super::views::RequestView;
use crate::access::{Agreement, Known, NotDecided};
use crate::approvals::Unfit;
use crate::base::ErrorChain;
use crate::model::RequestId;
use crate::wire::Peer;

/// An agreement to one exact request.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ApproveBody {
    /// The digest that the request was shown with.
    digest: Option<String>,
    /// A one-time code, where the entitlement wants a second factor.
    totp: Option<String>,
    /// A shorter life than was asked for.
    duration_seconds: Option<i64>,
    /// Anything else, for the record.
    comment: Option<String>,
}

/// A refusal.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DenyBody {
    /// Why; the agent is told.
    reason: Option<String>,
}

/// Nothing.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NoBody {}

/// Agrees to a request. Where that is the last agreement needed, the grant is in force when this
/// answers.
#[utoipa::path(post, path = "/v1/requests/{id}/approve", operation_id = "approve_request",
    request_body = ApproveBody, responses(
    (status = 200, body = RequestView, description = "It is approved: in force, or waiting for more people"),
    (status = 403, description = "Not by this person, or not without a second factor"),
    (status = 409, description = "Not what was shown, or decided already")))]
pub(super) async fn approve(
    State(admin): State<Arc<Admin>>,
    Extension(peer): Extension<Peer>,
    caller: Caller,
    Path(id): Path<String>,
    Json(body): Json<ApproveBody>,
) -> Result<Answer<RequestView>, ApiError> {
    let (known, id) = decider(&admin, &caller, peer, &id).await?;
    let agreement = Agreement {
        digest: body.digest,
        totp: body.totp,
        duration_seconds: body.duration_seconds,
        comment: body.comment,
    };
    let source = peer.address.ip();
    let approved = admin.approvals.approve(known, source, &id, &agreement);
    Ok(Answer(RequestView::new(&approved.await?)))
}

/// Refuses a request; it is over when this answers.
#[utoipa::path(post, path = "/v1/requests/{id}/deny", operation_id = "deny_request",
    request_body = DenyBody, responses(
    (status = 200, body = RequestView, description = "It is declined")))]
pub(super) async fn deny(
    State(admin): State<Arc<Admin>>,
    Extension(peer): Extension<Peer>,
    caller: Caller,
    Path(id): Path<String>,
    Json(body): Json<DenyBody>,
) -> Result<Answer<RequestView>, ApiError> {
    let (known, id) = decider(&admin, &caller, peer, &id).await?;
    let reason = body.reason.unwrap_or_default();
    let denied = admin
        .approvals
        .deny(known, peer.address.ip(), &id, &reason)
        .await;
    Ok(Answer(RequestView::new(&denied?)))
}

/// Takes one's own request back; it is over when this answers.
#[utoipa::path(post, path = "/v1/requests/{id}/withdraw", operation_id = "withdraw_request", responses(
    (status = 200, body = RequestView, description = "It is withdrawn")))]
pub(super) async fn withdraw(
    State(admin): State<Arc<Admin>>,
    caller: Caller,
    Path(id): Path<String>,
    Json(NoBody {}): Json<NoBody>,
) -> Result<Answer<RequestView>, ApiError> {
    let Caller::Agent(agent) = &caller else {
        let detail = "a request is withdrawn by its agent; people deny";
        return Err(ApiError::forbidden(detail));
    };
    let grant = find(&admin, &caller, &id).await?;
    let withdrawn = admin.approvals.withdraw(&grant, agent.source).await?;
    Ok(Answer(RequestView::new(&withdrawn)))
}

/// The person who decides. An agent that tries is refused and recorded, where the request is its own to
/// see.
async fn decider<'c>(
    admin: &Admin,
    caller: &'c Caller,
    peer: Peer,
    id: &str,
) -> Result<(&'c Known, RequestId), ApiError> {
    match caller {
        Caller::Person(known) => {
            let missing = |_| ApiError::not_found(format!("no request `{id}`"));
            Ok((known, id.parse().map_err(missing)?))
        }
        Caller::Agent(_) => {
            let grant = find(admin, caller, id).await?;
            admin.approvals.record_intruder(&grant, peer.address.ip())?;
            Err(ApiError::forbidden("only people decide about requests"))
        }
    }
}

impl From<NotDecided> for ApiError {
    fn from(error: NotDecided) -> Self {
        let detail = ErrorChain(&error).to_string();
        let forbidden = |code| Self::refused(StatusCode::FORBIDDEN, code, detail.as_str());
        let conflict = |code| Self::refused(StatusCode::CONFLICT, code, detail.as_str());
        match error {
            NotDecided::Factor(error) => error.into(),
            NotDecided::Malformed(detail) => Self::malformed(detail),
            NotDecided::MfaRequired => forbidden("mfa_required"),
            NotDecided::NotKept(error) => error.into(),
            NotDecided::NotAsked => forbidden("not_approver"),
            NotDecided::Over(_) => conflict("already_decided"),
            NotDecided::Expired => conflict("request_expired"),
            NotDecided::RulesRefuse(_) => conflict("activation_refused"),
            NotDecided::Unknown(_) => Self::not_found(detail),
            NotDecided::Unfit(unfit) => match unfit {
                Unfit::Again => conflict("already_approved"),
                Unfit::Changed => conflict("request_changed"),
                Unfit::Digest => conflict("digest_mismatch"),
                Unfit::Longer(_) => Self::malformed(detail),
                Unfit::NotAsked(_) => forbidden("not_approver"),
                Unfit::Own(_) => forbidden("self_approval"),
            },
            NotDecided::Unrecorded(_) => Self::unavailable("audit_unavailable", detail),
        }
    }
}
