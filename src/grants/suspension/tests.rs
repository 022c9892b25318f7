use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::grants::fixture::World;
use crate::grants::{Carving, Closed, Exchange, LiveGrant, LiveTask};
use crate::model::{Circumstances, EndReason, GrantState};

#[tokio::test]
async fn a_suspended_grant_lets_nothing_through_until_it_is_resumed() {
    let world = World::new();
    let (grants, _) = world.start().await;
    let task = world.open(&grants, "t", None).await;
    let grant = world.activate(&grants, &task).await;
    let mut suspensions = grants.suspensions();

    let suspended = grants.suspend(&grant).await.unwrap().expect("a change");
    assert!(matches!(suspended.state, GrantState::Suspended(_)));
    assert_eq!(world.stored_grant(&grant).await, suspended);
    assert_eq!(suspensions.try_recv().unwrap(), grant.request().grant);
    let closed = grant.enter(world.clock.now()).unwrap_err();
    assert_eq!(closed, Closed::Suspended);
    assert_eq!(
        grants.suspend(&grant).await.unwrap(),
        None,
        "once is enough"
    );

    let resumed = grants.resume(&grant).await.unwrap().expect("a change");
    assert!(matches!(resumed.state, GrantState::Active(_)));
    assert_eq!(world.stored_grant(&grant).await, resumed);
    assert!(grant.enter(world.clock.now()).is_ok());
    assert_eq!(grants.resume(&grant).await.unwrap(), None);
}

#[tokio::test]
async fn the_term_of_a_suspended_grant_runs_on() {
    let world = World::new();
    let (grants, _) = world.start().await;
    let task = world.open(&grants, "t", None).await;
    let grant = world.activate(&grants, &task).await;
    grants.suspend(&grant).await.unwrap();
    world.hand.advance(Duration::from_mins(15));
    assert_eq!(grant.ended(world.clock.now()), Some(EndReason::Expired));
    assert_eq!(grants.resume(&grant).await.unwrap(), None, "it is over");
}

#[tokio::test]
async fn a_suspension_outlives_a_restart() {
    let world = World::new();
    let id = {
        let (grants, _) = world.start().await;
        let task = world.open(&grants, "t", None).await;
        let grant = world.activate(&grants, &task).await;
        grants.suspend(&grant).await.unwrap();
        grant.request().grant.clone()
    };
    let (grants, _) = world.start().await;
    let grant = grants.grant(&id).expect("it is live");
    assert!(grant.is_suspended());
    grants.resume(&grant).await.unwrap().expect("a change");
    assert!(grant.enter(world.clock.now()).is_ok());
}

#[tokio::test]
async fn what_was_carved_from_it_is_out_of_force_with_it() {
    let world = World::new();
    let (grants, _) = world.start().await;
    let task = world.open(&grants, "t", None).await;
    let span = world.open(&grants, "span", Some("t")).await;
    let whole = world.activate(&grants, &task).await;
    let part = grants.delegate(carving(&whole, &span)).await.unwrap();
    let part_of_part = grants.delegate(carving(&part, &span)).await.unwrap();
    let other = world.activate(&grants, &task).await;
    let ids = |of: &[&LiveGrant]| of.iter().map(|one| one.request().grant.clone()).collect();
    let mut suspensions = grants.suspensions();
    let mut told = || {
        let mut told = BTreeSet::new();
        while let Ok(id) = suspensions.try_recv() {
            told.insert(id);
        }
        told
    };
    let now = world.clock.now();
    let passes = |grant: &Arc<LiveGrant>| grant.enter(now).map(Exchange::refund).is_ok();

    grants.suspend(&whole).await.unwrap().expect("a change");
    assert_eq!(told(), ids(&[&whole, &part, &part_of_part]));
    for one in [&whole, &part, &part_of_part] {
        assert_eq!(one.enter(now).unwrap_err(), Closed::Suspended);
        assert_eq!(one.refuses(now), Some(Closed::Suspended));
    }
    assert!(passes(&other));
    // What is handed down meanwhile is out of force, too.
    let late = grants.delegate(carving(&whole, &span)).await.unwrap();
    assert!(!passes(&late));

    // One that is suspended itself does not come back with the whole.
    grants.suspend(&part).await.unwrap().expect("a change");
    told();
    grants.resume(&whole).await.unwrap().expect("a change");
    assert!(passes(&whole) && passes(&late) && !passes(&part) && !passes(&part_of_part));
    grants.suspend(&whole).await.unwrap().expect("a change");
    assert_eq!(
        told(),
        ids(&[&whole, &late]),
        "the others were out of force"
    );
    grants.resume(&part).await.unwrap().expect("a change");
    assert!(!passes(&part), "the whole is still suspended");
    let (again, _) = world.start().await;
    let restored = again.grant(&part.request().grant).unwrap();
    assert_eq!(restored.enter(now).unwrap_err(), Closed::Suspended);
    grants.resume(&whole).await.unwrap().expect("a change");
    for one in [&whole, &part, &part_of_part, &late] {
        assert!(passes(one));
    }
}

fn carving(from: &Arc<LiveGrant>, task: &Arc<LiveTask>) -> Carving {
    Carving {
        from: Arc::clone(from),
        task: Arc::clone(task),
        operations: None,
        duration: None,
        calls: None,
        bytes: None,
        asked: Circumstances::UNKNOWN,
        reason: None,
    }
}
