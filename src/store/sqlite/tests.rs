use std::fs;
use std::path::PathBuf;

use jiff::Timestamp;
use rusqlite::Connection;
use tempfile::TempDir;

use super::*;
use crate::base::Clock;
use crate::model::{EndReason, Task, TaskState};

struct Place {
    directory: TempDir,
    path: PathBuf,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store.db");
        Self { directory, path }
    }

    fn open(&self) -> Result<SqliteStore, StoreError> {
        SqliteStore::open(&self.path)
    }

    fn refusal(&self) -> String {
        self.open().unwrap_err().to_string()
    }

    /// Changes the file behind the store's back.
    fn edit(&self, sql: &str) {
        let db = Connection::open(&self.path).unwrap();
        db.execute_batch(sql).unwrap();
    }
}

fn task(id: &str) -> Task {
    Task {
        id: id.parse().unwrap(),
        agent: "bot".parse().unwrap(),
        kind: None,
        description: None,
        parent: None,
        depth: 0,
        opened_by: "bot".to_owned(),
        opened_at: Timestamp::UNIX_EPOCH,
        lease: std::time::Duration::from_secs(60),
        max_age: std::time::Duration::from_secs(600),
        state: TaskState::Open,
    }
}

fn open_task(id: &str) -> Vec<Change> {
    vec![Change::OpenTask(task(id))]
}

#[test]
fn the_second_to_come_is_told_who_has_the_store() {
    let place = Place::new();
    let first = place.open().unwrap();
    let StoreError::Locked { holder, .. } = place.open().unwrap_err() else {
        panic!("not locked");
    };
    assert_eq!(holder, format!("process {}", std::process::id()));
    let link = place.directory.path().join("other-name.db");
    std::os::unix::fs::symlink(&place.path, &link).unwrap();
    let by_link = SqliteStore::open(&link).unwrap_err();
    assert!(matches!(by_link, StoreError::Locked { .. }), "{by_link}");
    let removed = SqliteStore::remove(&place.path);
    assert!(matches!(removed, Err(StoreError::Locked { .. })));
    drop(first);
    place.open().unwrap();
}

#[test]
fn a_removed_store_is_gone_whole() {
    let place = Place::new();
    drop(place.open().unwrap());
    SqliteStore::remove(&place.path).unwrap();
    SqliteStore::remove(&place.path).unwrap();
    let left = fs::read_dir(place.directory.path()).unwrap();
    let left: Vec<_> = left.map(|file| file.unwrap().file_name()).collect();
    assert_eq!(left, ["store.db.lock"]);
}

#[test]
fn only_the_owner_reads_the_file() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = Place::new();
    let _store = place.open().unwrap();
    for file in fs::read_dir(place.directory.path()).unwrap() {
        let file = file.unwrap();
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{:?}", file.file_name());
    }
}

#[test]
fn what_is_no_store_is_left_alone_and_named() {
    let place = Place::new();
    fs::write(
        &place.path,
        "this is a letter, not a database\n".repeat(200),
    )
    .unwrap();
    assert!(place.refusal().ends_with("file is not a database"));
    assert!(place.refusal().contains("store.db"));

    let place = Place::new();
    place.edit("CREATE TABLE shopping (item TEXT)");
    assert!(place.refusal().ends_with("it belongs to another program"));

    let place = Place::new();
    drop(place.open().unwrap());
    place.edit("PRAGMA user_version = 99");
    assert!(
        place
            .refusal()
            .contains("has schema 99, and this version knows 2")
    );

    let place = Place::new();
    fs::create_dir(&place.path).unwrap();
    assert!(place.refusal().contains("can't be used"));
}

#[test]
fn a_directory_is_made_but_not_a_whole_path() {
    let place = Place::new();
    let near = place.directory.path().join("data/store.db");
    drop(SqliteStore::open(&near).unwrap());
    let far = place.directory.path().join("not/there/store.db");
    let refusal = SqliteStore::open(&far).unwrap_err().to_string();
    assert!(refusal.contains("its directory can't be made"), "{refusal}");
}

#[test]
fn a_read_only_file_is_refused_at_the_start() {
    let place = Place::new();
    drop(place.open().unwrap());
    let mut mode = fs::metadata(&place.path).unwrap().permissions();
    mode.set_readonly(true);
    fs::set_permissions(&place.path, mode).unwrap();
    assert!(place.refusal().ends_with("is read-only"));
}

