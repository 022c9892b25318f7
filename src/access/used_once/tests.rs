use super::*;
use crate::store::MemoryStore;

const KIND: DocumentKind = DocumentKind::UsedAssertion;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

async fn open(store: &Arc<MemoryStore>, capacity: usize) -> UsedOnce {
    let memory = ReplayCache::with_capacity(capacity, capacity);
    let store = Arc::clone(store);
    UsedOnce::open(store, KIND, memory).await.unwrap()
}

async fn stored(store: &MemoryStore) -> usize {
    store.documents(KIND).await.unwrap().len()
}

const SEEN: Result<(), NotOnce> = Err(NotOnce::Replay(Replay::Seen));

#[tokio::test]
async fn an_id_is_good_once_also_after_a_restart() {
    let store = Arc::new(MemoryStore::default());
    let used = open(&store, 10).await;
    assert_eq!(used.accept("bot", "a", at(100), at(1)).await, Ok(()));
    assert_eq!(used.accept("bot", "a", at(100), at(2)).await, SEEN);
    let again = open(&store, 10).await;
    assert!(again.holds("bot", "a") && !again.holds("rival", "a"));
    assert_eq!(again.accept("bot", "a", at(100), at(3)).await, SEEN);
    // Each scope has names of its own.
    assert_eq!(again.accept("rival", "a", at(100), at(3)).await, Ok(()));
    assert_eq!(
        again.accept("bot", "a", at(100), at(100)).await,
        Err(NotOnce::Replay(Replay::Stale)),
        "the caller refuses it by itself"
    );
}

#[tokio::test]
async fn what_is_over_leaves_the_store_and_makes_room() {
    let store = Arc::new(MemoryStore::default());
    let used = open(&store, 3).await;
    for id in ["a", "b", "c"] {
        assert_eq!(used.accept("bot", id, at(100), at(1)).await, Ok(()));
    }
    let full = used.accept("bot", "d", at(100), at(1)).await;
    assert_eq!(full, Err(NotOnce::Replay(Replay::Full)));
    assert_eq!(stored(&store).await, 3);
    assert_eq!(used.accept("bot", "d", at(200), at(100)).await, Ok(()));
    assert_eq!(stored(&store).await, 1);
    // What was over while no process ran goes with the next one.
    let again = open(&store, 3).await;
    assert_eq!(again.accept("bot", "e", at(300), at(200)).await, Ok(()));
    assert_eq!(stored(&store).await, 1);
    assert!(again.holds("bot", "e"));
}

#[tokio::test]
async fn a_store_that_says_what_nobody_wrote_is_not_believed() {
    let store = Arc::new(MemoryStore::default());
    let odd = Change::PutDocument {
        kind: KIND,
        id: "a".to_owned(),
        text: Some("100 bot".to_owned()),
    };
    store.commit(vec![odd]).await.unwrap();
    let memory = ReplayCache::new();
    let opened = UsedOnce::open(store, KIND, memory).await;
    assert_eq!(opened.unwrap_err(), NotOnce::Broken("a".to_owned()));
}
