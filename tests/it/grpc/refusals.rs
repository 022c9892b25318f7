//! Refusals as clients of gRPC read them: a status and a message in the head, and once more behind the document.

use http::HeaderMap;
use serde_json::{Value, json};

use crate::harness::{Answer, Call, Gateway, Plan, run};

/// The next step of a refusal for want of a grant, in words.
fn next(gate: &Gateway, entitlement: &str) -> String {
    let control = &gate.control_url;
    format!("the entitlement `{entitlement}` at {control}/v1/requests")
}

fn call<'g>(gate: &'g Gateway, path: &str) -> Call<'g> {
    let call = gate.call("POST", path).http2();
    call.header("content-type", "application/grpc")
        .header("te", "trailers")
}

/// What `headers` tell a client of gRPC.
fn told(headers: &HeaderMap) -> (&str, String) {
    let one = |name: &str| {
        let mut values = headers.get_all(name).iter();
        let value = values.next().unwrap_or_else(|| panic!("no `{name}`"));
        assert_eq!(values.next(), None, "`{name}` is there twice");
        value.to_str().unwrap()
    };
    let message = one("grpc-message");
    let mut bytes = Vec::new();
    let mut pieces = message.split('%');
    bytes.extend_from_slice(pieces.next().unwrap().as_bytes());
    for piece in pieces {
        bytes.push(u8::from_str_radix(&piece[..2], 16).unwrap());
        bytes.extend_from_slice(&piece.as_bytes()[2..]);
    }
    (one("grpc-status"), String::from_utf8(bytes).unwrap())
}

/// Asserts that a client of gRPC is told this, whichever of the two places it reads, and returns the document.
#[track_caller]
fn tells(answer: &Answer, (status, code): (u16, &str), (grpc, message): (&str, &str)) -> Value {
    let problem = answer.refusal(status, code);
    let expected = (grpc, message.to_owned());
    assert_eq!(told(&answer.headers), expected);
    let trailers = answer.trailers.as_ref().expect("trailers");
    assert_eq!(told(trailers), expected);
    assert_eq!(trailers.len(), 2, "{trailers:?}");
    problem
}

/// Asserts that nothing is said of gRPC.
#[track_caller]
fn tells_nothing(answer: &Answer) {
    let headers = answer
        .headers
        .keys()
        .chain(answer.trailers.iter().flat_map(HeaderMap::keys));
    let said: Vec<_> = headers
        .filter(|name| name.as_str().starts_with("grpc-"))
        .collect();
    assert!(said.is_empty(), "{said:?}");
}

#[test]
fn a_missing_grant_is_told_with_the_steps_to_get_it() {
    run(async {
        let gate = Plan::new().tls().start().await;
        let bot = gate.agent("bot");
        let answer = call(&gate, "/shop/data/1")
            .bearer(&bot.token().await)
            .send()
            .await;
        let (control, ask) = (&gate.control_url, next(&gate, "work"));
        let message = format!(
            "grant_required: open a task, get a token for it and request the entitlement `work`; next: \
             a task at {control}/v1/tasks, a token for it at {control}/oauth/token, {ask}"
        );
        let problem = tells(&answer, (403, "grant_required"), ("7", &message));
        assert_eq!(problem["next"]["approval"], false);
        assert_eq!(answer.challenge().unwrap().param("scope"), "work");

        let work = bot.opens().await;
        let answer = call(&gate, "/shop/data/1").bearer(&work.token).send().await;
        let message =
            format!("grant_required: request the entitlement `work` for your task; next: {ask}");
        tells(&answer, (403, "grant_required"), ("7", &message));
        assert_eq!(gate.upstream.count(), 0, "{:?}", gate.upstream.recorded());
    });
}

