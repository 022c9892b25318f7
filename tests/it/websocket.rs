//! WebSockets through the gate: bytes both ways under a grant, over HTTP/1.1 and HTTP/2, cut at its end;
//! and nothing behind a handshake that was not agreed on.

mod cut;
mod handshake;
mod http2;
mod upstream;

use serde_json::json;

use portcullis::wire::websocket_accept;

use crate::harness::{End, Gateway, Peer, Plan, Raw, Socket, Stub, Work, masked, run, server};

const OPERATIONS: &str = r#"
[[operation]]
id = "shop.socket"
service = "shop"
route = "GET /shop/socket"
groups = ["open"]
protocol = "websocket"

[[operation]]
id = "shop.list"
service = "shop"
route = "GET /shop/items"
groups = ["open"]
"#;

const ENTITLEMENTS: &str = r#"
[[entitlement]]
id = "work"
operations = ["shop.list", "shop.socket"]
max_ttl = "1h"

[[entitlement]]
id = "small"
operations = ["shop.socket"]
max_ttl = "1h"
max_bytes = 100
max_concurrent = 1
"#;

const RULES: &str = r#"
@id("open")
permit (principal, action in Action::"open", resource);

@id("bots-may-ask")
permit (principal in AgentGroup::"bots", action == Action::"request", resource);
"#;

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// A gateway in front of an upstream that the test plays.
async fn played(plan: Plan) -> (Gateway, Stub) {
    let stub = Stub::bind().await;
    let services = stub.service();
    let plan = plan
        .file("services.toml", &services)
        .file("operations.toml", OPERATIONS)
        .file("entitlements.toml", ENTITLEMENTS)
        .file("rules.cedar", RULES);
    (plan.start().await, stub)
}

/// A client's handshake, with `more` behind its head.
fn ask(work: &Work, more: &[u8]) -> Vec<u8> {
    let mut bytes = format!(
        "GET /shop/socket HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
         Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: {KEY}\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: chat\r\n\r\n",
        work.token
    )
    .into_bytes();
    bytes.extend_from_slice(more);
    bytes
}

