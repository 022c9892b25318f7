//! What a token is worth now (RFC 7662): not what was written into it, but what lives.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header;
use serde_json::{Map, Value, json};

use super::call::Call;
use super::client::Client;
use super::error::{NO_STORE, OAuthError};
use super::state::OAuth;
use super::wanted::granted_details;
use crate::access::{holder, resources};
use crate::config::Snapshot;
use crate::grants::{LiveGrant, LiveTask};
use crate::tokens::{Claims, Confirmation, Sessions};

/// A token that is good, and the open task that it is for.
struct Standing {
    claims: Claims,
    task: Option<Arc<LiveTask>>,
}

pub(super) async fn endpoint(
    State(oauth): State<Arc<OAuth>>,
    call: Call,
) -> Result<Response, OAuthError> {
    let snapshot = oauth.snapshot.current();
    let client = oauth.authenticate(&snapshot, &call).await?;
    let token = call.form.required("token")?;
    // A token that is not good and one that is not theirs look alike (RFC 7662 §2.2).
    let answer = match oauth.standing(&snapshot, &client, token) {
        Some(standing) => oauth.describe(&standing),
        None => json!({ "active": false }),
    };
    Ok(([(header::CACHE_CONTROL, NO_STORE)], Json(answer)).into_response())
}

impl OAuth {
    /// The claims of a token of ours that its client has authenticated for; it may have been revoked.
    pub(super) fn own_token(&self, snapshot: &Snapshot, token: &str) -> Option<Claims> {
        let audiences = resources(snapshot, &self.facts.public_url);
        let audiences: Vec<_> = audiences.iter().map(String::as_str).collect();
        self.authority.verify(token, &audiences).ok()
    }

    fn standing(&self, snapshot: &Snapshot, client: &Client, token: &str) -> Option<Standing> {
        let claims = self.own_token(snapshot, token)?;
        let agent = &client.agent.agent.id;
        let own = claims.client_id.as_deref() == Some(agent.as_str());
        let jti = claims.jti.as_deref()?;
        let revoked = self.revocations.revoked();
        let ended = revoked.has_ended(Sessions::Own(agent.as_str()), claims.iat);
        if !own || ended || revoked.contains(agent.as_str(), jti) {
            return None;
        }
        let task = match &claims.task {
            None => None,
            Some(named) => {
                let task = self.grants.task(&named.parse().ok()?)?;
                let open = task.ended(self.clock.now()).is_none();
                (open && task.task().agent == *agent).then_some(Some(task))?
            }
        };
        Some(Standing { claims, task })
    }

    fn describe(&self, standing: &Standing) -> Value {
        let claims = &standing.claims;
        let confirmation = claims.cnf;
        let dpop = matches!(confirmation, Some(Confirmation::Jkt(_)));
        let grants = self.usable(standing);
        let details = grants.iter().map(|grant| granted_details(grant.request()));
        let mut scope: Vec<_> = grants
            .iter()
            .map(|grant| grant.request().right.entitlement.as_str())
            .collect();
        scope.sort_unstable();
        scope.dedup();
        let scope = (!scope.is_empty()).then(|| scope.join(" "));
        // One name stands alone, as in the token (RFC 7519 §4.1.3).
        let audience = match claims.aud.as_slice() {
            [one] => json!(one),
            several => json!(several),
        };
        let members = [
            ("active", Some(Value::Bool(true))),
            ("iss", Some(json!(claims.iss))),
            ("sub", Some(json!(claims.sub))),
            ("client_id", claims.client_id.as_ref().map(|id| json!(id))),
            ("aud", Some(audience)),
            ("exp", Some(json!(claims.exp))),
            ("nbf", claims.nbf.map(Value::from)),
            ("iat", Some(json!(claims.iat))),
            ("jti", claims.jti.as_ref().map(|jti| json!(jti))),
            (
                "token_type",
                Some(json!(if dpop { "DPoP" } else { "Bearer" })),
            ),
            ("cnf", confirmation.map(Confirmation::to_json)),
            ("amr", (!claims.amr.is_empty()).then(|| json!(claims.amr))),
            ("acr", claims.acr.as_ref().map(|acr| json!(acr))),
            ("task", claims.task.as_ref().map(|task| json!(task))),
            ("scope", scope.map(Value::from)),
            (
                "authorization_details",
                (!grants.is_empty()).then(|| details.collect()),
            ),
        ];
        let present = members
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)));
        Value::Object(present.collect::<Map<_, _>>())
    }

    /// The live grants that the token can use: scope and details of the answer are these, because
    /// authority is in the grants and not in the token.
    fn usable(&self, standing: &Standing) -> Vec<Arc<LiveGrant>> {
        let now = self.clock.now();
        let bound = standing.claims.cnf.map(holder);
        let usable = |grant: &&Arc<LiveGrant>| {
            let for_holder = grant.request().asked.holder;
            grant.ended(now).is_none() && (for_holder.is_none() || for_holder == bound)
        };
        let grants = standing.task.as_ref().map(|task| task.grants());
        let grants = grants.unwrap_or_default();
        grants.iter().filter(usable).cloned().collect()
    }
}
