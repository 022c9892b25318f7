use bytes::Bytes;
use http::{HeaderMap, Method, Request, Version};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::task::spawn_local;

use super::exchange::{connection, frames, get, worker};
use super::{answers, mutated};

/// What somebody made of an answer.
#[derive(Debug, PartialEq)]
struct Understood {
    status: u16,
    version: Version,
    headers: HeaderMap,
    content: Vec<u8>,
    trailers: Option<HeaderMap>,
}

/// Plays the upstream: reads a request, says `answer`, and closes.
async fn answer_once(mut peer: UnixStream, answer: Vec<u8>) {
    let mut seen = Vec::new();
    while !seen.ends_with(b"\r\n\r\n") {
        seen.push(peer.read_u8().await.unwrap());
    }
    // Whoever has heard enough may be gone.
    let _written = peer.write_all(&answer).await;
    let _shut = peer.shutdown().await;
}

fn ours(answer: &[u8], method: &Method) -> Option<Understood> {
    let (answer, method) = (answer.to_vec(), method.clone());
    worker(async move {
        let (mut connection, peer) = connection();
        spawn_local(answer_once(peer, answer));
        let address = "h".parse().unwrap();
        let sent = connection.send(get(method), &address, None);
        let head = sent.await.ok()?;
        let (content, trailers) = frames(&mut connection).await.ok()?;
        Some(Understood {
            status: head.status.as_u16(),
            version: head.version,
            headers: head.headers,
            content,
            trailers,
        })
    })
}

fn hypers(answer: &[u8], method: &Method) -> Option<Understood> {
    let (answer, method) = (answer.to_vec(), method.clone());
    worker(async move {
        let (stream, peer) = UnixStream::pair().unwrap();
        spawn_local(answer_once(peer, answer));
        let handshake =
            hyper::client::conn::http1::handshake::<_, Empty<Bytes>>(TokioIo::new(stream));
        let (mut sender, connection) = handshake.await.unwrap();
        spawn_local(async move { drop(connection.await) });
        let mut request = Request::new(Empty::new());
        *request.method_mut() = method;
        let (head, mut body) = sender.send_request(request).await.ok()?.into_parts();
        let (mut content, mut trailers) = (Vec::new(), None);
        while !body.is_end_stream()
            && let Some(frame) = body.frame().await
        {
            match frame.ok()?.into_data() {
                Ok(data) => content.extend_from_slice(&data),
                Err(frame) => trailers = frame.into_trailers().ok(),
            }
        }
        Some(Understood {
            status: head.status.as_u16(),
            version: head.version,
            headers: head.headers,
            content,
            trailers: trailers.filter(|trailers| !trailers.is_empty()),
        })
    })
}

fn method() -> impl Strategy<Value = Method> {
    prop_oneof![4 => Just(Method::GET), 1 => Just(Method::HEAD), 1 => Just(Method::DELETE)]
}

proptest! {
    #[test]
    fn what_servers_say_is_understood_as_hyper_understands_it(
        answer in answers(),
        method in method(),
    ) {
        let ours = ours(&answer, &method);
        prop_assert!(ours.is_some());
        prop_assert_eq!(ours, hypers(&answer, &method));
    }

    /// Whatever hyper refuses is refused here, and what is taken is taken in the same sense.
    #[test]
    fn nothing_is_understood_that_hyper_does_not_understand(
        answer in mutated(),
        method in method(),
    ) {
        if let Some(ours) = ours(&answer, &method) {
            prop_assert_eq!(Some(ours), hypers(&answer, &method));
        }
    }
}
