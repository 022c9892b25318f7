//! The token itself, and the answer that carries it.

use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use serde_json::{Value, json};
use tracing::error;

use super::applicant::Applicant;
use super::error::{DPOP_NONCE, OAuthError, keep_out_of_caches};
use super::state::OAuth;
use crate::audit::{Record, RecordKind, Verdict};
use crate::base::ErrorChain;
use crate::grants::LiveTask;
use crate::tokens::{Confirmation, Issue, Issued};

/// The shortest life that a token is worth issuing for.
const SHORTEST: Duration = Duration::from_secs(1);

/// What is answered with a token, beside the token.
#[derive(Debug)]
pub(super) struct Answer<'a> {
    pub(super) task: Option<&'a LiveTask>,
    pub(super) audience: Vec<String>,
    /// The scope as it was sent.
    pub(super) scope: Option<String>,
    /// The granted details, where details were asked for.
    pub(super) details: Option<Value>,
    /// What bounds the token's life, beside the usual.
    pub(super) life: Option<Duration>,
    /// Of an exchange: what kind of token this is (RFC 8693 §2.2.1).
    pub(super) issued_type: Option<&'static str>,
}

impl OAuth {
    /// Issues a token, records it, and answers with it.
    pub(super) fn answer(
        &self,
        applicant: &Applicant,
        answer: Answer<'_>,
    ) -> Result<Response, OAuthError> {
        let place = self.audit.reserve();
        let place = place.map_err(|why| OAuthError::unavailable(why.to_string()))?;
        let issued = self.issue(applicant, &answer)?;
        let task = answer.task.map(|task| task.task().id.clone());
        let mut record = Record::new(RecordKind::Token, self.clock.wall());
        record.agent = Some(applicant.id().clone());
        record.task.clone_from(&task);
        record.verdict = Verdict::Allow;
        record.source = Some(applicant.source);
        record.detail = Some(format!("token {}", issued.jti));
        place.write(record);
        self.metrics.tokens_issued.inc();

        let left = issued.expires_at.as_second() - self.clock.wall().as_second();
        let dpop = matches!(applicant.confirmation, Some(Confirmation::Jkt(_)));
        let mut body = json!({
            "access_token": issued.token.expose(),
            "token_type": if dpop { "DPoP" } else { "Bearer" },
            "expires_in": left,
        });
        let mut add = |name: &str, value: Option<Value>| {
            if let (Some(members), Some(value)) = (body.as_object_mut(), value) {
                members.insert(name.to_owned(), value);
            }
        };
        add("issued_token_type", answer.issued_type.map(Value::from));
        add("scope", answer.scope.map(Value::from));
        add("authorization_details", answer.details);
        add("task", task.map(|id| Value::from(id.as_str())));
        let mut response = Json(body).into_response();
        let headers = response.headers_mut();
        keep_out_of_caches(headers);
        if dpop && let Ok(nonce) = HeaderValue::from_str(&self.dpop.nonce()) {
            headers.insert(DPOP_NONCE, nonce);
        }
        Ok(response)
    }

    fn issue(&self, applicant: &Applicant, answer: &Answer<'_>) -> Result<Issued, OAuthError> {
        let now = self.clock.now();
        let task_left = answer.task.map(|task| task.oldest() - now);
        let bounds = [Some(self.facts.ttl), task_left, answer.life];
        let ttl = bounds.into_iter().flatten().min().unwrap_or_default();
        if ttl < SHORTEST {
            let description = "what the token would be for ends within a second";
            return Err(OAuthError::invalid_request(description));
        }
        let agent = applicant.id();
        let issued = self.authority.issue(&Issue {
            subject: agent.to_string(),
            audience: answer.audience.clone(),
            client_id: agent.to_string(),
            ttl,
            scope: answer.scope.clone(),
            task: answer.task.map(|task| task.task().id.to_string()),
            confirmation: applicant.confirmation,
            authorization_details: answer.details.clone(),
            methods: applicant.methods.clone(),
            class: applicant.class.clone(),
        });
        issued.map_err(|failure| {
            error!(error = %ErrorChain(&failure), "a token can't be issued");
            OAuthError::server("the token can't be signed at this moment")
        })
    }
}
