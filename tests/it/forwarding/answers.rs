//! What the client gets back: every byte of an answer, and nothing that is not its own.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode};

use super::{granted, mebibyte, played};
use crate::harness::{Client, End, HELLO, Plan, Raw, Stub, full, pipe, run};

#[test]
fn downloads_arrive_byte_for_byte_whatever_frames_them() {
    run(async {
        let (gate, work, stub) = played().await;
        let body = mebibyte();
        let chunked: Vec<u8> = body
            .chunks(65_521)
            .flat_map(|piece| {
                let size = format!("{:x}\r\n", piece.len());
                [size.as_bytes(), piece, b"\r\n"].concat()
            })
            .chain(b"0\r\n\r\n".iter().copied())
            .collect();
        let length = format!("content-length: {}", body.len());
        for (framing, bytes) in [
            (length.as_str(), body.to_vec()),
            ("transfer-encoding: chunked", chunked),
            ("connection: close", body.to_vec()),
        ] {
            let sent = gate.call("GET", "/shop/items").bearer(&work.token).send();
            let (answer, ()) = tokio::join!(sent, async {
                let mut peer = stub.accept().await;
                peer.head().await;
                peer.say(format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n"))
                    .await;
                peer.say(bytes).await;
                peer.close().await;
            });
            let answer = answer.expect_bytes(200);
            assert!(answer.body == body, "{framing}");
        }
    });
}

#[test]
fn compressed_answers_are_left_as_they_are() {
    run(async {
        let (gate, work) = granted(Plan::new()).await;
        // What is inside is nobody's business; that it is no gzip shows that nobody looked.
        let packed = Bytes::from_static(&[0x1f, 0x8b, 0x08, 0, 0xde, 0xad, 0xbe, 0xef, 0, 255]);
        let response = Response::builder()
            .header("content-encoding", "gzip")
            .header("content-type", "text/plain")
            .header("etag", "\"7\"")
            .body(full(packed.clone()))
            .unwrap();
        gate.upstream.answer_next(response);
        let call = gate.call("GET", "/shop/items").bearer(&work.token);
        let answer = call.header("accept-encoding", "gzip, br").send().await;
        assert_eq!(answer.body, packed);
        assert_eq!(answer.header("content-encoding"), Some("gzip"));
        assert_eq!(answer.header("etag"), Some("\"7\""));
        assert_eq!(
            gate.upstream.only().header("accept-encoding"),
            Some("gzip, br")
        );
    });
}

#[test]
fn answers_without_a_body_have_none() {
    run(async {
        let (gate, work) = granted(Plan::new()).await;
        let mut client = Client::http1(&gate).await;
        for (method, status, length) in [
            ("HEAD", 200, Some("1000")),
            ("GET", 204, None),
            ("GET", 304, None),
        ] {
            let mut response = Response::new(full(""));
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            if let Some(length) = length {
                let length = HeaderValue::from_static(length);
                response.headers_mut().insert("content-length", length);
            }
            gate.upstream.answer_next(response);
            let call = gate.call(method, "/shop/items").bearer(&work.token);
            let answer = call.send_on(&mut client).await;
            assert_eq!(answer.status, status);
            assert!(answer.body.is_empty());
            assert_eq!(answer.header("content-length"), length, "{method} {status}");
            assert_eq!(gate.upstream.last().method, method);
        }
        // The connection is still in step.
        let call = gate.call("GET", "/shop/items").bearer(&work.token);
        assert_eq!(call.send_on(&mut client).await.expect(200).text(), HELLO);
    });
}

#[test]
fn trailers_of_an_answer_pass_to_a_client_that_can_read_them() {
    run(async {
        let stub = Stub::bind().await;
        let services = stub.service();
        let (gate, work) = granted(Plan::new().tls().file("services.toml", &services)).await;
        for (http2, via) in [(true, "2 portcullis"), (false, "1.1 portcullis")] {
            let call = gate.call("GET", "/shop/items").bearer(&work.token);
            let call = call.header("te", "trailers");
            let call = if http2 { call.http2() } else { call };
            let (answer, ()) = tokio::join!(call.send(), async {
                let mut peer = stub.accept().await;
                let head = peer.head().await;
                assert!(head.contains(&format!("via: {via}\r\n")), "{head}");
                peer.say(
                    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\
                     trailer: x-checksum, portcullis-grant\r\n\r\n\
                     4\r\ndown\r\n0\r\nx-checksum: 7\r\nportcullis-grant: forged\r\n\r\n",
                )
                .await;
            });
            assert_eq!(answer.text(), "down");
            let trailers = answer.trailers.expect("trailers");
            assert_eq!(trailers["x-checksum"], "7");
            assert_eq!(trailers.len(), 1, "{trailers:?}");
        }
    });
}

/// RFC 9110 §2.5: the version of an answer is that of who passes it on, and so is whether more may follow.
#[test]
fn an_old_service_does_not_make_the_gateway_old() {
    run(async {
        let (gate, work, stub) = played().await;
        let mut raw = Raw::connect(&gate).await;
        for answer in ["content-length: 2\r\n\r\nok", "\r\nok"] {
            let token = &work.token;
            raw.say(format!(
                "GET /shop/items HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n"
            ))
            .await;
            let mut peer = stub.accept().await;
            peer.head().await;
            peer.say(format!("HTTP/1.0 200 OK\r\n{answer}")).await;
            drop(peer);
            let head = raw.head().await;
            assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
            let body: &[u8] = match head.contains("content-length: 2") {
                true => b"ok",
                false => b"2\r\nok\r\n0\r\n\r\n",
            };
            assert_eq!(raw.bytes(body.len()).await, body);
        }
    });
}

#[test]
fn an_upstream_cannot_speak_for_the_gateway() {
    run(async {
        let (gate, work) = granted(Plan::new()).await;
        let response = Response::builder()
            .header("portcullis-request-id", "forged")
            .header("portcullis-anything", "forged")
            .header("alt-svc", "h3=\":443\"")
            .header("connection", "x-listed")
            .header("x-listed", "hop")
            .header("keep-alive", "timeout=5")
            .header("proxy-authenticate", "Basic")
            .header("x-kept", "yes")
            .header("set-cookie", "a=1")
            .header("set-cookie", "b=2")
            .body(full("x"))
            .unwrap();
        gate.upstream.answer_next(response);
        let answer = gate
            .call("GET", "/shop/items")
            .bearer(&work.token)
            .send()
            .await;
        let told = gate.upstream.only();
        let id = told.header("portcullis-request-id");
        assert_eq!(answer.header("portcullis-request-id"), id);
        for name in [
            "portcullis-anything",
            "alt-svc",
            "x-listed",
            "keep-alive",
            "proxy-authenticate",
        ] {
            assert_eq!(answer.header(name), None, "{name}");
        }
        assert_eq!(answer.header("x-kept"), Some("yes"));
        assert_eq!(answer.headers.get_all("set-cookie").iter().count(), 2);
    });
}

#[test]
fn answers_of_every_status_pass_and_no_redirect_is_followed() {
    run(async {
        let (gate, work) = granted(Plan::new()).await;
        for status in [201, 206, 301, 307, 400, 401, 404, 429, 500, 503] {
            let response = Response::builder()
                .status(status)
                .header("location", "http://169.254.169.254/")
                .header("www-authenticate", "Basic realm=\"shop\"")
                .body(full("said by the upstream"))
                .unwrap();
            gate.upstream.answer_next(response);
            let answer = gate
                .call("GET", "/shop/items")
                .bearer(&work.token)
                .send()
                .await;
            assert_eq!(answer.status, status);
            assert_eq!(answer.text(), "said by the upstream");
            assert_eq!(answer.header("location"), Some("http://169.254.169.254/"));
        }
        assert_eq!(gate.upstream.count(), 10);
    });
}

#[test]
fn an_answer_that_comes_before_the_upload_is_over_is_passed_on() {
    run(async {
        let (gate, work, stub) = played().await;
        let (feed, body) = pipe();
        let call = gate
            .call("PUT", "/shop/data/x")
            .bearer(&work.token)
            .body(body);
        let (mut opened, mut peer) = tokio::join!(call.open(), async {
            feed.send("first").await;
            let mut peer = stub.accept().await;
            peer.until("first\r\n").await;
            peer.say("HTTP/1.1 413 Payload Too Large\r\ncontent-length: 6\r\n\r\nenough")
                .await;
            peer
        });
        assert_eq!(opened.status(), 413);
        assert_eq!(opened.text().await, "enough");
        // A connection whose request was not sent whole is not used again.
        peer.closed().await;
    });
}

#[test]
fn an_answer_that_breaks_off_does_not_look_complete() {
    run(async {
        let (gate, work, stub) = played().await;
        for framing in ["content-length: 1000", "transfer-encoding: chunked"] {
            let mut raw = Raw::connect(&gate).await;
            let token = &work.token;
            raw.say(format!(
                "GET /shop/items HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n"
            ))
            .await;
            let mut peer = stub.accept().await;
            peer.head().await;
            peer.say(format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n"))
                .await;
            peer.say("5\r\nhello\r\n").await;
            let head = raw.head().await;
            assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
            raw.until("hello\r\n").await;
            peer.reset();
            let (rest, _) = raw.rest().await;
            assert!(rest.is_empty(), "{framing}: {rest:?}");
        }
        // A body without any framing can't be told from a whole one but by a reset.
        let mut raw = Raw::connect(&gate).await;
        let token = &work.token;
        raw.say(format!(
            "GET /shop/items HTTP/1.0\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n"
        ))
        .await;
        let mut peer = stub.accept().await;
        peer.head().await;
        peer.say("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n")
            .await;
        raw.until("hello").await;
        peer.reset();
        assert_eq!(raw.rest().await, (Vec::new(), End::Broken));
    });
}

#[test]
fn an_upstream_that_breaks_off_cuts_an_http2_stream_and_not_its_connection() {
    run(async {
        let (gate, work) = granted(Plan::new().tls()).await;
        let (feed, body) = pipe();
        gate.upstream.answer_next(Response::new(body));
        let mut client = Client::http2(&gate).await;
        let call = gate.call("GET", "/shop/items").bearer(&work.token);
        let opened = call.open_on(&mut client);
        let (mut opened, ()) = tokio::join!(opened, feed.send("hello"));
        assert_eq!(opened.text().await, "hello");
        feed.break_off().await;
        opened.cut().await;
        let call = gate.call("GET", "/shop/items").bearer(&work.token);
        call.send_on(&mut client).await.expect(200);
    });
}

#[test]
fn an_answer_that_is_not_http_is_a_bad_gateway() {
    run(async {
        let (gate, work, stub) = played().await;
        for nonsense in [
            "",
            "SSH-2.0-OpenSSH_9.2\r\n\r\n",
            "HTTP/1.1 2000 OK\r\n\r\n",
        ] {
            let sent = gate.call("GET", "/shop/items").bearer(&work.token).send();
            let (answer, ()) = tokio::join!(sent, async {
                let mut peer = stub.accept().await;
                peer.head().await;
                peer.say(nonsense).await;
                peer.close().await;
            });
            answer.refusal(502, "upstream_unreachable");
        }
    });
}

/// What an upstream says too much is nobody's answer.
#[test]
fn surplus_bytes_of_one_answer_never_reach_the_next_request() {
    run(async {
        let (gate, work, stub) = played().await;
        let get = || gate.call("GET", "/shop/items").bearer(&work.token).send();
        let (first, mut peer) = tokio::join!(get(), async {
            let mut peer = stub.accept().await;
            peer.head().await;
            let poison = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison";
            peer.say(format!(
                "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nfirst{poison}"
            ))
            .await;
            peer
        });
        assert_eq!(first.text(), "first");
        let (second, ()) = tokio::join!(get(), async {
            let mut peer = stub.accept().await;
            peer.head().await;
            peer.say("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecond")
                .await;
        });
        assert_eq!(second.text(), "second");
        peer.closed().await;
    });
}
