//! The token endpoint: one grant type a file, this one with client credentials (RFC 6749 §4.4),
//! optionally for a task, optionally asking for entitlements.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use tracing::error;

use super::answer::Answer;
use super::applicant::Applicant;
use super::call::Call;
use super::ciba;
use super::error::OAuthError;
use super::exchange;
use super::form::Form;
use super::state::OAuth;
use super::wanted::{Wanted, echo};
use crate::access::{Granted, Outcome, Refused};
use crate::base::ErrorChain;
use crate::grants::{GrantsError, LiveTask};
use crate::model::TaskId;

pub(super) async fn endpoint(
    State(oauth): State<Arc<OAuth>>,
    call: Call,
) -> Result<Response, OAuthError> {
    let applicant = oauth.applicant(&call, &oauth.token_endpoint()).await?;
    let form = &call.form;
    match form.required("grant_type")? {
        "client_credentials" => oauth.client_credentials(&applicant, form).await,
        ciba::GRANT_TYPE => oauth.poll(&applicant, form).await,
        exchange::GRANT_TYPE => oauth.exchange(applicant, form).await,
        other => {
            let description = format!("the grant type `{other}` is not offered here");
            Err(OAuthError::new("unsupported_grant_type", description))
        }
    }
}

impl OAuth {
    async fn client_credentials(
        &self,
        applicant: &Applicant,
        form: &Form,
    ) -> Result<Response, OAuthError> {
        let wanted = Wanted::read(form)?;
        let audience = self.audience(&applicant.snapshot, form)?;
        let task = self.task(applicant, wanted.task.as_deref())?;
        let granted = self.ask(applicant, task.as_ref(), &wanted).await?;
        let details = wanted.detailed.then(|| echo(&granted));
        self.answer(
            applicant,
            Answer {
                task: task.as_deref(),
                audience,
                scope: wanted.scope,
                details,
                life: None,
                issued_type: None,
            },
        )
    }

    /// The open task that was named, if it is the agent's own. Unknown, foreign and ended tasks answer
    /// alike.
    pub(super) fn task(
        &self,
        applicant: &Applicant,
        named: Option<&str>,
    ) -> Result<Option<Arc<LiveTask>>, OAuthError> {
        let Some(named) = named else {
            return Ok(None);
        };
        let now = self.clock.now();
        let task = named.parse::<TaskId>().ok();
        let task = task.and_then(|id| self.grants.task(&id));
        let task = task.filter(|task| task.task().agent == *applicant.id());
        let task = task.filter(|task| task.ended(now).is_none());
        task.map(Some).ok_or_else(|| {
            OAuthError::invalid_request("`task` is not an open task of this agent: open one")
        })
    }

    /// Asks for what is wanted: all of it is in force then, or there is an error. Where people have to be
    /// waited for, the error says what to poll by.
    pub(super) async fn ask(
        &self,
        applicant: &Applicant,
        task: Option<&Arc<LiveTask>>,
        wanted: &Wanted,
    ) -> Result<Vec<Granted>, OAuthError> {
        if wanted.asks.is_empty() {
            return Ok(Vec::new());
        }
        let outcomes = self.submit(applicant, task, wanted).await?;
        if let Some(left) = ciba::waits(&outcomes, self.clock.now()) {
            return Err(ciba::not_granted(&outcomes, left));
        }
        let granted = outcomes.into_iter().filter_map(|outcome| match outcome {
            Outcome::Granted(granted) => Some(granted),
            Outcome::Pending { .. } => None,
        });
        Ok(granted.collect())
    }

    /// Asks for what is wanted: all of it is taken, or nothing.
    pub(super) async fn submit(
        &self,
        applicant: &Applicant,
        task: Option<&Arc<LiveTask>>,
        wanted: &Wanted,
    ) -> Result<Vec<Outcome>, OAuthError> {
        if task.is_none() {
            let description = "a scope is granted for a task: send `task` too";
            return Err(OAuthError::invalid_request(description));
        }
        let asker = self.asker(applicant, task);
        let outcomes = self.requests.submit_all(&asker, wanted.asks.clone()).await;
        outcomes.map_err(refuse)
    }
}

fn refuse(refused: Refused) -> OAuthError {
    match refused {
        Refused::Malformed(why) => OAuthError::invalid_request(why),
        Refused::No {
            reason,
            detail,
            rules,
            next,
            ..
        } => {
            let rule = rules.first();
            let rule = rule
                .map(|rule| format!(" (rule {rule})"))
                .unwrap_or_default();
            let error = OAuthError::new("access_denied", format!("{detail}{rule}"));
            let error = error.with("code", reason.as_str());
            match next {
                Some(step) => error.with("next", step.to_json()),
                None => error,
            }
        }
        Refused::NotKept(failure @ (GrantsError::Store(_) | GrantsError::Stopping)) => {
            error!(error = %ErrorChain(&failure), "what was asked for can't be kept");
            OAuthError::unavailable(failure.to_string())
        }
        Refused::NotKept(error) => OAuthError::invalid_request(ErrorChain(&error).to_string()),
        Refused::Unrecorded(why) => OAuthError::unavailable(why),
    }
}
