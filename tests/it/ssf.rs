//! Shared signals: security event tokens that a transmitter pushes, and what becomes of agents by them.

use std::time::Duration;

use http::Response;
use serde_json::{Value, json};

use crate::harness::{Answer, Client, Es256, Gateway, Plan, Work, hs256, pipe, run, unsigned};

const ISSUER: &str = "https://idp.example";
const CAEP: &str = "https://schemas.openid.net/secevent/caep/event-type";
const RISC: &str = "https://schemas.openid.net/secevent/risc/event-type";
const VERIFICATION: &str = "https://schemas.openid.net/secevent/ssf/event-type/verification";

const RISKY: &str = r#"
@id("not-when-risky")
forbid (principal, action == Action::"shop.read", resource)
when { context.risk.known && context.risk.score > 70 };
"#;

/// A gateway that takes events, and who may send them.
struct World {
    key: Es256,
    gate: Gateway,
    bearer: Option<&'static str>,
}

impl World {
    async fn start(more: &str, bearer: Option<&'static str>) -> Self {
        let key = Es256::generate();
        let jwks = json!({ "keys": [key.public_jwk("sets")] }).to_string();
        let settings = format!(
            "[[ssf_transmitter]]\nissuer = \"{ISSUER}\"\njwks_file = \"idp.json\"\n\
             audience = \"https://gate.example\"\n{more}\n\
             [[trusted_issuer]]\nissuer = \"{ISSUER}\"\njwks_file = \"idp.json\"\n\
             audience = \"https://gate.example\""
        );
        let plan = Plan::new().settings(&settings).data("idp.json", &jwks);
        let gate = plan.file("risky.cedar", RISKY).manual_clock().start().await;
        let world = Self { key, gate, bearer };
        // The key set is read beside the start.
        for number in 0..1000 {
            let jti = format!("verification-{number}");
            let claims = json!({ "jti": jti, "events": { VERIFICATION: { "state": "x" } } });
            if world.push(&world.token(&claims)).await.status == 202 {
                return world;
            }
            tokio::task::yield_now().await;
        }
        panic!("the transmitter's keys are not read");
    }

    /// The second that it is on the gateway's clock.
    fn second(&self) -> i64 {
        self.gate.clock.wall().as_second()
    }

    fn claims(&self, changes: &Value) -> Value {
        let mut claims = json!({
            "iss": ISSUER, "aud": "https://gate.example", "iat": self.second(), "jti": "1",
            "sub_id": { "format": "iss_sub", "iss": ISSUER, "sub": "bot" },
        });
        let claims = claims.as_object_mut().unwrap();
        for (name, value) in changes.as_object().unwrap() {
            match value {
                Value::Null => drop(claims.remove(name)),
                value => drop(claims.insert(name.clone(), value.clone())),
            }
        }
        claims.clone().into()
    }

    fn token(&self, changes: &Value) -> String {
        let header = json!({ "alg": "ES256", "kid": "sets", "typ": "secevent+jwt" });
        self.key.sign(&header, &self.claims(changes))
    }

    async fn push(&self, token: &str) -> Answer {
        let call = self.gate.control("POST", "/ssf/events");
        let call = call.header("content-type", "application/secevent+jwt");
        let call = call.header("accept", "application/json");
        let call = match self.bearer {
            Some(bearer) => call.bearer(bearer),
            None => call,
        };
        call.bytes(token.to_owned()).send().await
    }

    /// An event of which the gateway says that it is done.
    async fn says(&self, jti: &str, uri: &str, payload: Value) {
        let claims = json!({ "jti": jti, "events": { uri: payload } });
        let taken = self.push(&self.token(&claims)).await.expect(202);
        assert!(taken.text().is_empty(), "{}", taken.text());
    }

    async fn refused(&self, token: &str, code: &str) {
        let refused = self.push(token).await.expect(400);
        assert_eq!(refused.header("content-language"), Some("en"));
        let body = refused.json();
        assert_eq!(body["err"], code, "{body}");
        assert!(body["description"].is_string(), "{body}");
    }

    async fn reads(&self, work: &Work) -> Answer {
        let call = self.gate.call("GET", "/shop/items/1").bearer(&work.token);
        call.send().await
    }
}

fn caep(name: &str) -> String {
    format!("{CAEP}/{name}")
}

