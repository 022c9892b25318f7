//! One request, from its head to the guarded answer. Read it from top to bottom: each step's result is
//! the next step's ticket.

use std::cell::Cell;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use hyper::body::{Body as _, Incoming};
use tracing::warn;

use super::canonical::{Canonical, check_lines};
use super::connection::Connection;
use super::cut::Slot;
use super::describe;
use super::enforce::{Call, enforce};
use super::forward::{Answered, Passed, Payload};
use super::guard::{Guarded, Upload};
use super::metadata;
use super::recheck::Standing;
use super::refusal::{DPOP_NONCE, REQUEST_ID, Refusal};
use super::request_id::RequestId;
use super::rewrite::clean_answer;
use super::running::Running;
use super::source;
use super::websocket::{Handshake, Successor};
use super::worker::Worker;
use crate::access::Asker;
use crate::audit::Record;
use crate::base::ErrorChain;
use crate::config::{Matched, Snapshot};
use crate::grants::Claim;
use crate::model::DenyReason;
use crate::upstream::Received;
use crate::wire::Body;

/// Tells an agent that its grant is about to end, in seconds.
const GRANT_EXPIRES_IN: HeaderName = HeaderName::from_static("portcullis-grant-expires-in");

/// How often a request is judged anew because the configuration changed while its inputs were read.
const ATTEMPTS: usize = 4;

/// Host and path of a request that has none in one reading.
const NOWHERE: (&str, &str) = ("", "");

/// One judging of a request.
struct Attempt<'a> {
    connection: &'a Connection,
    source: IpAddr,
    canonical: &'a Rc<Canonical>,
    payload: &'a Payload,
    /// Whether the request has shown before that it holds what its token is bound to.
    proved: bool,
}

/// How a request was judged.
enum Judged {
    /// Its inputs are in the body: that is read, which takes the client's time, and then everything is
    /// asked anew.
    BodyWanted,
    /// It may be forwarded.
    Passed(Passed),
}

impl Worker {
    /// Answers one request. Whatever goes wrong is an answer, too. What has become a WebSocket is left to
    /// `successor` behind its answer.
    pub(super) async fn handle(
        &self,
        connection: &Connection,
        slot: Rc<Slot>,
        request: Request<Incoming>,
        successor: &Successor,
    ) -> Response<Body> {
        let request_id = self.next_request_id();
        let (parts, body) = request.into_parts();
        if let Some(document) = metadata::answer(&self.gate, &parts) {
            return document;
        }
        let opened =
            self.exchanges
                .open(&self.gate, connection.peer.address.ip(), &request_id, &slot);
        let running = match opened {
            Ok(running) => running,
            Err(refusal) => {
                self.gate.metrics.refuse(refusal.reason().as_str());
                return self.refuse(&refusal, NOWHERE, &request_id);
            }
        };
        let limits = &self.gate.facts.limits;
        let canonical = check_lines(&parts.headers, limits.header_count)
            .and_then(|()| Canonical::read(parts, limits.uri_bytes));
        let canonical = match canonical {
            Ok(canonical) => Rc::new(canonical),
            Err(refusal) => {
                running.refuse(&refusal);
                return self.refuse(&refusal.closing(), NOWHERE, &request_id);
            }
        };
        running.note(|record| describe_request(record, &canonical));
        let answered = self
            .run(connection, &canonical, body, &running, (&slot, &request_id))
            .await;
        match answered {
            Ok(answered) => {
                let mut response = match answered {
                    Answered::Response(response) => {
                        self.guard(response, running, slot, &request_id)
                    }
                    Answered::Switched(consent) => {
                        self.switch(consent, (running, slot, &request_id), successor)
                    }
                };
                if canonical.token().is_some_and(|token| token.dpop) {
                    self.give_nonce(&mut response);
                }
                response
            }
            Err(refusal) => {
                slot.disarm();
                running.refuse(&refusal);
                if let Some(internal) = refusal.internal() {
                    warn!(%request_id, code = %refusal.reason(), internal, "refused");
                }
                self.refuse(&refusal, (canonical.host(), canonical.path()), &request_id)
            }
        }
    }

