use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::model::{Budget, Circumstances, GrantId, GrantRequest, Proof, RequestId, Right};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn approval(person: &str) -> Approval {
    Approval {
        person: person.parse().unwrap(),
        at: at(1),
        mfa: false,
        at_most: None,
    }
}

fn term() -> Term {
    Term {
        starts_at: at(1),
        expires_at: at(60),
        approvals: Default::default(),
    }
}

fn states() -> [GrantState; 5] {
    [
        GrantState::Requested,
        GrantState::Pending {
            until: at(60),
            approvals: vec![approval("ana")],
        },
        GrantState::Active(term()),
        GrantState::Suspended(term()),
        GrantState::Ended {
            reason: EndReason::Revoked,
            at: at(2),
            term: Some(Box::new(term())),
            note: None,
        },
    ]
}

fn steps() -> [Transition; 9] {
    [
        Transition::AskApproval { until: at(60) },
        Transition::Approve(approval("ben")),
        Transition::Approve(approval("ana")),
        Transition::Activate { expires_at: at(90) },
        Transition::Renew { expires_at: at(90) },
        Transition::Suspend,
        Transition::Resume,
        Transition::Refuse {
            reason: EndReason::Declined,
            note: "no".into(),
        },
        Transition::End(EndReason::Completed),
    ]
}

fn grant(state: GrantState) -> Grant {
    let request = GrantRequest {
        id: RequestId::random(),
        grant: GrantId::random(),
        agent: "bot".parse().unwrap(),
        task: "t".parse().unwrap(),
        right: Right {
            entitlement: "e".parse().unwrap(),
            operations: BTreeSet::new().into(),
            budget: Budget::default(),
            proof: Proof::Bearer,
            approval: None,
        }
        .into(),
        input: Default::default(),
        reason: None,
        duration: Duration::from_secs(60),
        requested_at: at(0),
        parent: None,
        asked: Circumstances::UNKNOWN.into(),
    };
    Grant {
        request: Arc::new(request),
        state,
    }
}

/// Every state by every step: rows are states, columns are steps, `-` is a refusal.
#[test]
fn every_pair_of_state_and_step() {
    let table: Vec<String> = states()
        .into_iter()
        .map(|state| {
            let cells = steps().map(|step| {
                let mut grant = grant(state.clone());
                match grant.apply(step, at(5)) {
                    Ok(()) => grant.state.as_str(),
                    Err(_) => {
                        assert_eq!(grant.state, state, "a refused step changes nothing");
                        "-"
                    }
                }
            });
            format!("{:9} {}", state.as_str(), cells.join(" "))
        })
        .collect();
    assert_eq!(
        table,
        [
            // ask    approve  approve-again activate renew suspend resume refuse end
            "requested pending - - active - - - ended ended",
            "pending   - pending - active - - - ended ended",
            "active    - - - - active suspended - - ended",
            "suspended - - - - - - active - ended",
            "ended     - - - - - - - - -",
        ]
    );
}

#[test]
fn the_term_remembers_who_agreed() {
    let mut grant = grant(GrantState::Requested);
    grant
        .apply(Transition::AskApproval { until: at(60) }, at(0))
        .unwrap();
    grant
        .apply(Transition::Approve(approval("ana")), at(1))
        .unwrap();
    grant
        .apply(Transition::Activate { expires_at: at(9) }, at(2))
        .unwrap();
    grant
        .apply(Transition::End(EndReason::Expired), at(9))
        .unwrap();
    let GrantState::Ended { term, reason, .. } = grant.state else {
        panic!("not ended");
    };
    assert_eq!(reason, EndReason::Expired);
    assert_eq!(*term.unwrap().approvals, [approval("ana")]);
}
