//! Opens connections: socket, TLS, HTTP.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;

use hyper::client::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::io::Errno;
use tokio::task::spawn_local;

use super::alone;
use super::endpoint::{PROBE_AFTER, PROBE_TIMEOUT};
use super::framing::HEAD_BYTES;
use super::http1::Connection;
use super::lane::Lane;
use super::lease::{Http2, Link, MOST_STREAMS};
use super::outgoing::Outgoing;
use super::socket::{Socket, Stream, Watch};
use super::target::Target;
use super::{ConnectError, Phase, SendError};
use crate::base::{BootInstant, Clock};
use crate::model::UpstreamProtocol;

/// So many bytes of one answer may have come that nobody has taken yet.
pub(super) const STREAM_WINDOW: u32 = 256 << 10;

/// The same of all answers on a connection: as much as all its streams may have, so that clients that do not read hold
/// up no others, and more. Half of it is what h2 lets small frames cost that nobody has taken, 256 bytes each, before
/// it ends the connection with all that runs on it: a feed of short messages is many of those.
pub(super) const CONNECTION_WINDOW: u32 = 4 * MOST_STREAMS * STREAM_WINDOW;

/// Opens a connection to one address of `target`.
pub(super) async fn connect(
    clock: &Clock,
    target: &Target,
    lane: &Lane,
    deadline: BootInstant,
) -> Result<Link, SendError> {
    let opened = within(clock, deadline, open(target, lane)).await;
    let opened = opened.unwrap_or_else(|Elapsed| Err(late(target, lane)));
    note(lane, &opened);
    opened
}

/// Tells whether the address can be connected to, where that is known.
fn note<T>(lane: &Lane, opened: &Result<T, SendError>) {
    if !matches!(opened, Err(SendError::NoDescriptor { .. })) {
        lane.note_connection(opened.is_ok());
    }
}

fn late(target: &Target, lane: &Lane) -> SendError {
    lane.metrics.connect_timeouts.inc();
    SendError::Timeout {
        place: target.place(&lane.address),
        phase: Phase::Connect,
    }
}

/// Opens a connection to one address of `target` for HTTP/1.1 alone, which can become something else.
pub(super) async fn connect_to_switch(
    clock: &Clock,
    target: &Target,
    lane: &Lane,
    deadline: BootInstant,
) -> Result<Link, SendError> {
    let opened = async {
        let (stream, watch) = reach(target, lane, true).await?;
        Ok(Link::Http1(Box::new(Connection::new(stream, watch))))
    };
    let opened = within(clock, deadline, opened).await;
    let opened = opened.unwrap_or_else(|Elapsed| Err(late(target, lane)));
    note(lane, &opened);
    opened
}

/// Opens a connection to one address of `target` for a WebSocket over HTTP/2.
pub(super) async fn connect_alone(
    clock: &Clock,
    target: &Target,
    lane: &Lane,
    deadline: BootInstant,
) -> Result<(Http2, alone::Connection), SendError> {
    let opened = async {
        let (stream, watch) = reach(target, lane, false).await?;
        let failed = |source| SendError::Connect {
            place: target.place(&lane.address),
            source,
        };
        if matches!(&stream, Stream::Tls(stream) if !stream.is_http2()) {
            return Err(failed(ConnectError::NoHttp2));
        }
        alone::speak(stream, watch).await.map_err(failed)
    };
    let opened = within(clock, deadline, opened).await;
    let opened = opened.unwrap_or_else(|Elapsed| Err(late(target, lane)));
    note(lane, &opened);
    opened
}

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
    if !is_http2 {
        return Ok(Link::Http1(Box::new(Connection::new(stream, watch))));
    }
    let link = speak_http2(stream, watch).await;
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
    let stream = stream.map_err(|source| {
        let place = target.place(address);
        match Errno::from_io_error(&source) {
            Some(Errno::MFILE | Errno::NFILE) => SendError::NoDescriptor { place },
            _ => SendError::Connect {
                place,
                source: ConnectError::Socket(source),
            },
        }
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

async fn speak_http2(stream: Stream, watch: Watch) -> hyper::Result<Link> {
    let (sender, connection) = http2::Builder::new(LocalExecutor)
        .timer(TokioTimer::new())
        .keep_alive_interval(PROBE_AFTER)
        .keep_alive_timeout(PROBE_TIMEOUT)
        .max_header_list_size(u32::try_from(HEAD_BYTES).unwrap_or(u32::MAX))
        .max_send_buf_size(HEAD_BYTES)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
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
