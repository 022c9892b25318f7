use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderName;
use http_body::Frame;

use super::*;
use crate::base::Clock;
use crate::upstream::http1::{Framing, write_head};
use crate::wire::{Body, BodyError};

/// A body of unknown length.
struct Unknown;

impl http_body::Body for Unknown {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Poll::Pending
    }
}

fn unknown() -> Body {
    Body::stream(Unknown)
}

fn map(lines: &[(&str, &str)]) -> HeaderMap {
    lines
        .iter()
        .map(|(name, value)| {
            let name: HeaderName = name.parse().unwrap();
            (name, value.parse::<HeaderValue>().unwrap())
        })
        .collect()
}

fn request(method: &str, headers: &[(&str, &str)], body: Body) -> Outbound<Outgoing> {
    let mut request = Request::new(Outgoing::new(body, &Clock::system()));
    *request.method_mut() = method.parse().unwrap();
    *request.uri_mut() = "https://front.example/a/b?c=d".parse().unwrap();
    *request.headers_mut() = map(headers);
    request.into()
}

fn address() -> Authority {
    "10.0.0.5:9000".parse().unwrap()
}

/// Sorted header lines, or the fault. Writing twice must be writing once.
fn written(mut request: Outbound<Outgoing>) -> Result<Vec<String>, Fault> {
    let mut write = || {
        let mut out = Vec::new();
        let framing = write_head(&mut out, &mut request, &address(), None)?;
        Ok((String::from_utf8(out).unwrap(), framing))
    };
    let (head, framing) = write()?;
    assert_eq!(write()?, (head.clone(), framing));
    let lines = head.strip_suffix("\r\n\r\n").unwrap();
    let mut lines = lines.split("\r\n").map(str::to_owned);
    let start = lines.next().unwrap();
    assert!(start.ends_with(" /a/b?c=d HTTP/1.1"), "{start}");
    let mut lines: Vec<_> = lines.collect();
    lines.sort();
    let is_chunked = lines
        .iter()
        .any(|line| line.starts_with("transfer-encoding"));
    assert_eq!(framing == Framing::Chunked, is_chunked);
    Ok(lines)
}

fn check(request: Outbound<Outgoing>, expected: &[&str]) {
    assert_eq!(written(request).unwrap(), expected);
}

#[test]
fn one_line_says_how_long_the_body_is() {
    let host = "host: h";
    let named = [("host", "h")];
    check(request("GET", &named, Body::empty()), &[host]);
    check(
        request("POST", &named, Body::empty()),
        &["content-length: 0", host],
    );
    check(
        request("DELETE", &named, Body::full("abc")),
        &["content-length: 3", host],
    );
    for method in ["GET", "POST", "HEAD"] {
        check(
            request(method, &named, unknown()),
            &[host, "transfer-encoding: chunked"],
        );
    }
}

#[test]
fn a_declared_length_stands_where_the_body_can_have_it() {
    let declared = [("content-length", "3"), ("host", "h")];
    check(
        request("PUT", &declared, Body::full("abc")),
        &["content-length: 3", "host: h"],
    );
    check(
        request("PUT", &declared, unknown()),
        &["content-length: 3", "host: h"],
    );
    // The client's own word on the coding is not passed on.
    let coded = [
        ("transfer-encoding", "gzip"),
        ("transfer-encoding", "chunked"),
        ("host", "h"),
    ];
    check(
        request("PUT", &coded, Body::full("abc")),
        &["content-length: 3", "host: h"],
    );
}

#[test]
fn a_length_that_is_not_the_bodys_is_a_fault() {
    let twice = [("content-length", "3"), ("content-length", "3")];
    for headers in [
        &twice[..],
        &[("content-length", "4")],
        &[("content-length", "0")],
        &[("content-length", "+3")],
        &[("content-length", "3, 3")],
        &[("content-length", "")],
        &[("content-length", "99999999999999999999")],
    ] {
        let sent = request("POST", headers, Body::full("abc"));
        assert_eq!(written(sent), Err(Fault::RequestLength), "{headers:?}");
    }
    let nothing = request("POST", &[("content-length", "9")], Body::empty());
    assert_eq!(written(nothing), Err(Fault::RequestLength));
}

