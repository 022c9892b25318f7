//! Where a body ends: lengths, codings, versions.

use super::case::{Case, Closed, case, refused, run, served};
use super::harness::Gateway;

/// A POST with these header lines and this body.
fn post(lines: &str, body: &str) -> Vec<u8> {
    format!("POST $P/a HTTP/1.1\r\n$H$A{lines}\r\n\r\n{body}").into_bytes()
}

fn malformed(name: &str, lines: &str, body: &str) -> Case {
    refused(name, post(lines, body), 400)
}

const HIDDEN: &str = "GET /smuggled HTTP/1.1\r\n\r\n";

#[test]
fn lengths() {
    let hidden = format!("POST $P/a {HIDDEN}");
    let big = format!("{}{HIDDEN}", "x".repeat(65_536));
    let big_seen = format!("POST $P/a {big}");
    let get = "GET $P/a HTTP/1.1\r\n$H$AContent-Length: 5\r\n\r\nhello";
    let cases = [
        served(
            "a length",
            post("Content-Length: 5", "hello"),
            &["POST $P/a hello"],
        ),
        served(
            "a length of nothing",
            post("Content-Length: 0", ""),
            &["POST $P/a"],
        ),
        served("no length is no body", post("X-A: b", ""), &["POST $P/a"]),
        served(
            "a length with leading zeros",
            post("Content-Length: 005", "hello"),
            &["POST $P/a hello"],
        ),
        served(
            "RUSTSEC-2020-0008: a body of a GET",
            get,
            &["GET $P/a hello"],
        ),
        served(
            "a request in a body stays there",
            post(&format!("Content-Length: {}", HIDDEN.len()), HIDDEN),
            &[hidden.trim_end_matches(' ')],
        ),
        served(
            "CVE-2026-55203: a length over 16 bits",
            post(&format!("Content-Length: {}", big.len()), &big),
            &[&big_seen],
        ),
        malformed(
            "two equal lengths",
            "Content-Length: 5\r\nContent-Length: 5",
            "hello",
        ),
        malformed(
            "two lengths",
            "Content-Length: 5\r\nContent-Length: 0",
            "hello",
        ),
        malformed("a list of lengths", "Content-Length: 5, 5", "hello"),
        malformed("an empty length", "Content-Length:", ""),
        malformed(
            "RUSTSEC-2021-0078: a plus sign",
            "Content-Length: +5",
            "hello",
        ),
        malformed("a minus sign", "Content-Length: -5", "hello"),
        malformed("a hexadecimal length", "Content-Length: 0x5", "hello"),
        malformed("a length with a fraction", "Content-Length: 5.0", "hello"),
        malformed("a length with an exponent", "Content-Length: 5e0", "hello"),
        malformed("a length with a blank", "Content-Length: 5 0", "hello"),
        malformed("a length in quotes", "Content-Length: \"5\"", "hello"),
        malformed("a length with a comma", "Content-Length: 5,", "hello"),
        malformed(
            "a length with an underscore",
            "Content-Length: 1_0",
            "hello",
        ),
        malformed("other digits", "Content-Length: \u{0665}", "hello"),
        malformed(
            "a length over 63 bits",
            "Content-Length: 9223372036854775808",
            "hello",
        ),
        malformed(
            "a length over 64 bits",
            "Content-Length: 18446744073709551621",
            "hello",
        ),
        malformed(
            "a length of 40 digits",
            &format!("Content-Length: {:040}", 5),
            "hello",
        ),
    ];
    run(Gateway::start(), &cases);
}

