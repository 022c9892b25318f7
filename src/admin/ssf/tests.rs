use serde_json::json;

use super::event::{Kind, Level, read};
use super::*;

const CAEP: &str = "https://schemas.openid.net/secevent/caep/event-type";
const RISC: &str = "https://schemas.openid.net/secevent/risc/event-type";

fn token(uri: &str, payload: &serde_json::Value) -> SecurityEvent {
    SecurityEvent {
        jti: "1".to_owned(),
        iat: "2026-11-28T12:00:00Z".parse().unwrap(),
        subject: None,
        events: vec![(uri.to_owned(), payload.as_object().unwrap().clone())],
    }
}

fn order(uri: &str, payload: &serde_json::Value) -> Option<Order> {
    let events = read(&token(uri, payload)).unwrap();
    events.first().map(|event| event.order)
}

#[test]
fn each_type_asks_for_its_own() {
    let caep = |name: &str, payload| order(&format!("{CAEP}/{name}"), &payload);
    let risc = |name: &str| order(&format!("{RISC}/{name}"), &json!({}));
    assert_eq!(caep("session-revoked", json!({})), Some(Order::EndSessions));
    for (kind, ends) in [
        ("revoke", true),
        ("delete", true),
        ("create", false),
        ("update", false),
    ] {
        let payload = json!({ "credential_type": "fido2-roaming", "change_type": kind });
        let order = caep("credential-change", payload);
        assert_eq!(order == Some(Order::EndSessions), ends, "{kind}");
    }
    for (word, level) in [
        ("LOW", Level::Low),
        ("MEDIUM", Level::Medium),
        ("HIGH", Level::High),
    ] {
        let payload = json!({ "current_level": word, "principal": "USER" });
        let order = caep("risk-level-change", payload);
        assert_eq!(order, Some(Order::Score(Kind::Risk, level)));
    }
    let assurance = |more: &str| {
        let payload = json!({ "namespace": "NIST-AAL", "current_level": "nist-aal1" });
        let mut payload = payload.as_object().unwrap().clone();
        if !more.is_empty() {
            payload.insert("change_direction".to_owned(), more.into());
        }
        caep("assurance-level-change", payload.into())
    };
    let lower = Some(Order::Score(Kind::Assurance, Level::Medium));
    assert_eq!(assurance("decrease"), lower);
    assert_eq!(assurance(""), lower);
    assert_eq!(
        assurance("increase"),
        Some(Order::TakeBack(Kind::Assurance))
    );
    assert_eq!(risc("account-disabled"), Some(Order::Disable));
    assert_eq!(risc("account-purged"), Some(Order::Disable));
    assert_eq!(risc("sessions-revoked"), Some(Order::EndSessions));
    assert!(matches!(risc("account-enabled"), Some(Order::Nothing(_))));
    for unknown in [
        "device-compliance-change",
        "session-established",
        "session-revoked/2",
    ] {
        assert_eq!(caep(unknown, json!({})), None, "{unknown}");
    }
    assert_eq!(
        order("https://example.com/session-revoked", &json!({})),
        None
    );
}

#[test]
fn an_event_that_is_not_as_defined_is_refused_with_all_others() {
    for (name, payload) in [
        ("risk-level-change", json!({})),
        ("risk-level-change", json!({ "current_level": "high" })),
        ("risk-level-change", json!({ "current_level": 3 })),
        ("credential-change", json!({ "change_type": "revoke" })),
        (
            "credential-change",
            json!({ "credential_type": "x", "change_type": "lost" }),
        ),
        ("assurance-level-change", json!({})),
        (
            "assurance-level-change",
            json!({ "current_level": "1", "change_direction": "up" }),
        ),
    ] {
        let mut token = token(&format!("{CAEP}/session-revoked"), &json!({}));
        let payload = payload.as_object().unwrap().clone();
        token.events.push((format!("{CAEP}/{name}"), payload));
        let refusal = read(&token).unwrap_err().to_string();
        assert!(refusal.starts_with("invalid_request: "), "{refusal}");
    }
}
