//! Clients that ask for work without end, or do not finish what they begin, over HTTP/2: the connection
//! ends, with a reason where that can be said, and others are served all the while.

use std::time::Duration;

use tokio::time::timeout;

use super::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, Outcome, PING, PREFACE, PRIORITY,
    RST_STREAM, Raw, SETTINGS, block, frame, get,
};
use super::harness::Gateway;

/// What works takes less.
const SOON: Duration = Duration::from_secs(20);

const NO_ERROR: u32 = 0;
const REFUSED_STREAM: u32 = 7;
const ENHANCE_YOUR_CALM: u32 = 11;

/// No client that works sends so many frames that bring nothing.
const MANY: usize = 20_000;

fn ask(gateway: &Gateway, path: &str) -> Vec<u8> {
    let authorization = format!("Bearer {}", gateway.token);
    let mut fields = get("h", path);
    fields.push(("authorization", authorization.as_bytes()));
    block(&fields)
}

/// Another client is served.
async fn serves(gateway: &Gateway, path: &str) {
    let mut other = Raw::connect(gateway).await;
    let head = ask(gateway, path);
    other
        .frame(HEADERS, END_STREAM | END_HEADERS, 1, &head)
        .await;
    let outcome = timeout(SOON, other.outcome()).await;
    assert_eq!(outcome.expect("an answer"), Outcome::Status(200), "{path}");
}

/// Sends `frames` again and again, reading nothing, until they are no longer taken; then says with which
/// reason the connection ended, if it was told.
async fn floods(mut raw: Raw, frames: &[u8], most: usize) -> Option<u32> {
    let sending = async {
        // Many at once, as a flood comes.
        let burst = frames.repeat(50);
        for _ in 0..most / 50 {
            if !raw.bytes(&burst).await {
                break;
            }
        }
        raw.goodbye().await
    };
    timeout(SOON, sending).await.expect("the connection ends")
}

/// A flood of what brings nothing ends the connection. Its reason gets lost only where the kernel has
/// thrown it away with what nobody read (RFC 1122 §4.2.2.13).
#[test]
fn floods_end_the_connection_and_no_other() {
    let gateway = Gateway::start();
    let priority = [0, 0, 0, 0, 15];
    let kinds: [(&str, Vec<u8>); 5] = [
        ("settings", frame(SETTINGS, 0, 0, b"")),
        ("pings", frame(PING, 0, 0, &[7; 8])),
        ("priorities", frame(PRIORITY, 0, 1, &priority)),
        ("frames of no kind", frame(0xee, 0, 0, b"x")),
        ("empty data", frame(DATA, 0, 1, b"")),
    ];
    gateway.block_on(async {
        for (number, (name, flood)) in kinds.into_iter().enumerate() {
            for plain in [false, true] {
                let mut raw = if plain {
                    Raw::plain(&gateway).await
                } else {
                    Raw::connect(&gateway).await
                };
                // A stream that data can be for.
                let mut head = get("h", "/x");
                head[0].1 = b"POST";
                raw.frame(HEADERS, END_HEADERS, 1, &block(&head)).await;
                let reason = floods(raw, &flood, MANY).await;
                assert!(
                    reason.is_none_or(|reason| reason == ENHANCE_YOUR_CALM),
                    "{name}: {reason:?}"
                );
            }
            serves(&gateway, &format!("/after/{number}")).await;
        }
    });
    assert_eq!(gateway.upstream.lines("/x").len(), 0);
}

/// One that reads is told why.
#[test]
fn a_flood_is_told_why_it_is_ended() {
    let gateway = Gateway::start();
    gateway.block_on(async {
        for flood in [frame(SETTINGS, 0, 0, b""), frame(PING, 0, 0, &[7; 8])] {
            let mut raw = Raw::connect(&gateway).await;
            let told = async {
                for _ in 0..MANY {
                    raw.bytes(&flood).await;
                    // Each is answered until there are too many.
                    match raw.next().await {
                        Some(frame) if frame.kind == super::frames::GOAWAY => {
                            return frame.reason();
                        }
                        Some(_) => {}
                        None => panic!("the connection ends without a word"),
                    }
                }
                panic!("nobody minds");
            };
            let told = timeout(SOON, told).await.expect("an end");
            assert_eq!(told, ENHANCE_YOUR_CALM);
        }
    });
}

