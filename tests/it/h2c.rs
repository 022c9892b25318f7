//! Listeners without TLS that speak HTTP/2 to whoever begins with it, beside HTTP/1.1 or alone.

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use crate::harness::{End, Gateway, HELLO, Plan, Raw, Work, run, within};

async fn asks(gate: &Gateway, work: &Work) -> (u16, String) {
    let stream = TcpStream::connect(gate.address()).await.unwrap();
    let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (mut sender, connection) = within("a handshake", handshake).await.unwrap();
    tokio::spawn(async move { drop(connection.await) });
    let port = gate.address().port();
    let request = Request::post(format!("http://localhost:{port}/shop/data/1"))
        .header("authorization", format!("Bearer {}", work.token))
        .body(Full::new(Bytes::from("over h2c")))
        .unwrap();
    let answer = within("an answer", sender.send_request(request)).await;
    let answer = answer.unwrap();
    let status = answer.status().as_u16();
    let body = within("a body", answer.into_body().collect()).await;
    let body = body.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

fn http1(work: &Work, path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\r\n",
        work.token
    )
}

#[test]
fn both_are_spoken_by_what_the_client_begins_with() {
    run(async {
        let plan = Plan::new().listener("protocols = [\"http/1.1\", \"h2\"]");
        let mut gate = plan.start().await;
        let work = gate.agent("bot").works("work").await;
        assert_eq!(asks(&gate, &work).await, (200, HELLO.to_owned()));
        let seen = gate.upstream.last();
        assert_eq!(seen.header("x-forwarded-proto"), Some("http"), "{seen:?}");
        assert_eq!(seen.body, "over h2c");

        // The first bytes of HTTP/1.1 may come one by one, and those of HTTP/2 begin like `POST`.
        let mut raw = Raw::connect(&gate).await;
        for byte in http1(&work, "/shop/items").bytes() {
            raw.say([byte]).await;
        }
        assert!(raw.head().await.starts_with("HTTP/1.1 200 "));
        let mut raw = Raw::connect(&gate).await;
        let post = http1(&work, "/shop/data/1").replacen("GET", "POST", 1);
        raw.say("P").await;
        raw.say(&post[1..]).await;
        assert!(raw.head().await.starts_with("HTTP/1.1 200 "));

        let lines = gate.stop().await;
        let calls = lines.iter().filter(|line| line["kind"] == "call");
        assert_eq!(calls.count(), 3);
    });
}

/// HTTP/1.1 is framed as strictly as on a listener of its own.
#[test]
fn http1_is_framed_strictly_beside_http2() {
    run(async {
        let plan = Plan::new().listener("protocols = [\"h2\", \"http/1.1\"]");
        let gate = plan.start().await;
        let work = gate.agent("bot").works("work").await;
        let good = http1(&work, "/shop/items");
        let two = good.replacen(
            "\r\n\r\n",
            "\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            1,
        );
        for bad in [
            good.replacen("\r\n", "\n", 1),
            format!("\r\n{good}"),
            two,
            good.replacen("HTTP/1.1", "HTTP/2.0", 1),
            "PRI * HTTP/1.1\r\n\r\n".to_owned(),
            "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n".to_owned(),
        ] {
            let mut raw = Raw::connect(&gate).await;
            raw.say(&bad).await;
            let head = raw.head().await;
            assert!(head.starts_with("HTTP/1.1 400 "), "{bad:?}: {head}");
            let (_, end) = raw.rest().await;
            assert_eq!(end, End::Closed, "{bad:?}");
        }
        // An upgrade to HTTP/2 is ignored (RFC 9113 §3.1): the request is one of HTTP/1.1.
        let mut raw = Raw::connect(&gate).await;
        let upgrade = "\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
                       HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n";
        raw.say(good.replacen("\r\n\r\n", upgrade, 1)).await;
        assert!(raw.head().await.starts_with("HTTP/1.1 200 "));
        let seen = gate.upstream.only();
        assert_eq!(seen.header("upgrade"), None, "{seen:?}");
        assert_eq!(seen.header("http2-settings"), None, "{seen:?}");
    });
}

#[test]
fn alone_it_takes_nothing_else() {
    run(async {
        let gate = Plan::new().listener("protocols = [\"h2\"]").start().await;
        let work = gate.agent("bot").works("work").await;
        assert_eq!(asks(&gate, &work).await.0, 200);
        let mut raw = Raw::connect(&gate).await;
        raw.offer(http1(&work, "/shop/items")).await;
        let (rest, _) = raw.rest().await;
        assert!(!rest.starts_with(b"HTTP/1"), "{rest:?}");
        assert_eq!(gate.upstream.count(), 1);
    });
}

#[test]
fn without_being_asked_for_it_is_refused() {
    run(async {
        let gate = Plan::new().start().await;
        let mut raw = Raw::connect(&gate).await;
        raw.say("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        assert!(raw.head().await.starts_with("HTTP/1.1 400 "));
    });
}
