//! Services that lie about where their answers end, say too much, or never come to an end. Whatever one does,
//! the next request gets its own answer, and what was cut never looks complete.

use crate::harness::{Gateway, Peer, Plan, Raw, Stub, Work, run};

/// A gateway whose upstream is played by the test, with one worker: so there is one pool, and a connection
/// that may serve again does.
async fn played() -> (Gateway, Work, Stub) {
    let stub = Stub::bind().await;
    let services = stub.service();
    let plan = Plan::new().gateway("workers = 1");
    let gate = plan.file("services.toml", &services).start().await;
    let work = gate.agent("bot").works("work").await;
    (gate, work, stub)
}

/// The next request, which arrives over a new connection and gets its own answer.
async fn next_is_served_anew(gate: &Gateway, work: &Work, stub: &Stub, case: &str) {
    let call = gate.call("GET", "/shop/items").bearer(&work.token).send();
    let (answer, ()) = tokio::join!(call, async {
        let mut peer = stub.accept().await;
        peer.head().await;
        peer.say("HTTP/1.1 200 OK\r\ncontent-length: 3\r\nconnection: close\r\n\r\nown")
            .await;
        peer.closed().await;
    });
    assert_eq!(answer.expect(200).text(), "own", "{case:?}");
}

/// A client's request whose answer is looked at byte by byte.
async fn raw_get(gate: &Gateway, work: &Work) -> Raw {
    let mut raw = Raw::connect(gate).await;
    let token = &work.token;
    raw.say(format!(
        "GET /shop/items HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n"
    ))
    .await;
    raw
}

#[test]
fn an_answer_with_two_readings_is_no_answer() {
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(101));
    let chunks = "2\r\nok\r\n0\r\n\r\n";
    let ok = "HTTP/1.1 200 OK\r\n";
    let answers = [
        // Lengths.
        format!("{ok}content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n{chunks}"),
        format!("{ok}transfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n{chunks}"),
        format!("{ok}content-length: 2\r\ncontent-length: 3\r\n\r\nabc"),
        format!("{ok}content-length: 2\r\ncontent-length: 2\r\n\r\nok"),
        format!("{ok}content-length: 2, 2\r\n\r\nok"),
        format!("{ok}content-length: +2\r\n\r\nok"),
        format!("{ok}content-length: -2\r\n\r\nok"),
        format!("{ok}content-length: 0x2\r\n\r\nok"),
        format!("{ok}content-length: 2 0\r\n\r\nok"),
        format!("{ok}content-length:\r\n\r\nok"),
        format!("{ok}content-length: 99999999999999999999\r\n\r\nok"),
        // Codings.
        format!("{ok}transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n{chunks}"),
        format!("{ok}transfer-encoding: gzip, chunked\r\n\r\n{chunks}"),
        format!("{ok}transfer-encoding: chunked, gzip\r\n\r\n{chunks}"),
        format!("{ok}transfer-encoding: xchunked\r\n\r\n{chunks}"),
        format!("{ok}transfer-encoding: \x0bchunked\r\n\r\n{chunks}"),
        format!("{ok}transfer-encoding: identity\r\n\r\nok"),
        format!("{ok}transfer-encoding:\r\n\r\nok"),
        format!("HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{chunks}"),
        format!("HTTP/1.1 100 Continue\r\ncontent-length: 4\r\n\r\n{ok}content-length: 0\r\n\r\n"),
        // Lines.
        format!("{ok}content-length : 2\r\n\r\nok"),
        format!("{ok} content-length: 2\r\n\r\nok"),
        format!("{ok}x: y\r\n content-length: 5\r\ncontent-length: 2\r\n\r\nok"),
        format!("{ok}x: y\rcontent-length: 5\r\ncontent-length: 2\r\n\r\nok"),
        format!("{ok}x: y\ncontent-length: 5\r\ncontent-length: 2\r\n\r\nok"),
        format!("{ok}x\0: y\r\ncontent-length: 2\r\n\r\nok"),
        format!("{ok}: y\r\ncontent-length: 2\r\n\r\nok"),
        format!("{ok}no colon\r\ncontent-length: 2\r\n\r\nok"),
        "HTTP/1.1 200 OK\ncontent-length: 2\n\nok".to_owned(),
        format!("\r\n{ok}content-length: 2\r\n\r\nok"),
        "HTTP/1.1  200 OK\r\n\r\n".to_owned(),
        "HTTP/1.1 2x0 OK\r\n\r\n".to_owned(),
        "HTTP/3 200 OK\r\n\r\n".to_owned(),
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n"
            .to_owned(),
        many,
    ];
    run(async {
        let (gate, work, stub) = played().await;
        for answer in answers {
            let call = gate.call("GET", "/shop/items").bearer(&work.token).send();
            let (refused, ()) = tokio::join!(call, async {
                let mut peer = stub.accept().await;
                peer.head().await;
                peer.say(&answer).await;
                peer.closed().await;
            });
            refused.refusal(502, "upstream_unreachable");
        }
        next_is_served_anew(&gate, &work, &stub, "after all of them").await;
    });
}

