//! WebSockets: a connection of their own, asked in HTTP/1.1 to become one (RFC 6455 §4.1).

use std::rc::Rc;
use std::sync::Arc;

use http::{Request, StatusCode};
use tokio::sync::oneshot;

use super::super::connect::{Switched, connect_to_switch, within};
use super::super::lane::Lane;
use super::super::lease::{Lease, Link};
use super::super::outgoing::Outgoing;
use super::super::target::Target;
use super::super::tunnel::{Tunnel, WebSocket};
use super::super::{Fault, SendError, framing};
use super::{Pool, broken, protocol};
use crate::wire::Body;

/// A connection that was just opened, and what becomes of it.
struct Opened {
    lease: Lease,
    switched: oneshot::Receiver<Switched>,
}

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
        let Opened {
            mut lease,
            switched,
        } = self.open_to_switch(target).await?;
        let lane = Rc::clone(&lease.lane);
        let at_fault = |fault| protocol(target, &lane.address, fault);
        let mut request = framing::for_http1(request, &lane.address.authority).map_err(at_fault)?;
        let accept = framing::ask_for_websocket(request.headers_mut()).map_err(at_fault)?;
        let answer = lease.exchange(&self.clock, timeout, request).await;
        let answer = answer.map_err(|error| broken(target, &lane, &progress, error))?;
        if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            let refused = self.receive(target, lease, &progress, answer)?;
            return Ok(WebSocket::Refused(refused));
        }
        let (head, _no_body) = answer.into_parts();
        let judged = framing::judge_switch(&head, &accept);
        lane.note_answer(judged.is_ok());
        judged.map_err(at_fault)?;
        let deadline = self.clock.now() + timeout;
        let Ok(Ok(switched)) = within(&self.clock, deadline, switched).await else {
            return Err(at_fault(Fault::Handshake));
        };
        let (_lane, permit) = lease.into_place();
        let idle = target.timeouts.idle.or(self.limits.body_idle_timeout);
        let tunnel = Tunnel::new(switched.io.into_inner(), switched.read_buf, idle, permit);
        let head = http::Response::from_parts(head, ());
        Ok(WebSocket::Switched(head, tunnel))
    }

    /// A fresh connection to the address with the lesser load of two, or to another one where that
    /// can't be had.
    async fn open_to_switch(&self, target: &Arc<Target>) -> Result<Opened, SendError> {
        let open = async |lane: &Rc<Lane>, permit, deadline| {
            let opened = connect_to_switch(&self.clock, target, lane, deadline).await;
            let (link, switched) = opened?;
            let lease = Lease::new(Rc::clone(lane), Link::Http1(link), false, permit);
            Ok(Opened { lease, switched })
        };
        self.at_one_of(target, open).await
    }
}
