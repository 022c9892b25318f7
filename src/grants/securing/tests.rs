use std::sync::atomic::Ordering;

use jiff::Timestamp;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::*;
use crate::grants::fixture::World;
use crate::grants::{Closed, Unkept};
use crate::model::{EndReason, Grant, Inputs};
use crate::store::{GrantFilter, GrantStore as _};

async fn granted(world: &mut World, calls: u64) -> (Grants, Arc<LiveGrant>) {
    world.entitlement.max_calls = Some(calls);
    let (grants, _) = world.start().await;
    let task = world.open(&grants, "t", None).await;
    let grant = world.activate(&grants, &task).await;
    (grants, grant)
}

async fn stored_calls(world: &World, grant: &LiveGrant) -> u64 {
    let contents = world.store.load().await.unwrap();
    let of = |(one, _): &&(Grant, _)| one.request.grant == grant.request().grant;
    let (_, mark) = contents.grants.iter().find(of).unwrap();
    mark.unwrap().calls_left.unwrap()
}

#[tokio::test]
async fn no_call_is_made_that_the_store_does_not_know_as_used() {
    let mut world = World::new();
    for budget in [1, 2, 3, 7, 8, 40, 100, 1_000] {
        world = World::new();
        let (grants, grant) = granted(&mut world, budget).await;
        for made in 1..=budget {
            let exchange = grant.enter(world.clock.now()).unwrap();
            grants
                .secure(Claim::new(Some(&exchange), None))
                .await
                .unwrap();
            let stored = stored_calls(&world, &grant).await;
            assert!(made <= budget - stored, "{made} of {budget}, {stored} left");
            let lost = budget - stored - made;
            assert!(
                lost <= (budget / 8).max(1),
                "{lost} after {made} of {budget}"
            );
        }
        let closed = grant.enter(world.clock.now()).unwrap_err();
        assert_eq!(closed, Closed::Exhausted, "all of {budget} could be made");
    }
    drop(world);
}

#[tokio::test]
async fn a_thousand_calls_at_once_share_a_hundred_and_few_writes() {
    let mut world = World::new();
    let (grants, grant) = granted(&mut world, 100).await;
    let now = world.clock.now();
    let entered: Vec<_> = (0..1_000).filter_map(|_| grant.enter(now).ok()).collect();
    assert_eq!(entered.len(), 100);
    for exchange in &entered {
        grants
            .secure(Claim::new(Some(exchange), None))
            .await
            .unwrap();
    }
    assert_eq!(stored_calls(&world, &grant).await, 0);
}

#[tokio::test]
async fn a_grant_that_slows_down_is_given_back_what_it_is_ahead() {
    let mut world = World::new();
    let (grants, grant) = granted(&mut world, 100_000).await;
    for _ in 0..20_000 {
        let exchange = grant.enter(world.clock.now()).unwrap();
        let claim = Claim::new(Some(&exchange), None);
        grants.secure(claim).await.unwrap();
    }
    let lost = |stored: u64| 80_000 - stored;
    let busy = lost(stored_calls(&world, &grant).await);
    assert!((1_000..=12_500).contains(&busy), "{busy}");
    for _ in 0..8 {
        world.hand.advance(EVERY);
        grants.checkpoint().await.unwrap();
    }
    assert_eq!(lost(stored_calls(&world, &grant).await), 64);
    // What was given back is not there for calls that the store does not know of.
    world.store.fail(true);
    let entered: Vec<_> = (0..65)
        .map(|_| grant.enter(world.clock.now()).unwrap())
        .collect();
    for (number, exchange) in entered.iter().enumerate() {
        let secured = grants.secure(Claim::new(Some(exchange), None)).await;
        assert_eq!(secured.is_ok(), number < 64);
    }
}

