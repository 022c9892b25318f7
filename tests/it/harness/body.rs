//! Bodies that a test writes, whole or piece by piece.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use tokio::sync::mpsc;

use super::within;

/// A body in either direction.
pub(crate) type TestBody = BoxBody<Bytes, io::Error>;

type Piece = Result<Frame<Bytes>, io::Error>;

/// A body that is there at once, with its length.
pub(crate) fn full(bytes: impl Into<Bytes>) -> TestBody {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed()
}

/// A body whose pieces come when the test sends them.
pub(crate) fn pipe() -> (Feed, TestBody) {
    let (sender, receiver) = mpsc::channel(1);
    (Feed(sender), Pipe(receiver).boxed())
}

struct Pipe(mpsc::Receiver<Piece>);

impl http_body::Body for Pipe {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        self.0.poll_recv(context)
    }
}

/// Feeds a [`pipe`]; dropping it is the body's orderly end.
pub(crate) struct Feed(mpsc::Sender<Piece>);

impl Feed {
    pub(crate) async fn send(&self, bytes: impl Into<Bytes>) {
        let sent = self.0.send(Ok(Frame::data(bytes.into())));
        within("a piece of a body is taken", sent)
            .await
            .expect("somebody reads");
    }

    /// Sends as long as somebody takes it; says whether that was so.
    pub(crate) async fn offer(&self, bytes: impl Into<Bytes>) -> bool {
        let sent = self.0.send(Ok(Frame::data(bytes.into())));
        within("a piece of a body is taken or its reader goes", sent)
            .await
            .is_ok()
    }

    pub(crate) async fn trailers(&self, trailers: HeaderMap) {
        let sent = self.0.send(Ok(Frame::trailers(trailers)));
        within("trailers are taken", sent)
            .await
            .expect("somebody reads");
    }

    /// Sends trailers, if somebody reads.
    pub(crate) async fn offer_trailers(&self, trailers: HeaderMap) {
        let sent = self.0.send(Ok(Frame::trailers(trailers)));
        // Nobody may be there to hear of it.
        let _ = within("trailers are taken or their reader goes", sent).await;
    }

    /// Breaks off, whether or not somebody reads.
    pub(crate) async fn break_off_if_heard(self) {
        let broken = io::Error::other("the test breaks off");
        // Nobody may be there to hear of it.
        let _ = within(
            "a break is noticed or its reader goes",
            self.0.send(Err(broken)),
        )
        .await;
    }

    /// Breaks off: the body never comes to its end.
    pub(crate) async fn break_off(self) {
        let broken = io::Error::other("the test breaks off");
        let sent = self.0.send(Err(broken));
        within("a break is noticed", sent)
            .await
            .expect("somebody reads");
    }

    /// Waits until nobody reads any more.
    pub(crate) async fn closed(&self) {
        within("the reader of a body goes", self.0.closed()).await;
    }
}
