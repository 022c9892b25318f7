use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::model::{
    ApprovalRule, Budget, Circumstances, EndReason, GrantRequest, Proof, Right, Transition,
};

fn pending(reason: &str) -> Grant {
    let request = GrantRequest {
        id: "req_1".parse().unwrap(),
        grant: "grt_1".parse().unwrap(),
        agent: "bot".parse().unwrap(),
        task: "t".parse().unwrap(),
        right: Right {
            entitlement: "refunds".parse().unwrap(),
            operations: ["a".parse().unwrap()].into(),
            budget: Budget::default(),
            proof: Proof::Bearer,
            approval: Some(
                ApprovalRule {
                    group: "leads".parse().unwrap(),
                    quorum: 1,
                    mfa: false,
                    expires: Duration::from_mins(30),
                }
                .into(),
            ),
        }
        .into(),
        input: Default::default(),
        reason: Some(reason.into()),
        duration: Duration::from_secs(60),
        requested_at: Timestamp::UNIX_EPOCH,
        parent: None,
        asked: Circumstances::UNKNOWN.into(),
    };
    let mut grant = Grant::requested(Arc::new(request));
    let until = Timestamp::from_second(60).unwrap();
    grant
        .apply(Transition::AskApproval { until }, Timestamp::UNIX_EPOCH)
        .unwrap();
    grant
}

#[test]
fn programs_are_told_everything_that_an_approval_needs() {
    let event = Event::RequestPending(pending("order 7"));
    let told = json(&event, Timestamp::UNIX_EPOCH, "https://gate.example").unwrap();
    assert_eq!(told["type"], "request.pending");
    assert_eq!(told["request"]["digest"].as_str().unwrap().len(), 64);
    assert_eq!(told["request"]["approval"]["group"], "leads");
    assert_eq!(
        told["request"]["url"],
        "https://gate.example/v1/requests/req_1"
    );
    assert_eq!(told["request"]["expires_at"], "1970-01-01T00:01:00Z");
}

#[test]
fn an_agents_words_are_only_words() {
    let odd = "<!channel> *pay* <https://evil|click>\n`approved` \u{202e}@ana";
    let told = slack(&Event::RequestPending(pending(odd))).unwrap();
    let text = told["text"].as_str().unwrap();
    let first = text.lines().next().unwrap();
    assert_eq!(
        first,
        "`bot` asks for `refunds` for 60 s: &lt;!channel&gt; \u{b7}pay\u{b7} \
         &lt;https://evil\u{b7}click&gt; \u{b7}approved\u{b7} \u{b7}ana"
    );
    assert_eq!(text.lines().count(), 2, "{text}");
}

#[test]
fn a_decision_is_told_and_nothing_else() {
    let mut grant = pending("x");
    let step = Transition::End(EndReason::Declined);
    grant.apply(step, Timestamp::UNIX_EPOCH).unwrap();
    let told = slack(&Event::RequestDecided(grant.clone())).unwrap();
    assert!(told["text"].as_str().unwrap().ends_with("is declined"));
    assert!(slack(&Event::GrantEnded(grant.clone())).is_none());
    assert!(json(&Event::GrantActive(grant), Timestamp::UNIX_EPOCH, "").is_none());
}