/// One bit of any row that is read at the start: never skipped, never believed.
#[tokio::test]
async fn a_changed_row_stops_the_start() {
    let place = Place::new();
    let store = place.open().unwrap();
    store.commit(open_task("t")).await.unwrap();
    drop(store);
    for change in [
        "UPDATE tasks SET body = replace(body, 'bot', 'cot')",
        "UPDATE tasks SET seal = seal + 1",
        "UPDATE tasks SET id = 'u'",
        "UPDATE tasks SET mark = '{}', mark_seal = 0",
    ] {
        let before = fs::read(&place.path).unwrap();
        place.edit(change);
        let store = place.open().unwrap();
        let loaded = store.load().await;
        assert!(
            matches!(loaded, Err(StoreError::Corrupt { .. })),
            "{change}"
        );
        drop(store);
        fs::write(&place.path, before).unwrap();
    }
    assert_eq!(place.open().unwrap().load().await.unwrap().tasks.len(), 1);
}

#[tokio::test]
async fn a_word_of_another_version_stops_the_start() {
    let place = Place::new();
    let store = place.open().unwrap();
    store.commit(open_task("t")).await.unwrap();
    drop(store);
    let db = Connection::open(&place.path).unwrap();
    let body: String = db
        .query_row("SELECT body FROM tasks", [], |row| row.get(0))
        .unwrap();
    let end = r#","ended":{"reason":"bored","at":"1970-01-01T00:00:00Z"}}"#;
    let body = format!("{}{end}", body.strip_suffix('}').unwrap());
    let sealed = row::seal(row::Table::Task, "t", &body);
    let edit = "UPDATE tasks SET body = ?1, seal = ?2";
    db.execute(edit, rusqlite::params![body, sealed]).unwrap();
    drop(db);
    let error = place.open().unwrap().load().await.unwrap_err();
    assert!(
        error.to_string().contains("`bored` is no end reason"),
        "{error}"
    );
}

#[tokio::test]
async fn a_full_disk_refuses_and_keeps_what_was_acknowledged() {
    let place = Place::new();
    drop(place.open().unwrap());
    let store = open::open_small(&place.path, 24).unwrap();
    let mut kept = Vec::new();
    let error = loop {
        let id = format!("t-{}", kept.len());
        match store.commit(open_task(&id)).await {
            Ok(()) => kept.push(id),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, StoreError::Full(_)), "{error}");
    assert!(!kept.is_empty());
    let after = store.load().await.unwrap().tasks;
    assert_eq!(
        after.len(),
        kept.len(),
        "nothing of the refused batch is there"
    );
    drop(store);

    let store = place.open().unwrap();
    for id in &kept {
        let found = store.task(&id.parse().unwrap()).await.unwrap();
        assert!(found.is_some(), "{id}");
    }
    store.commit(open_task("later")).await.unwrap();
}

#[tokio::test]
async fn nothing_counts_as_stored_in_a_file_that_is_not_there_any_more() {
    let place = Place::new();
    let store = place.open().unwrap();
    let aside = place.directory.path().join("aside");
    fs::rename(&place.path, &aside).unwrap();
    for another in [false, true] {
        if another {
            fs::write(&place.path, "").unwrap();
        }
        let refused = store.commit(open_task("lost")).await.unwrap_err();
        let refused = refused.to_string();
        assert!(refused.contains("was moved or removed"), "{refused}");
    }
    fs::rename(&aside, &place.path).unwrap();
    store.commit(open_task("kept")).await.unwrap();
    drop(store);
    let tasks = place.open().unwrap().load().await.unwrap().tasks;
    assert_eq!(tasks.len(), 1);
}

/// As where everything but the store's directory is read-only, and as where no file can be opened any more.
#[tokio::test]
async fn a_large_batch_needs_no_file_besides() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let place = Place::new();
    let store = place.open().unwrap();
    let ids = (0..600).map(|number| format!("task-{number}"));
    let ids: Vec<String> = ids.collect();
    let batch = ids.iter().flat_map(|id| open_task(id));
    store.commit(batch.collect()).await.unwrap();
    let files = getrlimit(Resource::Nofile);
    let none = Rlimit {
        current: Some(0),
        ..files
    };
    setrlimit(Resource::Nofile, none).unwrap();
    let ended = ids
        .iter()
        .filter_map(|id| over(id, Timestamp::UNIX_EPOCH).pop());
    let stored = store.commit(ended.collect()).await;
    setrlimit(Resource::Nofile, files).unwrap();
    stored.unwrap();
}

#[tokio::test]
async fn a_closed_store_is_one_file_and_takes_nothing_more() {
    let place = Place::new();
    let store = place.open().unwrap();
    store.commit(open_task("t")).await.unwrap();
    store.close().await;
    let late = store.commit(open_task("late")).await;
    assert!(
        matches!(late, Err(StoreError::Unavailable { .. })),
        "{late:?}"
    );
    let log = fs::metadata(place.directory.path().join("store.db-wal"));
    assert_eq!(log.map_or(0, |log| log.len()), 0);
    assert_eq!(store.load().await.unwrap().tasks.len(), 1);
    store.close().await;
}

