//! What a client finds out by itself, and how it is told that it did something wrong.

use serde_json::{Value, json};

use super::post;
use crate::harness::{Plan, run};

#[test]
fn the_metadata_names_what_there_is() {
    run(async {
        let gate = Plan::new().tls().start().await;
        let resource = gate
            .call("GET", "/.well-known/oauth-protected-resource")
            .send()
            .await
            .expect(200);
        let resource = resource.json();
        assert_eq!(resource["resource"], gate.public_url.as_str());
        let algorithms = json!(["ES256", "EdDSA", "PS256", "RS256"]);
        assert_eq!(resource["dpop_signing_alg_values_supported"], algorithms);
        assert_eq!(resource["tls_client_certificate_bound_access_tokens"], true);
        let server = resource["authorization_servers"][0].as_str().unwrap();
        assert_eq!(server, gate.control_url);

        let path = "/.well-known/oauth-authorization-server";
        let answer = gate.control("GET", path).send().await.expect(200);
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("cache-control"), Some("public, max-age=300"));
        let metadata = answer.json();
        let at = |path: &str| Value::String(format!("{}{path}", gate.control_url));
        let expected = json!({
            "issuer": gate.control_url,
            "authorization_endpoint": at("/oauth/authorize"),
            "token_endpoint": at("/oauth/token"),
            "jwks_uri": at("/oauth/jwks"),
            "introspection_endpoint": at("/oauth/introspect"),
            "revocation_endpoint": at("/oauth/revoke"),
            "backchannel_authentication_endpoint": at("/oauth/bc-authorize"),
            "backchannel_token_delivery_modes_supported": ["poll"],
            "backchannel_user_code_parameter_supported": false,
            "response_types_supported": [],
            "grant_types_supported": [
                "client_credentials",
                "urn:ietf:params:oauth:grant-type:token-exchange",
                "urn:openid:params:grant-type:ciba",
            ],
            "authorization_details_types_supported": ["portcullis_grant"],
            "dpop_signing_alg_values_supported": algorithms,
            "tls_client_certificate_bound_access_tokens": true,
            "protected_resources": [gate.public_url],
            "service_documentation": at("/v1/openapi.json"),
            "token_endpoint_auth_methods_supported": ["private_key_jwt", "tls_client_auth"],
            "token_endpoint_auth_signing_alg_values_supported": algorithms,
            "introspection_endpoint_auth_methods_supported":
                ["private_key_jwt", "tls_client_auth"],
            "introspection_endpoint_auth_signing_alg_values_supported": algorithms,
            "revocation_endpoint_auth_methods_supported": ["private_key_jwt", "tls_client_auth"],
            "revocation_endpoint_auth_signing_alg_values_supported": algorithms,
        });
        assert_eq!(metadata, expected);
        // Every address in it answers.
        for (name, method) in [("jwks_uri", "GET"), ("service_documentation", "GET")] {
            let url = metadata[name].as_str().unwrap();
            let path = url.strip_prefix(&gate.control_url).unwrap();
            gate.control(method, path).send().await.expect(200);
        }
        for name in [
            "token_endpoint",
            "introspection_endpoint",
            "revocation_endpoint",
            "backchannel_authentication_endpoint",
        ] {
            let url = metadata[name].as_str().unwrap();
            let path = url.strip_prefix(&gate.control_url).unwrap();
            let answer = gate
                .control("POST", path)
                .form(&[])
                .send()
                .await
                .expect(401);
            assert_eq!(answer.json()["error"], "invalid_client");
            gate.control("GET", path).send().await.expect(405);
        }
    });
}

/// Stock clients do not read metadata that names no authorization endpoint. What is named sends nobody
/// anywhere, whatever the request says.
#[test]
fn the_authorization_endpoint_refuses_and_never_redirects() {
    run(async {
        let gate = Plan::new().start().await;
        let path = "/oauth/authorize";
        let query = "response_type=code&client_id=bot&state=s\
            &redirect_uri=https%3A%2F%2Felsewhere.example%2Fback";
        let asked = format!("{path}?{query}");
        let form = [
            ("response_type", "token"),
            ("redirect_uri", "https://elsewhere.example/"),
        ];
        for call in [
            gate.control("GET", path),
            gate.control("GET", &asked),
            gate.control("POST", path).form(&form),
            gate.control("PUT", &asked).json(&json!([])),
        ] {
            let answer = call.send().await.expect(400);
            assert_eq!(answer.header("content-type"), Some("application/json"));
            assert_eq!(answer.header("cache-control"), Some("no-store"));
            assert_eq!(answer.header("location"), None);
            let body = answer.json();
            assert_eq!(body["error"], "unsupported_response_type");
            let said = body["error_description"].as_str().unwrap();
            assert!(said.contains("token endpoint"), "{said}");
            assert!(!answer.text().contains("elsewhere"), "{}", answer.text());
        }
    });
}

