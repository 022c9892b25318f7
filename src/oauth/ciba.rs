//! Waiting for people by polling: CIBA (OpenID Connect Client-Initiated Backchannel Authentication Core
//! 1.0), in a profile of our own. Who has to agree is what the entitlement says, so hints select nobody
//! and `openid` is ignored; what is got is an access token alone.
//!
//! An `auth_req_id` is made of the ids of the requests that it stands for. Nothing has to be remembered
//! for it but that a token was given out, it outlives a restart, and what was asked for again is called the
//! same again as long as people have not decided.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use jiff::Timestamp;
use serde_json::{Value, json};
use tracing::error;

use super::answer::Answer;
use super::applicant::Applicant;
use super::call::Call;
use super::error::{NO_STORE, OAuthError};
use super::form::Form;
use super::pace::Pace;
use super::state::OAuth;
use super::wanted::{MOST_ASKS, Wanted, granted_details};
use crate::access::{NotOnce, Outcome, holder};
use crate::base::{BootInstant, ErrorChain};
use crate::model::{EndReason, Grant, GrantRequest, GrantState, RequestId};
use crate::tokens::Replay;

pub(super) const GRANT_TYPE: &str = "urn:openid:params:grant-type:ciba";

/// Parameters that carry the others signed; nobody could sign but who authenticates anyway.
const REFUSED: [&str; 2] = ["request", "request_uri"];

/// What became of what an `auth_req_id` stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// People did not answer in time.
    Expired,
    /// All of it is in force.
    Granted,
    /// It is over, for another reason than people's.
    Over,
    /// People, or the rules they stand for, said no.
    Refused,
    /// It waits, for this long at most.
    Waits(Duration),
}

pub(super) async fn endpoint(
    State(oauth): State<Arc<OAuth>>,
    call: Call,
) -> Result<Response, OAuthError> {
    let url = format!("{}/oauth/bc-authorize", oauth.facts.control_url);
    let applicant = oauth.applicant(&call, &url).await?;
    let answer = oauth.begin(&applicant, &call.form).await;
    let answer = answer.map_err(|error| match error.code {
        // CIBA Core §13.
        "access_denied" => error.with_status(StatusCode::FORBIDDEN),
        _ => error,
    })?;
    Ok(([(header::CACHE_CONTROL, NO_STORE)], Json(answer)).into_response())
}

impl OAuth {
    /// Asks, and answers with what to poll by, whether or not people have to be waited for.
    async fn begin(&self, applicant: &Applicant, form: &Form) -> Result<Value, OAuthError> {
        if let Some(name) = REFUSED.into_iter().find(|name| form.get(name).is_some()) {
            let description = format!("`{name}` is not supported: send the parameters themselves");
            return Err(OAuthError::invalid_request(description));
        }
        let mut wanted = Wanted::read(form)?;
        wanted.asks.retain(|ask| ask.entitlement != "openid");
        if wanted.asks.is_empty() {
            let description = "name an entitlement in `scope` or `authorization_details`";
            return Err(OAuthError::invalid_request(description));
        }
        // What the person is shown as the reason is what the client wants them to be shown.
        let message = form.get("binding_message");
        for ask in &mut wanted.asks {
            ask.reason = ask.reason.take().or(message.map(str::to_owned));
        }
        let task = self.task(applicant, wanted.task.as_deref())?;
        let outcomes = self.submit(applicant, task.as_ref(), &wanted).await?;
        let requests: Vec<_> = outcomes.iter().map(request_of).collect();
        let left = waits(&outcomes, self.clock.now()).unwrap_or_else(|| {
            // Nobody has to be waited for: it can be polled for while it is in force.
            let ends = outcomes.iter().filter_map(granted_until);
            let end = ends.min().unwrap_or(self.clock.now());
            end - self.clock.now()
        });
        Ok(json!({
            "auth_req_id": auth_req_id(&requests),
            "expires_in": left.as_secs(),
            "interval": Pace::INTERVAL.as_secs(),
        }))
    }