    /// Answers and records a request whose head has no reading: nothing in it is believed.
    pub(super) fn refuse_unread(
        &self,
        connection: &Connection,
        refusal: &Refusal,
    ) -> Response<Body> {
        let request_id = self.next_request_id();
        let source = connection.peer.address.ip();
        let no_response = Rc::default();
        let opened = self
            .exchanges
            .open(&self.gate, source, &request_id, &no_response);
        match opened {
            Ok(running) => {
                running.refuse(refusal);
                self.refuse(refusal, NOWHERE, &request_id)
            }
            Err(unrecorded) => {
                self.gate.metrics.refuse(unrecorded.reason().as_str());
                self.refuse(&unrecorded.closing(), NOWHERE, &request_id)
            }
        }
    }

    async fn run(
        &self,
        connection: &Connection,
        canonical: &Rc<Canonical>,
        body: Incoming,
        running: &Rc<Running>,
        (slot, request_id): (&Slot, &RequestId),
    ) -> Result<Answered, Refusal> {
        let gate = &self.gate;
        let source = source::address(gate, connection.peer.address.ip(), canonical.headers());
        running.note(|record| record.source = Some(source));
        let mut payload = if body.is_end_stream() {
            Payload::Held(Bytes::new())
        } else {
            Payload::Stream(Upload::new(body, &gate.clock, &gate.facts.limits))
        };
        let mut passed = None;
        for number in 0..ATTEMPTS {
            // Once per attempt: every step of it sees this one.
            let snapshot = gate.snapshot.current();
            let attempt = Attempt {
                connection,
                source,
                canonical,
                payload: &payload,
                proved: number > 0,
            };
            let judged = self.judge(&snapshot, &attempt, running)?;
            if matches!(judged, Judged::Passed(_)) {
                let claim = running.claim(snapshot.policies());
                if !claim.is_secure() {
                    // Boxed, as what follows is that most requests do without: they have no room for it.
                    Box::pin(self.secure(claim, running)).await?;
                }
            }
            match judged {
                Judged::BodyWanted => payload = Box::pin(self.hold(payload)).await?,
                // What was decided under a configuration that is no longer live is decided again, before
                // the first upstream byte.
                Judged::Passed(_) if !Arc::ptr_eq(&snapshot, &gate.snapshot.current()) => {
                    running.refund();
                }
                Judged::Passed(judged) => {
                    passed = Some(judged);
                    break;
                }
            }
        }
        let passed = passed.ok_or_else(|| {
            let detail = "the configuration keeps changing: come again";
            Refusal::new(DenyReason::Stale, detail).with_retry_after(1)
        })?;
        let outgoing = self.prepare(
            connection,
            canonical,
            payload,
            running,
            (request_id, &passed),
        )?;
        self.exchange(passed, outgoing, running, slot).await
    }

    /// Authenticate, route, right, describe, enforce: in this order, each by the same snapshot, and
    /// nothing awaited between them.
    fn judge(
        &self,
        snapshot: &Snapshot,
        attempt: &Attempt<'_>,
        running: &Running,
    ) -> Result<Judged, Refusal> {
        let &Attempt {
            connection,
            source,
            canonical,
            payload,
            proved,
        } = attempt;
        let gate = &self.gate;
        running.note(|record| {
            record.generation = Some(snapshot.generation().clone());
            record.asked = None;
        });
        let now = gate.clock.now();
        let (certificate, last) = (connection.peer.certificate, &connection.last_shown);
        let identity = gate.authenticate(
            snapshot,
            canonical,
            (source, certificate, last),
            proved,
            now,
        )?;
        running.note(|record| {
            record.agent = Some(identity.agent.agent.id.clone());
            record.task = identity.task.as_ref().map(|task| task.task().id.clone());
        });
        let Matched {
            endpoint,
            parameters,
            path,
        } = route(snapshot, canonical)?;
        let operation = &endpoint.operation;
        running.note(|record| {
            record.operation = Some(operation.id.clone());
            record.service = Some(operation.service.clone());
        });
        gate.check_audience(&identity, &endpoint.service)?;
        let times = (now, gate.clock.wall());
        let asker = Asker::new(snapshot, &identity, source, times, gate.grants.signals());
        let right = gate.facts.right(&asker, endpoint)?;
        let held = match payload {
            _ if !describe::wants_body(operation) => None,
            Payload::Held(bytes) => Some(bytes),
            Payload::Stream(_) => return Ok(Judged::BodyWanted),
        };
        let inputs = describe::inputs(operation, canonical, &parameters, held)?;
        let handshake = Handshake::read(canonical, operation.protocol)?;
        let call = Call {
            endpoint,
            canonical,
            inputs,
        };
        let permitted = enforce(&asker, &right, call)
            .map_err(|refusal| gate.facts.advise(refusal, &asker, endpoint))?;
        if let Some(task) = asker.task {
            task.renew(now);
        }
        let depends = Cell::new(permitted.depends());
        running.permit(permitted, |grant, inputs| Standing {
            depends,
            operation: operation.id.clone(),
            canonical: Rc::clone(canonical),
            identity,
            source,
            grant,
            inputs,
        });
        Ok(Judged::Passed(Passed {
            endpoint: Arc::clone(endpoint),
            path: path.to_owned(),
            handshake,
        }))
    }

