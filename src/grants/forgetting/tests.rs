use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::grants::fixture::World;
use crate::grants::{Carving, GrantsError, LiveGrant, LiveTask};
use crate::model::{ApprovalRule, Circumstances, EndReason};
use crate::store::{Change, GrantStore as _};

const KEEP: Duration = Duration::from_mins(10);
const TOKENS: Duration = Duration::from_mins(2);
const SECOND: Duration = Duration::from_secs(1);

fn world(most: u64) -> World {
    let mut world = World::new();
    world.limits.retention = Retention {
        keep: KEEP,
        most,
        tokens: TOKENS,
    };
    world
}

/// A task with a grant, ended; tells their ids.
async fn ended(world: &World, grants: &Grants, id: &str) -> (Arc<LiveTask>, Arc<LiveGrant>) {
    let task = world.open(grants, id, None).await;
    let grant = world.activate(grants, &task).await;
    let ending = grants.end_task(&task.task().id, EndReason::Completed).await;
    assert_eq!(ending.unwrap().receipt.grants.len(), 1);
    (task, grant)
}

#[tokio::test]
async fn what_ended_is_answered_again_for_its_time_and_then_is_as_if_unknown() {
    let world = world(1000);
    let (grants, _) = world.start().await;
    let (task, grant) = ended(&world, &grants, "t").await;
    let (task, grant) = (&task.task().id, grant.request());
    let receipt = grants.end_task(task, EndReason::Completed).await.unwrap();

    world.hand.advance(KEEP);
    assert_eq!(grants.forget_ended().await.unwrap().kept_tasks, 1);
    assert!(grants.find_task(task).await.unwrap().is_some());
    assert!(grants.find_grant(&grant.grant).await.unwrap().is_some());
    assert!(grants.find_request(&grant.id).await.unwrap().is_some());
    let again = grants.end_task(task, EndReason::Completed).await;
    assert_eq!(again.unwrap(), receipt);
    assert!(!grants.was_forgotten(task).await.unwrap());

    world.hand.advance(SECOND);
    let forgotten = grants.forget_ended().await.unwrap();
    assert_eq!((forgotten.tasks, forgotten.grants), (1, 1));
    assert_eq!((forgotten.kept_tasks, forgotten.kept_grants), (0, 0));
    assert_eq!(grants.find_task(task).await.unwrap(), None);
    assert_eq!(grants.find_grant(&grant.grant).await.unwrap(), None);
    assert_eq!(grants.find_request(&grant.id).await.unwrap(), None);
    let again = grants.end_task(task, EndReason::Completed).await;
    assert_eq!(again.unwrap_err(), GrantsError::TaskUnknown(task.clone()));
    assert!(grants.was_forgotten(task).await.unwrap());
    assert!(
        !grants
            .was_forgotten(&"never".parse().unwrap())
            .await
            .unwrap()
    );
}

#[tokio::test]
async fn a_forgotten_id_is_never_taken_again_also_after_a_restart() {
    let world = world(1000);
    let (grants, _) = world.start().await;
    ended(&world, &grants, "t").await;
    world.hand.advance(KEEP + SECOND);
    grants.forget_ended().await.unwrap();
    for _ in 0..2 {
        let (grants, restored) = world.start().await;
        assert_eq!((restored.tasks, restored.ended), (0, 0));
        let again = grants.open_task(world.opening("t", None)).await;
        assert!(matches!(again, Err(GrantsError::TaskIdUsed(_))));
    }
    // Of an id that was made here nothing is left: nobody else can give one.
    let made = TaskId::random();
    let given = grants.open_task(world.opening(made.as_str(), None)).await;
    assert_eq!(given.unwrap_err(), GrantsError::TaskIdUsed(made));
}

#[tokio::test]
async fn what_lives_is_kept_however_old_it_is_and_however_full_it_gets() {
    let world = world(0);
    let (grants, _) = world.start().await;
    let task = world.open(&grants, "old", None).await;
    let grant = world.activate(&grants, &task).await;
    for number in 0..20 {
        ended(&world, &grants, &format!("t{number}")).await;
        world.hand.advance(Duration::from_secs(30));
        task.renew(world.clock.now());
        grants.forget_ended().await.unwrap();
    }
    let id = &grant.request().grant;
    assert!(
        grants
            .find_grant(id)
            .await
            .unwrap()
            .is_some_and(|one| !one.is_ended())
    );
    let (again, _) = world.start().await;
    assert!(again.task(&task.task().id).is_some() && again.grant(id).is_some());
}

