//! Several requests on one connection: each gets its own answer, and nothing is one that was not meant as
//! one.

use super::case::{Closed, Open, case, run, served};
use super::harness::Gateway;

const HIDDEN: &str = "GET /smuggled HTTP/1.1\r\n$H$A\r\n";

fn get(path: &str, lines: &str) -> String {
    format!("GET $P/{path} HTTP/1.1\r\n$H{lines}\r\n")
}

fn good(path: &str) -> String {
    get(path, "$A")
}

fn post(path: &str, lines: &str, body: &str) -> String {
    format!("POST $P/{path} HTTP/1.1\r\n$H{lines}\r\n{body}")
}

#[test]
fn answers_stay_with_their_requests() {
    let chunked = "$ATransfer-Encoding: chunked\r\n";
    let three = [
        good("1"),
        post("2", "$AContent-Length: 2\r\n", "hi"),
        good("3"),
    ]
    .concat();
    let mixed = [
        good("1"),
        post("2", chunked, "2\r\nhi\r\n0\r\nA: b\r\n\r\n"),
        good("3"),
    ]
    .concat();
    let refused = [good("1"), get("2", ""), good("3")].concat();
    let fifty: String = (0..50).map(|_| good("1")).collect();
    let bad = format!("{}BAD\r\n\r\n{}", good("1"), good("3"));
    let folded = [good("1"), get("2", "$AX-A: b\r\n c\r\n"), good("3")].concat();
    let closing = [get("1", "$AConnection: close\r\n"), good("2")].concat();
    let cases = [
        served("three", &three, &["GET $P/1", "POST $P/2 hi", "GET $P/3"]),
        served(
            "three, one of them chunked",
            &mixed,
            &["GET $P/1", "POST $P/2 hi", "GET $P/3"],
        ),
        served("fifty", &fifty, &["GET $P/1"; 50]),
        case(
            "one of three without a token",
            &refused,
            &[200, 401, 200],
            Open,
            &["GET $P/1", "GET $P/3"],
        ),
        case(
            "a bad one after a good one",
            &bad,
            &[200, 400],
            Closed,
            &["GET $P/1"],
        ),
        case(
            "a bad one between good ones",
            &folded,
            &[200, 400],
            Closed,
            &["GET $P/1"],
        ),
        case(
            "none after the last",
            &closing,
            &[200],
            Closed,
            &["GET $P/1"],
        ),
        case(
            "a stray line end behind a body",
            [post("1", "$AContent-Length: 2\r\n", "hi\r\n"), good("2")].concat(),
            &[200, 400],
            Closed,
            &["POST $P/1 hi"],
        ),
        case(
            "a length that is too short leaves rubbish",
            [post("1", "$AContent-Length: 2\r\n", "hi:"), good("2")].concat(),
            &[200, 400],
            Closed,
            &["POST $P/1 hi"],
        ),
        case(
            "or a method that nobody knows",
            [post("1", "$AContent-Length: 2\r\n", "hi!"), good("2")].concat(),
            &[200, 404],
            Open,
            &["POST $P/1 hi"],
        ),
    ];
    run(Gateway::start(), &cases);
}

