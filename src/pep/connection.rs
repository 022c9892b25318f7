//! One downstream connection: TLS, the protocol that was agreed on, and the cutting of what runs.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::BytesMut;
use http::Request;
use http::header::{CONNECTION, HeaderValue, InvalidHeaderValue};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::spawn_local;
use tokio::time::timeout;

use super::cut::{Ran, Slot, StreamExecutor, run_in_slot};
use super::http2::{Paced, Rewound, begins};
use super::pipeline::Begun;
use super::session::LastShown;
use super::strict::{Rest, Strict};
use super::websocket::{Parting, Successor, Switched, over_http2};
use super::worker::{Worker, stopped, stopped_for};
use crate::config::Protocols;
use crate::tls::{Acceptor, ServerStream, TlsError};
use crate::wire::Peer;

/// What a request knows of the connection that it came over.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) peer: Peer,
    /// The peer's address, as upstreams are told it.
    pub(super) source: HeaderValue,
    pub(super) secure: bool,
    /// Whose token it has shown last.
    pub(super) last_shown: LastShown,
}

/// Why a connection ended before its time.
#[derive(Debug, Error)]
pub(super) enum ConnectionError {
    #[error("the peer's address can't be written down")]
    Address(#[from] InvalidHeaderValue),
    #[error("HTTP broke off")]
    Http(#[from] hyper::Error),
    #[error("the socket failed")]
    Socket(#[from] io::Error),
    #[error("no TLS handshake in time")]
    Slow,
    #[error("the TLS handshake failed")]
    Tls(#[from] TlsError),
}

/// A stream whose socket can be told to forget what it still holds.
trait Resettable {
    fn socket(&self) -> &TcpStream;
}

impl Resettable for TcpStream {
    fn socket(&self) -> &TcpStream {
        self
    }
}

impl Resettable for Rewound<TcpStream> {
    fn socket(&self) -> &TcpStream {
        self.get_ref()
    }
}

impl Resettable for ServerStream<TcpStream> {
    fn socket(&self) -> &TcpStream {
        self.get_ref()
    }
}

/// Serves a connection to its end, or until `stop` and the end of what runs on it. Each way of doing so is
/// boxed: an idle connection then takes the room of its own way, not of the largest.
pub(super) async fn serve(
    worker: Rc<Worker>,
    stream: TcpStream,
    peer: SocketAddr,
    (tls, protocols): (Option<Acceptor>, Protocols),
    stop: watch::Receiver<bool>,
) -> Result<(), ConnectionError> {
    stream.set_nodelay(true)?;
    let mut connection = Connection {
        source: HeaderValue::try_from(peer.ip().to_string())?,
        last_shown: LastShown::default(),
        peer: Peer {
            address: peer,
            certificate: None,
        },
        secure: tls.is_some(),
    };
    let Some(acceptor) = tls else {
        return Box::pin(serve_plain(worker, connection, stream, protocols, stop)).await;
    };
    let patience = worker.gate.facts.limits.header_timeout;
    let accepted = timeout(patience, Box::pin(acceptor.accept(stream))).await;
    let stream = accepted.map_err(|_| ConnectionError::Slow)??;
    connection.peer.certificate = stream.peer().map(|peer| peer.thumbprint);
    if stream.is_http2() {
        Box::pin(serve_http2(worker, connection, stream, stop)).await
    } else {
        Box::pin(serve_http1(worker, connection, stream, stop)).await
    }
}

/// Serves a connection without TLS in what the listener speaks, and where that is more than one, in what
/// the client begins with.
async fn serve_plain(
    worker: Rc<Worker>,
    connection: Connection,
    stream: TcpStream,
    protocols: Protocols,
    stop: watch::Receiver<bool>,
) -> Result<(), ConnectionError> {
    match protocols {
        Protocols::Http1 => Box::pin(serve_http1(worker, connection, stream, stop)).await,
        Protocols::Http2 => Box::pin(serve_http2(worker, connection, stream, stop)).await,
        Protocols::Both => {
            let limits = worker.gate.facts.limits;
            let begun = begins(stream, limits.idle_timeout, limits.header_timeout);
            let begun = tokio::select! {
                begun = begun => begun?,
                () = stopped_for(stop.clone(), LAST_CALL) => None,
            };
            match begun {
                None => Ok(()),
                Some((stream, true)) => {
                    Box::pin(serve_http2(worker, connection, stream, stop)).await
                }
                Some((stream, false)) => {
                    Box::pin(serve_http1(worker, connection, stream, stop)).await
                }
            }
        }
    }
}

/// What lasts as long as a connection that speaks HTTP/1.
struct Http1 {
    worker: Rc<Worker>,
    connection: Rc<Connection>,
    slot: Rc<Slot>,
    successor: Rc<Successor>,
}

/// How far one go at a connection has come.
enum Went {
    /// It is over, so or so.
    Over(hyper::Result<()>),
    /// It is between two requests, for a while now.
    Quiet,
}

/// Serves a connection to its end. While nothing comes of it hyper is given up, with its buffers and all that it
/// knows, and what is left waits: most connections do most of the time.
async fn serve_http1<S>(
    worker: Rc<Worker>,
    connection: Connection,
    stream: S,
    stop: watch::Receiver<bool>,
) -> Result<(), ConnectionError>
where
    S: AsyncRead + AsyncWrite + Resettable + Unpin + 'static,
{
    let limits = &worker.gate.facts.limits;
    let mut stream = Strict::new(stream, &worker.gate.clock, limits);
    let http1 = Http1 {
        worker,
        connection: Rc::new(connection),
        slot: Rc::default(),
        successor: Rc::default(),
    };
    // Boxed, so that what waits has no room for it.
    while let Some(quiet) = Box::pin(http1.serve(stream, stop.clone())).await? {
        stream = quiet;
        http1.slot.forget();
        let mut stop = pin!(stopped(stop.clone()));
        poll_fn(|context| match stop.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Ok(())),
            Poll::Pending => stream.poll_woken(context),
        })
        .await?;
    }
    Ok(())
}

impl Http1 {
    /// Serves until the connection is over, or quiet: then it is given back.
    async fn serve<S>(
        &self,
        stream: Strict<S>,
        stop: watch::Receiver<bool>,
    ) -> Result<Option<Strict<S>>, ConnectionError>
    where
        S: AsyncRead + AsyncWrite + Resettable + Unpin + 'static,
    {
        let limits = self.worker.gate.facts.limits;
        let (slot, verdict) = (&self.slot, stream.verdict());
        let service = service_fn(|request: Request<Incoming>| {
            let begun = match verdict.take() {
                Some(refusal) => {
                    Begun::Answered(self.worker.refuse_unread(&self.connection, &refusal))
                }
                None => self
                    .worker
                    .begin(&self.connection, Rc::clone(slot), request),
            };
            let (worker, connection) = (Rc::clone(&self.worker), Rc::clone(&self.connection));
            let (verdict, successor) = (verdict.clone(), Rc::clone(&self.successor));
            // Boxed, because only a connection that can be moved gives its socket back.
            Box::pin(async move {
                let mut response = worker.finish(&connection, begun, &successor).await;
                if verdict.is_incomplete() {
                    let close = HeaderValue::from_static("close");
                    response.headers_mut().insert(CONNECTION, close);
                }
                Ok::<_, Infallible>(response)
            })
        });
        // The stream keeps the deadlines of heads, and tells the end of requests from that of the client.
        let mut http = http1::Builder::new();
        http.header_read_timeout(None)
            .half_close(true)
            .max_buf_size(limits.header_bytes.max(MIN_BUFFER));
        if limits.header_count > HYPER_HEADERS {
            http.max_headers(limits.header_count);
        }
        let mut served = http.serve_connection(TokioIo::new(stream), service);
        let told = stop.clone();
        let mut stop = pin!(stopped_for(stop, LAST_CALL));
        let mut stopping = false;
        let mut asked = false;
        let ran = {
            let mut run = poll_fn(|context| {
                // It is asked once, and then by the same task only when there is something to hear.
                let ask = !stopping && (!asked || *told.borrow());
                asked = true;
                if ask && stop.as_mut().poll(context).is_ready() {
                    stopping = true;
                    Pin::new(&mut served).graceful_shutdown();
                }
                match Pin::new(&mut served).poll_without_shutdown(context) {
                    Poll::Ready(ended) => Poll::Ready(Went::Over(ended)),
                    Poll::Pending if verdict.is_quiet() && !*told.borrow() => {
                        Poll::Ready(Went::Quiet)
                    }
                    Poll::Pending => Poll::Pending,
                }
            });
            run_in_slot(slot, &mut run).await
        };
        let parts = served.into_parts();
        let stream = parts.io.into_inner();
        match ran {
            Ran::Cut => reset(&stream.into_rest().stream)?,
            Ran::Done(Went::Quiet) => {
                // It was handed one request at a time, and has answered all of each.
                let nothing_left = parts.read_buf.is_empty();
                debug_assert!(nothing_left, "a request is left over");
                if nothing_left {
                    return Ok(Some(stream));
                }
                // Better an end that the client sees than a request that nobody answers.
                reset(&stream.into_rest().stream)?;
            }
            Ran::Done(Went::Over(Err(broken))) if broken.is_user() => {
                // The answer's body broke off. Where only the end of the connection ends it, an orderly
                // end would make it look complete.
                reset(&stream.into_rest().stream)?;
                return Err(broken.into());
            }
            Ran::Done(Went::Over(ended)) => {
                ended?;
                let rest = stream.into_rest();
                match self.successor.take() {
                    // Boxed, so that a connection that never becomes one has no room for it.
                    Some(switched) => Box::pin(serve_websocket(switched, rest)).await?,
                    None => Box::pin(close(rest)).await?,
                }
            }
        }
        Ok(None)
    }
}

/// How long after the stop connections go on as before. hyper would close one whose first request is
/// still on its way, and its client could not know whether that was served.
const LAST_CALL: Duration = Duration::from_millis(250);

/// Runs a WebSocket on a connection that has no other use any more.
async fn serve_websocket<S>(mut switched: Switched, rest: Rest<S>) -> Result<(), ConnectionError>
where
    S: AsyncRead + AsyncWrite + Resettable + Unpin,
{
    let Rest {
        mut stream, held, ..
    } = rest;
    let parting = switched.carry(&mut stream, held).await;
    if parting == Parting::Abrupt {
        return reset(&stream);
    }
    // The exchange is over; only the connection has something left to do, and is waited for.
    let _leaving = switched.leaving();
    drop(switched);
    close(Rest {
        stream,
        unread: parting == Parting::Said,
        held: BytesMut::new(),
    })
    .await
}

/// Has the connection reset when it is dropped: what the kernel still holds is not delivered either.
fn reset(stream: &impl Resettable) -> Result<(), ConnectionError> {
    Ok(SockRef::from(stream.socket()).set_linger(Some(Duration::ZERO))?)
}

/// hyper refuses a smaller buffer.
const MIN_BUFFER: usize = 8192;

/// hyper makes room for so many headers on the stack; told of any number, it makes that anew for each
/// request. How many there may be is checked before it reads them.
const HYPER_HEADERS: usize = 100;

/// How long a peer may take to take note of the end.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);

/// How long what a peer still sends is thrown away, and how much of it.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 1 << 20;

/// Says goodbye (TLS `close_notify`, FIN). Where the client has sent more than was read, its bytes are
/// thrown away for a while (RFC 9112 §9.6): a reset would overtake the last answer.
async fn close<S>(rest: Rest<S>) -> Result<(), ConnectionError>
where
    S: AsyncWrite + Resettable + Unpin,
{
    let Rest {
        mut stream, unread, ..
    } = rest;
    let shutdown = poll_fn(|context| Pin::new(&mut stream).poll_shutdown(context));
    match timeout(CLOSE_PATIENCE, shutdown).await {
        Ok(closed) => closed?,
        Err(_) => return Ok(()),
    }
    if unread {
        // However it ends, the connection is over.
        let _ = timeout(LINGER, discard(stream.socket())).await;
    }
    Ok(())
}

async fn discard(socket: &TcpStream) -> io::Result<()> {
    let mut space = [0; 1024];
    let mut left = LINGER_BYTES;
    while left > 0 {
        socket.readable().await?;
        match socket.try_read(&mut space) {
            Ok(0) => break,
            Ok(count) => left = left.saturating_sub(count),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

async fn serve_http2<S>(
    worker: Rc<Worker>,
    connection: Connection,
    stream: S,
    stop: watch::Receiver<bool>,
) -> Result<(), ConnectionError>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let limits = worker.gate.facts.limits;
    let executor = StreamExecutor::default();
    let streams = executor.streams();
    let metrics = Arc::clone(&worker.gate.metrics);
    let stream = Paced::new(
        stream,
        &worker.gate.clock,
        &limits,
        Rc::clone(&streams),
        metrics,
    );
    let connection = Rc::new(connection);
    let service = {
        let executor = executor.clone();
        service_fn(move |mut request: Request<Incoming>| {
            let (worker, connection) = (Rc::clone(&worker), Rc::clone(&connection));
            let (executor, streams) = (executor.clone(), Rc::clone(&streams));
            async move {
                // Inside the stream's own task from the first poll on.
                let slot = executor.current().unwrap_or_default();
                let stream = hyper::upgrade::on(&mut request);
                let successor = Successor::default();
                let begun = worker.begin(&connection, slot, request);
                let response = worker.finish(&connection, begun, &successor).await;
                if let Some(switched) = successor.take() {
                    let runs = streams.begin();
                    spawn_local(async move {
                        over_http2(switched, stream).await;
                        drop(runs);
                    });
                }
                Ok::<_, Infallible>(response)
            }
        })
    };
    let list = u32::try_from(limits.header_bytes).unwrap_or(u32::MAX);
    let mut builder = http2::Builder::new(executor);
    builder.enable_connect_protocol();
    let mut served = builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams_per_connection)
        .max_header_list_size(list)
        .keep_alive_interval(Some(PING_EVERY))
        .keep_alive_timeout(PING_PATIENCE)
        .serve_connection(TokioIo::new(stream), service);
    let mut stop = pin!(stopped(stop));
    let mut stopping = false;
    poll_fn(|context| {
        if !stopping && stop.as_mut().poll(context).is_ready() {
            stopping = true;
            Pin::new(&mut served).graceful_shutdown();
        }
        match Pin::new(&mut served).poll(context) {
            Poll::Ready(ended) => Poll::Ready(ended),
            Poll::Pending => Poll::Pending,
        }
    })
    .await?;
    Ok(())
}

/// HTTP/2 peers that are gone without a word are found by pings.
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_PATIENCE: Duration = Duration::from_secs(20);
