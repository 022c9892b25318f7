use std::sync::OnceLock;

use jiff::Timestamp;

use super::*;
use crate::model::{Circumstances, Proof, Right};

fn rule() -> ApprovalRule {
    ApprovalRule {
        group: "leads".parse().unwrap(),
        quorum: 2,
        mfa: false,
        expires: Duration::from_mins(30),
    }
}

fn entitlement() -> Entitlement {
    Entitlement {
        id: "refunds".parse().unwrap(),
        operations: ["orders.refund".parse().unwrap()].into(),
        max_ttl: Duration::from_mins(15),
        max_calls: Some(3),
        max_bytes: None,
        max_concurrent: Some(2),
        approval: Some(rule().into()),
        proof: Proof::Bearer,
        reason_required: false,
    }
}

fn request() -> GrantRequest {
    let entitlement = entitlement();
    GrantRequest {
        id: "req_1".parse().unwrap(),
        grant: "grt_1".parse().unwrap(),
        agent: "bot".parse().unwrap(),
        task: "t".parse().unwrap(),
        right: Right {
            entitlement: entitlement.id.clone(),
            operations: entitlement.operations.clone(),
            budget: entitlement.budget(),
            proof: Proof::Bearer,
            approval: Some(rule().into()),
        }
        .into(),
        input: Default::default(),
        reason: None,
        duration: Duration::from_mins(10),
        requested_at: Timestamp::UNIX_EPOCH,
        parent: None,
        asked: Circumstances::UNKNOWN.into(),
    }
}

/// The one who agrees.
fn ana() -> &'static PersonId {
    static ANA: OnceLock<PersonId> = OnceLock::new();
    ANA.get_or_init(|| "ana".parse().unwrap())
}

fn check<'a>(
    change: impl FnOnce(&mut Consent<'a>),
    expected: impl Into<Result<Option<Duration>, Unfit>>,
) {
    let request = request();
    let mut consent = Consent {
        person: ana(),
        member: true,
        party: None,
        digest: Some(digest(&request)),
        duration: None,
    };
    change(&mut consent);
    let earlier = [Approval {
        person: "ben".parse().unwrap(),
        at: Timestamp::UNIX_EPOCH,
        mfa: false,
        at_most: None,
    }];
    let now = redefined(&request, &entitlement(), Some(rule().into()));
    let judged = check_consent(&consent, &request, &rule(), &earlier, &now);
    assert_eq!(judged, expected.into());
}

#[test]
fn whose_agreement_counts() {
    let [ben, cem] = ["ben", "cem"].map(|name| name.parse::<PersonId>().unwrap());
    let minutes = Duration::from_mins;
    check(|_| {}, Ok(None));
    check(|one| one.duration = Some(minutes(10)), Ok(None));
    check(|one| one.duration = Some(minutes(5)), Ok(Some(minutes(5))));
    check(
        |one| one.duration = Some(minutes(11)),
        Err(Unfit::Longer(600)),
    );
    let outside = Unfit::NotAsked("leads".parse().unwrap());
    check(|one| one.member = false, Err(outside));
    check(|one| one.party = Some(&cem), Err(Unfit::Own(cem.clone())));
    check(|one| one.person = &ben, Err(Unfit::Again));
    check(|one| one.digest = None, Err(Unfit::Digest));
    check(|one| one.digest = Some(Digest::ZERO), Err(Unfit::Digest));
}

#[test]
fn any_change_of_the_definition_voids_what_is_asked() {
    let request = request();
    let consent = Consent {
        person: ana(),
        member: true,
        party: None,
        digest: Some(digest(&request)),
        duration: None,
    };
    let changes: [fn(&mut Entitlement); 6] = [
        |one| one.operations.clear(),
        |one| one.max_ttl = Duration::from_mins(5),
        |one| one.max_calls = None,
        |one| one.max_bytes = Some(1),
        |one| one.max_concurrent = None,
        |one| one.proof = Proof::Dpop,
    ];
    for change in changes {
        let mut entitlement = entitlement();
        change(&mut entitlement);
        let now = redefined(&request, &entitlement, Some(rule().into()));
        let judged = check_consent(&consent, &request, &rule(), &[], &now);
        assert_eq!(judged, Err(Unfit::Changed), "{entitlement:?}");
    }
    let rules: [fn(&mut ApprovalRule); 4] = [
        |one| one.group = "others".parse().unwrap(),
        |one| one.quorum = 1,
        |one| one.mfa = true,
        |one| one.expires = Duration::from_mins(31),
    ];
    for change in rules {
        let mut other = rule();
        change(&mut other);
        let now = redefined(&request, &entitlement(), Some(other.into()));
        let judged = check_consent(&consent, &request, &rule(), &[], &now);
        assert_eq!(judged, Err(Unfit::Changed));
    }
}