#[test]
fn what_follows_is_never_more_than_the_next_request() {
    let upgrade = "$AConnection: Upgrade\r\nUpgrade: websocket\r\n";
    let h2c =
        "$AConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n";
    let cases = [
        served(
            "CVE-2026-2833: a request behind an Upgrade is a request of its own",
            [get("1", upgrade), good("2")].concat(),
            &["GET $P/1", "GET $P/2"],
        ),
        case(
            "CVE-2026-2833: and is judged like any other",
            [get("1", upgrade), get("2", "")].concat(),
            &[200, 401],
            Open,
            &["GET $P/1"],
        ),
        case(
            "CVE-2026-2833: other bytes behind an Upgrade are refused",
            [get("1", upgrade), "\u{81}\u{5}hello".to_owned()].concat(),
            &[200, 400],
            Closed,
            &["GET $P/1"],
        ),
        served(
            "h2c is not taken up",
            [get("1", h2c), good("2")].concat(),
            &["GET $P/1", "GET $P/2"],
        ),
        case(
            "a preface behind h2c",
            [get("1", h2c), "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned()].concat(),
            &[200, 400],
            Closed,
            &["GET $P/1"],
        ),
        served(
            "CVE-2026-58055: an Upgrade with a length has a body",
            [
                post("1", &format!("{upgrade}Content-Length: 5\r\n"), "hello"),
                good("2"),
            ]
            .concat(),
            &["POST $P/1 hello", "GET $P/2"],
        ),
        case(
            "CVE-2025-4366: a body behind an early refusal",
            post("1", "Content-Length: 100000\r\n", HIDDEN),
            &[401],
            Closed,
            &[],
        ),
        case(
            "CVE-2025-4366: a whole body behind an early refusal",
            post("1", "Content-Length: 5\r\n", "hello"),
            &[401],
            Open,
            &[],
        ),
        case(
            "CVE-2025-4366: a chunked body behind an early refusal",
            post(
                "1",
                "Transfer-Encoding: chunked\r\n",
                &format!("ffff\r\n{HIDDEN}"),
            ),
            &[401],
            Closed,
            &[],
        ),
        case(
            "CVE-2024-24791: a body that was not asked for",
            post(
                "1",
                "Expect: 100-continue\r\nContent-Length: 100000\r\n",
                HIDDEN,
            ),
            &[401],
            Closed,
            &[],
        ),
        case(
            "CVE-2024-24791: a whole body that was not asked for",
            post(
                "1",
                "Expect: 100-continue\r\nContent-Length: 5\r\n",
                "hello",
            ),
            &[401],
            Open,
            &[],
        ),
        case(
            "an expected body",
            post(
                "1",
                "$AExpect: 100-continue\r\nContent-Length: 5\r\n",
                "hello",
            ),
            &[100, 200],
            Open,
            &["POST $P/1 hello"],
        ),
        case(
            "an expectation in HTTP/1.0",
            "POST $P/1 HTTP/1.0\r\n$H$AExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
            &[200],
            Closed,
            &["POST $P/1 hello"],
        ),
        case(
            "another expectation",
            get("1", "$AExpect: 100\r\n"),
            &[400],
            Closed,
            &[],
        ),
        case(
            "two expectations",
            get("1", "$AExpect: 100-continue\r\nExpect: 100-continue\r\n"),
            &[400],
            Closed,
            &[],
        ),
    ];
    run(Gateway::start(), &cases);
}

#[test]
fn answers_without_a_body() {
    let gateway = Gateway::start();
    let mut client = gateway.connect();
    let head = |method: &str, path: &str| {
        format!(
            "{method} {path} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {}\r\n\r\n",
            gateway.token
        )
    };
    client.send(
        [
            head("HEAD", "/head"),
            head("GET", "/no-content"),
            head("GET", "/last"),
        ]
        .concat()
        .as_bytes(),
    );
    client.head_only = true;
    let answer = client.answer().unwrap();
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    assert!(
        answer.head.contains("content-length: 10\r\n"),
        "{}",
        answer.head
    );
    assert_eq!(client.answer().unwrap().status, 204);
    assert_eq!(client.answer().unwrap().text(), "GET /last");
}

/// HAProxy passed on a length whose bytes never came, and the next request became them.
#[test]
fn cve_2026_33555_a_body_that_never_comes() {
    let gateway = Gateway::start();
    for body in ["", "hell"] {
        let mut client = gateway.connect();
        let head = format!(
            "POST /broken HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {}\r\nContent-Length: 5\r\n\r\n{body}",
            gateway.token
        );
        client.send(head.as_bytes());
        client.stop_sending();
        let answer = client.answer().unwrap();
        assert_eq!(answer.status, 400, "{}", answer.text());
        assert!(answer.closes());
        assert!(client.ends());
    }
    let mut client = gateway.connect();
    let next = format!(
        "GET /next HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {}\r\n\r\n",
        gateway.token
    );
    client.send(next.as_bytes());
    assert_eq!(client.answer().unwrap().text(), "GET /next");
    assert_eq!(gateway.upstream.lines("/"), ["GET /next"]);
}

/// A client that has said all may close its half at once.
#[test]
fn half_a_close_is_not_a_hang_up() {
    let gateway = Gateway::start();
    let mut client = gateway.connect();
    let get = |path: &str| {
        format!(
            "GET {path} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {}\r\n\r\n",
            gateway.token
        )
    };
    client.send([get("/1"), get("/2")].concat().as_bytes());
    client.stop_sending();
    assert_eq!(client.answer().unwrap().text(), "GET /1");
    assert_eq!(client.answer().unwrap().text(), "GET /2");
    assert!(client.ends());
}
