//! What a task has called is counted over kills, where a rule reads it of a group that the call is in.

use std::fs;

use serde_json::{Value, json};

use super::process::Process;
use super::{place, wire};

const RULES: &str = r#"
@id("four-reads")
forbid (principal, action in Action::"read", resource)
when { context has task && context.history["read"].calls >= 4 };
"#;

#[test]
fn calls_of_a_group_are_counted_over_kills() {
    let place = place();
    fs::write(place.path().join("policies/counted.cedar"), RULES).unwrap();
    let mut process = Process::start(place.path());
    let opened = wire::post(&process, "/v1/tasks", &process.token, &json!({}));
    let task = opened.unwrap().text("id");
    let body = json!({ "task": task, "entitlement": "orders-read" });
    let asked = wire::post(&process, "/v1/requests", &process.token, &body);
    assert_eq!(asked.unwrap().status, 201);
    let calls = |process: &Process, path: &str| {
        let token = wire::token(process, Some(&task)).unwrap();
        let answer = wire::call(process, path, &token).unwrap();
        (answer.status, answer.body["rule"].clone())
    };
    for _ in 0..2 {
        assert_eq!(calls(&process, "/orders"), (200, Value::Null));
        assert_eq!(calls(&process, "/orders/1003"), (200, Value::Null));
        process.kill();
        process = process.again(place.path());
    }
    let refused = (403, "four-reads".into());
    assert_eq!(calls(&process, "/orders"), refused);
    assert_eq!(calls(&process, "/orders/1003"), refused);
}
