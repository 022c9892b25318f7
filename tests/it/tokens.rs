//! Which tokens are believed. Of those that are not, nothing reaches the upstream, and after each of
//! them the good one still works.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Es256, Gateway, Plan, base64url, hs256, now_seconds, run, unsigned};

const ISSUER: &str = "https://idp.example";

/// Claims as the gateway's own authority makes them, for an agent without a task.
fn own_claims(gate: &Gateway) -> Value {
    json!({
        "iss": gate.control_url, "sub": "bot", "aud": gate.public_url, "client_id": "bot",
        "jti": "tok_made-by-a-test", "iat": now_seconds(), "nbf": now_seconds(),
        "exp": now_seconds() + 300,
    })
}

fn with(mut value: Value, name: &str, member: Value) -> Value {
    value[name] = member;
    value
}

fn without(mut value: Value, name: &str) -> Value {
    value.as_object_mut().unwrap().remove(name);
    value
}

/// Sends bad tokens to a baseline operation, where nothing but the token is in the way, and a good one
/// after each.
async fn refuses_all(gate: &Gateway, good: &str, bad: Vec<(&str, String)>) {
    let before = gate.upstream.count();
    for (number, (name, token)) in bad.iter().enumerate() {
        let answer = gate.call("GET", "/shop/status").bearer(token).send().await;
        assert_eq!(answer.status, 401, "{name}: {}", answer.text());
        answer.refusal(401, "token_invalid");
        let challenge = answer.challenge().unwrap();
        assert_eq!(challenge.param("error"), "invalid_token", "{name}");
        let control = gate.control("GET", "/v1/grants").bearer(token).send().await;
        assert_eq!(control.status, 401, "{name} at control: {}", control.text());
        let answer = gate.call("GET", "/shop/status").bearer(good).send().await;
        assert_eq!(answer.status, 200, "after {name}: {}", answer.text());
        assert_eq!(gate.upstream.count(), before + number + 1, "{name}");
    }
}

#[test]
fn a_token_signed_by_the_authority_and_right_in_every_claim_is_believed() {
    run(async {
        let gate = Plan::new().start().await;
        let key = gate.signing_key();
        let header = json!({ "alg": "ES256", "kid": key["kid"], "typ": "at+jwt" });
        // Without this, the refusals below could have another cause than the one they are there for.
        let token = Es256::from_jwk(&key).sign(&header, &own_claims(&gate));
        let answer = gate.call("GET", "/shop/status").bearer(&token).send().await;
        answer.expect(200);
    });
}

#[test]
fn forged_and_foreign_tokens_are_refused() {
    run(async {
        let gate = Plan::new().start().await;
        let good = gate.agent("bot").token().await;
        let own = gate.signing_key();
        let (kid, claims) = (own["kid"].clone(), own_claims(&gate));
        let header = json!({ "alg": "ES256", "kid": kid, "typ": "at+jwt" });
        let forger = Es256::generate();
        let another = Plan::new().start().await;
        let foreign = another.agent("bot").token().await;
        let embedded = with(header.clone(), "jwk", forger.public_jwk("forged"));
        let named = with(header.clone(), "jku", json!("https://forger.example/jwks"));
        let certified = with(header.clone(), "x5u", json!("https://forger.example/chain"));
        let agent_key = std::fs::read_to_string(gate.root().join("agents/bot.jwk")).unwrap();
        let agent_key: Value = serde_json::from_str(&agent_key).unwrap();
        let agent = Es256::from_jwk(&agent_key);
        let agent_header = with(header.clone(), "kid", agent_key["kid"].clone());
        let bad = vec![
            ("another key under our name", forger.sign(&header, &claims)),
            ("the key in the token", forger.sign(&embedded, &claims)),
            ("the key at a URL", forger.sign(&named, &claims)),
            ("the chain at a URL", forger.sign(&certified, &claims)),
            ("the agent's own key", agent.sign(&agent_header, &claims)),
            ("the agent's assertion", gate.agent("bot").assertion()),
            ("another gateway's token", foreign),
        ];
        refuses_all(&gate, &good, bad).await;
    });
}

