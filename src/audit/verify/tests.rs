use std::fs;

use proptest::prelude::*;

use super::super::fixture::{lines, log, read, write};
use super::*;

/// Changes the lines of one segment of a log of eleven lines in segments of about four, and
/// expects the first bad line.
fn check(
    segment: u64,
    change: impl Fn(&mut Vec<Vec<u8>>),
    expected: (u64, u64),
    why: impl Fn(&Fault) -> bool,
) {
    let directory = log(9);
    let mut changed = lines(directory.path(), segment);
    change(&mut changed);
    write(directory.path(), segment, &changed.concat());
    match verify(directory.path()) {
        Err(VerifyError::Broken {
            segment,
            line,
            why: found,
        }) => {
            assert_eq!((segment, line), (segments::name(expected.0), expected.1));
            assert!(why(&found), "{found:?}");
        }
        other => panic!("{other:?}"),
    }
}

fn edited(line: &[u8], from: &str, to: &str) -> Vec<u8> {
    let text = str::from_utf8(line).unwrap();
    assert!(text.contains(from));
    text.replace(from, to).into_bytes()
}

#[test]
fn a_whole_chain_holds_and_names_its_head() {
    let directory = log(9);
    let last = lines(directory.path(), 3).pop().unwrap();
    let summary = verify(directory.path()).unwrap();
    assert_eq!((summary.segments, summary.records), (3, 11));
    assert!(edited(&last, &summary.head.to_string(), "").len() < last.len());
}

#[test]
fn an_edited_line_is_named() {
    let edit = |lines: &mut Vec<Vec<u8>>| lines[2] = edited(&lines[2], "/orders/5", "/orders/6");
    check(2, edit, (2, 3), |why| *why == Fault::Hash);
}

#[test]
fn a_removed_line_is_named_where_the_next_one_stands() {
    let gap = |why: &Fault| matches!(why, Fault::Sequence { .. });
    check(1, |lines| drop(lines.remove(0)), (1, 1), gap);
    check(2, |lines| drop(lines.remove(1)), (2, 2), gap);
    check(2, |lines| drop(lines.pop()), (3, 1), gap);
}

#[test]
fn moved_and_doubled_lines_are_named() {
    let gap = |why: &Fault| matches!(why, Fault::Sequence { .. });
    check(2, |lines| lines.swap(1, 2), (2, 2), gap);
    check(2, |lines| lines.insert(1, lines[0].clone()), (2, 2), gap);
}

#[test]
fn a_line_cut_short_is_named() {
    // The next line runs on in it, and brings the hash of another content.
    check(
        2,
        |lines| lines[1].truncate(50),
        (2, 2),
        |why| *why == Fault::Hash,
    );
    check(
        2,
        |lines| lines[3].truncate(50),
        (2, 4),
        |why| *why == Fault::Torn,
    );
    let last_break = |lines: &mut Vec<Vec<u8>>| lines[2].retain(|byte| *byte != b'\n');
    check(3, last_break, (3, 3), |why| *why == Fault::Torn);
}

#[test]
fn a_forged_line_is_named() {
    let append = |line: &'static str| {
        move |lines: &mut Vec<Vec<u8>>| lines.push(format!("{line}\n").into_bytes())
    };
    check(3, append(r#"{"kind":"call"}"#), (3, 4), |why| {
        *why == Fault::Seal
    });
    check(3, append(""), (3, 4), |why| *why == Fault::Seal);

    // Hashed by the rules, but over a line that is not the last.
    let rehashed = |lines: &mut Vec<Vec<u8>>| {
        let mut head = Head {
            seq: 11,
            hash: Digest::of(b"a guess"),
        };
        let mut line = Vec::new();
        head.start(&mut line);
        head.seal(&mut line, 0);
        lines.push(line);
    };
    check(3, rehashed, (3, 4), |why| *why == Fault::Previous);
}

#[test]
fn missing_files_are_named() {
    for segment in [1, 2] {
        let directory = log(9);
        fs::remove_file(directory.path().join(segments::name(segment))).unwrap();
        match verify(directory.path()) {
            Err(VerifyError::Missing { segment: missing }) => {
                assert_eq!(missing, segments::name(segment));
            }
            other => panic!("{other:?}"),
        }
    }
    let directory = tempfile::TempDir::new().unwrap();
    assert!(matches!(
        verify(directory.path()),
        Err(VerifyError::Empty(_))
    ));
    assert!(matches!(
        verify(&directory.path().join("none")),
        Err(VerifyError::Read { .. })
    ));
}

#[test]
fn any_flipped_bit_is_found_in_its_line() {
    let directory = log(9);
    for segment in 1..=3 {
        let good = read(directory.path(), segment);
        let strategy = (0..good.len(), 0..8u8);
        let mut runner = proptest::test_runner::TestRunner::default();
        runner
            .run(&strategy, |(at, bit)| {
                let mut bad = good.clone();
                bad[at] ^= 1 << bit;
                write(directory.path(), segment, &bad);
                let due = good[..at].iter().filter(|byte| **byte == b'\n').count() as u64 + 1;
                match verify(directory.path()) {
                    Err(VerifyError::Broken {
                        segment: found,
                        line,
                        ..
                    }) => prop_assert_eq!((found, line), (segments::name(segment), due)),
                    other => prop_assert!(false, "{:?}", other),
                }
                Ok(())
            })
            .unwrap();
        write(directory.path(), segment, &good);
    }
    verify(directory.path()).unwrap();
}
