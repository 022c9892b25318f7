use http::{HeaderName, HeaderValue, Method};
use proptest::prelude::*;

use super::*;

const LIMITS: HeadLimits = HeadLimits {
    bytes: 1024,
    lines: 8,
    target: 64,
};

const BAD: Result<Framing, Fault> = Err(Fault::Malformed(""));

/// What a head comes to; the words of a fault are for people.
fn read(bytes: &[u8]) -> Result<Option<Head>, Fault> {
    HeadReader::default()
        .read(bytes, &LIMITS)
        .map_err(without_words)
}

fn without_words(fault: Fault) -> Fault {
    match fault {
        Fault::Malformed(_) => Fault::Malformed(""),
        other => other,
    }
}

/// Reads `head` at once, then byte by byte: both have to come to `expected`.
fn check(head: impl AsRef<[u8]>, expected: Result<Framing, Fault>) {
    let head = head.as_ref();
    let shown = String::from_utf8_lossy(head);
    let expected = expected.map(|framing| {
        let length = head.len();
        Some(Head { length, framing })
    });
    assert_eq!(read(head), expected, "{shown:?}");
    assert_eq!(dribble(head), expected, "{shown:?}, byte by byte");
}

fn dribble(bytes: &[u8]) -> Result<Option<Head>, Fault> {
    let mut reader = HeadReader::default();
    for end in 1..=bytes.len() {
        match reader.read(&bytes[..end], &LIMITS) {
            Ok(None) => {}
            Ok(Some(head)) => return Ok(Some(head)),
            Err(fault) => return Err(without_words(fault)),
        }
    }
    Ok(None)
}

/// A request with these header lines.
fn lines(lines: &str) -> String {
    format!("POST /x HTTP/1.1\r\nHost: h\r\n{lines}\r\n")
}

/// A request line alone, with a host.
fn line(line: &str) -> String {
    format!("{line}\r\nHost: h\r\n\r\n")
}

#[test]
fn request_lines() {
    for good in [
        "GET / HTTP/1.1",
        "GET /a/b?c=d&e HTTP/1.0",
        "M-SEARCH /a HTTP/1.1",
        "GET /a%20b;c=(1)*'!$,~@: HTTP/1.1",
        "GET http://h/x HTTP/1.1",
        "GET HTTPS://h:1/x?y HTTP/1.1",
        "GET http://h HTTP/1.1",
        "GET /a{b}|c HTTP/1.1",
        "GET /a\\b HTTP/1.1",
    ] {
        check(line(good), Ok(Framing::None));
    }
    for bad in [
        "",
        " GET / HTTP/1.1",
        "GET / HTTP/1.1 ",
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        "GET\t/ HTTP/1.1",
        "GET /",
        "GET",
        "GET / HTTP/1.2",
        "GET / HTTP/2.0",
        "GET / http/1.1",
        "GET / HTTP/1.1.",
        "GET / HTTP/01.1",
        "PRI * HTTP/2.0",
        "OPTIONS * HTTP/1.1",
        "CONNECT h:443 HTTP/1.1",
        "CONNECT /x HTTP/1.1",
        "GET h/x HTTP/1.1",
        "GET ftp://h/x HTTP/1.1",
        "GET http:///x HTTP/1.1",
        "GET http:x HTTP/1.1",
        "GET http://[h/x HTTP/1.1",
        "GET /a#b HTTP/1.1",
        "GET /a?b#c HTTP/1.1",
        "GET http://h/a#b HTTP/1.1",
        "GET /a b HTTP/1.1",
        "GET /\u{e9} HTTP/1.1",
        "GET /a\u{0} HTTP/1.1",
        "GET /a\u{7f} HTTP/1.1",
        "GE\u{0}T / HTTP/1.1",
        "G(T / HTTP/1.1",
        "G\u{e9}T / HTTP/1.1",
        "\u{16}\u{3}\u{1} / HTTP/1.1",
    ] {
        check(line(bad), BAD);
    }
}