#[test]
fn confused_algorithms_are_refused() {
    run(async {
        let gate = Plan::new().start().await;
        let good = gate.agent("bot").token().await;
        let claims = own_claims(&gate);
        let set = gate.control("GET", "/oauth/jwks").send().await.expect(200);
        let public = set.json()["keys"][0].clone();
        let header = |alg: &str| json!({ "alg": alg, "kid": public["kid"], "typ": "at+jwt" });
        let (_, signature) = good.rsplit_once('.').unwrap();
        let none = unsigned(&header("none"), &claims);
        // What a careless library would take for the shared secret.
        let jwk = public.to_string();
        let point = [vec![4], decoded(&public["x"]), decoded(&public["y"])].concat();
        let set_text = set.text();
        let own = Es256::from_jwk(&gate.signing_key());
        let bad = vec![
            (
                "HS256 with the JWK",
                hs256(&header("HS256"), &claims, jwk.as_bytes()),
            ),
            (
                "HS256 with the set",
                hs256(&header("HS256"), &claims, set_text.as_bytes()),
            ),
            (
                "HS256 with the point",
                hs256(&header("HS256"), &claims, &point),
            ),
            ("HS256 with nothing", hs256(&header("HS256"), &claims, b"")),
            ("none", none.clone()),
            ("None", unsigned(&header("None"), &claims)),
            (
                "nOnE with a signature",
                format!("{}{signature}", unsigned(&header("nOnE"), &claims)),
            ),
            (
                "ES256 without a signature",
                unsigned(&header("ES256"), &claims),
            ),
            (
                "a signature of zeros",
                format!(
                    "{}{}",
                    unsigned(&header("ES256"), &claims),
                    base64url([0; 64])
                ),
            ),
            ("EdDSA in name", own.sign(&header("EdDSA"), &claims)),
            ("RS256 in name", own.sign(&header("RS256"), &claims)),
            ("ES384 in name", own.sign(&header("ES384"), &claims)),
            (
                "no algorithm",
                own.sign(&without(header("ES256"), "alg"), &claims),
            ),
            ("two parts", none.trim_end_matches('.').to_owned()),
        ];
        refuses_all(&gate, &good, bad).await;
    });
}

fn decoded(member: &Value) -> Vec<u8> {
    use base64::Engine as _;
    let engine = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    engine.decode(member.as_str().unwrap()).unwrap()
}

#[test]
fn every_claim_of_our_own_tokens_is_checked() {
    run(async {
        let gate = Plan::new().start().await;
        let good = gate.agent("bot").token().await;
        let key = gate.signing_key();
        let own = Es256::from_jwk(&key);
        let header = json!({ "alg": "ES256", "kid": key["kid"], "typ": "at+jwt" });
        let claims = || own_claims(&gate);
        let says = |name: &str, value: Value| own.sign(&header, &with(claims(), name, value));
        let lacks = |name: &str| own.sign(&header, &without(claims(), name));
        let headed =
            |name: &str, value: Value| own.sign(&with(header.clone(), name, value), &claims());
        let now = now_seconds();
        let bad = vec![
            ("wrong aud", says("aud", json!("https://elsewhere.example"))),
            (
                "aud of the control side",
                says("aud", json!(gate.control_url)),
            ),
            ("aud as a number", says("aud", json!(7))),
            ("empty aud", says("aud", json!([]))),
            ("no aud", lacks("aud")),
            ("wrong iss", says("iss", json!("https://elsewhere.example"))),
            (
                "iss with a slash more",
                says("iss", json!(format!("{}/", gate.control_url))),
            ),
            ("iss as a list", says("iss", json!([gate.control_url]))),
            ("no iss", lacks("iss")),
            ("no sub", lacks("sub")),
            ("sub as a number", says("sub", json!(7))),
            (
                "an agent that is not enrolled",
                says("sub", json!("nobody")),
            ),
            ("an agent whose name is none", says("sub", json!("a/b c"))),
            ("no exp", lacks("exp")),
            ("exp as text", says("exp", json!((now + 300).to_string()))),
            ("exp as null", says("exp", Value::Null)),
            ("nbf as text", says("nbf", json!("0"))),
            ("nbf in a minute", says("nbf", json!(now + 60))),
            ("no nbf", lacks("nbf")),
            ("iat in a minute", says("iat", json!(now + 60))),
            ("no iat", lacks("iat")),
            ("no jti", lacks("jti")),
            ("no client_id", lacks("client_id")),
            ("task as a list", says("task", json!(["a", "b"]))),
            ("cnf of an unknown kind", says("cnf", json!({ "jwk": {} }))),
            ("cnf as text", says("cnf", json!("A"))),
            ("wrong typ", headed("typ", json!("JWT"))),
            (
                "an assertion's typ",
                headed("typ", json!("client-authentication+jwt")),
            ),
            (
                "no typ",
                own.sign(&without(header.clone(), "typ"), &claims()),
            ),
            (
                "no kid",
                own.sign(&without(header.clone(), "kid"), &claims()),
            ),
            ("another kid", headed("kid", json!("other"))),
            ("kid as a number", headed("kid", json!(1))),
            ("crit", headed("crit", json!(["exp"]))),
            ("crit of nothing", headed("crit", json!([]))),
            ("zip", headed("zip", json!("DEF"))),
            ("enc", headed("enc", json!("A256GCM"))),
            ("b64", headed("b64", json!(false))),
        ];
        refuses_all(&gate, &good, bad).await;
    });
}

