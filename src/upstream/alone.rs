//! An HTTP/2 connection for one WebSocket (RFC 8441), as a WebSocket has one of its own over HTTP/1.1.
//!
//! Shared with others, a stream whose upstream has stopped reading could not be ended: what is queued for it
//! waits for room, and its reset behind it. This connection is closed instead.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use hyper::client::conn::http2;
use hyper::upgrade::Upgraded;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::task::{AbortHandle, spawn_local, yield_now};

use super::ConnectError;
use super::connect::{CONNECTION_WINDOW, STREAM_WINDOW};
use super::endpoint::{PROBE_AFTER, PROBE_TIMEOUT};
use super::framing::HEAD_BYTES;
use super::lease::Http2;
use super::outgoing::Outgoing;
use super::socket::{Stream, Watch};

/// What has become of a stream, both ways. Dropping it closes the connection.
#[derive(Debug)]
pub(super) struct Streamed {
    pub(super) io: TokioIo<Upgraded>,
    _link: Http2,
    _connection: Connection,
}

impl Streamed {
    pub(super) fn new(upgraded: Upgraded, link: Http2, connection: Connection) -> Self {
        Self {
            io: TokioIo::new(upgraded),
            _link: link,
            _connection: connection,
        }
    }
}

/// What runs a connection. Dropping it closes the connection at once.
#[derive(Debug)]
pub(super) struct Connection(Tasks);

impl Connection {
    /// Lets the connection go on until it has no use any more.
    pub(super) fn detach(self) {
        self.0.0.take();
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        for task in self.0.0.take() {
            task.abort();
        }
    }
}

/// Runs HTTP/2's own tasks on this thread, and remembers them.
#[derive(Clone, Debug, Default)]
struct Tasks(Rc<RefCell<Vec<AbortHandle>>>);

impl<F> hyper::rt::Executor<F> for Tasks
where
    F: Future<Output = ()> + 'static,
{
    fn execute(&self, future: F) {
        let task = spawn_local(future).abort_handle();
        self.0.borrow_mut().push(task);
    }
}

/// Begins HTTP/2, and waits until the other side has said what it takes.
///
/// # Errors
///
/// When HTTP/2 can't begin, or the other side takes no WebSockets.
///
/// # Cancellation
///
/// Dropping the future closes the connection.
pub(super) async fn speak(
    stream: Stream,
    watch: Watch,
) -> Result<(Http2, Connection), ConnectError> {
    let heard = Rc::<Heard>::default();
    let tasks = Tasks::default();
    let running = Connection(tasks.clone());
    let stream = Listened {
        stream,
        heard: Rc::clone(&heard),
    };
    let (sender, connection) = http2::Builder::new(tasks.clone())
        .timer(TokioTimer::new())
        .keep_alive_interval(PROBE_AFTER)
        .keep_alive_timeout(PROBE_TIMEOUT)
        .max_header_list_size(u32::try_from(HEAD_BYTES).unwrap_or(u32::MAX))
        .max_send_buf_size(HEAD_BYTES)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        // None until the other side's settings have come, which tells that they have.
        .initial_max_send_streams(0)
        .handshake::<_, Outgoing>(TokioIo::new(stream))
        .await
        .map_err(ConnectError::Http2)?;
    while connection.current_max_send_streams() == 0 {
        if heard.ended.get() {
            return Err(ConnectError::NoHttp2);
        }
        heard.more.notified().await;
        // What was read is yet to be looked at, by a task that is awake.
        yield_now().await;
    }
    if !connection.is_extended_connect_protocol_enabled() {
        return Err(ConnectError::NoWebSockets);
    }
    let most = Rc::new(Cell::new(connection.current_max_send_streams()));
    hyper::rt::Executor::execute(&tasks, async move { drop(connection.await) });
    Ok((Http2::new(sender, watch, most), running))
}

/// What has come from the other side.
#[derive(Debug, Default)]
struct Heard {
    more: Notify,
    ended: Cell<bool>,
}

/// A stream that tells when something comes.
struct Listened {
    stream: Stream,
    heard: Rc<Heard>,
}

impl AsyncRead for Listened {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let polled = Pin::new(&mut this.stream).poll_read(context, buffer);
        if let Poll::Ready(read) = &polled {
            let nothing = buffer.filled().len() == before;
            this.heard.ended.set(read.is_err() || nothing);
            this.heard.more.notify_one();
        }
        polled
    }
}

impl AsyncWrite for Listened {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}
