use super::super::fixture::{call, lines as raw, log, opened, read, run, write};
use super::*;

fn places(lines: &mut Lines) -> Vec<String> {
    lines.map(|entry| entry.unwrap().to_string()).collect()
}

#[test]
fn lines_come_with_their_place_and_content() {
    let directory = log(9);
    let entries: Vec<_> = Lines::all(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap())
        .collect();
    assert_eq!(entries.len(), 11);
    let sixth = &entries[5];
    assert_eq!(sixth.to_string(), "audit-00000002.jsonl:2");
    assert_eq!(sixth.record().unwrap(), call(4));
    assert_eq!(sixth.value().unwrap()["seq"], 6);
    assert_eq!(sixth.value().unwrap()["path"], "/orders/4");
}

#[test]
fn the_last_lines_are_found_across_segments() {
    let directory = log(9);
    for (count, expected) in [(0, 0), (1, 1), (3, 3), (5, 5), (11, 11), (50, 11)] {
        let mut lines = Lines::last(directory.path(), count).unwrap();
        let places = places(&mut lines);
        assert_eq!(places.len(), expected, "{count}");
        if count > 0 {
            assert_eq!(places.last().unwrap(), "audit-00000003.jsonl:3");
        }
    }
}

#[test]
fn a_log_is_followed_as_it_grows() {
    let directory = log(0);
    let mut lines = Lines::last(directory.path(), 1).unwrap();
    assert_eq!(places(&mut lines), ["audit-00000001.jsonl:2"]);
    assert!(lines.next().is_none());
    run(directory.path(), 4, 3);
    assert_eq!(
        places(&mut lines),
        [
            "audit-00000001.jsonl:3",
            "audit-00000001.jsonl:4",
            "audit-00000002.jsonl:1",
            "audit-00000002.jsonl:2",
            "audit-00000002.jsonl:3",
        ]
    );
}

#[test]
fn a_part_of_a_line_is_left_until_it_is_whole_or_another() {
    let directory = log(2);
    let whole = read(directory.path(), 1);
    let last = raw(directory.path(), 1).pop().unwrap();
    let mut lines = Lines::all(directory.path()).unwrap();
    write(directory.path(), 1, &whole[..whole.len() - last.len() / 2]);
    assert_eq!(places(&mut lines).len(), 3);
    drop(opened(directory.path(), 1000));
    let start = lines.next().unwrap().unwrap();
    assert_eq!(start.to_string(), "audit-00000001.jsonl:4");
    assert_eq!(
        start.record().unwrap().kind,
        crate::audit::RecordKind::Start
    );
}

#[test]
fn a_log_that_is_not_there_yet_is_empty() {
    let directory = tempfile::TempDir::new().unwrap();
    let mut lines = Lines::all(directory.path()).unwrap();
    assert!(lines.next().is_none());
    run(directory.path(), 4, 0);
    assert_eq!(places(&mut lines).len(), 2);
    assert!(Lines::all(&directory.path().join("none")).is_err());
}
