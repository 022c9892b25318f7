use super::*;
use crate::grants::fixture::World;

/// Until what waits to be stored has been tried again.
async fn is_stored(grants: &Grants) {
    while grants.health().is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_end_that_is_stored_late_has_its_receipt_all_the_same() {
    let world = World::new();
    let (grants, _) = world.start().await;
    let task = world.open(&grants, "t", None).await;
    let grant = world.activate(&grants, &task).await;
    let id = &task.task().id;
    world.store.fail(true);
    let end = || grants.end_task(id, EndReason::Completed);
    for _ in 0..2 {
        // It is known, and nobody is told that it is not.
        assert!(matches!(end().await, Err(GrantsError::Store(_))));
    }
    assert!(grants.health().is_err());
    world.store.fail(false);
    is_stored(&grants).await;
    for _ in 0..2 {
        let receipt = end().await.unwrap().receipt;
        let told: Vec<_> = receipt.grants.iter().map(|one| &one.id).collect();
        assert_eq!(told, [&grant.request().grant]);
    }
    assert!(world.stored_grant(&grant).await.is_ended());
    assert_eq!(grants.held().ends, 0);
}

#[tokio::test]
async fn a_grant_counts_as_over_once_that_is_stored() {
    let world = World::new();
    let (grants, _) = world.start().await;
    let task = world.open(&grants, "t", None).await;
    let grant = world.activate(&grants, &task).await;
    let id = grant.request().grant.clone();
    world.store.fail(true);
    let end = || grants.end_grant(&id, EndReason::Revoked);
    assert!(matches!(end().await, Err(GrantsError::Store(_))));
    assert_eq!(end().await, Err(GrantsError::Unstored(id.clone())));
    world.store.fail(false);
    is_stored(&grants).await;
    assert_eq!(end().await, Err(GrantsError::GrantUnknown(id.clone())));
}