/// Each check of a request has its refusal, and each is told: what comes before the reading of a request, too.
#[test]
fn every_check_is_told() {
    run(async {
        let gate = Plan::new().tls().start().await;
        let work = gate.agent("bot").works("work").await;
        let without = call(&gate, "/shop/data/1").send().await;
        let (grpc, message) = told(&without.headers);
        assert_eq!(grpc, "16");
        assert!(message.starts_with("token_missing: "), "{message}");
        tells(&without, (401, "token_missing"), (grpc, &message));

        let nowhere = call(&gate, "/shop/nowhere")
            .bearer(&work.token)
            .send()
            .await;
        let message = "operation_unknown: no operation answers to this method and path";
        tells(&nowhere, (404, "operation_unknown"), ("12", message));

        let twice = call(&gate, "/shop/data/1")
            .bearer(&work.token)
            .bearer(&work.token);
        let message = "request_malformed: the request has more than one Authorization";
        tells(
            &twice.send().await,
            (400, "request_malformed"),
            ("3", message),
        );

        let odd = call(&gate, "/shop//data").bearer(&work.token).send().await;
        let message = "path_ambiguous: a path has no empty segments";
        tells(&odd, (400, "path_ambiguous"), ("3", message));

        let mut many = call(&gate, "/shop/data/1").bearer(&work.token);
        for number in 0..100 {
            many = many.header(&format!("x-{number}"), "x");
        }
        let message = "too_large: a request has at most 100 header lines";
        tells(&many.send().await, (431, "too_large"), ("8", message));
    });
}

/// A rule's own words pass with whatever letters they have, and with a limit.
#[test]
fn a_rule_is_named_and_its_message_told() {
    run(async {
        let rules = |message: &str| {
            format!(
                "@id(\"ask\") permit (principal, action == Action::\"request\", resource);\n\
                 @id(\"open\") permit (principal, action in Action::\"open\", resource);\n\
                 @id(\"closed\") @message(\"{message}\")\n\
                 forbid (principal, action == Action::\"shop.data\", resource);"
            )
        };
        let (long, most) = ("ö".repeat(240), "ö".repeat(167) + "...");
        for (message, expected) in [
            ("über 100 %: nein", "über 100 %: nein (rule `closed`)"),
            (&long, &most),
        ] {
            let plan = Plan::new().tls().file("rules.cedar", &rules(message));
            let gate = plan.start().await;
            let work = gate.agent("bot").works("work").await;
            let answer = call(&gate, "/shop/data/1").bearer(&work.token).send().await;
            let expected = format!("condition_denied: {expected}");
            let problem = tells(&answer, (403, "condition_denied"), ("7", &expected));
            assert_eq!(problem["detail"], message);
        }
    });
}

#[test]
fn who_may_ask_for_nothing_learns_no_names() {
    run(async {
        let gate = Plan::new().tls().start().await;
        let token = gate.agent("outsider").token().await;
        let answer = call(&gate, "/shop/data/1").bearer(&token).send().await;
        let message = "not_entitled: nothing that this agent may ask for covers this operation";
        tells(&answer, (403, "not_entitled"), ("7", message));
    });
}

/// Browsers show a client no trailers, and over HTTP/1.1 none are sent to who does not ask for them.
#[test]
fn clients_of_the_web_are_told_in_the_head() {
    run(async {
        for secure in [true, false] {
            let plan = Plan::new();
            let gate = if secure { plan.tls() } else { plan }.start().await;
            for kind in ["application/grpc-web", "application/grpc-web-text+proto"] {
                let mut call = gate
                    .call("POST", "/shop/data/1")
                    .header("content-type", kind);
                if secure {
                    call = call.http2();
                }
                let answer = call.send().await;
                answer.refusal(401, "token_missing");
                let (grpc, message) = told(&answer.headers);
                assert_eq!(grpc, "16");
                assert!(message.starts_with("token_missing: "), "{message}");
                assert_eq!(answer.trailers, None);
            }
        }
    });
}

#[test]
fn others_are_told_nothing_of_it() {
    run(async {
        let gate = Plan::new().tls().start().await;
        let work = gate.agent("bot").opens().await;
        let post = || gate.call("POST", "/shop/pay").bearer(&work.token).http2();
        for call in [
            post(),
            post().json(&json!({ "amount": 1 })),
            post().header("content-type", "application/grpcx"),
            gate.call("GET", "/shop/items").bearer(&work.token).http2(),
        ] {
            let answer = call.send().await;
            answer.refusal(403, "grant_required");
            tells_nothing(&answer);
            assert_eq!(answer.trailers, None);
        }
    });
}
