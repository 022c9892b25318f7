use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::grants::fixture::World;
use crate::grants::{Carving, Closed, Exchange, Grants, LiveGrant, LiveTask, Move, Switch};
use crate::model::{Circumstances, EndReason, Grant, GrantState};

/// What a grant has become by a switch of it alone; none where that did nothing.
async fn switched(grants: &Grants, grant: &Arc<LiveGrant>, switch: Switch) -> Option<Grant> {
    let done = grants
        .switch(vec![Arc::clone(grant)], switch)
        .await
        .unwrap();
    done.contains(&grant.request().grant)
        .then(|| grant.record())
}

#[tokio::test]
async fn a_suspended_grant_lets_nothing_through_until_it_is_resumed() {
    let world = World::new();
    let (grants, _) = world.start().await;
    let task = world.open(&grants, "t", None).await;
    let grant = world.activate(&grants, &task).await;
    let mut suspensions = grants.suspensions();

    let suspended = switched(&grants, &grant, Switch::Suspend)
        .await
        .expect("a change");
    assert!(matches!(suspended.state, GrantState::Suspended(_)));
    assert_eq!(world.stored_grant(&grant).await, suspended);
    assert_eq!(suspensions.try_recv().unwrap(), grant.request().grant);
    let closed = grant.enter(world.clock.now()).unwrap_err();
    assert_eq!(closed, Closed::Suspended);
    assert_eq!(
        switched(&grants, &grant, Switch::Suspend).await,
        None,
        "once is enough"
    );

    let resumed = switched(&grants, &grant, Switch::Resume)
        .await
        .expect("a change");
    assert!(matches!(resumed.state, GrantState::Active(_)));
    assert_eq!(world.stored_grant(&grant).await, resumed);
    assert!(grant.enter(world.clock.now()).is_ok());
    assert_eq!(switched(&grants, &grant, Switch::Resume).await, None);
}

#[tokio::test]
async fn the_term_of_a_suspended_grant_runs_on() {
    let world = World::new();
    let (grants, _) = world.start().await;
    let task = world.open(&grants, "t", None).await;
    let grant = world.activate(&grants, &task).await;
    switched(&grants, &grant, Switch::Suspend).await;
    world.hand.advance(Duration::from_mins(15));
    assert_eq!(grant.ended(world.clock.now()), Some(EndReason::Expired));
    assert_eq!(
        switched(&grants, &grant, Switch::Resume).await,
        None,
        "it is over"
    );
}

#[tokio::test]
async fn a_suspension_outlives_a_restart() {
    let world = World::new();
    let id = {
        let (grants, _) = world.start().await;
        let task = world.open(&grants, "t", None).await;
        let grant = world.activate(&grants, &task).await;
        switched(&grants, &grant, Switch::Suspend).await;
        grant.request().grant.clone()
    };
    let (grants, _) = world.start().await;
    let grant = grants.grant(&id).expect("it is live");
    assert!(grant.is_suspended());
    switched(&grants, &grant, Switch::Resume)
        .await
        .expect("a change");
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

    switched(&grants, &whole, Switch::Suspend)
        .await
        .expect("a change");
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
    switched(&grants, &part, Switch::Suspend)
        .await
        .expect("a change");
    told();
    switched(&grants, &whole, Switch::Resume)
        .await
        .expect("a change");
    assert!(passes(&whole) && passes(&late) && !passes(&part) && !passes(&part_of_part));
    switched(&grants, &whole, Switch::Suspend)
        .await
        .expect("a change");
    assert_eq!(
        told(),
        ids(&[&whole, &late]),
        "the others were out of force"
    );
    switched(&grants, &part, Switch::Resume)
        .await
        .expect("a change");
    assert!(!passes(&part), "the whole is still suspended");
    let (again, _) = world.start().await;
    let restored = again.grant(&part.request().grant).unwrap();
    assert_eq!(restored.enter(now).unwrap_err(), Closed::Suspended);
    switched(&grants, &whole, Switch::Resume)
        .await
        .expect("a change");
    for one in [&whole, &part, &part_of_part, &late] {
        assert!(passes(one));
    }
}

#[tokio::test]
async fn many_are_switched_in_one_step_of_the_store() {
    let world = World::new();
    let (grants, _) = world.start().await;
    let task = world.open(&grants, "t", None).await;
    let mut all = Vec::new();
    for _ in 0..20 {
        all.push(world.activate(&grants, &task).await);
    }
    grants
        .end_grants(vec![all.pop().unwrap()], EndReason::Revoked)
        .await
        .unwrap();
    let before = world.store.commits();
    let twice = all.iter().chain(&all).cloned().collect();
    let done = grants.switch(twice, Switch::Suspend).await.unwrap();
    assert_eq!(done.len(), 19, "the one that is over is not switched");
    assert_eq!(world.store.commits(), before + 1);
    for grant in &all {
        assert!(matches!(
            world.stored_grant(grant).await.state,
            GrantState::Suspended(_)
        ));
    }
    // Nothing to do is no step of the store.
    let again = grants.switch(all.clone(), Switch::Suspend).await.unwrap();
    assert!(again.is_empty());
    assert_eq!(world.store.commits(), before + 1);

    let ended = grants
        .end_grants(all, EndReason::ConditionChanged)
        .await
        .unwrap();
    assert_eq!(ended, done);
    assert_eq!(world.store.commits(), before + 2);
}

#[tokio::test]
async fn who_listens_is_told_of_each_that_comes_and_goes() {
    let world = World::new();
    let (grants, _) = world.start().await;
    let mut moves = grants.moves();
    let task = world.open(&grants, "t", None).await;
    let span = world.open(&grants, "span", Some("t")).await;
    let whole = world.activate(&grants, &task).await;
    let part = grants.delegate(carving(&whole, &span)).await.unwrap();
    for one in [&whole, &part] {
        let Move::Came(came) = moves.try_recv().unwrap() else {
            panic!("it came");
        };
        assert!(Arc::ptr_eq(&came, one));
    }
    grants
        .end_grants(vec![Arc::clone(&whole)], EndReason::Revoked)
        .await
        .unwrap();
    for one in [&whole, &part] {
        let Move::Went(went) = moves.try_recv().unwrap() else {
            panic!("it went");
        };
        assert_eq!(went, one.request().grant);
    }
    assert!(moves.try_recv().is_err());
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