#[test]
fn a_revoked_session_ends_what_the_agent_has_and_it_begins_anew() {
    run(async {
        let world = World::start("", None).await;
        let gate = &world.gate;
        let work = gate.agent("bot").works("work").await;
        let other = gate.agent("rival").works("work").await;
        let identity = gate.agent("bot").token().await;
        let outside = {
            let now = world.second();
            let claims = json!({ "iss": ISSUER, "sub": "bot", "aud": "https://gate.example",
                                 "iat": now, "exp": now + 3600 });
            let header = json!({ "alg": "ES256", "kid": "sets", "typ": "JWT" });
            world.key.sign(&header, &claims)
        };
        let status = async |token: &str| {
            let call = gate.call("GET", "/shop/status").bearer(token);
            call.send().await
        };
        status(&identity).await.expect(200);
        status(&outside).await.expect(200);
        let (feed, body) = pipe();
        let response = Response::builder().header("content-type", "text/event-stream");
        gate.upstream.answer_next(response.body(body).unwrap());
        let mut client = Client::http1(gate).await;
        let stream = gate.call("GET", "/shop/stream").bearer(&work.token);
        let (mut opened, ()) = tokio::join!(stream.open_on(&mut client), feed.send("data: 1\n\n"));
        assert_eq!(opened.text().await, "data: 1\n\n");

        let revoked = caep("session-revoked");
        world
            .says("a", &revoked, json!({ "event_timestamp": world.second() }))
            .await;
        opened.cut().await;
        feed.closed().await;
        status(&identity).await.refusal(401, "token_invalid");
        status(&outside).await.refusal(401, "token_invalid");
        let read = world.reads(&work).await;
        assert_eq!(read.status, 401);
        world.reads(&other).await.expect(200);

        // A second later it is who it was, and the same event again changes nothing.
        gate.advance(Duration::from_secs(1));
        let work = gate.agent("bot").works("work").await;
        world.reads(&work).await.expect(200);
        let claims = json!({ "jti": "a", "events": { revoked.as_str(): {} } });
        world.push(&world.token(&claims)).await.expect(202);
        world.reads(&work).await.expect(200);
        // Another one is another.
        world.says("b", &revoked, json!({})).await;
        assert_eq!(world.reads(&work).await.status, 401);
        let mut gate = world.gate;
        let records = gate.stop().await;
        let said = |part: &str| {
            let mut details = records.iter().filter_map(|one| one["detail"].as_str());
            details.any(|detail| detail.contains(part))
        };
        let done = "session-revoked from https://idp.example, jti \"a\": tokens and 1 tasks ended";
        assert!(said(done), "{records:#?}");
        assert!(
            said("verification from https://idp.example"),
            "{records:#?}"
        );
    });
}

