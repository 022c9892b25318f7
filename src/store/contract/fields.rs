//! Everything that is stored comes back as it was, whatever is in it.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::{HARD, active, grant, task};
use crate::base::{BootId, BootInstant, Digest};
use crate::model::{
    Approval, ApprovalRule, Budget, Circumstances, ClosedGrant, EndReason, Grant, GrantId, Holder,
    InputValue, Proof, Receipt, TaskState, Transition,
};
use crate::store::{Change, ClockMark, CountedCalls, GrantMark, GrantStore, TaskMark};

pub(super) async fn every_field_comes_back(store: &dyn GrantStore) {
    let mut whole = task("whole");
    whole.kind = None;
    whole.description = Some(HARD.to_owned());
    whole.parent = Some("live".parse().unwrap());
    whole.depth = 3;
    whole.opened_by = "ana@example.com".to_owned();
    whole.opened_at = Timestamp::new(1_700_000_000, 123_456_789).unwrap();
    whole.lease = Duration::new(59, 999_999_999);
    let batch = vec![Change::OpenTask(whole.clone())];
    store.commit(batch).await.unwrap();
    let stored = store.task(&whole.id).await.unwrap().unwrap();
    assert_eq!((stored.task, stored.receipt), (whole.clone(), None));
    let receipt = Receipt {
        grants: vec![ClosedGrant {
            id: GrantId::random(),
            streams_cut: 2,
            calls_finished: u64::MAX,
            took: Duration::from_micros(1_234),
        }],
    };
    for reason in EndReason::ALL {
        let at = Timestamp::MAX;
        whole.state = TaskState::Ended {
            reason: *reason,
            at,
        };
        let end = Change::PutTask(whole.clone(), Some(receipt.clone()));
        store.commit(vec![end]).await.unwrap();
        let stored = store.task(&whole.id).await.unwrap().unwrap();
        assert_eq!(stored.task, whole);
        assert_eq!(stored.receipt.as_ref(), Some(&receipt));
    }
    for (proof, end) in [Proof::Bearer, Proof::Dpop, Proof::Mtls]
        .into_iter()
        .zip(EndReason::ALL)
    {
        every_state_comes_back(store, proof, *end).await;
    }
}

async fn every_state_comes_back(store: &dyn GrantStore, proof: Proof, reason: EndReason) {
    let mut request = Arc::unwrap_or_clone(grant("live").request);
    request.reason = Some(HARD.into());
    request.right.proof = proof;
    request.input = [
        ("text".into(), InputValue::String(HARD.into())),
        ("number".into(), InputValue::Long(i64::MIN)),
        ("truth".into(), InputValue::Bool(true)),
        ("numeral".into(), InputValue::String("7".into())),
    ]
    .into();
    request.right.budget = Budget {
        calls: Some(u64::MAX - 1),
        bytes: Some(0),
        concurrent: Some(u32::MAX),
    };
    request.right.approval = Some(
        ApprovalRule {
            group: "leads".parse().unwrap(),
            quorum: 2,
            mfa: true,
            expires: Duration::from_secs(1800),
        }
        .into(),
    );
    request.parent = Some(GrantId::random().into());
    *request.asked = Circumstances {
        source: "2001:db8::1".parse().unwrap(),
        methods: vec!["private_key_jwt".into(), HARD.into()],
        holder: match proof {
            Proof::Bearer => None,
            Proof::Dpop => Some(Holder::DpopKey(Digest::of(b"key"))),
            Proof::Mtls => Some(Holder::Certificate(Digest::of(b"certificate"))),
        },
    };
    let mut grant = Grant::requested(Arc::new(request));
    let now = Timestamp::new(1_700_000_001, 1).unwrap();
    let approval = |person: &str| Approval {
        person: person.parse().unwrap(),
        at: now,
        mfa: true,
        at_most: Some(Duration::from_millis(1_500)),
    };
    let until = Timestamp::MAX;
    let expires_at = now + Duration::from_secs(60);
    let steps = [
        Transition::AskApproval { until },
        Transition::Approve(approval("ana@example.com")),
        Transition::Approve(approval("bo@example.com")),
        Transition::Activate { expires_at },
        Transition::Renew { expires_at: until },
        Transition::Suspend,
        Transition::Resume,
        Transition::End(reason),
    ];
    let put = |grant: &Grant| vec![Change::PutGrant(grant.clone())];
    let add = |grant: &Grant| vec![Change::AddGrant(grant.clone())];
    store.commit(add(&grant)).await.unwrap();
    for step in steps {
        grant.apply(step, now).unwrap();
        store.commit(put(&grant)).await.unwrap();
        let stored = store.grant(&grant.request.grant).await.unwrap();
        assert_eq!(stored.as_ref(), Some(&grant));
        let live = store.load().await.unwrap().grants;
        assert_eq!(
            live.contains(&(grant.clone(), None)),
            !grant.is_ended(),
            "{grant:?}"
        );
    }
    let mut refused = Grant::requested(Arc::clone(&grant.request));
    Arc::make_mut(&mut refused.request).grant = GrantId::random();
    let note = HARD.into();
    refused
        .apply(Transition::Refuse { reason, note }, now)
        .unwrap();
    store.commit(add(&refused)).await.unwrap();
    let stored = store.grant(&refused.request.grant).await.unwrap();
    assert_eq!(stored, Some(refused));
}