#[test]
fn what_is_said_too_much_is_nobodys_answer() {
    let poison = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison";
    let cases = [
        (
            "GET",
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
            poison,
        ),
        (
            "GET",
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
            "\r\n",
        ),
        (
            "GET",
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            poison,
        ),
        (
            "GET",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            poison,
        ),
        (
            "GET",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            "0\r\n\r\n",
        ),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n", poison),
        (
            "GET",
            "HTTP/1.1 204 No Content\r\ncontent-length: 53\r\n\r\n",
            poison,
        ),
        (
            "GET",
            "HTTP/1.1 304 Not Modified\r\ncontent-length: 53\r\n\r\n",
            poison,
        ),
        (
            "HEAD",
            "HTTP/1.1 200 OK\r\ncontent-length: 53\r\n\r\n",
            poison,
        ),
        (
            "HEAD",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            "0\r\n\r\n",
        ),
    ];
    run(async {
        let (gate, work, stub) = played().await;
        for (method, answer, surplus) in cases {
            // In one piece, in two, and once the answer has been passed on.
            for pieces in [
                vec![format!("{answer}{surplus}")],
                vec![answer.to_owned(), surplus.to_owned()],
            ] {
                let call = gate.call(method, "/shop/items").bearer(&work.token).send();
                let (first, mut peer) = tokio::join!(call, async {
                    let mut peer = stub.accept().await;
                    peer.head().await;
                    for piece in &pieces {
                        peer.say_if_open(piece).await;
                    }
                    peer
                });
                assert!(!first.text().contains("poison"), "{answer:?}");
                next_is_served_anew(&gate, &work, &stub, answer).await;
                assert!(peer.closed().await.is_empty(), "{answer:?}");
            }
            let call = gate.call(method, "/shop/items").bearer(&work.token).send();
            let (_first, mut peer) = tokio::join!(call, async {
                let mut peer = stub.accept().await;
                peer.head().await;
                peer.say(answer).await;
                peer
            });
            // A connection that is in doubt already is gone by now.
            peer.say_if_open(surplus).await;
            next_is_served_anew(&gate, &work, &stub, answer).await;
            assert!(peer.closed().await.is_empty(), "{answer:?}");
        }
    });
}

#[test]
fn content_that_looks_like_an_answer_is_content() {
    run(async {
        let (gate, work, stub) = played().await;
        let inner = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison";
        let length = inner.len();
        let mut peer: Option<Peer> = None;
        for answer in [
            format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{inner}"),
            format!(
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{length:x}\r\n{inner}\r\n0\r\n\r\n"
            ),
        ] {
            for _ in 0..2 {
                let call = gate.call("GET", "/shop/items").bearer(&work.token).send();
                let serve = async {
                    let mut peer = match peer.take() {
                        Some(peer) => peer,
                        None => stub.accept().await,
                    };
                    peer.head().await;
                    peer.say(&answer).await;
                    peer
                };
                let (got, served) = tokio::join!(call, serve);
                assert_eq!(got.expect(200).text(), inner);
                peer = Some(served);
            }
        }
    });
}