#[tokio::test]
async fn too_many_go_before_their_time_but_not_while_their_tokens_live() {
    let world = world(3);
    let (grants, _) = world.start().await;
    for number in 0..5 {
        ended(&world, &grants, &format!("t{number}")).await;
        world.hand.advance(SECOND);
    }
    let kept = grants.forget_ended().await.unwrap();
    assert_eq!((kept.tasks, kept.kept_tasks, kept.kept_grants), (0, 5, 5));
    world.hand.advance(TOKENS);
    let kept = grants.forget_ended().await.unwrap();
    assert_eq!((kept.tasks, kept.kept_tasks, kept.kept_grants), (2, 3, 3));
    let there = async |id: &str| {
        grants
            .find_task(&id.parse().unwrap())
            .await
            .unwrap()
            .is_some()
    };
    assert!(!there("t0").await && !there("t1").await && there("t2").await && there("t4").await);
}

#[tokio::test]
async fn a_step_that_comes_after_the_forgetting_brings_nothing_back() {
    let world = world(1000);
    let (grants, _) = world.start().await;
    let task = world.open(&grants, "t", None).await;
    let grant = world.activate(&grants, &task).await;
    let (open, active) = (task.task().clone(), grant.record());
    grants
        .end_task(&open.id, EndReason::Completed)
        .await
        .unwrap();
    world.hand.advance(KEEP + SECOND);
    grants.forget_ended().await.unwrap();
    let late = vec![Change::PutGrant(active), Change::PutTask(open, None)];
    world.commit(late).await;
    let contents = world.store.load().await.unwrap();
    assert!(contents.tasks.is_empty() && contents.grants.is_empty());
}

#[tokio::test]
async fn a_store_that_fails_forgets_nothing_and_goes_on_later() {
    let world = world(1000);
    let (grants, _) = world.start().await;
    ended(&world, &grants, "t").await;
    world.hand.advance(KEEP + SECOND);
    world.store.fail(true);
    assert!(grants.forget_ended().await.is_err());
    world.store.fail(false);
    assert_eq!(grants.forget_ended().await.unwrap().tasks, 1);
}

#[tokio::test]
async fn the_forgetting_goes_on_by_itself() {
    let world = world(1000);
    let (grants, _) = world.start().await;
    let (task, _) = ended(&world, &grants, "t").await;
    world.hand.advance(KEEP + SECOND);
    let forgets = grants.clone().run_forgetting();
    let gone = async {
        while grants.find_task(&task.task().id).await.unwrap().is_some() {
            world.hand.advance(LATEST);
            yield_now().await;
        }
    };
    tokio::select! {
        () = forgets => panic!("it goes on for ever"),
        () = gone => {}
    }
}

/// Whatever hangs on tasks: spans, parts, requests, deadlines that were moved.
#[tokio::test]
async fn an_end_leaves_no_entry_in_any_table() {
    let world = world(1000);
    let (grants, _) = world.start().await;
    tokio::spawn(grants.clone().run_clockwork());
    let root = world.open(&grants, "root", None).await;
    let whole = world.activate(&grants, &root).await;
    let before = grants.held();
    for number in 0..50 {
        let span = world
            .open(&grants, &format!("s{number}"), Some("root"))
            .await;
        let part = grants.delegate(Carving {
            from: Arc::clone(&whole),
            task: Arc::clone(&span),
            operations: None,
            duration: Some(Duration::from_secs(100)),
            calls: None,
            bytes: None,
            asked: Circumstances::UNKNOWN,
            reason: None,
        });
        let part = part.await.unwrap();
        let longest = Duration::from_mins(15);
        grants
            .renew(&part, Duration::from_secs(200), longest)
            .await
            .unwrap();
        let rule = ApprovalRule {
            group: "leads".parse().unwrap(),
            quorum: 1,
            mfa: false,
            expires: Duration::from_mins(20),
        };
        let asked = grants.ask_people(world.asking(&span), rule.into()).await;
        let (pending, _) = asked.unwrap();
        match number % 3 {
            0 => {
                let id = &part.request().grant;
                grants.end_grant(id, EndReason::Revoked).await.unwrap();
            }
            1 => {
                grants
                    .refuse(&pending, EndReason::Declined, None)
                    .await
                    .unwrap();
            }
            _ => {}
        }
        grants
            .end_task(&span.task().id, EndReason::Completed)
            .await
            .unwrap();
        assert_eq!(grants.held(), before, "after span {number}");
    }
    grants
        .end_task(&root.task().id, EndReason::Completed)
        .await
        .unwrap();
    assert_eq!(grants.held(), Held::default());
    world.hand.advance(KEEP + SECOND);
    let forgotten = grants.forget_ended().await.unwrap();
    assert_eq!((forgotten.tasks, forgotten.kept_tasks), (51, 0));
    assert_eq!((forgotten.grants, forgotten.kept_grants), (101, 0));
}
