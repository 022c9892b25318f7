//! Connections after the handshake.

use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::{client, server};

use super::{Peer, TlsError};

/// The protocols that may be agreed upon, by preference.
pub(super) const PROTOCOLS: [&[u8]; 2] = [HTTP2, b"http/1.1"];

pub(super) const HTTP2: &[u8] = b"h2";

/// A client's connection to us.
pub struct ServerStream<S> {
    inner: server::TlsStream<S>,
    peer: Option<Peer>,
    http2: bool,
}

impl<S> ServerStream<S> {
    /// `issued` tells whether an authority of ours has issued a certificate chain.
    pub(super) fn new(
        inner: server::TlsStream<S>,
        issued: impl FnOnce(&[CertificateDer<'static>]) -> bool,
    ) -> Result<Self, TlsError> {
        let (_, session) = inner.get_ref();
        let http2 = session.alpn_protocol() == Some(HTTP2);
        let chain = session.peer_certificates().unwrap_or_default();
        let leaf = chain.first();
        let peer = leaf
            .map(|leaf| Peer::read(leaf, issued(chain)))
            .transpose()?;
        Ok(Self { inner, peer, http2 })
    }

    /// Whether HTTP/2 was agreed upon; else it is HTTP/1.1.
    #[must_use]
    pub const fn is_http2(&self) -> bool {
        self.http2
    }

    /// Who the client is, if it showed a certificate.
    #[must_use]
    pub const fn peer(&self) -> Option<&Peer> {
        self.peer.as_ref()
    }

    /// The connection below.
    #[must_use]
    pub fn get_ref(&self) -> &S {
        self.inner.get_ref().0
    }

    /// The connection below; reading or writing there breaks the session.
    pub fn get_mut(&mut self) -> &mut S {
        self.inner.get_mut().0
    }
}

/// Our connection to a server.
pub struct ClientStream<S> {
    inner: client::TlsStream<S>,
    http2: bool,
}

impl<S> ClientStream<S> {
    pub(super) fn new(inner: client::TlsStream<S>) -> Self {
        let http2 = inner.get_ref().1.alpn_protocol() == Some(HTTP2);
        Self { inner, http2 }
    }

    /// Whether HTTP/2 was agreed upon; else it is HTTP/1.1.
    #[must_use]
    pub const fn is_http2(&self) -> bool {
        self.http2
    }

    /// The connection below.
    #[must_use]
    pub fn get_ref(&self) -> &S {
        self.inner.get_ref().0
    }

    /// The connection below; reading or writing there breaks the session.
    pub fn get_mut(&mut self) -> &mut S {
        self.inner.get_mut().0
    }
}

macro_rules! pass_through {
    ($($name:ident),+) => {$(
        impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for $name<S> {
            fn poll_read(
                mut self: Pin<&mut Self>,
                context: &mut Context<'_>,
                buffer: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                Pin::new(&mut self.inner).poll_read(context, buffer)
            }
        }

        impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for $name<S> {
            fn poll_write(
                mut self: Pin<&mut Self>,
                context: &mut Context<'_>,
                bytes: &[u8],
            ) -> Poll<io::Result<usize>> {
                Pin::new(&mut self.inner).poll_write(context, bytes)
            }

            fn poll_write_vectored(
                mut self: Pin<&mut Self>,
                context: &mut Context<'_>,
                slices: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                Pin::new(&mut self.inner).poll_write_vectored(context, slices)
            }

            fn is_write_vectored(&self) -> bool {
                self.inner.is_write_vectored()
            }

            fn poll_flush(
                mut self: Pin<&mut Self>,
                context: &mut Context<'_>,
            ) -> Poll<io::Result<()>> {
                Pin::new(&mut self.inner).poll_flush(context)
            }

            fn poll_shutdown(
                mut self: Pin<&mut Self>,
                context: &mut Context<'_>,
            ) -> Poll<io::Result<()>> {
                Pin::new(&mut self.inner).poll_shutdown(context)
            }
        }

        impl<S> fmt::Debug for $name<S> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name))
                    .field("http2", &self.http2)
                    .finish_non_exhaustive()
            }
        }
    )+};
}

pass_through!(ClientStream, ServerStream);
