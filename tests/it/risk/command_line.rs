//! What operators see of an agent at the command line.

use std::process::{Command, Output, Stdio};

use serde_json::Value;

use super::{HOME, call, plan, says};
use crate::harness::{Gateway, program, run};

async fn portcullis(gate: &Gateway, arguments: &[&str]) -> Output {
    let mut command = Command::new(program());
    command
        .args(arguments)
        .env("PORTCULLIS_CONTROL", &gate.control_url)
        .env(
            "PORTCULLIS_OPERATOR_KEY",
            gate.root().join("data/operator.key"),
        )
        .env_remove("PORTCULLIS_OUTPUT")
        .stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap());
    output.await.unwrap()
}

/// What a command prints, with single blanks.
async fn tells(gate: &Gateway, arguments: &[&str]) -> String {
    let output = portcullis(gate, arguments).await;
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {error}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn operators_see_risk_and_habits_and_look_after_them() {
    run(async {
        let gate = plan("[risk]\n").start().await;
        let work = gate.agent("bot").works("items").await;
        call(&gate, &work, HOME, "/shop/items").await.expect(200);
        says(&gate, 37).await;
        let risk = tells(&gate, &["agent", "risk", "bot"]).await;
        for part in ["score 37", "pushed 37 100", "odd egress", "velocity"] {
            assert!(risk.contains(part), "{part} is not in\n{risk}");
        }
        let of_task = [
            "agent", "risk", "bot", "--task", &work.task, "--output", "json",
        ];
        let risk = tells(&gate, &of_task).await;
        let risk: Value = serde_json::from_str(&risk).unwrap();
        assert_eq!(
            (&risk["score"], &risk["task"]),
            (&37.into(), &work.task.as_str().into())
        );

        // The call may not have come to its end yet.
        for attempt in 0.. {
            let usual = tells(&gate, &["agent", "usual", "bot"]).await;
            if usual.contains("192.0.2.0/24") {
                assert!(usual.contains("shop.list"), "{usual}");
                break;
            }
            assert!(attempt < 100, "{usual}");
        }
        let pinned = tells(&gate, &["agent", "usual", "bot", "pin"]).await;
        assert!(pinned.contains("pinned true"), "{pinned}");
        tells(&gate, &["agent", "usual", "bot", "reset"]).await;
        let usual = tells(&gate, &["agent", "usual", "bot", "--output", "json"]).await;
        let usual: Value = serde_json::from_str(&usual).unwrap();
        assert_eq!(usual["networks"].as_array().unwrap().len(), 0, "{usual}");
        let unpinned = tells(&gate, &["agent", "usual", "bot", "unpin"]).await;
        assert!(unpinned.contains("pinned false"), "{unpinned}");
        let odd = portcullis(&gate, &["agent", "usual", "nobody"]).await;
        assert!(!odd.status.success());
    });
}
