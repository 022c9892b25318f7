use std::fs;

use super::*;
use crate::audit::fixture::{log, read, write};

fn all(directory: &Path, mark: Option<Mark>) -> Vec<Older> {
    let lines = Backwards::open(directory, mark).unwrap();
    lines.map(Result::unwrap).collect()
}

fn forwards(directory: &Path) -> Vec<Vec<u8>> {
    let lines = crate::audit::Lines::all(directory).unwrap();
    lines.map(|entry| entry.unwrap().bytes).collect()
}

#[test]
fn the_same_lines_the_other_way_round() {
    let directory = log(30);
    let mut expected = forwards(directory.path());
    expected.reverse();
    let found = all(directory.path(), None);
    let bytes: Vec<_> = found.iter().map(|line| line.bytes.clone()).collect();
    assert_eq!(bytes, expected);
    assert!(found.iter().all(|line| line.record().is_ok()));
}

#[test]
fn it_goes_on_from_any_line() {
    let directory = log(9);
    let found = all(directory.path(), None);
    for (number, line) in found.iter().enumerate() {
        let rest = all(directory.path(), Some(line.mark));
        assert_eq!(rest, found[number + 1..], "{line:?}");
    }
}

#[test]
fn long_lines_and_a_line_that_is_not_whole() {
    let directory = log(1);
    let mut bytes = Vec::new();
    for length in [10, 200_000, 0, 65_536, 3] {
        bytes.extend(std::iter::repeat_n(b'x', length));
        bytes.push(b'\n');
    }
    bytes.extend_from_slice(b"not whole");
    write(directory.path(), 1, &bytes);
    let mut lengths: Vec<_> = all(directory.path(), None)
        .iter()
        .map(|line| line.bytes.len())
        .collect();
    lengths.reverse();
    assert_eq!(lengths, [10, 200_000, 0, 65_536, 3]);
    write(directory.path(), 1, b"nothing but this");
    assert_eq!(all(directory.path(), None), []);
    assert!(!read(directory.path(), 1).is_empty());
    fs::remove_dir_all(directory.path()).unwrap();
    assert!(Backwards::open(directory.path(), None).is_err());
}
