//! Lines: their ends, their characters, their shape.

use super::case::{Case, refused, run, served};
use super::harness::Gateway;

/// A good request with `line` among its headers.
fn with_line(line: &str) -> Vec<u8> {
    format!("GET $P/a HTTP/1.1\r\n$H$A{line}\r\n\r\n").into_bytes()
}

fn malformed(name: &str, send: impl AsRef<[u8]>) -> Case {
    refused(name, send, 400)
}

#[test]
fn lines() {
    let cases = [
        served(
            "a plain request",
            "GET $P/a HTTP/1.1\r\n$H$A\r\n",
            &["GET $P/a"],
        ),
        served(
            "blanks around a value",
            with_line("X-A: \t b \t"),
            &["GET $P/a"],
        ),
        served("no blank before a value", with_line("X-A:b"), &["GET $P/a"]),
        served("an empty value", with_line("X-A:"), &["GET $P/a"]),
        served(
            "a value beyond ASCII",
            with_line("X-A: h\u{e9}"),
            &["GET $P/a"],
        ),
        served(
            "a name of all characters",
            with_line("!#$%&'*+-.^`|~0aZ: b"),
            &["GET $P/a"],
        ),
        malformed("bare LF everywhere", "GET $P/a HTTP/1.1\nHost: h\n\n"),
        malformed(
            "bare LF after the request line",
            "GET $P/a HTTP/1.1\n$H$A\r\n",
        ),
        malformed("bare LF after a header", with_line("X-A: b\nX-B: c")),
        malformed("bare LF as the last line", "GET $P/a HTTP/1.1\r\n$H$A\n"),
        malformed("bare CR in a value", with_line("X-A: b\rX-B: c")),
        malformed("bare CR in a name", with_line("X-A\r: b")),
        malformed("two CR before LF", with_line("X-A: b\r")),
        malformed("bare CR as a line", "GET $P/a HTTP/1.1\r\n$H$A\r\r\n"),
        malformed(
            "an empty line before the request",
            "\r\nGET $P/a HTTP/1.1\r\n$H$A\r\n",
        ),
        malformed("LF before the request", "\nGET $P/a HTTP/1.1\r\n$H$A\r\n"),
        malformed(
            "a blank before the request",
            " GET $P/a HTTP/1.1\r\n$H$A\r\n",
        ),
        malformed(
            "a header before the request line",
            "X-A: b\r\nGET $P/a HTTP/1.1\r\n$H$A\r\n",
        ),
        malformed("a folded value", with_line("X-A: b\r\n c")),
        malformed("a value folded by a tab", with_line("X-A: b\r\n\tc")),
        malformed(
            "a folded first header",
            "GET $P/a HTTP/1.1\r\n X-A: b\r\n$H$A\r\n",
        ),
        malformed("a line of blanks alone", with_line(" ")),
        malformed("CVE-2023-25725: an empty name", with_line(": b\r\nX-B: c")),
        malformed("CVE-2023-25725: nothing but a colon", with_line(":")),
        malformed("a line without a colon", with_line("X-A b")),
        malformed("a blank before the colon", with_line("X-A : b")),
        malformed("a tab before the colon", with_line("X-A\t: b")),
        malformed("a blank in a name", with_line("X A: b")),
        malformed("brackets in a name", with_line("X(A): b")),
        malformed("quotes in a name", with_line("\"X-A\": b")),
        malformed("a slash in a name", with_line("X/A: b")),
        malformed("a name beyond ASCII", with_line("X-\u{e9}: b")),
        malformed(
            "a host beyond ASCII",
            "GET $P/a HTTP/1.1\r\nHost: h\u{e9}\r\n$A\r\n",
        ),
        malformed(
            "a credential beyond ASCII",
            with_line("Authorization: Bearer \u{e9}"),
        ),
        malformed(
            "our own name beyond ASCII",
            with_line("Portcullis-Task: \u{e9}"),
        ),
    ];
    run(Gateway::start(), &cases);
}

#[test]
fn request_lines() {
    let line = |line: &str| format!("{line}\r\n$H$A\r\n");
    let cases = [
        served("HTTP/1.1", line("GET $P/a HTTP/1.1"), &["GET $P/a"]),
        served(
            "another method",
            line("PATCH $P/a HTTP/1.1"),
            &["PATCH $P/a"],
        ),
        served(
            "options of a path",
            line("OPTIONS $P/a HTTP/1.1"),
            &["OPTIONS $P/a"],
        ),
        malformed("two blanks before the target", line("GET  $P/a HTTP/1.1")),
        malformed("two blanks before the version", line("GET $P/a  HTTP/1.1")),
        malformed("a tab before the target", line("GET\t$P/a HTTP/1.1")),
        malformed("a tab before the version", line("GET $P/a\tHTTP/1.1")),
        malformed("a blank behind the version", line("GET $P/a HTTP/1.1 ")),
        malformed("something behind the version", line("GET $P/a HTTP/1.1 x")),
        malformed("a blank in the target", line("GET $P/a b HTTP/1.1")),
        malformed("no version", line("GET $P/a")),
        malformed("no target", line("GET HTTP/1.1")),
        malformed("a method alone", line("GET")),
        malformed("HTTP/0.9", line("GET $P/a HTTP/0.9")),
        malformed("HTTP/1.2", line("GET $P/a HTTP/1.2")),
        malformed("HTTP/2.0", line("GET $P/a HTTP/2.0")),
        malformed("HTTP/3", line("GET $P/a HTTP/3")),
        malformed("HTTP/1.10", line("GET $P/a HTTP/1.10")),
        malformed("HTTP/01.1", line("GET $P/a HTTP/01.1")),
        malformed("http in small letters", line("GET $P/a http/1.1")),
        malformed("another protocol", line("GET $P/a RTSP/1.0")),
        malformed("a method with a slash", line("GE/T $P/a HTTP/1.1")),
        malformed("a method with a colon", line("GET: $P/a HTTP/1.1")),
        malformed("a method beyond ASCII", line("GE\u{e9} $P/a HTTP/1.1")),
        malformed("CONNECT to a host", line("CONNECT h:443 HTTP/1.1")),
        malformed("CONNECT to a path", line("CONNECT $P/a HTTP/1.1")),
        malformed("TRACE", line("TRACE $P/a HTTP/1.1")),
        malformed("an HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        malformed(
            "a TLS hello",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        ),
        malformed("an SSH banner", "SSH-2.0-x\r\n"),
        malformed("an SMTP greeting", "EHLO h\r\n"),
        malformed(
            "a method in small letters is another method",
            line("connect h:1 HTTP/1.1"),
        ),
    ];
    run(Gateway::start(), &cases);
}

/// Every control character, in every part of a head.
#[test]
fn control_characters() {
    let controls = (0..b' ').chain([0x7f]);
    let mut cases = Vec::new();
    for control in controls {
        let shown = char::from(control).escape_default();
        let c = char::from(control);
        if !matches!(control, b'\t' | b'\n') {
            let name = format!("`{shown}` in a value");
            cases.push(malformed(&name, with_line(&format!("X-A: b{c}d"))));
        }
        let name = format!("`{shown}` in a name");
        cases.push(malformed(&name, with_line(&format!("X-{c}A: b"))));
        let name = format!("`{shown}` in a target");
        let line = format!("GET $P/a{c}b HTTP/1.1\r\n$H$A\r\n");
        cases.push(malformed(&name, line));
        let name = format!("`{shown}` in a method");
        cases.push(malformed(
            &name,
            format!("GE{c}T $P/a HTTP/1.1\r\n$H$A\r\n"),
        ));
    }
    run(Gateway::start(), &cases);
}
