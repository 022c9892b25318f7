mod served;

use std::io;

use jiff::Timestamp;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

use super::stream::READ_AHEAD;
use super::*;
use crate::base::ManualClock;
use crate::model::DenyReason;

const HEAD_PATIENCE: Duration = Duration::from_secs(10);
const IDLE_PATIENCE: Duration = Duration::from_secs(60);

fn limits() -> InboundLimits {
    InboundLimits {
        header_bytes: 16 << 10,
        header_count: 100,
        uri_bytes: 8 << 10,
        header_timeout: HEAD_PATIENCE,
        idle_timeout: IDLE_PATIENCE,
        body_idle_timeout: HEAD_PATIENCE,
        request_timeout: IDLE_PATIENCE,
        connections: 1,
        connections_per_source: 1,
        streams_per_connection: 1,
        bad_tokens_per_source: 1,
        body_peek_bytes: 1,
    }
}

/// The client's end, ours, and the clock.
fn connected() -> (DuplexStream, Strict<DuplexStream>, ManualClock) {
    let (client, server) = duplex(64 << 10);
    let (clock, hands) = Clock::manual(Timestamp::UNIX_EPOCH);
    (client, Strict::new(server, &clock, &limits()), hands)
}

/// What one read of a large buffer gives, as hyper makes it.
async fn read(strict: &mut Strict<DuplexStream>) -> String {
    let mut space = vec![0; 32 << 10];
    let count = strict.read(&mut space).await.unwrap();
    String::from_utf8_lossy(&space[..count]).into_owned()
}

/// What each of several reads gives, when all of `sent` is there at once and the client then ends.
async fn check(sent: &str, expected: &[&str]) {
    let (mut client, mut strict, _hands) = connected();
    client.write_all(sent.as_bytes()).await.unwrap();
    client.shutdown().await.unwrap();
    for expected in expected {
        assert_eq!(read(&mut strict).await, *expected, "{sent:?}");
    }
    assert_eq!(read(&mut strict).await, "", "{sent:?}");
    assert!(strict.verdict().take().is_none(), "{sent:?}");
}

const GET: &str = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n";
const POST: &str = "POST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello";
const CHUNKED: &str =
    "PUT /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";

#[tokio::test]
async fn one_request_at_a_time() {
    check("", &[]).await;
    check(GET, &[GET]).await;
    check(&format!("{GET}{GET}"), &[GET, GET]).await;
    check(&format!("{POST}{GET}"), &[POST, GET]).await;
    check(&format!("{CHUNKED}{POST}{GET}"), &[CHUNKED, POST, GET]).await;
    check(&format!("{GET}{CHUNKED}{POST}"), &[GET, CHUNKED, POST]).await;
}

#[tokio::test]
async fn a_request_comes_in_pieces() {
    for request in [GET, POST, CHUNKED] {
        let (mut client, mut strict, _hands) = connected();
        let mut seen = String::new();
        for byte in request.bytes() {
            client.write_all(&[byte]).await.unwrap();
            if let Poll::Ready(piece) = polled(read(&mut strict)).await {
                seen.push_str(&piece);
            }
        }
        assert_eq!(seen, request);
        client.write_all(GET.as_bytes()).await.unwrap();
        assert_eq!(read(&mut strict).await, GET);
        assert!(strict.held.is_empty());
        assert_eq!(
            strict.held.capacity(),
            0,
            "an idle connection keeps no buffer"
        );
    }
}

/// Polls once.
async fn polled<T>(future: impl Future<Output = T>) -> Poll<T> {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await
}

#[tokio::test]
async fn a_head_that_does_not_fit_is_handed_over_in_parts() {
    let (mut client, mut strict, _hands) = connected();
    let head = format!(
        "GET /a HTTP/1.1\r\nHost: h\r\nA: {}\r\n\r\n",
        "b".repeat(10_000)
    );
    client.write_all(head.as_bytes()).await.unwrap();
    client.write_all(GET.as_bytes()).await.unwrap();
    let mut seen = Vec::new();
    while seen.len() < head.len() {
        let mut space = [0; 100];
        let count = strict.read(&mut space).await.unwrap();
        seen.extend_from_slice(&space[..count]);
    }
    assert_eq!(seen, head.as_bytes());
    assert_eq!(read(&mut strict).await, GET);
}

