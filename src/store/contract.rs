//! The suite that every backend passes.

mod forgetting;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use forgetting::{a_task_stays_under_which_something_lives, what_ended_long_ago_is_forgotten};

use super::*;
use crate::base::Digest;
use crate::base::{BootId, BootInstant};
use crate::model::{
    Approval, ApprovalRule, Budget, Circumstances, ClosedGrant, EndReason, Grant, GrantId,
    GrantRequest, Holder, InputValue, Proof, Receipt, RequestId, Right, Task, TaskId, TaskState,
    Transition,
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

async fn a_task_id_is_used_once(store: &dyn GrantStore) {
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

/// Text that is hard to keep: quotes, controls, an end of text in the middle, every width of UTF-8.
const HARD: &str = "\"quoted\" \\ \r\n\t\0 \u{1b}[31m \u{202e} é 漢 🦀 ' ; DROP TABLE grants; --";

async fn every_field_comes_back(store: &dyn GrantStore) {
    let mut whole = task("whole");
    whole.kind = None;
    whole.description = Some(HARD.to_owned());
    whole.parent = Some("live".parse().unwrap());
    whole.depth = 3;
    whole.opened_by = "ana@example.com".to_owned();
    whole.opened_at = Timestamp::new(1_700_000_000, 123_456_789).unwrap();
    whole.lease = Duration::new(59, 999_999_999);
    let batch = vec![Change::OpenTask(whole.clone())];
    store.commit(batch).await.unwrap();
    let stored = store.task(&whole.id).await.unwrap().unwrap();
    assert_eq!((stored.task, stored.receipt), (whole.clone(), None));
    let receipt = Receipt {
        grants: vec![ClosedGrant {
            id: GrantId::random(),
            streams_cut: 2,
            calls_finished: u64::MAX,
            took: Duration::from_micros(1_234),
        }],
    };
    for reason in EndReason::ALL {
        let at = Timestamp::MAX;
        whole.state = TaskState::Ended {
            reason: *reason,
            at,
        };
        let end = Change::PutTask(whole.clone(), Some(receipt.clone()));
        store.commit(vec![end]).await.unwrap();
        let stored = store.task(&whole.id).await.unwrap().unwrap();
        assert_eq!(stored.task, whole);
        assert_eq!(stored.receipt.as_ref(), Some(&receipt));
    }
    for (proof, end) in [Proof::Bearer, Proof::Dpop, Proof::Mtls]
        .into_iter()
        .zip(EndReason::ALL)
    {
        every_state_comes_back(store, proof, *end).await;
    }
}

async fn every_state_comes_back(store: &dyn GrantStore, proof: Proof, reason: EndReason) {
    let mut request = Arc::unwrap_or_clone(grant("live").request);
    request.reason = Some(HARD.into());
    request.right.proof = proof;
    request.input = [
        ("text".into(), InputValue::String(HARD.into())),
        ("number".into(), InputValue::Long(i64::MIN)),
        ("truth".into(), InputValue::Bool(true)),
        ("numeral".into(), InputValue::String("7".into())),
    ]
    .into();
    request.right.budget = Budget {
        calls: Some(u64::MAX - 1),
        bytes: Some(0),
        concurrent: Some(u32::MAX),
    };
    request.right.approval = Some(
        ApprovalRule {
            group: "leads".parse().unwrap(),
            quorum: 2,
            mfa: true,
            expires: Duration::from_secs(1800),
        }
        .into(),
    );
    request.parent = Some(GrantId::random().into());
    *request.asked = Circumstances {
        source: "2001:db8::1".parse().unwrap(),
        methods: vec!["private_key_jwt".into(), HARD.into()],
        holder: match proof {
            Proof::Bearer => None,
            Proof::Dpop => Some(Holder::DpopKey(Digest::of(b"key"))),
            Proof::Mtls => Some(Holder::Certificate(Digest::of(b"certificate"))),
        },
    };
    let mut grant = Grant::requested(Arc::new(request));
    let now = Timestamp::new(1_700_000_001, 1).unwrap();
    let approval = |person: &str| Approval {
        person: person.parse().unwrap(),
        at: now,
        mfa: true,
        at_most: Some(Duration::from_millis(1_500)),
    };
    let until = Timestamp::MAX;
    let expires_at = now + Duration::from_secs(60);
    let steps = [
        Transition::AskApproval { until },
        Transition::Approve(approval("ana@example.com")),
        Transition::Approve(approval("bo@example.com")),
        Transition::Activate { expires_at },
        Transition::Renew { expires_at: until },
        Transition::Suspend,
        Transition::Resume,
        Transition::End(reason),
    ];
    let put = |grant: &Grant| vec![Change::PutGrant(grant.clone())];
    let add = |grant: &Grant| vec![Change::AddGrant(grant.clone())];
    store.commit(add(&grant)).await.unwrap();
    for step in steps {
        grant.apply(step, now).unwrap();
        store.commit(put(&grant)).await.unwrap();
        let stored = store.grant(&grant.request.grant).await.unwrap();
        assert_eq!(stored.as_ref(), Some(&grant));
        let live = store.load().await.unwrap().grants;
        assert_eq!(
            live.contains(&(grant.clone(), None)),
            !grant.is_ended(),
            "{grant:?}"
        );
    }
    let mut refused = Grant::requested(Arc::clone(&grant.request));
    Arc::make_mut(&mut refused.request).grant = GrantId::random();
    let note = HARD.into();
    refused
        .apply(Transition::Refuse { reason, note }, now)
        .unwrap();
    store.commit(add(&refused)).await.unwrap();
    let stored = store.grant(&refused.request.grant).await.unwrap();
    assert_eq!(stored, Some(refused));
}

async fn marks_come_back_until_the_end(store: &dyn GrantStore) {
    let instant = BootInstant::from_nanos;
    let clock = ClockMark {
        boot: BootId::from("one"),
        now: instant(7),
        wall: Timestamp::UNIX_EPOCH,
    };
    let grant_mark = GrantMark {
        starts: instant(1),
        deadline: instant(u64::MAX),
        calls_left: Some(2),
        bytes_left: None,
    };
    let task_mark = TaskMark {
        opened: instant(0),
        lapses: instant(5),
        oldest: instant(6),
        history: vec![CountedCalls {
            operation: "orders.refund".parse().unwrap(),
            calls: 3,
            succeeded: 1,
            sum: [("amount".into(), -4)].into(),
            last: instant(4),
        }],
    };
    let mut marked = (task("marked"), active("marked"));
    let id = marked.1.request.grant.clone();
    let nobody = GrantId::random();
    let batch = vec![
        Change::OpenTask(marked.0.clone()),
        Change::AddGrant(marked.1.clone()),
        Change::MarkGrant(id.clone(), grant_mark),
        Change::MarkGrant(nobody.clone(), grant_mark),
        Change::MarkTask(marked.0.id.clone(), task_mark.clone()),
        Change::MarkTask("nobody".parse().unwrap(), task_mark.clone()),
        Change::MarkClock(clock.clone()),
    ];
    store.commit(batch).await.unwrap();
    // A step leaves the mark as it is.
    let expires_at = Timestamp::MAX;
    let renew = Transition::Renew { expires_at };
    marked.1.apply(renew, Timestamp::UNIX_EPOCH).unwrap();
    let step = vec![
        Change::PutGrant(marked.1.clone()),
        Change::PutTask(marked.0.clone(), None),
    ];
    store.commit(step).await.unwrap();
    let contents = store.load().await.unwrap();
    assert_eq!(contents.clock, Some(clock));
    let tasks = contents.tasks;
    assert!(tasks.contains(&(marked.0.clone(), Some(task_mark.clone()))));
    assert!(contents.grants.contains(&(marked.1, Some(grant_mark))));
    let mut waits = grant("marked");
    let until = Timestamp::MAX;
    let ask = Transition::AskApproval { until };
    waits.apply(ask, Timestamp::UNIX_EPOCH).unwrap();
    let id = waits.request.grant.clone();
    let batch = vec![
        Change::AddGrant(waits.clone()),
        Change::MarkGrant(id, grant_mark),
    ];
    store.commit(batch).await.unwrap();
    let waiting = (waits.clone(), Some(grant_mark));
    assert!(store.load().await.unwrap().grants.contains(&waiting));
    let activate = Transition::Activate { expires_at };
    waits.apply(activate, Timestamp::UNIX_EPOCH).unwrap();
    let put = Change::PutGrant(waits.clone());
    store.commit(vec![put]).await.unwrap();
    let grants = store.load().await.unwrap().grants;
    assert!(
        grants.contains(&(waits, None)),
        "its time to wait is no term"
    );
    assert_eq!(store.grant(&nobody).await.unwrap(), None);
    assert_eq!(store.task(&"nobody".parse().unwrap()).await.unwrap(), None);
}

async fn the_last_change_of_a_batch_and_of_all_batches_stands(store: &dyn GrantStore) {
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

async fn parallel_batches_are_each_whole(store: &dyn GrantStore) {
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
