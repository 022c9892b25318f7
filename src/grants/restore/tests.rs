use std::time::Duration;

use super::*;
use crate::grants::fixture::World;
use crate::model::{
    ApprovalRule, EndReason, Grant, GrantState, InputValue, Inputs, TaskState, Transition,
};

const MINUTE: Duration = Duration::from_mins(1);

#[tokio::test]
async fn what_lived_lives_on_and_what_ended_stays_ended() {
    let world = World::new();
    let (grants, nothing) = world.start().await;
    assert_eq!(nothing, Restored::default());
    let task = world.open(&grants, "t", None).await;
    let span = world.open(&grants, "span", Some("t")).await;
    let gone = world.open(&grants, "gone", None).await;
    let (one, two) = (
        world.activate(&grants, &task).await,
        world.activate(&grants, &span).await,
    );
    let (ended, with_task) = (
        world.activate(&grants, &task).await,
        world.activate(&grants, &gone).await,
    );
    let id = &ended.request().grant;
    grants.end_grant(id, EndReason::Revoked).await.unwrap();
    let id = &gone.task().id;
    grants.end_task(id, EndReason::Completed).await.unwrap();

    let (grants, restored) = world.start().await;
    assert_eq!((restored.tasks, restored.grants), (2, 2));
    let now = world.clock.now();
    for before in [&one, &two] {
        let after = grants.grant(&before.request().grant).unwrap();
        assert_eq!(after.record(), before.record());
        assert_eq!(after.deadline(), before.deadline());
        assert_eq!(after.starts(), before.starts());
        assert!(after.enter(now).is_ok());
    }
    let live = grants.task(&task.task().id).unwrap();
    assert_eq!(live.grants().len(), 1);
    for over in [&ended, &with_task] {
        assert!(grants.grant(&over.request().grant).is_none());
    }
    assert!(grants.task(&gone.task().id).is_none());

    // What belongs together still does.
    let ending = grants.end_task(&live.task().id, EndReason::Failed);
    assert_eq!(ending.await.unwrap().receipt.grants.len(), 2);
    assert!(grants.task(&span.task().id).is_none());
}

/// The deadline of a grant of 15 minutes, told from the start of the run before.
async fn left_after(world: &World, between: impl FnOnce(&World)) -> Option<Duration> {
    let (grants, _) = world.start().await;
    let task = world.open(&grants, "t", None).await;
    let grant = world.activate(&grants, &task).await;
    world.hand.advance(MINUTE);
    grants.checkpoint().await.unwrap();
    between(world);
    let (grants, _) = world.start().await;
    let live = grants.grant(&grant.request().grant)?;
    let now = world.clock.now();
    assert_eq!(live.ended(now), None);
    assert_eq!(now - live.starts(), world.clock.now() - live.starts());
    Some(live.deadline() - now)
}

#[tokio::test]
async fn in_the_same_boot_the_deadline_is_exact_whatever_the_wall_clock_says() {
    for step in [-86_400, -3_600, -1, 0, 1, 3_600, 86_400] {
        let world = World::new();
        let left = left_after(&world, |world| {
            world.hand.advance(MINUTE);
            world.hand.step_wall(world.wall(step));
        });
        assert_eq!(left.await, Some(13 * MINUTE), "stepped by {step}");
    }
}

#[tokio::test]
async fn a_reboot_counts_the_time_off_and_takes_five_seconds() {
    let world = World::new();
    let left = left_after(&world, |world| world.hand.reboot(MINUTE)).await;
    assert_eq!(left, Some(13 * MINUTE - Duration::from_secs(5)));

    let world = World::new();
    let left = left_after(&world, |world| world.hand.reboot(14 * MINUTE)).await;
    assert_eq!(left, None, "five seconds too little");
}