#[test]
fn codings() {
    let chunked = "5\r\nhello\r\n0\r\n\r\n";
    let te = |value: &str| format!("Transfer-Encoding: {value}");
    let old = "POST $P/a HTTP/1.0\r\n$H$ATransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let old_both = "POST $P/a HTTP/1.0\r\n$H$AConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\
                    Content-Length: 5\r\n\r\nhello";
    let cases = [
        served(
            "chunked",
            post(&te("chunked"), chunked),
            &["POST $P/a hello"],
        ),
        served(
            "chunked in capitals",
            post(&te("CHUNKED"), chunked),
            &["POST $P/a hello"],
        ),
        malformed(
            "a length, then a coding",
            "Content-Length: 5\r\nTransfer-Encoding: chunked",
            chunked,
        ),
        malformed(
            "a coding, then a length",
            "Transfer-Encoding: chunked\r\nContent-Length: 5",
            chunked,
        ),
        malformed(
            "a coding and a length of nothing",
            "Content-Length: 0\r\nTransfer-Encoding: chunked",
            chunked,
        ),
        malformed(
            "RUSTSEC-2021-0020: two codings",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            chunked,
        ),
        malformed(
            "RUSTSEC-2021-0020: chunked, then identity",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
            chunked,
        ),
        malformed(
            "RUSTSEC-2021-0020: identity, then chunked",
            "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
            chunked,
        ),
        malformed(
            "CVE-2026-2835: gzip below chunked",
            &te("gzip, chunked"),
            chunked,
        ),
        malformed(
            "CVE-2026-2835: chunked twice in a list",
            &te("chunked, chunked"),
            chunked,
        ),
        malformed(
            "CVE-2026-2835: chunked is not last",
            &te("chunked, identity"),
            chunked,
        ),
        malformed("CVE-2026-2835: an empty element", &te(", chunked"), chunked),
        malformed("CVE-2026-2835: an element behind", &te("chunked,"), chunked),
        refused("CVE-2026-2835: a coding in HTTP/1.0", old, 400),
        refused(
            "CVE-2026-2835: coding and length in HTTP/1.0",
            old_both,
            400,
        ),
        malformed("identity", &te("identity"), ""),
        malformed("an empty coding", &te(""), ""),
        malformed("an unknown coding", &te("xchunked"), chunked),
        malformed("a longer word", &te("chunkedx"), chunked),
        malformed("a coding with a parameter", &te("chunked;q=1"), chunked),
        malformed("a coding in quotes", &te("\"chunked\""), chunked),
        malformed(
            "a coding behind a vertical tab",
            &te("\u{b}chunked"),
            chunked,
        ),
        malformed("a coding behind a NUL", &te("\0chunked"), chunked),
        malformed("a coding beyond ASCII", &te("chun\u{212a}ed"), chunked),
        malformed("a folded coding", "Transfer-Encoding:\r\n chunked", chunked),
        malformed(
            "a coding with a blank before its colon",
            "Transfer-Encoding : chunked",
            chunked,
        ),
        served(
            "an underscore is another name",
            post("Transfer_Encoding: chunked\r\nContent-Length: 5", "hello"),
            &["POST $P/a hello"],
        ),
        served(
            "a look-alike of a coding",
            post("X-Transfer-Encoding: chunked\r\nContent-Length: 5", "hello"),
            &["POST $P/a hello"],
        ),
    ];
    run(Gateway::start(), &cases);
}

#[test]
fn names_of_all_lengths() {
    let long = |length: usize| format!("{}: b\r\nContent-Length: 5", "n".repeat(length));
    let mut cases = Vec::new();
    for length in [255, 256, 270, 511, 512, 1024] {
        let name = format!("CVE-2021-40346: a name of {length} characters");
        cases.push(served(
            &name,
            post(&long(length), "hello"),
            &["POST $P/a hello"],
        ));
    }
    cases.push(refused(
        "CVE-2021-40346: a name longer than any",
        post(&long(1025), "hello"),
        431,
    ));
    let overflow = format!("Content-Length0{}:\r\nContent-Length: 5", "a".repeat(255));
    cases.push(served(
        "CVE-2021-40346: a length in a long name",
        post(&overflow, "hello"),
        &["POST $P/a hello"],
    ));
    run(Gateway::start(), &cases);
}

#[test]
fn old_clients() {
    let kept = "GET $P/a HTTP/1.0\r\n$H$AConnection: keep-alive\r\n\r\n";
    let body = "POST $P/a HTTP/1.0\r\n$H$AConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello";
    let cases = [
        case(
            "HTTP/1.0 closes",
            "GET $P/a HTTP/1.0\r\n$H$A\r\n",
            &[200],
            Closed,
            &["GET $P/a"],
        ),
        served("HTTP/1.0 kept alive", kept, &["GET $P/a"]),
        served("HTTP/1.0 with a length", body, &["POST $P/a hello"]),
        case(
            "CVE-2026-2835: what follows an HTTP/1.0 body without a length",
            format!("POST $P/a HTTP/1.0\r\n$H$A\r\n{HIDDEN}"),
            &[200],
            Closed,
            &["POST $P/a"],
        ),
        refused(
            "HTTP/1.0 without a Host",
            "GET $P/a HTTP/1.0\r\n$A\r\n",
            400,
        ),
    ];
    run(Gateway::start(), &cases);
}
