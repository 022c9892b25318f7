//! Opens connections: name, TCP, TLS, HTTP.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::spawn_local;

use super::framing::{HEAD_BYTES, HEADER_LINES};
use super::lease::{Http1, Http2, Link};
use super::outgoing::Outgoing;
use super::resolve::resolve;
use super::socket::{Socket, Stream, Watch};
use super::target::{Address, Target};
use super::{ConnectError, Phase, SendError};
use crate::base::{BootInstant, Clock};

/// A peer that vanished without a word is noticed after this long, under streams that are silent
/// for good reasons too.
const PROBE_AFTER: Duration = Duration::from_secs(30);
const PROBE_TIMEOUT: Duration = Duration::from_secs(20);

/// Opens a connection to one address of `target`.
pub(super) async fn connect(
    clock: &Clock,
    target: &Target,
    address: &Address,
    deadline: BootInstant,
) -> Result<Link, SendError> {
    within(clock, deadline, open(clock, target, address, deadline))
        .await
        .unwrap_or_else(|Elapsed| {
            Err(SendError::Timeout {
                place: target.place(address),
                phase: Phase::Connect,
            })
        })
}

/// Opens a connection to one address of `target` for HTTP/1.1 alone, which can become something else:
/// that is then given through the receiver.
pub(super) async fn connect_to_switch(
    clock: &Clock,
    target: &Target,
    address: &Address,
    deadline: BootInstant,
) -> Result<(Http1, oneshot::Receiver<Switched>), SendError> {
    let opened = async {
        let (stream, watch) = reach(clock, target, address, deadline, true).await?;
        let link = speak_until_switched(stream, watch).await;
        link.map_err(|source| SendError::BrokeOff {
            place: target.place(address),
            source,
        })
    };
    within(clock, deadline, opened)
        .await
        .unwrap_or_else(|Elapsed| {
            Err(SendError::Timeout {
                place: target.place(address),
                phase: Phase::Connect,
            })
        })
}

/// What HTTP leaves when it is over: the stream, and what came behind the last head.
pub(super) type Switched = http1::Parts<TokioIo<Stream>>;

async fn open(
    clock: &Clock,
    target: &Target,
    address: &Address,
    deadline: BootInstant,
) -> Result<Link, SendError> {
    let (stream, watch) = reach(clock, target, address, deadline, false).await?;
    let is_http2 = match &stream {
        Stream::Plain(_) => target.options.h2c,
        Stream::Tls(stream) => stream.is_http2(),
    };
    let link = if is_http2 {
        speak_http2(stream, watch).await
    } else {
        speak_http1(stream, watch).await
    };
    link.map_err(|source| SendError::Connect {
        place: target.place(address),
        source: ConnectError::Http2(source),
    })
}

/// Name, TCP, TLS.
async fn reach(
    clock: &Clock,
    target: &Target,
    address: &Address,
    deadline: BootInstant,
    http1_only: bool,
) -> Result<(Stream, Watch), SendError> {
    let failed = |source| SendError::Connect {
        place: target.place(address),
        source,
    };
    let addresses = resolve(&address.host, address.port).await.map_err(failed)?;
    let tcp = dial(clock, &addresses, deadline).await.map_err(failed)?;
    let (socket, watch) = Socket::new(tcp);
    let (Some(connector), true) = (&target.connector, address.tls) else {
        return Ok((Stream::Plain(socket), watch));
    };
    let connected = if http1_only {
        let connector = connector.http1_only();
        connector.connect(&address.server_name, socket).await
    } else {
        connector.connect(&address.server_name, socket).await
    };
    let stream = connected.map_err(|source| SendError::Tls {
        place: target.place(address),
        source,
    })?;
    Ok((Stream::Tls(Box::new(stream)), watch))
}

