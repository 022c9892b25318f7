//! Chunked bodies: each way to write one that somebody else reads otherwise.

use super::case::{Case, refused, run, served};
use super::harness::Gateway;

fn chunked(body: &str) -> Vec<u8> {
    format!("POST $P/a HTTP/1.1\r\n$H$ATransfer-Encoding: chunked\r\n\r\n{body}").into_bytes()
}

fn good(name: &str, body: &str, seen: &str) -> Case {
    let seen = format!("POST $P/a {seen}");
    served(name, chunked(body), &[seen.trim_end_matches(' ')])
}

/// The request never becomes a whole one, here or at the upstream.
fn bad(name: &str, body: &str) -> Case {
    refused(name, chunked(body), 400)
}

#[test]
fn bodies() {
    let hidden = "GET /smuggled HTTP/1.1\r\n\r\n";
    let in_chunk = format!("{:x}\r\n{hidden}\r\n0\r\n\r\n", hidden.len());
    let in_trailers = "0\r\nGET: /smuggled\r\n\r\n";
    let long_extension = format!("5;{}\r\nhello\r\n0\r\n\r\n", "a".repeat(100_000));
    let many = "1\r\nx\r\n".repeat(1000);
    let cases = [
        good("one chunk", "5\r\nhello\r\n0\r\n\r\n", "hello"),
        good("two chunks", "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", "hello"),
        good(
            "a thousand chunks",
            &format!("{many}0\r\n\r\n"),
            &"x".repeat(1000),
        ),
        good("no chunk", "0\r\n\r\n", ""),
        good("a long way to say nothing", "0000\r\n\r\n", ""),
        good(
            "sixteen digits",
            "0000000000000005\r\nhello\r\n0\r\n\r\n",
            "hello",
        ),
        good(
            "capital digits",
            "A\r\n0123456789\r\n0\r\n\r\n",
            "0123456789",
        ),
        good("small digits", "a\r\n0123456789\r\n0\r\n\r\n", "0123456789"),
        good(
            "trailers are dropped",
            "5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n",
            "hello",
        ),
        good("line ends are data", "3\r\na\nb\r\n0\r\n\r\n", "a\nb"),
        good("a request in a chunk stays there", &in_chunk, hidden),
        good("a request that is a trailer", in_trailers, ""),
        bad("no size", "\r\nhello\r\n0\r\n\r\n"),
        bad("a size that is no number", "z\r\nhello\r\n0\r\n\r\n"),
        bad("a blank before a size", " 5\r\nhello\r\n0\r\n\r\n"),
        bad("a blank behind a size", "5 \r\nhello\r\n0\r\n\r\n"),
        bad("a tab behind a size", "5\t\r\nhello\r\n0\r\n\r\n"),
        bad("a plus sign", "+5\r\nhello\r\n0\r\n\r\n"),
        bad("a minus sign", "-5\r\nhello\r\n0\r\n\r\n"),
        bad("a prefix", "0x5\r\nhello\r\n0\r\n\r\n"),
        bad("an underscore", "0_5\r\nhello\r\n0\r\n\r\n"),
        bad("a size beyond ASCII", "\u{ff15}\r\nhello\r\n0\r\n\r\n"),
        bad(
            "seventeen digits",
            "00000000000000005\r\nhello\r\n0\r\n\r\n",
        ),
        bad(
            "RUSTSEC-2021-0079: a size over 64 bits",
            "f0000000000000003\r\nabc\r\n0\r\n\r\n",
        ),
        bad(
            "RUSTSEC-2021-0079: the largest size",
            "ffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        ),
        bad(
            "a size over 63 bits",
            "8000000000000000\r\nhello\r\n0\r\n\r\n",
        ),
        bad("CVE-2025-22871: LF behind a size", "5\nhello\r\n0\r\n\r\n"),
        bad(
            "CVE-2025-22871: LF behind the last size",
            "5\r\nhello\r\n0\n\r\n",
        ),
        bad(
            "CVE-2025-22871: LF in an extension",
            "5;a\nhello\r\n0\r\n\r\n",
        ),
        bad("CR alone behind a size", "5\rhello\r\n0\r\n\r\n"),
        bad("two CR behind a size", "5\r\r\nhello\r\n0\r\n\r\n"),
        bad("NUL behind a size", "5\0\r\nhello\r\n0\r\n\r\n"),
        bad(
            "CVE-2025-43859: two other bytes behind the data",
            "5\r\nhelloXX0\r\n\r\n",
        ),
        bad(
            "CVE-2025-43859: another byte before LF",
            "5\r\nhelloX\n0\r\n\r\n",
        ),
        bad(
            "CVE-2025-43859: another byte behind CR",
            "5\r\nhello\rX0\r\n\r\n",
        ),
        bad(
            "CVE-2025-43859: the next size at once",
            "5\r\nhello0\r\n\r\n",
        ),
        bad("CVE-2025-43859: one byte more", "5\r\nhellox\r\n0\r\n\r\n"),
        bad("LF behind the data", "5\r\nhello\n0\r\n\r\n"),
        bad("CR alone behind the data", "5\r\nhello\r0\r\n\r\n"),
        bad("data that is too short", "6\r\nhello\r\n0\r\n\r\n"),
        bad("an extension", "5;a=b\r\nhello\r\n0\r\n\r\n"),
        bad("an empty extension", "5;\r\nhello\r\n0\r\n\r\n"),
        bad(
            "an extension of the last chunk",
            "5\r\nhello\r\n0;a\r\n\r\n",
        ),
        bad(
            "CVE-2026-2332: an unclosed quote",
            "5;a=\"\r\nhello\r\n0\r\n\r\n",
        ),
        bad(
            "CVE-2026-2332: a quote across lines",
            "5;a=\"\r\nb\"\r\nhello\r\n0\r\n\r\n",
        ),
        bad("CVE-2023-39326: an extension without end", &long_extension),
        bad("LF instead of the last line", "5\r\nhello\r\n0\r\n\n"),
        bad("a trailer without a colon", "0\r\nX-A\r\n\r\n"),
        bad("a trailer without a name", "0\r\n: b\r\n\r\n"),
        bad(
            "a trailer with a blank before its colon",
            "0\r\nX-A : b\r\n\r\n",
        ),
        bad("a folded trailer", "0\r\nX-A: b\r\n c\r\n\r\n"),
        bad("LF behind a trailer", "0\r\nX-A: b\n\r\n"),
        bad("NUL in a trailer", "0\r\nX-A: \0\r\n\r\n"),
        bad(
            "a length among the trailers",
            "0\r\nContent-Length: 5\r\n\r\n",
        ),
        bad(
            "a coding among the trailers",
            "0\r\nTransfer-Encoding: chunked\r\n\r\n",
        ),
        bad("a host among the trailers", "0\r\nHost: h\r\n\r\n"),
        bad("a credential among the trailers", "0\r\n$A\r\n"),
        bad(
            "our own name among the trailers",
            "0\r\nPortcullis-Agent: x\r\n\r\n",
        ),
        bad(
            "too many trailers",
            &format!("0\r\n{}\r\n", "X-A: b\r\n".repeat(101)),
        ),
        bad(
            "trailers that are too long",
            &format!("0\r\nX-A: {}\r\n\r\n", "b".repeat(9000)),
        ),
    ];
    run(Gateway::start(), &cases);
}

/// The upstream's side is closed, before the end of the body: it can't take the request for a whole one,
/// and does not work on for nothing.
#[test]
fn the_upstream_is_told_that_a_body_broke_off() {
    let gateway = Gateway::start();
    let mut client = gateway.connect();
    let head = format!(
        "POST /broken HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {}\r\n\
         Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        gateway.token
    );
    client.send(head.as_bytes());
    gateway.upstream.wait_for_head("/broken");
    client.send(b"5;a\r\nworld\r\n0\r\n\r\n");
    assert_eq!(client.answer().unwrap().status, 400);
    assert!(client.ends());
    let seen = gateway.upstream.request("/broken");
    assert!(!seen.whole);
    assert!(!seen.line().contains("world"), "{}", seen.line());
}

#[test]
fn the_refusal_says_what_is_wrong_with_a_chunk() {
    let gateway = Gateway::start();
    for (body, words) in [
        (
            "5;a\r\nhello\r\n0\r\n\r\n",
            "chunk extensions are not taken",
        ),
        ("x\r\n", "a chunk's size is no hexadecimal number"),
        (
            "5\r\nhelloX\r\n0\r\n\r\n",
            "a chunk's data is not followed by CR LF",
        ),
    ] {
        let mut client = gateway.connect();
        let head = format!(
            "POST /wrong HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {}\r\n\
             Transfer-Encoding: chunked\r\n\r\n{body}",
            gateway.token
        );
        client.send(head.as_bytes());
        let answer = client.answer().unwrap();
        assert_eq!(answer.status, 400);
        let said = format!("\"the request's body can't be read: {words}");
        assert!(answer.text().contains(&said), "{}", answer.text());
        assert!(client.ends());
    }
}
