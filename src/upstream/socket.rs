//! A stream with a second handle, through which the pool can look at it while HTTP owns it.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use crate::tls::ClientStream;
use crate::wire::poll_write_gathered;

/// What the system calls a stream.
#[derive(Debug)]
pub(super) enum Plain {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A stream that stays on its thread.
#[derive(Debug)]
pub(super) struct Socket(Rc<RefCell<Plain>>);

/// Looks at a [`Socket`] without keeping it open.
#[derive(Clone, Debug)]
pub(super) struct Watch(Weak<RefCell<Plain>>);

impl Socket {
    pub(super) fn new(stream: Plain) -> (Self, Watch) {
        let stream = Rc::new(RefCell::new(stream));
        let watch = Watch(Rc::downgrade(&stream));
        (Self(stream), watch)
    }

    fn with<T>(&self, act: impl FnOnce(Pin<&mut Plain>) -> T) -> T {
        act(Pin::new(&mut self.0.borrow_mut()))
    }
}

impl Watch {
    /// Whether neither bytes nor an end have come that nobody has read.
    ///
    /// This asks the runtime, which costs nothing, and the kernel only where that knows of something. A request
    /// is handled once the runtime has heard of it, and it hears in the order in which things came: what was here
    /// before the request is known. A second answer that comes later, to somebody else's request, can be on its
    /// way unseen whomever one asks; against that one, only strict framing helps.
    pub(super) fn is_quiet(&self) -> bool {
        let Some(stream) = self.0.upgrade() else {
            return false;
        };
        let Ok(stream) = stream.try_borrow() else {
            return false;
        };
        let looked = match &*stream {
            Plain::Tcp(tcp) => tcp.try_io(Interest::READABLE, || peek(&SockRef::from(tcp))),
            Plain::Unix(unix) => unix.try_io(Interest::READABLE, || peek(&SockRef::from(unix))),
        };
        matches!(looked, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Whether the kernel holds bytes for this socket.
    pub(super) fn holds_bytes(&self) -> bool {
        matches!(self.look(), Ok(bytes) if bytes > 0)
    }

    /// Whether the other side has closed and nothing is left to read.
    pub(super) fn has_ended(&self) -> bool {
        match self.look() {
            Ok(bytes) => bytes == 0,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        }
    }

    /// Has the next write fail.
    #[cfg(test)]
    pub(super) fn shut(&self) {
        let shut = |socket: SockRef<'_>| socket.shutdown(std::net::Shutdown::Write);
        self.with_socket(shut).expect("a connected socket");
    }

    fn look(&self) -> io::Result<usize> {
        self.with_socket(|socket| peek(&socket))
    }

    fn with_socket<T>(&self, act: impl FnOnce(SockRef<'_>) -> io::Result<T>) -> io::Result<T> {
        let stream = self.0.upgrade().ok_or(io::ErrorKind::NotConnected)?;
        let stream = stream.try_borrow().map_err(io::Error::other)?;
        act(match &*stream {
            Plain::Tcp(stream) => SockRef::from(stream),
            Plain::Unix(stream) => SockRef::from(stream),
        })
    }
}

/// What the kernel holds, which stays there.
fn peek(socket: &SockRef<'_>) -> io::Result<usize> {
    socket.peek(&mut [MaybeUninit::uninit()])
}

impl AsyncRead for Plain {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Unix(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Plain {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => poll_write_gathered(Pin::new(stream), context, slices),
            Self::Unix(stream) => poll_write_gathered(Pin::new(stream), context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Self::Unix(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.with(|stream| stream.poll_read(context, buffer))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.with(|stream| stream.poll_write(context, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.with(|stream| stream.poll_write_vectored(context, slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|stream| stream.poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|stream| stream.poll_shutdown(context))
    }
}

/// A socket with or without TLS: one type, so that HTTP is compiled once.
pub(super) enum Stream {
    Plain(Socket),
    Tls(Box<ClientStream<Socket>>),
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_write_vectored(context, slices),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(socket) => socket.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
