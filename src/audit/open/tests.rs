use std::fs;
use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

use super::super::fixture::{clock, lines, log, opened, read, run, story, write};
use super::super::{Lines, verify};
use super::*;
use crate::base::ErrorChain;

fn starts(directory: &Path) -> Vec<String> {
    Lines::all(directory)
        .unwrap()
        .map(|entry| entry.unwrap().record().unwrap())
        .filter(|record| record.kind == RecordKind::Start)
        .map(|record| record.detail.unwrap())
        .collect()
}

/// Expects that the log can't be opened, and why.
fn check(directory: &Path, expected: &str) {
    let error = open(&Options::new(directory), clock()).unwrap_err();
    let shown = ErrorChain(&error).to_string();
    let shown = shown.replace(&directory.display().to_string(), "DIR");
    assert_eq!(shown, expected);
}

#[test]
fn restarts_continue_the_chain() {
    let directory = TempDir::new().unwrap();
    for calls in [0, 3, 2] {
        run(directory.path(), 4, calls);
    }
    let told = [
        "start",
        "stop",
        "start",
        "/orders/0",
        "/orders/1",
        "/orders/2",
        "stop",
        "start",
        "/orders/0",
        "/orders/1",
        "stop",
    ];
    assert_eq!(story(directory.path()), told);
    assert_eq!(verify(directory.path()).unwrap().records, 11);
    assert_eq!(starts(directory.path()), vec!["portcullis 0.1.0"; 3]);
}

#[test]
fn a_line_that_a_crash_cut_short_is_removed_and_counted() {
    let directory = log(2);
    let good = read(directory.path(), 1);
    let last = lines(directory.path(), 1).pop().unwrap();
    let start = good.len() - last.len();
    for kept in 1..last.len() - 1 {
        write(directory.path(), 1, &good[..start + kept]);
        drop(opened(directory.path(), 1000));
        let removed = Digest::of(&last[..kept]);
        assert_eq!(
            starts(directory.path())[1],
            format!(
                "portcullis 0.1.0; removed {kept} bytes of a line cut short, sha-256 {removed}"
            )
        );
        assert_eq!(verify(directory.path()).unwrap().records, 4);
    }
}

#[test]
fn a_line_that_lacks_only_its_line_break_is_kept() {
    let directory = log(2);
    let mut bytes = read(directory.path(), 1);
    bytes.pop();
    write(directory.path(), 1, &bytes);
    drop(opened(directory.path(), 1000));
    assert_eq!(
        story(directory.path()),
        ["start", "/orders/0", "/orders/1", "stop", "start"]
    );
    assert_eq!(starts(directory.path()), vec!["portcullis 0.1.0"; 2]);
    assert_eq!(verify(directory.path()).unwrap().records, 5);
}

#[test]
fn a_log_that_was_changed_is_not_continued() {
    let directory = log(9);
    let good = read(directory.path(), 3);
    let flipped = |at: usize| {
        let mut bad = good.clone();
        bad[at] ^= 1;
        bad
    };
    let refused = "the audit log in `DIR` can't be continued: the first bad line is ";
    let hash = "its hash is not that of its content";

    write(directory.path(), 3, &flipped(100));
    check(
        directory.path(),
        &format!("{refused}`audit-00000003.jsonl:1`: {hash}"),
    );
    // Whole but for its line break, and wrong: no crash does that.
    let bad = flipped(good.len() - 100);
    write(directory.path(), 3, &bad[..bad.len() - 1]);
    check(
        directory.path(),
        &format!("{refused}`audit-00000003.jsonl:3`: {hash}"),
    );
    write(directory.path(), 3, &good);
    let mut before = read(directory.path(), 2);
    before.pop();
    write(directory.path(), 2, &before);
    let torn = Fault::Torn;
    check(
        directory.path(),
        &format!("{refused}`audit-00000002.jsonl:4`: {torn}"),
    );
    fs::remove_file(directory.path().join(segments::name(2))).unwrap();
    check(
        directory.path(),
        "the audit log in `DIR` can't be continued: `audit-00000002.jsonl` is missing",
    );
}

#[test]
fn old_segments_may_be_elsewhere() {
    let directory = log(9);
    fs::remove_file(directory.path().join(segments::name(1))).unwrap();
    run(directory.path(), 4, 0);
    fs::remove_file(directory.path().join(segments::name(2))).unwrap();
    run(directory.path(), 4, 0);
    assert_eq!(story(directory.path()).last().unwrap(), "stop");
}

#[test]
fn an_empty_segment_at_the_end_is_used() {
    let directory = log(9);
    write(directory.path(), 4, b"");
    run(directory.path(), 4, 1);
    assert_eq!(verify(directory.path()).unwrap().records, 14);
    assert_eq!(lines(directory.path(), 4).len(), 3);

    let alone = TempDir::new().unwrap();
    write(alone.path(), 4, b"");
    check(
        alone.path(),
        "the audit log in `DIR` can't be continued: `audit-00000003.jsonl` is missing",
    );
}

#[test]
fn one_writer_at_a_time() {
    let directory = TempDir::new().unwrap();
    let first = opened(directory.path(), 4);
    check(
        directory.path(),
        "another process writes this audit log: it holds `DIR/lock`",
    );
    drop(first);
    drop(opened(directory.path(), 4));
    assert_eq!(verify(directory.path()).unwrap().records, 2);
}

#[test]
fn only_this_user_can_read_it() {
    let base = TempDir::new().unwrap();
    let directory = base.path().join("data/audit");
    run(&directory, 1, 1);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&directory), 0o700);
    for entry in fs::read_dir(&directory).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
    }
}

#[test]
fn a_directory_that_can_not_be_made_is_named() {
    let base = TempDir::new().unwrap();
    fs::write(base.path().join("file"), "").unwrap();
    let error = open(&Options::new(base.path().join("file")), clock()).unwrap_err();
    assert!(matches!(error, AuditError::Directory { .. }), "{error}");
}