/// Tries the addresses in order, each with its share of the time that is left. The last has all of
/// it, which is the caller's to measure.
async fn dial(
    clock: &Clock,
    addresses: &[SocketAddr],
    deadline: BootInstant,
) -> Result<TcpStream, ConnectError> {
    let Some((last, others)) = addresses.split_last() else {
        return Err(ConnectError::NoAddress);
    };
    for (tried, address) in others.iter().enumerate() {
        let until = share(clock, deadline, addresses.len() - tried);
        if let Ok(Ok(stream)) = within(clock, until, TcpStream::connect(address)).await {
            return prepare(stream).map_err(ConnectError::Socket);
        }
    }
    let stream = TcpStream::connect(last).await;
    stream.and_then(prepare).map_err(ConnectError::Socket)
}

fn prepare(stream: TcpStream) -> std::io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    let probes = TcpKeepalive::new()
        .with_time(PROBE_AFTER)
        .with_interval(PROBE_TIMEOUT);
    SockRef::from(&stream).set_tcp_keepalive(&probes)?;
    Ok(stream)
}

async fn speak_http1(stream: Stream, watch: Watch) -> hyper::Result<Link> {
    let (sender, connection) = http1_builder()
        .handshake::<_, Outgoing>(TokioIo::new(stream))
        .await?;
    // How a connection ends is told to the exchange that runs on it; an idle one has nobody to tell.
    let task = spawn_local(async move { drop(connection.await) });
    Ok(Link::Http1(Http1::new(sender, watch, task)))
}

async fn speak_until_switched(
    stream: Stream,
    watch: Watch,
) -> hyper::Result<(Http1, oneshot::Receiver<Switched>)> {
    let (sender, connection) = http1_builder()
        .handshake::<_, Outgoing>(TokioIo::new(stream))
        .await?;
    let (give, switched) = oneshot::channel();
    let task = spawn_local(async move {
        if let Ok(parts) = connection.without_shutdown().await {
            // Where nobody waits for it, dropping it closes the connection.
            drop(give.send(parts));
        }
    });
    Ok((Http1::new(sender, watch, task), switched))
}

fn http1_builder() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .max_headers(HEADER_LINES)
        .max_header_size(HEAD_BYTES)
        // Also what one stalled download may hold.
        .max_buf_size(HEAD_BYTES);
    builder
}

async fn speak_http2(stream: Stream, watch: Watch) -> hyper::Result<Link> {
    let (sender, connection) = http2::Builder::new(LocalExecutor)
        .timer(TokioTimer::new())
        .keep_alive_interval(PROBE_AFTER)
        .keep_alive_timeout(PROBE_TIMEOUT)
        .max_header_list_size(u32::try_from(HEAD_BYTES).unwrap_or(u32::MAX))
        .max_send_buf_size(HEAD_BYTES)
        .handshake::<_, Outgoing>(TokioIo::new(stream))
        .await?;
    spawn_local(async move { drop(connection.await) });
    Ok(Link::Http2(Http2::new(sender, watch)))
}

/// Runs HTTP/2's own tasks on this thread.
#[derive(Clone, Copy, Debug)]
pub(super) struct LocalExecutor;

impl<F> hyper::rt::Executor<F> for LocalExecutor
where
    F: Future<Output = ()> + 'static,
{
    fn execute(&self, future: F) {
        spawn_local(future);
    }
}

/// The deadline passed first.
pub(super) struct Elapsed;

/// What `future` comes to, if it does before `deadline`.
pub(super) async fn within<T>(
    clock: &Clock,
    deadline: BootInstant,
    future: impl Future<Output = T>,
) -> Result<T, Elapsed> {
    tokio::select! {
        biased;
        output = future => Ok(output),
        () = clock.sleep_until(deadline) => Err(Elapsed),
    }
}

/// The end of the first of `parts` equal parts of the time until `deadline`.
pub(super) fn share(clock: &Clock, deadline: BootInstant, parts: usize) -> BootInstant {
    let parts = u32::try_from(parts.max(1)).unwrap_or(u32::MAX);
    let now = clock.now();
    now + (deadline - now) / parts
}
