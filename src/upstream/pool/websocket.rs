//! WebSockets: a connection of their own, asked in HTTP/1.1 to become one (RFC 6455 §4.1), or where the
//! service is configured to speak HTTP/2, asked over it for a stream (RFC 8441).

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, StatusCode};

use super::super::alone::{Connection, Streamed};
use super::super::connect::{connect_alone, connect_to_switch, within};
use super::super::lane::Lane;
use super::super::lease::{Content, Http2, Lease, Link};
use super::super::outgoing::{Outgoing, Prepared};
use super::super::target::Target;
use super::super::tunnel::{Tunnel, WebSocket};
use super::super::{Fault, SendError, framing};
use super::{Pool, broken, protocol};
use crate::model::UpstreamProtocol;
use crate::wire::{Outbound, websocket_accept, websocket_key};

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
        request: Prepared,
    ) -> Result<WebSocket, SendError> {
        let request = request.request;
        let progress = request.body.progress();
        let timeout = target.timeouts.response;
        let timeout = timeout.unwrap_or(self.limits.response_timeout);
        if target.protocol == UpstreamProtocol::Http2 {
            return self.websocket_over_http2(target, request, timeout).await;
        }
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

    async fn websocket_over_http2(
        &self,
        target: &Arc<Target>,
        request: Box<Outbound<Outgoing>>,
        timeout: Duration,
    ) -> Result<WebSocket, SendError> {
        let progress = request.body.progress();
        let open = async |lane: &Rc<Lane>, permit, deadline| {
            let opened = connect_alone(&self.clock, target, lane, deadline).await;
            let (link, connection) = opened?;
            let lease = Lease::new(Rc::clone(lane), Link::Http2(link.clone()), false, permit);
            Ok((lease, link, connection))
        };
        let opened: (Lease, Http2, Connection) = self.at_one_of(target, open).await?;
        let (mut lease, link, connection) = opened;
        let lane = Rc::clone(&lease.lane);
        let at_fault = |fault| protocol(target, &lane.address, fault);
        // HTTP/2 has its own proof that the other side means it: the key is not sent.
        let answer = lease.exchange(&self.clock, timeout, request, Some(""));
        let answer = answer.await;
        let answer = answer.map_err(|error| broken(target, &lane, &progress, error))?;
        if answer.head.status != StatusCode::OK {
            connection.detach();
            let refused = self.receive(target, lease, &progress, answer);
            return Ok(WebSocket::Refused(refused));
        }
        lane.note_answer(true);
        let Content::Http2(stream) = answer.content else {
            return Err(at_fault(Fault::Handshake));
        };
        let mut answer = http::Response::from_parts(answer.head, stream);
        let deadline = self.clock.now() + timeout;
        let upgraded = hyper::upgrade::on(&mut answer);
        let Ok(Ok(upgraded)) = within(&self.clock, deadline, upgraded).await else {
            return Err(at_fault(Fault::Handshake));
        };
        let (_lane, permit) = lease.into_place();
        let idle = target.timeouts.idle.or(self.limits.body_idle_timeout);
        let streamed = Streamed::new(upgraded, link, connection);
        let (mut head, _no_body) = answer.into_parts();
        head.extensions.clear();
        let head = http::Response::from_parts(head, ());
        let tunnel = Tunnel::over_http2(streamed, idle, permit);
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
