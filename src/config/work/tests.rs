use std::fs;
use std::path::Path;

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
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "first");
    let sources = Sources {
        directories: vec![root.path().to_owned()],
        credentials: Allowed::default(),
        stand_in: None,
    };
    let (reloader, watcher) = Reloader::open(sources, &Clock::system(), Memory::default()).unwrap();
    let work = watcher.into_work(&Arc::default());
    (root, reloader, work)
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
