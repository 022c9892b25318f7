//! Token exchange (RFC 8693): a trusted issuer's token about an agent for one of ours about the same.

use axum::response::Response;
use tracing::debug;

use super::answer::Answer;
use super::applicant::Applicant;
use super::error::OAuthError;
use super::form::Form;
use super::state::OAuth;
use super::wanted::{Wanted, echo};
use crate::access::agent_of;
use crate::authn::{Authenticated, Subject};
use crate::base::ErrorChain;

pub(super) const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

impl OAuth {
    /// Answers an exchange. An unacceptable subject token is an `invalid_request` (RFC 8693 §2.2.2). What it tells
    /// of how its holder has authenticated stands in the issued token, too.
    pub(super) async fn exchange(
        &self,
        applicant: Applicant,
        form: &Form,
    ) -> Result<Response, OAuthError> {
        if form.get("actor_token").is_some() || form.get("actor_token_type").is_some() {
            let description = "there is no delegation here: leave `actor_token` out";
            return Err(OAuthError::invalid_request(description));
        }
        let issued_type = issued_type(form)?;
        let subject = self.subject_token(&applicant, form)?;
        let applicant = &applicant.with_subject(&subject);
        let mut wanted = Wanted::read(form)?;
        match (wanted.task.as_deref(), subject.task()) {
            (Some(named), Some(claimed)) if named != claimed => {
                let description = "`task` is another than the subject token's";
                return Err(OAuthError::invalid_request(description));
            }
            (None, Some(claimed)) => wanted.task = Some(claimed.to_owned()),
            (_, _) => {}
        }
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
                // The outside issuer's word is not made to last longer than it was given.
                life: Some(subject.deadline() - self.clock.now()),
                issued_type: Some(issued_type),
            },
        )
    }

    /// The subject token, verified: about the same agent, and held by whom it is bound to.
    fn subject_token(
        &self,
        applicant: &Applicant,
        form: &Form,
    ) -> Result<Authenticated, OAuthError> {
        let token = form.required("subject_token")?;
        let kind = form.required("subject_token_type")?;
        if ![ACCESS_TOKEN, JWT].contains(&kind) {
            let description = format!("`subject_token_type` is {ACCESS_TOKEN} or {JWT}");
            return Err(OAuthError::invalid_request(description));
        }
        // No audience of ours: a token of our own authority is not exchanged.
        let subject = self.authenticator.verify(token, &[]).map_err(|error| {
            debug!(error = %ErrorChain(&error), "a subject token is refused");
            OAuthError::invalid_request(
                "`subject_token` is not a token that a trusted issuer made for this gateway, or has \
                 expired",
            )
        })?;
        let agent = match subject.subject() {
            Subject::Outside(_) => agent_of(&applicant.snapshot, &subject).ok(),
            Subject::Own(_) => None,
        };
        if agent.is_none_or(|agent| agent.agent.id != *applicant.id()) {
            let description = "`subject_token` is not about the agent that asks";
            return Err(OAuthError::invalid_request(description));
        }
        // Otherwise whoever steals a bound token could have it made a free one.
        if subject.confirmation().is_some() && subject.confirmation() != applicant.confirmation {
            let description = "`subject_token` is bound to a key or certificate that was not shown";
            return Err(OAuthError::invalid_request(description));
        }
        Ok(subject)
    }
}

/// What the issued token is called: whatever is asked for, it is both.
fn issued_type(form: &Form) -> Result<&'static str, OAuthError> {
    match form.get("requested_token_type") {
        None | Some(ACCESS_TOKEN) => Ok(ACCESS_TOKEN),
        Some(JWT) => Ok(JWT),
        Some(_) => {
            let description = format!("`requested_token_type` is {ACCESS_TOKEN} or {JWT}");
            Err(OAuthError::invalid_request(description))
        }
    }
}
