//! What the upstream receives and what the client gets back: every byte, and nothing that is not theirs.

mod answers;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, Version};
use serde_json::json;

use crate::harness::{
    Client, Gateway, HELLO, Plan, Raw, Recorded, Stub, Work, full, join_all, pipe, run,
};

/// A mebibyte in which every place differs from its neighbours.
fn mebibyte() -> Bytes {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let words = (0..(1 << 20) / 8).flat_map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.collect()
}

/// A gateway, and a grant for everything that the tests below call.
async fn granted(plan: Plan) -> (Gateway, Work) {
    let gate = plan.start().await;
    let work = gate.agent("bot").works("work").await;
    (gate, work)
}

/// A gateway whose upstream is played by the test.
async fn played() -> (Gateway, Work, Stub) {
    let stub = Stub::bind().await;
    let services = stub.service();
    let (gate, work) = granted(Plan::new().file("services.toml", &services)).await;
    (gate, work, stub)
}

#[test]
fn the_upstream_learns_who_calls_and_never_sees_the_token() {
    run(async {
        let (gate, work) = granted(Plan::new()).await;
        let call = gate
            .call("GET", "/shop/items?page=2&q=a%20b")
            .bearer(&work.token);
        let answer = call.header("x-note", "kept").send().await.expect(200);
        assert_eq!(answer.text(), HELLO);
        let arrived = gate.upstream.only();
        assert_eq!(arrived.target, "/shop/items?page=2&q=a%20b");
        let authority = gate.public_url.strip_prefix("http://").unwrap();
        for (name, value) in [
            ("portcullis-agent", "bot"),
            ("portcullis-task", work.task.as_str()),
            ("portcullis-grant", work.grant.as_str()),
            (
                "portcullis-request-id",
                answer.header("portcullis-request-id").unwrap(),
            ),
            ("x-forwarded-for", "127.0.0.1"),
            ("x-forwarded-proto", "http"),
            ("x-forwarded-host", authority),
            ("host", authority),
            ("x-note", "kept"),
        ] {
            assert_eq!(arrived.header(name), Some(value), "{name}");
        }
        assert_eq!(arrived.header("authorization"), None);
        assert!(!format!("{arrived:?}").contains(&work.token));
        let trace = arrived.header("traceparent").unwrap();
        let parts: Vec<_> = trace.split('-').collect();
        assert_eq!(
            [2, 32, 16, 2],
            parts[..].iter().map(|p| p.len()).collect::<Vec<_>>()[..]
        );
    });
}

#[test]
fn a_baseline_call_names_no_task_and_no_grant() {
    run(async {
        let gate = Plan::new().start().await;
        let token = gate.agent("bot").token().await;
        gate.call("GET", "/shop/status")
            .bearer(&token)
            .send()
            .await
            .expect(200);
        let arrived = gate.upstream.only();
        assert_eq!(arrived.header("portcullis-agent"), Some("bot"));
        assert_eq!(arrived.header("portcullis-task"), None);
        assert_eq!(arrived.header("portcullis-grant"), None);
    });
}

/// Headers that only the gateway may say, or that end at it.
const SPOOFED: [(&str, &str); 27] = [
    ("Portcullis-Agent", "root"),
    ("PORTCULLIS-GRANT", "g-forged"),
    ("Portcullis-Request-Id", "forged"),
    ("Portcullis-Anything", "forged"),
    ("Portcullis_Agent", "root"),
    ("X-Forwarded-For", "10.9.9.9"),
    ("X-Forwarded-Proto", "gopher"),
    ("X-Forwarded-Host", "forged.example"),
    ("X-Forwarded-Port", "1"),
    ("X-Forwarded-Prefix", "/admin"),
    ("X_Forwarded_For", "10.9.9.9"),
    ("X-Real-Ip", "10.9.9.9"),
    ("Forwarded", "for=10.9.9.9"),
    ("DPoP", "proof"),
    ("Proxy-Authorization", "Basic eA=="),
    ("Proxy-Connection", "keep-alive"),
    ("Proxy-Authenticate", "Basic"),
    ("Keep-Alive", "timeout=5"),
    ("TE", "trailers"),
    ("Trailer", "x-checksum"),
    ("Upgrade", "websocket"),
    ("HTTP2-Settings", "AAMAAABkAAQAoAAAAAIAAAAA"),
    (
        "Connection",
        "close, x-listed, portcullis-agent, x-forwarded-for, host",
    ),
    ("X-Listed", "hop"),
    ("Via", "1.0 forged"),
    ("Expect", "nothing"),
    (
        "traceparent",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    ),
];

