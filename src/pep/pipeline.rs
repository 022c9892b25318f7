//! One request, from its head to the guarded answer. Read it from top to bottom: each step's result is
//! the next step's ticket.

use std::cell::Cell;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use hyper::body::{Body as _, Incoming};
use jiff::Timestamp;
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
use super::session::AtHand;
use super::source;
use super::websocket::{Handshake, Successor};
use super::worker::Worker;
use crate::access::Asker;
use crate::audit::Record;
use crate::base::{BootInstant, ErrorChain};
use crate::config::{Matched, Snapshot};
use crate::grants::Claim;
use crate::model::DenyReason;
use crate::upstream::{Prepared, Received};
use crate::wire::Body;

/// Tells an agent that its grant is about to end, in seconds.
const GRANT_EXPIRES_IN: HeaderName = HeaderName::from_static("portcullis-grant-expires-in");

/// How often a request is judged anew because the configuration changed while its inputs were read.
const ATTEMPTS: usize = 4;

/// Host and path of a request that has none in one reading.
const NOWHERE: (&str, &str) = ("", "");

/// How far a request has come when it can't come further without waiting.
pub(super) enum Begun {
    /// It is answered.
    Answered(Response<Body>),
    /// It has a reading, and a place for its record.
    Open(Open),
}

/// A request that has a reading, and a place for its record.
pub(super) struct Open {
    request_id: RequestId,
    canonical: Rc<Canonical>,
    running: Rc<Running>,
    slot: Rc<Slot>,
    next: Next,
}

/// What happens next to a request.
enum Next {
    /// It goes to the service.
    Forward(Passed, Prepared),
    /// Something else is waited for before that. Boxed, as most requests do without.
    Wait(Box<Waiting>),
}

/// A request before it is settled whether it is forwarded.
struct Waiting {
    source: IpAddr,
    payload: Payload,
    judged: Judged,
}

/// One judging of a request.
struct Attempt<'a> {
    connection: &'a Connection,
    source: IpAddr,
    canonical: &'a Rc<Canonical>,
    payload: &'a Payload,
    /// Whether the request has shown before that it holds what its token is bound to.
    proved: bool,
    /// The moment that it is judged by.
    times: Times,
}

/// One moment on the boot clock and on the wall's.
pub(super) type Times = (BootInstant, Timestamp);

/// How a request was judged.
enum Judged {
    /// Its inputs are in the body: that is read, which takes the client's time, and then everything is
    /// asked anew.
    BodyWanted,
    /// It may be forwarded.
    Passed(Passed),
    /// It may be, once the store knows what it uses up.
    Claiming(Claim, Passed, Arc<Snapshot>),
    /// What it was judged by is no longer live: it is judged again, before the first upstream byte.
    Stale,
}

impl Worker {
    /// Answers one request. Whatever goes wrong is an answer, too. What has become a WebSocket is left to
    /// `successor` behind its answer.
    ///
    /// This takes a request as far as it gets without waiting, which is to its service as a rule; what waits
    /// then has room for little else.
    pub(super) fn begin(
        &self,
        connection: &Connection,
        slot: Rc<Slot>,
        request: Request<Incoming>,
    ) -> Begun {
        let request_id = self.next_request_id();
        let (parts, body) = request.into_parts();
        if let Some(document) = metadata::answer(&self.gate, &parts) {
            return Begun::Answered(document);
        }
        let peer = connection.peer.address.ip();
        let times = self.gate.clock.times();
        let opened = self
            .exchanges
            .open(&self.gate, peer, &request_id, &slot, times);
        let running = match opened {
            Ok(running) => running,
            Err(refusal) => {
                self.gate.metrics.refuse(refusal.reason().as_str());
                return Begun::Answered(self.refuse(&refusal, NOWHERE, &request_id));
            }
        };
        let limits = &self.gate.facts.limits;
        let canonical = check_lines(&parts.headers, limits.header_count)
            .and_then(|()| Canonical::read(parts, limits.uri_bytes));
        let canonical = match canonical {
            Ok(canonical) => Rc::new(canonical),
            Err(refusal) => {
                running.refuse(&refusal);
                return Begun::Answered(self.refuse(&refusal.closing(), NOWHERE, &request_id));
            }
        };
        running.note(|record| describe_request(record, &canonical));
        match self.settle(connection, &canonical, body, &running, (&request_id, times)) {
            Ok(next) => Begun::Open(Open {
                request_id,
                canonical,
                running,
                slot,
                next,
            }),
            Err(refusal) => {
                let response = self.refuse_open(&refusal, &canonical, &running, &slot, &request_id);
                Begun::Answered(response)
            }
        }
    }

