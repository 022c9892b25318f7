//! The one body type of the data plane: a boxed stream that stays on its worker's thread.

use std::error::Error as StdError;
use std::fmt;
use std::future::ready;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use thiserror::Error;

/// Why a body broke off.
#[derive(Debug, Error)]
pub enum BodyError {
    /// What it ran under is over; holds the end reason's code.
    #[error("cut: the grant has ended ({0})")]
    Cut(&'static str),
    /// Nothing moved for too long.
    #[error("nothing moved for too long")]
    Idle,
    /// The connection below broke off.
    #[error("the connection broke off")]
    Transport(#[source] Box<dyn StdError + Send + Sync>),
}

impl BodyError {
    /// The connection below broke off like this.
    pub fn transport(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Transport(error.into())
    }
}

/// A request or response body on its way through. It is polled on one thread, so it need not be
/// `Send`.
pub enum Body {
    /// Bytes at hand.
    Full(Full<Bytes>),
    /// A stream.
    Stream(Pin<Box<dyn http_body::Body<Data = Bytes, Error = BodyError>>>),
}

impl Body {
    /// No bytes.
    #[must_use]
    pub fn empty() -> Self {
        Self::full(Bytes::new())
    }

    /// Bytes at hand.
    #[must_use]
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        Self::Full(Full::new(bytes.into()))
    }

    /// A stream.
    #[must_use]
    pub fn stream(body: impl http_body::Body<Data = Bytes, Error = BodyError> + 'static) -> Self {
        Self::Stream(Box::pin(body))
    }

    /// The same, with `trailers` behind it.
    #[must_use]
    pub fn with_trailers(self, trailers: HeaderMap) -> Self {
        Self::stream(BodyExt::with_trailers(self, ready(Some(Ok(trailers)))))
    }

    /// The same bytes once more, where they are at hand: a stream passes once.
    #[must_use]
    pub fn again(&self) -> Option<Self> {
        match self {
            Self::Full(full) => Some(Self::Full(full.clone())),
            Self::Stream(stream) => stream.is_end_stream().then(Self::empty),
        }
    }

    /// A body that hyper received, as it comes.
    #[must_use]
    pub fn incoming(body: hyper::body::Incoming) -> Self {
        Self::stream(body.map_err(BodyError::transport))
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Full(full) => Pin::new(full)
                .poll_frame(context)
                .map_err(|never| match never {}),
            Self::Stream(stream) => stream.as_mut().poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Full(full) => full.is_end_stream(),
            Self::Stream(stream) => stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(full) => full.size_hint(),
            Self::Stream(stream) => stream.size_hint(),
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "Body::Full",
            Self::Stream(_) => "Body::Stream",
        })
    }
}
