use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderName, Response};
use http_body::Frame;

use super::*;
use crate::base::Clock;
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

fn request(method: &str, headers: &[(&str, &str)], body: Body) -> Request<Outgoing> {
    let mut request = Request::new(Outgoing::new(body, &Clock::system()));
    *request.method_mut() = method.parse().unwrap();
    *request.uri_mut() = "https://front.example/a/b?c=d".parse().unwrap();
    *request.headers_mut() = map(headers);
    request
}

fn address() -> Authority {
    "10.0.0.5:9000".parse().unwrap()
}

/// Sorted header lines, or the fault. Shaping twice must be shaping once.
fn shaped(request: Request<Outgoing>) -> Result<Vec<String>, Fault> {
    let lines = |request: &Request<Outgoing>| {
        let headers = request.headers().iter();
        let mut lines: Vec<_> = headers
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        lines.sort();
        lines
    };
    let once = for_http1(request, &address())?;
    assert_eq!(once.uri(), "/a/b?c=d");
    assert_eq!(once.version(), Version::HTTP_11);
    let first = lines(&once);
    let again = lines(&for_http1(once, &address())?);
    assert_eq!(first, again);
    Ok(first)
}

fn check(request: Request<Outgoing>, expected: &[&str]) {
    assert_eq!(shaped(request).unwrap(), expected);
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
        assert_eq!(shaped(sent), Err(Fault::RequestLength), "{headers:?}");
    }
    let nothing = request("POST", &[("content-length", "9")], Body::empty());
    assert_eq!(shaped(nothing), Err(Fault::RequestLength));
}

#[test]
fn the_host_is_said_once() {
    let mut bare = request("GET", &[], Body::empty());
    check(bare, &["host: front.example"]);
    bare = request("GET", &[], Body::empty());
    *bare.uri_mut() = "/a/b?c=d".parse().unwrap();
    check(bare, &["host: 10.0.0.5:9000"]);
    let twice = request("GET", &[("host", "a"), ("host", "b")], Body::empty());
    assert_eq!(shaped(twice), Err(Fault::RequestHost));
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
    assert_eq!(shaped(sent), Err(Fault::Connect));
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
    let again = for_http2(sent, &address(), true).unwrap();
    assert_eq!(again.uri(), "https://orders.example/a/b?c=d");
    let odd = request("GET", &[("host", "a b")], Body::empty());
    assert_eq!(
        for_http2(odd, &address(), true).err(),
        Some(Fault::RequestHost)
    );
}

fn check_answer(
    status: u16,
    version: Version,
    headers: &[(&str, &str)],
    expected: Result<bool, Fault>,
) {
    let mut answer = Response::new(());
    *answer.status_mut() = status.try_into().unwrap();
    *answer.version_mut() = version;
    *answer.headers_mut() = map(headers);
    assert_eq!(
        judge(&answer.into_parts().0),
        expected,
        "{status} {headers:?}"
    );
}

#[test]
fn answers_that_can_be_read_two_ways_are_faults() {
    let v11 = Version::HTTP_11;
    check_answer(200, v11, &[("content-length", "5")], Ok(true));
    check_answer(200, v11, &[("transfer-encoding", "Chunked")], Ok(true));
    check_answer(200, v11, &[], Ok(true));
    check_answer(200, Version::HTTP_10, &[("content-length", "5")], Ok(false));
    check_answer(101, v11, &[("upgrade", "websocket")], Err(Fault::Upgrade));
    for headers in [
        [("content-length", "5"), ("transfer-encoding", "chunked")],
        [("content-length", "5"), ("content-length", "5")],
        [
            ("transfer-encoding", "chunked"),
            ("transfer-encoding", "chunked"),
        ],
        [("transfer-encoding", "gzip, chunked"), ("x", "y")],
        [("transfer-encoding", "identity"), ("x", "y")],
        [("content-length", "5,5"), ("x", "y")],
    ] {
        check_answer(200, v11, &headers, Err(Fault::AnswerLength));
    }
    let many = vec![("x", "y"); HEADER_LINES + 1];
    check_answer(200, v11, &many, Err(Fault::AnswerTooManyHeaders));
    check_answer(200, v11, &many[1..], Ok(true));
}
