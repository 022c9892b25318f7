use std::sync::LazyLock;

use proptest::prelude::*;

use http::Request;

use super::*;

const TRACE: &[u8] = b"00-11111111111111111111111111111111-2222222222222222-01";

static PEER: HeaderValue = HeaderValue::from_static("192.0.2.7");

static REQUEST_ID: LazyLock<RequestId> = LazyLock::new(|| RequestId::of("r-1"));

fn statement<'a>(trusted_proxy: bool) -> Statement<'a> {
    Statement {
        who: Parties {
            agent: b"bot",
            task: Some(b"tsk_1"),
            grant: Some(b"grt_1"),
        },
        request_id: &REQUEST_ID,
        trace: TRACE,
        peer: &PEER,
        trusted_proxy,
        secure: true,
        credential: None,
    }
}

fn forwarded(headers: &[(&str, &str)], statement: &Statement<'_>) -> HeaderMap {
    let mut request = Request::get("/orders?x=1").header("host", "gate.example:8443");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let parts = request.body(()).unwrap().into_parts().0;
    let canonical = Canonical::read(parts, 8192).unwrap();
    let protocol = Protocol::Http;
    let request = rewrite(&canonical, "/orders", protocol, statement, Body::empty()).unwrap();
    assert_eq!(request.target, "/orders?x=1");
    request.fields.into_headers().unwrap()
}

#[test]
fn cookies_are_one_line() {
    for (sent, expected) in [
        (&["a=b"][..], "a=b"),
        (&["a=b", "c=d; e=f", "g=h"], "a=b; c=d; e=f; g=h"),
    ] {
        let sent: Vec<_> = sent.iter().map(|crumb| ("cookie", *crumb)).collect();
        let headers = forwarded(&sent, &statement(false));
        let lines: Vec<_> = headers.get_all("cookie").iter().collect();
        assert_eq!(lines, [expected]);
    }
}

#[test]
fn the_upstream_learns_who_calls_and_never_the_token() {
    let sent = [
        ("authorization", "Bearer abcdef.ghijkl.mnopqr"),
        ("dpop", "proof"),
        ("portcullis-agent", "admin"),
        ("x-forwarded-for", "127.0.0.1"),
        ("forwarded", "for=127.0.0.1"),
        ("x_forwarded_user", "root"),
        ("accept", "text/plain"),
    ];
    let headers = forwarded(&sent, &statement(false));
    let mut lines: Vec<String> = headers
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    lines.sort();
    assert_eq!(
        lines,
        [
            "accept: text/plain",
            "host: gate.example:8443",
            "portcullis-agent: bot",
            "portcullis-grant: grt_1",
            "portcullis-request-id: r-1",
            "portcullis-task: tsk_1",
            "traceparent: 00-11111111111111111111111111111111-2222222222222222-01",
            "via: 1.1 portcullis",
            "x-forwarded-for: 192.0.2.7",
            "x-forwarded-host: gate.example:8443",
            "x-forwarded-proto: https",
        ]
    );
}

#[test]
fn connection_takes_away_the_clients_headers_and_never_ours() {
    let sent = [
        (
            "connection",
            "x-drop, portcullis-agent, x-forwarded-for, host",
        ),
        ("x-drop", "1"),
        ("upgrade", "h2c"),
        ("te", "trailers"),
    ];
    let headers = forwarded(&sent, &statement(false));
    for gone in ["connection", "x-drop", "upgrade", "te"] {
        assert!(!headers.contains_key(gone), "{gone}");
    }
    assert_eq!(headers["portcullis-agent"], "bot");
    assert_eq!(headers["x-forwarded-for"], "192.0.2.7");
}

#[test]
fn a_trusted_proxy_speaks_for_the_client_before_it() {
    let sent = [
        ("x-forwarded-for", "203.0.113.9"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "public.example"),
    ];
    let headers = forwarded(&sent, &statement(true));
    assert_eq!(headers["x-forwarded-for"], "203.0.113.9, 192.0.2.7");
    assert_eq!(headers["x-forwarded-proto"], "http");
    assert_eq!(headers["x-forwarded-host"], "public.example");
}

#[test]
fn the_injected_credential_wins_over_one_that_was_sent() {
    let (name, value) = (
        HeaderName::from_static("x-api-key"),
        "ours".parse().unwrap(),
    );
    let statement = Statement {
        credential: Some((&name, &value)),
        ..statement(false)
    };
    let headers = forwarded(
        &[("x-api-key", "theirs"), ("x-api-key", "more")],
        &statement,
    );
    let keys: Vec<_> = headers.get_all("x-api-key").iter().collect();
    assert_eq!(keys, ["ours"]);
}

#[test]
fn an_answer_loses_what_belongs_to_its_connection() {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("connection", "x-hop"),
        ("x-hop", "1"),
        ("keep-alive", "timeout=5"),
        ("alt-svc", "h3=\":443\""),
        ("portcullis-agent", "spoofed"),
        ("content-type", "text/plain"),
    ] {
        headers.insert(name, value.parse().unwrap());
    }
    clean_answer(&mut headers);
    let names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
    assert_eq!(names, ["content-type"]);
}

proptest! {
    #[test]
    fn whatever_is_sent_ours_are_said_once(
        names in prop::collection::vec("[a-z_-]{1,4}|portcullis-(agent|task|grant)|x-forwarded-(for|host)|connection|via", 0..12),
        values in prop::collection::vec("[a-z, -]{0,20}", 12),
    ) {
        let sent: Vec<_> = names
            .iter()
            .zip(&values)
            .filter(|(name, _)| HeaderName::from_bytes(name.as_bytes()).is_ok())
            .map(|(name, value)| (name.as_str(), value.trim()))
            .collect();
        let headers = forwarded(&sent, &statement(false));
        for (name, said) in [
            ("portcullis-agent", "bot"),
            ("portcullis-task", "tsk_1"),
            ("portcullis-grant", "grt_1"),
            ("x-forwarded-for", "192.0.2.7"),
            ("host", "gate.example:8443"),
        ] {
            let values: Vec<_> = headers.get_all(name).iter().collect();
            prop_assert_eq!(values, [said]);
        }
    }
}
