//! One request, from its head to the guarded answer. Read it from top to bottom: each step's result is
//! the next step's ticket.

use std::net::IpAddr;
use std::rc::Rc;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Version};
use hyper::body::{Body as _, Incoming};
use tracing::warn;

use super::canonical::{Canonical, check_lines};
use super::connection::Connection;
use super::cut::Slot;
use super::forward::{Answered, Passed, Payload};
use super::guard::{Guarded, Upload};
use super::judging::{Attempt, Judged, Times};
use super::metadata;
use super::refusal::{DPOP_NONCE, REQUEST_ID, Refusal};
use super::request_id::RequestId;
use super::rewrite::clean_answer;
use super::running::Running;
use super::source;
use super::websocket::Successor;
use super::worker::Worker;
use crate::audit::Record;
use crate::model::DenyReason;
use crate::upstream::{Prepared, Received};
use crate::wire::{Body, GrpcCall};

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
            let refuse = |refusal| self.refuse_unrecorded(&refusal, &request_id);
            return Begun::Answered(document.unwrap_or_else(refuse));
        }
        let peer = connection.peer.address.ip();
        let times = self.gate.clock.times();
        let opened = self
            .exchanges
            .open(&self.gate, peer, &request_id, &slot, times);
        let running = match opened {
            Ok(running) => running,
            Err(refusal) => {
                let refusal = refusal.to(call(&parts));
                return Begun::Answered(self.refuse_unrecorded(&refusal, &request_id));
            }
        };
        let limits = &self.gate.facts.limits;
        let canonical = match check_lines(&parts.headers, limits.header_count) {
            Ok(()) => Canonical::read(parts, limits.uri_bytes),
            Err(refusal) => Err(refusal.to(call(&parts))),
        };
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
                let response = self.refuse_open(refusal, &canonical, &running, &slot, &request_id);
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
                return self.refuse_open(refusal, &canonical, &running, &slot, &request_id);
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
        refusal: Refusal,
        canonical: &Canonical,
        running: &Running,
        slot: &Slot,
        request_id: &RequestId,
    ) -> Response<Body> {
        let (method, version) = (canonical.method(), canonical.version());
        let refusal = &refusal.to(GrpcCall::of(method, version, canonical.headers()));
        slot.disarm();
        running.refuse(refusal);
        if let Some(internal) = refusal.internal()
            && let Some(left_out) = self.refusals_told.next(self.gate.clock.now())
        {
            warn!(%request_id, code = %refusal.reason(), internal, left_out, "refused");
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
            Err(unrecorded) => self.refuse_unrecorded(&unrecorded.closing(), &request_id),
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
        let source = source::address(gate, connection.peer.address.ip(), canonical.headers())?;
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
                    self.secure(claim).await?;
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

    fn guard(
        &self,
        response: Response<Received>,
        running: Rc<Running>,
        slot: Rc<Slot>,
        request_id: &RequestId,
    ) -> Response<Body> {
        let (mut parts, body) = response.into_parts();
        running.answer(parts.status);
        // RFC 9110 §2.5: whoever passes an answer on says its own version, whatever the service's is.
        parts.version = Version::HTTP_11;
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

    /// Refuses a request of which there is no record: it is only counted.
    fn refuse_unrecorded(&self, refusal: &Refusal, request_id: &RequestId) -> Response<Body> {
        self.gate.metrics.refuse(refusal.reason().as_str());
        self.refuse(refusal, NOWHERE, request_id)
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

/// The call of gRPC that a request is, if it is one.
fn call(request: &Parts) -> Option<GrpcCall> {
    GrpcCall::of(&request.method, request.version, &request.headers)
}

fn describe_request(record: &mut Record, canonical: &Canonical) {
    record.method = Some(canonical.method().as_str().to_owned());
    record.host = Some(canonical.host().to_owned());
    record.path = Some(canonical.path().to_owned());
}