/// CVE-2023-44487: streams that are opened and reset, so that they never count against the limit.
#[test]
fn cve_2023_44487_rapid_resets() {
    let gateway = Gateway::start();
    gateway.block_on(async {
        let head = ask(&gateway, "/rapid");
        for at_once in [1, 50] {
            let mut raw = Raw::connect(&gateway).await;
            let flood = async {
                let mut stream = 1;
                let mut sent = 0;
                while sent < MANY {
                    let mut bytes = Vec::new();
                    for _ in 0..at_once {
                        bytes.extend(frame(HEADERS, END_STREAM | END_HEADERS, stream, &head));
                        bytes.extend(frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]));
                        stream += 2;
                        sent += 1;
                    }
                    if !raw.bytes(&bytes).await {
                        break;
                    }
                }
                (sent, raw.goodbye().await)
            };
            let (sent, reason) = timeout(SOON, flood).await.expect("the connection ends");
            assert!(sent < MANY, "{at_once}: all {sent} were taken");
            assert!(
                reason.is_none_or(|reason| reason == ENHANCE_YOUR_CALM),
                "{at_once}: {reason:?}"
            );
            serves(&gateway, "/after").await;
        }
    });
}

/// Who gives up a hundred streams at once, as agents do that stop, is no flood.
#[test]
fn a_hundred_streams_can_be_given_up_at_once() {
    let gateway = Gateway::start();
    gateway.block_on(async {
        let mut raw = Raw::connect(&gateway).await;
        let head = ask(&gateway, "/given-up");
        let mut post = get("h", "/given-up");
        post[0].1 = b"POST";
        let authorization = format!("Bearer {}", gateway.token);
        post.push(("authorization", authorization.as_bytes()));
        for round in 0..5 {
            let streams: Vec<u32> = (0..100).map(|n| round * 200 + n * 2 + 1).collect();
            for stream in &streams {
                raw.frame(HEADERS, END_HEADERS, *stream, &block(&post))
                    .await;
            }
            // What the engine has looked at it has taken on.
            raw.frame(PING, 0, 0, &[7; 8]).await;
            raw.next_of(PING).await;
            for stream in &streams {
                raw.frame(RST_STREAM, 0, *stream, &[0, 0, 0, 8]).await;
            }
            raw.frame(PING, 0, 0, &[7; 8]).await;
            raw.next_of(PING).await;
        }
        raw.frame(HEADERS, END_STREAM | END_HEADERS, 2001, &head)
            .await;
        let answered = async { while raw.next_of(HEADERS).await.stream != 2001 {} };
        timeout(SOON, answered).await.expect("an answer");
    });
}

/// gRPC clients send a ping for every burst of data that they are sent.
#[test]
fn who_is_served_all_the_while_may_ping_all_the_while() {
    let gateway = Gateway::start();
    gateway.block_on(async {
        let mut raw = Raw::connect(&gateway).await;
        let head = ask(&gateway, "/measured");
        let measures = async {
            for round in 0..40 {
                let mut bytes = Vec::new();
                for n in 0..50 {
                    let stream = round * 100 + n * 2 + 1;
                    bytes.extend(frame(HEADERS, END_STREAM | END_HEADERS, stream, &head));
                    bytes.extend(frame(PING, 0, 0, &[7; 8]));
                }
                assert!(raw.bytes(&bytes).await, "round {round}");
                for _ in 0..50 {
                    raw.next_of(DATA).await;
                }
            }
        };
        timeout(SOON, measures).await.expect("all are answered");
    });
}

#[test]
fn streams_over_the_limit_are_refused() {
    let gateway = Gateway::with_limits("streams_per_connection = 3");
    gateway.block_on(async {
        let mut raw = Raw::connect(&gateway).await;
        let settings = raw.next_of(SETTINGS).await;
        let told: Vec<_> = settings.payload.chunks(6).map(<[u8]>::to_vec).collect();
        assert!(told.contains(&vec![0, 3, 0, 0, 0, 3]), "{told:?}");
        let authorization = format!("Bearer {}", gateway.token);
        let mut post = get("h", "/x");
        post[0].1 = b"POST";
        post.push(("authorization", authorization.as_bytes()));
        for stream in [1, 3, 5, 7] {
            raw.frame(HEADERS, END_HEADERS, stream, &block(&post)).await;
        }
        let reset = timeout(SOON, raw.next_of(RST_STREAM)).await.unwrap();
        assert_eq!((reset.stream, reset.reason()), (7, REFUSED_STREAM));
        // As soon as one is given up there is room again.
        raw.frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]).await;
        let head = ask(&gateway, "/room");
        raw.frame(HEADERS, END_STREAM | END_HEADERS, 9, &head).await;
        let answered = async { while raw.next_of(HEADERS).await.stream != 9 {} };
        timeout(SOON, answered).await.expect("an answer");
    });
    gateway.upstream.request("/room");
}