async fn refused(sent: &str, reason: DenyReason) {
    let (mut client, mut strict, _hands) = connected();
    client.write_all(sent.as_bytes()).await.unwrap();
    client.shutdown().await.unwrap();
    let verdict = strict.verdict();
    let good = sent.matches(GET).count().min(1);
    for _ in 0..good {
        assert_eq!(read(&mut strict).await, GET);
        assert!(verdict.take().is_none(), "not before it is asked for");
    }
    assert_eq!(read(&mut strict).await.as_bytes(), HARMLESS);
    assert_eq!(verdict.take().map(|refusal| refusal.reason()), Some(reason));
    assert_eq!(read(&mut strict).await, "", "nothing after it is read");
    assert!(verdict.take().is_none());
}

#[tokio::test]
async fn a_bad_head_is_refused_in_its_turn() {
    let malformed = DenyReason::RequestMalformed;
    refused("GET / HTTP/1.1\n\n", malformed).await;
    refused(&format!("{GET}BAD\r\n\r\n"), malformed).await;
    refused("GET / HT", malformed).await;
    refused(&format!("{GET}GET / HTTP/1.1\r\nHo"), malformed).await;
    refused(&"a".repeat(20_000), DenyReason::TooLarge).await;
}

#[tokio::test]
async fn a_bad_chunk_breaks_the_body_off() {
    let head = "PUT /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    for body in ["5;x\r\nhello", "5\r\nhelloXX", "zz"] {
        let (mut client, mut strict, _hands) = connected();
        client
            .write_all(format!("{head}{body}{GET}").as_bytes())
            .await
            .unwrap();
        assert_eq!(read(&mut strict).await, head);
        let mut space = [0; 100];
        for _ in 0..2 {
            let error = strict.read(&mut space).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{body:?}");
        }
        assert!(strict.into_rest().unread);
    }
}

#[tokio::test]
async fn an_idle_connection_ends_without_a_word() {
    for before in ["", GET] {
        let (mut client, mut strict, hands) = connected();
        client.write_all(before.as_bytes()).await.unwrap();
        if !before.is_empty() {
            assert_eq!(read(&mut strict).await, before);
        }
        assert!(polled(read(&mut strict)).await.is_pending());
        hands.advance(IDLE_PATIENCE - Duration::from_secs(1));
        assert!(polled(read(&mut strict)).await.is_pending());
        hands.advance(Duration::from_secs(1));
        assert_eq!(read(&mut strict).await, "");
        assert!(strict.verdict().take().is_none());
    }
}

/// What waits for a quiet connection to be woken sees.
async fn woken(strict: &mut Strict<DuplexStream>) -> Poll<io::Result<()>> {
    std::future::poll_fn(|context| Poll::Ready(strict.poll_woken(context))).await
}

#[tokio::test]
async fn a_connection_is_quiet_between_requests_alone() {
    let (mut client, mut strict, hands) = connected();
    let verdict = strict.verdict();
    for request in [GET, POST, CHUNKED] {
        assert!(polled(read(&mut strict)).await.is_pending());
        assert!(!verdict.is_quiet());
        hands.advance(QUIET);
        assert!(polled(read(&mut strict)).await.is_pending());
        assert!(verdict.is_quiet());
        assert!(woken(&mut strict).await.is_pending());
        let (first, second) = request.split_at(20);
        client.write_all(first.as_bytes()).await.unwrap();
        assert!(matches!(woken(&mut strict).await, Poll::Ready(Ok(()))));
        // In the middle of a head it is not.
        hands.advance(QUIET);
        assert!(polled(read(&mut strict)).await.is_pending());
        assert!(!verdict.is_quiet());
        client.write_all(second.as_bytes()).await.unwrap();
        assert_eq!(read(&mut strict).await, request);
        assert!(!verdict.is_quiet());
    }
}

#[tokio::test]
async fn a_head_that_wakes_has_its_time_from_then_on() {
    let (mut client, mut strict, hands) = connected();
    assert!(polled(read(&mut strict)).await.is_pending());
    hands.advance(IDLE_PATIENCE / 2);
    assert!(polled(read(&mut strict)).await.is_pending());
    client.write_all(b"GET").await.unwrap();
    assert!(woken(&mut strict).await.is_ready());
    hands.advance(HEAD_PATIENCE - Duration::from_secs(1));
    assert!(polled(read(&mut strict)).await.is_pending());
    hands.advance(Duration::from_secs(1));
    assert_eq!(read(&mut strict).await.as_bytes(), HARMLESS);
}

#[tokio::test]
async fn a_quiet_connection_ends_as_an_idle_one() {
    for gone in [false, true] {
        let (mut client, mut strict, hands) = connected();
        assert!(polled(read(&mut strict)).await.is_pending());
        hands.advance(QUIET);
        assert!(polled(read(&mut strict)).await.is_pending());
        assert!(woken(&mut strict).await.is_pending());
        if gone {
            client.shutdown().await.unwrap();
        } else {
            hands.advance(IDLE_PATIENCE - QUIET);
        }
        assert!(matches!(woken(&mut strict).await, Poll::Ready(Ok(()))));
        assert_eq!(read(&mut strict).await, "");
        assert!(strict.verdict().take().is_none());
    }
}

