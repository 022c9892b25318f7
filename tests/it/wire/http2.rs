//! HTTP/2: frames by hand, for what no client library would send.

use std::time::Duration;

use tokio::time::timeout;

use super::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Fields, HEADERS, Outcome, Raw, block, get,
};
use super::harness::Gateway;

use Outcome::{Reset, Status};

#[test]
fn heads() {
    let gateway = Gateway::start();
    let authorization = format!("Bearer {}", gateway.token);
    let with = |more: &[(&'static str, &'static [u8])]| {
        let mut fields = get("h", "/x");
        fields.extend(more);
        fields
    };
    let path = |path: &'static str| get("h", path);
    let no_authority: Fields<'_> =
        vec![(":method", b"GET"), (":scheme", b"https"), (":path", b"/x")];
    let mut host_alone = no_authority.clone();
    host_alone.push(("host", b"h"));
    let mut two_paths = get("h", "/x");
    two_paths.insert(1, (":path", b"/y"));
    let mut late_pseudo = get("h", "/x");
    late_pseudo.extend([("a", b"b" as &[u8]), (":path", b"/y")]);
    let connect: Fields<'_> = vec![(":method", b"CONNECT"), (":authority", b"h:443")];
    let mut trace = path("/x");
    trace[0].1 = b"TRACE";
    let mut websocket: Fields<'_> = path("/x");
    websocket[0].1 = b"CONNECT";
    let mut other = websocket.clone();
    websocket.push((":protocol", b"websocket"));
    other.push((":protocol", b"connect-udp"));
    let cases: Vec<(&str, Fields<'_>, Outcome)> = vec![
        ("an ordinary one", path("/x"), Status(200)),
        (
            "host beside an equal authority",
            with(&[("host", b"h")]),
            Status(200),
        ),
        ("host instead of an authority", host_alone, Status(200)),
        ("no host at all", no_authority, Status(400)),
        (
            "host and authority differ",
            with(&[("host", b"other")]),
            Status(400),
        ),
        (
            "two hosts",
            with(&[("host", b"h"), ("host", b"h")]),
            Status(400),
        ),
        ("an authority with a user", get("me@h", "/x"), Status(400)),
        // The HTTP/2 engine drops a fragment before anybody could refuse it; it reaches nobody.
        ("a fragment", path("/x#/../y"), Status(200)),
        ("dots", path("/a/../b"), Status(400)),
        ("a dot", path("/./b"), Status(400)),
        ("encoded dots", path("/%2e%2e/b"), Status(400)),
        ("two slashes", path("//b"), Status(400)),
        ("an encoded slash", path("/a%2fb"), Status(400)),
        ("a backslash", path("/a\\b"), Status(400)),
        ("a path beyond ASCII", path("/\u{e9}"), Status(400)),
        ("a query beyond ASCII", path("/a?\u{e9}"), Status(400)),
        ("a star", path("*"), Status(400)),
        ("a blank in a path", path("/a b"), Reset),
        ("a path without a slash", path("x"), Reset),
        ("an empty path", path(""), Reset),
        ("two paths", two_paths, Reset),
        ("a pseudo-header behind headers", late_pseudo, Reset),
        ("CONNECT", connect, Status(400)),
        ("TRACE", trace, Status(400)),
        (
            "an extended CONNECT to what is no WebSocket",
            websocket,
            Status(400),
        ),
        ("an extended CONNECT to something else", other, Status(400)),
        ("TE: trailers", with(&[("te", b"trailers")]), Status(200)),
        ("another TE", with(&[("te", b"gzip")]), Reset),
        ("Connection", with(&[("connection", b"close")]), Reset),
        (
            "Transfer-Encoding",
            with(&[("transfer-encoding", b"chunked")]),
            Reset,
        ),
        ("Upgrade", with(&[("upgrade", b"h2c")]), Reset),
        ("Keep-Alive", with(&[("keep-alive", b"5")]), Reset),
        (
            "Proxy-Connection",
            with(&[("proxy-connection", b"x")]),
            Reset,
        ),
        ("a name in capitals", with(&[("X-A", b"b")]), Reset),
        ("a name with a blank", with(&[("x a", b"b")]), Reset),
        ("an empty name", with(&[("", b"b")]), Reset),
        (
            "a line end in a value",
            with(&[("x-a", b"b\r\nx-b: c")]),
            Reset,
        ),
        ("NUL in a value", with(&[("x-a", b"b\0")]), Reset),
        (
            "two credentials",
            with(&[("authorization", b"Bearer x")]),
            Status(400),
        ),
        (
            "a length without a body",
            with(&[("content-length", b"5")]),
            Reset,
        ),
        (
            "two lengths",
            with(&[("content-length", b"0"), ("content-length", b"0")]),
            Status(400),
        ),
        (
            "a length that is none",
            with(&[("content-length", b"+0")]),
            Reset,
        ),
    ];
    gateway.block_on(async {
        for (name, mut fields, expected) in cases {
            fields.push(("authorization", authorization.as_bytes()));
            // With and without TLS they are read alike.
            for mut raw in [Raw::connect(&gateway).await, Raw::plain(&gateway).await] {
                raw.frame(HEADERS, END_STREAM | END_HEADERS, 1, &block(&fields))
                    .await;
                let outcome = timeout(Duration::from_secs(10), raw.outcome()).await;
                let outcome = outcome.unwrap_or_else(|_| panic!("{name}: nothing happens"));
                assert_eq!(outcome, expected, "{name}");
            }
        }
    });
    for seen in gateway.upstream.all() {
        assert_eq!(seen.line(), "GET /x", "{seen:?}");
        assert_eq!(seen.values("host"), ["h"], "{seen:?}");
    }
}

