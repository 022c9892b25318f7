use super::*;
use crate::store::MemoryStore;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

#[tokio::test]
async fn a_revocation_outlives_the_process_and_not_the_token() {
    let store: Arc<dyn GrantStore> = Arc::new(MemoryStore::new());
    let open = |now| Revocations::open(Arc::clone(&store), at(now));
    let first = open(10).await.unwrap();
    first.revoke("bot", "a", at(100), at(10)).await.unwrap();
    first.revoke("bot", "b", at(200_000), at(10)).await.unwrap();

    let second = open(20).await.unwrap();
    assert!(second.revoked().contains("bot", "a"));
    assert!(second.revoked().contains("bot", "b"));
    assert!(!second.revoked().contains("rival", "a"));
    second.forget_ended(at(20)).await.unwrap();
    assert_eq!(store.documents(KIND).await.unwrap().len(), 2);

    second.forget_ended(at(90_000)).await.unwrap();
    let left = store.documents(KIND).await.unwrap();
    assert_eq!(left, [("b".to_owned(), "200000 bot".to_owned())]);
    let third = open(90_000).await.unwrap();
    assert!(!third.revoked().contains("bot", "a"));
    assert!(third.revoked().contains("bot", "b"));
}

#[tokio::test]
async fn what_nobody_wrote_stops_the_start() {
    let store: Arc<dyn GrantStore> = Arc::new(MemoryStore::new());
    let broken = put("a", Some("x".to_owned()));
    store.commit(vec![broken]).await.unwrap();
    let opened = Revocations::open(store, at(10)).await;
    assert!(
        matches!(opened, Err(RevocationError::Broken(_))),
        "{opened:?}"
    );
}

#[tokio::test]
async fn what_the_store_cannot_hold_is_refused_all_the_same() {
    let store: Arc<dyn GrantStore> = Arc::new(MemoryStore::new());
    let revocations = Revocations::open(store, at(10)).await.unwrap();
    for n in 0..4096 {
        let jti = n.to_string();
        revocations
            .revoke("bot", &jti, at(90_000), at(10))
            .await
            .unwrap();
    }
    let full = revocations.revoke("bot", "more", at(90_000), at(10)).await;
    assert!(matches!(full, Err(RevocationError::Full(_))), "{full:?}");
    assert!(!revocations.revoked().contains("bot", "more"));
}