#[test]
fn what_is_cut_never_looks_complete() {
    let cases = [
        // Too little of it.
        ("content-length: 5", "hell"),
        ("transfer-encoding: chunked", "5\r\nhell"),
        ("transfer-encoding: chunked", "4\r\nhell\r\n"),
        ("transfer-encoding: chunked", "4\r\nhell\r\n0\r\n"),
        (
            "transfer-encoding: chunked",
            "4\r\nhell\r\n0\r\nx-sum: 1\r\n",
        ),
        // Not what it is said to be.
        (
            "transfer-encoding: chunked",
            "4\r\nhell\r\n-1\r\n\r\n0\r\n\r\n",
        ),
        ("transfer-encoding: chunked", "4\r\nhell\r\n 0\r\n\r\n"),
        ("transfer-encoding: chunked", "4\r\nhell\r\n0 \r\n\r\n"),
        ("transfer-encoding: chunked", "4\r\nhell\r\n0x0\r\n\r\n"),
        ("transfer-encoding: chunked", "4\r\nhell0\r\n\r\n"),
        ("transfer-encoding: chunked", "4\nhell\n0\n\n"),
        ("transfer-encoding: chunked", "4\r\nhell\n0\r\n\r\n"),
        ("transfer-encoding: chunked", "4\r\nhell\r\n0\n\r\n"),
        ("transfer-encoding: chunked", "4\r\nhell\r\n0\r\n\n"),
        ("transfer-encoding: chunked", "4\r\nhell\r\n0;a\n\r\n\r\n"),
        (
            "transfer-encoding: chunked",
            "4\r\nhell\r\n0\r\n x: y\r\n\r\n",
        ),
        (
            "transfer-encoding: chunked",
            "4\r\nhell\r\n10000000000000000\r\n0\r\n\r\n",
        ),
        ("transfer-encoding: chunked", "ffffffffffffffff\r\nhell"),
    ];
    run(async {
        let (gate, work, stub) = played().await;
        for (framing, content) in cases {
            let mut raw = raw_get(&gate, &work).await;
            let mut peer = stub.accept().await;
            peer.head().await;
            peer.say(format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n{content}"))
                .await;
            drop(peer);
            let (rest, _) = raw.rest().await;
            let rest = String::from_utf8(rest).unwrap();
            // Where nothing could be passed on, not even the head may have been.
            let (_, rest) = rest.split_once("\r\n\r\n").unwrap_or_default();
            assert!(!rest.contains("0\r\n"), "{content:?} came as {rest:?}");
            assert!(
                rest.matches("hell").count() <= 1,
                "{content:?} came as {rest:?}"
            );
        }
        next_is_served_anew(&gate, &work, &stub, "after all of them").await;
    });
}

#[test]
fn heads_without_an_end_come_to_one() {
    run(async {
        let (gate, work, stub) = played().await;
        for (start, piece) in [
            ("HTTP/1.1 200 OK\r\n", "x: y\r\n".repeat(50)),
            ("HTTP/1.1 200 OK\r\nx: ", "y".repeat(1000)),
            ("HTTP/1.1 200 ", "OK ".repeat(300)),
            ("", "x".repeat(1000)),
            ("", "HTTP/1.1 102 Processing\r\n\r\n".repeat(20)),
            ("", "HTTP/1.1 100 Continue\r\nx: y\r\n\r\n".to_owned()),
        ] {
            let call = gate.call("GET", "/shop/items").bearer(&work.token).send();
            let (refused, ()) = tokio::join!(call, async {
                let mut peer = stub.accept().await;
                peer.head().await;
                peer.say(start).await;
                peer.drone(&piece).await;
            });
            refused.refusal(502, "upstream_unreachable");
        }
        next_is_served_anew(&gate, &work, &stub, "after all of them").await;
    });
}

#[test]
fn framing_without_an_end_comes_to_one() {
    run(async {
        let (gate, work, stub) = played().await;
        for (start, piece) in [
            // One extension, many extensions, trailers.
            ("2;x=", "y".repeat(1000)),
            ("", "2;x=y\r\nok\r\n".repeat(50)),
            ("2\r\nok\r\n0\r\n", "x: y\r\n".repeat(50)),
            ("2\r\nok\r\n0\r\nx: ", "y".repeat(1000)),
        ] {
            let mut raw = raw_get(&gate, &work).await;
            let mut peer = stub.accept().await;
            peer.head().await;
            peer.say(format!(
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{start}"
            ))
            .await;
            peer.drone(&piece).await;
            let (rest, _) = raw.rest().await;
            assert!(
                !String::from_utf8(rest).unwrap().contains("0\r\n\r\n"),
                "{start:?}"
            );
        }
        next_is_served_anew(&gate, &work, &stub, "after all of them").await;
    });
}

#[test]
fn a_service_that_goes_without_a_word_is_not_asked_again() {
    run(async {
        let (gate, work, stub) = played().await;
        for method in ["GET", "PUT"] {
            let path = if method == "GET" {
                "/shop/items"
            } else {
                "/shop/data/x"
            };
            // On a connection that has served before, where a retry would be tempting.
            let call = gate.call("GET", "/shop/items").bearer(&work.token).send();
            let (first, mut peer) = tokio::join!(call, async {
                let mut peer = stub.accept().await;
                peer.head().await;
                peer.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                    .await;
                peer
            });
            assert_eq!(first.expect(200).text(), "ok");
            let call = gate.call(method, path).bearer(&work.token).send();
            let (refused, ()) = tokio::join!(call, async {
                peer.head().await;
                peer.close().await;
            });
            refused.refusal(502, "upstream_unreachable");
        }
        next_is_served_anew(&gate, &work, &stub, "after both").await;
    });
}
