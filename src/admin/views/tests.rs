use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::*;
use crate::model::{Budget, Circumstances, GrantRequest, InputValue, Proof, Right};

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
fn a_request_shows_what_became_of_it() {
    let mut grant = Grant::requested(Arc::new(request()));
    let check = |grant: &Grant, expected: &str| {
        assert_eq!(RequestView::new(grant).state, expected);
    };
    check(&grant, "pending");
    let ended = |reason, term| GrantState::Ended {
        reason,
        at: Timestamp::UNIX_EPOCH,
        term,
        note: None,
    };
    for (reason, expected) in [
        (EndReason::Declined, "declined"),
        (EndReason::Expired, "expired"),
        (EndReason::Withdrawn, "withdrawn"),
        (EndReason::Completed, "ended"),
    ] {
        grant.state = ended(reason, None);
        check(&grant, expected);
        assert!(RequestView::new(&grant).grant.is_none());
    }
    let term = crate::model::Term {
        starts_at: Timestamp::UNIX_EPOCH,
        expires_at: Timestamp::UNIX_EPOCH,
        approvals: Default::default(),
    };
    grant.state = GrantState::Active(term.clone());
    check(&grant, "active");
    grant.state = ended(EndReason::Expired, Some(Box::new(term)));
    check(&grant, "ended");
    assert_eq!(RequestView::new(&grant).grant.as_deref(), Some("grt_1"));
}