#[test]
fn what_only_the_gateway_may_say_is_not_taken_from_a_client() {
    run(async {
        let (gate, work) = granted(Plan::new()).await;
        let mut raw = Raw::connect(&gate).await;
        let token = &work.token;
        let mut request = format!(
            "GET /shop/items HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
        );
        for (name, value) in SPOOFED.iter().filter(|(name, _)| *name != "Expect") {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        raw.say(format!("{request}\r\n")).await;
        let head = raw.head().await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        let arrived = gate.upstream.only();
        let mut names: Vec<&str> = arrived.headers.keys().map(|name| name.as_str()).collect();
        names.sort_unstable();
        let wanted = [
            "host",
            "portcullis-agent",
            "portcullis-grant",
            "portcullis-request-id",
            "portcullis-task",
            "traceparent",
            "via",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-proto",
        ];
        assert_eq!(names, wanted, "{arrived:?}");
        assert_eq!(arrived.header("portcullis-agent"), Some("bot"));
        assert_eq!(arrived.header("x-forwarded-for"), Some("127.0.0.1"));
        assert_eq!(arrived.header("x-forwarded-proto"), Some("http"));
        let shown = format!("{arrived:?}");
        for forged in ["forged", "root", "10.9.9.9", "gopher", "hop\""] {
            assert!(!shown.contains(forged), "`{forged}` in {shown}");
        }
        // The trace goes on, in a span of the gateway's own.
        let trace = arrived.header("traceparent").unwrap();
        assert!(
            trace.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"),
            "{trace}"
        );
        assert!(!trace.contains("00f067aa0ba902b7"), "{trace}");
    });
}

#[test]
fn a_trusted_proxy_speaks_for_its_client() {
    run(async {
        let plan = Plan::new().gateway("trusted_proxies = [\"127.0.0.0/8\", \"10.0.0.0/8\"]");
        let (gate, work) = granted(plan).await;
        let call = gate.call("GET", "/shop/items").bearer(&work.token);
        let call = call.header("x-forwarded-for", "203.0.113.9, 198.51.100.7, 10.1.1.1");
        let call = call.header("x-forwarded-proto", "https");
        call.header("x-forwarded-host", "gate.example")
            .send()
            .await
            .expect(200);
        let arrived = gate.upstream.only();
        let chain = "203.0.113.9, 198.51.100.7, 10.1.1.1, 127.0.0.1";
        assert_eq!(arrived.header("x-forwarded-for"), Some(chain));
        assert_eq!(arrived.header("x-forwarded-proto"), Some("https"));
        assert_eq!(arrived.header("x-forwarded-host"), Some("gate.example"));
        let mut gate = gate;
        let lines = gate.stop().await;
        let call = lines.iter().find(|line| line["kind"] == "call").unwrap();
        assert_eq!(
            call["source"], "198.51.100.7",
            "the last hop that nobody vouches for"
        );
    });
}

#[test]
fn the_services_credential_is_added_and_never_shown() {
    run(async {
        let services = r#"
            [[service]]
            name = "shop"
            match = { path = "/shop" }
            upstreams = ["http://{upstream}"]
            inject = { header = "Authorization", value_from = "file:{secret}" }
        "#;
        let directory = tempfile::tempdir().unwrap();
        let secret = directory.path().join("shop");
        std::fs::write(&secret, "Basic c2hvcDpzM2NyM3Q=\n").unwrap();
        let services = services.replace("{secret}", secret.to_str().unwrap());
        let allow = format!(
            "[credentials]\nallow = [\"file:{}/*\"]\n",
            directory.path().display()
        );
        let (gate, work) = granted(
            Plan::new()
                .file("services.toml", &services)
                .settings(&allow),
        )
        .await;
        let call = gate.call("GET", "/shop/items").bearer(&work.token);
        let answer = call.send().await.expect(200);
        let arrived = gate.upstream.only();
        assert_eq!(
            arrived.header("authorization"),
            Some("Basic c2hvcDpzM2NyM3Q=")
        );
        assert!(!format!("{answer:?}").contains("c2hvcDpzM2NyM3Q"));
    });
}

#[test]
fn a_service_by_host_and_one_without_its_prefix_get_their_requests() {
    run(async {
        let services = r#"
            [[service]]
            name = "shop"
            match = { host = "shop.internal" }
            upstreams = ["http://{upstream}"]

            [[service]]
            name = "stripped"
            match = { path = "/short", strip = true }
            upstreams = ["http://{upstream}"]
        "#;
        let operations = r#"
            [[operation]]
            id = "shop.status"
            service = "shop"
            route = "GET /status"
            baseline = true

            [[operation]]
            id = "stripped.status"
            service = "stripped"
            route = "GET /status"
            baseline = true
        "#;
        let plan = Plan::new()
            .file("services.toml", services)
            .file("operations.toml", operations)
            .file("entitlements.toml", "# none")
            .file(
                "rules.cedar",
                "@id(\"all\") permit (principal, action, resource);",
            );
        let gate = plan.start().await;
        let token = gate.agent("bot").token().await;
        let by_host = gate
            .call("GET", "/status")
            .header("host", "SHOP.internal:8443");
        by_host.bearer(&token).send().await.expect(200);
        assert_eq!(gate.upstream.last().target, "/status");
        assert_eq!(
            gate.upstream.last().header("host"),
            Some("shop.internal:8443")
        );
        let stripped = gate.call("GET", "/short/status?x=1").bearer(&token);
        stripped.send().await.expect(200);
        assert_eq!(gate.upstream.last().target, "/status?x=1");
        let whole = gate.call("GET", "/status").bearer(&token).send().await;
        whole.refusal(404, "operation_unknown");
    });
}

#[test]
fn uploads_arrive_byte_for_byte() {
    run(async {
        let (gate, work) = granted(Plan::new()).await;
        let body = mebibyte();
        let put = || gate.call("PUT", "/shop/data/file").bearer(&work.token);
        put().bytes(body.clone()).send().await.expect(200);
        let arrived = gate.upstream.last();
        assert!(arrived.body == body, "with a length");
        assert_eq!(arrived.header("content-length"), Some("1048576"));

        let (feed, stream) = pipe();
        let sent = put().body(stream).send();
        let pieces = body.clone();
        let (answer, ()) = tokio::join!(sent, async move {
            for piece in pieces.chunks(10_007) {
                feed.send(Bytes::copy_from_slice(piece)).await;
            }
        });
        answer.expect(200);
        let arrived = gate.upstream.last();
        assert!(arrived.body == body, "chunked");
        assert_eq!(arrived.header("content-length"), None);
        assert_eq!(arrived.header("transfer-encoding"), Some("chunked"));
        assert_eq!(arrived.trailers, None);
    });
}

#[test]
fn a_body_that_inputs_are_read_from_arrives_as_it_was_sent() {
    run(async {
        let (gate, work) = granted(Plan::new()).await;
        let body = "{ \"note\" : \"\\u00e9 1e2\" ,\r\n\t\"amount\": 5 }  ";
        let call = gate.call("POST", "/shop/pay").bearer(&work.token);
        let call = call.header("content-type", "application/json").bytes(body);
        call.send().await.expect(200);
        assert_eq!(gate.upstream.only().body, body);
    });
}

/// gRPC has a use for them, so they go on: those that would pass as headers, too.
#[test]
fn trailers_of_a_grpc_request_pass() {
    run(async {
        let operations = "[[operation]]\nid = \"shop.rpc\"\nservice = \"shop\"\n\
             route = \"POST /shop/rpc\"\ngroups = [\"open\"]\nbaseline = true\nprotocol = \"grpc\"\n";
        let plan = Plan::new().tls().file("rpc.toml", operations);
        let gate = plan.start().await;
        let token = gate.agent("bot").token().await;
        gate.upstream.answer(|_| {
            let (feed, body) = pipe();
            tokio::spawn(async move {
                feed.send("answer").await;
                let mut trailers = HeaderMap::new();
                trailers.insert("grpc-status", HeaderValue::from_static("0"));
                trailers.insert("portcullis-agent", HeaderValue::from_static("root"));
                feed.trailers(trailers).await;
            });
            let response = Response::builder().header("trailer", "grpc-status, portcullis-agent");
            response.body(body).unwrap()
        });
        let (feed, body) = pipe();
        let call = gate
            .call("POST", "/shop/rpc")
            .bearer(&token)
            .header("te", "trailers")
            .header(
                "trailer",
                "x-sum, portcullis-agent, authorization, x-copy, x-sum-2",
            )
            .http2()
            .body(body);
        let (answer, ()) = tokio::join!(call.send(), async {
            feed.send("question").await;
            let mut trailers = HeaderMap::new();
            for (name, value) in [
                ("x-sum", "7"),
                ("portcullis-agent", "root"),
                ("authorization", "Bearer x"),
                ("x-sum-2", "8"),
            ] {
                trailers.insert(name, HeaderValue::from_static(value));
            }
            let copy = HeaderValue::from_str(&format!("t={token}")).unwrap();
            trailers.insert("x-copy", copy);
            feed.trailers(trailers).await;
        });
        let answer = answer.expect(200);
        assert_eq!(answer.text(), "answer");
        let trailers = answer.trailers.expect("trailers");
        assert_eq!(trailers["grpc-status"], "0");
        assert_eq!(trailers.len(), 1, "{trailers:?}");
        let arrived = gate.upstream.only();
        assert_eq!(arrived.body, "question");
        assert_eq!(arrived.header("te"), Some("trailers"));
        let trailers = arrived.trailers.expect("trailers");
        assert_eq!(trailers["x-sum"], "7");
        assert_eq!(trailers["x-sum-2"], "8");
        assert_eq!(trailers.len(), 2, "{trailers:?}");
    });
}

/// They are headers that nobody has looked at.
#[test]
fn trailers_of_a_request_stay_behind() {
    run(async {
        let (gate, work) = granted(Plan::new().tls()).await;
        for http2 in [false, true] {
            let (feed, body) = pipe();
            let call = gate
                .call("PUT", "/shop/data/x")
                .bearer(&work.token)
                .body(body);
            let call = if http2 {
                call.http2()
            } else {
                call.header("trailer", "x-role")
            };
            let (answer, ()) = tokio::join!(call.send(), async move {
                feed.send("up").await;
                let mut trailers = HeaderMap::new();
                trailers.insert("x-role", HeaderValue::from_static("admin"));
                feed.trailers(trailers).await;
            });
            answer.expect(200);
            let arrived = gate.upstream.last();
            assert_eq!(arrived.body, "up");
            assert_eq!(arrived.trailers, None);
            assert_eq!(arrived.header("trailer"), None);
        }
    });
}

#[test]
fn one_http1_connection_serves_many_requests() {
    run(async {
        for plan in [Plan::new(), Plan::new().tls()] {
            let (gate, work) = granted(plan).await;
            let mut client = Client::http1(&gate).await;
            for number in 0..20 {
                // A refusal in between does not cost the connection.
                let refused = gate.call("GET", "/nowhere").bearer(&work.token);
                refused
                    .send_on(&mut client)
                    .await
                    .refusal(404, "operation_unknown");
                let path = format!("/shop/items/{number}");
                let call = gate.call("GET", &path).bearer(&work.token);
                let answer = call.send_on(&mut client).await.expect(200);
                assert_eq!(answer.version, Version::HTTP_11);
                assert_eq!(gate.upstream.last().target, path);
            }
            assert_eq!(
                gate.upstream.connections(),
                1,
                "the upstream's connection is kept too"
            );
        }
    });
}

#[test]
fn http2_is_agreed_on_by_alpn_and_runs_calls_side_by_side() {
    run(async {
        let (gate, work) = granted(Plan::new().tls()).await;
        gate.upstream
            .answer(|request: &Recorded| Response::new(full(request.target.clone())));
        let client = Client::http2(&gate).await;
        let calls = (0..32).map(|number| {
            let (mut client, gate, work) = (client.another(), &gate, &work);
            async move {
                let path = format!("/shop/items/{number}");
                let call = gate.call("GET", &path).bearer(&work.token);
                let answer = call.send_on(&mut client).await.expect(200);
                assert_eq!(answer.version, Version::HTTP_2);
                assert_eq!(answer.text(), path);
            }
        });
        join_all(calls).await;
        for arrived in gate.upstream.recorded() {
            assert_eq!(arrived.version, Version::HTTP_11);
            assert_eq!(arrived.header("x-forwarded-proto"), Some("https"));
            let authority = gate.public_url.strip_prefix("https://");
            assert_eq!(arrived.header("host"), authority);
        }
    });
}

#[test]
fn a_client_that_asks_first_is_told_to_go_on_only_when_it_may() {
    run(async {
        let (gate, work) = granted(Plan::new()).await;
        let token = &work.token;
        let head = |path: &str, token: &str| {
            format!(
                "PUT {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
                 Content-Length: 4\r\nExpect: 100-continue\r\n\r\n"
            )
        };
        let mut raw = Raw::connect(&gate).await;
        raw.say(head("/shop/data/x", token)).await;
        assert_eq!(raw.head().await, "HTTP/1.1 100 Continue\r\n\r\n");
        raw.say("body").await;
        let answer = raw.head().await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert_eq!(gate.upstream.only().body, "body");
        assert_eq!(gate.upstream.only().header("expect"), None);

        // Refused, it is not told to send what nobody will read.
        let mut raw = Raw::connect(&gate).await;
        raw.say(head("/nowhere", token)).await;
        let answer = raw.head().await;
        assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
        assert_eq!(gate.upstream.count(), 1);
    });
}

#[test]
fn the_gateway_itself_serves_nothing_else() {
    run(async {
        let gate = Plan::new().start().await;
        let token = gate.agent("bot").token().await;
        for path in [
            "/metrics",
            "/livez",
            "/v1/tasks",
            "/oauth/token",
            "/.well-known/openid-configuration",
        ] {
            let answer = gate.call("GET", path).bearer(&token).send().await;
            answer.refusal(404, "operation_unknown");
        }
        let described = "/.well-known/oauth-protected-resource";
        let document = gate.call("GET", described).send().await.expect(200).json();
        assert_eq!(document["resource"], json!(gate.public_url));
        gate.call("POST", described).send().await.expect(405);
    });
}
