//! The control listener: axum's routes over HTTP/1.1 and HTTP/2, on the runtime that everything but the
//! data plane runs on.
//!
//! What is served holds the audit log open. So what still runs after the drain time is dropped, and not only left
//! alone: a client that never finishes does not keep the gateway from its end.
//!
//! Invariant: until then, what may change something is seen through to its end, whoever waits for the answer. It is
//! recorded behind the change, and a client that hangs up between must not keep its deed out of the log.

#[cfg(test)]
mod tests;

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Router};
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::time::timeout;
use tracing::{debug, warn};

use crate::base::{Clock, ErrorChain, Trickle};
use crate::pep::Admission;
use crate::tls::Acceptor;
use crate::wire::Peer;

/// After a failed accept the next try waits.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How often failed accepts are told of.
const ACCEPT_TOLD: Duration = Duration::from_secs(10);

/// How long after the stop connections go on as before.
const LAST_CALL: Duration = Duration::from_millis(250);

/// What a control listener bounds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// How long the head of a request may take, and a connection be silent.
    pub(super) header_timeout: Duration,
    /// Connections at once. Over it, new ones wait in the kernel.
    pub(super) connections: usize,
    /// Connections at once from one address: nobody alone keeps all others out. Over it, new ones are closed.
    pub(super) per_source: usize,
    /// How long after the stop what runs may go on.
    pub(super) drain: Duration,
}

impl Bounds {
    pub(super) const fn new(header_timeout: Duration) -> Self {
        Self {
            header_timeout,
            connections: 4096,
            per_source: 1024,
            drain: Duration::from_secs(5),
        }
    }
}

/// A control listener and what it serves.
pub(super) struct Served {
    pub(super) socket: std::net::TcpListener,
    pub(super) tls: Option<Acceptor>,
    pub(super) router: Router,
}

