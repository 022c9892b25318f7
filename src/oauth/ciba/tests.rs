use std::sync::Arc;

use super::*;
use crate::model::{Budget, Circumstances, GrantId, Proof, Right, Term};

const NOW: i64 = 1_800_000_000;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn grant(state: GrantState) -> Grant {
    let request = GrantRequest {
        id: RequestId::random(),
        grant: GrantId::random(),
        agent: "bot".parse().unwrap(),
        task: "t".parse().unwrap(),
        right: Right {
            entitlement: "e".parse().unwrap(),
            operations: ["o".parse().unwrap()].into(),
            budget: Budget::default(),
            proof: Proof::Bearer,
            approval: None,
        }
        .into(),
        input: Default::default(),
        reason: None,
        duration: Duration::from_secs(60),
        requested_at: at(NOW),
        parent: None,
        asked: Circumstances::UNKNOWN.into(),
    };
    let request = Arc::new(request);
    Grant { request, state }
}

fn term() -> Term {
    Term {
        starts_at: at(NOW),
        expires_at: at(NOW + 60),
        approvals: Default::default(),
    }
}

fn pending(left: i64) -> GrantState {
    GrantState::Pending {
        until: at(NOW + left),
        approvals: Vec::new(),
    }
}

fn ended(reason: EndReason, term: Option<Term>) -> GrantState {
    let at = at(NOW);
    GrantState::Ended {
        reason,
        at,
        term: term.map(Box::new),
        note: None,
    }
}

#[test]
fn each_state_has_its_answer() {
    let check = |state: GrantState, expected: Fate| {
        let shown = format!("{state:?}");
        assert_eq!(
            (fate_of(&state, at(NOW)), shown.as_str()),
            (expected, shown.as_str())
        );
    };
    check(pending(30), Fate::Waits(Duration::from_secs(30)));
    check(pending(0), Fate::Expired);
    check(pending(-1), Fate::Expired);
    check(GrantState::Active(term()), Fate::Granted);
    check(GrantState::Suspended(term()), Fate::Granted);
    for reason in EndReason::ALL {
        let expected = match reason {
            EndReason::Expired => Fate::Expired,
            EndReason::AgentRevoked
            | EndReason::ConditionChanged
            | EndReason::Declined
            | EndReason::PolicyChanged
            | EndReason::Revoked => Fate::Refused,
            _ => Fate::Over,
        };
        check(ended(*reason, None), expected);
        // What was in force was agreed to; that it is over is no refusal.
        check(ended(*reason, Some(term())), Fate::Over);
    }
}

#[test]
fn what_was_asked_for_together_is_got_together() {
    let check = |states: &[GrantState], expected: Fate| {
        let grants: Vec<_> = states.iter().cloned().map(grant).collect();
        assert_eq!((fate(&grants, at(NOW)), states), (expected, states));
    };
    let active = GrantState::Active(term());
    let declined = ended(EndReason::Declined, None);
    let seconds = |seconds| Fate::Waits(Duration::from_secs(seconds));
    check(&[active.clone(), active.clone()], Fate::Granted);
    check(&[active.clone(), pending(30)], seconds(30));
    check(&[pending(30), active.clone(), pending(20)], seconds(20));
    check(&[pending(30), declined.clone()], Fate::Refused);
    check(&[declined, ended(EndReason::Expired, None)], Fate::Refused);
    check(
        &[active, ended(EndReason::Revoked, Some(term()))],
        Fate::Over,
    );
}

#[test]
fn the_id_is_that_of_the_requests_in_their_order() {
    let (one, two) = (grant(pending(1)), grant(pending(1)));
    let id = auth_req_id(&[&one.request, &two.request]);
    let ids: Vec<RequestId> = id.split('.').map(|id| id.parse().unwrap()).collect();
    assert_eq!(ids, [one.request.id.clone(), two.request.id.clone()]);
    // CIBA Core §7.3: letters, digits, dots, hyphens and underscores.
    assert!(
        id.chars()
            .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
    );
}
