//! The suite that every backend passes.

mod batches;
mod fields;
mod forgetting;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use batches::{
    a_task_id_is_used_once, parallel_batches_are_each_whole,
    the_last_change_of_a_batch_and_of_all_batches_stands,
};
use fields::{every_field_comes_back, marks_come_back_until_the_end};
use forgetting::{a_task_stays_under_which_something_lives, what_ended_long_ago_is_forgotten};

use super::*;
use crate::model::{
    Budget, Circumstances, EndReason, Grant, GrantId, GrantRequest, InputValue, Proof, RequestId,
    Right, Task, TaskState, Transition,
};

fn task(id: &str) -> Task {
    Task {
        id: id.parse().unwrap(),
        agent: "bot".parse().unwrap(),
        kind: Some("refund".to_owned()),
        description: None,
        parent: None,
        depth: 0,
        opened_by: "bot".to_owned(),
        opened_at: Timestamp::UNIX_EPOCH,
        lease: Duration::from_secs(60),
        max_age: Duration::from_secs(3600),
        state: TaskState::Open,
    }
}

fn grant(task: &str) -> Grant {
    let request = GrantRequest {
        id: RequestId::random(),
        grant: GrantId::random(),
        agent: "bot".parse().unwrap(),
        task: task.parse().unwrap(),
        right: Right {
            entitlement: "refunds".parse().unwrap(),
            operations: ["orders.refund".parse().unwrap()].into(),
            budget: Budget {
                calls: Some(3),
                ..Budget::default()
            },
            proof: Proof::Bearer,
            approval: None,
        }
        .into(),
        input: [("order_id".into(), InputValue::Long(7))].into(),
        reason: Some("because".into()),
        duration: Duration::from_secs(60),
        requested_at: Timestamp::UNIX_EPOCH,
        parent: None,
        asked: Circumstances::UNKNOWN.into(),
    };
    Grant::requested(Arc::new(request))
}

fn active(task: &str) -> Grant {
    let mut grant = grant(task);
    let expires_at = Timestamp::UNIX_EPOCH + Duration::from_secs(60);
    grant
        .apply(Transition::Activate { expires_at }, Timestamp::UNIX_EPOCH)
        .unwrap();
    grant
}

/// Text that is hard to keep: quotes, controls, an end of text in the middle, every width of UTF-8.
const HARD: &str = "\"quoted\" \\ \r\n\t\0 \u{1b}[31m \u{202e} é 漢 🦀 ' ; DROP TABLE grants; --";

async fn suite(store: &dyn GrantStore) {
    a_task_id_is_used_once(store).await;
    what_ended_is_not_loaded(store).await;
    grants_are_found_by_either_id(store).await;
    pages_cover_the_list_once(store).await;
    documents_are_kept_by_kind(store).await;
    every_field_comes_back(store).await;
    marks_come_back_until_the_end(store).await;
    the_last_change_of_a_batch_and_of_all_batches_stands(store).await;
    parallel_batches_are_each_whole(store).await;
    what_ended_long_ago_is_forgotten(store).await;
    a_task_stays_under_which_something_lives(store).await;
}

async fn what_ended_is_not_loaded(store: &dyn GrantStore) {
    let (stays, mut ends) = (active("live"), active("live"));
    let batch = vec![
        Change::OpenTask(task("live")),
        Change::AddGrant(stays.clone()),
        Change::AddGrant(ends.clone()),
    ];
    store.commit(batch).await.unwrap();
    ends.apply(Transition::End(EndReason::Revoked), Timestamp::UNIX_EPOCH)
        .unwrap();
    store
        .commit(vec![Change::PutGrant(ends.clone())])
        .await
        .unwrap();
    let contents = store.load().await.unwrap();
    assert!(contents.grants.contains(&(stays.clone(), None)));
    let mut live = contents.grants.iter();
    assert!(!live.any(|(grant, _)| grant.request.grant == ends.request.grant));
    assert!(contents.tasks.contains(&(task("live"), None)));
    let mut open = contents.tasks.iter();
    assert!(!open.any(|(task, _)| task.id.as_str() == "once"));
    let late = Change::PutGrant(Grant {
        state: stays.state.clone(),
        request: Arc::clone(&ends.request),
    });
    store.commit(vec![late]).await.unwrap();
    let kept = store.grant(&ends.request.grant).await.unwrap();
    assert_eq!(kept, Some(ends), "a step that comes late undoes no end");
}