#[test]
fn oversized_and_malformed_tokens_are_refused() {
    run(async {
        let gate = Plan::new().start().await;
        let good = gate.agent("bot").token().await;
        let key = gate.signing_key();
        let own = Es256::from_jwk(&key);
        let header = json!({ "alg": "ES256", "kid": key["kid"], "typ": "at+jwt" });
        let claims = own_claims(&gate);
        let large = own.sign(
            &header,
            &with(claims.clone(), "note", json!("x".repeat(7000))),
        );
        assert!(large.len() > 8 * 1024, "{}", large.len());
        let nested = (0..2000).fold(json!(0), |inner, _| json!([inner]));
        let (head, rest) = good.split_once('.').unwrap();
        let (body, signature) = rest.split_once('.').unwrap();
        let twice = claims.to_string().replacen('{', "{\"sub\":\"rival\",", 1);
        let flipped = if signature.starts_with('A') { "B" } else { "A" };
        let bad = vec![
            ("larger than 8 KiB", large),
            (
                "nested 2,000 deep",
                own.sign(&header, &with(claims, "note", nested)),
            ),
            ("one letter", "x".to_owned()),
            ("dots", "...".to_owned()),
            ("two dots", "..".to_owned()),
            ("a fourth part", format!("{good}.AA")),
            ("padding", format!("{good}=")),
            (
                "another letter in the signature",
                format!("{head}.{body}.{flipped}{}", &signature[1..]),
            ),
            (
                "half a signature",
                format!("{head}.{body}.{}", &signature[..40]),
            ),
            (
                "another body",
                format!("{head}.{}.{signature}", base64url(twice)),
            ),
            (
                "a body that is no JSON",
                format!("{head}.{}.{signature}", base64url("sub=bot")),
            ),
            (
                "a body that is no object",
                format!("{head}.{}.{signature}", base64url("[]")),
            ),
            (
                "a head that is no JSON",
                format!("{}.{body}.{signature}", base64url("ES256")),
            ),
            ("other alphabet", good.replace('.', "+")),
        ];
        refuses_all(&gate, &good, bad).await;
    });
}

#[test]
fn an_own_token_is_good_to_the_second() {
    run(async {
        let gate = Plan::new().manual_clock().start().await;
        let token = gate.agent("bot").token().await;
        let status = || gate.call("GET", "/shop/status").bearer(&token).send();
        status().await.expect(200);
        gate.advance(Duration::from_secs(300));
        // Remembered or not: here, and at a place that never saw it.
        status().await.refusal(401, "token_expired");
        let at_control = gate
            .control("GET", "/v1/grants")
            .bearer(&token)
            .send()
            .await;
        at_control.problem(401, "token_expired");
        assert_eq!(gate.upstream.count(), 1);
    });
}

#[test]
fn a_client_assertion_is_good_once_and_only_from_its_agent() {
    run(async {
        let gate = Plan::new().manual_clock().start().await;
        let bot = gate.agent("bot");
        let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        let ask = |assertion: &str, client: &'static str| {
            let call = gate.control("POST", "/oauth/token");
            let fields = [
                ("grant_type", "client_credentials"),
                ("client_assertion_type", kind),
                ("client_assertion", assertion),
                ("client_id", client),
            ];
            call.form(&fields).send()
        };
        let assertion = bot.assertion();
        ask(&assertion, "rival").await.expect(401);
        ask(&assertion, "bot").await.expect(200);
        let again = ask(&assertion, "bot").await.expect(401);
        assert_eq!(again.json()["error"], "invalid_client");
        let late = bot.assertion();
        gate.advance(Duration::from_secs(61));
        ask(&late, "bot").await.expect(401);
        ask(&bot.assertion(), "bot").await.expect(200);
    });
}