#[tokio::test]
async fn what_is_not_written_yet_is_not_given_up() {
    let (mut client, mut strict, hands) = connected();
    client.write_all(GET.as_bytes()).await.unwrap();
    assert_eq!(read(&mut strict).await, GET);
    let answer = vec![b'a'; 1 << 20];
    assert!(polled(strict.write_all(&answer)).await.is_pending());
    assert!(polled(read(&mut strict)).await.is_pending());
    hands.advance(QUIET);
    assert!(polled(read(&mut strict)).await.is_pending());
    assert!(!strict.verdict().is_quiet());
    client.read_exact(&mut [0; 64 << 10]).await.unwrap();
    strict.write_all(b"a").await.unwrap();
    strict.flush().await.unwrap();
    hands.advance(QUIET);
    assert!(polled(read(&mut strict)).await.is_pending());
    assert!(strict.verdict().is_quiet());
}

#[tokio::test]
async fn a_head_has_its_time_from_its_first_byte_on() {
    let (mut client, mut strict, hands) = connected();
    assert!(polled(read(&mut strict)).await.is_pending());
    hands.advance(IDLE_PATIENCE / 2);
    // A byte each second is no sign of good will.
    for byte in GET.bytes().take(10) {
        client.write_all(&[byte]).await.unwrap();
        assert!(polled(read(&mut strict)).await.is_pending());
        hands.advance(Duration::from_secs(1));
    }
    assert_eq!(read(&mut strict).await.as_bytes(), HARMLESS);
    let refusal = strict.verdict().take().unwrap();
    assert_eq!(refusal.reason(), DenyReason::Timeout);
    assert!(strict.into_rest().unread);
}

#[tokio::test]
async fn a_client_that_has_gone_is_noticed_while_it_is_answered() {
    let (mut client, mut strict, hands) = connected();
    client.write_all(GET.as_bytes()).await.unwrap();
    assert_eq!(read(&mut strict).await, GET);
    strict.flush().await.unwrap();
    client.shutdown().await.unwrap();
    strict.flush().await.unwrap();
    // What moves goes on.
    for _ in 0..3 {
        hands.advance(HEAD_PATIENCE - Duration::from_secs(1));
        strict.write_all(b"x").await.unwrap();
        strict.flush().await.unwrap();
    }
    hands.advance(HEAD_PATIENCE);
    strict.flush().await.unwrap_err();
}

#[tokio::test]
async fn a_client_that_only_stops_sending_is_answered() {
    let (mut client, mut strict, _hands) = connected();
    client
        .write_all(format!("{GET}{POST}").as_bytes())
        .await
        .unwrap();
    client.shutdown().await.unwrap();
    for expected in [GET, POST, ""] {
        assert_eq!(read(&mut strict).await, expected);
        strict.flush().await.unwrap();
    }
    assert!(!strict.into_rest().unread);
}

#[tokio::test]
async fn what_comes_while_an_answer_is_on_its_way_is_bounded() {
    let (mut client, mut strict, _hands) = connected();
    client.write_all(GET.as_bytes()).await.unwrap();
    assert_eq!(read(&mut strict).await, GET);
    client.write_all(&[b'x'; 32 << 10]).await.unwrap();
    for _ in 0..100 {
        strict.flush().await.unwrap();
    }
    assert!(strict.held.len() < 2 * READ_AHEAD);
    assert!(strict.into_rest().unread);
}

#[test]
fn the_harmless_request_is_one() {
    let limits = HeadLimits::new(&limits());
    let read = HeadReader::default().read(HARMLESS, &limits);
    let framing = Framing::None;
    let length = HARMLESS.len();
    assert_eq!(read, Ok(Some(Head { length, framing })));
}

/// CVE-2026-2833: what stands behind an upgrade is nobody's before the upgrade is agreed on.
#[tokio::test]
async fn what_stands_behind_a_request_for_another_protocol_is_held_and_given_back() {
    let upgrade = "GET /a HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let (mut client, mut strict, _hands) = connected();
    let sent = format!("{upgrade}first");
    client.write_all(sent.as_bytes()).await.unwrap();
    assert_eq!(read(&mut strict).await, upgrade);
    client.write_all(b", second").await.unwrap();
    // hyper flushes while it waits for the answer, which is when the client is looked after.
    strict.flush().await.unwrap();
    strict
        .write_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
        .await
        .unwrap();
    let rest = strict.into_rest();
    assert_eq!(&rest.held[..], b"first, second");
}
