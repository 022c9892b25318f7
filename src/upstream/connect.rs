//! Opens connections: socket, TLS, HTTP.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;

use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::oneshot;
use tokio::task::spawn_local;

use super::endpoint::{PROBE_AFTER, PROBE_TIMEOUT};
use super::framing::{HEAD_BYTES, HEADER_LINES};
use super::lane::Lane;
use super::lease::{Http1, Http2, Link};
use super::outgoing::Outgoing;
use super::socket::{Socket, Stream, Watch};
use super::target::Target;
use super::{ConnectError, Phase, SendError};
use crate::base::{BootInstant, Clock};
use crate::model::UpstreamProtocol;

/// Opens a connection to one address of `target`.
pub(super) async fn connect(
    clock: &Clock,
    target: &Target,
    lane: &Lane,
    deadline: BootInstant,
) -> Result<Link, SendError> {
    let opened = within(clock, deadline, open(target, lane)).await;
    let opened = opened.unwrap_or_else(|Elapsed| Err(late(target, lane)));
    lane.note_connection(opened.is_ok());
    opened
}

fn late(target: &Target, lane: &Lane) -> SendError {
    SendError::Timeout {
        place: target.place(&lane.address),
        phase: Phase::Connect,
    }
}

/// Opens a connection to one address of `target` for HTTP/1.1 alone, which can become something else:
/// that is then given through the receiver.
pub(super) async fn connect_to_switch(
    clock: &Clock,
    target: &Target,
    lane: &Lane,
    deadline: BootInstant,
) -> Result<(Http1, oneshot::Receiver<Switched>), SendError> {
    let opened = async {
        let (stream, watch) = reach(target, lane, true).await?;
        let link = speak_until_switched(stream, watch).await;
        link.map_err(|source| SendError::BrokeOff {
            place: target.place(&lane.address),
            source,
        })
    };
    let opened = within(clock, deadline, opened).await;
    let opened = opened.unwrap_or_else(|Elapsed| Err(late(target, lane)));
    lane.note_connection(opened.is_ok());
    opened
}

/// What HTTP leaves when it is over: the stream, and what came behind the last head.
pub(super) type Switched = http1::Parts<TokioIo<Stream>>;

async fn open(target: &Target, lane: &Lane) -> Result<Link, SendError> {
    let (stream, watch) = reach(target, lane, false).await?;
    let wants_http2 = target.protocol == UpstreamProtocol::Http2;
    let is_http2 = match &stream {
        Stream::Plain(_) => wants_http2,
        Stream::Tls(stream) => stream.is_http2(),
    };
    let failed = |source| SendError::Connect {
        place: target.place(&lane.address),
        source,
    };
    if wants_http2 && !is_http2 {
        return Err(failed(ConnectError::NoHttp2));
    }
    let link = if is_http2 {
        speak_http2(stream, watch).await
    } else {
        speak_http1(stream, watch).await
    };
    link.map_err(|source| failed(ConnectError::Http2(source)))
}

/// The socket, and TLS on it.
async fn reach(
    target: &Target,
    lane: &Lane,
    http1_only: bool,
) -> Result<(Stream, Watch), SendError> {
    let address = &lane.address;
    let stream = lane.endpoint.connect().await;
    let stream = stream.map_err(|source| SendError::Connect {
        place: target.place(address),
        source: ConnectError::Socket(source),
    })?;
    let (socket, watch) = Socket::new(stream);
    let (Some(connector), true) = (target.connector(), address.tls) else {
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
    let most = Rc::new(Cell::new(connection.current_max_send_streams()));
    let told = Rc::clone(&most);
    let mut connection = connection;
    let run = poll_fn(move |context| {
        let polled = Pin::new(&mut connection).poll(context);
        // The other side may say at any time how many streams it takes.
        told.set(connection.current_max_send_streams());
        polled
    });
    spawn_local(async move { drop(run.await) });
    Ok(Link::Http2(Http2::new(sender, watch, most)))
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
