use std::time::Duration;

use jiff::Timestamp;

use super::*;
use crate::model::{ApprovalRule, Budget, Circumstances, Proof, Right};

fn request() -> GrantRequest {
    GrantRequest {
        id: "req_1".parse().unwrap(),
        grant: "grt_1".parse().unwrap(),
        agent: "bot".parse().unwrap(),
        task: "t".parse().unwrap(),
        right: Right {
            entitlement: "refunds".parse().unwrap(),
            operations: ["b".parse().unwrap(), "a".parse().unwrap()].into(),
            budget: Budget {
                calls: Some(3),
                ..Budget::default()
            },
            proof: Proof::Bearer,
            approval: None,
        }
        .into(),
        input: [("order_id".into(), InputValue::String("é\"\n".into()))].into(),
        reason: None,
        duration: Duration::from_secs(60),
        requested_at: Timestamp::UNIX_EPOCH,
        parent: None,
        asked: Circumstances::UNKNOWN.into(),
    }
}

#[test]
fn the_digest_is_that_of_the_canonical_form() {
    let canonical = concat!(
        r#"{"agent":"bot","approval":null,"duration_seconds":60,"entitlement":"refunds","#,
        r#""id":"req_1","input":{"order_id":"é\"\n"},"max_bytes":null,"max_calls":3,"#,
        r#""operations":["a","b"],"proof":"bearer","reason":null,"task":"t"}"#,
    );
    assert_eq!(digest(&request()), Digest::of(canonical.as_bytes()));
}

#[test]
fn who_has_to_agree_is_part_of_it() {
    let mut request = request();
    request.right.approval = Some(
        ApprovalRule {
            group: "leads".parse().unwrap(),
            quorum: 2,
            mfa: true,
            expires: Duration::from_mins(30),
        }
        .into(),
    );
    let canonical = concat!(
        r#"{"agent":"bot","approval":{"expires_seconds":1800,"group":"leads","mfa":true,"#,
        r#""quorum":2},"duration_seconds":60,"entitlement":"refunds","#,
        r#""id":"req_1","input":{"order_id":"é\"\n"},"max_bytes":null,"max_calls":3,"#,
        r#""operations":["a","b"],"proof":"bearer","reason":null,"task":"t"}"#,
    );
    assert_eq!(digest(&request), Digest::of(canonical.as_bytes()));
}
