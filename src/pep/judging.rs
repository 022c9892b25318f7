//! Whether a request may pass: who asks, for what, under which right, and what the rules say of it, all by the
//! configuration of one moment.

use std::cell::Cell;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use jiff::Timestamp;

use super::canonical::Canonical;
use super::connection::Connection;
use super::describe;
use super::enforce::{Call, enforce};
use super::forward::{Passed, Payload};
use super::recheck::Standing;
use super::refusal::Refusal;
use super::running::Running;
use super::session::AtHand;
use super::websocket::Handshake;
use super::worker::Worker;
use crate::access::Asker;
use crate::base::{BootInstant, ErrorChain};
use crate::config::{Matched, Snapshot};
use crate::grants::Claim;
use crate::model::DenyReason;

/// One judging of a request.
pub(super) struct Attempt<'a> {
    pub(super) connection: &'a Connection,
    pub(super) source: IpAddr,
    pub(super) canonical: &'a Rc<Canonical>,
    pub(super) payload: &'a Payload,
    /// Whether the request has shown before that it holds what its token is bound to.
    pub(super) proved: bool,
    /// The moment that it is judged by.
    pub(super) times: Times,
}

/// One moment on the boot clock and on the wall's.
pub(super) type Times = (BootInstant, Timestamp);

/// How a request was judged.
pub(super) enum Judged {
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
    /// Judges a request by what is live now: every step sees the same.
    pub(super) fn attempt(
        &self,
        attempt: &Attempt<'_>,
        running: &Running,
    ) -> Result<Judged, Refusal> {
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

    pub(super) fn is_live(&self, snapshot: &Arc<Snapshot>) -> bool {
        Arc::ptr_eq(snapshot, &self.gate.snapshot.peek())
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
        let reserved = permitted.reserved();
        running.permit(permitted, |grant, inputs| Standing {
            depends,
            reserved,
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
    pub(super) async fn secure(&self, claim: Claim) -> Result<(), Refusal> {
        let secured = self.gate.grants.secure(claim).await;
        secured.map_err(|error| {
            let detail = "what the call would use up can't be stored at this moment";
            let refusal = Refusal::new(DenyReason::Overloaded, detail);
            let refusal = refusal.with_internal(ErrorChain(&error).to_string());
            refusal.with_retry_after(1)
        })
    }

    /// Reads the body into memory.
    pub(super) async fn hold(&self, payload: Payload) -> Result<Payload, Refusal> {
        match payload {
            Payload::Held(bytes) => Ok(Payload::Held(bytes)),
            Payload::Stream(upload) => {
                let limit = self.gate.facts.limits.body_peek_bytes;
                let bytes = describe::hold(upload.into_body(), limit).await?;
                Ok(Payload::Held(bytes))
            }
        }
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
