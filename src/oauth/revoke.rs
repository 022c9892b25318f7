//! Taking a token back (RFC 7009). The task and its grants live on: they end by their own means.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use jiff::Timestamp;
use tracing::error;

use super::call::Call;
use super::error::{NO_STORE, OAuthError};
use super::state::OAuth;
use crate::access::RevocationError;
use crate::audit::{Record, RecordKind};
use crate::base::ErrorChain;

pub(super) async fn endpoint(
    State(oauth): State<Arc<OAuth>>,
    call: Call,
) -> Result<Response, OAuthError> {
    let snapshot = oauth.snapshot.current();
    let client = oauth.authenticate(&snapshot, &call).await?;
    let token = call.form.required("token")?;
    let done = || (StatusCode::OK, [(header::CACHE_CONTROL, NO_STORE)]).into_response();
    // What is no token of ours, or no longer, is as good as revoked (RFC 7009 §2.2).
    let Some(claims) = oauth.own_token(&snapshot, token) else {
        return Ok(done());
    };
    let agent = &client.agent.agent.id;
    if claims.client_id.as_deref() != Some(agent.as_str()) {
        let description = "the token was issued to another client";
        return Err(OAuthError::new("invalid_grant", description));
    }
    let (Some(jti), Ok(until)) = (&claims.jti, Timestamp::from_second(claims.exp)) else {
        return Ok(done());
    };
    let place = oauth.audit.reserve();
    let place = place.map_err(|why| OAuthError::unavailable(why.to_string()))?;
    let now = oauth.clock.wall();
    let revoked = oauth.revocations.revoke(agent.as_str(), jti, until, now);
    let revoked = revoked.await;
    let mut record = Record::new(RecordKind::Token, now);
    record.agent = Some(agent.clone());
    record.task = claims.task.as_deref().and_then(|task| task.parse().ok());
    record.source = Some(call.source());
    record.detail = Some(match &revoked {
        Ok(()) => format!("revoked {jti}"),
        Err(why) => format!("not revoked {jti}: {}", ErrorChain(why)),
    });
    place.write(record);
    revoked.map_err(|why| {
        if matches!(why, RevocationError::Store(_)) {
            error!(error = %ErrorChain(&why), "a revocation can't be stored");
        }
        OAuthError::unavailable(why.to_string())
    })?;
    Ok(done())
}
