use std::collections::BTreeSet;

use super::*;
use crate::grants::fixture::World;
use crate::model::{Budget, Circumstances, GrantId, Proof, RequestId, Right};

const START: BootInstant = BootInstant::from_nanos(1_000);

fn live(budget: Budget) -> Arc<LiveGrant> {
    let request = GrantRequest {
        id: RequestId::random(),
        grant: GrantId::random(),
        agent: "bot".parse().unwrap(),
        task: "t".parse().unwrap(),
        right: Right {
            entitlement: "e".parse().unwrap(),
            operations: BTreeSet::new().into(),
            budget,
            proof: Proof::Bearer,
            approval: None,
        }
        .into(),
        input: Default::default(),
        reason: None,
        duration: Duration::from_secs(60),
        requested_at: Timestamp::UNIX_EPOCH,
        parent: None,
        asked: Circumstances::UNKNOWN.into(),
    };
    let mut grant = Grant::requested(Arc::new(request));
    let expires_at = Timestamp::UNIX_EPOCH + Duration::from_secs(60);
    grant
        .apply(Transition::Activate { expires_at }, Timestamp::UNIX_EPOCH)
        .unwrap();
    Arc::new(LiveGrant::new(
        grant,
        START,
        START + Duration::from_secs(60),
    ))
}

fn calls(calls: u64) -> Budget {
    Budget {
        calls: Some(calls),
        ..Budget::default()
    }
}

#[test]
fn nothing_enters_at_or_after_the_deadline() {
    let grant = live(Budget::default());
    let last = BootInstant::from_nanos((START + Duration::from_secs(60)).as_nanos() - 1);
    assert!(grant.enter(last).is_ok());
    let closed = grant.enter(START + Duration::from_secs(60)).unwrap_err();
    assert_eq!(closed, Closed::Ended(EndReason::Expired));
}

#[test]
fn nothing_enters_after_the_end_and_the_first_reason_stays() {
    let grant = live(Budget::default());
    assert!(
        grant
            .end(EndReason::Revoked, START, Timestamp::UNIX_EPOCH)
            .is_some()
    );
    assert!(
        grant
            .end(EndReason::Completed, START, Timestamp::UNIX_EPOCH)
            .is_none()
    );
    let closed = grant.enter(START).unwrap_err();
    assert_eq!(closed, Closed::Ended(EndReason::Revoked));
    assert!(grant.record().is_ended());
}

#[test]
fn a_thousand_parallel_calls_share_a_budget_of_a_hundred_exactly() {
    let grant = live(calls(100));
    let entered: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..10)
            .map(|_| scope.spawn(|| (0..100).filter(|_| grant.enter(START).is_ok()).count()))
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).sum()
    });
    assert_eq!(entered, 100);
    assert_eq!(grant.enter(START).unwrap_err(), Closed::Exhausted);
}

#[test]
fn a_refunded_call_can_be_made_again() {
    let grant = live(calls(1));
    grant.enter(START).unwrap().refund();
    assert_eq!(grant.calls_left(), Some(1));
    drop(grant.enter(START).unwrap());
    assert_eq!(grant.enter(START).unwrap_err(), Closed::Exhausted);
}

#[test]
fn calls_at_once_are_limited_and_refusing_one_costs_nothing() {
    let grant = live(Budget {
        concurrent: Some(1),
        ..calls(5)
    });
    let first = grant.enter(START).unwrap();
    assert_eq!(grant.enter(START).unwrap_err(), Closed::Busy);
    drop(first);
    assert!(grant.enter(START).is_ok());
    assert_eq!(grant.calls_left(), Some(3));
}

#[test]
fn bytes_past_the_budget_end_it() {
    let grant = live(Budget {
        bytes: Some(10),
        ..Budget::default()
    });
    let exchange = grant.enter(START).unwrap();
    assert_eq!(exchange.spend(7), Ok(()));
    assert_eq!(exchange.spend(4), Err(Closed::Exhausted));
    assert_eq!(grant.bytes_left(), Some(0));
    assert_eq!(grant.enter(START).unwrap_err(), Closed::Exhausted);
}

#[tokio::test]
async fn the_account_waits_for_the_last_exchange_and_counts_the_cut_ones() {
    let grant = live(Budget::default());
    drop(grant.enter(START).unwrap());
    let mut cut = grant.enter(START).unwrap();
    let signal = cut.end_signal();
    let waiting = tokio::spawn({
        let grant = Arc::clone(&grant);
        async move { grant.closed().await }
    });
    grant.end(EndReason::Revoked, START, Timestamp::UNIX_EPOCH);
    assert_eq!(signal.await, EndReason::Revoked);
    assert!(!waiting.is_finished());
    cut.mark_cut();
    drop(cut);
    let closed = waiting.await.unwrap();
    assert_eq!((closed.streams_cut, closed.calls_finished), (1, 1));
}

/// What an allocator of size classes gives to each, with what counts its holders: one byte more here, and there
/// are 32 more for each of a million grants.
#[test]
fn a_grant_at_rest_is_small() {
    let counted = 2 * size_of::<usize>();
    for size in [size_of::<LiveGrant>(), size_of::<GrantRequest>()] {
        assert!(size + counted <= 192, "{size} bytes");
    }
}

/// All that one takes from the heap, with its share of the task, of the tables and of the timers. How far an
/// allocator rounds up is not in it.
#[test]
fn a_grant_at_rest_takes_little_from_the_heap() {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.build().unwrap();
    let world = World::new();
    world.store.keep_nothing();
    let grants = runtime.block_on(world.start()).0;
    let fill = async |tasks: std::ops::Range<usize>| {
        for number in tasks {
            let task = world.open(&grants, &format!("t{number}"), None).await;
            for _ in 0..64 {
                world.activate(&grants, &task).await;
            }
        }
    };
    runtime.block_on(fill(0..100));
    let taken = allocation_counter::measure(|| runtime.block_on(fill(100..900)));
    let each = taken.bytes_current / (800 * 64);
    assert!(each <= 470, "{each} bytes");
}
