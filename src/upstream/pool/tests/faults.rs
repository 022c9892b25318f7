use http::Method;

use super::stub::*;
use crate::base::ErrorChain;
use crate::upstream::{Fault, SendError};
use crate::wire::Body;

/// The error that `answer` comes to; its connection is closed.
fn fault(answer: String) -> SendError {
    let mut error = None;
    let error_out = &mut error;
    worker(async move {
        let stub = Stub::bind().await;
        let bench = Bench::new(&[stub.address()]);
        let call = bench.get();
        let mut peer = stub.accept().await;
        peer.serve(&answer).await;
        *error_out = Some(refused(call).await);
        assert!(peer.closed().await.is_empty(), "{answer:?}");
    });
    error.unwrap()
}

#[test]
fn protocol_faults_are_named() {
    for (answer, expected) in [
        (
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
            Fault::Upgrade,
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            Fault::AnswerLength,
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nok",
            Fault::AnswerLength,
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
            Fault::AnswerLength,
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
            Fault::AnswerLength,
        ),
        (
            "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            Fault::AnswerLength,
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            Fault::AnswerLength,
        ),
    ] {
        let error = fault(answer.to_owned());
        let found = matches!(&error, SendError::Protocol { fault, .. } if *fault == expected);
        assert!(found, "{answer:?} {error:?}");
    }
}

#[test]
fn what_is_too_much_is_a_fault() {
    let many = "x: y\r\n".repeat(101);
    let long = format!("x: {}", "y".repeat(64 * 1024));
    let interim = "HTTP/1.1 102 Processing\r\n\r\n".repeat(101);
    for (answer, expected) in [
        (
            format!("HTTP/1.1 200 OK\r\n{many}"),
            Fault::AnswerTooManyHeaders,
        ),
        (
            format!("HTTP/1.1 200 OK\r\n{long}"),
            Fault::AnswerHeadTooLarge,
        ),
        (interim, Fault::InterimAnswers),
    ] {
        let error = fault(answer);
        let found = matches!(&error, SendError::Protocol { fault, .. } if *fault == expected);
        assert!(found, "{expected:?} {error:?}");
    }
}

#[test]
fn what_is_not_http_is_a_break() {
    for answer in [
        "SSH-2.0-OpenSSH_9.9\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nfolded: a\r\n b\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nname : spaced\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nbare: a\rb\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\nbare: lf\n\n".to_owned(),
        "\r\nHTTP/1.1 200 OK\r\n\r\n".to_owned(),
        "HTTP/2.0 200 OK\r\n\r\n".to_owned(),
        "HTTP/1.1 99 Low\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\n: no name\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nnul: a\0b\r\n\r\n".to_owned(),
    ] {
        let shown = answer.chars().take(60).collect::<String>();
        let error = fault(answer);
        assert!(
            matches!(error, SendError::BrokeOff { .. }),
            "{shown:?} {error:?}"
        );
    }
}

#[test]
fn an_upstream_that_says_nothing_and_goes_is_a_break() {
    worker(async {
        let stub = Stub::bind().await;
        let bench = Bench::new(&[stub.address()]);
        let call = bench.get();
        let mut peer = stub.accept().await;
        peer.head().await;
        drop(peer);
        let error = refused(call).await;
        assert!(matches!(error, SendError::BrokeOff { .. }), "{error:?}");
    });
}

#[test]
fn an_ambiguous_request_sends_nothing() {
    worker(async {
        let stub = Stub::bind().await;
        let bench = Bench::new(&[stub.address()]);
        let mut sent = request(Method::POST, Body::empty());
        sent.headers_mut().insert("content-length", 10.into());
        let call = bench.call(sent);
        let mut peer = stub.accept().await;
        assert!(peer.closed().await.is_empty());
        let error = refused(call).await;
        assert_eq!(
            error.to_string(),
            format!(
                "service `orders` at `{}`: the length of the request is ambiguous",
                stub.address()
            )
        );
    });
}

#[test]
fn no_error_repeats_a_header_value() {
    let error = fault("HTTP/1.1 200 OK\r\nset-cookie: s3cret\r\nbad name: s3cret\r\n\r\n".into());
    let told = format!("{} {error:?}", ErrorChain(&error));
    assert!(!told.contains("s3cret"), "{told}");
}
