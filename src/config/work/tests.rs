use std::fs;
use std::path::Path;

use notify::event::{AccessKind, AccessMode, DataChange, ModifyKind};
use notify::{Event, EventKind};
use tempfile::TempDir;

use super::*;
use crate::base::Clock;
use crate::config::compile::Sources;
use crate::config::credentials::Allowed;
use crate::config::reload::Reloader;
use crate::pdp::Memory;

fn write(directory: &Path, id: &str) {
    fs::write(
        directory.join("a.toml"),
        format!("[[person]]\nid = \"{id}\"\n"),
    )
    .unwrap();
}

fn start() -> (TempDir, Reloader, Work) {
    let (root, reloader, work, _) = start_with_bell();
    (root, reloader, work)
}

fn start_with_bell() -> (TempDir, Reloader, Work, Arc<Bell>) {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "first");
    let sources = Sources {
        directories: vec![root.path().to_owned()],
        credentials: Allowed::default(),
        stand_in: None,
    };
    let (reloader, watcher) = Reloader::open(sources, &Clock::system(), Memory::default()).unwrap();
    let bell = Arc::default();
    let work = watcher.into_work(&bell);
    (root, reloader, work, bell)
}

#[test]
fn what_no_notice_tells_of_is_found_by_asking() {
    let (root, reloader, mut work) = start();
    assert!(matches!(work.look(Look::IfTouched), Outcome::Unchanged));
    write(root.path(), "second");
    assert!(matches!(work.look(Look::IfTouched), Outcome::Published(_)));
    assert!(reloader.live().current().person("second").is_some());
}

#[test]
fn the_same_mistake_is_refused_once_unless_somebody_asks() {
    let (root, _reloader, mut work) = start();
    write(root.path(), "a b");
    assert!(matches!(work.look(Look::IfTouched), Outcome::Refused(_)));
    assert!(matches!(work.look(Look::IfTouched), Outcome::Unchanged));
    assert!(matches!(work.look(Look::IfChanged), Outcome::Unchanged));
    assert!(matches!(work.look(Look::Always), Outcome::Refused(_)));
    fs::remove_dir_all(root.path()).unwrap();
    assert!(matches!(work.look(Look::IfTouched), Outcome::Refused(_)));
    assert!(matches!(work.look(Look::IfTouched), Outcome::Unchanged));
}

#[test]
fn a_listener_that_fails_does_not_keep_the_news_from_others() {
    let (root, reloader, mut work) = start();
    let (sender, told) = std::sync::mpsc::sync_channel(1);
    reloader.on_publish(|_| panic!("a defect"));
    reloader.on_publish(move |snapshot| sender.send(snapshot.people().count()).unwrap());
    write(root.path(), "second");
    assert!(matches!(
        work.look_unharmed(Look::Always),
        Outcome::Published(_)
    ));
    assert_eq!(told.recv(), Ok(2));
}

#[test]
fn what_was_live_is_freed_by_who_compiles() {
    let (root, reloader, mut work) = start();
    let in_use = reloader.live().current();
    let first = Arc::downgrade(&in_use);
    write(root.path(), "second");
    let outcome = work.look_unharmed(Look::Always);
    assert!(matches!(outcome, Outcome::Published(_)));
    // A request that ends does not pay for that.
    drop(in_use);
    assert!(first.upgrade().is_some());
    let outcome = work.look_unharmed(Look::IfTouched);
    assert!(matches!(outcome, Outcome::Unchanged));
    assert!(first.upgrade().is_none());
}

#[test]
fn a_file_that_is_being_written_is_read_when_it_is_closed_or_by_order() {
    let (root, reloader, mut work, bell) = start_with_bell();
    let (file, roots) = (root.path().join("a.toml"), [root.path().to_owned()]);
    let hear = |kind| bell.hear(Ok(Event::new(kind).add_path(file.clone())), &roots);
    let changed = EventKind::Modify(ModifyKind::Data(DataChange::Any));
    let closed = EventKind::Access(AccessKind::Close(AccessMode::Write));

    write(root.path(), "second");
    hear(changed);
    let now = Instant::now();
    assert!(matches!(
        work.wait_for_writers(now),
        Some(Outcome::Unchanged)
    ));
    assert_eq!(reloader.being_written().borrow().len(), 1);
    assert!(reloader.status().last_refused.is_none());
    // That it takes long is told, once.
    let later = now + PATIENCE;
    let told = work.wait_for_writers(later);
    let Some(Outcome::Refused(problems)) = told else {
        panic!("{told:?}");
    };
    assert!(problems.to_string().contains("a.toml"), "{problems}");
    assert!(matches!(
        work.wait_for_writers(later),
        Some(Outcome::Unchanged)
    ));
    assert!(reloader.live().current().person("second").is_none());

    hear(closed);
    assert!(work.wait_for_writers(later).is_none());
    assert!(matches!(work.look(Look::IfChanged), Outcome::Published(_)));
    assert!(reloader.status().last_refused.is_none());
    assert!(reloader.being_written().borrow().is_empty());

    write(root.path(), "third");
    hear(changed);
    assert!(matches!(work.look(Look::Always), Outcome::Published(_)));
    assert!(reloader.live().current().person("third").is_some());
}