fn value<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines().find_map(|line| {
        let (own, value) = line.split_once(':')?;
        own.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// The upstream's consent to the handshake `head`.
fn consent(head: &str) -> String {
    let key = value(head, "sec-websocket-key").expect("a key");
    let accept = websocket_accept(key.as_bytes());
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: chat\r\nX-Own: yes\r\n\r\n"
    )
}

/// The upstream takes a WebSocket that the gateway asks for.
async fn accepts(stub: &Stub) -> (Peer, String) {
    let mut peer = stub.accept().await;
    let head = peer.head().await;
    peer.say(consent(&head)).await;
    (peer, head)
}

/// A WebSocket over HTTP/1.1 that both sides have agreed on.
async fn opened(gate: &Gateway, stub: &Stub, work: &Work) -> (Raw, Peer) {
    let mut client = Raw::connect(gate).await;
    client.say(ask(work, b"")).await;
    let (peer, _) = accepts(stub).await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    (client, peer)
}

/// What the client says comes back.
async fn echoes(client: &mut impl Socket, peer: &mut Peer, text: &str) {
    client.send(&masked(1, text.as_bytes())).await;
    let (first, payload) = peer.frame().await;
    assert_eq!((first, payload.as_slice()), (0x81, text.as_bytes()));
    peer.send(&server(0x81, &payload)).await;
    let (first, payload) = client.frame().await;
    assert_eq!((first, payload.as_slice()), (0x81, text.as_bytes()));
}

/// The client is told that what it used is over, and why.
async fn is_told(client: &mut impl Socket, code: u16, reason: &str) {
    let (first, payload) = client.frame().await;
    assert_eq!(first, 0x88, "a close frame");
    let said = u16::from_be_bytes([payload[0], payload[1]]);
    let because = std::str::from_utf8(&payload[2..]).unwrap();
    assert_eq!((said, because), (code, reason));
}

#[test]
fn an_echo_over_http1() {
    run(async {
        for plan in [Plan::new(), Plan::new().tls()] {
            let (mut gate, stub) = played(plan).await;
            let work = gate.agent("bot").works("work").await;
            let mut client = Raw::connect(&gate).await;
            // What follows the handshake without waiting for its answer is part of the WebSocket.
            client.say(ask(&work, &masked(1, b"early"))).await;
            let (mut peer, head) = accepts(&stub).await;
            assert_eq!(value(&head, "connection"), Some("Upgrade"), "{head}");
            assert_eq!(value(&head, "upgrade"), Some("websocket"), "{head}");
            assert_eq!(value(&head, "sec-websocket-version"), Some("13"), "{head}");
            assert_eq!(
                value(&head, "sec-websocket-protocol"),
                Some("chat"),
                "{head}"
            );
            assert_ne!(value(&head, "sec-websocket-key"), Some(KEY), "{head}");
            assert_eq!(value(&head, "portcullis-agent"), Some("bot"), "{head}");
            assert!(!head.contains(&work.token), "{head}");

            let head = client.head().await;
            assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
            assert_eq!(value(&head, "connection"), Some("Upgrade"), "{head}");
            assert_eq!(value(&head, "upgrade"), Some("websocket"), "{head}");
            assert_eq!(value(&head, "sec-websocket-accept"), Some(ACCEPT), "{head}");
            assert_eq!(
                value(&head, "sec-websocket-protocol"),
                Some("chat"),
                "{head}"
            );
            assert_eq!(value(&head, "x-own"), Some("yes"), "{head}");
            assert!(value(&head, "portcullis-request-id").is_some(), "{head}");

            assert_eq!(peer.frame().await, (0x81, b"early".to_vec()));
            for text in ["one", "two", &"x".repeat(70_000)] {
                echoes(&mut client, &mut peer, text).await;
            }
            // The upstream's goodbye passes, and then its end.
            peer.send(&server(0x88, b"\x03\xe8")).await;
            peer.close().await;
            assert_eq!(client.frame().await, (0x88, b"\x03\xe8".to_vec()));
            let (rest, end) = client.rest().await;
            assert!(rest.is_empty(), "{rest:?}");
            assert_eq!(end, End::Closed);
            drop(client);

            let lines = gate.stop().await;
            let line = lines
                .iter()
                .find(|line| line["kind"] == "call" && line["operation"] == "shop.socket");
            let line = line.expect("a record");
            assert_eq!(line["status"], 101, "{line}");
            assert_eq!(line["verdict"], "allow", "{line}");
            // Heads of client frames have a mask.
            assert_eq!(line["bytes_in"], 11 + 9 + 9 + 70_014, "{line}");
            assert_eq!(line["bytes_out"], 5 + 5 + 70_010 + 4, "{line}");
        }
    });
}

#[test]
fn bytes_count_and_so_do_sockets() {
    run(async {
        let (gate, stub) = played(Plan::new()).await;
        let work = gate.agent("bot").works("small").await;
        let (mut client, mut peer) = opened(&gate, &stub, &work).await;
        echoes(&mut client, &mut peer, "0123456789").await;
        let second = gate.call("GET", "/shop/socket").bearer(&work.token).send();
        second.await.refusal(403, "budget_exhausted");

        // 16 and 12 of the 100 bytes have passed.
        peer.send(&server(0x82, &[7; 68])).await;
        assert_eq!(client.frame().await.1, [7; 68]);
        peer.send(&server(0x82, b"too much")).await;
        is_told(&mut client, 1008, "exhausted").await;
        let (rest, end) = client.rest().await;
        assert!(rest.is_empty(), "{rest:?}");
        assert_eq!(end, End::Closed);
        peer.closed().await;
    });
}

#[test]
fn what_the_client_says_keeps_its_task_alive() {
    run(async {
        let (gate, stub) = played(Plan::new().manual_clock()).await;
        let bot = gate.agent("bot");
        let work = bot.opens_as(&json!({ "lease_seconds": 30 })).await;
        let request = json!({ "task": work.task, "entitlement": "work" });
        let work = bot.granted(work, &request).await;
        let (mut client, mut peer) = opened(&gate, &stub, &work).await;
        for _ in 0..3 {
            gate.advance(std::time::Duration::from_secs(25));
            echoes(&mut client, &mut peer, "still here").await;
        }
        gate.advance(std::time::Duration::from_secs(25));
        // What the upstream says is no sign of life of the agent.
        peer.send(&server(0x81, b"hello?")).await;
        assert_eq!(client.frame().await.1, b"hello?");
        gate.advance(std::time::Duration::from_secs(5));
        is_told(&mut client, 1008, "lease_lapsed").await;
        peer.closed().await;
    });
}

#[test]
fn a_silent_one_is_closed() {
    run(async {
        let plan = Plan::new()
            .manual_clock()
            .settings("[limits]\nidle_timeout = \"20s\"");
        let (gate, stub) = played(plan).await;
        let work = gate.agent("bot").works("work").await;
        let (mut client, mut peer) = opened(&gate, &stub, &work).await;
        gate.advance(std::time::Duration::from_secs(15));
        echoes(&mut client, &mut peer, "x").await;
        gate.advance(std::time::Duration::from_secs(15));
        echoes(&mut client, &mut peer, "x").await;
        gate.advance(std::time::Duration::from_secs(20));
        is_told(&mut client, 1001, "idle").await;
        peer.closed().await;
    });
}
