use std::task::Poll;

use super::*;
use crate::grants::fixture::World;

#[tokio::test]
async fn a_revocation_ends_what_runs_without_a_task_and_waits_for_it() {
    let world = World::new();
    let (grants, _) = world.start().await;
    let (bot, other): (AgentId, AgentId) = ("bot".parse().unwrap(), "other".parse().unwrap());
    let (first, second) = (
        grants.enter_without_task(&bot),
        grants.enter_without_task(&bot),
    );
    let apart = grants.enter_without_task(&other);
    drop(second);
    let mut revoking = Box::pin(grants.revoke_agent(&bot));
    assert!(
        matches!(futures_poll(revoking.as_mut()).await, Poll::Pending),
        "something runs"
    );
    assert_eq!(first.end_signal().get(), Some(EndReason::AgentRevoked));
    drop(first);
    revoking.await.unwrap();
    assert_eq!(apart.end_signal().get(), None);

    // What comes too late has ended before it begins, and a restoration does not bring it back.
    let late = grants.enter_without_task(&bot);
    assert_eq!(late.end_signal().get(), Some(EndReason::AgentRevoked));
    grants.restore_agent(&bot).await.unwrap();
    assert_eq!(late.end_signal().get(), Some(EndReason::AgentRevoked));
    let anew = grants.enter_without_task(&bot);
    assert_eq!(anew.end_signal().get(), None);
}

/// Lets a future go as far as it comes by itself.
async fn futures_poll<F: Future>(mut future: std::pin::Pin<&mut F>) -> Poll<()> {
    for _ in 0..100 {
        let polled =
            std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context).is_ready()));
        if polled.await {
            return Poll::Ready(());
        }
        tokio::task::yield_now().await;
    }
    Poll::Pending
}
