//! A token can be narrowed to a service (RFC 8707).

use serde_json::Value;

use crate::harness::{Gateway, Plan, run};

const SERVICES: &str = r#"
[[service]]
name = "shop"
match = { path = "/shop" }
upstreams = ["http://{upstream}"]

[[service]]
name = "desk"
match = { path = "/desk" }
upstreams = ["http://{upstream}"]

[[operation]]
id = "desk.status"
service = "desk"
route = "GET /desk/status"
groups = ["open"]
baseline = true
"#;

async fn gateway() -> Gateway {
    Plan::new().file("services.toml", SERVICES).start().await
}

async fn token(gate: &Gateway, resources: &[String]) -> String {
    let resources = resources.iter().map(|one| ("resource", one.as_str()));
    let resources: Vec<_> = resources.collect();
    let answer = gate
        .agent("bot")
        .ask_for_token(&resources)
        .await
        .expect(200);
    answer.json()["access_token"].as_str().unwrap().to_owned()
}

async fn refused(gate: &Gateway, resources: &[&str]) -> Value {
    let resources: Vec<_> = resources.iter().map(|one| ("resource", *one)).collect();
    let answer = gate.agent("bot").ask_for_token(&resources).await;
    answer.expect(400).json()["error"].clone()
}

/// What has metadata is what a token can be for: a document about anything else would lead nowhere.
#[test]
fn only_what_a_token_can_be_for_has_metadata() {
    run(async {
        let gate = gateway().await;
        let metadata = "/.well-known/oauth-protected-resource";
        for (path, there) in [
            ("", true),
            ("/", true),
            ("/shop", true),
            ("/shop/", true),
            ("/desk", true),
            ("/shop/items", false),
            ("/sho", false),
            ("/nothing", false),
            ("/shop%2Fitems", false),
        ] {
            let answer = gate.call("GET", &format!("{metadata}{path}")).send().await;
            let resource = format!("{}{}", gate.public_url, path.trim_end_matches('/'));
            if there {
                assert_eq!(answer.expect(200).json()["resource"], resource.as_str());
                token(&gate, &[resource]).await;
            } else {
                let problem = answer.problem(404, "operation_unknown");
                let detail = problem["detail"].as_str().unwrap();
                let own = format!("{}{metadata}", gate.public_url);
                assert!(detail.ends_with(&own), "{detail}");
                assert_eq!(refused(&gate, &[&resource]).await, "invalid_target");
            }
        }
    });
}

#[test]
fn a_narrowed_token_reaches_its_service_and_no_other() {
    run(async {
        let gate = gateway().await;
        // The name is the one that the service's own metadata gives it.
        let path = "/.well-known/oauth-protected-resource/shop";
        let metadata = gate.call("GET", path).send().await.expect(200).json();
        let shop = metadata["resource"].as_str().unwrap().to_owned();
        let narrow = token(&gate, std::slice::from_ref(&shop)).await;
        let read = |path: &'static str, token: String| {
            let call = gate.call("GET", path).bearer(&token);
            async move { call.send().await }
        };
        read("/shop/status", narrow.clone()).await.expect(200);
        let refusal = read("/desk/status", narrow.clone()).await;
        refusal.refusal(401, "token_invalid");
        let challenge = refusal.challenge().unwrap();
        assert_eq!(challenge.param("error"), "invalid_token");
        // At the control side it asks for what it needs at its service.
        let opened = gate.control("POST", "/v1/tasks").bearer(&narrow);
        opened.send().await.expect(201);

        let both = token(&gate, &[shop, format!("{}/desk", gate.public_url)]).await;
        read("/shop/status", both.clone()).await.expect(200);
        read("/desk/status", both).await.expect(200);
        let wide = token(&gate, &[format!("{}/", gate.public_url)]).await;
        read("/desk/status", wide).await.expect(200);
    });
}

#[test]
fn a_resource_that_is_not_there_is_no_target() {
    run(async {
        let gate = gateway().await;
        let shop = format!("{}/shop", gate.public_url);
        let deeper = format!("{shop}/items");
        let slash = format!("{shop}/");
        let fragment = format!("{shop}#a");
        for resources in [
            &["https://elsewhere.example"][..],
            &[&shop, "https://elsewhere.example"],
            &[&deeper],
            &[&slash],
            &[&fragment],
            &["shop"],
            &["/shop"],
        ] {
            assert_eq!(
                refused(&gate, resources).await,
                "invalid_target",
                "{resources:?}"
            );
        }
    });
}
