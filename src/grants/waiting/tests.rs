use std::time::Duration;

use jiff::Timestamp;
use tokio::runtime::Handle;

use super::*;
use crate::base::{Clock, ManualClock};
use crate::grants::{Limits, OpenTask};
use crate::model::{Circumstances, Entitlement, Inputs, Proof};
use crate::store::MemoryStore;
use crate::telemetry::Metrics;

struct World {
    grants: Grants,
    clock: Clock,
    hand: ManualClock,
    entitlement: Entitlement,
}

impl World {
    fn new(quorum: u32) -> Self {
        let (clock, hand) = Clock::manual(Timestamp::UNIX_EPOCH);
        let metrics = Arc::new(Metrics::new(std::iter::empty(), std::iter::empty()));
        let store = Arc::new(MemoryStore::new());
        let limits = Limits::default();
        let grants = Grants::new(clock.clone(), store, limits, metrics, Handle::current());
        tokio::spawn(grants.clone().run_clockwork());
        let entitlement = Entitlement {
            id: "refunds".parse().unwrap(),
            operations: ["orders.refund".parse().unwrap()].into(),
            max_ttl: Duration::from_mins(15),
            max_calls: None,
            max_bytes: None,
            max_concurrent: None,
            approval: Some(rule(quorum)),
            proof: Proof::Bearer,
            reason_required: false,
        };
        Self {
            grants,
            clock,
            hand,
            entitlement,
        }
    }

    async fn open(&self, id: &str) -> Arc<LiveTask> {
        let open = OpenTask {
            id: Some(id.parse().unwrap()),
            agent: "bot".parse().unwrap(),
            kind: None,
            description: None,
            parent: None,
            opened_by: "bot".to_owned(),
            lease: Some(Duration::from_hours(1)),
        };
        self.grants.open_task(open).await.unwrap()
    }

    async fn ask(
        &self,
        task: &Arc<LiveTask>,
        reason: &str,
    ) -> Result<(Arc<PendingGrant>, bool), GrantsError> {
        let asking = Asking {
            entitlement: &self.entitlement,
            task,
            reason: Some(reason.to_owned()),
            duration: None,
            input: Inputs::new(),
            asked: Circumstances::UNKNOWN,
        };
        let rule = self.entitlement.approval.clone().unwrap();
        self.grants.ask_people(asking, rule).await
    }

    async fn approve(
        &self,
        pending: &Arc<PendingGrant>,
        person: &str,
    ) -> Result<Approved, GrantsError> {
        let approval = agreement(person, None);
        self.grants.approve(pending, approval, || Ok(())).await
    }

    async fn stored(&self, pending: &PendingGrant) -> GrantState {
        let stored = self.grants.store().request(&pending.request().id).await;
        stored.unwrap().unwrap().state
    }
}

fn rule(quorum: u32) -> Shared<ApprovalRule> {
    ApprovalRule {
        group: "leads".parse().unwrap(),
        quorum,
        mfa: false,
        expires: Duration::from_mins(30),
    }
    .into()
}

fn agreement(person: &str, at_most: Option<Duration>) -> Approval {
    Approval {
        person: person.parse().unwrap(),
        at: Timestamp::UNIX_EPOCH,
        mfa: false,
        at_most,
    }
}

#[tokio::test]
async fn the_last_person_needed_brings_the_grant_into_force() {
    let world = World::new(2);
    let task = world.open("t").await;
    let (pending, _) = world.ask(&task, "a").await.unwrap();
    assert!(matches!(
        world.stored(&pending).await,
        GrantState::Pending { .. }
    ));
    let first = world.approve(&pending, "ana").await.unwrap();
    assert!(matches!(first, Approved::Waits(1)), "{first:?}");
    assert!(task.grants().is_empty());
    let same = world.approve(&pending, "ana").await.unwrap_err();
    assert!(matches!(
        same,
        GrantsError::OutOfPlace(TransitionError::SamePerson(_))
    ));

    world.hand.advance(Duration::from_mins(5));
    let Approved::Active(grant) = world.approve(&pending, "ben").await.unwrap() else {
        panic!("not active");
    };
    pending.decided().await;
    assert_eq!(grant.approved_by().groups, ["leads".parse().unwrap()]);
    let deadline = world.clock.now() + world.entitlement.max_ttl;
    assert_eq!(grant.deadline(), deadline, "its time starts now");
    assert_eq!(task.grants().len(), 1);
    assert!(world.grants.pending(&pending.request().id).is_none());
    assert!(matches!(
        world.stored(&pending).await,
        GrantState::Active(_)
    ));
    assert!(
        world.approve(&pending, "cem").await.is_err(),
        "decided once"
    );
}