async fn grants_are_found_by_either_id(store: &dyn GrantStore) {
    let one = grant("live");
    store
        .commit(vec![Change::AddGrant(one.clone())])
        .await
        .unwrap();
    assert_eq!(
        store.grant(&one.request.grant).await.unwrap(),
        Some(one.clone())
    );
    assert_eq!(store.request(&one.request.id).await.unwrap(), Some(one));
    let nobody = GrantId::random();
    assert_eq!(store.grant(&nobody).await.unwrap(), None);
}

async fn pages_cover_the_list_once(store: &dyn GrantStore) {
    store
        .commit(vec![Change::OpenTask(task("paged"))])
        .await
        .unwrap();
    let all: Vec<Grant> = (0..5).map(|_| active("paged")).collect();
    for grant in &all {
        store
            .commit(vec![Change::AddGrant(grant.clone())])
            .await
            .unwrap();
    }
    store
        .commit(vec![Change::AddGrant(grant("paged"))])
        .await
        .unwrap();
    let mut filter = GrantFilter {
        task: Some("paged".parse().unwrap()),
        activated: true,
        limit: 2,
        ..GrantFilter::default()
    };
    let mut seen = Vec::new();
    loop {
        let page = store.grants(filter.clone()).await.unwrap();
        seen.extend(page.grants);
        filter.after = page.next;
        if filter.after.is_none() {
            break;
        }
    }
    seen.reverse();
    assert_eq!(seen, all, "newest first, each once, requests left out");
}

async fn documents_are_kept_by_kind(store: &dyn GrantStore) {
    let put = |kind, id: &str, text: Option<&str>| Change::PutDocument {
        kind,
        id: id.to_owned(),
        text: text.map(str::to_owned),
    };
    let (key, factor) = (DocumentKind::AccessKey, DocumentKind::SecondFactor);
    let batch = vec![
        put(key, "a", Some("1")),
        put(key, "b", Some("2")),
        put(factor, "a", Some("3")),
    ];
    store.commit(batch).await.unwrap();
    store
        .commit(vec![put(key, "a", None), put(key, "b", Some("4"))])
        .await
        .unwrap();
    let every = [
        DocumentKind::FailedCodes,
        DocumentKind::Habits,
        DocumentKind::IdempotentAnswer,
        DocumentKind::PendingReset,
        DocumentKind::PushedScore,
        DocumentKind::RedeemedRequest,
        DocumentKind::RevokedToken,
        DocumentKind::StoreMark,
        DocumentKind::UsedAssertion,
        DocumentKind::LatestScore,
        DocumentKind::UsedEvent,
    ];
    let of = |id: &str, text: &str| (id.to_owned(), text.to_owned());
    for kind in every {
        let text = format!("{kind:?}");
        store
            .commit(vec![put(kind, "c", Some(&text))])
            .await
            .unwrap();
        assert_eq!(store.documents(kind).await.unwrap(), [of("c", &text)]);
    }
    assert_eq!(store.documents(key).await.unwrap(), [of("b", "4")]);
    assert_eq!(store.documents(factor).await.unwrap(), [of("a", "3")]);
}

/// All that can be read, for comparing.
async fn everything(store: &dyn GrantStore) -> String {
    let mut contents = store.load().await.unwrap();
    contents.tasks.sort_by(|a, b| a.0.id.cmp(&b.0.id));
    let filter = GrantFilter {
        limit: usize::MAX,
        ..GrantFilter::default()
    };
    let page = store.grants(filter).await.unwrap();
    let mut documents = Vec::new();
    for kind in [
        DocumentKind::AccessKey,
        DocumentKind::FailedCodes,
        DocumentKind::Habits,
        DocumentKind::IdempotentAnswer,
        DocumentKind::PendingReset,
        DocumentKind::PushedScore,
        DocumentKind::RedeemedRequest,
        DocumentKind::RevokedAgent,
        DocumentKind::RevokedToken,
        DocumentKind::SecondFactor,
        DocumentKind::StoreMark,
        DocumentKind::UsedAssertion,
        DocumentKind::LatestScore,
        DocumentKind::UsedEvent,
    ] {
        documents.push(store.documents(kind).await.unwrap());
    }
    let once = store.task(&"once".parse().unwrap()).await.unwrap();
    format!("{contents:#?} {page:#?} {documents:#?} {once:#?}")
}

#[tokio::test]
async fn memory() {
    suite(&MemoryStore::new()).await;
}

#[tokio::test]
async fn sqlite_also_after_it_was_closed_and_opened() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let store = SqliteStore::open(&path).unwrap();
    suite(&store).await;
    let before = everything(&store).await;
    drop(store);
    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(everything(&store).await, before);
    let again = vec![Change::OpenTask(task("once"))];
    assert!(
        store.commit(again).await.is_err(),
        "ids outlive the process"
    );
}
