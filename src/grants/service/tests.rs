use jiff::Timestamp;

use super::*;
use crate::base::ManualClock;
use crate::grants::{Asking, Closed, OpenTask};
use crate::model::{Circumstances, EndReason, Entitlement, Inputs, Proof};
use crate::store::MemoryStore;

struct World {
    grants: Grants,
    clock: Clock,
    hand: ManualClock,
    entitlement: Entitlement,
}

impl World {
    fn new() -> Self {
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
            approval: None,
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

    async fn open(&self, id: &str, parent: Option<&str>) -> Result<Arc<LiveTask>, GrantsError> {
        let open = OpenTask {
            id: Some(id.parse().unwrap()),
            agent: "bot".parse().unwrap(),
            kind: None,
            description: None,
            parent: parent.map(|parent| parent.parse().unwrap()),
            opened_by: "bot".to_owned(),
            lease: None,
        };
        self.grants.open_task(open).await
    }

    async fn activate(&self, task: &Arc<LiveTask>) -> Result<Arc<LiveGrant>, GrantsError> {
        let asking = Asking {
            entitlement: &self.entitlement,
            task,
            reason: None,
            duration: None,
            input: Inputs::new(),
            asked: Circumstances::UNKNOWN,
        };
        self.grants.activate(asking).await
    }

    async fn end(&self, id: &str) -> Result<super::super::Ending, GrantsError> {
        let id = id.parse().unwrap();
        self.grants.end_task(&id, EndReason::Completed).await
    }
}

#[tokio::test]
async fn the_end_of_a_task_ends_its_grants_and_its_spans() {
    let world = World::new();
    let task = world.open("t", None).await.unwrap();
    let span = world.open("span", Some("t")).await.unwrap();
    let other = world.open("other", None).await.unwrap();
    let (own, below) = (
        world.activate(&task).await.unwrap(),
        world.activate(&span).await.unwrap(),
    );
    let foreign = world.activate(&other).await.unwrap();

    let ending = world.end("t").await.unwrap();

    assert_eq!(ending.receipt.grants.len(), 2);
    let now = world.clock.now();
    assert_eq!(own.ended(now), Some(EndReason::Completed));
    assert_eq!(below.ended(now), Some(EndReason::ParentEnded));
    assert_eq!(span.ended(now), Some(EndReason::ParentEnded));
    assert_eq!(foreign.ended(now), None);
    assert!(world.grants.task(&span.task().id).is_none());
    let part = world.end("span").await.unwrap();
    assert_eq!(
        part.receipt.grants.len(),
        1,
        "a span tells of its own grant"
    );
    assert_eq!(
        world.end("t").await.unwrap(),
        ending,
        "the same answer again"
    );
}

#[tokio::test]
async fn an_end_is_acknowledged_only_when_the_last_exchange_is_gone() {
    let world = World::new();
    let task = world.open("t", None).await.unwrap();
    let grant = world.activate(&task).await.unwrap();
    let mut exchange = grant.enter(world.clock.now()).unwrap();
    let signal = exchange.end_signal();
    let grants = world.grants.clone();
    let id = task.task().id.clone();
    let ending = tokio::spawn(async move { grants.end_task(&id, EndReason::Completed).await });
    assert_eq!(signal.await, EndReason::Completed);
    assert!(!ending.is_finished());
    exchange.mark_cut();
    drop(exchange);
    let receipt = ending.await.unwrap().unwrap().receipt;
    assert_eq!(receipt.grants[0].streams_cut, 1);
}

#[tokio::test]
async fn task_ids_are_never_used_twice() {
    let world = World::new();
    world.open("t", None).await.unwrap();
    let used = GrantsError::TaskIdUsed("t".parse().unwrap());
    assert_eq!(world.open("t", None).await.unwrap_err(), used);
    world.end("t").await.unwrap();
    assert_eq!(world.open("t", None).await.unwrap_err(), used);
}

#[tokio::test]
async fn nothing_comes_into_force_for_an_ended_task() {
    let world = World::new();
    let task = world.open("t", None).await.unwrap();
    world.end("t").await.unwrap();
    let ended = GrantsError::TaskEnded("t".parse().unwrap(), EndReason::Completed);
    assert_eq!(world.activate(&task).await.unwrap_err(), ended);
    assert!(world.open("span", Some("t")).await.is_err());
}

#[tokio::test]
async fn a_silent_task_lapses_with_its_grants_and_a_sign_of_life_keeps_it() {
    let world = World::new();
    let task = world.open("t", None).await.unwrap();
    let grant = world.activate(&task).await.unwrap();
    world.hand.advance(Duration::from_secs(59));
    task.renew(world.clock.now());
    world.hand.advance(Duration::from_secs(59));
    assert_eq!(task.ended(world.clock.now()), None);
    world.hand.advance(Duration::from_secs(1));
    assert_eq!(task.ended(world.clock.now()), Some(EndReason::LeaseLapsed));
    task.renew(world.clock.now());
    assert_eq!(grant.end_signal().await, EndReason::LeaseLapsed);
    assert_eq!(task.ended(world.clock.now()), Some(EndReason::LeaseLapsed));
}

#[tokio::test]
async fn no_sign_of_life_carries_a_task_past_its_maximum_age() {
    let world = World::new();
    let task = world.open("t", None).await.unwrap();
    let ages = Limits::default().task_max_age.as_secs() / 30;
    for _ in 0..ages {
        assert_eq!(task.ended(world.clock.now()), None);
        task.renew(world.clock.now());
        world.hand.advance(Duration::from_secs(30));
    }
    task.renew(world.clock.now());
    assert_eq!(task.ended(world.clock.now()), Some(EndReason::TaskMaxAge));
}

#[tokio::test]
async fn a_grant_ends_at_its_deadline_whatever_the_wall_clock_says() {
    let world = World::new();
    let task = world.open("t", None).await.unwrap();
    let grant = world.activate(&task).await.unwrap();
    world.hand.step_wall(Timestamp::MAX);
    assert!(grant.enter(world.clock.now()).is_ok());
    world.hand.step_wall(Timestamp::UNIX_EPOCH);
    for _ in 0..15 {
        task.renew(world.clock.now());
        world.hand.advance(Duration::from_secs(60));
    }
    let closed = grant.enter(world.clock.now()).unwrap_err();
    assert_eq!(closed, Closed::Ended(EndReason::Expired));
}

#[tokio::test]
async fn a_new_generation_ends_what_it_no_longer_knows() {
    let world = World::new();
    let (kept, lost) = (
        world.open("a", None).await.unwrap(),
        world.open("b", None).await.unwrap(),
    );
    let (stays, goes) = (
        world.activate(&kept).await.unwrap(),
        world.activate(&lost).await.unwrap(),
    );
    let id = goes.request().grant.clone();
    world
        .grants
        .reconcile(|_| true, |request| request.grant != id);
    let now = world.clock.now();
    assert_eq!(goes.ended(now), Some(EndReason::PolicyChanged));
    assert_eq!(stays.ended(now), None);
    assert!(lost.grants().is_empty() && lost.ended(now).is_none());
}