#[tokio::test]
async fn a_call_that_cant_be_stored_is_not_made_and_costs_nothing() {
    let mut world = World::new();
    let (grants, grant) = granted(&mut world, 4).await;
    world.store.fail(true);
    let now = world.clock.now();
    // One is known of ahead of its use; for more the store is needed.
    let first = grant.enter(now).unwrap();
    grants.secure(Claim::new(Some(&first), None)).await.unwrap();
    let second = grant.enter(now).unwrap();
    let refused = grants.secure(Claim::new(Some(&second), None)).await;
    assert!(matches!(refused, Err(GrantsError::Store(_))));
    second.refund();
    world.store.fail(false);
    assert_eq!(grant.calls_left(), Some(3));
    let again = grant.enter(now).unwrap();
    grants.secure(Claim::new(Some(&again), None)).await.unwrap();
}

#[tokio::test]
async fn an_orderly_stop_loses_no_call_and_no_byte() {
    let mut world = World::new();
    world.entitlement.max_bytes = Some(1_000);
    let (grants, grant) = granted(&mut world, 100).await;
    let now = world.clock.now();
    let exchange = grant.enter(now).unwrap();
    grants
        .secure(Claim::new(Some(&exchange), None))
        .await
        .unwrap();
    exchange.spend(300).unwrap();
    drop(exchange);
    grants.close().await.unwrap();
    let (grants, _) = world.start().await;
    let after = grants.grant(&grant.request().grant).unwrap();
    assert_eq!(
        (after.calls_left(), after.bytes_left()),
        (Some(99), Some(700))
    );
}

#[tokio::test]
async fn bytes_are_no_more_than_at_the_last_checkpoint() {
    let mut world = World::new();
    world.entitlement.max_bytes = Some(1_000);
    let (grants, grant) = granted(&mut world, 100).await;
    let exchange = grant.enter(world.clock.now()).unwrap();
    exchange.spend(300).unwrap();
    grants.checkpoint().await.unwrap();
    exchange.spend(1).unwrap();
    let (grants, _) = world.start().await;
    let after = grants.grant(&grant.request().grant).unwrap();
    assert_eq!(after.bytes_left(), Some(700));
}

#[tokio::test]
async fn a_checkpoint_looks_at_what_has_changed_and_at_nothing_that_rests() {
    let mut world = World::new();
    world.entitlement.max_bytes = Some(1_000);
    let (grants, grant) = granted(&mut world, 100).await;
    let task = world.open(&grants, "rests", None).await;
    for _ in 0..10 {
        world.activate(&grants, &task).await;
    }
    let inner = &grants.0;
    let walked = |inner: &Inner| {
        inner.grants.walked.load(Ordering::SeqCst) + inner.tasks.walked.load(Ordering::SeqCst)
    };
    let before = (walked(inner), world.store.commits());
    grants.checkpoint().await.unwrap();
    let used = grants.task(&grant.request().task).unwrap();
    used.renew(world.clock.now() + EVERY);
    grant.enter(world.clock.now()).unwrap().spend(300).unwrap();
    assert_eq!(
        (inner.unstored.grants.len(), inner.unstored.tasks.len()),
        (1, 1)
    );
    grants.checkpoint().await.unwrap();
    assert_eq!(
        (inner.unstored.grants.len(), inner.unstored.tasks.len()),
        (0, 0)
    );
    assert_eq!(walked(inner), before.0);
    // The clocks, then the grant, the task and the clocks.
    assert_eq!(world.store.commits(), before.1 + 4);
    let contents = world.store.load().await.unwrap();
    let left = contents
        .grants
        .iter()
        .map(|(_, mark)| mark.unwrap().bytes_left);
    assert_eq!(left.min(), Some(Some(700)));
    let lapses = contents
        .tasks
        .iter()
        .map(|(_, mark)| mark.as_ref().unwrap().lapses);
    assert_eq!(lapses.max(), Some(used.lapses()));
}

