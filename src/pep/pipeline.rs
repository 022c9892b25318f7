//! One request, from its head to the guarded answer. Read it from top to bottom: each step's result is
//! the next step's ticket.

use std::cell::Cell;
use std::future::poll_fn;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use hyper::body::Incoming;
use tracing::warn;

use super::canonical::{Canonical, check_lines};
use super::connection::Connection;
use super::cut::Slot;
use super::describe;
use super::enforce::{Call, enforce, refuse_closed, refuse_ended, refuse_withdrawn};
use super::guard::{Guarded, Upload};
use super::metadata;
use super::recheck::Standing;
use super::refusal::{DPOP_NONCE, REQUEST_ID, Refusal};
use super::rewrite::{Statement, clean_answer, pass_on_trailers, rewrite};
use super::running::{Late, Running};
use super::source;
use super::trace::TraceParent;
use super::websocket::{Consent, Handshake, Successor};
use super::worker::Worker;
use crate::access::Asker;
use crate::audit::Record;
use crate::base::{Digest, ErrorChain};
use crate::config::{Endpoint, Matched, Snapshot};
use crate::grants::Closed;
use crate::model::{DenyReason, EndReason, Protocol};
use crate::upstream::{ConnectError, Phase, Received, SendError, WebSocket};
use crate::wire::Body;

/// Tells an agent that its grant is about to end, in seconds.
const GRANT_EXPIRES_IN: HeaderName = HeaderName::from_static("portcullis-grant-expires-in");

/// How often a request is judged anew because the configuration changed while its inputs were read.
const ATTEMPTS: usize = 4;

/// Host and path of a request that has none in one reading.
const NOWHERE: (&str, &str) = ("", "");

/// A request's body: on its way, or held because its inputs were read.
enum Payload {
    Held(Bytes),
    Stream(Upload),
}

/// One judging of a request.
struct Attempt<'a> {
    certificate: Option<Digest>,
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

/// What was judged and may be forwarded.
struct Passed {
    endpoint: Arc<Endpoint>,
    path: String,
    /// How a WebSocket was asked for, if one was.
    handshake: Option<Handshake>,
}