    /// Takes a request that was begun to its answer.
    pub(super) async fn finish(
        &self,
        connection: &Connection,
        begun: Begun,
        successor: &Successor,
    ) -> Response<Body> {
        let open = match begun {
            Begun::Answered(response) => return response,
            Begun::Open(open) => open,
        };
        let Open {
            request_id,
            canonical,
            running,
            slot,
            next,
        } = open;
        let answered = match next {
            Next::Forward(passed, outgoing) => {
                self.exchange(passed, outgoing, &running, &slot).await
            }
            Next::Wait(waiting) => {
                let at = (connection, &canonical, &running);
                let settled = self.wait(at, *waiting, &request_id);
                match Box::pin(settled).await {
                    Ok((passed, outgoing)) => {
                        Box::pin(self.exchange(passed, outgoing, &running, &slot)).await
                    }
                    Err(refusal) => Err(refusal),
                }
            }
        };
        let answered = match answered {
            Ok(answered) => answered,
            Err(refusal) => {
                return self.refuse_open(&refusal, &canonical, &running, &slot, &request_id);
            }
        };
        let mut response = match answered {
            Answered::Response(response) => self.guard(response, running, slot, &request_id),
            Answered::Switched(consent) => {
                self.switch(consent, (running, slot, &request_id), successor)
            }
        };
        if canonical.token().is_some_and(|token| token.dpop) {
            self.give_nonce(&mut response);
        }
        response
    }

    /// Answers and records a refusal of a request that has a reading.
    fn refuse_open(
        &self,
        refusal: &Refusal,
        canonical: &Canonical,
        running: &Running,
        slot: &Slot,
        request_id: &RequestId,
    ) -> Response<Body> {
        slot.disarm();
        running.refuse(refusal);
        if let Some(internal) = refusal.internal() {
            warn!(%request_id, code = %refusal.reason(), internal, "refused");
        }
        self.refuse(refusal, (canonical.host(), canonical.path()), request_id)
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
        let times = self.gate.clock.times();
        let opened = self
            .exchanges
            .open(&self.gate, source, &request_id, &no_response, times);
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

    /// Judges a request, once, and makes it ready for its service where nothing is in between.
    fn settle(
        &self,
        connection: &Connection,
        canonical: &Rc<Canonical>,
        body: Incoming,
        running: &Rc<Running>,
        (request_id, times): (&RequestId, Times),
    ) -> Result<Next, Refusal> {
        let gate = &self.gate;
        let source = source::address(gate, connection.peer.address.ip(), canonical.headers());
        running.note(|record| record.source = Some(source));
        let payload = if body.is_end_stream() {
            Payload::Held(Bytes::new())
        } else {
            Payload::Stream(Upload::new(body, &gate.clock, &gate.facts.limits))
        };
        let attempt = Attempt {
            connection,
            source,
            canonical,
            payload: &payload,
            proved: false,
            times,
        };
        match self.attempt(&attempt, running)? {
            Judged::Passed(passed) => {
                let to = (request_id, &passed);
                let outgoing = self.prepare(connection, canonical, payload, running, to)?;
                Ok(Next::Forward(passed, outgoing))
            }
            judged => Ok(Next::Wait(Box::new(Waiting {
                source,
                payload,
                judged,
            }))),
        }
    }

    /// Waits for what a request needs before it can be forwarded, and judges it again.
    async fn wait(
        &self,
        (connection, canonical, running): (&Connection, &Rc<Canonical>, &Rc<Running>),
        waiting: Waiting,
        request_id: &RequestId,
    ) -> Result<(Passed, Prepared), Refusal> {
        let Waiting {
            source,
            mut payload,
            mut judged,
        } = waiting;
        let mut attempts = 1;
        let passed = loop {
            match judged {
                Judged::Passed(passed) => break passed,
                Judged::BodyWanted => payload = self.hold(payload).await?,
                Judged::Claiming(claim, passed, snapshot) => {
                    self.secure(claim, running).await?;
                    if self.is_live(&snapshot) {
                        break passed;
                    }
                    running.refund();
                }
                Judged::Stale => {}
            }
            if attempts == ATTEMPTS {
                let detail = "the configuration keeps changing: come again";
                return Err(Refusal::new(DenyReason::Stale, detail).with_retry_after(1));
            }
            attempts += 1;
            let attempt = Attempt {
                connection,
                source,
                canonical,
                payload: &payload,
                proved: true,
                times: self.gate.clock.times(),
            };
            judged = self.attempt(&attempt, running)?;
        };
        let to = (request_id, &passed);
        let outgoing = self.prepare(connection, canonical, payload, running, to)?;
        Ok((passed, outgoing))
    }

    /// Judges a request by what is live now: every step sees the same.
    fn attempt(&self, attempt: &Attempt<'_>, running: &Running) -> Result<Judged, Refusal> {
        let snapshot = self.gate.snapshot.current();
        let judged = self.judge(&snapshot, attempt, running)?;
        let Judged::Passed(passed) = judged else {
            return Ok(judged);
        };
        let claim = running.claim(snapshot.policies());
        if !claim.is_secure() {
            return Ok(Judged::Claiming(claim, passed, snapshot));
        }
        if self.is_live(&snapshot) {
            return Ok(Judged::Passed(passed));
        }
        running.refund();
        Ok(Judged::Stale)
    }

    fn is_live(&self, snapshot: &Arc<Snapshot>) -> bool {
        Arc::ptr_eq(snapshot, &self.gate.snapshot.current())
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
            times,
        } = attempt;
        let gate = &self.gate;
        running.note(|record| {
            record.generation = Some(snapshot.generation().clone());
            record.written = None;
        });
        let (now, _) = times;
        let certificate = connection.peer.certificate;
        let at_hand = AtHand {
            last: &connection.last_shown,
            near: &self.near,
        };
        let identity = gate.authenticate(
            snapshot,
            canonical,
            (source, certificate, at_hand),
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
