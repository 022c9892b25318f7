//! What headers the upstream gets: none of the connection's, none that only the gateway may say.

use super::harness::Gateway;

/// Sends a request with `lines`; the upstream has to see `name` with exactly these values.
struct Check<'a> {
    what: &'a str,
    lines: &'a str,
    name: &'a str,
    values: &'a [&'a str],
}

const fn check<'a>(
    what: &'a str,
    lines: &'a str,
    name: &'a str,
    values: &'a [&'a str],
) -> Check<'a> {
    Check {
        what,
        lines,
        name,
        values,
    }
}

const CHECKS: &[Check<'static>] = &[
    check("an ordinary one passes", "X-A: b", "x-a", &["b"]),
    check("two of a kind pass", "X-A: b\r\nX-A: c", "x-a", &["b", "c"]),
    check("bytes beyond ASCII pass", "X-A: \u{e9}", "x-a", &["\u{e9}"]),
    check("the token stays here", "X-A: b", "authorization", &[]),
    check(
        "the connection's own",
        "Connection: keep-alive",
        "connection",
        &[],
    ),
    check(
        "what it lists",
        "Connection: X-Secret\r\nX-Secret: b",
        "x-secret",
        &[],
    ),
    check(
        "CVE-2024-45410: listing the gateway's own",
        "Connection: Portcullis-Agent",
        "portcullis-agent",
        &["bot"],
    ),
    check(
        "CVE-2024-45410: listing X-Forwarded-Proto",
        "Connection: close, X-Forwarded-Proto",
        "x-forwarded-proto",
        &["http"],
    ),
    check(
        "CVE-2022-31813: listing X-Forwarded-For",
        "Connection: X-Forwarded-For",
        "x-forwarded-for",
        &["127.0.0.1"],
    ),
    check(
        "CVE-2025-48865: listing X-Forwarded-Host",
        "Connection: X-Forwarded-Host",
        "x-forwarded-host",
        &["h"],
    ),
    check("listing Host", "Connection: Host", "host", &["h"]),
    check(
        "a forged agent",
        "Portcullis-Agent: root",
        "portcullis-agent",
        &["bot"],
    ),
    check(
        "a forged grant",
        "Portcullis-Grant: g",
        "portcullis-grant",
        &[],
    ),
    check(
        "a forged address",
        "X-Forwarded-For: 10.0.0.1",
        "x-forwarded-for",
        &["127.0.0.1"],
    ),
    check(
        "a forged host",
        "X-Forwarded-Host: other",
        "x-forwarded-host",
        &["h"],
    ),
    check(
        "a forged scheme",
        "X-Forwarded-Proto: https",
        "x-forwarded-proto",
        &["http"],
    ),
    check(
        "GHSA-6jwx-7vp4-9847: a forged prefix",
        "X-Forwarded-Prefix: /admin",
        "x-forwarded-prefix",
        &[],
    ),
    check(
        "CVE-2026-40575: a forged target",
        "X-Forwarded-Uri: /admin",
        "x-forwarded-uri",
        &[],
    ),
    check(
        "CVE-2025-64484: an underscore",
        "X_Forwarded_User: root",
        "x_forwarded_user",
        &[],
    ),
    check(
        "an underscore in a part",
        "X-Forwarded_For: 10.0.0.1",
        "x-forwarded_for",
        &[],
    ),
    check("Forwarded", "Forwarded: for=10.0.0.1", "forwarded", &[]),
    check("X-Real-IP", "X-Real-IP: 10.0.0.1", "x-real-ip", &[]),
    check("an identity", "X-Remote-User: root", "x-remote-user", &[]),
    check(
        "an identity of another proxy",
        "X-Auth-Request-Email: a@b",
        "x-auth-request-email",
        &[],
    ),
    check(
        "another method",
        "X-HTTP-Method-Override: DELETE",
        "x-http-method-override",
        &[],
    ),
    check(
        "another target",
        "X-Original-URL: /admin",
        "x-original-url",
        &[],
    ),
    check(
        "another target, rewritten",
        "X-Rewrite-URL: /admin",
        "x-rewrite-url",
        &[],
    ),
    check(
        "an upgrade",
        "Connection: Upgrade\r\nUpgrade: h2c",
        "upgrade",
        &[],
    ),
    check(
        "settings of HTTP/2",
        "HTTP2-Settings: AAMAAABk",
        "http2-settings",
        &[],
    ),
    check("Keep-Alive", "Keep-Alive: timeout=5", "keep-alive", &[]),
    check(
        "Proxy-Authorization",
        "Proxy-Authorization: Basic eDp5",
        "proxy-authorization",
        &[],
    ),
    check(
        "Proxy-Connection",
        "Proxy-Connection: keep-alive",
        "proxy-connection",
        &[],
    ),
    check("TE", "TE: trailers, deflate", "te", &[]),
    check("Trailer", "Trailer: X-Sum", "trailer", &[]),
    check("Expect", "Expect: 100-continue", "expect", &[]),
];

#[test]
fn headers() {
    let gateway = Gateway::start();
    for (number, check) in CHECKS.iter().enumerate() {
        let Check {
            what,
            lines,
            name,
            values,
        } = check;
        let mut client = gateway.connect();
        let target = format!("/h{number}/x");
        let request = format!(
            "GET {target} HTTP/1.1\r\nHost: h\r\n{lines}\r\nAuthorization: Bearer {}\r\n\r\n",
            gateway.token
        );
        client.send(request.as_bytes());
        let answer = client.answer().unwrap();
        assert_eq!(answer.status, 200, "{what}: {}", answer.text());
        let all = gateway.upstream.all();
        let seen = all.iter().find(|one| one.target == target).unwrap();
        assert_eq!(seen.values(name), *values, "{what}");
        let token = gateway.token.as_str();
        let leaked = seen.headers.iter().any(|(_, value)| value.contains(token));
        assert!(!leaked, "{what}: the token got through");
    }
}

/// A second copy of the token, or a second token, anywhere.
#[test]
fn one_token_in_one_place() {
    use super::case::{refused, run};

    let get = |target: &str, lines: &str| format!("GET {target} HTTP/1.1\r\n$H{lines}\r\n");
    let cases = [
        refused("two credentials", get("$P/a", "$A$A"), 400),
        refused(
            "two other credentials",
            get("$P/a", "$AAuthorization: Basic eDp5\r\n"),
            400,
        ),
        refused("a copy in a header", get("$P/a", "$AX-A: $T\r\n"), 400),
        refused(
            "a copy in a cookie",
            get("$P/a", "$ACookie: t=$T; a=b\r\n"),
            400,
        ),
        refused(
            "a copy in the query",
            get("$P/a?access_token=$T", "$A"),
            400,
        ),
        refused("a copy in the path", get("$P/$T", "$A"), 400),
    ];
    run(Gateway::start(), &cases);
}
