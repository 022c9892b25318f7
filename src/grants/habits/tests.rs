use super::*;
use crate::grants::fixture::World;
use crate::signals::{Became, Seen};

fn agent() -> AgentId {
    "bot".parse().unwrap()
}

fn sees(world: &World, grants: &Grants) {
    let seen = Seen {
        agent: agent(),
        task: None,
        source: "192.0.2.7".parse().unwrap(),
        operation: Some("orders.refund".parse().unwrap()),
        numbers: Default::default(),
        at: world.clock.wall(),
        became: Became::Succeeded,
        again: false,
    };
    assert!(grants.signals().observe(seen));
}

fn days(grants: &Grants) -> Vec<u32> {
    let networks = grants.signals().baseline(&agent()).networks;
    networks.iter().map(|(_, habit)| habit.days).collect()
}

#[tokio::test]
async fn what_was_learnt_survives_an_orderly_stop() {
    let world = World::new();
    let (grants, _) = world.start().await;
    for _ in 0..3 {
        sees(&world, &grants);
        world.hand.advance(Duration::from_hours(24));
    }
    grants.close().await.unwrap();
    let again = world.unrestored();
    again.restore_habits(|_| true).await.unwrap();
    assert_eq!(days(&again), [3]);
    let before = grants.signals().baseline(&agent());
    assert_eq!(again.signals().baseline(&agent()), before);
    // What another process learns goes on from there.
    sees(&world, &again);
    assert_eq!(days(&again), [4]);
}

#[tokio::test]
async fn what_was_learnt_of_an_agent_that_is_gone_is_removed() {
    let world = World::new();
    let (grants, _) = world.start().await;
    sees(&world, &grants);
    grants.write_habits().await.unwrap();
    let again = world.unrestored();
    again.restore_habits(|_| false).await.unwrap();
    assert!(days(&again).is_empty());
    let anew = world.unrestored();
    anew.restore_habits(|_| true).await.unwrap();
    assert!(days(&anew).is_empty());
}

#[tokio::test]
async fn what_could_not_be_written_is_written_with_the_next() {
    let world = World::new();
    let (grants, _) = world.start().await;
    sees(&world, &grants);
    world.store.fail(true);
    assert!(grants.write_habits().await.is_err());
    world.store.fail(false);
    grants.write_habits().await.unwrap();
    let again = world.unrestored();
    again.restore_habits(|_| true).await.unwrap();
    assert_eq!(days(&again), [1]);
}

#[tokio::test]
async fn what_is_no_baseline_stops_the_start() {
    let world = World::new();
    let (grants, _) = world.start().await;
    let odd = |id: &str| Change::PutDocument {
        kind: KIND,
        id: id.to_owned(),
        text: Some("{}".to_owned()),
    };
    let store = grants.store();
    store.commit(vec![odd("bot")]).await.unwrap();
    let refused = grants.restore_habits(|_| true).await.unwrap_err();
    assert!(matches!(refused, HabitsError::Broken(_)), "{refused}");
    store.commit(vec![odd("no agent")]).await.unwrap();
    store.commit(vec![put(&agent(), None)]).await.unwrap();
    let refused = grants.restore_habits(|_| true).await.unwrap_err();
    assert!(matches!(refused, HabitsError::Name(..)), "{refused}");
}