/// A task that has ended.
fn over(id: &str, at: Timestamp) -> Vec<Change> {
    let mut over = task(id);
    over.description = Some("so that a row has some weight ".repeat(30));
    let mut opened = over.clone();
    opened.state = TaskState::Open;
    over.state = TaskState::Ended {
        reason: EndReason::Completed,
        at,
    };
    vec![Change::OpenTask(opened), Change::PutTask(over, None)]
}

#[tokio::test]
async fn a_store_of_much_that_ended_shrinks_to_what_is_kept() {
    let place = Place::new();
    let store = place.open().unwrap();
    let at = |second| Timestamp::from_second(second).unwrap();
    store.commit(open_task("lives")).await.unwrap();
    let mut batch = Vec::new();
    for number in 0..10_000 {
        batch.extend(over(&format!("t-{number}"), at(number)));
    }
    store.commit(batch).await.unwrap();
    let size = async || {
        // What was written is in the file only once the log is a part of it.
        let db = Connection::open(&place.path).unwrap();
        db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            .unwrap();
        fs::metadata(&place.path).unwrap().len()
    };
    let full = size().await;
    let horizon = Horizon {
        before: at(9_900),
        crowded_before: at(9_900),
        most: u64::MAX,
    };
    let mut removed = 0;
    loop {
        let forgotten = store.forget(horizon).await.unwrap();
        removed += forgotten.tasks;
        if !forgotten.more {
            assert_eq!(forgotten.kept_tasks, 100);
            break;
        }
    }
    assert_eq!(removed, 9_900);
    let left = size().await;
    assert!(left * 4 < full, "{full} bytes became {left}");

    // The pages that are left serve again: the same again and again does not make it grow.
    let mut largest = 0;
    for round in 0..4 {
        let mut batch = Vec::new();
        for number in 0..500 {
            batch.extend(over(&format!("r-{round}-{number}"), at(0)));
        }
        store.commit(batch).await.unwrap();
        while store.forget(horizon).await.unwrap().more {}
        let now = size().await;
        if round > 0 {
            assert!(now <= largest + (256 << 10), "{largest} bytes became {now}");
        }
        largest = largest.max(now);
    }
    drop(store);
    let store = place.open().unwrap();
    let open = store.load().await.unwrap().tasks;
    assert_eq!(open.len(), 1);
    let again = store.commit(open_task("t-0")).await;
    assert!(matches!(again, Err(StoreError::TaskIdUsed(_))));
    let kept = store.task(&"t-9900".parse().unwrap()).await.unwrap();
    assert!(kept.is_some());
}

/// Commits that come while much is being forgotten wait for a few rows, not for all.
#[tokio::test]
async fn commits_come_between_the_steps_of_a_forgetting() {
    let place = Place::new();
    let store = Arc::new(place.open().unwrap());
    let mut batch = Vec::new();
    for number in 0..20_000 {
        batch.extend(over(&format!("t-{number}"), Timestamp::UNIX_EPOCH));
    }
    store.commit(batch).await.unwrap();
    let horizon = Horizon {
        before: Timestamp::MAX,
        crowded_before: Timestamp::MAX,
        most: 0,
    };
    let forgets = tokio::spawn({
        let store = Arc::clone(&store);
        async move { while store.forget(horizon).await.unwrap().more {} }
    });
    let mut between = 0;
    while !forgets.is_finished() {
        let id = format!("new-{between}");
        store.commit(open_task(&id)).await.unwrap();
        between += 1;
    }
    forgets.await.unwrap();
    assert!(between >= 20, "{between} commits came between");
    assert_eq!(store.load().await.unwrap().tasks.len(), between);
}

#[tokio::test]
async fn a_store_of_the_first_version_learns_when_things_ended() {
    let place = Place::new();
    let store = place.open().unwrap();
    store.commit(open_task("lives")).await.unwrap();
    store
        .commit(over("t", Timestamp::UNIX_EPOCH))
        .await
        .unwrap();
    drop(store);
    place.edit(
        "DROP INDEX ended_tasks; DROP INDEX ended_grants; DROP TABLE used_tasks;
         ALTER TABLE tasks DROP COLUMN ended; ALTER TABLE grants DROP COLUMN ended;
         PRAGMA user_version = 1;",
    );
    let before = Clock::system().wall();
    let store = place.open().unwrap();
    let forget = async |before| {
        let horizon = Horizon {
            before,
            crowded_before: Timestamp::UNIX_EPOCH,
            most: u64::MAX,
        };
        store.forget(horizon).await.unwrap().tasks
    };
    let soon = before - jiff::SignedDuration::from_mins(1);
    assert_eq!(forget(soon).await, 0, "as if it had ended now");
    assert_eq!(forget(before + jiff::SignedDuration::from_mins(1)).await, 1);
    assert_eq!(store.load().await.unwrap().tasks.len(), 1);
}