/// A trusted outside issuer.
struct Outside {
    key: Es256,
    task_claim: bool,
}

impl Outside {
    fn new(task_claim: bool) -> Self {
        let key = Es256::generate();
        Self { key, task_claim }
    }

    async fn gate(&self) -> Gateway {
        let keys = json!({ "keys": [self.key.public_jwk("outside")] });
        let task = if self.task_claim {
            "task_claim = \"task\"\n"
        } else {
            ""
        };
        let issuer =
            format!("[[trusted_issuer]]\nissuer = \"{ISSUER}\"\njwks_file = \"idp.json\"\n{task}");
        let plan = Plan::new().data("idp.json", &keys.to_string());
        plan.settings(&issuer).start().await
    }

    fn claims(gate: &Gateway) -> Value {
        json!({
            "iss": ISSUER, "aud": gate.public_url, "sub": "bot", "iat": now_seconds(),
            "exp": now_seconds() + 300,
        })
    }

    fn token(&self, claims: &Value) -> String {
        let header = json!({ "alg": "ES256", "kid": "outside", "typ": "JWT" });
        self.key.sign(&header, claims)
    }
}

#[test]
fn a_trusted_issuers_token_works_as_ours_does() {
    run(async {
        let outside = Outside::new(true);
        let gate = outside.gate().await;
        // Without a task it is identity alone, and can open one.
        let identity = outside.token(&Outside::claims(&gate));
        gate.call("GET", "/shop/status")
            .bearer(&identity)
            .send()
            .await
            .expect(200);
        let opened = gate.control("POST", "/v1/tasks").bearer(&identity);
        let task = opened.json(&json!({})).send().await.expect(201).json()["id"].clone();
        let token = outside.token(&with(Outside::claims(&gate), "task", task.clone()));
        let request = gate.control("POST", "/v1/requests").bearer(&token);
        let body = json!({ "task": task, "entitlement": "items" });
        request.json(&body).send().await.expect(201);
        gate.call("GET", "/shop/items")
            .bearer(&token)
            .send()
            .await
            .expect(200);
        let arrived = gate.upstream.last();
        assert_eq!(arrived.header("portcullis-agent"), Some("bot"));
        assert_eq!(arrived.header("portcullis-task"), task.as_str());
    });
}

#[test]
fn a_trusted_issuers_tokens_are_checked_as_strictly() {
    run(async {
        let outside = Outside::new(false);
        let gate = outside.gate().await;
        let good = outside.token(&Outside::claims(&gate));
        let claims = || Outside::claims(&gate);
        let says = |name: &str, value: Value| outside.token(&with(claims(), name, value));
        let header = json!({ "alg": "ES256", "kid": "outside", "typ": "JWT" });
        let own = Es256::from_jwk(&gate.signing_key());
        let now = now_seconds();
        let bad = vec![
            ("wrong aud", says("aud", json!("https://elsewhere.example"))),
            (
                "an issuer nobody trusts",
                says("iss", json!("https://other.example")),
            ),
            ("our own issuer", says("iss", json!(gate.control_url))),
            (
                "an agent that is not enrolled",
                says("sub", json!("nobody")),
            ),
            ("exp as text", says("exp", json!("9999999999"))),
            ("nbf in a minute", says("nbf", json!(now + 60))),
            ("our key", own.sign(&header, &claims())),
            ("another key", Es256::generate().sign(&header, &claims())),
            (
                "an odd typ",
                outside
                    .key
                    .sign(&with(header.clone(), "typ", json!("dpop+jwt")), &claims()),
            ),
        ];
        refuses_all(&gate, &good, bad).await;
        // Six seconds ago is one more than clocks may differ.
        let ended = with(claims(), "exp", json!(now - 6));
        let expired = outside.token(&with(ended, "iat", json!(now - 300)));
        let answer = gate
            .call("GET", "/shop/status")
            .bearer(&expired)
            .send()
            .await;
        answer.refusal(401, "token_expired");
    });
}