    /// Answers a poll with a token, or with why there is none.
    pub(super) async fn poll(
        &self,
        applicant: &Applicant,
        form: &Form,
    ) -> Result<Response, OAuthError> {
        let id = form.required("auth_req_id")?;
        let audience = self.audience(&applicant.snapshot, form)?;
        let grants = self.requested(applicant, id).await?;
        let invalid = |why: &str| Err(OAuthError::new("invalid_grant", why));
        let Some(task) = grants.first().map(|grant| grant.request.task.clone()) else {
            return invalid("`auth_req_id` stands for nothing");
        };
        match fate(&grants, self.clock.wall()) {
            Fate::Expired => Err(OAuthError::new("expired_token", "nobody agreed in time")),
            Fate::Over => invalid("what was asked for is over"),
            Fate::Refused => {
                let note = grants.iter().find_map(note);
                let said = note.unwrap_or("it was decided against");
                Err(OAuthError::new("access_denied", said))
            }
            Fate::Waits(left) => {
                // Whoever waits for people is alive.
                if let Some(task) = self.grants.task(&task) {
                    task.renew(self.clock.now());
                }
                Err(self.not_yet(id, &grants, left))
            }
            Fate::Granted => {
                let bound = applicant.confirmation.map(holder);
                let others = |grant: &Grant| {
                    let asked = grant.request.asked.holder;
                    asked.is_some() && asked != bound
                };
                if grants.iter().any(others) {
                    return invalid("it was asked for by the holder of another key");
                }
                let task = self.task(applicant, Some(task.as_str()))?;
                self.redeem(applicant, &grants).await?;
                let scope = grants
                    .iter()
                    .map(|grant| grant.request.right.entitlement.as_str());
                let scope = scope.collect::<Vec<_>>().join(" ");
                let details = grants.iter().map(|grant| granted_details(&grant.request));
                self.answer(
                    applicant,
                    Answer {
                        task: task.as_deref(),
                        audience,
                        scope: Some(scope),
                        details: Some(details.collect()),
                        life: None,
                        issued_type: None,
                    },
                )
            }
        }
    }

    /// The requests that an `auth_req_id` stands for, all of the same task and of the agent that asks.
    /// Unknown ones and those of others answer alike.
    async fn requested(&self, applicant: &Applicant, id: &str) -> Result<Vec<Grant>, OAuthError> {
        let unknown = || OAuthError::new("invalid_grant", "`auth_req_id` is none of yours");
        let ids: Result<Vec<RequestId>, _> = id.split('.').map(str::parse).collect();
        let ids = ids.map_err(|_| unknown())?;
        if ids.len() > MOST_ASKS {
            return Err(unknown());
        }
        let mut grants: Vec<Grant> = Vec::with_capacity(ids.len());
        for id in &ids {
            let stored = self.grants.find_request(id).await;
            let stored = stored.map_err(|failure| {
                error!(error = %ErrorChain(&failure), "a request can't be read");
                OAuthError::unavailable("the request can't be looked up at this moment")
            })?;
            let grant = stored.ok_or_else(unknown)?;
            let same_task = grants
                .first()
                .is_none_or(|first| first.request.task == grant.request.task);
            if grant.request.agent != *applicant.id() || !same_task {
                return Err(unknown());
            }
            grants.push(grant);
        }
        Ok(grants)
    }

    /// Takes what is polled for as redeemed, which it is once (CIBA Core §10.1.1), up to the time by which all
    /// of it is over, renewals included. A client that loses the answer gets a token for the task instead.
    async fn redeem(&self, applicant: &Applicant, grants: &[Grant]) -> Result<(), OAuthError> {
        let ids: BTreeSet<_> = grants
            .iter()
            .map(|grant| grant.request.id.as_str())
            .collect();
        let id = Vec::from_iter(ids).join(".");
        let ends = grants.iter().filter_map(|grant| {
            let term = grant.term()?;
            let entitlement = grant.request.right.entitlement.as_str();
            let entitlement = applicant.snapshot.entitlement(entitlement);
            let renewed = entitlement.and_then(|one| term.starts_at.checked_add(one.max_ttl).ok());
            Some(renewed.map_or(term.expires_at, |renewed| renewed.max(term.expires_at)))
        });
        let now = self.clock.wall();
        let until = ends.max().unwrap_or(now);
        let agent = applicant.id().as_str();
        match self.redeemed.accept(agent, &id, until, now).await {
            Ok(()) => Ok(()),
            Err(NotOnce::Replay(Replay::Seen)) => {
                let why = "the token for it was given out: get another for the task";
                Err(OAuthError::new("invalid_grant", why))
            }
            Err(NotOnce::Replay(Replay::Stale)) => {
                let why = "what was asked for is over";
                Err(OAuthError::new("invalid_grant", why))
            }
            Err(NotOnce::Replay(Replay::Full)) => Err(OAuthError::unavailable(
                "too much that was redeemed is remembered at this moment: get a token for the task",
            )),
            Err(failure @ (NotOnce::Broken(_) | NotOnce::Store(_))) => {
                error!(error = %ErrorChain(&failure), "that a request is redeemed can't be stored");
                Err(OAuthError::unavailable(
                    "that it is redeemed can't be stored at this moment: get a token for the task",
                ))
            }
        }
    }

