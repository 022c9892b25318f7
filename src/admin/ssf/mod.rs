//! Shared signals from outside: security event tokens that a transmitter pushes (RFC 8935), by which sessions
//! end, agents are disabled and scores change (OpenID CAEP 1.0 and RISC 1.0).
//!
//! An event is taken when what it asks for is done and durable: only then it is acknowledged, and its `jti`
//! remembered, so that a transmitter which gets no answer comes again with the same.

mod event;
mod latest;
mod refusal;
mod subject;
#[cfg(test)]
mod tests;
mod transmitter;

use std::sync::Arc;

use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};
use jiff::Timestamp;
use tokio::time::timeout;
use tracing::{debug, info, warn};

use self::event::{Event, Kind, Order};
use self::latest::Of;
use self::refusal::Refusal;
use super::json::PATIENCE;
use super::state::Admin;
use crate::access::NotOnce;
use crate::audit::{Record, RecordKind};
use crate::base::{Digest, ErrorChain};
use crate::model::{AgentId, EndReason};
use crate::tokens::{LARGEST_TOKEN, OLDEST_EVENT, SecurityEvent, unverified_issuer};

pub use self::latest::{LatestError, LatestScores};
pub(super) use self::transmitter::Transmitters;
pub use self::transmitter::{Scores, Transmitter};

/// Takes one security event token.
#[utoipa::path(post, path = "/ssf/events", operation_id = "take_security_event", security(("transmitter" = [])),
    request_body(content = String, content_type = "application/secevent+jwt"), responses(
    (status = 202, description = "It is done, or was before, or is of no kind that matters here"),
    (status = 400, description = "It is not believed: `{err, description}` (RFC 8935 §2.4)"),
    (status = 401, description = "The transmitter has not shown its bearer token, or none is configured"),
    (status = 503, description = "It can't be done at this moment: send it again")))]
pub(super) async fn events(
    State(admin): State<Arc<Admin>>,
    request: Request,
) -> Result<Response, Refusal> {
    if admin.transmitters.is_empty() {
        return Err(Refusal::unauthenticated("nobody transmits events here"));
    }
    let (parts, body) = request.into_parts();
    let taken = if is_event(&parts.headers) {
        let body = timeout(PATIENCE, to_bytes(body, LARGEST_TOKEN)).await;
        let body = body.map_err(|_| Refusal::too_slow(PATIENCE))?;
        let body = body.map_err(|_| Refusal::request("the token is too large, or broke off"))?;
        match std::str::from_utf8(&body) {
            Ok(token) => take(&admin, &parts.headers, token.trim_ascii()).await,
            Err(_) => Err(Refusal::request("the body is not a token")),
        }
    } else {
        Err(Refusal::request("send it as application/secevent+jwt"))
    };
    admin.metrics.security_event(match &taken {
        Ok(()) => "taken",
        Err(_) => "refused",
    });
    taken.inspect_err(|refusal| debug!(%refusal, "a security event is not taken"))?;
    Ok(StatusCode::ACCEPTED.into_response())
}

fn is_event(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE);
    content_type
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|essence| {
            essence
                .trim()
                .eq_ignore_ascii_case("application/secevent+jwt")
        })
}

async fn take(admin: &Admin, headers: &HeaderMap, token: &str) -> Result<(), Refusal> {
    // The claim only selects whose keys to verify with; verification compares it again.
    let issuer = unverified_issuer(token).ok_or_else(|| Refusal::request("it is not a token"))?;
    let transmitter = admin.transmitters.of(&issuer);
    let transmitter =
        transmitter.ok_or_else(|| Refusal::issuer("nobody of this name is believed"))?;
    check_bearer(transmitter, headers)?;
    let now = admin.clock.wall();
    let trusted = transmitter.keys.trusted();
    let names = (trusted.issuer.as_str(), trusted.audience.as_str());
    let verified = SecurityEvent::verify(token, &transmitter.keys.keys(), names, now);
    let verified = verified.inspect_err(|error| {
        if error.is_unknown_key() {
            transmitter.keys.refresh_soon();
        }
    })?;
    // One at a time of each transmitter: two of one name must not both be taken for the first.
    let _turn = transmitter.turn.lock().await;
    if admin.transmitters.seen.holds(&issuer, &verified.jti) {
        return Ok(());
    }
    // All of it is read before any of it is done.
    let events = event::read(&verified)?;
    for event in events {
        apply(admin, transmitter, &verified, event).await?;
    }
    let until = verified
        .iat
        .checked_add(2 * OLDEST_EVENT)
        .unwrap_or(Timestamp::MAX);
    // With no room to remember it, it would be done again if it came again; that ends no more than now.
    let seen = &admin.transmitters.seen;
    match seen.accept(&issuer, &verified.jti, until, now).await {
        Ok(()) => Ok(()),
        Err(NotOnce::Replay(why)) => {
            info!(issuer, %why, "a security event can't be remembered");
            Ok(())
        }
        Err(error @ (NotOnce::Broken(_) | NotOnce::Store(_))) => {
            warn!(issuer, error = %ErrorChain(&error), "a security event is not stored as taken");
            Ok(())
        }
    }
}

