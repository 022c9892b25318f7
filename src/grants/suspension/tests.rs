use std::time::Duration;

use crate::grants::Closed;
use crate::grants::fixture::World;
use crate::model::{EndReason, GrantState};

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