#[test]
fn header_lines() {
    for good in [
        "A:\r\n",
        "A: \t b c \t\r\n",
        "A:b\r\nA:c\r\n",
        "!#$%&'*+-.^_`|~09: x\r\n",
        "A: \u{e9}\r\n",
        "Expect: 100-Continue\r\n",
        "Content-Length: 0\r\n",
    ] {
        check(lines(good), Ok(Framing::None));
    }
    for bad in [
        "A\r\n",
        ": x\r\n",
        "A : x\r\n",
        "A\t: x\r\n",
        " A: x\r\n",
        "\tA: x\r\n",
        "A: x\r\n y\r\n",
        "A: x\r\n\ty\r\n",
        "A: x\n",
        "A: x\ry: z\r\n",
        "A: x\r\r\n",
        "A: \u{0}\r\n",
        "A: \u{b}x\r\n",
        "A: x\u{7f}\r\n",
        "A(b): x\r\n",
        "A\u{e9}: x\r\n",
        "Connection: clos\u{e9}\r\n",
        "Portcullis-Task: \u{e9}\r\n",
        "Host: h\r\n",
        "host: other\r\n",
        "Expect: 200-ok\r\n",
        "Expect:\r\n",
        "Expect: 100-continue\r\nExpect: 100-continue\r\n",
    ] {
        check(lines(bad), BAD);
    }
    check("GET / HTTP/1.1\r\nA: b\r\n\r\n", BAD);
    check("GET / HTTP/1.0\r\nA: b\r\n\r\n", Ok(Framing::None));
    check("GET / HTTP/1.1\nHost: h\n\n", BAD);
    check("\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", BAD);
    check("GET / HTTP/1.1\r\n Host: h\r\n\r\n", BAD);
}

#[test]
fn framing() {
    check(lines("Content-Length: 5\r\n"), Ok(Framing::Length(5)));
    check(lines("content-length:\t007 \r\n"), Ok(Framing::Length(7)));
    let largest = i64::MAX as u64;
    check(
        lines(&format!("Content-Length: {largest}\r\n")),
        Ok(Framing::Length(largest)),
    );
    check(
        lines("Transfer-Encoding: chunked\r\n"),
        Ok(Framing::Chunked),
    );
    check(lines("transfer-encoding:Chunked\r\n"), Ok(Framing::Chunked));
    for bad in [
        "Content-Length: 9223372036854775808\r\n",
        "Content-Length: 99999999999999999999\r\n",
        "Content-Length: 18446744073709551621\r\n",
        "Content-Length:\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: -5\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: 5 5\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length: 5.0\r\n",
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Transfer-Encoding: gzip\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked, gzip\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: , chunked\r\n",
        "Transfer-Encoding: chunked;q=1\r\n",
        "Transfer-Encoding: \"chunked\"\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding:\r\n",
        "Transfer-Encoding: \u{b}chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
    ] {
        check(lines(bad), BAD);
    }
    check(
        "POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
        BAD,
    );
    check(
        "POST / HTTP/1.0\r\nContent-Length: 3\r\n\r\n",
        Ok(Framing::Length(3)),
    );
}

#[test]
fn each_limit_has_its_own_answer() {
    let target = |length: usize| line(&format!("GET /{} HTTP/1.1", "a".repeat(length - 1)));
    check(target(64), Ok(Framing::None));
    check(target(65), Err(Fault::TargetTooLong));
    // Told before the line ends, and rather than what else is wrong with it.
    check(
        format!("GET /{}", "#".repeat(100)),
        Err(Fault::TargetTooLong),
    );
    check(lines(&"A: b\r\n".repeat(7)), Ok(Framing::None));
    check(lines(&"A: b\r\n".repeat(8)), Err(Fault::TooManyLines));
    let filled = |length: usize| {
        let rest = lines("A: \r\n").len();
        lines(&format!("A: {}\r\n", "b".repeat(length - rest)))
    };
    check(filled(1024), Ok(Framing::None));
    check(filled(1025), Err(Fault::TooLarge));
    check(
        lines(&format!("{}: b\r\n", "n".repeat(2000))),
        Err(Fault::TooLarge),
    );
    check("a".repeat(2000), Err(Fault::TooLarge));
}

#[test]
fn a_long_name_is_refused_whatever_the_limits() {
    let limits = HeadLimits {
        bytes: 1 << 20,
        ..LIMITS
    };
    let read = |name: usize| {
        let head = lines(&format!("{}: b\r\n", "n".repeat(name)));
        HeadReader::default().read(head.as_bytes(), &limits)
    };
    assert!(read(1024).unwrap().is_some());
    assert_eq!(read(1025), Err(Fault::TooLarge));
}