#[test]
fn bodies() {
    let gateway = Gateway::start();
    let authorization = format!("Bearer {}", gateway.token);
    let post = |path: &'static str, length: &'static str| -> Fields<'_> {
        vec![
            (":method", b"POST"),
            (":scheme", b"https"),
            (":authority", b"h"),
            (":path", path.as_bytes()),
            ("content-length", length.as_bytes()),
            ("authorization", authorization.as_bytes()),
        ]
    };
    gateway.block_on(async {
        for (path, length, body, expected) in [
            ("/same", "5", "hello", Status(200)),
            ("/less", "6", "hello", Reset),
            ("/more", "4", "hello", Reset),
        ] {
            let mut raw = Raw::connect(&gateway).await;
            raw.frame(HEADERS, END_HEADERS, 1, &block(&post(path, length)))
                .await;
            raw.frame(DATA, END_STREAM, 1, body.as_bytes()).await;
            let outcome = timeout(Duration::from_secs(10), raw.outcome())
                .await
                .unwrap();
            assert_eq!(outcome, expected, "{path}");
        }
    });
    assert_eq!(gateway.upstream.lines("/"), ["POST /same hello"]);
}

/// Trailers have no say: whatever they claim, it reaches nobody.
#[test]
fn trailers() {
    let gateway = Gateway::start();
    let authorization = format!("Bearer {}", gateway.token);
    let mut head = get("h", "/t");
    head[0].1 = b"POST";
    head.push(("authorization", authorization.as_bytes()));
    let all: [(&str, &[u8]); 4] = [
        ("x-sum", b"1"),
        (":path", b"/other"),
        ("content-length", b"9"),
        ("portcullis-agent", b"root"),
    ];
    gateway.block_on(async {
        for trailer in all {
            let mut raw = Raw::connect(&gateway).await;
            raw.frame(HEADERS, END_HEADERS, 1, &block(&head)).await;
            raw.frame(DATA, 0, 1, b"hello").await;
            raw.frame(HEADERS, END_STREAM | END_HEADERS, 1, &block(&[trailer]))
                .await;
            let outcome = timeout(Duration::from_secs(10), raw.outcome()).await;
            assert_eq!(outcome.unwrap(), Status(200), "{trailer:?}");
        }
    });
    assert_eq!(gateway.upstream.lines("/"), ["POST /t hello"; 4]);
    for seen in gateway.upstream.all() {
        assert_eq!(seen.values("portcullis-agent"), ["bot"], "{seen:?}");
        assert!(seen.values("x-sum").is_empty(), "{seen:?}");
    }
}

/// RUSTSEC-2024-0332: header blocks that never end are cut off.
#[test]
fn rustsec_2024_0332_continuations_without_end() {
    let gateway = Gateway::start();
    gateway.block_on(async {
        let mut raw = Raw::connect(&gateway).await;
        raw.frame(HEADERS, END_STREAM, 1, &block(&get("h", "/x")))
            .await;
        let field = block(&[("x-a", &[b'b'; 4000])]);
        let flood = async {
            for _ in 0..10_000 {
                raw.frame(CONTINUATION, 0, 1, &field).await;
            }
            raw.outcome().await
        };
        let outcome = timeout(Duration::from_secs(30), flood).await.unwrap();
        assert_eq!(outcome, Reset);
    });
    assert!(gateway.upstream.all().is_empty());
}