#[tokio::test]
async fn the_shortest_agreed_life_counts_and_none_lengthens_it() {
    let world = World::new(2);
    let task = world.open("t").await;
    let (pending, _) = world.ask(&task, "a").await.unwrap();
    let minutes = |count| Some(Duration::from_mins(count));
    for (person, at_most) in [("ana", minutes(2)), ("ben", minutes(90))] {
        let approval = agreement(person, at_most);
        let _ = world.grants.approve(&pending, approval, || Ok(())).await;
    }
    let grants = task.grants();
    assert_eq!(
        grants[0].deadline() - world.clock.now(),
        Duration::from_mins(2)
    );
}

#[tokio::test]
async fn the_same_request_waits_once_and_another_waits_beside_it() {
    let world = World::new(1);
    let task = world.open("t").await;
    let (one, fresh) = world.ask(&task, "a").await.unwrap();
    let (again, fresh_again) = world.ask(&task, "a").await.unwrap();
    let (other, _) = world.ask(&task, "b").await.unwrap();
    assert!(fresh && !fresh_again);
    assert!(Arc::ptr_eq(&one, &again));
    assert!(!Arc::ptr_eq(&one, &other));
    let reason = EndReason::Withdrawn;
    world.grants.refuse(&one, reason, None).await.unwrap();
    let (anew, _) = world.ask(&task, "a").await.unwrap();
    assert!(!Arc::ptr_eq(&one, &anew), "what is over is asked for anew");
}

#[tokio::test]
async fn a_task_has_so_many_requests_that_wait() {
    let world = World::new(1);
    let task = world.open("t").await;
    let limit = Limits::default().pending_per_task;
    let mut waiting = Vec::new();
    for number in 0..limit {
        let (one, _) = world.ask(&task, &number.to_string()).await.unwrap();
        waiting.push(one);
    }
    let refused = world.ask(&task, "one more").await.unwrap_err();
    assert_eq!(refused, GrantsError::TooManyPending { limit });
    let last = waiting.pop().unwrap();
    let reason = EndReason::Withdrawn;
    world.grants.refuse(&last, reason, None).await.unwrap();
    assert!(world.ask(&task, "one more").await.is_ok());
}

#[tokio::test]
async fn what_nobody_answers_expires_and_its_agent_is_told() {
    let world = World::new(1);
    let task = world.open("t").await;
    let (pending, _) = world.ask(&task, "a").await.unwrap();
    world.hand.advance(Duration::from_mins(30));
    let late = world.approve(&pending, "ana").await;
    assert!(late.is_err());
    pending.decided().await;
    let GrantState::Ended { reason, term, .. } = world.stored(&pending).await else {
        panic!("not ended");
    };
    assert_eq!((reason, term), (EndReason::Expired, None));
}

#[tokio::test]
async fn the_end_of_its_task_ends_a_request() {
    let world = World::new(1);
    let task = world.open("t").await;
    let (pending, _) = world.ask(&task, "a").await.unwrap();
    let id = task.task().id.clone();
    world
        .grants
        .end_task(&id, EndReason::Completed)
        .await
        .unwrap();
    pending.decided().await;
    assert!(world.approve(&pending, "ana").await.is_err());
    let GrantState::Ended { reason, .. } = world.stored(&pending).await else {
        panic!("not ended");
    };
    assert_eq!(reason, EndReason::Completed);
    assert!(world.ask(&task, "b").await.is_err());
}

#[tokio::test]
async fn rules_that_say_no_at_the_last_moment_end_the_request() {
    let world = World::new(1);
    let task = world.open("t").await;
    let (pending, _) = world.ask(&task, "a").await.unwrap();
    let no = || Err("not at night".into());
    let answer = world.grants.approve(&pending, agreement("ana", None), no);
    let Approved::Refused(note) = answer.await.unwrap() else {
        panic!("not refused");
    };
    assert_eq!(&*note, "not at night");
    let GrantState::Ended { reason, note, .. } = world.stored(&pending).await else {
        panic!("not ended");
    };
    assert_eq!(reason, EndReason::ConditionChanged);
    assert_eq!(note.as_deref(), Some("not at night"));
    assert!(task.grants().is_empty());
}