pub(super) async fn marks_come_back_until_the_end(store: &dyn GrantStore) {
    let instant = BootInstant::from_nanos;
    let clock = ClockMark {
        boot: BootId::from("one"),
        now: instant(7),
        wall: Timestamp::UNIX_EPOCH,
    };
    let grant_mark = GrantMark {
        starts: instant(1),
        deadline: instant(u64::MAX),
        calls_left: Some(2),
        bytes_left: None,
    };
    let task_mark = TaskMark {
        opened: instant(0),
        lapses: instant(5),
        oldest: instant(6),
        history: vec![CountedCalls {
            operation: "orders.refund".parse().unwrap(),
            calls: 3,
            succeeded: 1,
            sum: [("amount".into(), -4)].into(),
            last: instant(4),
        }],
    };
    let mut marked = (task("marked"), active("marked"));
    let id = marked.1.request.grant.clone();
    let nobody = GrantId::random();
    let batch = vec![
        Change::OpenTask(marked.0.clone()),
        Change::AddGrant(marked.1.clone()),
        Change::MarkGrant(id.clone(), grant_mark),
        Change::MarkGrant(nobody.clone(), grant_mark),
        Change::MarkTask(marked.0.id.clone(), task_mark.clone()),
        Change::MarkTask("nobody".parse().unwrap(), task_mark.clone()),
        Change::MarkClock(clock.clone()),
    ];
    store.commit(batch).await.unwrap();
    // A step leaves the mark as it is.
    let expires_at = Timestamp::MAX;
    let renew = Transition::Renew { expires_at };
    marked.1.apply(renew, Timestamp::UNIX_EPOCH).unwrap();
    let step = vec![
        Change::PutGrant(marked.1.clone()),
        Change::PutTask(marked.0.clone(), None),
    ];
    store.commit(step).await.unwrap();
    let contents = store.load().await.unwrap();
    assert_eq!(contents.clock, Some(clock));
    let tasks = contents.tasks;
    assert!(tasks.contains(&(marked.0.clone(), Some(task_mark.clone()))));
    assert!(contents.grants.contains(&(marked.1, Some(grant_mark))));
    let mut waits = grant("marked");
    let until = Timestamp::MAX;
    let ask = Transition::AskApproval { until };
    waits.apply(ask, Timestamp::UNIX_EPOCH).unwrap();
    let id = waits.request.grant.clone();
    let batch = vec![
        Change::AddGrant(waits.clone()),
        Change::MarkGrant(id, grant_mark),
    ];
    store.commit(batch).await.unwrap();
    let waiting = (waits.clone(), Some(grant_mark));
    assert!(store.load().await.unwrap().grants.contains(&waiting));
    let activate = Transition::Activate { expires_at };
    waits.apply(activate, Timestamp::UNIX_EPOCH).unwrap();
    let put = Change::PutGrant(waits.clone());
    store.commit(vec![put]).await.unwrap();
    let grants = store.load().await.unwrap().grants;
    assert!(
        grants.contains(&(waits, None)),
        "its time to wait is no term"
    );
    assert_eq!(store.grant(&nobody).await.unwrap(), None);
    assert_eq!(store.task(&"nobody".parse().unwrap()).await.unwrap(), None);
}
