//! HTTP/2: frames by hand, for what no client library would send.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use portcullis::base::Clock;
use portcullis::tls::{ClientFiles, ClientStream, Connector};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::harness::Gateway;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Status(u16),
    /// The stream, or the connection, is over.
    Reset,
}

use Outcome::{Reset, Status};

struct Raw {
    stream: ClientStream<TcpStream>,
}

impl Raw {
    async fn connect(address: SocketAddr, ca: &Path) -> Self {
        let files = ClientFiles {
            ca: Some(ca.to_owned()),
            client: None,
        };
        let connector = Connector::open(&files, true, Clock::system()).unwrap();
        let stream = TcpStream::connect(address).await.unwrap();
        let stream = connector.connect("localhost", stream).await.unwrap();
        assert!(stream.is_http2());
        let mut raw = Self { stream };
        raw.stream
            .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            .await
            .unwrap();
        raw.frame(SETTINGS, 0, 0, b"").await;
        raw
    }

    async fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = length[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        // The other side may have closed already.
        let _ = self.stream.write_all(&frame).await;
        let _ = self.stream.flush().await;
    }

    /// What becomes of stream 1.
    async fn outcome(&mut self) -> Outcome {
        loop {
            let mut head = [0; 9];
            if self.stream.read_exact(&mut head).await.is_err() {
                return Reset;
            }
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; length as usize];
            self.stream.read_exact(&mut payload).await.unwrap();
            match head[3] {
                HEADERS => return Status(status(&payload)),
                RST_STREAM | GOAWAY => return Reset,
                _ => {}
            }
        }
    }
}

/// The status of a header block: the first field in it (RFC 7541, Appendix A for the indices).
fn status(mut block: &[u8]) -> u16 {
    while let [0x20..=0x3f, rest @ ..] = block {
        block = rest;
    }
    match block {
        [0x88, ..] => 200,
        [0x8c, ..] => 400,
        [0x8d, ..] => 404,
        _ => 0,
    }
}

/// Fields as literals that nobody indexes.
fn block(fields: &[(&str, &[u8])]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        string(&mut block, name.as_bytes());
        string(&mut block, value);
    }
    block
}

fn string(block: &mut Vec<u8>, bytes: &[u8]) {
    if bytes.len() < 127 {
        block.push(u8::try_from(bytes.len()).unwrap());
    } else {
        block.push(127);
        let mut rest = bytes.len() - 127;
        while rest >= 128 {
            block.push(0x80 | u8::try_from(rest % 128).unwrap());
            rest /= 128;
        }
        block.push(u8::try_from(rest).unwrap());
    }
    block.extend(bytes);
}

type Fields<'a> = Vec<(&'a str, &'a [u8])>;

fn get<'a>(authority: &'a str, path: &'a str) -> Fields<'a> {
    vec![
        (":method", b"GET"),
        (":scheme", b"https"),
        (":authority", authority.as_bytes()),
        (":path", path.as_bytes()),
    ]
}

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
            let connected = Raw::connect(gateway.secure_address, &gateway.ca);
            let mut raw = connected.await;
            fields.push(("authorization", authorization.as_bytes()));
            raw.frame(HEADERS, END_STREAM | END_HEADERS, 1, &block(&fields))
                .await;
            let outcome = timeout(Duration::from_secs(10), raw.outcome()).await;
            let outcome = outcome.unwrap_or_else(|_| panic!("{name}: nothing happens"));
            assert_eq!(outcome, expected, "{name}");
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
            let mut raw = Raw::connect(gateway.secure_address, &gateway.ca).await;
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
            let mut raw = Raw::connect(gateway.secure_address, &gateway.ca).await;
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
        let mut raw = Raw::connect(gateway.secure_address, &gateway.ca).await;
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
