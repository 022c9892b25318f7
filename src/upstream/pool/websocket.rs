//! WebSockets: a connection of their own, asked in HTTP/1.1 to become one (RFC 6455 §4.1).

use std::rc::Rc;
use std::sync::Arc;

use http::{HeaderValue, Request, StatusCode};

use super::super::connect::connect_to_switch;
use super::super::lane::Lane;
use super::super::lease::Lease;
use super::super::outgoing::Outgoing;
use super::super::target::Target;
use super::super::tunnel::{Tunnel, WebSocket};
use super::super::{Fault, SendError, framing};
use super::{Pool, broken, protocol};
use crate::wire::{Body, websocket_accept, websocket_key};

impl Pool {
    /// Asks one of the target's addresses for a WebSocket. The handshake is the pool's own: whatever
    /// `request` says of it is replaced, and the answer is checked.
    ///
    /// An address that can't be connected to is passed over for the next; a request that was sent is
    /// never sent again.
    ///
    /// # Errors
    ///
    /// As [`SendError`] says; a switch to anything else is a [`Fault::Handshake`].
    ///
    /// # Cancellation
    ///
    /// Dropping the future closes the connection.
    pub async fn websocket(
        &self,
        target: &Arc<Target>,
        request: Request<Body>,
    ) -> Result<WebSocket, SendError> {
        let request = request.map(|body| Outgoing::new(body, &self.clock));
        let progress = request.body().progress();
        let timeout = target.timeouts.response;
        let timeout = timeout.unwrap_or(self.limits.response_timeout);
        let mut lease = self.open_to_switch(target).await?;
        let lane = Rc::clone(&lease.lane);
        let at_fault = |fault| protocol(target, &lane.address, fault);
        let key = websocket_key();
        let accept = HeaderValue::from_str(&websocket_accept(key.as_bytes()));
        let accept = accept.map_err(|_| at_fault(Fault::Handshake))?;
        let answer = lease.exchange(&self.clock, timeout, request, Some(&key));
        let answer = answer.await;
        let answer = answer.map_err(|error| broken(target, &lane, &progress, error))?;
        if answer.head.status != StatusCode::SWITCHING_PROTOCOLS {
            return Ok(WebSocket::Refused(
                self.receive(target, lease, &progress, answer),
            ));
        }
        let head = answer.head;
        let judged = framing::judge_switch(&head, &accept);
        lane.note_answer(judged.is_ok());
        judged.map_err(at_fault)?;
        let switched = lease.into_stream();
        let (stream, unread, permit) = switched.ok_or_else(|| at_fault(Fault::Handshake))?;
        let idle = target.timeouts.idle.or(self.limits.body_idle_timeout);
        let tunnel = Tunnel::new(stream, unread, idle, permit);
        let head = http::Response::from_parts(head, ());
        Ok(WebSocket::Switched(head, tunnel))
    }

    /// A fresh connection to the address with the lesser load of two, or to another one where that
    /// can't be had.
    async fn open_to_switch(&self, target: &Arc<Target>) -> Result<Lease, SendError> {
        let open = async |lane: &Rc<Lane>, permit, deadline| {
            let link = connect_to_switch(&self.clock, target, lane, deadline).await?;
            Ok(Lease::new(Rc::clone(lane), link, false, permit))
        };
        self.at_one_of(target, open).await
    }
}
