//! The agent commands with tokens that are bound to a key.

use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::harness::{Answer, Gateway, Plan, program, run};

/// Runs a command as the agent `bot`.
async fn portcullis(gate: &Gateway, arguments: &[&str]) -> Output {
    let mut command = Command::new(program());
    command
        .args(arguments)
        .env("PORTCULLIS_CONTROL", &gate.control_url)
        .env("PORTCULLIS_AGENT_KEY", gate.root().join("agents/bot.jwk"))
        .env_remove("PORTCULLIS_OPERATOR_KEY")
        .env_remove("PORTCULLIS_AGENT")
        .env_remove("PORTCULLIS_DPOP")
        .stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap());
    output.await.unwrap()
}

async fn says(gate: &Gateway, arguments: &[&str]) -> String {
    let output = portcullis(gate, arguments).await;
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {error}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Makes a call with the headers that a command has printed.
async fn reads(gate: &Gateway, path: &str, headers: &str) -> Answer {
    let mut call = gate.call("GET", path);
    for line in headers.lines() {
        let (name, value) = line.split_once(": ").unwrap();
        call = call.header(&name.to_ascii_lowercase(), value);
    }
    call.send().await
}

#[test]
fn an_agent_at_the_command_line_proves_its_key() {
    run(async {
        let gate = Plan::new().start().await;
        let task = says(&gate, &["task", "open", "--dpop"]).await;
        let request = ["request", "dpop", "--task", task.as_str()];
        let asked = [&request[..], &["--dpop", "--output", "json"]].concat();
        let asked: Value = serde_json::from_str(&says(&gate, &asked).await).unwrap();
        assert_eq!(asked["state"], "active");

        let bearer = says(&gate, &["token", "--task", task.as_str()]).await;
        let bearer = format!("Authorization: Bearer {bearer}");
        let bearer = reads(&gate, "/shop/dpop", &bearer).await;
        bearer.refusal(401, "proof_required");

        let url = format!("GET {}/shop/dpop?x=1", gate.public_url);
        let token = [
            "token",
            "--task",
            task.as_str(),
            "--proof-for",
            url.as_str(),
        ];
        let unbound = portcullis(&gate, &token).await;
        let told = String::from_utf8_lossy(&unbound.stderr).into_owned();
        assert!(told.contains("--dpop"), "{told}");
        let headers = says(&gate, &[&token[..], &["--dpop"]].concat()).await;
        reads(&gate, "/shop/dpop?x=1", &headers).await.expect(200);
        // Each proof is good once, and for its own request.
        let again = reads(&gate, "/shop/dpop?x=1", &headers).await;
        again.refusal(401, "proof_invalid");
        let headers = says(&gate, &[&token[..], &["--dpop"]].concat()).await;
        let elsewhere = reads(&gate, "/shop/items", &headers).await;
        elsewhere.refusal(401, "proof_invalid");
        let json = [&token[..], &["--dpop", "--output", "json"]].concat();
        let json: Value = serde_json::from_str(&says(&gate, &json).await).unwrap();
        assert_eq!(json["token_type"], "DPoP");
        assert_eq!(json["dpop_proof"].as_str().unwrap().split('.').count(), 3);

        says(&gate, &["task", "heartbeat", &task, "--dpop"]).await;
        says(&gate, &["task", "complete", &task, "--dpop"]).await;
        assert!(gate.root().join("agents/bot.dpop.jwk").exists());
    });
}
