//! WebSockets: HTTP until both sides have agreed on another protocol, and then bytes both ways under what
//! the exchange was permitted for.
//!
//! The gateway makes two handshakes of one: it answers the client's itself, in the way of HTTP/1.1
//! (RFC 6455) or of HTTP/2 (RFC 8441), and asks the upstream with one of its own. Nothing that a client
//! sends behind its handshake is passed on before the upstream has switched.

mod frames;
mod handshake;
mod tunnel;

use std::cell::RefCell;
use std::rc::Rc;

use http::{Response, header};

use super::cut::Slot;
use super::request_id::RequestId;
use super::rewrite::clean_answer;
use super::running::Running;
use super::worker::Worker;
use crate::upstream::Tunnel;
use crate::wire::Body;

pub(super) use handshake::Handshake;
pub(super) use tunnel::{Parting, Switched, over_http2};

/// Where an exchange that has switched waits for the connection, or the stream, to be its own.
pub(super) type Successor = RefCell<Option<Switched>>;

/// An upstream's consent.
pub(super) struct Consent {
    pub(super) handshake: Handshake,
    pub(super) head: Response<()>,
    pub(super) tunnel: Tunnel,
}

impl Worker {
    /// Answers the client's handshake, and leaves what comes then to `successor`.
    pub(super) fn switch(
        &self,
        consent: Consent,
        (running, slot, request_id): (Rc<Running>, Rc<Slot>, &RequestId),
        successor: &Successor,
    ) -> Response<Body> {
        let Consent {
            handshake,
            head,
            tunnel,
        } = consent;
        let mut response = Response::new(Body::empty());
        let headers = response.headers_mut();
        *headers = head.into_parts().0.headers;
        clean_answer(headers);
        headers.remove(header::CONTENT_LENGTH);
        handshake.accept(&mut response);
        running.answer(response.status());
        self.sign(response.headers_mut(), &running, request_id);
        running.arm(&slot);
        slot.begin();
        let switched = Switched::new(tunnel, running, slot, self);
        successor.replace(Some(switched));
        response
    }
}
