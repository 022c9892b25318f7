use notify::event::{CreateKind, DataChange};

use super::*;

fn changed(path: &Path) -> Event {
    Event::new(EventKind::Modify(ModifyKind::Data(DataChange::Any))).add_path(path.to_owned())
}

fn closed(path: &Path) -> Event {
    Event::new(EventKind::Access(AccessKind::Close(AccessMode::Write))).add_path(path.to_owned())
}

/// The names of the files of a directory that are open.
fn open(writing: &mut Writing, directory: &Path, now: Instant) -> Vec<String> {
    let ids = || {
        let files = fs::read_dir(directory).unwrap();
        files.filter_map(|file| id(&file.unwrap().path())).collect()
    };
    let open = writing.among(ids, now).into_iter();
    open.map(|(path, _)| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect()
}

#[test]
fn a_file_is_open_from_its_change_to_its_closing_whatever_its_name_is_then() {
    let (root, mut writing, now) = (
        tempfile::tempdir().unwrap(),
        Writing::default(),
        Instant::now(),
    );
    let (draft, file) = (root.path().join("draft"), root.path().join("a.cedar"));
    fs::write(&draft, "1").unwrap();
    writing.hear(
        &Event::new(EventKind::Create(CreateKind::File)).add_path(draft.clone()),
        now,
    );
    assert!(open(&mut writing, root.path(), now).is_empty());
    writing.hear(&changed(&draft), now);
    assert_eq!(open(&mut writing, root.path(), now), ["draft"]);
    fs::rename(&draft, &file).unwrap();
    writing.hear(&changed(&file), now);
    assert_eq!(open(&mut writing, root.path(), now), ["a.cedar"]);
    // It is still open when nobody has said anything for long.
    assert_eq!(
        open(&mut writing, root.path(), now + 10 * PATIENCE),
        ["a.cedar"]
    );
    writing.hear(&closed(&file), now);
    assert!(open(&mut writing, root.path(), now).is_empty());
}

#[test]
fn the_closing_of_a_draft_is_understood_when_it_has_its_last_name_already() {
    let (root, mut writing, now) = (
        tempfile::tempdir().unwrap(),
        Writing::default(),
        Instant::now(),
    );
    let (draft, file) = (root.path().join("draft"), root.path().join("a.cedar"));
    for next in [None, Some("the next draft")] {
        fs::write(&draft, "1").unwrap();
        writing.hear(&changed(&draft), now);
        fs::rename(&draft, &file).unwrap();
        if let Some(text) = next {
            fs::write(&draft, text).unwrap();
        }
        assert_eq!(open(&mut writing, root.path(), now), ["draft"]);
        writing.hear(&closed(&draft), now);
        assert!(open(&mut writing, root.path(), now).is_empty());
    }
}

#[test]
fn a_file_that_is_replaced_or_removed_is_waited_for_no_longer() {
    let (root, mut writing, now) = (
        tempfile::tempdir().unwrap(),
        Writing::default(),
        Instant::now(),
    );
    let (draft, file) = (root.path().join("draft"), root.path().join("a.cedar"));
    for _ in 0..2 {
        fs::write(&file, "1").unwrap();
        writing.hear(&changed(&file), now);
        assert_eq!(open(&mut writing, root.path(), now), ["a.cedar"]);
        fs::write(&draft, "2").unwrap();
        // It may be what was the first file before, to the file system.
        writing.hear(&closed(&draft), now);
        fs::rename(&draft, &file).unwrap();
        assert!(open(&mut writing, root.path(), now).is_empty());
        fs::remove_file(&file).unwrap();
        assert!(open(&mut writing, root.path(), now).is_empty());
    }
}

#[test]
fn where_notices_were_lost_a_file_is_waited_for_a_while_only() {
    let (root, mut writing, now) = (
        tempfile::tempdir().unwrap(),
        Writing::default(),
        Instant::now(),
    );
    let file = root.path().join("a.cedar");
    fs::write(&file, "1").unwrap();
    writing.hear(&changed(&file), now);
    let later = now + PATIENCE;
    writing.doubt(later);
    assert_eq!(open(&mut writing, root.path(), later), ["a.cedar"]);
    // One who goes on writing is beyond doubt.
    writing.hear(&changed(&file), later);
    assert_eq!(
        open(&mut writing, root.path(), later + PATIENCE),
        ["a.cedar"]
    );
    writing.doubt(later);
    assert!(open(&mut writing, root.path(), later + PATIENCE).is_empty());
}
