use super::*;
use crate::grants::fixture::World;

#[tokio::test]
async fn a_revoked_agent_has_nothing_and_gets_nothing_until_it_is_restored() {
    let world = World::new();
    let (grants, _) = world.start().await;
    let task = world.open(&grants, "t", None).await;
    let span = world.open(&grants, "span", Some("t")).await;
    let (own, below) = (
        world.activate(&grants, &task).await,
        world.activate(&grants, &span).await,
    );
    let agent: AgentId = "bot".parse().unwrap();
    let revoked = grants.revoke_agent(&agent).await.unwrap();
    assert_eq!(revoked.receipt.grants.len(), 2);
    let now = world.clock.now();
    assert_eq!(own.ended(now), Some(EndReason::AgentRevoked));
    assert!(below.ended(now).is_some());
    assert!(grants.is_revoked(&agent));
    let refused = grants.open_task(world.opening("again", None)).await;
    assert_eq!(
        refused.unwrap_err(),
        GrantsError::AgentRevoked(agent.clone())
    );

    // A restart knows.
    let grants = world.unrestored();
    assert!(!grants.is_revoked(&agent));
    grants.learn_revoked().await.unwrap();
    assert!(grants.is_revoked(&agent));
    grants.restore_agent(&agent).await.unwrap();
    assert!(!grants.is_revoked(&agent));
    let grants = world.unrestored();
    grants.learn_revoked().await.unwrap();
    assert!(!grants.is_revoked(&agent));
    assert!(grants.open_task(world.opening("anew", None)).await.is_ok());
}

#[tokio::test]
async fn a_revocation_that_is_not_stored_stands_in_memory_until_it_is() {
    let world = World::new();
    let (grants, _) = world.start().await;
    let task = world.open(&grants, "t", None).await;
    let agent: AgentId = "bot".parse().unwrap();
    world.store.fail(true);
    assert!(grants.revoke_agent(&agent).await.is_err());
    assert!(grants.is_revoked(&agent));
    assert!(task.ended(world.clock.now()).is_some());

    world.store.fail(false);
    while grants.health().is_err() {
        tokio::task::yield_now().await;
    }
    let grants = world.unrestored();
    grants.learn_revoked().await.unwrap();
    assert!(grants.is_revoked(&agent));
}
