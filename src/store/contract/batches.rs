//! A batch is kept whole or not at all, and after the ones before it.

use jiff::Timestamp;

use super::{HARD, active, grant, task};
use crate::model::{EndReason, Receipt, TaskId, TaskState};
use crate::store::{Change, DocumentKind, GrantStore, Pending, StoreError};

pub(super) async fn a_task_id_is_used_once(store: &dyn GrantStore) {
    store
        .commit(vec![Change::OpenTask(task("once"))])
        .await
        .unwrap();
    let witness = grant("once");
    let again = vec![
        Change::AddGrant(witness.clone()),
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

pub(super) async fn the_last_change_of_a_batch_and_of_all_batches_stands(store: &dyn GrantStore) {
    let text = |text: &str| Change::PutDocument {
        kind: DocumentKind::RevokedAgent,
        id: HARD.to_owned(),
        text: Some(text.to_owned()),
    };
    let batches: Vec<_> = (0..50)
        .map(|number| {
            let (first, last) = (format!("{number} first"), format!("{number} last"));
            store.commit(vec![text(&first), text(&last)])
        })
        .collect();
    for batch in batches {
        batch.await.unwrap();
    }
    let stored = store.documents(DocumentKind::RevokedAgent).await.unwrap();
    assert_eq!(stored, [(HARD.to_owned(), "49 last".to_owned())]);
}

pub(super) async fn parallel_batches_are_each_whole(store: &dyn GrantStore) {
    // Every task id is wanted by three; one of them has it, with its grant, and the others have nothing.
    let wanted: Vec<_> = (0..100)
        .flat_map(|number| (0..3).map(move |_| format!("parallel-{number}")))
        .map(|id| {
            let grant = active(&id);
            let add = Change::AddGrant(grant.clone());
            (grant, vec![add, Change::OpenTask(task(&id))])
        })
        .collect();
    let commits = wanted.iter().map(|(_, batch)| store.commit(batch.clone()));
    let outcomes = all(commits.collect()).await;
    let mut won = 0;
    for ((grant, _), outcome) in wanted.iter().zip(outcomes) {
        let stored = store.grant(&grant.request.grant).await.unwrap();
        assert_eq!(stored.is_some(), outcome.is_ok());
        won += usize::from(outcome.is_ok());
        if let Err(error) = outcome {
            assert_eq!(error, StoreError::TaskIdUsed(grant.request.task.clone()));
        }
    }
    assert_eq!(won, 100);
    let twice = vec![
        Change::OpenTask(task("twice")),
        Change::OpenTask(task("twice")),
    ];
    let used = StoreError::TaskIdUsed("twice".parse().unwrap());
    assert_eq!(store.commit(twice).await, Err(used));
}

/// Polls all at once, so that they are under way together.
async fn all<T>(mut pending: Vec<Pending<'_, T>>) -> Vec<Result<T, StoreError>> {
    let mut done: Vec<_> = pending.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (one, done) in pending.iter_mut().zip(&mut done) {
            if done.is_none()
                && let std::task::Poll::Ready(outcome) = one.as_mut().poll(context)
            {
                *done = Some(outcome);
            }
        }
        if done.iter().all(Option::is_some) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    done.into_iter().flatten().collect()
}
