//! What a request is for: its path, its host.

use super::case::{Case, refused, run, served};
use super::harness::Gateway;

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\n$H$A\r\n")
}

fn ambiguous(name: &str, target: &str) -> Case {
    refused(name, get(target), 400)
}

#[test]
fn paths() {
    let cases = [
        served(
            "a query passes as it came",
            get("$P/a?b=c&d"),
            &["GET $P/a?b=c&d"],
        ),
        served(
            "a query may have questions",
            get("$P/a?b?c"),
            &["GET $P/a?b?c"],
        ),
        served(
            "one spelling for each path",
            get("$P/%61%20b"),
            &["GET $P/a%20b"],
        ),
        served(
            "CVE-2025-66490: what is judged is what is sent",
            get("$P/%7Ea"),
            &["GET $P/~a"],
        ),
        ambiguous("CVE-2023-45539: a fragment", "$P/a#b"),
        ambiguous("CVE-2021-32779: a fragment behind a query", "$P/a?b#c"),
        ambiguous("CVE-2019-9901: dots", "$P/a/../b"),
        ambiguous("CVE-2019-9901: a dot", "$P/./b"),
        ambiguous("CVE-2019-9901: two slashes", "$P//b"),
        ambiguous("CVE-2019-9901: dots at the end", "$P/.."),
        ambiguous("CVE-2021-29492: an encoded slash", "$P/a%2Fb"),
        ambiguous("CVE-2021-29492: an encoded backslash", "$P/a%5cb"),
        ambiguous("CVE-2025-66490: encoded dots", "$P/%2e%2E/b"),
        ambiguous("CVE-2026-26205: a path like a host", "//admin$P"),
        ambiguous("a backslash", "$P/a\\..\\b"),
        ambiguous("an encoded percent sign", "$P/%252e"),
        ambiguous("an encoded NUL", "$P/a%00"),
        ambiguous("a parameter of a segment", "$P/a;b"),
        ambiguous("a segment that ends in a dot", "$P/a."),
        ambiguous("an unfinished escape", "$P/%6"),
        ambiguous("bytes that are not UTF-8", "$P/%ff"),
        ambiguous("an overlong slash", "$P/%c0%af"),
        ambiguous("a path beyond ASCII", "$P/\u{e9}"),
        ambiguous("a query beyond ASCII", "$P/a?\u{e9}"),
        ambiguous("a quote in a query", "$P/a?\"b\""),
        ambiguous("a backslash in a query", "$P/a?b\\c"),
        ambiguous("no slash", "a"),
        ambiguous("a star", "*"),
        ambiguous("a question alone", "?a"),
        ambiguous("a host alone", "localhost:80"),
    ];
    run(Gateway::start(), &cases);
}

#[test]
fn hosts() {
    let with = |target: &str, lines: &str| format!("GET {target} HTTP/1.1\r\n{lines}$A\r\n");
    let bad = |name: &str, target: &str, lines: &str| refused(name, with(target, lines), 400);
    let cases = [
        served(
            "a URL of the same host",
            get("http://$N$P/a"),
            &["GET $P/a"],
        ),
        bad("no Host", "$P/a", ""),
        bad("no Host beside a URL", "http://$N$P/a", ""),
        bad("two Hosts", "$P/a", "$H$H"),
        bad("two other Hosts", "$P/a", "$HHost: other\r\n"),
        bad("two Hosts in a list", "$P/a", "Host: a, b\r\n"),
        bad("an empty Host", "$P/a", "Host:\r\n"),
        bad("a Host with a user", "$P/a", "Host: me@h\r\n"),
        bad("a Host with a path", "$P/a", "Host: h/x\r\n"),
        bad("a Host with a blank", "$P/a", "Host: a b\r\n"),
        bad("a Host with a scheme", "$P/a", "Host: http://h\r\n"),
        bad("a Host that is half an address", "$P/a", "Host: [::1\r\n"),
        bad("a URL of another host", "http://other$P/a", "$H"),
        bad("a URL of another port", "http://localhost:1$P/a", "$H"),
        bad("a URL with a user", "http://me@$N$P/a", "$H"),
        bad("a URL without a host", "http://$P/a", "$H"),
        bad("a URL of another scheme", "ftp://$N$P/a", "$H"),
        bad("a URL with a fragment", "http://$N$P/a#b", "$H"),
        bad("a URL without slashes", "http:$P/a", "$H"),
    ];
    run(Gateway::start(), &cases);
}
