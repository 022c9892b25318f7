use super::*;

fn check(record: &Value, class: i64, activity: i64, status: i64) -> Value {
    let event = event(record);
    assert_eq!(event["class_uid"], class, "{event}");
    assert_eq!(event["activity_id"], activity, "{event}");
    assert_eq!(event["type_uid"], class * 100 + activity, "{event}");
    assert_eq!(event["category_uid"], class / 1000, "{event}");
    assert_eq!(event["status_id"], status, "{event}");
    assert_eq!(event["metadata"]["version"], "1.4.0", "{event}");
    for required in ["actor", "metadata", "severity_id", "time", "type_uid"] {
        assert!(event.get(required).is_some(), "{required}: {event}");
    }
    event
}

#[test]
fn calls_are_api_activity() {
    let call = json!({
        "seq": 7, "time": "2026-11-24T08:00:00.000007Z", "kind": "call", "request_id": "req-1",
        "agent": "bot", "task": "tsk_1", "operation": "orders.refund", "service": "orders",
        "verdict": "deny", "code": "condition_denied", "rules": ["small"], "source": "192.0.2.7",
        "method": "POST", "host": "gate.example", "path": "/orders/1/refunds", "status": 403,
        "duration_micros": 1500,
    });
    let event = check(&call, 6003, 1, 2);
    assert_eq!(event["time"], 1_795_507_200_000_i64);
    assert_eq!(event["duration"], 1);
    assert_eq!(event["api"]["operation"], "orders.refund");
    assert_eq!(event["api"]["response"]["code"], 403);
    assert_eq!(event["actor"]["user"]["uid"], "bot");
    assert_eq!(event["actor"]["session"]["uid"], "tsk_1");
    assert_eq!(event["http_request"]["url"]["path"], "/orders/1/refunds");
    assert_eq!(event["src_endpoint"]["ip"], "192.0.2.7");
    assert_eq!(event["action"], "Denied");
    assert_eq!(event["unmapped"]["rules"][0], "small");
}

#[test]
fn every_kind_has_a_class() {
    let record = |kind: &str| json!({ "time": "2026-11-24T08:00:00.000000Z", "kind": kind });
    check(&record("start"), 6002, 3, 0);
    check(&record("stop"), 6002, 4, 0);
    check(&record("token"), 3002, 99, 0);
    check(&record("request"), 3005, 99, 0);
    check(&record("policy"), 6003, 99, 0);
    let mut grant = record("grant");
    check(&grant, 3005, 1, 0);
    grant["end"] = "revoked".into();
    check(&grant, 3005, 2, 0);
    let mut read = record("call");
    read["method"] = "GET".into();
    read["verdict"] = "allow".into();
    check(&read, 6003, 2, 1);
}