#[test]
fn a_disabled_account_stays_so_until_an_operator_restores_it() {
    run(async {
        let world = World::start("", None).await;
        let gate = &world.gate;
        let work = gate.agent("bot").works("items").await;
        world
            .says(
                "a",
                &format!("{RISC}/account-disabled"),
                json!({ "reason": "hijacking" }),
            )
            .await;
        assert_eq!(world.reads(&work).await.status, 401);
        world
            .says("b", &format!("{RISC}/account-enabled"), json!({}))
            .await;
        gate.advance(Duration::from_secs(1));
        let assertion = gate.agent("bot").assertion();
        let fields = [
            ("grant_type", "client_credentials"),
            (
                "client_assertion_type",
                "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            ),
            ("client_assertion", assertion.as_str()),
        ];
        let asked = gate
            .control("POST", "/oauth/token")
            .form(&fields)
            .send()
            .await;
        assert_eq!(asked.status / 100, 4, "{}", asked.text());
        let restore = gate
            .control("POST", "/v1/agents/bot/restore")
            .bearer(&gate.operator());
        restore.json(&json!({})).send().await.expect(200);
        let work = gate.agent("bot").works("items").await;
        world.reads(&work).await.expect(200);
    });
}

#[test]
fn levels_are_scores_and_an_older_one_replaces_none() {
    run(async {
        let world =
            World::start("scores = { high = 80, low = 5 }\nscore_life = \"1h\"", None).await;
        let gate = &world.gate;
        let work = gate.agent("bot").works("items").await;
        world.reads(&work).await.expect(200);
        let score = async || {
            let shown = gate
                .control("GET", "/v1/agents/bot/risk")
                .bearer(&gate.operator());
            let shown = shown.send().await.expect(200).json();
            (
                shown["score"].as_i64().unwrap(),
                shown["known"].as_bool().unwrap(),
            )
        };
        let risk = caep("risk-level-change");
        let early = world.second();
        gate.advance(Duration::from_secs(5));
        world
            .says(
                "a",
                &risk,
                json!({ "current_level": "HIGH", "principal": "USER" }),
            )
            .await;
        assert_eq!(score().await, (80, true));
        world.reads(&work).await.refusal(403, "condition_denied");
        let old = json!({ "jti": "b", "iat": early, "events": { risk.as_str(): { "current_level": "LOW" } } });
        world.push(&world.token(&old)).await.expect(202);
        assert_eq!(score().await, (80, true));
        gate.advance(Duration::from_secs(5));
        world
            .says("c", &risk, json!({ "current_level": "LOW" }))
            .await;
        assert_eq!(score().await, (5, true));
        world.reads(&work).await.expect(200);
        let assurance = caep("assurance-level-change");
        let level = |direction: &str| json!({ "namespace": "NIST-AAL", "current_level": "nist-aal1", "change_direction": direction });
        world.says("d", &assurance, level("decrease")).await;
        assert_eq!(score().await, (50, true));
        world.says("e", &assurance, level("increase")).await;
        assert_eq!(score().await, (5, true));
        gate.advance(Duration::from_hours(1));
        assert_eq!(score().await, (100, false));
    });
}

#[test]
fn a_subject_names_an_agent_as_a_trusted_issuer_does() {
    run(async {
        let world = World::start("", None).await;
        let gate = &world.gate;
        let score = async || {
            let shown = gate
                .control("GET", "/v1/agents/bot/risk")
                .bearer(&gate.operator());
            let shown = shown.send().await.expect(200).json();
            shown["score"].as_i64().unwrap()
        };
        let mut number = 0;
        let mut reaches = async |subject: &Value| {
            number += 1;
            // Another one than now, so that it shows whether it is taken.
            let (level, expected) = match score().await {
                90 => ("LOW", 10),
                _ => ("HIGH", 90),
            };
            let risk = caep("risk-level-change");
            let claims = json!({
                "jti": format!("s{number}"), "sub_id": subject,
                "events": { risk.as_str(): { "current_level": level } },
            });
            world.push(&world.token(&claims)).await.expect(202);
            score().await == expected
        };
        let own = json!({ "format": "iss_sub", "iss": ISSUER, "sub": "bot" });
        for subject in [
            own.clone(),
            json!({ "format": "opaque", "id": "bot" }),
            json!({ "format": "email", "email": "bot" }),
            json!({ "format": "account", "uri": "acct:bot" }),
            json!({ "format": "complex", "user": own.clone(), "device": { "format": "opaque", "id": "x" } }),
            json!({ "format": "complex", "application": { "format": "opaque", "id": "bot" } }),
            json!({ "format": "aliases", "identifiers": [{ "format": "email", "email": "nobody" }, own.clone()] }),
        ] {
            assert!(reaches(&subject).await, "{subject}");
        }
        let rival = json!({ "format": "opaque", "id": "rival" });
        for subject in [
            json!({ "format": "iss_sub", "iss": "https://other.example", "sub": "bot" }),
            json!({ "format": "opaque", "id": "nobody" }),
            json!({ "format": "unheard-of", "id": "bot" }),
            json!({ "format": "complex", "user": own.clone(), "application": rival }),
            json!({ "format": "complex", "device": own.clone() }),
            json!({ "format": "aliases", "identifiers": [{ "format": "aliases", "identifiers": [own.clone()] }] }),
            json!({ "id": "bot" }),
        ] {
            assert!(!reaches(&subject).await, "{subject}");
        }
        // Before version 1.0 the subject stood in the event.
        let risk = caep("risk-level-change");
        for (jti, level, expected) in [("x", "MEDIUM", 50), ("y", "HIGH", 90)] {
            let claims = json!({
                "jti": jti, "sub_id": null,
                "events": { risk.as_str(): { "current_level": level, "subject": own } },
            });
            world.push(&world.token(&claims)).await.expect(202);
            assert_eq!(score().await, expected);
        }
    });
}

#[test]
fn what_is_not_believed_is_refused_by_the_registered_codes() {
    run(async {
        let world = World::start("", None).await;
        let second = world.second();
        let work = world.gate.agent("bot").works("items").await;
        let events = json!({ caep("session-revoked"): {} });
        let with = |mut changes: Value| {
            let changes_of = changes.as_object_mut().unwrap();
            changes_of.entry("events").or_insert(events.clone());
            changes
        };
        for (changes, code) in [
            (json!({ "iss": "https://other.example" }), "invalid_issuer"),
            (json!({ "iss": null }), "invalid_request"),
            (
                json!({ "aud": "https://other.example" }),
                "invalid_audience",
            ),
            (json!({ "aud": null }), "invalid_request"),
            (json!({ "jti": null }), "invalid_request"),
            (json!({ "iat": null }), "invalid_request"),
            (json!({ "iat": second + 3600 }), "invalid_request"),
            (json!({ "iat": second - 8 * 86_400 }), "invalid_request"),
            (json!({ "exp": second + 3600 }), "invalid_request"),
            (json!({ "sub": "bot" }), "invalid_request"),
            (json!({ "events": {} }), "invalid_request"),
            (
                json!({ "events": { caep("risk-level-change"): {} } }),
                "invalid_request",
            ),
        ] {
            world.refused(&world.token(&with(changes)), code).await;
        }
        let claims = world.claims(&with(json!({})));
        let header = |changes: Value| {
            let mut header = json!({ "alg": "ES256", "kid": "sets", "typ": "secevent+jwt" });
            header
                .as_object_mut()
                .unwrap()
                .extend(changes.as_object().unwrap().clone());
            header
        };
        let typ = |typ: &str| world.key.sign(&header(json!({ "typ": typ })), &claims);
        world.refused(&typ("JWT"), "invalid_request").await;
        world.refused(&typ("at+jwt"), "invalid_request").await;
        let no_type = world
            .key
            .sign(&json!({ "alg": "ES256", "kid": "sets" }), &claims);
        world.refused(&no_type, "invalid_request").await;
        let none = header(json!({ "alg": "none" }));
        world
            .refused(&unsigned(&none, &claims), "invalid_request")
            .await;
        // The public key as a shared secret, the classic confusion.
        let public = world.key.public_jwk("sets").to_string();
        let confused = hs256(
            &header(json!({ "alg": "HS256" })),
            &claims,
            public.as_bytes(),
        );
        world.refused(&confused, "invalid_request").await;
        let other = Es256::generate();
        world
            .refused(&other.sign(&header(json!({})), &claims), "invalid_key")
            .await;
        let unknown = header(json!({ "kid": "other" }));
        world
            .refused(&world.key.sign(&unknown, &claims), "invalid_key")
            .await;
        let embedded = header(json!({ "jwk": world.key.public_jwk("sets") }));
        world
            .refused(&world.key.sign(&embedded, &claims), "invalid_request")
            .await;
        world.refused("no token", "invalid_request").await;
        world.refused("", "invalid_request").await;
        world.refused(&"a".repeat(9000), "invalid_request").await;
        let call = world.gate.control("POST", "/ssf/events");
        let call = call.header("content-type", "application/json");
        let call = call.bytes(world.token(&with(json!({}))));
        assert_eq!(
            call.send().await.expect(400).json()["err"],
            "invalid_request"
        );
        world.reads(&work).await.expect(200);
        // What is of no known kind is taken, and means nothing.
        let odd = json!({ "jti": "odd", "events": { "https://example.com/odd": {} } });
        world.push(&world.token(&odd)).await.expect(202);
        world.reads(&work).await.expect(200);
    });
}

#[test]
fn a_transmitter_shows_its_bearer_token_where_it_has_one() {
    run(async {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "open-sesame\n").unwrap();
        let from = format!("bearer_from = \"file:{}\"", file.path().display());
        let mut world = World::start(&from, Some("open-sesame")).await;
        let token = world.token(&json!({ "events": { caep("session-revoked"): {} } }));
        for bearer in [None, Some("open"), Some("open-sesame2")] {
            world.bearer = bearer;
            let refused = world.push(&token).await.expect(401);
            assert_eq!(refused.json()["err"], "authentication_failed");
            assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
        }
        world.bearer = Some("open-sesame");
        world.push(&token).await.expect(202);
    });
}

