//! The exchange with the service: the request as it is sent there, and the wait for the answer, which ends
//! with what the exchange runs under.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Response};

use super::canonical::{Canonical, Token};
use super::connection::Connection;
use super::cut::Slot;
use super::enforce::{refuse_closed, refuse_withdrawn};
use super::gate::Gate;
use super::guard::Upload;
use super::recheck::refuse_over;
use super::refusal::Refusal;
use super::request_id::RequestId;
use super::rewrite::{Statement, pass_on_trailers, rewrite};
use super::running::{Late, Running};
use super::strict::Fault;
use super::trace::TraceParent;
use super::websocket::{Consent, Handshake};
use super::worker::Worker;
use crate::base::ErrorChain;
use crate::config::Endpoint;
use crate::grants::Closed;
use crate::model::{DenyReason, EndReason, Protocol};
use crate::upstream::{ConnectError, Phase, Prepared, Received, SendError, WebSocket};
use crate::wire::Body;

/// A request's body: on its way, or held because its inputs were read.
pub(super) enum Payload {
    Held(Bytes),
    Stream(Upload),
}

/// What was judged and may be forwarded.
pub(super) struct Passed {
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) path: String,
    /// How a WebSocket was asked for, if one was.
    pub(super) handshake: Option<Handshake>,
}

/// What the upstream says.
pub(super) enum Answered {
    Response(Response<Received>),
    Switched(Consent),
}

impl Worker {
    /// The request for the service.
    pub(super) fn prepare(
        &self,
        connection: &Connection,
        canonical: &Rc<Canonical>,
        payload: Payload,
        running: &Rc<Running>,
        (request_id, passed): (&RequestId, &Passed),
    ) -> Result<Prepared, Refusal> {
        let service = &passed.endpoint.service;
        let injected = service.credential.as_ref();
        let injected = injected.map(|one| (one.header(), one.current()));
        let credential = match &injected {
            None => None,
            Some((header, value)) => match value.as_ref() {
                Ok(value) => Some((*header, value.expose())),
                Err(error) => {
                    let detail = "the service's credential can't be read";
                    let unreachable = Refusal::new(DenyReason::UpstreamUnreachable, detail);
                    return Err(unreachable.with_internal(ErrorChain(error).to_string()));
                }
            },
        };
        let protocol = passed.endpoint.operation.protocol;
        let secret = credential.map(|(name, _)| name);
        let body = self.body(payload, running, protocol, (canonical, secret))?;
        let traced = canonical.present().traceparent.then(|| canonical.headers());
        let trace = TraceParent::continue_from(traced);
        running.note(|record| record.trace_id = Some(trace.trace_id()));
        let said = running.introduce(|who| {
            let statement = Statement {
                who,
                request_id,
                trace: &trace.text(),
                peer: &connection.source,
                trusted_proxy: self.gate.is_trusted_proxy(connection.peer.address.ip()),
                secure: connection.secure,
                credential,
            };
            rewrite(canonical, &passed.path, protocol, &statement, body)
        });
        let said = said.map(|said| said.map(|request| self.pool.prepare(request)));
        said.unwrap_or_else(|| Err(refuse_closed(Closed::Ended(EndReason::Withdrawn))))
    }

    /// Sends the request and waits for the answer, for as long as what it runs under lasts.
    pub(super) async fn exchange(
        &self,
        passed: Passed,
        outgoing: Prepared,
        running: &Running,
        slot: &Slot,
    ) -> Result<Answered, Refusal> {
        self.gate.metrics.allowed.inc();
        let target = &passed.endpoint.service.target;
        let sent = pin!(async {
            running.begin_sending();
            let Some(handshake) = passed.handshake else {
                let sent = self.pool.send(target, outgoing).await;
                return sent.map(Answered::Response);
            };
            // Boxed, so that a request that asks for none has no room for it.
            match Box::pin(self.pool.websocket(target, outgoing)).await? {
                WebSocket::Refused(response) => Ok(Answered::Response(response)),
                WebSocket::Switched(head, tunnel) => Ok(Answered::Switched(Consent {
                    handshake,
                    head,
                    tunnel,
                })),
            }
        });
        running.arm(slot);
        let ended = poll_fn(|context| slot.poll_ended(context));
        let withdrawn = poll_fn(|context| slot.poll_withdrawn(context));
        tokio::select! {
            biased;
            reason = ended => {
                running.cut(reason);
                Err(refuse_over(&self.gate, running, reason))
            }
            reason = withdrawn => {
                running.cut(reason);
                // This is the new generation's verdict, and is recorded as such.
                let live = self.gate.snapshot.current();
                running.note(|record| {
                    record.generation = Some(live.generation().clone());
                    record.written = None;
                });
                let refusal = running.take_withdrawn();
                let refusal = refusal.unwrap_or_else(|| refuse_withdrawn(reason, None));
                Err(refusal.closing())
            }
            sent = sent => sent.map_err(|error| refuse_send(&self.gate, &error, running)),
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
            Payload::Held(bytes) if bytes.is_empty() => Body::empty(),
            Payload::Held(bytes) => {
                let passed_in = running.pass_in(bytes.len(), self.gate.clock.now());
                passed_in.map_err(refuse_closed)?;
                Body::full(bytes)
            }
            Payload::Stream(upload) if protocol == Protocol::Grpc => {
                let pause = self.gate.facts.limits.idle_timeout;
                let (canonical, secret) = (Rc::clone(canonical), secret.cloned());
                let filter = move |trailers: HeaderMap| {
                    let token = canonical.token().map(Token::text);
                    let token = token.as_ref().map_or(&b""[..], |text| text.expose());
                    pass_on_trailers(&trailers, secret.as_ref(), token)
                };
                upload.streaming(pause, filter).under(running).into_body()
            }
            Payload::Stream(upload) => upload.under(running).into_body(),
        })
    }
}

fn refuse_send(gate: &Gate, error: &SendError, running: &Running) -> Refusal {
    if let Some(reason) = running.was_cut() {
        return refuse_over(gate, running, reason);
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
        SendError::RequestBody { .. } => Fault::broken_off(error),
        SendError::Overloaded { .. } => {
            let detail = "the service has as many calls as it may have at once";
            Refusal::new(DenyReason::Overloaded, detail).with_retry_after(1)
        }
        SendError::NoDescriptor { .. } => {
            let detail = "the gateway has as many connections as it can have at once";
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
