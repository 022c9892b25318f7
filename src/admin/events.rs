//! What happens, as it happens (server-sent events): an agent sees its own, an operator everything, others
//! the requests that they are asked about.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use http_body::Frame;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use super::caller::Caller;
use super::error::ApiError;
use super::readers::Place;
use super::requests::is_asked;
use super::state::Admin;
use super::views::{GrantView, RequestView};
use crate::base::BootInstant;
use crate::config::Status;
use crate::grants::{Event, Happened, Heard, Listener};
use crate::model::TaskState;

/// How many pieces a reader may be behind before events wait for it.
const BACKLOG: usize = 16;

/// The time between two signs that the connection still lives.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// The longest that one stream lives: whoever reads has to show the credential again.
const LONGEST: Duration = Duration::from_hours(1);

/// What a gap means.
const GAP: &str = "some events before the next are not remembered: look at what you need to know";

/// Follows what happens from now on; with `Last-Event-ID`, from that event on. What is not remembered any
/// more is told of as a `gap`.
#[utoipa::path(get, path = "/v1/events", operation_id = "follow_events", params(
    ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event that was read")),
    responses(
    (status = 200, content_type = "text/event-stream", description = "What happens, as it happens"),
    (status = 429, description = "The caller follows as often as one may"),
    (status = 503, description = "As many follow as may")))]
pub(super) async fn follow(
    State(admin): State<Arc<Admin>>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let since = headers.get("last-event-id").map(HeaderValue::to_str);
    let since = since.transpose();
    let since = since.map_err(|_| ApiError::malformed("Last-Event-ID is no id of an event"))?;
    let since = since.map(str::to_owned);
    let place = admin.readers.enter(&caller)?;
    let (pieces, receiver) = mpsc::channel(BACKLOG);
    let longest = admin.clock.now() + LONGEST;
    let follower = Follower {
        until: caller
            .good_until()
            .map_or(longest, |good| good.min(longest)),
        pieces,
        since,
        caller,
        admin,
        _place: place,
    };
    // Ends with the reader, with the credential, or with the gateway.
    tokio::spawn(follower.run());
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, Body::new(Feed(receiver))).into_response())
}

struct Follower {
    admin: Arc<Admin>,
    /// What the reader has heard already, where it comes back.
    since: Option<String>,
    caller: Caller,
    pieces: mpsc::Sender<Bytes>,
    until: BootInstant,
    _place: Place,
}

/// What comes next in a follower's life.
enum Next {
    Heard(Heard),
    Heartbeat,
    Over,
    Policy,
}

impl Follower {
    async fn run(self) {
        let grants = &self.admin.grants;
        let back = self.since.as_deref();
        let mut events = back.map_or_else(|| grants.events(), |place| grants.events_after(place));
        let mut policies = self.admin.reloader.watch_status();
        policies.mark_unchanged();
        if self.since.is_some() && self.is_operator() {
            // Changes of the policies are not remembered: whoever comes back is told how they are.
            policies.mark_changed();
        }
        let mut piece = Some(Bytes::from_static(b": here\n\n"));
        loop {
            if let Some(piece) = piece.take()
                && !self.give(piece).await
            {
                return;
            }
            let next = self.next(&mut events, &mut policies).await;
            if !self.caller.still_stands(&self.admin) {
                return;
            }
            piece = match next {
                Next::Heard(Heard::Event(happened)) => {
                    let event = &happened.event;
                    match self.is_visible(event).await {
                        Ok(true) => {
                            let document = self.document(&happened);
                            Some(written(event.name(), &document, Some(&events.place())))
                        }
                        Ok(false) => None,
                        Err(_) => return,
                    }
                }
                Next::Heard(Heard::Gap) => {
                    let at = self.admin.clock.wall().to_string();
                    let document = json!({ "at": at, "detail": GAP });
                    Some(written("gap", &document, Some(&events.place())))
                }
                // A block without data tells a reader nothing but where it is.
                Next::Heartbeat => {
                    let place = events.place();
                    Some(Bytes::from(format!(": still here\nid: {place}\n\n")))
                }
                Next::Over => return,
                Next::Policy => Some(policy(&policies.borrow_and_update())),
            };
        }
    }

    async fn next(&self, events: &mut Listener, policies: &mut watch::Receiver<Status>) -> Next {
        let clock = &self.admin.clock;
        let mut stopping = self.admin.stopping.clone();
        let stopped = async { stopping.wait_for(|stopping| *stopping).await.is_ok() };
        tokio::select! {
            heard = events.next() => heard.map_or(Next::Over, Next::Heard),
            changed = policies.changed(), if self.is_operator() => match changed {
                Ok(()) => Next::Policy,
                Err(_) => Next::Over,
            },
            () = clock.sleep_until(clock.now() + HEARTBEAT) => Next::Heartbeat,
            () = clock.sleep_until(self.until) => Next::Over,
            () = self.pieces.closed() => Next::Over,
            _ = stopped => Next::Over,
        }
    }

    /// Gives the reader a piece; one that is slow holds up its own events alone. Says whether it goes on.
    async fn give(&self, piece: Bytes) -> bool {
        tokio::select! {
            given = self.pieces.send(piece) => given.is_ok(),
            () = self.admin.clock.sleep_until(self.until) => false,
        }
    }

    fn is_operator(&self) -> bool {
        matches!(&self.caller, Caller::Person(known) if known.is_operator())
    }

    async fn is_visible(&self, event: &Event) -> Result<bool, ApiError> {
        Ok(match &self.caller {
            Caller::Agent(agent) => {
                event.agent() == agent.id() && agent.is_within(&self.admin, event.task()).await?
            }
            Caller::Person(known) if known.is_operator() => true,
            Caller::Person(known) => {
                let request = matches!(event, Event::RequestDecided(_) | Event::RequestPending(_));
                request && event.grant().is_some_and(|grant| is_asked(known, grant))
            }
        })
    }

    fn document(&self, happened: &Happened) -> Value {
        let at = happened.at.to_string();
        match &happened.event {
            Event::RequestDecided(grant) | Event::RequestPending(grant) => {
                json!({ "at": at, "request": RequestView::new(grant) })
            }
            Event::GrantActive(grant)
            | Event::GrantEnded(grant)
            | Event::GrantExpiring(grant)
            | Event::GrantResumed(grant)
            | Event::GrantSuspended(grant) => {
                let live = self.admin.grants.grant(&grant.request.grant);
                json!({ "at": at, "grant": GrantView::new(grant, live.as_deref()) })
            }
            Event::TaskEnded(task) => {
                let reason = match task.state {
                    TaskState::Ended { reason, .. } => Some(reason.as_str()),
                    TaskState::Open => None,
                };
                let (id, agent) = (task.id.as_str(), task.agent.as_str());
                json!({ "at": at, "task": { "id": id, "agent": agent, "end_reason": reason } })
            }
        }
    }
}

fn policy(status: &Status) -> Bytes {
    let refused = status.last_refused.is_some();
    let generation = status.generation.as_str();
    let document = json!({ "generation": generation, "refused": refused });
    written("policy.changed", &document, None)
}

fn written(name: &str, document: &Value, place: Option<&str>) -> Bytes {
    let place = place.map(|place| format!("id: {place}\n"));
    let place = place.unwrap_or_default();
    // JSON has no line ends of its own, so one data line holds it.
    Bytes::from(format!("event: {name}\ndata: {document}\n{place}\n"))
}

/// The pieces as a body.
struct Feed(mpsc::Receiver<Bytes>);

impl http_body::Body for Feed {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0
            .poll_recv(context)
            .map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}
