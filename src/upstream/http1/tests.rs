//! The client against sockets: what it sends, what it does when things go wrong, and whether it understands
//! what hyper understands.

mod differential;
mod exchange;

use proptest::prelude::*;
use proptest::sample::Index;

/// Answers as servers send them.
pub(super) fn answers() -> impl Strategy<Value = Vec<u8>> {
    (interim(), status(), headers(), content()).prop_map(|(interim, status, headers, content)| {
        let (framing, content) = content;
        let mut answer =
            format!("{interim}HTTP/1.1 {status}\r\n{headers}{framing}\r\n").into_bytes();
        answer.extend_from_slice(&content);
        answer
    })
}

fn interim() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => Just(String::new()),
        1 => Just("HTTP/1.1 100 Continue\r\n\r\n".to_owned()),
        1 => Just("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n".to_owned()),
    ]
}

fn status() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        Just("200 OK"),
        Just("200"),
        Just("201 Made It"),
        Just("204 No Content"),
        Just("304 Not Modified"),
        Just("404 Not Found"),
        Just("500 Oh \u{e9}"),
        Just("599 "),
    ]
}

fn headers() -> impl Strategy<Value = String> {
    let field = (
        "[a-zA-Z][a-zA-Z0-9!#$%&'*+.^_`|~-]{0,12}",
        "[ -~\u{e9}\t]{0,20}",
    );
    let field = field.prop_map(|(name, value)| format!("x-{name}: {value}\r\n"));
    prop::collection::vec(field, 0..5).prop_map(|lines| lines.concat())
}

fn content() -> impl Strategy<Value = (String, Vec<u8>)> {
    let data = || prop::collection::vec(any::<u8>(), 0..200);
    let known = data().prop_map(|data| (format!("Content-Length: {}\r\n", data.len()), data));
    let until_close = data().prop_map(|data| (String::new(), data));
    let chunks = prop::collection::vec(
        (prop::collection::vec(any::<u8>(), 1..80), extension()),
        0..5,
    );
    let trailers = prop_oneof![2 => Just(String::new()), 1 => headers()];
    let chunked = (chunks, trailers).prop_map(|(chunks, trailers)| {
        let mut content = Vec::new();
        for (data, extension) in chunks {
            content.extend_from_slice(format!("{:x}{extension}\r\n", data.len()).as_bytes());
            content.extend_from_slice(&data);
            content.extend_from_slice(b"\r\n");
        }
        content.extend_from_slice(format!("0\r\n{trailers}\r\n").as_bytes());
        ("transfer-encoding: chunked\r\n".to_owned(), content)
    });
    prop_oneof![known, until_close, chunked]
}

fn extension() -> impl Strategy<Value = &'static str> {
    prop_oneof![6 => Just(""), 1 => Just(";a=b"), 1 => Just(";q=\"x y\"")]
}

/// Answers of which something has been changed.
pub(super) fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        any::<u8>(),
        prop::sample::select(b"\r\n :;0123456789,\tx".as_slice())
    ];
    let change = (any::<Index>(), 0..4_u8, byte);
    let line = prop_oneof![
        Just("content-length: 5\r\n"),
        Just("content-length: +5\r\n"),
        Just("transfer-encoding: chunked\r\n"),
        Just("transfer-encoding: gzip\r\n"),
        Just("transfer-encoding : chunked\r\n"),
        Just("x: y\r\n z\r\n"),
        Just("connection: close\r\n"),
    ];
    let insert = prop::option::of(line);
    let changes = prop::collection::vec(change, 0..3);
    (answers(), changes, insert).prop_map(|(mut answer, changes, insert)| {
        if let Some(line) = insert {
            let at = answer.windows(2).position(|two| two == b"\r\n").unwrap() + 2;
            answer.splice(at..at, line.bytes());
        }
        for (index, kind, byte) in changes {
            let at = index.index(answer.len());
            match kind {
                0 => answer[at] = byte,
                1 => answer.insert(at, byte),
                2 if answer.len() > 1 => drop(answer.remove(at)),
                _ => answer.truncate(at.max(1)),
            }
        }
        answer
    })
}