    /// Not yet: in time, or too soon after the last poll (CIBA Core §11).
    fn not_yet(&self, id: &str, grants: &[Grant], left: Duration) -> OAuthError {
        let waiting = grants.iter().find(|grant| is_pending(grant));
        let polled = waiting.map(|grant| &grant.request.id);
        let now = self.clock.now();
        let paced = polled.map_or(Ok(Pace::INTERVAL), |id| self.pace.poll(id, now + left, now));
        match paced {
            Ok(interval) => pending(id, interval, left),
            Err(interval) => OAuthError::new("slow_down", "that is sooner than the interval says")
                .with("auth_req_id", id)
                .with("interval", interval.as_secs()),
        }
    }
}

/// The answer where people have to be waited for.
pub(super) fn not_granted(outcomes: &[Outcome], left: Duration) -> OAuthError {
    let requests: Vec<_> = outcomes.iter().map(request_of).collect();
    pending(&auth_req_id(&requests), Pace::INTERVAL, left)
}

/// How long people may take for the first of what waits for them; nothing where nothing waits.
pub(super) fn waits(outcomes: &[Outcome], now: BootInstant) -> Option<Duration> {
    let untils = outcomes.iter().filter_map(|outcome| match outcome {
        Outcome::Granted(_) => None,
        Outcome::Pending { request, .. } => Some(request.until() - now),
    });
    untils.min()
}

fn pending(id: &str, interval: Duration, left: Duration) -> OAuthError {
    OAuthError::new(
        "authorization_pending",
        "a person has to agree: poll for it",
    )
    .with("auth_req_id", id)
    .with("interval", interval.as_secs())
    .with("expires_in", left.as_secs())
}

fn auth_req_id(requests: &[&GrantRequest]) -> String {
    let ids: Vec<_> = requests.iter().map(|request| request.id.as_str()).collect();
    ids.join(".")
}

fn request_of(outcome: &Outcome) -> &GrantRequest {
    match outcome {
        Outcome::Granted(granted) => granted.grant.request(),
        Outcome::Pending { request, .. } => request.request(),
    }
}

fn granted_until(outcome: &Outcome) -> Option<BootInstant> {
    match outcome {
        Outcome::Granted(granted) => Some(granted.grant.deadline()),
        Outcome::Pending { .. } => None,
    }
}

const fn is_pending(grant: &Grant) -> bool {
    matches!(
        grant.state,
        GrantState::Pending { .. } | GrantState::Requested
    )
}

/// Why a request is over, in the words of who decided.
fn note(grant: &Grant) -> Option<&str> {
    match &grant.state {
        GrantState::Ended { note, .. } => note.as_deref(),
        GrantState::Active(_)
        | GrantState::Pending { .. }
        | GrantState::Requested
        | GrantState::Suspended(_) => None,
    }
}

/// What became of requests that were made together: one that is over decides for all, one that waits is
/// waited for.
fn fate(grants: &[Grant], now: Timestamp) -> Fate {
    let mut all = Fate::Granted;
    for grant in grants {
        match (fate_of(&grant.state, now), all) {
            (Fate::Granted, _) => {}
            (Fate::Waits(left), Fate::Waits(other)) => all = Fate::Waits(left.min(other)),
            (waits @ Fate::Waits(_), _) => all = waits,
            (over @ (Fate::Expired | Fate::Over | Fate::Refused), _) => return over,
        }
    }
    all
}

fn fate_of(state: &GrantState, now: Timestamp) -> Fate {
    match state {
        GrantState::Requested => Fate::Waits(Duration::ZERO),
        GrantState::Pending { until, .. } => match Duration::try_from(until.duration_since(now)) {
            Ok(left) if !left.is_zero() => Fate::Waits(left),
            Ok(_) | Err(_) => Fate::Expired,
        },
        GrantState::Active(_) | GrantState::Suspended(_) => Fate::Granted,
        GrantState::Ended { term: Some(_), .. } => Fate::Over,
        GrantState::Ended {
            reason, term: None, ..
        } => match reason {
            EndReason::Expired => Fate::Expired,
            EndReason::AgentRevoked
            | EndReason::ConditionChanged
            | EndReason::Declined
            | EndReason::PolicyChanged
            | EndReason::Revoked => Fate::Refused,
            EndReason::Cancelled
            | EndReason::Completed
            | EndReason::Exhausted
            | EndReason::Failed
            | EndReason::LeaseLapsed
            | EndReason::ParentEnded
            | EndReason::TaskMaxAge
            | EndReason::Withdrawn => Fate::Over,
        },
    }
}