#[tokio::test]
async fn after_a_reboot_a_wall_clock_behind_the_last_mark_ends_everything() {
    let world = World::new();
    let left = left_after(&world, |world| {
        world.hand.reboot(MINUTE);
        world.hand.step_wall(world.wall(-61));
    });
    assert_eq!(left.await, None);
    let task = world.stored_task("t").await;
    let TaskState::Ended { reason, .. } = task.state else {
        panic!("it is stored as open");
    };
    assert_eq!(reason, EndReason::TaskMaxAge);
    assert!(world.start().await.0.grants_are_none());
}

impl Grants {
    fn grants_are_none(&self) -> bool {
        self.0.grants.collect(|_| true).is_empty()
    }
}

#[tokio::test]
async fn after_a_reboot_the_earlier_of_both_clocks_counts() {
    let world = World::new();
    let left = left_after(&world, |world| {
        // The wall clock was put right, forward, after the last mark and before the reboot.
        world.hand.reboot(10 * MINUTE);
    });
    assert_eq!(left.await, Some(4 * MINUTE - Duration::from_secs(5)));
    // Stepped back while it ran: the boot clock remembers what was used.
    let world = World::new();
    let left = left_after(&world, |world| world.hand.reboot(MINUTE));
    let before = left.await.unwrap();
    let world = World::new();
    world.hand.step_wall(world.wall(-3_600));
    let left = left_after(&world, |world| world.hand.reboot(MINUTE)).await;
    assert_eq!(left, Some(before));
}

#[tokio::test]
async fn age_goes_on_across_a_reboot() {
    let world = World::new();
    let (grants, _) = world.start().await;
    let task = world.open(&grants, "t", None).await;
    world.hand.advance(10 * MINUTE);
    task.renew(world.clock.now());
    grants.checkpoint().await.unwrap();
    world.hand.reboot(MINUTE);
    let (grants, _) = world.start().await;
    let live = grants.task(&task.task().id).unwrap();
    let now = world.clock.now();
    assert_eq!(now - live.opened(), 11 * MINUTE);
    let hours_8 = Duration::from_hours(8);
    let left = hours_8 - 11 * MINUTE - Duration::from_secs(5);
    assert_eq!(live.oldest() - now, left, "no restart makes a task younger");
}

#[tokio::test]
async fn leases_run_on_while_nobody_serves() {
    let world = World::new();
    let (grants, _) = world.start().await;
    let task = world.open(&grants, "t", None).await;
    world.open(&grants, "span", Some("t")).await;
    let grant = world.activate(&grants, &task).await;
    world.hand.advance(14 * MINUTE);
    // The span's lease is not renewed, the parent's is, and the clocks are marked.
    task.renew(world.clock.now());
    grants.checkpoint().await.unwrap();
    world.hand.advance(16 * MINUTE);
    let (grants, restored) = world.start().await;
    assert_eq!((restored.tasks, restored.grants), (1, 0));
    assert!(grants.task(&task.task().id).is_some());
    let ended = |reason| {
        let at = world.clock.wall();
        TaskState::Ended { reason, at }
    };
    let span = world.stored_task("span").await;
    assert_eq!(span.state, ended(EndReason::LeaseLapsed));
    let stored = world.stored_grant(&grant).await;
    let GrantState::Ended { reason, .. } = stored.state else {
        panic!("{stored:?}");
    };
    assert_eq!(reason, EndReason::Expired);
    world.hand.advance(14 * MINUTE);
    let (_, restored) = world.start().await;
    assert_eq!((restored.tasks, restored.ended), (0, 1));
}

#[tokio::test]
async fn a_request_that_waits_waits_on_for_what_is_left() {
    let world = World::new();
    let (grants, _) = world.start().await;
    let task = world.open(&grants, "t", None).await;
    let rule = ApprovalRule {
        group: "leads".parse().unwrap(),
        quorum: 1,
        mfa: false,
        expires: 10 * MINUTE,
    };
    let asked = grants.ask_people(world.asking(&task), rule.into()).await;
    let (pending, _) = asked.unwrap();
    world.hand.advance(MINUTE);
    world.hand.step_wall(world.wall(-3_600));
    let (grants, restored) = world.start().await;
    assert_eq!(restored.pending, 1);
    let after = grants.pending(&pending.request().id).unwrap();
    assert_eq!(after.until(), pending.until());
    assert_eq!(after.record(), pending.record());
    grants.checkpoint().await.unwrap();
    world.hand.reboot(9 * MINUTE);
    let (_, restored) = world.start().await;
    assert_eq!((restored.pending, restored.ended), (0, 1));
}

