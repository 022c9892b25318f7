use super::*;
use crate::grants::fixture::World;

/// Tells of the end of a task by this name.
async fn happens(grants: &Grants, world: &World, name: &str) {
    world.open(grants, name, None).await;
    let id = name.parse().unwrap();
    let reason = crate::model::EndReason::Completed;
    grants.end_task(&id, reason).await.unwrap();
}

async fn hears(listener: &mut Listener) -> String {
    match listener.next().await.unwrap() {
        Heard::Event(happened) => happened.event.task().to_string(),
        Heard::Gap => "a gap".to_owned(),
    }
}

#[tokio::test]
async fn who_comes_back_hears_what_happened_meanwhile() {
    let world = World::new();
    let (grants, _) = world.start().await;
    happens(&grants, &world, "before").await;
    let mut first = grants.events();
    let start = first.place();
    happens(&grants, &world, "one").await;
    happens(&grants, &world, "two").await;
    assert_eq!(hears(&mut first).await, "one");
    let place = first.place();
    drop(first);
    happens(&grants, &world, "three").await;
    let mut again = grants.events_after(&place);
    assert_eq!(hears(&mut again).await, "two");
    assert_eq!(hears(&mut again).await, "three");
    let mut all = grants.events_after(&start);
    assert_eq!(hears(&mut all).await, "one");
    assert_eq!(again.place(), grants.events().place());
}

#[tokio::test]
async fn what_is_not_known_any_more_is_a_gap() {
    let world = World::new();
    let (grants, _) = world.start().await;
    let mut slow = grants.events();
    let place = slow.place();
    happens(&grants, &world, "one").await;
    assert_eq!(hears(&mut slow).await, "one");
    for number in 0..=REMEMBERED {
        let task = format!("t{number}");
        happens(&grants, &world, &task).await;
    }
    assert_eq!(hears(&mut slow).await, "a gap");
    assert_eq!(hears(&mut slow).await, "t1");
    for odd in [
        place.as_str(),
        "",
        "e_other-17",
        "nonsense",
        &place.replace('-', "-9"),
    ] {
        let mut late = grants.events_after(odd);
        assert_eq!(hears(&mut late).await, "a gap", "{odd}");
        assert_eq!(hears(&mut late).await, "t1", "{odd}");
    }

    // After a restart nothing of before is known.
    let place = grants.events().place();
    let (grants, _) = world.start().await;
    let mut back = grants.events_after(&place);
    assert_eq!(hears(&mut back).await, "a gap");
    happens(&grants, &world, "anew").await;
    assert_eq!(hears(&mut back).await, "anew");
}