#[tokio::test]
async fn what_a_checkpoint_could_not_write_comes_with_the_next() {
    let mut world = World::new();
    world.entitlement.max_bytes = Some(1_000);
    let (grants, grant) = granted(&mut world, 100).await;
    let task = grants.task(&grant.request().task).unwrap();
    let stored = async || {
        let contents = world.store.load().await.unwrap();
        let (_, of_task) = contents.tasks.first().unwrap();
        let (_, of_grant) = contents.grants.first().unwrap();
        (
            of_grant.unwrap().bytes_left.unwrap(),
            of_task.as_ref().unwrap().lapses,
        )
    };
    let spend = |bytes| {
        world.hand.advance(EVERY);
        task.renew(world.clock.now());
        let exchange = grant.enter(world.clock.now()).unwrap();
        exchange.spend(bytes).unwrap();
    };
    spend(100);
    world.store.fail(true);
    grants.checkpoint().await.unwrap_err();
    world.store.fail(false);
    grants.checkpoint().await.unwrap();
    assert_eq!(stored().await, (900, task.lapses()));
    // What is being written of it need not be its mark.
    spend(100);
    let before = stored().await;
    {
        let _turns = (grant.turn().lock().await, task.turn().lock().await);
        grants.checkpoint().await.unwrap();
        assert_eq!(stored().await, before);
    }
    grants.checkpoint().await.unwrap();
    assert_eq!(stored().await, (800, task.lapses()));
}

#[tokio::test]
async fn a_history_that_is_read_is_stored_before_its_call_is_made() {
    let world = World::new();
    let (grants, _) = world.start().await;
    let task = world.open(&grants, "t", None).await;
    let operation = "orders.refund".parse().unwrap();
    let now = world.clock.now();
    for made in 1..=3 {
        task.ledger().reserve(&operation, &Inputs::new(), now);
        let claim = Claim::new(None, Some(&task));
        grants.secure(claim).await.unwrap();
        let contents = world.store.load().await.unwrap();
        let (_, mark) = &contents.tasks[0];
        assert_eq!(mark.as_ref().unwrap().history[0].calls, made);
    }
    world.store.fail(true);
    task.ledger().reserve(&operation, &Inputs::new(), now);
    assert!(grants.secure(Claim::new(None, Some(&task))).await.is_err());
}

#[tokio::test]
async fn clocks_are_marked_every_five_seconds_and_a_failure_is_told() {
    let world = World::new();
    let (grants, _) = world.start().await;
    let run = tokio::spawn(grants.clone().run_checkpoints());
    let mut marked = Timestamp::MIN;
    for round in 1..=3 {
        // The loop has to be asleep before time moves on.
        tokio::task::yield_now().await;
        world.hand.advance(EVERY);
        while marked < world.clock.wall() {
            tokio::task::yield_now().await;
            let contents = world.store.load().await.unwrap();
            marked = contents.clock.unwrap().wall;
        }
        assert_eq!(marked, world.clock.wall(), "round {round}");
    }
    assert_eq!(grants.health(), Ok(()));
    run.abort();
    world.store.fail(true);
    assert!(grants.checkpoint().await.is_err());
    assert_eq!(grants.health(), Err(Unkept::Checkpoint));
    world.store.fail(false);
    grants.checkpoint().await.unwrap();
    assert_eq!(grants.health(), Ok(()));
}

#[tokio::test]
async fn an_end_that_cant_be_stored_stands_and_is_stored_later() {
    let mut world = World::new();
    let (grants, grant) = granted(&mut world, 5).await;
    let other = {
        let task = world.open(&grants, "other", None).await;
        world.activate(&grants, &task).await
    };
    world.store.fail(true);
    let id = grant.request().task.clone();
    let failed = grants.end_task(&id, EndReason::Completed).await;
    assert!(
        matches!(failed, Err(GrantsError::Store(_))),
        "not acknowledged"
    );
    let id = other.request().grant.clone();
    let failed = grants.end_grant(&id, EndReason::Revoked).await;
    assert!(
        matches!(failed, Err(GrantsError::Store(_))),
        "not acknowledged"
    );
    let now = world.clock.now();
    assert!(grant.enter(now).is_err() && other.enter(now).is_err());
    assert_eq!(grants.health(), Err(Unkept::Ends(2)));
    // Whoever looks sees the ends, stored or not.
    let task = grants.find_task(&grant.request().task).await.unwrap();
    assert!(!task.unwrap().is_open());
    for ended in [&grant, &other] {
        let request = ended.request();
        let by_id = grants.find_grant(&request.grant).await.unwrap();
        let by_request = grants.find_request(&request.id).await.unwrap();
        assert!(by_id.unwrap().is_ended() && by_request.unwrap().is_ended());
    }
    let filter = GrantFilter {
        limit: 10,
        ..GrantFilter::default()
    };
    let page = grants.list(filter).await.unwrap();
    assert!(page.grants.iter().all(Grant::is_ended));
    let before = world.store.refused();
    while world.store.refused() < before + 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(grants.health(), Err(Unkept::Ends(2)), "it does not give up");
    world.store.fail(false);
    while grants.health().is_err() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(world.stored_grant(&grant).await.is_ended());
    assert!(world.stored_grant(&other).await.is_ended());
    assert!(!world.stored_task("t").await.is_open());
}