/// As another version of the program may have left it: a grant in force that nothing was noted of.
#[tokio::test]
async fn without_a_mark_the_wall_clock_and_the_term_bound_what_is_left() {
    let budget = |grant: &mut Grant| {
        Arc::make_mut(&mut grant.request).right.budget.calls = Some(100);
    };
    for (step, expected) in [
        (0, Some(14 * MINUTE - Duration::from_secs(5))),
        (-60, None),
        (60, Some(13 * MINUTE - Duration::from_secs(5))),
    ] {
        let world = World::new();
        let (grants, _) = world.start().await;
        let task = world.open(&grants, "t", None).await;
        grants.checkpoint().await.unwrap();
        let live = world.activate(&grants, &task).await;
        let mut unmarked = live.record();
        unmarked.request = Arc::clone(live.request());
        Arc::make_mut(&mut unmarked.request).grant = crate::model::GrantId::random();
        budget(&mut unmarked);
        let id = unmarked.request.grant.clone();
        let add = vec![Change::AddGrant(unmarked)];
        world.commit(add).await;
        world.hand.advance(MINUTE);
        world
            .hand
            .step_wall(world.wall(step - if step < 0 { 60 } else { 0 }));
        let (grants, _) = world.start().await;
        let left = grants.grant(&id).map(|live| {
            assert!(live.calls_left() < Some(100), "some may have been made");
            live.deadline() - world.clock.now()
        });
        assert_eq!(left, expected, "stepped by {step}");
    }
}

#[tokio::test]
async fn a_suspended_grant_comes_back_suspended() {
    let world = World::new();
    let (grants, _) = world.start().await;
    let task = world.open(&grants, "t", None).await;
    let live = world.activate(&grants, &task).await;
    let mut suspended = live.record();
    let at = world.clock.wall();
    suspended.apply(Transition::Suspend, at).unwrap();
    world.commit(vec![Change::PutGrant(suspended)]).await;
    let (grants, _) = world.start().await;
    let live = grants.grant(&live.request().grant).unwrap();
    let closed = live.enter(world.clock.now()).unwrap_err();
    assert_eq!(closed, crate::grants::Closed::Suspended);
}

#[tokio::test]
async fn what_a_task_has_called_is_not_forgotten() {
    let world = World::new();
    let (grants, _) = world.start().await;
    let task = world.open(&grants, "t", None).await;
    let operation = "orders.refund".parse().unwrap();
    let input: Inputs = [("amount".into(), InputValue::Long(40))].into();
    task.ledger().reserve(&operation, &input, world.clock.now());
    task.ledger().succeed(&operation);
    grants.checkpoint().await.unwrap();
    world.hand.advance(MINUTE);
    for reboot in [false, true] {
        if reboot {
            grants.checkpoint().await.unwrap();
            world.hand.reboot(MINUTE);
        }
        let (grants, _) = world.start().await;
        let live = grants.task(&task.task().id).unwrap();
        let mut ledger = live.ledger();
        let entry = ledger.history(world.clock.now())[&operation].clone();
        assert_eq!((entry.calls, entry.succeeded), (1, 1));
        assert_eq!(entry.sum["amount"], 40);
        let age = if reboot { 120 } else { 60 };
        assert_eq!(entry.last_age_seconds, Some(age));
    }
}

#[tokio::test]
async fn nothing_is_served_where_the_ends_cant_be_stored() {
    let world = World::new();
    let (grants, _) = world.start().await;
    world.open(&grants, "t", None).await;
    world.hand.advance(31 * MINUTE);
    world.store.fail(true);
    let error = world.unrestored().restore().await.unwrap_err();
    assert!(matches!(error, GrantsError::Store(_)));
}