/// The transmitter's own credential for this endpoint, where it was given one.
fn check_bearer(transmitter: &Transmitter, headers: &HeaderMap) -> Result<(), Refusal> {
    let Some(expected) = &transmitter.bearer else {
        return Ok(());
    };
    let mut shown = headers.get_all(header::AUTHORIZATION).iter();
    let token = match (shown.next(), shown.next()) {
        (Some(one), None) => one.as_bytes().split_at_checked("Bearer ".len()),
        _ => None,
    };
    let token = token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"Bearer "));
    match token {
        Some((_, token)) if Digest::of(token) == **expected.peek() => Ok(()),
        Some(_) | None => Err(Refusal::unauthenticated(
            "the bearer token of this transmitter is needed",
        )),
    }
}

/// Does what one event asks for, and records it.
async fn apply(
    admin: &Admin,
    transmitter: &Transmitter,
    token: &SecurityEvent,
    event: Event,
) -> Result<(), Refusal> {
    let agent = {
        let snapshot = admin.snapshot.current();
        let subject = event.subject.as_ref().or(token.subject.as_ref());
        subject.and_then(|subject| subject::agent(subject, transmitter.keys.issuer(), &snapshot))
    };
    let ends = matches!(event.order, Order::Disable | Order::EndSessions);
    let place = if ends {
        admin.place_for_end()
    } else {
        admin.place()
    };
    let place = place.map_err(|_| Refusal::unavailable())?;
    let mut record = Record::new(RecordKind::Admin, admin.clock.wall());
    record.agent.clone_from(&agent);
    let done = match (&event.order, &agent) {
        (Order::Nothing(why), _) => Ok((*why).to_owned()),
        (_, None) => Ok("it is about no agent here".to_owned()),
        (order, Some(agent)) => obey(admin, transmitter, token, (order, agent), &mut record).await,
    };
    let issuer = transmitter.keys.issuer();
    let said = format!("{} from {issuer}, jti {:?}", event.name, token.jti);
    record.detail = Some(match &done {
        Ok(done) => format!("{said}: {done}"),
        Err(error) => format!("{said}: not done: {error}"),
    });
    place.write(record);
    done.map_err(|error| {
        tracing::error!(error, "what a security event asks for is not done");
        Refusal::unavailable()
    })?;
    // It is done, and comes again until that is recorded.
    admin.end_is_recorded().map_err(|_| Refusal::unavailable())
}

async fn obey(
    admin: &Admin,
    transmitter: &Transmitter,
    token: &SecurityEvent,
    (order, agent): (&Order, &AgentId),
    record: &mut Record,
) -> Result<String, String> {
    match order {
        Order::Disable => {
            record.end = Some(EndReason::AgentRevoked);
            let revoked = admin.grants.revoke_agent(agent).await;
            let revoked = revoked.map_err(|error| ErrorChain(&error).to_string())?;
            Ok(format!("revoked, with {} tasks", revoked.tasks))
        }
        Order::EndSessions => {
            record.end = Some(EndReason::AgentRevoked);
            let names = {
                let snapshot = admin.snapshot.current();
                let enrolled = snapshot.agent(agent.as_str());
                enrolled.map(|one| one.agent.subject_name().to_owned())
            };
            // Tokens first: with one that is still good the agent could open another task at once.
            let now = admin.clock.wall();
            let cut = admin.revocations.end_sessions(agent, names.as_deref(), now);
            let cut = cut.await;
            // Also where the store does not take that: in memory all of it ends.
            let ended = admin.grants.end_tasks_of(agent).await;
            cut.map_err(|error| ErrorChain(&error).to_string())?;
            let ended = ended.map_err(|error| ErrorChain(&error).to_string())?;
            Ok(format!("tokens and {} tasks ended", ended.tasks))
        }
        Order::Score(kind, level) => {
            let of = of(transmitter, agent, *kind);
            let latest = &admin.transmitters.latest;
            if !latest.is_newer(of, token.iat) {
                return Ok("a newer one was taken before".to_owned());
            }
            let life = transmitter.score_life;
            let pushed = of.pushed(transmitter, *level, life);
            let score = pushed.score.number();
            let taken = admin.grants.signals().push(pushed);
            taken.map_err(|full| full.to_string())?;
            let says = Some((*level, life));
            let kept = latest.keep(of, token.iat, says, admin.clock.wall());
            kept.await.map_err(|error| ErrorChain(&error).to_string())?;
            Ok(format!("risk {score}"))
        }
        Order::TakeBack(kind) => {
            let of = of(transmitter, agent, *kind);
            let latest = &admin.transmitters.latest;
            if !latest.is_newer(of, token.iat) {
                return Ok("a newer one was taken before".to_owned());
            }
            let signals = admin.grants.signals();
            signals.take_back(agent, &of.source());
            let kept = latest.keep(of, token.iat, None, admin.clock.wall());
            kept.await.map_err(|error| ErrorChain(&error).to_string())?;
            Ok("its score is taken back".to_owned())
        }
        Order::Nothing(why) => Ok((*why).to_owned()),
    }
}

fn of<'a>(transmitter: &'a Transmitter, agent: &'a AgentId, kind: Kind) -> Of<'a> {
    Of {
        issuer: transmitter.keys.issuer(),
        agent,
        kind,
    }
}
