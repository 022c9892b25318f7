use super::*;
use crate::store::MemoryStore;

fn put(text: &str) -> Vec<Change> {
    vec![Change::PutDocument {
        kind: DocumentKind::StoreMark,
        id: ID.to_owned(),
        text: Some(text.to_owned()),
    }]
}

#[test]
fn the_file_is_beside_the_directory() {
    for audit in ["data/audit", "data/audit/"] {
        let file = file_beside(Path::new(audit));
        assert_eq!(file, Path::new("data/audit.store-mark"), "{audit}");
    }
}

#[tokio::test]
async fn a_store_is_the_one_that_was_and_no_older() {
    let directory = tempfile::tempdir().unwrap();
    let path = &directory.path().join("audit");
    let store: Arc<dyn GrantStore> = Arc::new(MemoryStore::new());
    let check = async |store: &Arc<dyn GrantStore>| StoreMark::check(Arc::clone(store), path).await;
    let mark = check(&store).await.unwrap();
    for _ in 0..3 {
        mark.advance().await.unwrap();
    }
    let known = fs::read_to_string(file_beside(path)).unwrap();
    let (name, number) = known.trim().split_once(' ').unwrap();
    assert_eq!(number, "3");
    check(&store).await.unwrap();

    // Further than the file knows: the crash came between the two.
    store.commit(put(&format!("{name} 4"))).await.unwrap();
    let mark = check(&store).await.unwrap();
    mark.advance().await.unwrap();
    store.commit(put(&format!("{name} 4"))).await.unwrap();
    let older = check(&store).await.unwrap_err();
    assert!(
        matches!(
            older,
            MarkError::Older {
                found: 4,
                known: 5,
                ..
            }
        ),
        "{older}"
    );
    assert!(older.to_string().contains("audit.store-mark"), "{older}");

    let fresh: Arc<dyn GrantStore> = Arc::new(MemoryStore::new());
    assert!(matches!(check(&fresh).await, Err(MarkError::Other(_))));
    fresh.commit(put("st_other 9")).await.unwrap();
    assert!(matches!(check(&fresh).await, Err(MarkError::Other(_))));
    fresh.commit(put("nonsense")).await.unwrap();
    assert!(matches!(check(&fresh).await, Err(MarkError::Malformed(_))));

    // Accepted on purpose, it goes on from where it is.
    forget_mark(path).unwrap();
    forget_mark(path).unwrap();
    let mark = check(&store).await.unwrap();
    mark.advance().await.unwrap();
    let known = fs::read_to_string(file_beside(path)).unwrap();
    assert_eq!(known, format!("{name} 5\n"));
}