#[test]
fn a_transmitter_s_bearer_token_is_replaced_while_the_gateway_runs() {
    run(async {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "open-sesame\n").unwrap();
        let from = format!("bearer_from = \"file:{}\"", file.path().display());
        let mut world = World::start(&from, Some("open-sesame")).await;
        let token = world.token(&json!({ "events": { caep("session-revoked"): {} } }));
        world.push(&token).await.expect(202);
        std::fs::write(file.path(), "another\n").unwrap();
        let until = async |world: &World, status: u16| {
            // The gateway looks every other second.
            for number in 0..1000 {
                world.gate.advance(Duration::from_secs(2));
                let claims = json!({
                    "jti": format!("again-{number}"), "events": { caep("session-revoked"): {} }
                });
                if world.push(&world.token(&claims)).await.status == status {
                    return;
                }
                tokio::task::yield_now().await;
            }
            panic!("it never becomes {status}");
        };
        until(&world, 401).await;
        world.bearer = Some("another");
        until(&world, 202).await;
    });
}

#[test]
fn where_nobody_transmits_nobody_is_believed() {
    run(async {
        let gate = Plan::new().start().await;
        let call = gate.control("POST", "/ssf/events").bytes("x");
        let refused = call.send().await.expect(401).json();
        assert_eq!(refused["err"], "authentication_failed", "{refused}");
    });
}
