//! Forgetting, as every backend does it.

use std::sync::Arc;

use jiff::Timestamp;

use super::{active, task};
use crate::model::{EndReason, Grant, Receipt, TaskId, TaskState, Transition};
use crate::store::{Change, Forgotten, GrantFilter, GrantStore, Horizon, StoreError};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// A task that ended at this second, with a grant that did.
async fn ended(store: &dyn GrantStore, id: &str, second: i64) -> Grant {
    let (mut over, mut gone) = (task(id), active(id));
    let reason = EndReason::Completed;
    over.state = TaskState::Ended {
        reason,
        at: at(second),
    };
    let opened = vec![Change::OpenTask(task(id)), Change::AddGrant(gone.clone())];
    store.commit(opened).await.unwrap();
    gone.apply(Transition::End(reason), at(second)).unwrap();
    let end = vec![
        Change::PutTask(over, Some(Receipt::default())),
        Change::PutGrant(gone.clone()),
    ];
    store.commit(end).await.unwrap();
    gone
}

/// Forgets until there is nothing more to forget.
async fn forget(store: &dyn GrantStore, horizon: Horizon) -> Forgotten {
    let mut whole = Forgotten::default();
    loop {
        let some = store.forget(horizon).await.unwrap();
        whole = Forgotten {
            tasks: whole.tasks + some.tasks,
            grants: whole.grants + some.grants,
            ..some
        };
        if !some.more {
            return whole;
        }
    }
}

pub(super) async fn what_ended_long_ago_is_forgotten(store: &dyn GrantStore) {
    let behind = |before, most, crowded_before| Horizon {
        before: at(before),
        crowded_before: at(crowded_before),
        most,
    };
    // What the tests before have left.
    let kept = forget(store, behind(1_000_000, u64::MAX, 1_000_000)).await;
    let mut grants = Vec::new();
    for number in 0..10 {
        let id = format!("over-{number}");
        grants.push(ended(store, &id, 1_000_000 + number).await);
    }
    let live = store.load().await.unwrap();
    let of = |forgotten: Forgotten| (forgotten.tasks, forgotten.grants);
    let first = forget(store, behind(1_000_003, u64::MAX, 1_000_003)).await;
    assert_eq!(
        of(first),
        (3, 3),
        "those that ended before, and not at, the horizon"
    );
    assert_eq!(first.kept_tasks, kept.kept_tasks + 7);
    assert_eq!(first.kept_grants, kept.kept_grants + 7);
    let most = first.kept_grants - 2;
    let crowd = forget(store, behind(0, most, 1_000_005)).await;
    assert_eq!(crowd.grants, 2, "as many as are too many");
    let late = forget(store, behind(0, 0, 1_000_006)).await;
    assert_eq!(
        (late.grants, crowd.grants + late.grants),
        (1, 3),
        "none that ended later"
    );
    let there = async |place: usize| {
        let request = &grants[place].request;
        let grant = store.grant(&request.grant).await.unwrap();
        let by_request = store.request(&request.id).await.unwrap();
        assert_eq!(grant, by_request);
        let task = store.task(&request.task).await.unwrap();
        assert_eq!(task.is_some(), grant.is_some());
        grant.is_some()
    };
    for place in 0..10 {
        assert_eq!(there(place).await, place >= 6, "{place}");
    }
    let filter = GrantFilter {
        agent: Some("bot".parse().unwrap()),
        limit: usize::MAX,
        ..GrantFilter::default()
    };
    let listed = store.grants(filter).await.unwrap().grants;
    assert!(!listed.contains(&grants[5]) && listed.contains(&grants[6]));
    let still = store.load().await.unwrap();
    assert_eq!(still.grants, live.grants, "nothing that lives is forgotten");
    assert_eq!(still.tasks.len(), live.tasks.len());

    a_late_step_brings_nothing_back(store, &grants[0]).await;
}

/// Nor is the id of a forgotten task free again.
async fn a_late_step_brings_nothing_back(store: &dyn GrantStore, forgotten: &Grant) {
    let late = vec![
        Change::PutGrant(Grant {
            state: active("over-0").state,
            request: Arc::clone(&forgotten.request),
        }),
        Change::PutTask(task("over-0"), None),
    ];
    store.commit(late).await.unwrap();
    let back = store.grant(&forgotten.request.grant).await.unwrap();
    assert_eq!(back, None);
    let id: TaskId = "over-0".parse().unwrap();
    let again = store.commit(vec![Change::OpenTask(task("over-0"))]).await;
    assert_eq!(again, Err(StoreError::TaskIdUsed(id.clone())));
    assert!(store.was_forgotten(&id).await.unwrap());
    assert!(
        !store
            .was_forgotten(&"over-7".parse().unwrap())
            .await
            .unwrap()
    );
}

pub(super) async fn a_task_stays_under_which_something_lives(store: &dyn GrantStore) {
    let horizon = Horizon {
        before: at(1_000_006),
        crowded_before: at(0),
        most: u64::MAX,
    };
    let mut under = active("odd");
    let mut odd = task("odd");
    odd.state = TaskState::Ended {
        reason: EndReason::Completed,
        at: at(1),
    };
    let batch = vec![
        Change::OpenTask(task("odd")),
        Change::AddGrant(under.clone()),
        Change::PutTask(odd.clone(), None),
    ];
    store.commit(batch).await.unwrap();
    forget(store, horizon).await;
    let stays = store.grant(&under.request.grant).await.unwrap();
    assert_eq!(stays.as_ref(), Some(&under));
    assert!(store.task(&odd.id).await.unwrap().is_some());
    under
        .apply(Transition::End(EndReason::Revoked), at(2))
        .unwrap();
    store.commit(vec![Change::PutGrant(under)]).await.unwrap();
    let last = forget(store, horizon).await;
    assert!(last.grants >= 1);
    // Its grant goes with this pass at the latest, and then it.
    forget(store, horizon).await;
    assert_eq!(store.task(&odd.id).await.unwrap(), None);
}
