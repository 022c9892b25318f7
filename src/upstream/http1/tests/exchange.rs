use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::response::Parts;
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Method, Request};
use http_body::Frame;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::task::{LocalSet, spawn_local, yield_now};

use crate::base::Clock;
use crate::upstream::http1::{Connection, Failure, Http1Error};
use crate::upstream::outgoing::Outgoing;
use crate::upstream::socket::{Plain, Socket, Stream};
use crate::upstream::testing::request_arrives;
use crate::wire::{Body, BodyError, Outbound};

/// Runs a test as a worker runs. One that hangs fails.
pub(super) fn worker<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    let limited = async { tokio::time::timeout(Duration::from_secs(20), test).await };
    LocalSet::new()
        .block_on(&runtime, limited)
        .expect("the test ends")
}

/// A connection and its other end.
pub(super) fn connection() -> (Connection, UnixStream) {
    let (stream, peer) = UnixStream::pair().unwrap();
    let (socket, watch) = Socket::new(Plain::Unix(stream));
    (Connection::new(Stream::Plain(socket), watch), peer)
}

fn request(
    method: Method,
    headers: &[(&'static str, &str)],
    body: Body,
) -> Box<Outbound<Outgoing>> {
    let mut request = Request::new(Outgoing::new(body, &Clock::system()));
    *request.method_mut() = method;
    for (name, value) in headers {
        let value = HeaderValue::from_str(value).unwrap();
        request.headers_mut().append(*name, value);
    }
    Box::new(request.into())
}

pub(super) fn get(method: Method) -> Box<Outbound<Outgoing>> {
    request(method, &[], Body::empty())
}

fn at() -> Authority {
    "h".parse().unwrap()
}

/// The rest of an answer.
pub(super) async fn frames(
    connection: &mut Connection,
) -> Result<(Vec<u8>, Option<HeaderMap>), Http1Error> {
    let (mut content, mut trailers) = (Vec::new(), None);
    while !connection.is_over()
        && let Some(frame) = poll_fn(|context| connection.poll_frame(context)).await
    {
        match frame?.into_data() {
            Ok(data) => content.extend_from_slice(&data),
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    Ok((content, trailers))
}

/// A request body that a test sends by hand.
struct Pipe(mpsc::Receiver<Result<Frame<Bytes>, BodyError>>);

impl http_body::Body for Pipe {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.0.poll_recv(context)
    }
}

type PipeEnd = mpsc::Sender<Result<Frame<Bytes>, BodyError>>;

fn pipe() -> (PipeEnd, Body) {
    let (sender, receiver) = mpsc::channel(1);
    (sender, Body::stream(Pipe(receiver)))
}

async fn until(peer: &mut UnixStream, end: &str) -> String {
    let mut seen = Vec::new();
    while !seen.ends_with(end.as_bytes()) {
        seen.push(peer.read_u8().await.unwrap());
    }
    String::from_utf8(seen).unwrap()
}

fn status(head: Result<Parts, Failure>) -> u16 {
    let head = head.map_err(|failure| failure.error);
    head.unwrap().status.as_u16()
}

/// Lets the other tasks do what they can.
async fn settle() {
    for _ in 0..50 {
        yield_now().await;
    }
}

/// What leaves for one request whose body is there.
fn check_sent(request: Box<Outbound<Outgoing>>, expected: &str) {
    worker(async {
        let (mut connection, mut peer) = connection();
        let address = at();
        let sent = connection.send(request, &address, None);
        let answer = async {
            let mut bytes = vec![0; 4096];
            // One read: nothing of it waits for anything.
            let read = peer.read(&mut bytes).await.unwrap();
            peer.write_all(NOTHING).await.unwrap();
            String::from_utf8(bytes[..read].to_vec()).unwrap()
        };
        let (head, seen) = tokio::join!(sent, answer);
        assert_eq!(status(head), 204);
        assert_eq!(seen, expected);
        assert!(connection.rest());
        assert!(connection.is_clean());
    });
}

const NOTHING: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";

#[test]
fn a_request_that_is_at_hand_leaves_at_once() {
    check_sent(get(Method::GET), "GET / HTTP/1.1\r\nhost: h\r\n\r\n");
    check_sent(
        request(Method::POST, &[("x-one", "1")], Body::full("abc")),
        "POST / HTTP/1.1\r\nhost: h\r\nx-one: 1\r\ncontent-length: 3\r\n\r\nabc",
    );
    check_sent(
        request(Method::POST, &[], Body::empty()),
        "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 0\r\n\r\n",
    );
    let (sender, body) = pipe();
    sender.try_send(Ok(Frame::data("abc".into()))).unwrap();
    drop(sender);
    check_sent(
        request(Method::PUT, &[], body),
        "PUT / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    );
}

#[test]
fn an_empty_piece_is_not_the_end() {
    worker(async {
        let (mut connection, mut peer) = connection();
        let (sender, body) = pipe();
        let address = at();
        let sent = connection.send(request(Method::POST, &[], body), &address, None);
        let answer = async {
            for piece in ["a", "", "b"] {
                sender.send(Ok(Frame::data(piece.into()))).await.unwrap();
            }
            drop(sender);
            let seen = until(&mut peer, "0\r\n\r\n").await;
            peer.write_all(NOTHING).await.unwrap();
            seen
        };
        let (head, seen) = tokio::join!(sent, answer);
        assert!(head.is_ok());
        assert!(
            seen.ends_with("\r\n\r\n1\r\na\r\n1\r\nb\r\n0\r\n\r\n"),
            "{seen}"
        );
    });
}

/// The error that a request with this body comes to; its connection does not see it end well.
fn check_broken(headers: &[(&'static str, &str)], pieces: &[Result<&'static str, ()>]) {
    worker(async {
        let (mut connection, mut peer) = connection();
        let (sender, body) = pipe();
        let address = at();
        let sent = connection.send(request(Method::POST, headers, body), &address, None);
        let feed = async {
            for piece in pieces {
                let piece = piece.map(|text| Frame::data(text.into()));
                let piece = piece.map_err(|()| BodyError::Cut("revoked"));
                // An upload that has failed takes no more.
                let _sent = sender.send(piece).await;
            }
            drop(sender);
        };
        let (sent, ()) = tokio::join!(sent, feed);
        let Failure { error, unsent } = sent.expect_err("no answer");
        assert!(matches!(error, Http1Error::Request(_)), "{error:?}");
        assert!(unsent.is_none());
        drop(connection);
        let mut seen = String::new();
        peer.read_to_string(&mut seen).await.unwrap();
        assert!(!seen.ends_with("0\r\n\r\n"), "{seen}");
        assert!(!seen.contains("more"), "{seen}");
    });
}

#[test]
fn content_that_breaks_off_never_looks_whole() {
    check_broken(&[], &[Ok("abc"), Err(())]);
    check_broken(&[("content-length", "5")], &[Ok("abc")]);
    check_broken(&[("content-length", "5")], &[Ok("abc"), Err(())]);
    check_broken(&[("content-length", "5")], &[Ok("abc"), Ok("more")]);
}

#[test]
fn only_announced_trailers_are_sent_and_none_that_frames() {
    worker(async {
        let (mut connection, mut peer) = connection();
        let (sender, body) = pipe();
        let headers = [("trailer", "x-sum, host")];
        let address = at();
        let sent = connection.send(request(Method::POST, &headers, body), &address, None);
        let answer = async {
            let mut trailers = HeaderMap::new();
            for name in ["x-sum", "x-other", "host"] {
                trailers.insert(name, HeaderValue::from_static("1"));
            }
            sender.send(Ok(Frame::data("a".into()))).await.unwrap();
            sender.send(Ok(Frame::trailers(trailers))).await.unwrap();
            until(&mut peer, "\r\n\r\n").await;
            let seen = until(&mut peer, "\r\n\r\n").await;
            peer.write_all(NOTHING).await.unwrap();
            seen
        };
        let (head, seen) = tokio::join!(sent, answer);
        assert!(head.is_ok());
        assert_eq!(seen, "1\r\na\r\n0\r\nx-sum: 1\r\n\r\n");
    });
}

#[test]
fn an_upload_goes_on_beside_an_early_answer_that_nobody_reads() {
    worker(async {
        let (mut connection, mut peer) = connection();
        let (sender, body) = pipe();
        let address = at();
        let sent = connection.send(request(Method::POST, &[], body), &address, None);
        let answer = async {
            until(&mut peer, "\r\n\r\n").await;
            let head = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n";
            peer.write_all(head).await.unwrap();
        };
        let (head, ()) = tokio::join!(sent, answer);
        assert_eq!(status(head), 200);
        sender.send(Ok(Frame::data("late".into()))).await.unwrap();
        drop(sender);
        assert_eq!(
            until(&mut peer, "0\r\n\r\n").await,
            "4\r\nlate\r\n0\r\n\r\n"
        );
        peer.write_all(b"ok").await.unwrap();
        assert_eq!(frames(&mut connection).await.unwrap().0, b"ok");
        // It ended after all, but nobody knows what the other side made of that.
        assert!(!connection.rest());
    });
}

#[test]
fn an_upload_that_breaks_off_beside_its_answer_breaks_the_answer() {
    worker(async {
        let (mut connection, mut peer) = connection();
        let (sender, body) = pipe();
        let address = at();
        let sent = connection.send(request(Method::POST, &[], body), &address, None);
        let answer = async {
            until(&mut peer, "\r\n\r\n").await;
            let head = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n";
            peer.write_all(head).await.unwrap();
        };
        let (head, ()) = tokio::join!(sent, answer);
        assert!(head.is_ok());
        let reading = spawn_local(async move { frames(&mut connection).await.unwrap_err() });
        settle().await;
        assert!(!reading.is_finished());
        let error = Err(BodyError::Cut("revoked"));
        sender.send(error).await.unwrap();
        let error = reading.await.unwrap();
        assert!(matches!(error, Http1Error::Request(_)), "{error:?}");
        let mut rest = Vec::new();
        peer.read_to_end(&mut rest).await.unwrap();
        assert!(rest.is_empty(), "{rest:?}");
    });
}

#[test]
fn an_upstream_that_takes_no_more_may_have_said_why() {
    worker(async {
        let (mut connection, mut peer) = connection();
        let (sender, body) = pipe();
        let address = at();
        let sent = connection.send(request(Method::POST, &[], body), &address, None);
        let answer = async {
            until(&mut peer, "\r\n\r\n").await;
            let answer = b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 2\r\n\r\nno";
            peer.write_all(answer).await.unwrap();
            drop(peer);
            // Sent before the answer is looked at: this write fails.
            sender.send(Ok(Frame::data("more".into()))).await.unwrap();
        };
        let (head, ()) = tokio::join!(sent, answer);
        assert_eq!(status(head), 413);
        assert_eq!(frames(&mut connection).await.unwrap().0, b"no");
        assert!(!connection.rest());
    });
}

#[test]
fn a_request_that_could_not_leave_comes_back_whole() {
    let trailers = HeaderMap::from_iter([(
        http::HeaderName::from_static("x-sum"),
        HeaderValue::from_static("1"),
    )]);
    let full = || request(Method::POST, &[("x", "y")], Body::full("abc"));
    let (sender, body) = pipe();
    sender.try_send(Ok(Frame::trailers(trailers))).unwrap();
    let trailed = request(Method::POST, &[("trailer", "x-sum")], body);
    let empty = get(Method::GET);
    for (request, expected) in [
        (full(), "x: y\r\ncontent-length: 3\r\n\r\nabc"),
        (
            trailed,
            "transfer-encoding: chunked\r\n\r\n0\r\nx-sum: 1\r\n\r\n",
        ),
        (empty, "GET / HTTP/1.1\r\nhost: h\r\n\r\n"),
    ] {
        worker(async move {
            let (mut dead, _peer) = connection();
            dead.poison();
            assert!(dead.is_clean());
            let failure = dead.send(request, &at(), None).await.err().unwrap();
            assert!(
                matches!(failure.error, Http1Error::Io(_)),
                "{:?}",
                failure.error
            );
            let request = failure.unsent.unwrap();
            let (mut connection, mut peer) = connection();
            let address = at();
            let sent = connection.send(request, &address, None);
            let answer = async {
                let seen = until(&mut peer, expected).await;
                peer.write_all(NOTHING).await.unwrap();
                seen
            };
            let (head, _seen) = tokio::join!(sent, answer);
            assert!(head.is_ok());
            assert!(connection.rest());
        });
    }
}

#[test]
fn what_comes_unasked_is_noticed() {
    worker(async {
        let (mut connection, mut peer) = connection();
        assert!(connection.is_clean() && !connection.has_spoken());
        peer.write_all(b"H").await.unwrap();
        assert!(connection.has_spoken());
        request_arrives().await;
        assert!(!connection.is_clean());
    });
    worker(async {
        let (mut connection, peer) = connection();
        drop(peer);
        // To whom an end is an end, not a word.
        assert!(!connection.has_spoken());
        request_arrives().await;
        assert!(!connection.is_clean());
    });
}

#[test]
fn what_came_behind_an_answer_is_noticed_by_whom_a_request_reaches_later() {
    for stray in [Some(NOTHING), None] {
        worker(async move {
            let (mut connection, mut peer) = connection();
            let (address, request) = (at(), get(Method::GET));
            let (head, ()) = tokio::join!(connection.send(request, &address, None), async {
                until(&mut peer, "\r\n\r\n").await;
                peer.write_all(NOTHING).await.unwrap();
            });
            assert_eq!(status(head), 204);
            assert!(connection.rest());
            request_arrives().await;
            assert!(connection.is_clean());
            match stray {
                Some(stray) => peer.write_all(stray).await.unwrap(),
                None => peer.shutdown().await.unwrap(),
            }
            request_arrives().await;
            assert!(!connection.is_clean());
        });
    }
}

#[test]
fn a_switch_leaves_the_stream_and_what_came_with_it() {
    worker(async {
        let (mut connection, mut peer) = connection();
        let answer = async {
            let head = until(&mut peer, "\r\n\r\n").await;
            peer.write_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\nfirst")
                .await
                .unwrap();
            head
        };
        let address = at();
        let sent = connection.send(get(Method::GET), &address, Some("key"));
        let (head, seen) = tokio::join!(sent, answer);
        assert_eq!(status(head), 101);
        assert!(seen.contains("\r\nsec-websocket-key: key\r\n"), "{seen}");
        let (mut stream, unread) = connection.into_stream().unwrap();
        assert_eq!(unread, "first");
        stream.write_all(b"hello").await.unwrap();
        assert_eq!(until(&mut peer, "hello").await, "hello");
    });
}
