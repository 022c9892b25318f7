//! The suite that every backend passes.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::*;
use crate::model::{
    Budget, Circumstances, EndReason, Grant, GrantId, GrantRequest, Proof, Receipt, RequestId,
    Task, TaskId, TaskState, Transition,
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
        entitlement: "refunds".parse().unwrap(),
        operations: ["orders.refund".parse().unwrap()].into(),
        input: [("order_id".into(), crate::model::InputValue::Long(7))].into(),
        reason: Some("because".to_owned()),
        duration: Duration::from_secs(60),
        budget: Budget {
            calls: Some(3),
            ..Budget::default()
        },
        proof: Proof::Bearer,
        approval: None,
        requested_at: Timestamp::UNIX_EPOCH,
        parent: None,
        asked: Circumstances::UNKNOWN,
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

async fn suite(store: &dyn GrantStore) {
    a_task_id_is_used_once(store).await;
    what_ended_is_not_loaded(store).await;
    grants_are_found_by_either_id(store).await;
    pages_cover_the_list_once(store).await;
    documents_are_kept_by_kind(store).await;
}

async fn a_task_id_is_used_once(store: &dyn GrantStore) {
    store
        .commit(vec![Change::OpenTask(task("once"))])
        .await
        .unwrap();
    let witness = grant("once");
    let again = vec![
        Change::PutGrant(witness.clone()),
        Change::OpenTask(task("once")),
    ];
    let id: TaskId = "once".parse().unwrap();
    assert_eq!(
        store.commit(again.clone()).await,
        Err(StoreError::TaskIdUsed(id.clone()))
    );
    assert_eq!(
        store.grant(&witness.request.grant).await.unwrap(),
        None,
        "nothing of a refused batch is kept"
    );

    let mut ended = task("once");
    ended.state = TaskState::Ended {
        reason: EndReason::Completed,
        at: Timestamp::UNIX_EPOCH,
    };
    let receipt = Receipt::default();
    store
        .commit(vec![Change::PutTask(ended.clone(), Some(receipt.clone()))])
        .await
        .unwrap();
    assert!(
        store.commit(again).await.is_err(),
        "not after its end either"
    );
    let stored = store.task(&id).await.unwrap().unwrap();
    assert_eq!(stored.task, ended);
    assert_eq!(stored.receipt, Some(receipt));
}

async fn what_ended_is_not_loaded(store: &dyn GrantStore) {
    let (stays, mut ends) = (active("live"), active("live"));
    let batch = vec![
        Change::OpenTask(task("live")),
        Change::PutGrant(stays.clone()),
        Change::PutGrant(ends.clone()),
    ];
    store.commit(batch).await.unwrap();
    ends.apply(Transition::End(EndReason::Revoked), Timestamp::UNIX_EPOCH)
        .unwrap();
    store
        .commit(vec![Change::PutGrant(ends.clone())])
        .await
        .unwrap();
    let contents = store.load().await.unwrap();
    assert!(contents.grants.contains(&stays));
    assert!(
        !contents
            .grants
            .iter()
            .any(|grant| grant.request.grant == ends.request.grant)
    );
    assert!(contents.tasks.contains(&task("live")));
    assert!(!contents.tasks.iter().any(|task| task.id.as_str() == "once"));
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
        .commit(vec![Change::PutGrant(one.clone())])
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
            .commit(vec![Change::PutGrant(grant.clone())])
            .await
            .unwrap();
    }
    store
        .commit(vec![Change::PutGrant(grant("paged"))])
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
    let of = |id: &str, text: &str| (id.to_owned(), text.to_owned());
    assert_eq!(store.documents(key).await.unwrap(), [of("b", "4")]);
    assert_eq!(store.documents(factor).await.unwrap(), [of("a", "3")]);
}

#[tokio::test]
async fn memory() {
    suite(&MemoryStore::new()).await;
}
