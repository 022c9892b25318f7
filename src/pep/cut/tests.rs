use std::future::pending;
use std::sync::Arc;

use hyper::rt::Executor as _;
use tokio::sync::oneshot;
use tokio::task::LocalSet;

use super::*;
use crate::base::BootInstant;
use crate::grants::EndCell;

const NOW: BootInstant = BootInstant::from_nanos(0);

fn ends_of(cells: &[&Arc<EndCell>]) -> Ends {
    Ends::new(cells.iter().map(|cell| cell.signal()))
}

#[tokio::test]
async fn the_first_end_cuts_what_has_begun() {
    let (grant, task) = (Arc::new(EndCell::new()), Arc::new(EndCell::new()));
    let slot = Slot::default();
    slot.arm(&ends_of(&[&grant, &task]));
    slot.begin();
    let mut stalled = Box::pin(pending::<()>());
    let mut run = Box::pin(run_in_slot(&slot, &mut stalled));
    let polled = poll_fn(|context| Poll::Ready(run.as_mut().poll(context).is_ready()));
    assert!(!polled.await);
    task.set(EndReason::Completed, NOW);
    assert!(matches!(run.await, Ran::Cut));
}

#[tokio::test]
async fn an_end_before_the_response_has_begun_is_left_to_the_refusal() {
    let slot = Slot::default();
    slot.withdraw(EndReason::PolicyChanged);
    let mut done = Box::pin(async { 7 });
    assert!(matches!(run_in_slot(&slot, &mut done).await, Ran::Done(7)));
    let withdrawn = poll_fn(|context| slot.poll_withdrawn(context)).await;
    assert_eq!(withdrawn, EndReason::PolicyChanged);
}

#[tokio::test]
async fn what_is_over_leaves_the_slot_to_the_next() {
    let grant = Arc::new(EndCell::new());
    let slot = Slot::default();
    slot.arm(&ends_of(&[&grant]));
    slot.begin();
    slot.withdraw(EndReason::PolicyChanged);
    slot.disarm();
    grant.set(EndReason::Revoked, NOW);
    let mut done = Box::pin(async { 7 });
    assert!(matches!(run_in_slot(&slot, &mut done).await, Ran::Done(7)));
}

#[tokio::test]
async fn the_next_exchange_under_the_same_ends_is_cut_too() {
    let grant = Arc::new(EndCell::new());
    let slot = Slot::default();
    let mut stalled = Box::pin(pending::<()>());
    for _ in 0..3 {
        slot.arm(&ends_of(&[&grant]));
        slot.begin();
        let mut run = Box::pin(run_in_slot(&slot, &mut stalled));
        let polled = poll_fn(|context| Poll::Ready(run.as_mut().poll(context).is_ready()));
        assert!(!polled.await);
        drop(run);
        slot.disarm();
    }
    slot.arm(&ends_of(&[&grant]));
    slot.begin();
    LocalSet::new()
        .run_until(async {
            // Another task than the one that waited before: it is that which is woken.
            let running = spawn_local(async move {
                let mut stalled = Box::pin(pending::<()>());
                matches!(run_in_slot(&slot, &mut stalled).await, Ran::Cut)
            });
            tokio::task::yield_now().await;
            grant.set(EndReason::Revoked, NOW);
            assert!(running.await.unwrap());
        })
        .await;
}

#[tokio::test]
async fn a_withdrawal_wakes_a_stalled_response() {
    LocalSet::new()
        .run_until(async {
            let slot = Rc::new(Slot::default());
            slot.arm(&Ends::default());
            slot.begin();
            let running = spawn_local({
                let slot = Rc::clone(&slot);
                async move {
                    let mut stalled = Box::pin(pending::<()>());
                    matches!(run_in_slot(&slot, &mut stalled).await, Ran::Cut)
                }
            });
            tokio::task::yield_now().await;
            slot.withdraw(EndReason::PolicyChanged);
            assert!(running.await.unwrap());
        })
        .await;
}

#[tokio::test]
async fn each_stream_runs_in_a_slot_of_its_own_and_its_siblings_go_on() {
    LocalSet::new()
        .run_until(async {
            let executor = StreamExecutor::default();
            let ends: Vec<_> = (0..2).map(|_| Arc::new(EndCell::new())).collect();
            let mut gone = Vec::new();
            for end in &ends {
                // The sender goes with the stream's future.
                let (alive, dropped) = oneshot::channel::<()>();
                gone.push(dropped);
                let (executor, end) = (executor.clone(), Arc::clone(end));
                executor.clone().execute(async move {
                    let slot = executor.current().unwrap();
                    slot.arm(&ends_of(&[&end]));
                    slot.begin();
                    let _alive = alive;
                    pending::<()>().await;
                });
            }
            tokio::task::yield_now().await;
            assert!(executor.current().is_none(), "only a stream has a slot");
            ends[0].set(EndReason::Revoked, NOW);
            let mut gone = gone.into_iter();
            assert!(gone.next().unwrap().await.is_err(), "the stream is dropped");
            let mut sibling = gone.next().unwrap();
            assert!(matches!(
                sibling.try_recv(),
                Err(oneshot::error::TryRecvError::Empty)
            ));
        })
        .await;
}