#[test]
fn plain_http_speaks_of_no_certificates() {
    run(async {
        let plan = Plan::new().settings("issuer = \"https://gate.example/tenants/one\"");
        let gate = plan.start().await;
        let resource = gate.call("GET", "/.well-known/oauth-protected-resource");
        let resource = resource.send().await.expect(200).json();
        assert_eq!(
            resource["tls_client_certificate_bound_access_tokens"],
            false
        );
        let path = "/.well-known/oauth-authorization-server/tenants/one";
        let metadata = gate.control("GET", path).send().await.expect(200).json();
        assert_eq!(metadata["issuer"], "https://gate.example/tenants/one");
        assert_eq!(
            metadata["token_endpoint_auth_methods_supported"],
            json!(["private_key_jwt"])
        );
        assert_eq!(
            metadata["tls_client_certificate_bound_access_tokens"],
            false
        );
    });
}

#[test]
fn mistakes_are_told_as_the_standard_wants() {
    run(async {
        let gate = Plan::new().start().await;
        let bot = gate.agent("bot");
        let token = "/oauth/token";
        let grant = ("grant_type", "client_credentials");
        let check = async |call: crate::harness::Call<'_>, status, code: &str| {
            let answer = call.send().await.expect(status);
            assert_eq!(answer.header("content-type"), Some("application/json"));
            assert_eq!(answer.header("cache-control"), Some("no-store"));
            assert_eq!(answer.json()["error"], code);
            let challenge = answer.challenge().map(|challenge| challenge.scheme);
            assert_eq!(challenge.is_some(), status == 401);
            challenge
        };
        check(post(&gate, &bot, token, &[]), 400, "invalid_request").await;
        let odd = post(&gate, &bot, token, &[("grant_type", "password")]);
        check(odd, 400, "unsupported_grant_type").await;
        let twice = post(&gate, &bot, token, &[grant, grant]);
        check(twice, 400, "invalid_request").await;
        let in_url = post(&gate, &bot, "/oauth/token?grant_type=x", &[grant]);
        check(in_url, 400, "invalid_request").await;
        let json = gate.control("POST", token).json(&json!({}));
        check(json, 400, "invalid_request").await;
        let large = "a".repeat(10 << 20);
        let large = post(&gate, &bot, token, &[grant, ("scope", &large)]);
        check(large, 413, "invalid_request").await;
        let secret = [grant, ("client_id", "bot"), ("client_secret", "x")];
        let secret = gate.control("POST", token).form(&secret);
        check(secret, 401, "invalid_client").await;
        let basic = post(&gate, &bot, token, &[grant]).header("authorization", "Basic Ym90Og==");
        let scheme = check(basic, 401, "invalid_client").await;
        assert_eq!(scheme.as_deref(), Some("Basic"));
        let none = gate
            .control("POST", token)
            .form(&[grant, ("client_id", "bot")]);
        check(none, 401, "invalid_client").await;
    });
}

/// Stock clients name the endpoint that they call; the issuer and the token endpoint are good anywhere.
#[test]
fn an_assertion_is_for_this_server_by_any_of_its_names() {
    use portcullis::tokens::{SigningKey, sign_assertion};
    run(async {
        let gate = Plan::new().start().await;
        let key = SigningKey::read(&gate.root().join("agents/bot.jwk")).unwrap();
        let control = &gate.control_url;
        let token = gate.agent("bot").token().await;
        let check = async |audience: &str, expected: u16| {
            let ttl = std::time::Duration::from_secs(60);
            let assertion = sign_assertion(&key, "bot", audience, gate.clock.wall(), ttl);
            let assertion = assertion.unwrap().expose().clone();
            let fields = [("token", token.as_str())];
            let call = super::signed(&gate, &assertion, "/oauth/introspect", &fields);
            let answer = call.send().await;
            assert_eq!((audience, answer.status), (audience, expected));
        };
        check(control, 200).await;
        check(&format!("{control}/oauth/token"), 200).await;
        check(&format!("{control}/oauth/introspect"), 200).await;
        check(&format!("{control}/oauth/revoke"), 401).await;
        check(&format!("{control}/"), 401).await;
        check(&gate.public_url, 401).await;
        check("https://elsewhere.example/oauth/introspect", 401).await;
    });
}