#[test]
fn an_outside_token_may_name_its_task_in_a_header() {
    run(async {
        let outside = Outside::new(false);
        let gate = outside.gate().await;
        let work = gate.agent("bot").works("items").await;
        let foreign = gate.agent("rival").works("items").await;
        let token = outside.token(&Outside::claims(&gate));
        let names = |task: &str| {
            let call = gate.call("GET", "/shop/items").bearer(&token);
            call.header("portcullis-task", task)
        };
        names(&work.task).send().await.expect(200);
        let twice = names(&work.task).header("portcullis-task", &work.task);
        twice.send().await.refusal(400, "request_malformed");
        names(&foreign.task).send().await.refusal(401, "task_ended");
        names("never-opened")
            .send()
            .await
            .refusal(401, "task_ended");
        let unnamed = gate.call("GET", "/shop/items").bearer(&token).send().await;
        unnamed.refusal(403, "grant_required");
        assert_eq!(
            gate.upstream.only().header("portcullis-task"),
            Some(work.task.as_str())
        );
    });
}

#[test]
fn a_header_never_contradicts_a_tokens_own_task() {
    run(async {
        let outside = Outside::new(true);
        let gate = outside.gate().await;
        let bot = gate.agent("bot");
        let (work, other) = (bot.works("items").await, bot.works("items").await);
        let claimed = outside.token(&with(Outside::claims(&gate), "task", json!(work.task)));
        let identity = bot.token().await;
        let call = |token: &str, task: &str| {
            let call = gate.call("GET", "/shop/items").bearer(token);
            call.header("portcullis-task", task).send()
        };
        for token in [&work.token, &claimed] {
            call(token, &work.task).await.expect(200);
            call(token, &other.task)
                .await
                .refusal(400, "request_malformed");
        }
        // An own token without a task can't be given one from outside.
        call(&identity, &work.task)
            .await
            .refusal(400, "request_malformed");
        assert_eq!(gate.upstream.count(), 2);

        // Nor does it on the control side, whatever is asked there.
        let looks = |token: &str, names: &[&str]| {
            let mut call = gate.control("GET", &format!("/v1/tasks/{}", work.task));
            for task in names {
                call = call.header("portcullis-task", task);
            }
            call.bearer(token).send()
        };
        let (own, foreign) = (work.task.as_str(), other.task.as_str());
        looks(&claimed, &[own]).await.expect(200);
        for (token, names) in [
            (&claimed, &[foreign][..]),
            (&claimed, &[own, own]),
            (&identity, &[own]),
        ] {
            let answer = looks(token, names).await;
            answer.problem(400, "request_malformed");
        }
    });
}

#[test]
fn a_flood_of_bad_tokens_makes_its_address_wait_and_nobody_else() {
    run(async {
        let plan = Plan::new().manual_clock();
        let plan = plan.gateway("trusted_proxies = [\"127.0.0.1\"]");
        let gate = plan
            .settings("[limits]\nbad_tokens_per_source = 2\n")
            .start()
            .await;
        let known = gate.agent("bot").token().await;
        let fresh = gate.agent("bot").token().await;
        let from = async |address: &str, token: &str| {
            let call = gate.call("GET", "/shop/status").bearer(token);
            call.header("x-forwarded-for", address).send().await
        };
        from("192.0.2.7", &known).await.expect(200);
        for number in 0..11 {
            let bad = format!("{known}{number}");
            from("192.0.2.7", &bad).await.refusal(401, "token_invalid");
        }
        let answer = from("192.0.2.7", "another").await;
        assert_eq!(answer.header("retry-after"), Some("1"));
        answer.refusal(429, "rate_limited");
        // One that holds can't be told from one that doesn't without looking at it.
        from("192.0.2.7", &fresh).await.refusal(429, "rate_limited");
        from("192.0.2.7", &known).await.expect(200);
        from("192.0.2.8", &fresh).await.expect(200);
        from("192.0.2.9", "bad").await.refusal(401, "token_invalid");
        gate.advance(Duration::from_millis(500));
        let another = gate.agent("rival").token().await;
        from("192.0.2.7", &another).await.expect(200);
    });
}