    /// Waits, rarely, until no crash can give back what the call has taken.
    async fn secure(&self, claim: Claim, running: &Running) -> Result<(), Refusal> {
        let secured = self.gate.grants.secure(claim).await;
        secured.map_err(|error| {
            running.refund();
            let detail = "what the call would use up can't be stored at this moment";
            let refusal = Refusal::new(DenyReason::Overloaded, detail);
            let refusal = refusal.with_internal(ErrorChain(&error).to_string());
            refusal.with_retry_after(1)
        })
    }

    /// Reads the body into memory.
    async fn hold(&self, payload: Payload) -> Result<Payload, Refusal> {
        match payload {
            Payload::Held(bytes) => Ok(Payload::Held(bytes)),
            Payload::Stream(upload) => {
                let limit = self.gate.facts.limits.body_peek_bytes;
                let bytes = describe::hold(upload.into_body(), limit).await?;
                Ok(Payload::Held(bytes))
            }
        }
    }

    fn guard(
        &self,
        response: Response<Received>,
        running: Rc<Running>,
        slot: Rc<Slot>,
        request_id: &RequestId,
    ) -> Response<Body> {
        let (mut parts, body) = response.into_parts();
        running.answer(parts.status);
        clean_answer(&mut parts.headers);
        self.sign(&mut parts.headers, &running, request_id);
        let body = Guarded::new(body, running, slot);
        Response::from_parts(parts, Body::stream(body))
    }

    /// Adds what the gateway says to the client beside the upstream's answer.
    pub(super) fn sign(&self, headers: &mut HeaderMap, running: &Running, request_id: &RequestId) {
        headers.insert(REQUEST_ID, request_id.to_header());
        if let Some(seconds) = running.expires_in() {
            headers.insert(GRANT_EXPIRES_IN, seconds.into());
        }
    }

    /// The nonce for the client's next proof.
    fn give_nonce(&self, response: &mut Response<Body>) {
        if let Ok(nonce) = HeaderValue::from_str(&self.gate.dpop.nonce()) {
            response.headers_mut().insert(DPOP_NONCE, nonce);
        }
    }

    fn refuse(
        &self,
        refusal: &Refusal,
        (host, path): (&str, &str),
        request_id: &RequestId,
    ) -> Response<Body> {
        let metadata = metadata::url(&self.gate, host, path);
        let mut response = refusal.respond(&metadata, request_id);
        if refusal.wants_proof() {
            self.give_nonce(&mut response);
        }
        response
    }
}

pub(super) fn route<'s, 'p>(
    snapshot: &'s Snapshot,
    canonical: &'p Canonical,
) -> Result<Matched<'s, 'p>, Refusal> {
    let matched = snapshot.route(canonical.host(), canonical.method(), canonical.path());
    matched.ok_or_else(|| {
        let detail = "no operation answers to this method and path";
        Refusal::new(DenyReason::OperationUnknown, detail)
    })
}

fn describe_request(record: &mut Record, canonical: &Canonical) {
    record.method = Some(canonical.method().to_string());
    record.host = Some(canonical.host().to_owned());
    record.path = Some(canonical.path().to_owned());
}
