//! hyper behind the strict stream, against an independent reading of the same bytes.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use std::cell::RefCell;

use super::*;

/// One request as somebody read it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    method: String,
    target: String,
    body: Vec<u8>,
}

/// The requests that the service is asked about and that are whole; the refused ones are not among
/// them.
async fn serve(sent: &[u8], piece: usize) -> Vec<Seen> {
    let (mut client, server) = duplex(64 << 10);
    let (clock, _hands) = Clock::manual(Timestamp::UNIX_EPOCH);
    let strict = Strict::new(server, &clock, &limits());
    let verdict = strict.verdict();
    let all = Rc::new(RefCell::new(Vec::new()));
    let service = service_fn(|request: Request<Incoming>| {
        let refused = verdict.take().is_some();
        let all = Rc::clone(&all);
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await;
            let body = body.map(|body| body.to_bytes().to_vec());
            if let (Ok(body), false) = (body, refused) {
                let method = head.method.to_string();
                let target = head.uri.to_string();
                let seen = Seen {
                    method,
                    target,
                    body,
                };
                all.borrow_mut().push(seen);
            }
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        }
    });
    let served = http1::Builder::new()
        .header_read_timeout(None)
        .half_close(true)
        .serve_connection(TokioIo::new(strict), service);
    let (mut receive, mut send) = tokio::io::split(&mut client);
    let talk = async {
        for piece in sent.chunks(piece) {
            if send.write_all(piece).await.is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
        // The other side may have closed.
        let _ = send.shutdown().await;
    };
    let listen = async {
        let mut answers = Vec::new();
        receive.read_to_end(&mut answers).await.unwrap();
    };
    let (_, (), ()) = tokio::join!(
        async {
            let ended = served.await;
            drop(ended);
        },
        talk,
        listen
    );
    all.take()
}

/// The whole requests in `bytes` by another parser, which is more lenient than ours.
fn reference(mut bytes: &[u8]) -> Vec<Seen> {
    let mut all = Vec::new();
    while let Some((seen, rest)) = next(bytes) {
        all.push(seen);
        bytes = rest;
    }
    all
}

fn next(bytes: &[u8]) -> Option<(Seen, &[u8])> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(length) = request.parse(bytes).ok()? else {
        return None;
    };
    let value = |name: &str| {
        let header = request.headers.iter();
        let header = header.filter(|header| header.name.eq_ignore_ascii_case(name));
        header.map(|header| header.value).next()
    };
    let rest = &bytes[length..];
    let (body, rest) = if value("transfer-encoding").is_some() {
        dechunk(rest)?
    } else {
        let length = value("content-length").map(|value| String::from_utf8_lossy(value).parse());
        let length: usize = length.unwrap_or(Ok(0)).ok()?;
        let (body, rest) = rest.split_at_checked(length)?;
        (body.to_vec(), rest)
    };
    let method = request.method?.to_owned();
    let target = request.path?.to_owned();
    Some((
        Seen {
            method,
            target,
            body,
        },
        rest,
    ))
}

fn dechunk(mut bytes: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut body = Vec::new();
    loop {
        let Ok(httparse::Status::Complete((line, size))) = httparse::parse_chunk_size(bytes) else {
            return None;
        };
        let rest = &bytes[line..];
        if size == 0 {
            let end = rest.windows(2).position(|two| two == b"\r\n")?;
            if end == 0 {
                return Some((body, &rest[2..]));
            }
            let end = rest.windows(4).position(|four| four == b"\r\n\r\n")?;
            return Some((body, &rest[end + 4..]));
        }
        let (data, rest) = rest.split_at_checked(size.try_into().ok()?)?;
        body.extend_from_slice(data);
        bytes = rest.strip_prefix(b"\r\n")?;
    }
}

/// Requests with requests in their bodies, and what an attacker does to the seams.
fn attacks() -> impl Strategy<Value = Vec<u8>> {
    let hidden = "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n";
    let length = hidden.len();
    let request = prop::sample::select(vec![
        GET.to_owned(),
        POST.to_owned(),
        CHUNKED.to_owned(),
        format!("POST /d HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n{hidden}"),
        format!(
            "POST /e HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n\
             {length:x}\r\n{hidden}\r\n0\r\nA: b\r\n\r\n"
        ),
        format!(
            "POST /f HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: {length}\r\n\r\n{hidden}"
        ),
        format!(
            "GET /g HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nxy"
        ),
    ]);
    let insert = prop::sample::select(vec![
        "\r\n",
        "\n",
        "\r",
        " ",
        "0",
        "1",
        ";",
        "\0",
        "\t",
        ":",
        "Content-Length: 3\r\n",
        "Content-Length: 0\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "0\r\n\r\n",
        "0\r\n",
        ";a=\"",
        hidden,
    ]);
    let edit = (any::<prop::sample::Index>(), insert, 0..3_usize);
    (
        prop::collection::vec(request, 1..4),
        prop::collection::vec(edit, 0..4),
    )
        .prop_map(|(requests, edits)| {
            let mut bytes = requests.concat().into_bytes();
            for (at, text, removed) in edits {
                let at = at.index(bytes.len());
                let end = (at + removed).min(bytes.len());
                bytes.splice(at..end, text.bytes());
            }
            bytes
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2048, ..ProptestConfig::default() })]

    #[test]
    fn no_request_is_read_another_way(sent in attacks(), piece in 1..200_usize) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let seen = runtime.block_on(serve(&sent, piece));
        let reference = reference(&sent);
        prop_assert!(
            reference.starts_with(&seen),
            "{:?}\nseen {seen:?}\nreference {reference:?}", String::from_utf8_lossy(&sent)
        );
    }

    #[test]
    fn good_requests_are_all_served(piece in 1..200_usize, order in prop::collection::vec(0..3_usize, 1..6)) {
        let sent: String = order.iter().map(|one| [GET, POST, CHUNKED][*one]).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let seen = runtime.block_on(serve(sent.as_bytes(), piece));
        prop_assert_eq!(&seen, &reference(sent.as_bytes()));
        prop_assert_eq!(seen.len(), order.len());
    }
}