#[test]
fn what_follows_a_head_is_not_looked_at() {
    let head = lines("Content-Length: 5\r\n");
    let with_rest = format!("{head}\0\n\rwhatever");
    let read = HeadReader::default().read(with_rest.as_bytes(), &LIMITS);
    let length = head.len();
    let framing = Framing::Length(5);
    assert_eq!(read, Ok(Some(Head { length, framing })));
}

/// Heads that are right, and the bytes that make them wrong.
fn heads() -> impl Strategy<Value = Vec<u8>> {
    let request_line = prop::sample::select(vec![
        "GET / HTTP/1.1",
        "POST /a?b HTTP/1.1",
        "PUT /a%2e HTTP/1.0",
        "GET http://h/x HTTP/1.1",
        "DELETE /a{b} HTTP/1.1",
    ]);
    let header = prop::sample::select(vec![
        "Host: h",
        "Content-Length: 5",
        "Transfer-Encoding: chunked",
        "Expect: 100-continue",
        "Connection: close",
        "X-A: b c",
        "Empty:",
        "X-B:\t\"x\" ",
    ]);
    let byte =
        prop::sample::select(b"\r\n\t :;,\0\x0b\x7f\x80\xffaA0/?#%\\\"<>{}[]|^`@.*_-+".to_vec());
    let edit = (any::<prop::sample::Index>(), byte, 0..3_u8);
    let headers = prop::collection::vec(header, 0..5);
    (request_line, headers, prop::collection::vec(edit, 0..4)).prop_map(|(line, headers, edits)| {
        let mut head = format!("{line}\r\n{}\r\n\r\n", headers.join("\r\n")).into_bytes();
        for (at, byte, kind) in edits {
            let at = at.index(head.len());
            match kind {
                0 => head[at] = byte,
                1 => head.insert(at, byte),
                _ => drop(head.remove(at)),
            }
        }
        head
    })
}

/// Name and value of each header line, by the plainest reading there is.
fn plainly(head: &str) -> Vec<(&str, &str)> {
    head.split("\r\n")
        .skip(1)
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name, value.trim_matches([' ', '\t'])))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, ..ProptestConfig::default() })]

    #[test]
    fn how_bytes_are_cut_makes_no_difference(head in heads(), cut in any::<prop::sample::Index>()) {
        let whole = read(&head);
        prop_assert_eq!(dribble(&head), whole);
        let cut = cut.index(head.len() + 1);
        let mut reader = HeadReader::default();
        let twice = match reader.read(&head[..cut], &LIMITS) {
            Ok(None) => reader.read(&head, &LIMITS),
            decided => decided,
        };
        prop_assert_eq!(twice.map_err(without_words), whole);
    }

    #[test]
    fn what_is_accepted_another_parser_reads_alike(head in heads()) {
        let Ok(Some(Head { length, framing })) = read(&head) else {
            return Ok(());
        };
        let mut headers = [httparse::EMPTY_HEADER; 16];
        let mut request = httparse::Request::new(&mut headers);
        let parsed = request.parse(&head);
        prop_assert_eq!(parsed, Ok(httparse::Status::Complete(length)));
        let text = String::from_utf8_lossy(&head[..length]).into_owned();
        let mut words = text.split("\r\n").next().unwrap_or_default().split(' ');
        prop_assert_eq!(request.method, words.next());
        prop_assert_eq!(request.path, words.next());
        let version = if words.next() == Some("HTTP/1.1") { 1 } else { 0 };
        prop_assert_eq!(request.version, Some(version));

        let plain = plainly(&text);
        prop_assert_eq!(request.headers.len(), plain.len());
        let mut own = Framing::None;
        for (theirs, (name, value)) in request.headers.iter().zip(plain) {
            prop_assert_eq!(theirs.name, name);
            prop_assert_eq!(&*String::from_utf8_lossy(theirs.value), value);
            match &*name.to_ascii_lowercase() {
                "transfer-encoding" => own = Framing::Chunked,
                "content-length" => own = match value.parse().unwrap() {
                    0 => Framing::None,
                    length => Framing::Length(length),
                },
                _ => {}
            }
            // hyper has to take it too, or it would answer by itself.
            prop_assert!(HeaderName::from_bytes(theirs.name.as_bytes()).is_ok());
            prop_assert!(HeaderValue::from_bytes(theirs.value).is_ok());
        }
        prop_assert_eq!(framing, own);
        prop_assert!(Method::from_bytes(request.method.unwrap().as_bytes()).is_ok());
        let uri = Uri::try_from(request.path.unwrap());
        prop_assert!(uri.is_ok());
    }
}