#[test]
fn the_host_is_said_once() {
    let mut bare = request("GET", &[], Body::empty());
    check(bare, &["host: front.example"]);
    bare = request("GET", &[], Body::empty());
    bare.fields.remove(&HOST);
    check(bare, &["host: 10.0.0.5:9000"]);
    let twice = request("GET", &[("host", "a"), ("host", "b")], Body::empty());
    assert_eq!(written(twice), Err(Fault::RequestHost));
}

#[test]
fn what_belongs_to_the_clients_connection_stays_there() {
    let headers = [
        ("connection", "upgrade, x-token"),
        ("upgrade", "websocket"),
        ("te", "gzip"),
        ("host", "h"),
    ];
    check(request("GET", &headers, Body::empty()), &["host: h"]);
    let trailers = [("te", "gzip, Trailers"), ("host", "h")];
    let expected = ["connection: te", "host: h", "te: trailers"];
    check(request("GET", &trailers, Body::empty()), &expected);
}

#[test]
fn a_tunnel_is_not_asked_for() {
    let sent = request("CONNECT", &[("host", "h")], Body::empty());
    assert_eq!(written(sent), Err(Fault::Connect));
}

#[test]
fn a_websocket_is_asked_for_in_the_pools_own_words() {
    let headers = [
        ("host", "h"),
        ("te", "trailers"),
        ("sec-websocket-key", "theirs"),
        ("sec-websocket-version", "8"),
        ("sec-websocket-protocol", "chat"),
    ];
    let mut out = Vec::new();
    let mut request = request("GET", &headers, Body::empty());
    write_head(&mut out, &mut request, &address(), Some("ours")).unwrap();
    let expected = "GET /a/b?c=d HTTP/1.1\r\nhost: h\r\nsec-websocket-protocol: chat\r\n\
        connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-key: ours\r\n\
        sec-websocket-version: 13\r\n\r\n";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

#[test]
fn http2_has_the_host_in_its_target() {
    let headers = [
        ("host", "orders.example"),
        ("connection", "close"),
        ("te", "trailers"),
    ];
    let sent = for_http2(request("GET", &headers, Body::empty()), &address(), true).unwrap();
    assert_eq!(sent.uri(), "https://orders.example/a/b?c=d");
    assert_eq!(sent.headers(), &map(&[("te", "trailers")]));
    let again = for_http2(sent.into(), &address(), true).unwrap();
    assert_eq!(again.uri(), "https://orders.example/a/b?c=d");
    let odd = request("GET", &[("host", "a b")], Body::empty());
    assert_eq!(
        for_http2(odd, &address(), true).err(),
        Some(Fault::RequestHost)
    );
}

fn check_answer(headers: &[(&str, &str)], expected: Result<Length, Fault>) {
    assert_eq!(judge(&map(headers)), expected, "{headers:?}");
}

#[test]
fn answers_that_can_be_read_two_ways_are_faults() {
    check_answer(&[("content-length", "5")], Ok(Length::Known(5)));
    check_answer(&[("transfer-encoding", "Chunked")], Ok(Length::Chunked));
    check_answer(&[], Ok(Length::Unsaid));
    for headers in [
        [("content-length", "5"), ("transfer-encoding", "chunked")],
        [("content-length", "5"), ("content-length", "5")],
        [("content-length", "5"), ("content-length", "6")],
        [
            ("transfer-encoding", "chunked"),
            ("transfer-encoding", "chunked"),
        ],
        [("transfer-encoding", "gzip, chunked"), ("x", "y")],
        [("transfer-encoding", "chunked, identity"), ("x", "y")],
        [("transfer-encoding", ", chunked"), ("x", "y")],
        [("transfer-encoding", "identity"), ("x", "y")],
        [("transfer-encoding", ""), ("x", "y")],
        [("content-length", "5,5"), ("x", "y")],
        [("content-length", "-1"), ("x", "y")],
        [("content-length", "+1"), ("x", "y")],
        [("content-length", "0x1"), ("x", "y")],
        [("content-length", ""), ("x", "y")],
        [("content-length", "18446744073709551616"), ("x", "y")],
    ] {
        check_answer(&headers, Err(Fault::AnswerLength));
    }
    let many = vec![("x", "y"); HEADER_LINES + 1];
    check_answer(&many, Err(Fault::AnswerTooManyHeaders));
    check_answer(&many[1..], Ok(Length::Unsaid));
}