#[tokio::test]
async fn what_is_over_by_the_clock_is_shown_as_over_at_once() {
    let mut world = World::new();
    let (grants, grant) = granted(&mut world, 5).await;
    world.hand.advance(Duration::from_mins(15));
    let found = grants.find_grant(&grant.request().grant).await.unwrap();
    assert!(found.unwrap().is_ended());
    world.hand.advance(Duration::from_mins(15));
    let task = grants.find_task(&grant.request().task).await.unwrap();
    assert!(!task.unwrap().is_open());
}

/// What happens between two crashes.
#[derive(Clone, Debug)]
enum Event {
    /// So many calls, one after the other.
    Calls(u64),
    Refund,
    Checkpoint,
    Crash,
    Stop,
    Wait(Duration),
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_sequence_of_crashes_gives_more_calls_than_the_budget(
        budget in prop_oneof![1_u64..60, 1_000_u64..5_000],
        events in prop::collection::vec(prop_oneof![
            8 => Just(Event::Calls(1)),
            2 => (2_u64..400).prop_map(Event::Calls),
            3 => (1_u64..9_000).prop_map(|millis| Event::Wait(Duration::from_millis(millis))),
            2 => Just(Event::Refund),
            1 => Just(Event::Checkpoint),
            1 => Just(Event::Crash),
            1 => Just(Event::Stop),
        ], 0..200),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(play(budget, events))?;
    }
}

async fn play(budget: u64, events: Vec<Event>) -> Result<(), TestCaseError> {
    let mut world = World::new();
    let (mut grants, grant) = granted(&mut world, budget).await;
    let id = grant.request().grant.clone();
    let most = (budget / 8).max(1);
    let (mut made, mut refunds) = (0, 0);
    for event in events {
        // It may have come to its end.
        let Some(grant) = grants.grant(&id) else {
            break;
        };
        match event {
            Event::Calls(calls) => {
                for _ in 0..calls {
                    let Ok(exchange) = grant.enter(world.clock.now()) else {
                        break;
                    };
                    let claim = Claim::new(Some(&exchange), None);
                    grants.secure(claim).await.unwrap();
                    made += 1;
                }
            }
            Event::Refund => {
                let Ok(exchange) = grant.enter(world.clock.now()) else {
                    continue;
                };
                let claim = Claim::new(Some(&exchange), None);
                grants.secure(claim).await.unwrap();
                exchange.refund();
                refunds += 1;
            }
            Event::Wait(time) => world.hand.advance(time),
            Event::Checkpoint => grants.checkpoint().await.unwrap(),
            Event::Crash => grants = world.start().await.0,
            Event::Stop => {
                let left = grant.calls_left();
                grants.close().await.unwrap();
                grants = world.start().await.0;
                prop_assert_eq!(grants.grant(&id).unwrap().calls_left(), left);
            }
        }
        prop_assert!(made <= budget, "{made} of {budget}");
        let Some(grant) = grants.grant(&id) else {
            break;
        };
        let (left, stored) = (
            grant.calls_left().unwrap(),
            stored_calls(&world, &grant).await,
        );
        prop_assert!(
            stored <= budget - made,
            "{stored} stored, {made} made of {budget}"
        );
        prop_assert!(
            left.saturating_sub(stored) <= most + refunds,
            "a crash costs little"
        );
    }
    Ok(())
}