#[test]
fn what_is_begun_over_http2_has_to_be_finished() {
    let gateway = Gateway::with_limits("header_timeout = \"300ms\"\nidle_timeout = \"1h\"");
    let part = |frame: &[u8], length: usize| frame[..length].to_vec();
    let head = ask(&gateway, "/slow");
    let whole = frame(HEADERS, END_STREAM | END_HEADERS, 1, &head);
    let open = frame(HEADERS, END_STREAM, 1, &head);
    let settings = frame(SETTINGS, 0, 0, b"");
    let begun = |rest: Vec<u8>| [PREFACE.to_vec(), settings.clone(), rest].concat();
    let cases = [
        ("nothing", Vec::new()),
        ("a part of the preface", part(PREFACE, 10)),
        ("a part of a frame's head", begun(part(&whole, 4))),
        ("a part of a head", begun(part(&whole, 30))),
        ("a head without its end", begun(open)),
    ];
    gateway.block_on(async {
        for (name, bytes) in &cases {
            let mut raw = Raw::silent(&gateway).await;
            raw.bytes(bytes).await;
            let ended = timeout(SOON, raw.goodbye()).await;
            let reason = ended.unwrap_or_else(|_| panic!("{name}: still open"));
            assert_eq!(reason, Some(ENHANCE_YOUR_CALM), "{name}");
        }
        // Without TLS, where both protocols are spoken: undecided, and decided.
        let mut raw = Raw::plain_and_silent(&gateway).await;
        raw.bytes(&part(PREFACE, 10)).await;
        let ended = timeout(SOON, raw.goodbye()).await;
        assert_eq!(ended.expect("an end"), None);
        let mut raw = Raw::plain_and_silent(&gateway).await;
        raw.bytes(&cases[4].1).await;
        let ended = timeout(SOON, raw.goodbye()).await;
        assert_eq!(ended.expect("an end"), Some(ENHANCE_YOUR_CALM));
    });
    assert_eq!(gateway.upstream.all().len(), 0);
}

/// A head that dribbles is not finished by dribbling on.
#[test]
fn a_head_that_dribbles_over_http2_is_ended_in_time() {
    let gateway = Gateway::with_limits("header_timeout = \"300ms\"");
    gateway.block_on(async {
        let mut raw = Raw::connect(&gateway).await;
        raw.frame(HEADERS, END_STREAM, 1, &ask(&gateway, "/slow"))
            .await;
        let dribbles = async {
            let field = block(&[("x-a", b"b")]);
            while raw.frame(CONTINUATION, 0, 1, &field).await {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(SOON, dribbles).await.expect("an end");
    });
    assert_eq!(gateway.upstream.all().len(), 0);
}

#[test]
fn a_connection_without_streams_ends_in_time_and_one_with_a_stream_does_not() {
    let gateway = Gateway::with_limits("idle_timeout = \"400ms\"\nbody_idle_timeout = \"1h\"");
    gateway.block_on(async {
        let mut busy = Raw::connect(&gateway).await;
        let authorization = format!("Bearer {}", gateway.token);
        let mut post = get("h", "/busy");
        post[0].1 = b"POST";
        post.push(("authorization", authorization.as_bytes()));
        busy.frame(HEADERS, END_HEADERS, 1, &block(&post)).await;

        let mut used = Raw::connect(&gateway).await;
        let head = ask(&gateway, "/used");
        used.frame(HEADERS, END_STREAM | END_HEADERS, 1, &head)
            .await;
        assert_eq!(used.next_of(HEADERS).await.stream, 1);
        for mut idle in [used, Raw::connect(&gateway).await] {
            let ended = timeout(SOON, idle.goodbye()).await;
            assert_eq!(ended.expect("an end"), Some(NO_ERROR));
        }
        busy.frame(DATA, END_STREAM, 1, b"at last").await;
        assert_eq!(
            timeout(SOON, busy.outcome()).await,
            Ok(Outcome::Status(200))
        );
    });
    assert_eq!(gateway.upstream.request("/busy").body, b"at last");
}

/// A header list over the limit is refused, and the connection goes on.
#[test]
fn a_header_list_over_the_limit() {
    let gateway = Gateway::with_limits("header_bytes = \"8KiB\"\nheader_count = 12");
    gateway.block_on(async {
        let authorization = format!("Bearer {}", gateway.token);
        let with = |count: usize, length: usize| {
            let mut fields = get("h", "/x");
            fields.push(("authorization", authorization.as_bytes()));
            let value: &'static [u8] = vec![b'b'; length].leak();
            fields.extend((0..count).map(|_| ("x-a", value)));
            block(&fields)
        };
        for (count, length, status) in [(1, 6000, 200), (1, 9000, 431), (10, 1, 200), (40, 1, 431)]
        {
            let mut raw = Raw::connect(&gateway).await;
            raw.frame(HEADERS, END_STREAM | END_HEADERS, 1, &with(count, length))
                .await;
            let head = timeout(SOON, raw.next_of(HEADERS)).await.unwrap();
            let text = String::from_utf8_lossy(&head.payload).into_owned();
            let own = super::frames::status(&head.payload);
            let shown = if own == 0 { 431 } else { own };
            assert_eq!(shown, status, "{count} of {length}: {text:?}");
        }
    });
    assert_eq!(gateway.upstream.lines("/x").len(), 2);
}
