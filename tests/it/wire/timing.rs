//! Heads that dribble, connections that say nothing.

use std::time::{Duration, Instant};

use super::harness::Gateway;

/// Longer than the limits below by as much as a slow machine may need.
const SOON: Duration = Duration::from_secs(8);

fn impatient() -> Gateway {
    Gateway::with_limits("header_timeout = \"300ms\"\nidle_timeout = \"1s\"")
}

fn good(gateway: &Gateway, path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {}\r\n\r\n",
        gateway.token
    )
}

/// Bytes that keep coming don't move the deadline: the answer is awaited between any two of them.
#[expect(
    clippy::disallowed_methods,
    reason = "how long it really takes is what is tested"
)]
#[test]
fn a_head_that_dribbles_is_refused_in_time() {
    let gateway = impatient();
    for sent_before in [false, true] {
        let mut client = gateway.connect();
        if sent_before {
            client.send(good(&gateway, "/before").as_bytes());
            assert_eq!(client.answer().unwrap().status, 200);
        }
        let started = Instant::now();
        client.send(b"GET /slow HTTP/1.1\r\nHost: h\r\n");
        while !client.waits(Duration::from_millis(20)) {
            client.send(b"X-A: b\r\n");
            assert!(started.elapsed() < SOON, "still no answer");
        }
        let answer = client.answer().unwrap();
        assert_eq!(answer.status, 408, "{}", answer.text());
        assert!(
            answer.text().contains("\"code\":\"timeout\""),
            "{}",
            answer.text()
        );
        assert!(answer.closes());
        assert!(client.ends());
    }
    let records = gateway.stop();
    let timeouts = records.iter().filter(|record| record["code"] == "timeout");
    assert_eq!(timeouts.count(), 2);
}

#[test]
fn a_silent_connection_ends_without_a_word() {
    let gateway = impatient();
    let mut client = gateway.connect();
    assert!(client.ends());
    let mut client = gateway.connect();
    client.send(good(&gateway, "/before").as_bytes());
    assert_eq!(client.answer().unwrap().status, 200);
    assert!(client.ends());
    assert_eq!(gateway.stop().len(), 1);
}

/// Many dribbling connections, and one that is served all the while.
#[test]
fn dribbling_connections_leave_others_served() {
    let gateway = Gateway::with_limits("header_timeout = \"2s\"");
    let mut slow: Vec<_> = (0..200).map(|_| gateway.connect()).collect();
    let mut client = gateway.connect();
    for byte in b"GET /slow HTTP/1.1\r\n" {
        for one in &mut slow {
            one.send(&[*byte]);
        }
        client.send(good(&gateway, "/fast").as_bytes());
        assert_eq!(client.answer().unwrap().status, 200);
    }
    for one in &mut slow {
        assert_eq!(one.answer().unwrap().status, 408);
        assert!(one.ends());
    }
    assert_eq!(gateway.upstream.lines("/slow").len(), 0);
}

/// A head that comes byte by byte, but in time, is one like any other.
#[test]
fn a_head_in_single_bytes() {
    let gateway = Gateway::start();
    let mut client = gateway.connect();
    for path in ["/1", "/2"] {
        for byte in good(&gateway, path).bytes() {
            client.send(&[byte]);
        }
        assert_eq!(client.answer().unwrap().text(), format!("GET {path}"));
    }
}

/// The refusal arrives although much of what was sent is never read.
#[test]
fn a_refusal_is_not_lost_to_a_reset() {
    let gateway = Gateway::start();
    for _ in 0..20 {
        let mut client = gateway.connect();
        client.send(b"GET / HTTP/1.1\n\n");
        client.send(&[b'x'; 256 << 10]);
        assert_eq!(client.answer().unwrap().status, 400);
        assert!(client.ends());
        // Nobody has said that the connection is reset: what is sent is still taken, and thrown away.
        assert!(client.send(b"x"));
        assert!(client.send(b"x"));
    }
}
