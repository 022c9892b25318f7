//! WebSockets: a connection of their own, asked in HTTP/1.1 to become one (RFC 6455 §4.1).

use std::rc::Rc;
use std::sync::Arc;

use http::{Request, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::super::connect::{Switched, connect_to_switch, share, within};
use super::super::lane::Lane;
use super::super::lease::{Lease, Link};
use super::super::outgoing::Outgoing;
use super::super::target::{Address, Target};
use super::super::tunnel::{Tunnel, WebSocket};
use super::super::{Fault, SendError, framing};
use super::{Pool, broken, protocol};
use crate::wire::Body;

/// A connection that was just opened, and what becomes of it.
struct Opened<'t> {
    address: &'t Address,
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
            address,
            mut lease,
            switched,
        } = self.open_to_switch(target).await?;
        let at_fault = |fault| protocol(target, address, fault);
        let mut request = framing::for_http1(request, &address.authority).map_err(at_fault)?;
        let accept = framing::ask_for_websocket(request.headers_mut()).map_err(at_fault)?;
        let answer = lease.exchange(&self.clock, timeout, request).await;
        let answer = answer.map_err(|error| broken(target, address, &progress, error))?;
        if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            let refused = self.receive(target, address, lease, &progress, answer)?;
            return Ok(WebSocket::Refused(refused));
        }
        let (head, _no_body) = answer.into_parts();
        framing::judge_switch(&head, &accept).map_err(at_fault)?;
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
    async fn open_to_switch<'t>(&self, target: &'t Arc<Target>) -> Result<Opened<'t>, SendError> {
        let lanes = self.lanes(target);
        let deadline = self.clock.now() + self.connect_timeout(target);
        let pairs = lanes.iter().zip(&target.addresses).cycle();
        let order = pairs.skip(self.choose(&lanes)).take(lanes.len());
        let mut failure = None;
        let mut full = None;
        for (tried, (lane, address)) in order.enumerate() {
            let Some(permit) = lane.try_admit() else {
                full = full.or(Some((lane, address)));
                continue;
            };
            let until = share(&self.clock, deadline, lanes.len() - tried);
            let opened = connect_to_switch(&self.clock, target, address, until).await;
            match opened {
                Ok((link, switched)) => {
                    let lease = fresh(lane, Link::Http1(link), permit);
                    return Ok(Opened {
                        address,
                        lease,
                        switched,
                    });
                }
                Err(error) => failure = Some(error),
            }
        }
        if let Some(error) = failure {
            return Err(error);
        }
        if let Some((lane, address)) = full
            && let Some(permit) = lane.admit(deadline).await
        {
            let (link, switched) =
                connect_to_switch(&self.clock, target, address, deadline).await?;
            return Ok(Opened {
                address,
                lease: fresh(lane, Link::Http1(link), permit),
                switched,
            });
        }
        Err(SendError::Overloaded {
            place: target.home().clone(),
        })
    }
}

fn fresh(lane: &Rc<Lane>, link: Link, permit: OwnedSemaphorePermit) -> Lease {
    Lease::new(Rc::clone(lane), link, false, permit)
}
