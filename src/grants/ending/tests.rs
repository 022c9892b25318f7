use super::*;
use crate::grants::fixture::World;

#[tokio::test]
async fn an_end_that_the_store_could_not_keep_is_told_as_that_until_it_has_it() {
    let world = World::new();
    let (grants, _) = world.start().await;
    let task = world.open(&grants, "t", None).await;
    let grant = world.activate(&grants, &task).await;
    let id = &task.task().id;
    world.store.fail(true);
    for _ in 0..2 {
        let ended = grants.end_task(id, EndReason::Completed).await;
        assert!(matches!(ended, Err(GrantsError::Store(_))), "{ended:?}");
    }
    assert!(grants.health().is_err());
    world.store.fail(false);
    while grants.health().is_err() {
        tokio::task::yield_now().await;
    }
    let ending = grants.end_task(id, EndReason::Completed).await.unwrap();
    assert_eq!(ending.receipt.grants.len(), 1, "the receipt is kept, too");
    assert_eq!(ending.receipt.grants[0].id, grant.request().grant);
    assert!(world.stored_grant(&grant).await.is_ended());
    assert_eq!(grants.held().ends, 0);
}