/// What the upstream says.
enum Answered {
    Response(Response<Received>),
    Switched(Consent),
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
                    warn!(request_id, code = %refusal.reason(), internal, "refused");
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
        (slot, request_id): (&Slot, &str),
    ) -> Result<Answered, Refusal> {
        let gate = &self.gate;
        let source = source::address(gate, connection.peer.address.ip(), canonical.headers());
        running.note(|record| record.source = Some(source));
        let upload = Upload::new(body, &gate.clock, &gate.facts.limits);
        let mut payload = Payload::Stream(upload);
        let mut passed = None;
        for number in 0..ATTEMPTS {
            // Once per attempt: every step of it sees this one.
            let snapshot = gate.snapshot.current();
            let attempt = Attempt {
                certificate: connection.peer.certificate,
                source,
                canonical,
                payload: &payload,
                proved: number > 0,
            };
            let judged = self.judge(&snapshot, &attempt, running)?;
            if matches!(judged, Judged::Passed(_)) {
                self.secure(&snapshot, running).await?;
            }
            match judged {
                Judged::BodyWanted => payload = self.hold(payload).await?,
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
        self.forward(
            connection,
            canonical,
            payload,
            running,
            (slot, request_id),
            passed,
        )
        .await
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
            certificate,
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
        let identity =
            gate.authenticate(snapshot, canonical, (source, certificate), proved, now)?;
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
            Payload::Held(bytes) => Some(bytes),
            Payload::Stream(_) if describe::wants_body(operation) => {
                return Ok(Judged::BodyWanted);
            }
            Payload::Stream(_) => None,
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
    async fn secure(&self, snapshot: &Snapshot, running: &Running) -> Result<(), Refusal> {
        let claim = running.claim(snapshot.policies());
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

    /// The body for the upstream, under guard. The trailers of gRPC requests pass, but for what belongs to
    /// the gateway: `secret` is the header that carries the service's credential.
    fn body(
        &self,
        payload: Payload,
        running: &Rc<Running>,
        protocol: Protocol,
        (canonical, secret): (&Rc<Canonical>, Option<&HeaderName>),
    ) -> Result<Body, Refusal> {
        Ok(match payload {
            Payload::Held(bytes) => {
                let passed_in = running.pass_in(bytes.len(), self.gate.clock.now());
                passed_in.map_err(refuse_closed)?;
                Body::full(bytes)
            }
            Payload::Stream(upload) if protocol == Protocol::Grpc => {
                let pause = self.gate.facts.limits.idle_timeout;
                let (canonical, secret) = (Rc::clone(canonical), secret.cloned());
                let filter = move |trailers: HeaderMap| {
                    let token = canonical.token().map_or("", |token| token.text.expose());
                    pass_on_trailers(&trailers, secret.as_ref(), token)
                };
                upload.streaming(pause, filter).under(running).into_body()
            }
            Payload::Stream(upload) => upload.under(running).into_body(),
        })
    }

    async fn forward(
        &self,
        connection: &Connection,
        canonical: &Rc<Canonical>,
        payload: Payload,
        running: &Rc<Running>,
        (slot, request_id): (&Slot, &str),
        passed: Passed,
    ) -> Result<Answered, Refusal> {
        let service = &passed.endpoint.service;
        let injected = service.credential.as_ref();
        let injected = injected.map(|one| (one.header(), one.current()));
        let credential = match &injected {
            None => None,
            Some((header, value)) => match value.as_ref() {
                Ok(value) => Some((*header, value.expose())),
                Err(error) => {
                    running.refund();
                    let detail = "the service's credential can't be read";
                    let unreachable = Refusal::new(DenyReason::UpstreamUnreachable, detail);
                    return Err(unreachable.with_internal(ErrorChain(error).to_string()));
                }
            },
        };
        let protocol = passed.endpoint.operation.protocol;
        let secret = credential.map(|(name, _)| name);
        let body = self.body(payload, running, protocol, (canonical, secret))?;
        let trace = TraceParent::continue_from(canonical.headers());
        running.note(|record| record.trace_id = Some(trace.trace_id()));
        let said = running.introduce(|who| {
            let statement = Statement {
                who,
                request_id,
                traceparent: &trace.header(),
                peer: &connection.source,
                trusted_proxy: self.gate.is_trusted_proxy(connection.peer.address.ip()),
                secure: connection.secure,
                credential,
            };
            rewrite(canonical, &passed.path, protocol, &statement, body)
        });
        let outgoing = said
            .unwrap_or_else(|| Err(refuse_closed(Closed::Ended(EndReason::Withdrawn))))
            .inspect_err(|_| running.refund())?;
        self.gate.metrics.allowed.inc();
        let sent = async {
            let Some(handshake) = passed.handshake else {
                let sent = self.pool.send(&service.target, outgoing).await;
                return sent.map(Answered::Response);
            };
            // Boxed, so that a request that asks for none has no room for it.
            match Box::pin(self.pool.websocket(&service.target, outgoing)).await? {
                WebSocket::Refused(response) => Ok(Answered::Response(response)),
                WebSocket::Switched(head, tunnel) => Ok(Answered::Switched(Consent {
                    handshake,
                    head,
                    tunnel,
                })),
            }
        };
        slot.arm(running.ends());
        let ended = poll_fn(|context| slot.poll_ended(context));
        let withdrawn = poll_fn(|context| slot.poll_withdrawn(context));
        tokio::select! {
            biased;
            reason = ended => {
                running.cut(reason);
                Err(refuse_ended(reason).closing())
            }
            reason = withdrawn => {
                running.cut(reason);
                // This is the new generation's verdict, and is recorded as such.
                let live = self.gate.snapshot.current();
                running.note(|record| {
                    record.generation = Some(live.generation().clone());
                    record.asked = None;
                });
                Err(refuse_withdrawn(reason).closing())
            }
            sent = sent => sent.map_err(|error| refuse_send(&error, running)),
        }
    }

    fn guard(
        &self,
        response: Response<Received>,
        running: Rc<Running>,
        slot: Rc<Slot>,
        request_id: &str,
    ) -> Response<Body> {
        let (mut parts, body) = response.into_parts();
        running.answer(parts.status);
        clean_answer(&mut parts.headers);
        self.sign(&mut parts.headers, &running, request_id);
        let body = Guarded::new(body, running, slot);
        Response::from_parts(parts, Body::stream(body))
    }

    /// Adds what the gateway says to the client beside the upstream's answer.
    pub(super) fn sign(&self, headers: &mut HeaderMap, running: &Running, request_id: &str) {
        if let Ok(id) = HeaderValue::from_str(request_id) {
            headers.insert(REQUEST_ID, id);
        }
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
        request_id: &str,
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

fn refuse_send(error: &SendError, running: &Running) -> Refusal {
    if let Some(reason) = running.was_cut() {
        return refuse_ended(reason).closing();
    }
    if error.is_unsent() {
        running.refund();
    }
    let internal = ErrorChain(error).to_string();
    let refusal = match error {
        SendError::RequestBody { .. } if running.was_late() == Some(Late::Body) => {
            let detail = "the request's body took longer than a whole request may";
            Refusal::new(DenyReason::Timeout, detail).closing()
        }
        SendError::RequestBody { .. } if running.was_late() == Some(Late::Pause) => {
            let detail = "the request's body stopped coming";
            Refusal::new(DenyReason::Timeout, detail).closing()
        }
        SendError::RequestBody { .. } => {
            Refusal::new(DenyReason::RequestMalformed, "the request's body broke off").closing()
        }
        SendError::Overloaded { .. } => {
            let detail = "the service has as many calls as it may have at once";
            Refusal::new(DenyReason::Overloaded, detail).with_retry_after(1)
        }
        SendError::Timeout { phase, .. } => {
            let detail = match phase {
                Phase::Connect => "no connection to the service could be had in time",
                Phase::Response => "the service did not answer in time",
            };
            Refusal::new(DenyReason::UpstreamTimeout, detail)
        }
        SendError::Connect {
            source: ConnectError::NoWebSockets,
            ..
        } => Refusal::new(
            DenyReason::UpstreamUnreachable,
            "the service takes no WebSockets over HTTP/2",
        ),
        SendError::BrokeOff { .. }
        | SendError::Connect { .. }
        | SendError::Protocol { .. }
        | SendError::Tls { .. } => Refusal::new(
            DenyReason::UpstreamUnreachable,
            "the service can't be reached, or answered with something that is not HTTP",
        ),
    };
    refusal.with_internal(internal)
}
