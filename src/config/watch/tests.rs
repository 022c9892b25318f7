use notify::event::{CreateKind, DataChange, MetadataKind, RemoveKind};

use super::*;

/// Whether a notice rings the bell, and whether it makes the watch be renewed.
async fn check(kind: EventKind, path: &str, rings: bool, moves: bool) {
    let bell = Bell::default();
    let mut event = Event::new(kind);
    if !path.is_empty() {
        event = event.add_path(PathBuf::from(path));
    }
    bell.hear(Ok(event), &[PathBuf::from("/etc/policies")]);
    let rung = tokio::select! {
        biased;
        () = bell.rung() => true,
        () = std::future::ready(()) => false,
    };
    assert_eq!(rung, rings, "{kind:?} {path}");
    assert_eq!(bell.moved.load(Ordering::Relaxed), moves, "{kind:?} {path}");
}

#[tokio::test]
async fn only_changes_below_or_of_the_directories_ring() {
    let created = EventKind::Create(CreateKind::File);
    let removed = EventKind::Remove(RemoveKind::Folder);
    let written = EventKind::Modify(ModifyKind::Data(DataChange::Any));
    check(written, "/etc/policies/a.toml", true, false).await;
    check(created, "/etc/policies/..data", true, false).await;
    check(removed, "/etc/policies", true, true).await;
    check(created, "/etc/policies", true, true).await;
    check(
        EventKind::Modify(ModifyKind::Metadata(MetadataKind::Any)),
        "/etc/policies",
        true,
        false,
    )
    .await;
    check(created, "/etc/passwd", false, false).await;
    check(created, "/etc/policies2", false, false).await;
    // The queue ran over.
    check(EventKind::Other, "", true, true).await;
}

#[tokio::test]
async fn our_own_reading_does_not_ring() {
    let path = "/etc/policies/a.toml";
    let access = |kind| EventKind::Access(kind);
    check(
        access(AccessKind::Open(AccessMode::Any)),
        path,
        false,
        false,
    )
    .await;
    check(
        access(AccessKind::Close(AccessMode::Read)),
        path,
        false,
        false,
    )
    .await;
    check(
        access(AccessKind::Close(AccessMode::Write)),
        path,
        true,
        false,
    )
    .await;
}
