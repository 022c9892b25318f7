use super::*;
use crate::grants::fixture::World;

#[tokio::test]
async fn what_is_asked_for_alike_is_there_once() {
    let mut world = World::new();
    let known = Known::default();
    let ask = |world: &World| known.share(world.request(std::time::Duration::from_secs(60)));
    let (one, other) = (ask(&world), ask(&world));
    assert!(one.right.is_same_as(&other.right) && one.asked.is_same_as(&other.asked));
    world.entitlement.max_calls = Some(7);
    let limited = ask(&world);
    assert!(!limited.right.is_same_as(&one.right));
    assert_eq!(limited.right.budget.calls, Some(7));
}