/// Serves until `stop` turns true, and what runs then to its end, within bounds. The socket is taken over before this returns.
pub(super) fn serve(
    served: Served,
    bounds: Bounds,
    stop: watch::Receiver<bool>,
) -> io::Result<impl Future<Output = ()> + Send> {
    let Served {
        socket,
        tls,
        router,
    } = served;
    let socket = TcpListener::from_std(socket)?;
    Ok(async move {
        let places = Arc::new(Semaphore::new(bounds.connections));
        let admission = Arc::new(Admission::new(bounds.connections, bounds.per_source));
        let (drop_all, dropped) = watch::channel(false);
        let (told, clock) = (Trickle::new(1, ACCEPT_TOLD), Clock::system());
        loop {
            let next = async {
                let place = Arc::clone(&places).acquire_owned().await;
                (place, socket.accept().await)
            };
            let (place, accepted) = tokio::select! {
                next = next => next,
                () = stopped(stop.clone()) => break,
            };
            let (stream, address) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    if let Some(left_out) = told.next(clock.now()) {
                        warn!(%error, left_out, "can't accept control connections; they wait");
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let admitted = match admission.admit(address.ip().to_canonical()) {
                Ok(admitted) => admitted,
                Err(full) => {
                    debug!(peer = %address, limit = full.as_str(), "a control connection is one too many");
                    continue;
                }
            };
            let connection = Connection {
                address,
                tls: tls.clone(),
                router: router.clone(),
                header_timeout: bounds.header_timeout,
                stop: stop.clone(),
                until: Until {
                    dropped: dropped.clone(),
                    _place: Arc::new((admitted, place)),
                },
            };
            tokio::spawn(connection.run(stream));
        }
        // Every connection has a place, and so has what goes on without it: when all are free, there is none.
        let all = u32::try_from(bounds.connections).unwrap_or(u32::MAX);
        if timeout(bounds.drain, places.acquire_many(all))
            .await
            .is_err()
        {
            debug!("control connections still run after the drain time; they are dropped");
            drop_all.send_replace(true);
            // They end at their next turn, and nothing of them is left then.
            let _all = places.acquire_many(all).await;
        }
    })
}

/// Runs things of a connection until it is said that all are dropped.
#[derive(Clone)]
struct Until {
    dropped: watch::Receiver<bool>,
    /// The connection's place, taken until the last of them has ended.
    _place: Arc<dyn Send + Sync>,
}

impl Until {
    async fn run(self, what: impl Future<Output = ()>) {
        tokio::select! {
            () = what => {}
            () = stopped(self.dropped) => {}
        }
    }
}

/// Sees a request that may change something through to its end, also where its client hangs up.
async fn see_through(State(until): State<Until>, request: Request, next: Next) -> Response {
    if request.method().is_safe() {
        return next.run(request).await;
    }
    let (answer, answered) = oneshot::channel();
    let dropped = until.dropped.clone();
    tokio::spawn(until.run(async move {
        // Nobody may be waiting for it any more.
        let _ = answer.send(next.run(request).await);
    }));
    match answered.await {
        Ok(answer) => answer,
        // Its connection is dropped now, too: whether it was done, nobody can say.
        Err(_) if *dropped.borrow() => pending().await,
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// What HTTP/2 does beside its connection.
impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Until {
    fn execute(&self, what: F) {
        tokio::spawn(self.clone().run(what));
    }
}

struct Connection {
    address: SocketAddr,
    tls: Option<Acceptor>,
    router: Router,
    header_timeout: Duration,
    stop: watch::Receiver<bool>,
    until: Until,
}

impl Connection {
    async fn run(self, stream: TcpStream) {
        let until = self.until.clone();
        until.run(self.serve(stream)).await;
    }

    async fn serve(mut self, stream: TcpStream) {
        let mut peer = Peer {
            address: SocketAddr::new(self.address.ip().to_canonical(), self.address.port()),
            certificate: None,
        };
        let Some(acceptor) = self.tls.clone() else {
            return self.http1(stream, peer).await;
        };
        match timeout(self.header_timeout, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => {
                peer.certificate = stream.peer().map(|peer| peer.thumbprint);
                if let Some(client) = stream.peer().cloned() {
                    self.router = self.router.layer(Extension(Arc::new(client)));
                }
                if stream.is_http2() {
                    self.http2(stream, peer).await;
                } else {
                    self.http1(stream, peer).await;
                }
            }
            Ok(Err(error)) => {
                let error = ErrorChain(&error);
                debug!(peer = %self.address, %error, "a control handshake failed");
            }
            Err(_) => debug!(peer = %self.address, "a control handshake took too long"),
        }
    }

    /// What answers the requests of this connection.
    fn service(&self, peer: Peer) -> TowerToHyperService<Router> {
        let through = from_fn_with_state(self.until.clone(), see_through);
        let router = self.router.clone().layer(through).layer(Extension(peer));
        TowerToHyperService::new(router)
    }

    async fn http1(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send, peer: Peer) {
        let service = self.service(peer);
        let mut connection = std::pin::pin!(
            http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(self.header_timeout)
                .serve_connection(TokioIo::new(stream), service)
        );
        tokio::select! {
            ended = connection.as_mut() => log_end(ended),
            () = last_call(self.stop) => {
                connection.as_mut().graceful_shutdown();
                log_end(connection.await);
            }
        }
    }

    async fn http2(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send, peer: Peer) {
        let service = self.service(peer);
        let mut connection = std::pin::pin!(
            http2::Builder::new(self.until)
                .timer(TokioTimer::new())
                .max_concurrent_streams(100)
                .serve_connection(TokioIo::new(stream), service)
        );
        tokio::select! {
            ended = connection.as_mut() => log_end(ended),
            () = stopped(self.stop) => {
                connection.as_mut().graceful_shutdown();
                log_end(connection.await);
            }
        }
    }
}

fn log_end(ended: Result<(), hyper::Error>) {
    if let Err(error) = ended {
        debug!(error = %ErrorChain(&error), "a control connection ended early");
    }
}

/// Resolves a moment after `stop` turns true: hyper would close a connection whose first request is still
/// on its way, and its client could not know whether that was served.
async fn last_call(stop: watch::Receiver<bool>) {
    stopped(stop).await;
    tokio::time::sleep(LAST_CALL).await;
}

/// Resolves when `stop` turns true, or when nobody can turn it any more.
async fn stopped(mut stop: watch::Receiver<bool>) {
    // An error means that the gateway is gone, and that is a stop too.
    let _ = stop.wait_for(|stop| *stop).await;
}
