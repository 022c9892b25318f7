//! Handshakes that come to nothing, and what stands behind them.

use super::{KEY, accepts, ask, opened, played, value};
use crate::harness::{End, Plan, Raw, Work, masked, run};

fn items(work: &Work) -> String {
    format!(
        "GET /shop/items HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\r\n",
        work.token
    )
}

/// CVE-2026-2833: what stands behind a handshake that was refused is a request, or nothing.
#[test]
fn an_upstream_that_refuses_is_passed_on_and_nothing_else_is() {
    run(async {
        let (gate, stub) = played(Plan::new()).await;
        let work = gate.agent("bot").works("work").await;
        let refusal = "HTTP/1.1 426 Upgrade Required\r\nContent-Length: 2\r\n\r\nno";

        let mut client = Raw::connect(&gate).await;
        client.say(ask(&work, items(&work).as_bytes())).await;
        let mut peer = stub.accept().await;
        peer.head().await;
        peer.say(refusal).await;
        let head = client.until("\r\n\r\nno").await;
        assert!(head.starts_with("HTTP/1.1 426 "), "{head}");
        let head = peer.head().await;
        assert!(head.starts_with("GET /shop/items "), "{head}");
        assert_eq!(value(&head, "upgrade"), None, "{head}");
        assert_eq!(value(&head, "portcullis-agent"), Some("bot"), "{head}");
        peer.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            .await;
        client.until("\r\n\r\nok").await;

        // Frames are no request.
        client.say(ask(&work, &masked(1, b"GET /shop/items"))).await;
        let mut peer = stub.accept().await;
        peer.head().await;
        peer.say(refusal).await;
        client.until("\r\n\r\nno").await;
        let head = client.head().await;
        assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
        assert_eq!(client.rest().await.1, End::Closed);
    });
}

#[test]
fn a_handshake_that_is_refused_here_reaches_nobody() {
    run(async {
        let (gate, stub) = played(Plan::new()).await;
        let bot = gate.agent("bot");
        let (work, none) = (bot.works("work").await, bot.opens().await);
        let mut client = Raw::connect(&gate).await;
        client.say(ask(&none, &masked(1, b"smuggled"))).await;
        let head = client.head().await;
        assert!(head.starts_with("HTTP/1.1 403 "), "{head}");
        // The upstream's next connection is the first that it sees.
        let (mut client, mut peer) = opened(&gate, &stub, &work).await;
        super::echoes(&mut client, &mut peer, "hello").await;
    });
}

#[test]
fn a_switch_that_was_not_asked_for_is_a_fault() {
    run(async {
        let (gate, stub) = played(Plan::new()).await;
        let work = gate.agent("bot").works("work").await;
        let switch =
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n";
        let call = gate.call("GET", "/shop/items").bearer(&work.token).send();
        let (answer, ()) = tokio::join!(call, async {
            let mut peer = stub.accept().await;
            peer.head().await;
            peer.say(format!("{switch}\r\n")).await;
            peer.closed().await;
        });
        answer.refusal(502, "upstream_unreachable");

        let accept = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
        for answer in [
            format!("{switch}\r\n"),
            // The answer to the client's key, which is not the gateway's.
            format!("{switch}{accept}\r\n"),
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
                .to_owned(),
        ] {
            let mut client = Raw::connect(&gate).await;
            client.say(ask(&work, &masked(1, b"never"))).await;
            let mut peer = stub.accept().await;
            peer.head().await;
            peer.say(&answer).await;
            let head = client.head().await;
            assert!(head.starts_with("HTTP/1.1 502 "), "{answer}: {head}");
            assert!(peer.closed().await.is_empty(), "{answer}");
        }
    });
}

#[test]
fn handshakes_that_are_none() {
    run(async {
        let (gate, stub) = played(Plan::new()).await;
        let work = gate.agent("bot").works("work").await;
        let sound = [
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
        ];
        let key = format!("Sec-WebSocket-Key: {KEY}");
        let with = |lines: &[&str]| {
            let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
            format!(
                "GET /shop/socket HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n{lines}\r\n",
                work.token
            )
        };
        let [connection, upgrade, version] = sound;
        let cases: [(&str, Vec<&str>); 12] = [
            (
                "h2c",
                vec![
                    "Connection: Upgrade, HTTP2-Settings",
                    "Upgrade: h2c",
                    "HTTP2-Settings: AAMAAABk",
                ],
            ),
            (
                "h2c dressed up",
                vec![connection, "Upgrade: h2c", version, &key],
            ),
            (
                "two protocols",
                vec![connection, "Upgrade: websocket, h2c", version, &key],
            ),
            (
                "two Upgrade headers",
                vec![connection, upgrade, "Upgrade: h2c", version, &key],
            ),
            (
                "the same Upgrade twice",
                vec![connection, upgrade, upgrade, version, &key],
            ),
            ("no Connection", vec![upgrade, version, &key]),
            (
                "Connection without it",
                vec!["Connection: keep-alive", upgrade, version, &key],
            ),
            ("no version", vec![connection, upgrade, &key]),
            (
                "an old version",
                vec![connection, upgrade, "Sec-WebSocket-Version: 8", &key],
            ),
            ("no key", vec![connection, upgrade, version]),
            (
                "a short key",
                vec![connection, upgrade, version, "Sec-WebSocket-Key: c2hvcnQ="],
            ),
            (
                "CVE-2026-58055: a body",
                vec![connection, upgrade, version, &key, "Content-Length: 5"],
            ),
        ];
        for (name, lines) in cases {
            let mut client = Raw::connect(&gate).await;
            client.say(with(&lines)).await;
            let head = client.head().await;
            assert!(head.starts_with("HTTP/1.1 400 "), "{name}: {head}");
            let about_version = name.contains("version");
            let said = value(&head, "sec-websocket-version");
            assert_eq!(said, about_version.then_some("13"), "{name}: {head}");
        }

        // HTTP/1.0 knows no Upgrade: this is an ordinary request (RFC 9110 §7.8).
        let mut client = Raw::connect(&gate).await;
        let old = with(&[connection, upgrade, version, &key]).replace("HTTP/1.1", "HTTP/1.0");
        client.say(old).await;
        let mut peer = stub.accept().await;
        let head = peer.head().await;
        assert_eq!(value(&head, "upgrade"), None, "{head}");
        peer.say(
            "HTTP/1.1 426 Upgrade Required\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno",
        )
        .await;
        let head = client.until("\r\n\r\nno").await;
        assert!(head.contains(" 426 "), "{head}");

        // On an operation that is no WebSocket it is ignored, however sound.
        let mut client = Raw::connect(&gate).await;
        let elsewhere = with(&[connection, upgrade, version, &key]);
        let elsewhere = elsewhere.replace("/shop/socket", "/shop/items");
        client.say(elsewhere).await;
        let mut peer = stub.accept().await;
        let head = peer.head().await;
        assert!(head.starts_with("GET /shop/items "), "{head}");
        assert_eq!(value(&head, "upgrade"), None, "{head}");
        peer.say("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
            .await;
        client.until("\r\n\r\nok").await;

        let mut client = Raw::connect(&gate).await;
        client.say(ask(&work, b"")).await;
        let (mut peer, _) = accepts(&stub).await;
        client.head().await;
        super::echoes(&mut client, &mut peer, "and one that is").await;
    });
}
